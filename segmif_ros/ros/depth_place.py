# SPDX-License-Identifier: Apache-2.0
"""Where the depth camera or lidar is, as the RGB camera sees it: in its place, by tf, or by numbers."""

from __future__ import annotations

from collections.abc import Callable

from rclpy.lifecycle import LifecycleNode

from segmif_ros.arrays import Float64Array
from segmif_ros.grid.errors import GridError
from segmif_ros.grid.poses import TransformBuffer
from segmif_ros.ros.depth_pose import ALIGNED, BY_TF, parse_depth_pose
from segmif_ros.ros.pose_inputs import PoseInputs


class DepthPlace:
    """Where depth messages are taken from.

    Args:
        node: Subscribes to tf, if that is asked for.
        pose: The parameter depth_pose.
        rgb_frame: Returns the RGB camera's frame_id, "" while it isn't known.
    """

    def __init__(self, node: LifecycleNode, pose: str, rgb_frame: Callable[[], str]) -> None:
        self.pose = pose
        self._rgb_frame, self._fixed = rgb_frame, parse_depth_pose(pose)
        self._buffer = TransformBuffer()
        self._tf = (
            PoseInputs(node, self._buffer, use_tf=True, use_odometry=False, base_frame="") if pose == BY_TF else None
        )

    @property
    def is_aligned(self) -> bool:
        """Whether depth comes in the RGB camera's view."""
        return self.pose == ALIGNED

    def close(self) -> None:
        """End the subscriptions."""
        if self._tf is not None:
            self._tf.close()

    def rgb_from(self, frame: str, stamp_ns: int) -> Float64Array | None:
        """Return (4, 4) rgb_from_depth at a time; None if depth comes in the RGB camera's view.

        Args:
            frame: The depth's frame_id.
            stamp_ns: The depth's stamp.

        Raises:
            GridError: With one line, if tf doesn't tell.
        """
        if self._fixed is not None or self._tf is None:
            return self._fixed
        if problems := self._tf.problems():
            raise GridError(problems[0].line.partition(";")[0] + "; or set depth_pose to numbers")
        rgb_frame = self._rgb_frame()
        if not rgb_frame or not frame:
            missing = "rgb/camera_info" if not rgb_frame else "the depth message"
            raise GridError(f"depth_pose is tf, and {missing} gives no frame_id")
        return self._buffer.lookup(rgb_frame, frame, stamp_ns)
