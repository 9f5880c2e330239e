# SPDX-License-Identifier: Apache-2.0
"""Sheets of a weights report: rows of infrared, RGB, fused image, overlay and, where there is one, truth."""

from __future__ import annotations

import bisect
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np

from segmif_ros.arrays import Image
from segmif_ros.imaging.histogram import byte_counts
from segmif_ros.imaging.overlay import draw_overlay
from segmif_ros.labels import LabelSet
from segmif_ros.reporting.pictures import write_picture
from segmif_ros.reporting.sheet import draw_legend, draw_sheet

WIDTH = 320
_MIN_SHARE = 1e-3  # of a row's pixels: classes with less are left out of the legend


@dataclass(frozen=True, kw_only=True, eq=False)
class SheetRow:
    """One pair: infrared (H, W), rgb and fused (H, W, 3) RGB, labels and truth (H, W), all uint8; truth or None."""

    caption: str
    infrared: Image
    rgb: Image
    fused: Image
    labels: Image
    truth: Image | None = None


@dataclass(frozen=True, eq=False)
class _Drawn:
    score: float
    count: int
    image: Image
    classes: frozenset[int]


class Gallery:
    """Collects rows by sheet: examples as they come, and of those offered the ``worst`` by score.

    Below its rows each sheet has the legend of the classes that they show.

    Args:
        label_set: Of labels and truth.
        worst: Rows that a sheet of offered ones keeps.
    """

    def __init__(self, label_set: LabelSet, worst: int = 6) -> None:
        self._label_set = label_set
        self._worst = worst
        self._sheets: dict[str, list[_Drawn]] = {}
        self._count = 0

    def show(self, sheet: str, row: SheetRow) -> None:
        """Add an example."""
        self._sheets.setdefault(sheet, []).append(self._drawn(0.0, row))

    def offer(self, sheet: str, score: float, row: SheetRow) -> None:
        """Keep a row if its score is among the lowest; worst first. A score of NaN is not comparable and left out."""
        kept = self._sheets.setdefault(sheet, [])
        if np.isnan(score) or (len(kept) == self._worst and score >= kept[-1].score):
            return
        bisect.insort(kept, self._drawn(score, row), key=lambda each: (each.score, each.count))
        del kept[self._worst :]

    def _drawn(self, score: float, row: SheetRow) -> _Drawn:
        self._count += 1
        shown: set[int] = set()
        for labels in (row.labels, row.truth):
            if labels is not None:
                shown |= set(np.flatnonzero(byte_counts(labels) >= _MIN_SHARE * labels.size).tolist())
        return _Drawn(score, self._count, draw_row(row, self._label_set), frozenset(shown))

    def _legend(self, rows: Iterable[_Drawn]) -> list[tuple[str, tuple[int, int, int]]]:
        names, palette = self._label_set.names, self._label_set.palette
        present = sorted(set().union(*(each.classes for each in rows)))
        return [(names[i], tuple(palette[i].tolist())) for i in present if i < len(names)]

    def write(self, folder: Path) -> dict[str, Path]:
        """Write a JPEG a sheet into ``folder``, which exists; return the files by sheet."""
        files = {}
        for name, rows in self._sheets.items():
            if rows:
                files[name] = folder / f"{name}.jpg"
                images = [each.image for each in rows]
                legend = draw_legend(self._legend(rows), images[0].shape[1], WIDTH)
                write_picture(files[name], np.vstack([*images, legend]))
        return files


def draw_row(row: SheetRow, label_set: LabelSet) -> Image:
    """Return the pictures of a row side by side under its caption, uint8 RGB, each 320 pixels wide."""
    pictures = {
        "infrared": row.infrared,
        "RGB": row.rgb,
        "fused": row.fused,
        "overlay": draw_overlay(row.fused, row.labels, label_set.palette),
    }
    if row.truth is not None:
        pictures["truth"] = label_set.colourise(row.truth)
    size = WIDTH, max(1, round(WIDTH * row.infrared.shape[0] / row.infrared.shape[1]))
    resized = (np.asarray(cv2.resize(each, size, interpolation=cv2.INTER_AREA), np.uint8) for each in pictures.values())
    return draw_sheet(list(zip(pictures, resized, strict=True)), title=row.caption)
