# SPDX-License-Identifier: Apache-2.0
"""Depth for the grid: an image registered to the mask's camera, or a point cloud of any sensor whose place is known."""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
from sensor_msgs.msg import Image, PointCloud2

from segmif_ros.arrays import Array, Float32Array, Float64Array
from segmif_ros.grid.errors import GridError
from segmif_ros.grid.ground_view import UndistortedView
from segmif_ros.grid.point_cloud import points_in_view, points_of_depth
from segmif_ros.grid.poses import TransformBuffer, inverse
from segmif_ros.ros.depth_input import DepthError, depth_of_image, points_of
from segmif_ros.ros.grid_config import GridNodeConfig
from segmif_ros.ros.messages import stamp_ns

_KEPT = 15


@dataclass(frozen=True, kw_only=True, eq=False)
class MeasuredPoints:
    """Points with a pixel each.

    Attributes:
        base: (M, 3) metres in the base frame of the map's moment.
        rows: (M,) of the mask.
        columns: (M,).
        sensor_at_base: (3,) where the sensor is.
        aligned: (H, W, 3) float32 in the mask's optical frame, NaN where nothing was measured.
    """

    base: Float64Array
    rows: npt.NDArray[np.intp]
    columns: npt.NDArray[np.intp]
    sensor_at_base: Float64Array
    aligned: Float32Array


@dataclass(frozen=True, kw_only=True, eq=False)
class MapPlace:
    """Where a map's camera and the robot were.

    Attributes:
        stamp_ns: Of the map.
        frame_id: Of its camera.
        pinhole: The camera at the map's size.
        rays: (H, W, 3) of it.
        mount: (4, 4) base_from_optical.
        base: (4, 4) odom_from_base at the map's time; the identity without odometry.
    """

    stamp_ns: int
    frame_id: str
    pinhole: UndistortedView
    rays: Float32Array
    mount: Float64Array
    base: Float64Array


class GridDepth:
    """The last messages of the depth topic.

    Args:
        config: The node's.
        buffer: Knows where the sensor and the robot are.
    """

    def __init__(self, config: GridNodeConfig, buffer: TransformBuffer) -> None:
        self._config, self._buffer = config, buffer
        self._kept: deque[Image | PointCloud2] = deque(maxlen=_KEPT)

    @property
    def has_come(self) -> bool:
        """Whether any depth has come."""
        return bool(self._kept)

    def take(self, message: Image | PointCloud2) -> None:
        """Keep a message for the map of its time."""
        self._kept.append(message)

    def forget(self) -> None:
        """Forget all messages."""
        self._kept.clear()

    def at(self, place: MapPlace) -> MeasuredPoints | None:
        """Return what was measured at a map's time, None if nothing was.

        Raises:
            GridError: With one line, if the message can't be used.
        """
        if not self._kept:
            return None
        nearest = min(self._kept, key=lambda each: abs(stamp_ns(each.header) - place.stamp_ns))
        if abs(stamp_ns(nearest.header) - place.stamp_ns) > 1e9 * self._config.depth_slop_s:
            return None
        try:
            return self._of_cloud(nearest, place) if isinstance(nearest, PointCloud2) else _of_image(nearest, place)
        except DepthError as error:
            raise GridError(f"the depth on {self._config.depth_topic} can't be used: {error}") from error

    def _of_cloud(self, message: PointCloud2, place: MapPlace) -> MeasuredPoints:
        cloud = points_of(message)
        base_from_cloud = self._base_from_cloud(message, place)
        optical = _moved(cloud, inverse(place.mount) @ base_from_cloud)
        height, width = place.rays.shape[:2]
        found, rows, columns = points_in_view(optical, place.pinhole.camera)
        if len(cloud) and not len(found):
            raise DepthError(
                f"none of the {len(cloud)} points of frame '{message.header.frame_id}' is in the mask's view: look at "
                f"the tf between '{message.header.frame_id}' and '{place.frame_id}'"
            )
        aligned = np.full((height, width, 3), np.nan, np.float32)
        aligned[rows, columns] = optical[found]  # the nearest of a pixel comes last
        return MeasuredPoints(
            base=_moved(cloud[found], base_from_cloud),
            rows=rows,
            columns=columns,
            sensor_at_base=base_from_cloud[:3, 3],
            aligned=aligned,
        )

    def _base_from_cloud(self, message: PointCloud2, place: MapPlace) -> Float64Array:
        """Return where the sensor was at its own time, in the base frame of the map's time."""
        config, frame, stamp = self._config, message.header.frame_id, stamp_ns(message.header)
        if not frame:
            raise DepthError("the cloud has no frame_id, so nobody knows where its sensor is")
        by_hand = config.camera_pose_from == "parameters"
        if frame == config.base_frame:
            there: Float64Array = np.eye(4)
        elif frame == place.frame_id:
            there = place.mount
        elif by_hand:
            raise DepthError(
                f"the cloud is in frame '{frame}', and camera_pose_from is parameters: without tf it must be in the "
                f"mask's frame '{place.frame_id}' or in '{config.base_frame}'"
            )
        else:
            there = self._buffer.lookup(config.base_frame, frame, stamp)
        if config.remembers and stamp != place.stamp_ns:
            there = inverse(place.base) @ self._buffer.lookup(config.odom_frame, config.base_frame, stamp) @ there
        return there


def _of_image(message: Image, place: MapPlace) -> MeasuredPoints:
    aligned = points_of_depth(depth_of_image(message), place.rays)
    height, width = aligned.shape[:2]
    rows, columns = (each.ravel() for each in np.indices((height, width)))
    return MeasuredPoints(
        base=_moved(aligned.reshape(-1, 3), place.mount),
        rows=rows,
        columns=columns,
        sensor_at_base=place.mount[:3, 3],
        aligned=aligned,
    )


def _moved(points: Array, matrix: Float64Array) -> Float64Array:
    return np.asarray(points @ matrix[:3, :3].T + matrix[:3, 3], np.float64)
