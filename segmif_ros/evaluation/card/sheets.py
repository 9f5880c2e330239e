# SPDX-License-Identifier: Apache-2.0
"""Sheets of a weights report: rows of infrared, RGB, fused image, overlay and, where there is one, truth."""

from __future__ import annotations

import bisect
from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np

from segmif_ros.arrays import Image
from segmif_ros.imaging.overlay import draw_overlay
from segmif_ros.labels import LabelSet
from segmif_ros.reporting.pictures import write_picture
from segmif_ros.reporting.sheet import draw_sheet

WIDTH = 320


@dataclass(frozen=True, kw_only=True, eq=False)
class SheetRow:
    """One pair: infrared (H, W), rgb and fused (H, W, 3) RGB, labels and truth (H, W), all uint8; truth or None."""

    caption: str
    infrared: Image
    rgb: Image
    fused: Image
    labels: Image
    truth: Image | None = None


class Gallery:
    """Collects rows by sheet: examples as they come, and of those offered the ``worst`` by score.

    Args:
        label_set: Of labels and truth.
        worst: Rows that a sheet of offered ones keeps.
    """

    def __init__(self, label_set: LabelSet, worst: int = 6) -> None:
        self._label_set = label_set
        self._worst = worst
        self._sheets: dict[str, list[tuple[float, int, Image]]] = {}
        self._count = 0

    def show(self, sheet: str, row: SheetRow) -> None:
        """Add an example."""
        self._count += 1
        self._sheets.setdefault(sheet, []).append((0.0, self._count, draw_row(row, self._label_set)))

    def offer(self, sheet: str, score: float, row: SheetRow) -> None:
        """Keep a row if its score is among the lowest; worst first. A score of NaN is not comparable and left out."""
        self._count += 1
        kept = self._sheets.setdefault(sheet, [])
        if np.isnan(score) or (len(kept) == self._worst and score >= kept[-1][0]):
            return
        # the count keeps images out of the comparison
        bisect.insort(kept, (score, self._count, draw_row(row, self._label_set)), key=lambda each: each[:2])
        del kept[self._worst :]

    def write(self, folder: Path) -> dict[str, Path]:
        """Write a JPEG a sheet into ``folder``, which exists; return the files by sheet."""
        files = {}
        for name, rows in self._sheets.items():
            if rows:
                files[name] = folder / f"{name}.jpg"
                sheet = np.vstack([image for _, _, image in rows])
                write_picture(files[name], sheet)
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
