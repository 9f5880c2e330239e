# SPDX-License-Identifier: Apache-2.0
"""Sheets: what a row holds, and which rows are kept."""

from dataclasses import replace
from pathlib import Path

import cv2
import numpy as np
import pytest

from segmif_ros.evaluation.card.sheets import WIDTH, Gallery, SheetRow, draw_row
from segmif_ros.labels import FMB
from segmif_ros.reporting.sheet import GAP_PX


def row(level: int = 0, truth: bool = False) -> SheetRow:
    grey = np.full((40, 80), level, np.uint8)
    rgb = np.dstack([grey] * 3)
    ids = np.full((40, 80), FMB.id_of("sky"), np.uint8)
    return SheetRow(caption="one", infrared=grey, rgb=rgb, fused=rgb, labels=ids, truth=ids if truth else None)


@pytest.mark.parametrize(("truth", "columns"), [(False, 4), (True, 5)])
def test_a_row_has_infrared_rgb_fused_overlay_and_the_truth_if_there_is_one(truth: bool, columns: int) -> None:
    image = draw_row(row(50, truth), FMB)
    assert image.shape[1] == columns * (WIDTH + GAP_PX) - GAP_PX
    middle = image[100, WIDTH // 2 :: WIDTH + GAP_PX]
    assert [tuple(int(v) for v in pixel) for pixel in middle[:3]] == [(50, 50, 50)] * 3
    sky = FMB.palette[FMB.id_of("sky")]
    assert np.abs(middle[3].astype(int) - (sky.astype(int) + 50) / 2).max() <= 1
    if truth:
        assert np.array_equal(middle[4], sky)


def rows_of(path: Path) -> list[int]:
    """Grey levels of the infrared image of each row."""
    sheet = cv2.imread(str(path))
    height = len(draw_row(row(), FMB))
    tops = range(0, len(sheet) - height + 1, height)  # the legend below is less high than a row
    return [round(float(sheet[top + height // 2, 20:300].mean())) for top in tops]


def test_of_the_offered_rows_the_worst_are_kept_worst_first(tmp_path: Path) -> None:
    gallery = Gallery(FMB, worst=2)
    for score, level in ((0.5, 50), (0.9, 90), (0.1, 10), (float("nan"), 200), (0.3, 30)):
        gallery.offer("bad", score, row(level))
    assert rows_of(gallery.write(tmp_path)["bad"]) == pytest.approx([10, 30], abs=2)


def test_examples_stay_in_the_order_they_came(tmp_path: Path) -> None:
    gallery = Gallery(FMB, worst=1)
    for level in (90, 10, 50):
        gallery.show("all", row(level))
    assert rows_of(gallery.write(tmp_path)["all"]) == pytest.approx([90, 10, 50], abs=2)


def test_equal_scores_are_no_problem(tmp_path: Path) -> None:
    gallery = Gallery(FMB, worst=3)
    for level in (1, 2, 3, 4):
        gallery.offer("equal", 0.5, row(10 * level))
    assert rows_of(gallery.write(tmp_path)["equal"]) == pytest.approx([10, 20, 30], abs=2)


def test_a_sheet_ends_with_the_colours_of_the_classes_that_its_rows_show(tmp_path: Path) -> None:
    gallery = Gallery(FMB)
    ids = {name: FMB.id_of(name) for name in ("sky", "person", "car")}
    labels = np.full((40, 80), ids["sky"], np.uint8)
    labels[20:, 40:] = ids["person"]
    for each in (row(10), replace(row(10), labels=labels)):
        gallery.show("all", each)
    sheet = cv2.imread(str(gallery.write(tmp_path)["all"]))[2 * len(draw_row(row(), FMB)) :, :, ::-1].astype(int)
    there = {name: bool((abs(sheet - FMB.palette[i]).max(2) < 30).any()) for name, i in ids.items()}
    assert there == {"sky": True, "person": True, "car": False}
