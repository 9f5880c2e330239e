# SPDX-License-Identifier: Apache-2.0
"""Which way each figure of a report is better. A figure that isn't listed has no direction, and is never guessed."""

from __future__ import annotations

import re

from segmif_ros.evaluation.better import Better
from segmif_ros.evaluation.fusion_metrics import FUSION_METRICS

_DESCRIBING = (
    r".*\.(deviation|pairs|pixels|frames|offered|offered_masters|workers|processed_in_this_run|span_s)",
    r".*\.frames_\w+",
    r"pairing\.offset_ms\.(mean|max)",  # of the recording
    r"online\.pair_offset_ms\.\w+",
    r"online\.player_lateness_ms\.\w+",  # of the machine that plays
    r"online\.interval_ms\.\w+",
    r"online\.memory_mib\.first",
    r"online\.(loops|diagnostics)\..*",
)
_LESS = (
    r"(pairing|online)\.dropped\.\w+",
    r"online\.(age_ms\.\w+|stage_ms\.\w+\.\w+|jitter_ms|time_to_first_output_ms|unmatched_outputs|cpu_percent)",
    r"online\.memory_mib\.(last|max)",
    r"timing\.(wall_s|stage_ms\.\w+\.\w+)",
)
_MORE = (
    r"segmentation\.\w+\.(miou|macc|iou|accuracy)\..+",
    r"segmentation\.\w+\.(pixel_accuracy|mean_accuracy)",
    r"online\.(processed|share|rate_hz)",
    r"timing\.pairs_per_s",
)
_KNOWN = [
    (re.compile(pattern), better)
    for patterns, better in ((_DESCRIBING, Better.NEITHER), (_LESS, Better.LESS), (_MORE, Better.MORE))
    for pattern in patterns
]


_FUSION = re.compile(r"fusion\.\w+\.(\w+)")


def direction(name: str) -> Better | None:
    """Return which way a figure is better, by its dotted name; None for a figure that isn't known."""
    if (fusion := _FUSION.fullmatch(name)) and (metric := FUSION_METRICS.get(fusion[1])):
        return metric.better
    return next((better for pattern, better in _KNOWN if pattern.fullmatch(name)), None)


def advantage(name: str, before: float, after: float) -> float | None:
    """Return by how much ``after`` is better than ``before`` (below 0: worse); None without a direction."""
    better = direction(name)
    if better is Better.MORE:
        return after - before
    return before - after if better is Better.LESS else None
