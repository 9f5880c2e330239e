# SPDX-License-Identifier: Apache-2.0
"""Points aligned with the mask, by hand-computed places (see grid_scenes)."""

import numpy as np
import pytest
from grid_scenes import CAMERA, HERE, LEVEL, PERSON, SIGN, costs, frame, mapper, street

from segmif_ros.grid.drawing import draw_grid
from segmif_ros.grid.errors import GridError
from segmif_ros.grid.ground_view import OUTSIDE, GroundView, UndistortedView
from segmif_ros.grid.point_cloud import points_in_view, points_of_depth, points_of_ground
from segmif_ros.labels import FMB
from segmif_ros.rig.camera_model import CameraModel

TABLE = costs().for_names(FMB.names)
PINHOLE = UndistortedView(CAMERA, 201, 201)


def _points(labels: np.ndarray) -> np.ndarray:
    view = GroundView.of(PINHOLE.K, LEVEL, HERE)
    return points_of_ground(labels, PINHOLE, PINHOLE.rays(), view, LEVEL, TABLE)


def test_ground_lies_on_the_plane_and_what_stands_rises_over_its_foot() -> None:
    labels = street()
    labels[60:126, 90:111] = PERSON
    points = _points(labels)
    assert points[150, 100] == pytest.approx([0, 1, 2])
    foot = 100 / 26  # depth of row 126, the first road row below
    assert points[126, 100] == pytest.approx([0, 1, foot], abs=1e-4)
    assert points[60, 100] == pytest.approx([0, -0.4 * foot, foot], abs=1e-4)
    assert np.isnan(points[20, 20]).all()


def test_what_hangs_and_what_lies_beyond_the_range_has_no_point() -> None:
    labels = street()
    labels[60:90, 90:111] = SIGN
    points = _points(labels)
    assert np.isnan(points[70, 100]).all()
    assert np.isnan(points[104, 100]).all(), "25 m away"


def test_an_object_that_leaves_the_image_stands_at_the_last_row() -> None:
    labels = street()
    labels[60:, 90:111] = PERSON
    assert _points(labels)[100, 100] == pytest.approx([0, 0, 1.0])


def test_an_object_over_something_that_is_no_ground_has_no_place() -> None:
    labels = street()
    labels[60:126, 90:111] = PERSON
    labels[126:, 90:111] = SIGN
    assert np.isnan(_points(labels)[100, 100]).all()


def test_depth_becomes_points_along_the_rays() -> None:
    depth = np.full((201, 201), 2.0, np.float32)
    depth[0, 0], depth[0, 1], depth[0, 2] = 0, np.inf, np.nan
    points = points_of_depth(depth, PINHOLE.rays())
    assert points[200, 0] == pytest.approx([-2, 2, 2])
    assert np.isnan(points[0, :3]).all()
    with pytest.raises(GridError, match="the depth image is 100x50 and the labels are 201x201"):
        points_of_depth(np.zeros((50, 100), np.float32), PINHOLE.rays())


def test_a_distorted_mask_is_undistorted_before_it_is_laid_on_the_ground() -> None:
    camera = CameraModel(
        width=201, height=201, K=CAMERA.K, distortion_model="plumb_bob", D=np.array([-0.2, 0.02, 0, 0, 0])
    )
    pinhole = UndistortedView(camera, 201, 201)
    # a point 2 m ahead and 1 m to the left, as the lens shows it
    (pixel,), _ = camera.pixels([[-1.0, 1.0, 2.0]])
    u, v = np.rint(pixel).astype(int)
    labels = np.zeros((201, 201), np.uint8)
    labels[v - 1 : v + 2, u - 1 : u + 2] = PERSON
    flat, _ = pinhole.undistorted(labels, labels)
    assert flat[150, 50] == PERSON
    assert pinhole.rays()[v, u] == pytest.approx([-0.5, 0.5, 1], abs=0.01)
    wide, _ = pinhole.undistorted(np.full((201, 201), PERSON, np.uint8), labels)
    assert OUTSIDE not in wide[90:110, 90:110]


def test_labels_of_another_size_use_the_camera_scaled() -> None:
    half = UndistortedView(CAMERA, 101, 101)
    assert half.K[0, 0] == pytest.approx(100 * 101 / 201)
    with pytest.raises(GridError, match="other proportions"):
        UndistortedView(CAMERA, 201, 100)


def test_labels_and_confidence_of_two_sizes_are_refused() -> None:
    made = frame(street())
    wrong = type(made)(labels=made.labels, confidence=made.confidence[:-1], stamp_ns=0)
    with pytest.raises(GridError, match="give one size"):
        mapper().add(wrong, CAMERA, LEVEL, HERE)


@pytest.mark.parametrize("layer", ["cost", "obstacle", "classes"])
def test_a_grid_is_drawn_with_the_robot_in_the_middle_and_its_heading_up(layer: str) -> None:
    made = mapper()
    labels = street()
    labels[80:126, 90:111] = PERSON
    for k in range(4):
        made.add(frame(labels, k * 10**8), CAMERA, LEVEL, HERE)
    picture = draw_grid(made.map(), pixels=200, layer=layer, label_set=FMB, robot=(0.0, 0.0, 0.0))
    assert picture.shape == (200, 200, 3)
    unknown = picture[190, 100]
    assert (picture[5, 5] == unknown).all(), "behind the robot, and far to the left before it"
    ahead = picture[100 - 39, 100]  # 3.9 m ahead: 10 pixels a metre
    assert (ahead != unknown).any()
    if layer != "classes":
        assert ahead[0] > 100
        assert ahead[1] < 60, "blocked cells are red"


def test_points_of_a_cloud_fall_on_their_pixels_and_hidden_ones_are_left_out() -> None:
    cloud = [[0, 0, 2], [0, 0, 5], [1, 0, 2], [0, 0, -2], [9, 0, 2], [np.nan, 0, 1], [0.01, 0, 2.2]]
    found, rows, columns = points_in_view(cloud, CAMERA)
    assert found.tolist() == [6, 0, 2], "the nearest last; the one at 5 m is hidden by that at 2 m"
    assert rows.tolist() == [100, 100, 100]
    assert columns.tolist() == [100, 100, 150]
