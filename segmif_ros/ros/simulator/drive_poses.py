# SPDX-License-Identifier: Apache-2.0
"""A drive with known poses for the simulated rig: what tf and odometry of a robot would tell beside its images."""

from __future__ import annotations

from typing import Any

import numpy as np
from geometry_msgs.msg import Transform, TransformStamped
from nav_msgs.msg import Odometry
from rclpy.node import Node
from rclpy.qos import QoSDurabilityPolicy, QoSProfile

from segmif_ros.arrays import Float64Array
from segmif_ros.grid.poses import camera_pose, quaternion
from segmif_ros.rig.calibration import Extrinsics, RigCalibration
from segmif_ros.rig.camera_model import CameraModel
from segmif_ros.ros.messages import make_header
from segmif_ros.ros.pose_inputs import tf_message_type
from segmif_ros.ros.simulator.config import DEFAULT_HEIGHT, DEFAULT_WIDTH, RigConfig
from segmif_ros.ros.simulator.frames import RigFrame, SceneFrames
from segmif_ros.scenes.drive import Drive

ODOM_FRAME, BASE_FRAME = "odom", "base_link"
STREET_M = 1000.0  # between two streets, so that no grid takes one for the other


class DriveSource(SceneFrames):
    """Straight, level streets, one after the other, with the pose of the robot in each frame."""

    def __init__(self, config: RigConfig) -> None:
        super().__init__(config)
        width, height = config.size(DEFAULT_WIDTH, DEFAULT_HEIGHT)
        drive = self._drive(0)
        camera = CameraModel(width=width, height=height, K=drive.K)
        here = Extrinsics(rotation=np.eye(3), translation_m=np.zeros(3))
        self.calibration = RigCalibration(infrared=camera, rgb=camera, extrinsics=here)
        self.mount_m = drive.mount_m

    def frame(self, number: int) -> RigFrame:
        """Return the street as the robot sees it, and where the robot is."""
        street, within = divmod(number, self._config.scene_frames)
        drive, t_s = self._drive(street), within / self._config.rate_hz
        seen, pose = drive.frame(t_s), drive.pose(t_s)
        pose[0, 3] += STREET_M * street
        infrared = seen.infrared8 if self._config.infrared_encoding == "mono8" else seen.infrared
        return RigFrame(infrared=infrared, rgb=seen.rgb, labels=seen.labels, odom_from_base=pose)

    def describe(self) -> str:
        """Return one line for the log."""
        return f"{super().describe()}; a drive with known poses, the cameras {self.mount_m:g} m over the ground"

    def _drive(self, street: int) -> Drive:
        if getattr(self, "_street", None) != street:
            config = self._config
            self._made = Drive(
                config.seed + street,
                self.height,
                self.width,
                lighting=self._lighting(street),
                weather=config.weather,
                speed_mps=config.drive_mps,
            )
            self._street = street
        return self._made


class PosePublisher:
    """Publishes odom, and where tf2_msgs is installed /tf and the camera's place on /tf_static.

    Args:
        node: Publishes.
        mount_m: Height of the cameras over the base frame.
        camera_frames: Optical frames of the cameras.
    """

    def __init__(self, node: Node, mount_m: float, camera_frames: tuple[str, ...]) -> None:
        self._odometry = node.create_publisher(Odometry, "odom", 10)
        self._moving = self._fixed = None
        self._message_type, why = tf_message_type()
        if self._message_type is None:
            node.get_logger().info(f"poses are on odom alone: {why}")
            return
        self._moving = node.create_publisher(self._message_type, "/tf", 10)
        latched = QoSProfile(depth=1, durability=QoSDurabilityPolicy.TRANSIENT_LOCAL)
        self._fixed = node.create_publisher(self._message_type, "/tf_static", latched)
        mount = camera_pose(mount_m, 0.0)
        now_ns = node.get_clock().now().nanoseconds
        self._fixed.publish(
            self._message_type(
                transforms=[_stamped(mount, now_ns, BASE_FRAME, frame) for frame in dict.fromkeys(camera_frames)]
            )
        )

    def publish(self, odom_from_base: Float64Array, stamp_ns: int) -> None:
        """Publish where the robot is.

        Args:
            odom_from_base: (4, 4), metres.
            stamp_ns: Of the images.
        """
        message = Odometry(header=make_header(stamp_ns, ODOM_FRAME), child_frame_id=BASE_FRAME)
        x, y, z = (float(each) for each in odom_from_base[:3, 3])
        message.pose.pose.position.x, message.pose.pose.position.y, message.pose.pose.position.z = x, y, z
        message.pose.pose.orientation = _transform(odom_from_base).rotation
        self._odometry.publish(message)
        if self._moving is not None:
            transforms = [_stamped(odom_from_base, stamp_ns, ODOM_FRAME, BASE_FRAME)]
            self._moving.publish(self._message_type(transforms=transforms))


def _stamped(matrix: Float64Array, stamp_ns: int, parent: str, child: str) -> Any:
    return TransformStamped(header=make_header(stamp_ns, parent), child_frame_id=child, transform=_transform(matrix))


def _transform(matrix: Float64Array) -> Transform:
    made = Transform()
    made.translation.x, made.translation.y, made.translation.z = (float(each) for each in matrix[:3, 3])
    x, y, z, w = quaternion(matrix)
    made.rotation.x, made.rotation.y, made.rotation.z, made.rotation.w = x, y, z, w
    return made
