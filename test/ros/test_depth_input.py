# SPDX-License-Identifier: Apache-2.0
"""Depth images and clouds as drivers send them; what can't be read is refused in words."""

import numpy as np
import pytest
from fake_node import FakeNode

pytest.importorskip("rclpy", reason="no ROS 2 here")

from sensor_msgs.msg import CameraInfo, PointCloud2, PointField
from std_msgs.msg import Header

from segmif_ros.grid.errors import GridError
from segmif_ros.rig.camera_model import CameraModel
from segmif_ros.ros import depth_place, depth_pose
from segmif_ros.ros.camera_infos import info_of
from segmif_ros.ros.depth_input import DepthError, DepthInput, depth_of_image, points_of
from segmif_ros.ros.depth_place import DepthPlace
from segmif_ros.ros.messages import image_message
from segmif_ros.ros.qos import profile

CAMERA = CameraModel(width=16, height=12, K=np.array([[16.0, 0, 7.5], [0, 16.0, 5.5], [0, 0, 1]]))
# the depth sensor sits half a metre to the right and looks the same way
BESIDE = "0.5 0 0 0 0 0 1"


class Table:
    """A depth input, what it took and what it said."""

    def __init__(self, source, pose, rgb_frame="rgb") -> None:
        self.node, self.taken, self.said = FakeNode(), [], []
        self.place = DepthPlace(self.node, pose, lambda: rgb_frame)
        self.input = DepthInput(
            self.node,
            source,
            self.place,
            profile("best_effort", 1),
            camera=lambda: CAMERA,
            take=lambda _stamp, depth_m: self.taken.append(depth_m),
            say=lambda _kind, line: self.said.append(line),
        )


def cloud(points, *, names="xyz", extra=4) -> PointCloud2:
    step = 4 * len(names) + extra
    raw = np.zeros((len(points), step), np.uint8)
    raw[:, : 4 * len(names)] = np.asarray(points, "<f4").view(np.uint8).reshape(len(points), -1)
    fields = [PointField(name=n, offset=4 * k, datatype=PointField.FLOAT32, count=1) for k, n in enumerate(names)]
    return PointCloud2(height=1, width=len(points), fields=fields, point_step=step, row_step=step * len(points),
                       data=raw.tobytes())  # fmt: skip


def test_metres_and_millimetres_are_told_apart_by_the_encoding() -> None:
    metres = np.array([[1.5, np.inf]], np.float32)
    np.testing.assert_array_equal(depth_of_image(image_message(metres, "32FC1", Header())), metres)
    millimetres = np.array([[1500, 0]], np.uint16)
    np.testing.assert_allclose(depth_of_image(image_message(millimetres, "16UC1", Header())), [[1.5, 0]])


def test_another_encoding_is_refused() -> None:
    with pytest.raises(DepthError, match="mono8: 32FC1"):
        depth_of_image(image_message(np.zeros((2, 2), np.uint8), "mono8", Header()))


def test_points_are_read_whatever_else_a_point_holds() -> None:
    np.testing.assert_array_equal(points_of(cloud([[1, 2, 3], [4, 5, 6]], extra=20)), [[1, 2, 3], [4, 5, 6]])


def test_a_cloud_without_z_and_one_cut_short_are_refused() -> None:
    with pytest.raises(DepthError, match="no float32 field z"):
        points_of(cloud([[1, 2]], names="xy"))
    short = cloud([[1, 2, 3]])
    short.data = short.data[:6]
    with pytest.raises(DepthError, match="don't hold 1 points"):
        points_of(short)


def test_a_cloud_of_a_sensor_beside_the_camera_is_seen_from_the_camera() -> None:
    table = Table("points", BESIDE)
    table.node.topics["depth/points"](cloud([[-0.5, 0.0, 2.0]] * 200))
    (depth_m,) = table.taken
    v, u = np.nonzero(depth_m)
    assert depth_m[v[0], u[0]] == 2.0
    assert u[0] == pytest.approx(0.5 * depth_m.shape[1], abs=1)


def test_a_depth_image_of_another_camera_waits_for_its_camera_info() -> None:
    table = Table("image", BESIDE)
    image = image_message(np.full((12, 16), 2.0, np.float32), "32FC1", Header(frame_id="depth"))
    table.node.topics["depth/image"](image)
    assert not table.taken
    assert "depth/camera_info hasn't come" in table.said[0]
    table.node.topics["depth/camera_info"](info_of(CAMERA))
    table.node.topics["depth/image"](image)
    (depth_m,) = table.taken
    known = depth_m > 0
    assert np.all(depth_m[known] == 2.0)
    # half a metre at 2 m is a quarter of the focal length: 4 of 16 columns on the left see none of it
    assert not known[:, 0].any()
    assert known[:, -1].any()


def test_a_camera_that_is_not_calibrated_is_named() -> None:
    table = Table("image", BESIDE)
    table.node.topics["depth/camera_info"](CameraInfo(width=16, height=12))
    table.node.topics["depth/image"](image_message(np.ones((12, 16), np.float32), "32FC1", Header()))
    assert "depth/camera_info can't be used" in table.said[0]


def test_a_wrong_pose_that_puts_all_points_out_of_view_is_said() -> None:
    table = Table("points", "0 0 0 0 1 0 0")  # half a turn: it would look backwards
    table.node.topics["depth/points"](cloud([[0.0, 0.0, 2.0]]))
    assert not table.taken
    assert "none of the 1 points" in table.said[0]


def test_tf_tells_where_the_sensor_is(monkeypatch) -> None:
    class Poses:
        def __init__(self, _node, buffer, **_options) -> None:
            self.buffer, self.closed = buffer, False

        def problems(self) -> list:
            return []

        def close(self) -> None:
            self.closed = True

    monkeypatch.setattr(depth_place, "PoseInputs", Poses)
    table = Table("points", "tf")
    given = cloud([[-0.5, 0.0, 2.0]] * 200)
    given.header.frame_id = "lidar"
    table.node.topics["depth/points"](given)
    assert "no tf of frame 'rgb'" in table.said[0]
    table.place._tf.buffer.put("rgb", "lidar", 0, depth_pose.parse_depth_pose(BESIDE), fixed=True)
    table.node.topics["depth/points"](given)
    assert (table.taken[0] > 0).sum() == 1
    table.input.close()
    assert table.place._tf.closed
    assert not table.node.topics


def test_without_a_frame_id_of_the_rgb_camera_tf_says_what_is_missing(monkeypatch) -> None:
    monkeypatch.setattr(depth_place.PoseInputs, "problems", lambda _self: [])
    place = DepthPlace(FakeNode(), "tf", lambda: "")
    with pytest.raises(GridError, match="rgb/camera_info gives no frame_id"):
        place.rgb_from("lidar", 0)


@pytest.mark.parametrize("text", ["", "1 2 3", "0 0 0 0 0 0 0", "0 0 0 a b c d", "nan 0 0 0 0 0 1"])
def test_a_pose_that_is_none_is_refused_with_the_parameters_name(text) -> None:
    with pytest.raises(ValueError, match="parameter 'depth_pose'"):
        depth_pose.parse_depth_pose(text)
