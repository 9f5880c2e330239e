# SPDX-License-Identifier: Apache-2.0
"""Depth images and clouds as drivers send them; what can't be read is refused in words."""

import numpy as np
import pytest

pytest.importorskip("rclpy", reason="no ROS 2 here")

from sensor_msgs.msg import PointCloud2, PointField
from std_msgs.msg import Header

from segmif_ros.ros.depth_input import DepthError, depth_of_image, points_of
from segmif_ros.ros.messages import image_message


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
