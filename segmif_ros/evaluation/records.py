# SPDX-License-Identifier: Apache-2.0
"""What is kept of one evaluated pair: counts and figures, as plain values that JSON holds.

Confusion counts are integers and every figure is of one pair alone, so records from several processes or from a run
that was resumed add up to exactly the report of one run.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import TYPE_CHECKING, TypedDict

import numpy as np

from segmif_ros.arrays import Image
from segmif_ros.evaluation.fusion_metrics import fusion_metrics, luma
from segmif_ros.evaluation.segmentation_metrics import ConfusionMatrix
from segmif_ros.labels import LabelSet

if TYPE_CHECKING:  # torch would come with it
    from segmif_ros.inference.engine import EngineResult


class PairResult(TypedDict, total=False):
    """One pair of a run, as a journal holds it; what failed has ``error`` in place of figures.

    Attributes:
        key: What the pair is called.
        lighting: "day", "night", ...; empty if it isn't known.
        sha256: Of the pair's images and labels.
        height: Rows.
        width: Columns.
        fusion: Value by metric; None where it isn't finite.
        confidence: Mean, 0 to 1.
        confusion: Rows of truth id, predicted id, pixels; None without truth.
        score: What frames are ranked by.
        stage_ms: Milliseconds by stage.
        error: Why there are no figures.
        reason: The same in a word, of a replay.
        looks_swapped: Whether infrared and RGB seem to be swapped.
        stamp_ns: The master frame's, of a replay.
        offset_ns: Infrared stamp minus RGB stamp; None for one camera alone.
        alone: The camera that was alone; empty for a pair.
        spool_end: How far the outputs of a replay are on disk.
    """

    key: str
    lighting: str
    sha256: str
    height: int
    width: int
    fusion: dict[str, float | None]
    confidence: float
    confusion: list[list[int]] | None
    score: float | None
    stage_ms: dict[str, float]
    error: str
    reason: str
    looks_swapped: bool
    stamp_ns: int
    offset_ns: int | None
    alone: str
    spool_end: int


# pairs without truth are ranked by this fusion metric
RANKED_BY_WITHOUT_TRUTH = "Qabf"


def measure(
    *,
    key: str,
    infrared: Image,
    rgb: Image,
    result: EngineResult,
    truth: Image | None,
    label_set: LabelSet,
    metrics: Sequence[str],
    judged: Sequence[int] | None = None,
) -> PairResult:
    """Measure one processed pair.

    Args:
        key: What the pair is called.
        infrared: (H, W) uint8, as the engine got it.
        rgb: (H, W, 3) uint8, as the engine got it.
        result: The engine's.
        truth: (H, W) uint8 ids of ``label_set``, 255 or its ignored id where nothing is counted, or None.
        label_set: The classes of ``result.labels`` and ``truth``.
        metrics: Names of fusion metrics.
        judged: Ids of the classes that the score is taken over; None for all.

    Returns:
        key, height, width, fusion (value by metric, None where it isn't finite), confidence (mean, 0..1), confusion
        (rows of truth id, predicted id, pixels; None without truth) and score (what frames are ranked by).

    Raises:
        ValueError: If the sizes don't agree or an id is out of range.
    """
    fusion = fusion_metrics(infrared, luma(rgb), luma(result.fused), metrics) if metrics else {}
    confusion = None
    score = fusion.get(RANKED_BY_WITHOUT_TRUTH)
    if truth is not None:
        matrix = ConfusionMatrix(len(label_set), label_set.ignore_id)
        matrix.update(truth, result.labels, key)
        rows, columns = np.nonzero(matrix.counts)
        confusion = [[int(t), int(p), int(matrix.counts[t, p])] for t, p in zip(rows, columns, strict=True)]
        score = matrix.mean_iou("present", judged).value
    return {
        "key": key,
        "height": infrared.shape[0],
        "width": infrared.shape[1],
        "fusion": {name: finite(value) for name, value in fusion.items()},
        "confidence": float(result.confidence.mean()) / 255.0,
        "confusion": confusion,
        "score": finite(score),
    }


def matrix_of(records: Sequence[PairResult], num_classes: int) -> ConfusionMatrix:
    """Add up the confusion counts of all records that have truth."""
    matrix = ConfusionMatrix(num_classes)
    for record in records:
        for truth, prediction, count in record["confusion"] or ():
            matrix.counts[truth, prediction] += count
    return matrix


def finite(value: float | None) -> float | None:
    """Return the value, or None where JSON has no number for it."""
    return value if value is not None and math.isfinite(value) else None
