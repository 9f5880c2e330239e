# SPDX-License-Identifier: Apache-2.0
"""Plots of a report as SVG text: bars of IoU, the confusion matrix, histograms, timelines."""

from __future__ import annotations

import io
import itertools
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

if TYPE_CHECKING:  # imported where something is drawn: it takes half a second
    from matplotlib.figure import Figure

INK, SOFT, LINE, BAR = "#1c2430", "#5b6675", "#d9dee5", "#3f7ab8"
# one colour a group, distinct also for colour-blind readers
GROUP_COLOURS = {"all": "#3f7ab8", "day": "#d98c1f", "night": "#46327e"}
LINE_COLOURS = ("#3f7ab8", "#d98c1f", "#46327e", "#2f8f6b", "#a33b4a")
LINE_STYLES = ("-", "--", ":")  # one after the other, where there are more lines than colours


def iou_bars(names: Sequence[str], groups: Mapping[str, Sequence[float | None]]) -> str:
    """Return horizontal bars of IoU by class, one bar a group, as SVG.

    Args:
        names: Of the classes.
        groups: IoU (0 to 1) of each class by group; None marks an absent class.
    """
    figure, axes = _figure(width=4.6, height=0.9 + 0.22 * len(names) * (1 + 0.45 * (len(groups) - 1)))
    rows = np.arange(len(names))
    thick = 0.8 / len(groups)
    for i, (group, values) in enumerate(groups.items()):
        at = rows + (i - (len(groups) - 1) / 2) * thick
        axes.barh(
            at,
            [100 * (value or 0.0) for value in values],
            height=0.9 * thick,
            color=GROUP_COLOURS.get(group, BAR),
            label=group,
        )
        for y, value in zip(at, values, strict=True):
            text = "absent" if value is None else f"{100 * value:.1f}"
            axes.text(100 * (value or 0.0) + 1, y, text, va="center", fontsize=7, color=SOFT)
    axes.set_yticks(rows, names)
    axes.invert_yaxis()
    axes.set_xlim(0, 108)
    axes.set_xlabel("IoU, %")
    if len(groups) > 1:
        axes.legend(frameon=False, fontsize=8, loc="lower right")
    return _svg(figure)


def confusion_matrix(names: Sequence[str], counts: npt.NDArray[np.int64]) -> str:
    """Return a confusion matrix in percent of each true class as SVG; classes without truth have no row.

    Args:
        names: Of the classes.
        counts: (N, N) pixels; rows are the ground truth.
    """
    rows = np.flatnonzero(counts.sum(axis=1))
    share = 100 * counts[rows] / counts[rows].sum(axis=1, keepdims=True)
    size = 1.8 + 0.36 * len(names)
    figure, axes = _figure(width=size, height=1.6 + 0.36 * max(1, len(rows)))
    axes.imshow(share, cmap="Blues", vmin=0, vmax=100, aspect="auto")
    for y, x in np.ndindex(share.shape):
        if share[y, x] >= 0.5:
            axes.text(
                x, y, f"{share[y, x]:.0f}", ha="center", va="center", fontsize=6.5,
                color="white" if share[y, x] > 55 else INK,
            )  # fmt: skip
    axes.set_xticks(range(len(names)), names, rotation=60, ha="right", rotation_mode="anchor")
    axes.set_yticks(range(len(rows)), [names[int(i)] for i in rows])
    axes.set_xlabel("predicted")
    axes.set_ylabel("truth (100 % a row)")
    return _svg(figure)


