# SPDX-License-Identifier: Apache-2.0
"""The simulated drive: images, and the poses that belong to them."""

import numpy as np
import pytest

pytest.importorskip("rclpy", reason="no ROS 2 here")

from nav_msgs.msg import Odometry
from rclpy.executors import SingleThreadedExecutor
from rclpy.node import Node

from segmif_ros.grid.poses import from_rpy
from segmif_ros.ros.simulator.config import RigConfig
from segmif_ros.ros.simulator.drive_poses import STREET_M, DriveSource, PosePublisher
from segmif_ros.ros.simulator.frames import make_source

SMALL = RigConfig(drive=True, width=64, height=48, rate_hz=10.0, drive_mps=2.0, scene_frames=5, lighting="day")


def test_each_frame_has_the_pose_that_it_was_taken_from() -> None:
    source = make_source(SMALL)
    assert isinstance(source, DriveSource)
    first, later, next_street = (source.frame(number) for number in (0, 3, 5))
    assert later.odom_from_base[0, 3] - first.odom_from_base[0, 3] == pytest.approx(0.6)
    assert next_street.odom_from_base[0, 3] == pytest.approx(STREET_M)
    assert first.labels.shape == (48, 64)


def test_camera_info_is_the_exact_camera_of_the_drive() -> None:
    source = make_source(SMALL)
    camera = source.calibration.rgb
    assert (camera.width, camera.height) == (64, 48)
    horizon = camera.K[1, 2]
    labels = source.frame(0).labels
    assert not np.isin(labels[: int(horizon)], (1, 2)).any(), "road or sidewalk over the horizon"


def test_the_poses_are_published_as_odometry(ros_context) -> None:
    node, other = Node("rig", context=ros_context), Node("other", context=ros_context)
    publisher, got = PosePublisher(node, 1.2, ("camera",)), []
    other.create_subscription(Odometry, "odom", got.append, 10)
    executor = SingleThreadedExecutor(context=ros_context)
    executor.add_node(other)
    _spin(executor, lambda: node.count_subscribers("odom"))
    publisher.publish(from_rpy([1, 2, 0], 0, 0, np.pi / 2), 5)
    _spin(executor, lambda: got)
    pose = got[0].pose.pose
    assert (got[0].header.frame_id, got[0].child_frame_id) == ("odom", "base_link")
    assert (pose.position.x, pose.position.y) == (1, 2)
    assert (pose.orientation.z, pose.orientation.w) == pytest.approx((np.sqrt(0.5), np.sqrt(0.5)))
    executor.shutdown()
    node.destroy_node()
    other.destroy_node()


def _spin(executor: SingleThreadedExecutor, until) -> None:
    for _ in range(400):
        if until():
            return
        executor.spin_once(timeout_sec=0.05)
    raise AssertionError("gave up waiting")
