# SPDX-License-Identifier: Apache-2.0
"""Figures of a grid against the truth, counted by hand on a strip of cells 1 m long."""

import numpy as np
import pytest

from segmif_ros.evaluation.ground.scores import Cells, GroundScores


def _cells(cost, free, occupied, *, seen=None, obstacle=None) -> Cells:
    """A row of cells straight ahead at 1, 2, 3 and 4 m."""
    cost, n = np.array([cost], np.int8), len(cost)
    probability = np.where(cost < 0, np.nan, cost / 100) if obstacle is None else np.array([obstacle])
    return Cells(
        cost=cost,
        obstacle=probability.astype(np.float32),
        free=np.array([free], bool),
        occupied=np.array([occupied], bool),
        seen=np.ones((1, n), bool) if seen is None else np.array([seen], bool),
        range_m=np.arange(1, n + 1, dtype=np.float32)[None],
        bearing_rad=np.zeros((1, n), np.float32),
        in_view=np.ones((1, n), bool),
        cell_m=1.0,
    )


def _near(cells: Cells) -> dict:
    scores = GroundScores()
    scores.add(cells)
    return scores.figures()["bands"]["0-5 m"]


def test_a_grid_that_is_right_everywhere() -> None:
    got = _near(_cells([0, 0, 100, -1], [1, 1, 0, 1], [0, 0, 1, 0], seen=[1, 1, 1, 0]))
    assert (got["iou_free"], got["iou_occupied"], got["false_free"], got["known"]) == (1.0, 1.0, 0.0, 0.75)
    assert (got["distance_error_median_m"], got["obstacles_missed"]) == (0.0, 0.0)


def test_an_obstacle_that_is_called_free_is_a_false_free_and_missed() -> None:
    got = _near(_cells([0, 0, 0, 0], [1, 1, 0, 1], [0, 0, 1, 0]))
    assert got["false_free"] == 1.0
    assert got["wrong_of_free"] == pytest.approx(1 / 4)
    assert got["obstacles_missed"] == 1.0
    assert got["iou_free"] == pytest.approx(3 / 4)
    assert got["iou_occupied"] == 0.0


def test_an_unknown_obstacle_is_missed_but_no_false_free() -> None:
    got = _near(_cells([0, 0, -1, -1], [1, 1, 0, 1], [0, 0, 1, 0], seen=[1, 1, 1, 0]))
    assert (got["false_free"], got["obstacles_missed"]) == (0.0, 1.0)


def test_an_obstacle_a_metre_too_near_is_an_error_of_minus_one() -> None:
    got = _near(_cells([0, 100, -1, -1], [1, 1, 0, 1], [0, 0, 1, 0]))
    assert (got["distance_bias_m"], got["obstacles_missed"]) == (-1.0, 0.0)


def test_free_cells_that_were_never_in_view_are_not_missed() -> None:
    got = _near(_cells([0, -1, -1, -1], [1, 1, 1, 1], [0, 0, 0, 0], seen=[1, 0, 0, 0]))
    assert got["iou_free"] == 1.0
    assert got["false_free"] is None


def test_reliability_compares_what_was_said_with_what_was_true() -> None:
    scores = GroundScores()
    scores.add(_cells([5, 5, 95, 95], [1, 1, 0, 1], [0, 0, 1, 0], obstacle=[0.05, 0.05, 0.95, 0.95]))
    got = scores.figures()["reliability"]
    assert got["cells"][0] == got["cells"][9] == 2
    assert (got["true"][0], got["true"][9]) == (0.0, 0.5)
    assert got["expected_error"] == pytest.approx((2 * 0.05 + 2 * 0.45) / 4)
