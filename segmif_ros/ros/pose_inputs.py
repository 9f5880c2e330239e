# SPDX-License-Identifier: Apache-2.0
"""Where the robot is: /tf, /tf_static and odometry, gathered in one buffer.

tf2_ros's listener isn't on the package index and needs a thread of its own; a grid needs two lookups a frame. So the
topics are read here. Nor is there a wheel of tf2_msgs: pip builds the type of /tf itself, from its one line, and it is
used where no tf2_msgs is installed. Where that wasn't built either there is no tf: `PoseInputs.problems` reports it.
"""

from __future__ import annotations

from typing import Any

from nav_msgs.msg import Odometry
from rclpy.lifecycle import LifecycleNode
from rclpy.qos import QoSDurabilityPolicy, QoSProfile, QoSReliabilityPolicy

from segmif_ros.grid.errors import GridError
from segmif_ros.grid.poses import TransformBuffer
from segmif_ros.ros.grid_messages import pose_of, pose_of_transform
from segmif_ros.ros.messages import stamp_ns
from segmif_ros.ros.problems import Problem
from segmif_ros.ros.qos import SUBSCRIPTION_EVENTS, overridable, profile
from segmif_ros.ros.stand_ins import make_importable

TF_QOS = QoSProfile(depth=100, reliability=QoSReliabilityPolicy.RELIABLE)
TF_STATIC_QOS = QoSProfile(
    depth=100, reliability=QoSReliabilityPolicy.RELIABLE, durability=QoSDurabilityPolicy.TRANSIENT_LOCAL
)


def tf_message_type() -> tuple[Any, str]:
    """Return tf2_msgs/TFMessage and "", or None and why there is none."""
    make_importable("tf2_msgs")
    try:
        from tf2_msgs.msg import TFMessage
    except ImportError as error:
        return None, (
            f"tf2_msgs is not installed ({error}), so there is no tf: apt install ros-$ROS_DISTRO-tf2-msgs brings it, "
            "or with a C compiler SEGMIF_ROS_MSGS=1 pip install --force-reinstall --no-deps segmif_ros"
        )
    return TFMessage, ""


class PoseInputs:
    """The subscriptions.

    Args:
        node: Subscribes.
        buffer: Takes what comes.
        use_tf: Whether to read tf.
        use_odometry: Whether to read the topic odom.
        base_frame: What an odometry message without child_frame_id is about.

    Attributes:
        received: Messages so far.
    """

    def __init__(
        self, node: LifecycleNode, buffer: TransformBuffer, *, use_tf: bool, use_odometry: bool, base_frame: str
    ) -> None:
        self._node, self._buffer, self._base_frame = node, buffer, base_frame
        self._why = ""
        self._refused: dict[str, str] = {}
        self._subscriptions: list[Any] = []
        self.received = 0
        if use_tf:
            message_type, self._why = tf_message_type()
            if self._why:
                self._why += "; or set camera_pose_from to parameters, and odometry_from to topic or none"
            if message_type is not None:
                for topic, qos, take in (
                    ("/tf", TF_QOS, self._take_moving),
                    ("/tf_static", TF_STATIC_QOS, self._take_fixed),
                ):
                    self._subscriptions.append(
                        node.create_subscription(message_type, topic, take, qos, event_callbacks=SUBSCRIPTION_EVENTS)
                    )
        if use_odometry:
            self._subscriptions.append(
                node.create_subscription(
                    Odometry,
                    "odom",
                    self.take_odometry,
                    profile("best_effort", 50),
                    event_callbacks=SUBSCRIPTION_EVENTS,
                    qos_overriding_options=overridable(),
                )
            )

    def close(self) -> None:
        """End the subscriptions."""
        for each in self._subscriptions:
            self._node.destroy_subscription(each)
        self._subscriptions.clear()

    def problems(self) -> list[Problem]:
        """Return what keeps poses from coming."""
        found = [Problem("no tf", self._why)] if self._why else []
        return found + [Problem(f"pose {child}", line) for child, line in self._refused.items()]

    def take_odometry(self, message: Odometry) -> None:
        """Take a pose of the robot."""
        self.received += 1
        child = message.child_frame_id or self._base_frame
        try:
            pose = pose_of(message)
            self._buffer.put(message.header.frame_id, child, stamp_ns(message.header), pose)
        except GridError as error:
            self._refused[child] = f"odometry is left out: {error}"
            return
        self._refused.pop(child, None)

    def take_transforms(self, message: Any, *, fixed: bool) -> None:
        """Take transforms.

        Args:
            message: A tf2_msgs/TFMessage.
            fixed: Whether it came on /tf_static.
        """
        self.received += 1
        for each in message.transforms:
            child = each.child_frame_id
            try:
                matrix = pose_of_transform(each.transform)
                self._buffer.put(each.header.frame_id, child, stamp_ns(each.header), matrix, fixed=fixed)
            except GridError as error:
                self._refused[child] = f"tf of '{child}' is left out: {error}"
                continue
            self._refused.pop(child, None)

    def _take_moving(self, message: Any) -> None:
        self.take_transforms(message, fixed=False)

    def _take_fixed(self, message: Any) -> None:
        self.take_transforms(message, fixed=True)
