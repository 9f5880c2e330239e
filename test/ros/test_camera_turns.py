# SPDX-License-Identifier: Apache-2.0
"""How the camera turned, from odometry and tf as robots publish them."""

import numpy as np
import pytest
from fake_node import FakeNode

pytest.importorskip("rclpy", reason="no ROS 2 here")
pytest.importorskip("nav_msgs", reason="nav_msgs is not installed")

from geometry_msgs.msg import TransformStamped
from nav_msgs.msg import Odometry

from segmif_ros.grid.poses import camera_pose, from_rpy, quaternion
from segmif_ros.ros.camera_turns import CameraTurns
from segmif_ros.ros.pose_inputs import tf_message_type

pytestmark = pytest.mark.skipif(tf_message_type()[0] is None, reason=f"no tf: {tf_message_type()[1]}")

MS = 1_000_000
SHAPE = (120, 160)
INTRINSICS = np.array([[100.0, 0, 79.5], [0, 100.0, 59.5], [0, 0, 1]])
MOUNT = camera_pose(1.0, 10.0)  # looks 10 degrees down


def fill(message, matrix) -> None:
    position = getattr(message, "translation", None) or message.position
    position.x, position.y, position.z = (float(each) for each in matrix[:3, 3])
    turn = getattr(message, "rotation", None) or message.orientation
    turn.x, turn.y, turn.z, turn.w = quaternion(matrix)


def transform(parent, child, matrix, stamp_ms=0):
    made = TransformStamped()
    made.header.frame_id, made.child_frame_id = parent, child
    made.header.stamp.nanosec = stamp_ms * MS
    fill(made.transform, matrix)
    kind, why = tf_message_type()
    assert kind is not None, why
    return kind(transforms=[made])


def odometry(stamp_ms, yaw, x_m=0.0):
    made = Odometry()
    made.header.frame_id, made.child_frame_id = "odom", "base_link"
    made.header.stamp.nanosec = stamp_ms * MS
    fill(made.pose.pose, from_rpy([x_m, 0, 0], 0, 0, yaw))
    return made


class Robot:
    """A node with the turns of its camera."""

    def __init__(self, source="topic", intrinsics=INTRINSICS) -> None:
        self.node, self.said = FakeNode(), []
        self.turns = CameraTurns(
            self.node,
            source,
            "odom",
            camera=lambda _size: None if intrinsics is None else (intrinsics, "camera"),
            say=self.said.append,
        )
        self.node.topics["/tf_static"](transform("base_link", "camera", MOUNT))

    def between(self):
        return self.turns.between(0, 100 * MS, SHAPE)


def moved(homography, x, y):
    found = homography @ [x, y, 1.0]
    return found[:2] / found[2]


def test_a_turn_to_the_left_brings_pixels_from_further_left() -> None:
    robot = Robot()
    for stamp_ms, yaw in ((0, 0.0), (50, 0.05), (100, 0.1)):
        robot.node.topics["odom"](odometry(stamp_ms, yaw, x_m=yaw))
    # what is straight ahead now, on the horizon, was 0.1 rad further left of the middle before
    horizon = 59.5 - 100 * np.tan(np.radians(10.0))
    x, y = moved(robot.between(), 79.5, horizon)
    assert x == pytest.approx(79.5 - 100 * np.tan(0.1) / np.cos(np.radians(10.0)), abs=0.3)
    assert y == pytest.approx(horizon, abs=0.3)
    assert robot.said == []


def test_tf_tells_the_same_as_the_topic() -> None:
    by_topic, by_tf = Robot(), Robot("tf")
    for stamp_ms, yaw in ((0, 0.0), (100, 0.1)):
        by_topic.node.topics["odom"](odometry(stamp_ms, yaw))
        by_tf.node.topics["/tf"](transform("odom", "base_link", from_rpy([0, 0, 0], 0, 0, yaw), stamp_ms))
    assert "odom" not in by_tf.node.topics
    np.testing.assert_allclose(by_tf.between(), by_topic.between(), atol=1e-9)


def test_a_way_without_a_turn_moves_nothing() -> None:
    robot = Robot()
    robot.node.topics["odom"](odometry(0, 0.0))
    robot.node.topics["odom"](odometry(100, 0.0, x_m=3.0))
    np.testing.assert_allclose(robot.between(), np.eye(3), atol=1e-12)


def test_what_is_missing_is_said_and_the_flow_goes_on_alone() -> None:
    robot = Robot()
    assert robot.between() is None
    assert "optical flow alone" in robot.said[-1]
    assert "odom" in robot.said[-1]
    assert Robot(intrinsics=None).between() is None


def test_it_ends_its_subscriptions() -> None:
    robot = Robot()
    robot.turns.close()
    assert robot.node.topics == {}
