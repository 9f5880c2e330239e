# SPDX-License-Identifier: Apache-2.0
"""Cameras, health and outputs over the time of a demo, as plots: what a fault of a camera does to the results."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from itertools import pairwise
from typing import Literal, TypedDict

from segmif_ros.reporting.page import Plot
from segmif_ros.reporting.plots import bands, curves

# what a row shows -> colour; what isn't named is a fault and gets the last one
_COLOURS = {
    "ok": "#3f7ab8",
    "infrared+rgb": "#3f7ab8",
    "infrared": "#d98c1f",
    "rgb": "#2f8f6b",
    "degraded": "#c9b458",
    "fault": "#a33b4a",
}
_DEGRADED = ("blurred", "glare")
_STEP_S = 0.5  # over which rates are taken


class TimelinePoint(TypedDict):
    """What matters of one message on /diagnostics: time from the first one, health, cameras in use and counts."""

    time_s: float
    cameras: str
    infrared_health: str
    rgb_health: str
    frames_infrared: int
    frames_rgb: int
    processed: int


def points(timeline: Sequence[tuple[float, Mapping[str, str]]]) -> list[TimelinePoint]:
    """Return what matters of the diagnostics, where they name the cameras."""
    found: list[TimelinePoint] = []
    for time_s, values in timeline:
        if "cameras" in values:
            found.append(
                {
                    "time_s": round(time_s - timeline[0][0], 3),
                    "cameras": values["cameras"],
                    "infrared_health": values["infrared_health"],
                    "rgb_health": values["rgb_health"],
                    "frames_infrared": int(values["frames_infrared"]),
                    "frames_rgb": int(values["frames_rgb"]),
                    "processed": int(values["processed"]),
                }
            )
    return found


def plots(found: Sequence[TimelinePoint]) -> tuple[Plot, ...]:
    """Return the plots of health and of rates; none for fewer than three points."""
    if len(found) < 3:
        return ()
    rows = {
        "infrared": _runs(found, "infrared_health"),
        "RGB": _runs(found, "rgb_health"),
        "results use": _runs(found, "cameras"),
    }
    rates = {
        "infrared": _rates(found, "frames_infrared"),
        "RGB": _rates(found, "frames_rgb"),
        "results": _rates(found, "processed"),
    }
    return (
        Plot(title="Health of each camera, and which cameras the results use", svg=bands(rows, _colour), wide=True),
        Plot(title="Frames in and results out", svg=curves(rates, "time, s", "a second")),
    )


def _colour(what: str) -> str:
    if what in _DEGRADED:
        return _COLOURS["degraded"]
    return _COLOURS.get(what, _COLOURS["fault"])


def _runs(
    found: Sequence[TimelinePoint], name: Literal["infrared_health", "rgb_health", "cameras"]
) -> list[tuple[float, float, str]]:
    """Return (from, until, value) of each stretch of time in which a value stays."""
    runs: list[tuple[float, float, str]] = []
    for before, after in pairwise(found):
        if runs and runs[-1][2] == before[name]:
            runs[-1] = (runs[-1][0], after["time_s"], before[name])
        else:
            runs.append((before["time_s"], after["time_s"], before[name]))
    return runs


def _rates(
    found: Sequence[TimelinePoint], name: Literal["frames_infrared", "frames_rgb", "processed"]
) -> tuple[list[float], list[float]]:
    times, rates = [], []
    last = found[0]
    for point in found[1:]:
        span_s = point["time_s"] - last["time_s"]
        if span_s >= _STEP_S:
            times.append(point["time_s"] - span_s / 2)
            rates.append((point[name] - last[name]) / span_s)
            last = point
    return times, rates
