# SPDX-License-Identifier: Apache-2.0
"""The memory of the ground: it gathers, forgets, and moves with the robot."""

import numpy as np
import pytest
from grid_scenes import (
    CAMERA,
    CONFIG,
    HERE,
    LEVEL,
    PERSON,
    ROAD,
    SECOND_NS,
    SKY,
    cost_at,
    costs,
    frame,
    mapper,
    seen,
    street,
)
from hypothesis import given, settings
from hypothesis import strategies as st

from segmif_ros.grid.config import GridConfig
from segmif_ros.grid.errors import GridError
from segmif_ros.grid.evidence import Evidence, log_odds_table
from segmif_ros.grid.poses import from_rpy
from segmif_ros.grid.rolling import UNKNOWN, RollingGrid
from segmif_ros.labels import FMB

NOWHERE = np.full((201, 201), SKY, np.uint8)


def _grid() -> RollingGrid:
    return RollingGrid(GridConfig(size_m=4, cell_m=1), costs().for_names(FMB.names))


def _one(cell: int, class_id: int, log_odds: float) -> Evidence:
    return Evidence(
        cells=np.array([cell]), classes=np.array([class_id], np.uint8), log_odds=np.array([log_odds], np.float32)
    )


def test_the_probability_of_one_observation_is_the_hand_computed_one() -> None:
    grid = _grid()
    grid.centre_on(0, 0)
    grid.add(_one(5, ROAD, np.log(16)), 0)
    # prior: half over road and sidewalk, half over the 13 others; road becomes 16 times likelier
    total = 0.25 * 16 + 0.25 + 0.5
    got = grid.map()
    assert got.confidence[1, 1] == round(100 * 4.0 / total)
    assert got.obstacle[1, 1] == pytest.approx(0.5 * 12 / 13 / total)  # the sky is no obstacle
    assert (got.cost == UNKNOWN).sum() == 15


def test_a_cell_of_which_too_little_was_seen_to_call_it_free_is_unknown() -> None:
    grid = _grid()
    grid.centre_on(0, 0)
    grid.add(_one(5, ROAD, 1.5), 0)  # 0.25 * e^1.5 = 1.12 against 0.25 + 0.5: an obstacle has 0.27, likely is 0.15
    assert (grid.map().cost == UNKNOWN).all()


def test_what_something_movable_hides_is_not_free_any_more() -> None:
    made = seen(street())
    labels = street()
    labels[80:126, 90:111] = PERSON
    made.add(frame(labels, 2 * SECOND_NS), CAMERA, LEVEL, HERE)
    grid = made.map()
    assert cost_at(grid, 5.5, 0.0) == UNKNOWN
    assert cost_at(grid, 3.92, 0.0) == 100, "one frame is enough to block what was free"


def test_confidence_becomes_log_odds_of_one_class_against_another() -> None:
    table = log_odds_table(15, 0.5)
    assert table[204] == pytest.approx(0.5 * np.log(0.8 * 14 / 0.2))
    assert table[255] < 0.5 * np.log(1000), "nothing is certain"
    assert table[0] == 0


def test_a_few_frames_of_a_person_outweigh_a_long_memory_of_road() -> None:
    grid = _grid()
    grid.centre_on(0, 0)
    for _ in range(100):
        grid.add(_one(5, ROAD, 1.0), 0)
    assert grid.map().cost[1, 1] < 10
    for _ in range(8):
        grid.add(_one(5, PERSON, 1.0), 0)
    assert grid.map().cost[1, 1] == 100


def test_a_likely_person_makes_a_cell_lethal_though_road_is_likelier() -> None:
    grid = _grid()
    grid.centre_on(0, 0)
    grid.add(_one(5, ROAD, 5.0), 0)
    grid.add(_one(5, PERSON, 4.0), 0)
    got = grid.map()
    assert got.classes[1, 1] == ROAD
    assert got.cost[1, 1] == 100


def test_what_is_not_seen_any_more_becomes_unknown_and_movable_classes_sooner() -> None:
    labels = street()
    labels[80:126, 90:111] = PERSON
    made = seen(labels)
    made.add(frame(NOWHERE, 6 * SECOND_NS), CAMERA, LEVEL, HERE)
    later = made.map()
    assert cost_at(later, 3.92, 0.0) == UNKNOWN, "a person, 5 s ago"
    assert 0 <= cost_at(later, 3.1, 0.1) <= 30, "road, 5 s ago"
    made.add(frame(NOWHERE, 200 * SECOND_NS), CAMERA, LEVEL, HERE)
    assert (made.map().cost == UNKNOWN).all()


def test_the_grid_follows_the_robot_and_what_enters_it_is_unknown() -> None:
    made = seen(street())
    made.add(frame(NOWHERE, 2 * SECOND_NS), CAMERA, LEVEL, from_rpy([3.0, 0, 0], 0, 0, 0))
    grid = made.map()
    assert grid.square.x_m == pytest.approx(-7.0)
    assert 0 <= cost_at(grid, 5.1, 0.1) <= 20, "seen before, at the same place of the odometry frame"
    assert cost_at(grid, 11.1, 0.1) == UNKNOWN


def test_a_jump_of_the_odometry_farther_than_the_grid_forgets_everything() -> None:
    made = seen(street())
    made.add(frame(NOWHERE, 2 * SECOND_NS), CAMERA, LEVEL, from_rpy([500.0, 0, 0], 0, 0, 0))
    assert (made.map().cost == UNKNOWN).all()


def test_clearing_forgets_everything() -> None:
    made = seen(street())
    made.clear()
    assert (made.map().cost == UNKNOWN).all()


def test_a_stamp_from_before_lets_no_time_pass() -> None:
    made = seen(street())
    before = made.map().cost.copy()
    made.add(frame(NOWHERE, 0), CAMERA, LEVEL, HERE)
    assert np.array_equal(made.map().cost, before)


@settings(max_examples=30, deadline=None)
@given(
    moves=st.lists(st.tuples(st.floats(-30, 30), st.floats(-30, 30)), min_size=1, max_size=5),
    classes=st.lists(st.sampled_from([ROAD, PERSON, SKY]), min_size=1, max_size=5),
)
def test_no_cell_is_known_that_got_no_evidence(moves, classes) -> None:
    grid = _grid()
    told = set()
    for (x, y), class_id in zip(moves, classes, strict=False):
        grid.centre_on(x, y)
        grid.add(_one(6, class_id, 3.0), 0)
        cx, cy = grid.square.centres()
        told.add((round(float(cx[2]), 3), round(float(cy[1]), 3)))
    got = grid.map()
    cx, cy = got.square.centres()
    known = {(round(float(cx[i]), 3), round(float(cy[j]), 3)) for j, i in np.argwhere(got.cost != UNKNOWN)}
    assert known <= told


@pytest.mark.parametrize(
    ("field", "value"), [("size_m", 0), ("cell_m", -1), ("gain", 2), ("memory_s", 0), ("cell_m", 0.0001)]
)
def test_settings_that_make_no_grid_are_refused(field: str, value: float) -> None:
    with pytest.raises(GridError):
        GridConfig(**{field: value})


def test_memory_stays_flat() -> None:
    made = mapper(CONFIG)
    sizes = set()
    for k in range(30):
        made.add(frame(street(), k * SECOND_NS // 10), CAMERA, LEVEL, from_rpy([0.5 * k, 0, 0], 0, 0, 0))
        sizes.add(made._grid._odds.nbytes)
    assert len(sizes) == 1
