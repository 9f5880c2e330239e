# SPDX-License-Identifier: Apache-2.0
"""The sheet: every picture is on it unchanged, the legend's colours are below."""

import numpy as np
import pytest

from segmif_ros.reporting.sheet import draw_sheet

GREY = np.full((30, 40), 90, np.uint8)
COLOUR = np.tile(np.uint8([200, 100, 50]), (30, 40, 1))


def _pixels(sheet: np.ndarray, colour: tuple[int, int, int]) -> int:
    return int((sheet == colour).all(axis=2).sum())


def test_pictures_stand_side_by_side_unchanged() -> None:
    sheet = draw_sheet([("infrared", GREY), ("RGB", COLOUR)])
    assert sheet.shape[1] == 40 + 6 + 40
    assert _pixels(sheet, (90, 90, 90)) == _pixels(sheet, (200, 100, 50)) == 30 * 40


def test_columns_break_the_row() -> None:
    sheet = draw_sheet([("a", GREY), ("b", GREY), ("c", COLOUR)], columns=2)
    assert sheet.shape[1] == 40 + 6 + 40
    assert _pixels(sheet, (90, 90, 90)) == 2 * 30 * 40


def test_the_legend_shows_every_colour_and_breaks_its_line() -> None:
    legend = [(f"class {i}", (10 + i, 200, 3)) for i in range(6)]
    sheet = draw_sheet([("labels", np.zeros((30, 200), np.uint8))], legend)
    assert all(_pixels(sheet, colour) > 50 for _, colour in legend)
    assert sheet.shape[1] == 200


def test_pictures_of_different_size_are_refused() -> None:
    with pytest.raises(ValueError, match=r"must have one size, not \[\(10, 40\), \(30, 40\)\]"):
        draw_sheet([("a", GREY), ("b", GREY[:10])])
