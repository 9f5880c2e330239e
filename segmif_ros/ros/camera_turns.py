# SPDX-License-Identifier: Apache-2.0
"""How the camera turned between two frames, by tf or odometry: what the temporal filter's flow starts from.

Only the turn is used: with it each pixel goes to one place, whatever its depth (K R K^-1). The robot's way moves pixels
by their depth, which the flow follows. Lenses with much distortion want rectified images.
"""

from __future__ import annotations

import threading
from collections.abc import Callable

import numpy as np
from rclpy.lifecycle import LifecycleNode

from segmif_ros.arrays import Float64Array
from segmif_ros.grid.errors import GridError
from segmif_ros.grid.poses import TransformBuffer
from segmif_ros.ros.pose_inputs import PoseInputs


class CameraTurns:
    """Subscribes to what tells where the camera is.

    Args:
        node: Subscribes.
        source: "tf", or "topic" for odom (nav_msgs/Odometry) with tf from the robot to the camera.
        odom_frame: The frame in which the robot moves without jumps.
        camera: Returns intrinsics (3, 3) of the outputs at a size (width, height), and their frame; None while they
            aren't known.
        say: Takes a line for the log where a turn isn't known.
    """

    def __init__(
        self,
        node: LifecycleNode,
        source: str,
        odom_frame: str,
        *,
        camera: Callable[[tuple[int, int]], tuple[Float64Array, str] | None],
        say: Callable[[str], None],
    ) -> None:
        self.wanted = source, odom_frame
        self._odom_frame = odom_frame
        self._camera, self._say = camera, say
        self._buffer = _SharedBuffer()
        self._inputs = PoseInputs(
            node, self._buffer, use_tf=True, use_odometry=source == "topic", base_frame="base_link"
        )

    def close(self) -> None:
        """End the subscriptions."""
        self._inputs.close()

    def between(self, before_ns: int, now_ns: int, shape: tuple[int, int]) -> Float64Array | None:
        """Return the (3, 3) homography from pixels of the frame at ``now_ns`` to those at ``before_ns``.

        Args:
            before_ns: Stamp of the earlier frame.
            now_ns: Stamp of the later one.
            shape: Height and width of both.

        Returns:
            None, and a line to the log, where that isn't known: then optical flow does it alone.
        """
        camera = self._camera((shape[1], shape[0]))
        if camera is None:
            self._say("labels are steadied by optical flow alone: no camera_info fits the outputs")
            return None
        intrinsics, frame = camera
        try:
            before, now = (self._buffer.lookup(self._odom_frame, frame, stamp) for stamp in (before_ns, now_ns))
        except GridError as error:
            problem = next(iter(self._inputs.problems()), None)
            self._say(f"labels are steadied by optical flow alone: {problem.line if problem else error}")
            return None
        return turn_homography(intrinsics, before, now)


def turn_homography(intrinsics: Float64Array, before: Float64Array, now: Float64Array) -> Float64Array:
    """Return the (3, 3) homography that a turn of the camera makes: from pixels of now to pixels of before.

    Args:
        intrinsics: (3, 3), of both images.
        before: (4, 4) odom_from_optical of the earlier frame.
        now: The same of the later one.
    """
    turned = before[:3, :3].T @ now[:3, :3]
    return np.asarray(intrinsics @ turned @ np.linalg.inv(intrinsics))


class _SharedBuffer(TransformBuffer):
    """Is filled on the executor's thread and read on the worker's."""

    def __init__(self) -> None:
        super().__init__()
        self._lock = threading.Lock()

    def put(
        self, parent: str, child: str, stamp_ns: int, parent_from_child: Float64Array, *, fixed: bool = False
    ) -> None:
        with self._lock:
            super().put(parent, child, stamp_ns, parent_from_child, fixed=fixed)

    def lookup(self, target: str, source: str, stamp_ns: int) -> Float64Array:
        with self._lock:
            return super().lookup(target, source, stamp_ns)