def histogram(values: Sequence[float], label: str, *, marks: Mapping[str, float] | None = None) -> str:
    """Return a histogram as SVG.

    Args:
        values: Of one quantity.
        label: Its name and unit.
        marks: Vertical lines by name, such as percentiles.
    """
    figure, axes = _figure(width=4.6, height=2.6)
    axes.hist(values, bins=min(60, max(10, len(values) // 5)), color=BAR)
    for i, (name, value) in enumerate((marks or {}).items()):
        axes.axvline(value, color=INK, linewidth=0.8, linestyle="--")
        place = value, 0.98 - 0.2 * i  # at a height of its own: percentiles often lie close together
        axes.annotate(
            name, place, xycoords=("data", "axes fraction"), fontsize=7, rotation=90, ha="right", va="top", color=INK
        )
    axes.set_xlabel(label)
    axes.set_ylabel("pairs")
    return _svg(figure)


def timeline(times_s: Sequence[float], values: Sequence[float], label: str) -> str:
    """Return one quantity over time as SVG.

    Args:
        times_s: Seconds.
        values: As many.
        label: Name and unit of the quantity.
    """
    figure, axes = _figure(width=4.6, height=2.6)
    axes.plot(times_s, values, ".", markersize=2.5, color=BAR)
    axes.set_xlabel("time, s")
    axes.set_ylabel(label)
    axes.set_ylim(bottom=min(0.0, *values) if values else 0)
    return _svg(figure)


def curves(series: Mapping[str, tuple[Sequence[float], Sequence[float]]], x_label: str, y_label: str) -> str:
    """Return lines of several quantities over a common axis as SVG.

    Args:
        series: (x, y) by name.
        x_label: Name and unit.
        y_label: Name and unit.
    """
    figure, axes = _figure(width=4.6, height=2.8)
    looks = itertools.cycle(itertools.product(LINE_STYLES, LINE_COLOURS))
    for (name, (x, y)), (style, colour) in zip(series.items(), looks, strict=False):
        marker = "." if len(x) < 40 else ""
        axes.plot(x, y, marker=marker, linewidth=1.2, linestyle=style, color=colour, label=name)
    axes.set_xlabel(x_label)
    axes.set_ylabel(y_label)
    axes.set_ylim(bottom=min([0.0, *(value for _, y in series.values() for value in y)]))
    axes.legend(frameon=False, fontsize=8)
    return _svg(figure)


def bands(rows: Mapping[str, Sequence[tuple[float, float, str]]], colour_of: Callable[[str], str]) -> str:
    """Return rows of what holds from when until when as SVG.

    Args:
        rows: By name: (from, until, what), seconds.
        colour_of: Returns the colour of a ``what``.
    """
    figure, axes = _figure(width=9.4, height=0.9 + 0.45 * len(rows))
    span = max((until for row in rows.values() for _, until, _ in row), default=1.0)
    for y, row in enumerate(rows.values()):
        for start, until, what in row:
            axes.barh(y, until - start, left=start, height=0.7, color=colour_of(what))
            if until - start > 0.012 * span * len(what):
                axes.text((start + until) / 2, y, what, ha="center", va="center", fontsize=6.5, color="white")
    axes.set_yticks(range(len(rows)), list(rows))
    axes.invert_yaxis()
    axes.set_xlabel("time, s")
    return _svg(figure)


def write_times(path: Path, names: Sequence[str], times_ms: Sequence[tuple[float, float]]) -> None:
    """Write a PNG of bars of median times, with lines to the 95th percentiles.

    Args:
        path: The PNG.
        names: Of the bars.
        times_ms: Median and 95th percentile of each.

    Raises:
        OSError: If it can't be written.
    """
    figure, axes = _figure(width=8, height=1 + 0.35 * len(names))
    medians = np.array([median for median, _ in times_ms])
    tails = np.array([tail for _, tail in times_ms]) - medians
    at = np.arange(len(names))
    axes.barh(at, medians, xerr=[np.zeros(len(names)), tails], color=BAR, ecolor=SOFT, capsize=2)
    axes.set_yticks(at, names)
    axes.invert_yaxis()
    axes.set_xlabel("ms a frame: median, line to the 95th percentile")
    from matplotlib.backends.backend_agg import FigureCanvasAgg

    FigureCanvasAgg(figure)
    figure.savefig(path, dpi=120)


def _figure(*, width: float, height: float) -> tuple[Figure, Any]:
    from matplotlib.figure import Figure

    figure = Figure(figsize=(width, height), layout="constrained")
    axes = figure.add_subplot()
    axes.spines[["top", "right"]].set_visible(False)
    axes.spines[["left", "bottom"]].set_color(LINE)
    axes.tick_params(colors=SOFT, labelsize=8)
    axes.xaxis.label.set_color(SOFT)
    axes.yaxis.label.set_color(SOFT)
    return figure, axes


def _svg(figure: Figure) -> str:
    """Return SVG text that is the same for the same figures."""
    import matplotlib as mpl
    from matplotlib.backends.backend_svg import FigureCanvasSVG

    stream = io.StringIO()
    with mpl.rc_context({"svg.hashsalt": "segmif_ros", "svg.fonttype": "path"}):
        FigureCanvasSVG(figure).print_svg(stream, metadata={"Date": None, "Creator": None})  # type: ignore[no-untyped-call]
    return stream.getvalue()
