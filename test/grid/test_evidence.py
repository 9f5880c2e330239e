# SPDX-License-Identifier: Apache-2.0
"""What a label map says about the ground, by points computed by hand (see grid_scenes)."""

import numpy as np
import pytest
from grid_scenes import (
    CAMERA,
    CONFIG,
    COSTS_FILE,
    HERE,
    LEVEL,
    PERSON,
    ROAD,
    SECOND_NS,
    SIGN,
    SKY,
    TRUCK,
    VEGETATION,
    cost_at,
    costs,
    frame,
    mapper,
    seen,
    street,
)

from segmif_ros.grid.config import GridConfig
from segmif_ros.grid.costs import cost_table
from segmif_ros.grid.errors import GridError
from segmif_ros.grid.evidence import evidence_of_points
from segmif_ros.grid.ground_view import GroundView
from segmif_ros.grid.mapper import GroundMapper
from segmif_ros.grid.masks import feet, split_ground
from segmif_ros.grid.poses import camera_pose, from_rpy
from segmif_ros.grid.rolling import UNKNOWN
from segmif_ros.labels import FMB
from segmif_ros.yaml_file import read_yaml


def test_road_that_was_seen_is_free_and_what_was_not_seen_is_unknown() -> None:
    grid = seen(street()).map()
    assert 0 <= cost_at(grid, 3.1, 0.1) <= 10
    assert 0 <= cost_at(grid, 5.1, 2.1) <= 10
    assert cost_at(grid, -1.1, 0.1) == UNKNOWN, "behind the camera"
    assert cost_at(grid, 0.5, 0.1) == UNKNOWN, "nearer than the last row, which lies at 1 m"
    assert cost_at(grid, 2.1, 3.1) == UNKNOWN, "left of the image: it would be column 100 - 148"
    assert cost_at(grid, 9.5, 0.1) == UNKNOWN, "beyond max_range_m"


def test_an_empty_grid_is_unknown_everywhere() -> None:
    assert (mapper().map().cost == UNKNOWN).all()


def test_a_camera_that_sees_no_ground_leaves_every_cell_unknown() -> None:
    for class_id in (SKY, PERSON, FMB.id_of("building")):
        grid = seen(np.full((201, 201), class_id, np.uint8)).map()
        assert not ((grid.cost >= 0) & (grid.cost < 50)).any()
    assert (seen(np.full((201, 201), SKY, np.uint8)).map().cost == UNKNOWN).all()


def test_an_object_stands_where_its_foot_meets_the_ground_and_hides_what_is_behind() -> None:
    labels = street()
    labels[80:126, 90:111] = PERSON  # the foot at row 125.5: 100 / 25.5 = 3.92 m; it hides rows 101 to 125
    grid = seen(labels).map()
    assert cost_at(grid, 3.92, 0.0) == 100
    assert 0 <= cost_at(grid, 3.3, 0.0) <= 10, "before it"
    for hidden in (4.7, 5.5, 7.1):
        assert cost_at(grid, hidden, 0.0) == UNKNOWN
    assert 0 <= cost_at(grid, 4.7, 1.3) <= 10, "beside it: column 100 - 100 * 1.3 / 4.7 = 72"


def test_an_object_that_leaves_the_image_below_stands_at_the_last_row() -> None:
    labels = street()
    labels[80:, 90:111] = PERSON
    grid = seen(labels).map()
    assert cost_at(grid, 0.995, 0.05) == 100
    assert cost_at(grid, 3.1, 0.1) == UNKNOWN


