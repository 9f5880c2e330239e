# SPDX-License-Identifier: Apache-2.0
"""The pairs of a data set as frames: labels are steadied over time, by the filter of the node and of replays."""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

from segmif_ros.data.published import PairItem
from segmif_ros.evaluation.errors import EvaluationError
from segmif_ros.inference.engine import EngineResult
from segmif_ros.stream.pipeline_config import PipelineConfig

_FRAME_NS = 33_333_333  # stamps only tell neighbours from gaps: pairs that can't be read leave one


class SequenceFilter:
    """Steadies the labels of frames that are shown in order; those of one folder are a sequence.

    Args:
        items: All frames, each sequence in the order of time.
        temporal: As the node's parameter; not "none".
    """

    def __init__(self, items: Sequence[PairItem], temporal: str) -> None:
        steady = PipelineConfig(temporal=temporal).temporal_filter()
        assert steady is not None, "temporal is none"
        self._filter = steady
        self._stamps_ns: dict[str, int] = {}
        frames: dict[Path, int] = {}
        for item in items:
            frames[item.rgb.parent] = frames.get(item.rgb.parent, 0) + 1
            self._stamps_ns[item.key] = _FRAME_NS * frames[item.rgb.parent]

    def apply(self, item: PairItem, result: EngineResult) -> EngineResult:
        """Return the result of a frame with labels and confidence steadied; "temporal" is a stage of it."""
        started = time.perf_counter()
        labels, confidence = self._filter.apply(
            result.labels, result.confidence, result.fused, self._stamps_ns[item.key], item.rgb.parent
        )
        stage_ms = {**result.stage_ms, "temporal": 1e3 * (time.perf_counter() - started)}
        return replace(result, labels=labels, confidence=confidence, stage_ms=stage_ms)


def require_one_worker(temporal: str, *, workers: int, scheduler: str, has_engine: bool) -> None:
    """Refuse what a filter over time can't be combined with.

    Raises:
        EvaluationError: Says what to leave out.
    """
    if temporal == "none":
        return
    if not has_engine:
        raise EvaluationError(f"--temporal {temporal} steadies a network's labels: leave --baseline and files out")
    if workers > 1 or scheduler:
        raise EvaluationError(f"--temporal {temporal} needs all frames in order: leave --workers and --scheduler out")