def test_below_something_movable_that_leaves_the_image_nothing_stays_free() -> None:
    made = mapper()
    for k in range(5):  # drives on from there, so that what lies nearer than the last row is known
        made.add(frame(street(), SECOND_NS + k * SECOND_NS // 10), CAMERA, LEVEL, HERE)
    there = from_rpy([0.8, 0, 0], 0, 0, 0)
    assert 0 <= cost_at(made.map(), 1.3, 0.1) <= 10
    labels = street()
    labels[80:, 75:126] = PERSON
    made.add(frame(labels, 2 * SECOND_NS), CAMERA, LEVEL, there)
    assert cost_at(made.map(), 1.3, 0.05) == UNKNOWN, (
        "0.5 m before the camera, below the image: the person may be there"
    )
    assert 0 <= cost_at(made.map(), 1.3, 0.3) <= 10, "beside the person: column 100 - 60 = 40"


def lorry_at_the_left_side() -> np.ndarray:
    """Its right wheel stands at row 125 (4 m); its body's edge comes down to the image's left side, 0.6 m up."""
    labels = street()
    for u in range(101):
        labels[60 : round(150 - 0.32 * u), u] = TRUCK
    labels[60:126, 90:101] = TRUCK
    return labels


def test_ground_below_the_body_of_what_the_image_cuts_off_at_its_side_is_unknown() -> None:
    content = read_yaml(COSTS_FILE)
    content["classes"]["truck"]["overhang_m"] = 0
    cut, whole = (GroundMapper(CONFIG, cost_table(content), FMB.names) for _ in range(2))
    moved = np.roll(lorry_at_the_left_side(), 5, axis=1)
    moved[:, :5] = street()[:, :5]
    for k in range(5):
        cut.add(frame(lorry_at_the_left_side(), SECOND_NS + k * SECOND_NS // 10), CAMERA, LEVEL, HERE)
        whole.add(frame(moved, SECOND_NS + k * SECOND_NS // 10), CAMERA, LEVEL, HERE)
    # column 10 shows the body's edge at row 147; a wheel at the side would be at row 100 + 50 / (1 - 0.6) = 225
    for row in (155, 165, 175):
        x = 100 / (row - 100)
        assert cost_at(cut.map(), x, 0.9 * x) == UNKNOWN, f"column 10, row {row}"
        assert 0 <= cost_at(whole.map(), x, 0.9 * x) <= 10, "all of it shows: no wheel stands outside"
    assert 0 <= cost_at(cut.map(), 2.1, -0.3) <= 10, "on the other side of its wheel"


def test_a_lower_object_does_not_hide_the_ground_that_is_seen_over_it() -> None:
    labels = street()
    labels[140:151, 80:121] = PERSON  # from row 140 (2.5 m) to 150 (2 m)
    grid = seen(labels).map()
    assert cost_at(grid, 1.98, 0.1) == 100
    assert cost_at(grid, 2.3, 0.1) == UNKNOWN
    assert 0 <= cost_at(grid, 3.1, 0.1) <= 10


def test_a_sign_in_the_air_is_no_obstacle_and_makes_nothing_free() -> None:
    labels = street()
    labels[60:126, 90:111] = SIGN
    grid = seen(labels).map()
    assert cost_at(grid, 4.3, 0.0) == UNKNOWN
    assert cost_at(grid, 4.7, 0.0) == UNKNOWN


def test_a_speck_of_another_class_is_no_obstacle() -> None:
    labels = street()
    labels[150, 100] = PERSON
    assert seen(labels).map().cost.max() <= 10


def test_grass_lies_and_a_tree_stands() -> None:
    labels = street()
    labels[110:121, :60] = VEGETATION  # grass from 5 to 10 m, road behind it
    labels[60:126, 140:170] = VEGETATION  # a tree before the sky
    grid = seen(labels).map()
    assert cost_at(grid, 6.1, 3.7) >= 50, "column 100 - 100 * 3.7 / 6.1 = 39"
    assert cost_at(grid, 3.92, -2.1) >= 50, "column 153"
    assert cost_at(grid, 5.5, -3.1) == UNKNOWN, "behind the tree: column 156"


def test_ground_that_the_network_is_unsure_of_stays_unknown() -> None:
    made = mapper()
    for k in range(20):
        made.add(frame(street(), k, confidence=100), CAMERA, LEVEL, HERE)
    assert (made.map().cost == UNKNOWN).all()


def test_within_the_error_of_the_pitch_no_ground_is_called_seen() -> None:
    labels = street()
    labels[80:126, 90:111] = PERSON
    view = GroundView.of(CAMERA.K, LEVEL, HERE)
    exact, doubtful = (
        GridConfig(size_m=20, cell_m=0.2, max_range_m=9, pitch_error_deg=degrees) for degrees in (0.0, 2.0)
    )
    free_before = [
        sorted(x for x in np.arange(1.1, 9, 0.2) if 0 <= cost_at(seen(labels, config=config).map(), x, 0.0) < 50)[-1]
        for config in (exact, doubtful)
    ]
    assert free_before[1] < free_before[0] < 3.92
    assert view.radial_error_m(16.0, np.radians(2.0)) > 10 * view.radial_error_m(1.0, 0.0)


def test_the_error_along_the_ray_is_the_hand_computed_one() -> None:
    view = GroundView.of(CAMERA.K, LEVEL, HERE)
    # (r^2 + h^2) / h * half a pixel = (16 + 1) / 1 * 0.005
    assert view.radial_error_m(16.0, 0.0) == pytest.approx(0.085)


def test_a_pitched_camera_sees_the_ground_where_geometry_says() -> None:
    # 45 degrees down from 1 m: the axis meets the ground at 1 m
    view = GroundView.of(CAMERA.K, camera_pose(1.0, 45.0), HERE)
    points, meets = view.on_ground([[100, 100], [100, 0]])
    assert points[0] == pytest.approx([1.0, 0.0])
    assert not meets[1], "row 0 looks along the horizon"
    pixels, depth = view.project([[1.0, 0.5]])
    assert depth[0] == pytest.approx(np.sqrt(2))
    assert pixels[0] == pytest.approx([100 - 100 * 0.5 / np.sqrt(2), 100])


def test_position_and_heading_of_the_robot_move_the_ground() -> None:
    # at (10, 5), heading along +y: what is 4 m ahead and 1 m to the left lies at (9, 9)
    view = GroundView.of(CAMERA.K, LEVEL, from_rpy([10, 5, 0], 0, 0, np.pi / 2))
    points, _ = view.on_ground([[75, 125]])
    assert points[0] == pytest.approx([9.0, 9.0])
    assert view.at == pytest.approx([10, 5])


@pytest.mark.parametrize(
    ("pose", "odom", "words"),
    [
        (np.diag([1.0, 1, 1, 1]), HERE, "over the ground plane"),
        (LEVEL, from_rpy([0, 0, 0], np.pi, 0, 0), "leans too far"),
    ],
)
def test_a_plane_that_no_camera_can_stand_over_is_refused_in_one_line(pose, odom, words) -> None:
    with pytest.raises(GridError, match=words):
        GroundView.of(CAMERA.K, pose, odom)


def test_a_camera_upside_down_is_refused() -> None:
    with pytest.raises(GridError, match="upside down"):
        mapper().add(frame(street()), CAMERA, camera_pose(1.0, 0.0, 180.0), HERE)


@pytest.mark.parametrize("height", [0.0, -1.0, float("nan")])
def test_a_camera_height_that_is_not_over_zero_is_refused(height: float) -> None:
    with pytest.raises(GridError, match="camera_height_m"):
        camera_pose(height, 0.0)


def test_feet_are_the_lowest_rows_of_objects_over_ground() -> None:
    labels = street()
    labels[80:126, 90] = PERSON
    masks = split_ground(labels, GroundView.of(CAMERA.K, LEVEL, HERE), costs().for_names(FMB.names))
    found = feet(masks, 2)
    assert [(u, v + masks.first_row) for u, v in found.tolist()] == [(90, 125)]


def _points(points, classes, config: GridConfig = CONFIG):
    table = costs().for_names(FMB.names)
    square = mapper().map().square
    return square, evidence_of_points(
        np.array(points, np.float32),
        np.array(classes, np.uint8),
        np.full(len(points), 240, np.uint8),
        square=square,
        table=table,
        config=config,
        at=(0.0, 0.0),
    )


def test_points_with_classes_are_ground_obstacles_or_nothing() -> None:
    square, found = _points(
        [[3.1, 0.1, 0.0], [4.1, 0.1, 1.0], [5.1, 0.1, 2.5], [6.1, 0.1, 0.6], [np.nan, 0, 0]],
        [ROAD, PERSON, PERSON, ROAD, ROAD],
    )
    at = {float(x): int(square.flat_index(np.array([x]), np.array([0.1]))[0]) for x in (3.1, 4.1, 5.1, 6.1)}
    assert dict(zip(found.cells.tolist(), found.classes.tolist(), strict=True)) == {at[3.1]: ROAD, at[4.1]: PERSON}


def test_an_obstacle_point_goes_before_ground_in_the_same_cell() -> None:
    _, found = _points([[3.1, 0.1, 0.0], [3.11, 0.1, 0.5]], [ROAD, PERSON])
    assert found.classes.tolist() == [PERSON]


def test_ground_that_shows_between_the_wheels_of_a_car_belongs_to_the_car() -> None:
    car = FMB.id_of("car")
    labels = street()
    labels[90:141, 70:131] = car  # its body ends at row 140
    labels[141:151, 70:80] = labels[141:151, 121:131] = car  # its wheels stand at row 150: 2 m
    masks = split_ground(labels, GroundView.of(CAMERA.K, LEVEL, HERE), costs().for_names(FMB.names))
    assert (masks.labels[145 - masks.first_row, 70:131] == car).all(), "10 rows at 2 m are 0.2 m high"
    grid = seen(labels).map()
    assert cost_at(grid, 1.98, 0.0) == 100
    assert not 0 <= cost_at(grid, 2.3, 0.0) < 50


def test_a_gap_that_one_can_pass_through_stays_ground() -> None:
    building = FMB.id_of("building")
    labels = street()
    labels[90:104, 60:141] = building  # an arch: 25 m away
    labels[104:151, 60:65] = labels[104:151, 136:141] = building  # its posts stand at 2 m
    masks = split_ground(labels, GroundView.of(CAMERA.K, LEVEL, HERE), costs().for_names(FMB.names))
    assert (masks.labels[140 - masks.first_row, 70:131] == ROAD).all()


def test_a_car_reaches_beyond_its_wheels_by_its_overhang() -> None:
    labels = street()
    labels[90:126, 80:121] = FMB.id_of("car")  # touches the ground at 3.92 m; its bumper may be 0.9 m nearer
    grid = seen(labels).map()
    assert cost_at(grid, 3.1, 0.0) == 100
    assert 0 <= cost_at(grid, 2.7, 0.0) <= 10
