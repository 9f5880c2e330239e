# SPDX-License-Identifier: Apache-2.0
"""Depth for registration: an image or a point cloud, of the RGB camera's view or of a sensor beside it."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import numpy.typing as npt
from rclpy.node import Node
from rclpy.qos import QoSProfile
from sensor_msgs.msg import CameraInfo, Image, PointCloud2, PointField

from segmif_ros.grid.errors import GridError
from segmif_ros.imaging.encodings import EncodingError, view
from segmif_ros.rig.camera_model import CameraModel
from segmif_ros.rig.depth_images import depth_of_cloud, points_of_depth_image
from segmif_ros.rig.errors import CalibrationError
from segmif_ros.ros.camera_infos import camera_model
from segmif_ros.ros.depth_place import DepthPlace
from segmif_ros.ros.messages import image_buffer, stamp_ns
from segmif_ros.ros.qos import SUBSCRIPTION_EVENTS, overridable

SOURCES = ("image", "points")
_MILLIMETRES = np.float32(1e-3)


class DepthError(ValueError):
    """A message that holds no depth; one line."""


class DepthInput:
    """The subscription to depth/image or depth/points, and to depth/camera_info where that is needed.

    Args:
        node: Subscribes.
        source: One of `SOURCES`.
        place: Where the sensor is; closed with this.
        qos: Of its own; rclpy writes what ``qos_overrides`` say into it.
        camera: Returns the RGB camera, for all but aligned images; None while it isn't known.
        take: Takes stamp and depth in metres, on the executor's thread.
        say: Takes a kind and a line for the log.
    """

    def __init__(
        self,
        node: Node,
        source: str,
        place: DepthPlace,
        qos: QoSProfile,
        *,
        camera: Callable[[], CameraModel | None],
        take: Callable[[int, npt.NDArray[np.floating]], None],
        say: Callable[[str, str], None],
    ) -> None:
        self.source, self.place = source, place
        self._depth_camera: CameraModel | CalibrationError | None = None
        self._node, self._camera, self._take, self._say = node, camera, take, say
        image = source == "image"
        name = f"depth/{source}"
        self._subscription = node.create_subscription(
            Image if image else PointCloud2,
            name,
            self._receive_image if image else self._receive_points,
            qos,
            event_callbacks=SUBSCRIPTION_EVENTS,
            qos_overriding_options=overridable(),
        )
        self.topic: str = node.resolve_topic_name(name)
        self._subscriptions = [self._subscription]
        if image and not place.is_aligned:
            self._subscriptions.append(
                node.create_subscription(
                    CameraInfo, "depth/camera_info", self._receive_info, qos, event_callbacks=SUBSCRIPTION_EVENTS
                )
            )

    def close(self) -> None:
        """End the subscriptions."""
        for each in self._subscriptions:
            self._node.destroy_subscription(each)
        self.place.close()

    def _receive_info(self, message: CameraInfo) -> None:
        try:
            self._depth_camera = camera_model(message)
        except CalibrationError as error:
            self._depth_camera = error

    def _receive_image(self, message: Image) -> None:
        try:
            depth_m = depth_of_image(message)
            if self.place.is_aligned:
                self._take(stamp_ns(message.header), depth_m)
                return
            if not isinstance(self._depth_camera, CameraModel):
                why = "hasn't come" if self._depth_camera is None else f"can't be used: {self._depth_camera}"
                raise DepthError(f"depth_pose is {self.place.pose}, and its depth/camera_info {why}")
            self._project(message, points_of_depth_image(depth_m, self._depth_camera))
        except (DepthError, GridError) as error:
            self._say("depth", f"depth image on {self.topic} left out: {error}")

    def _receive_points(self, message: PointCloud2) -> None:
        try:
            self._project(message, points_of(message))
        except (DepthError, GridError) as error:
            self._say("depth", f"point cloud on {self.topic} left out: {error}")

    def _project(self, message: Image | PointCloud2, points: npt.NDArray[np.floating]) -> None:
        """Take (N, 3) points of the message's frame as depth of the RGB camera's view."""
        camera = self._camera()
        if camera is None:
            return
        stamp = stamp_ns(message.header)
        rgb_from_depth = self.place.rgb_from(message.header.frame_id, stamp)
        if rgb_from_depth is not None:
            points = points @ rgb_from_depth[:3, :3].T + rgb_from_depth[:3, 3]
        depth_m = depth_of_cloud(points, camera)
        if len(points) and not (depth_m > 0).any():
            raise DepthError(
                f"none of the {len(points)} points of frame '{message.header.frame_id}' is in the RGB camera's view: "
                f"is depth_pose ({self.place.pose}) right?"
            )
        self._take(stamp, depth_m)


def depth_of_image(message: Image) -> npt.NDArray[np.float32]:
    """Return (H, W) float32 metres: 32FC1 as it is, 16UC1 and mono16 are millimetres (REP-118).

    Raises:
        DepthError: If it is of another encoding, or its bytes don't fit its size.
    """
    if message.encoding not in ("32FC1", "16UC1", "mono16"):
        raise DepthError(f"its encoding is {message.encoding}: 32FC1 (metres) or 16UC1 (millimetres) is needed")
    try:
        pixels = view(image_buffer(message))
    except EncodingError as error:
        raise DepthError(str(error)) from error
    if message.encoding == "32FC1":
        return np.asarray(pixels, np.float32)
    return pixels.astype(np.float32) * _MILLIMETRES


def points_of(message: PointCloud2) -> npt.NDArray[np.float32]:
    """Return the (N, 3) float32 points of a cloud.

    Raises:
        DepthError: If it has no x, y and z of float32, or its bytes don't fit its size.
    """
    offsets = {each.name: each.offset for each in message.fields if each.datatype == PointField.FLOAT32}
    if missing := [name for name in "xyz" if name not in offsets]:
        raise DepthError(f"it has no float32 field {', '.join(missing)}")
    count = message.width * message.height
    if message.point_step < max(offsets[name] for name in "xyz") + 4 or len(message.data) < count * message.point_step:
        raise DepthError(f"{len(message.data)} bytes don't hold {count} points of {message.point_step} bytes")
    order = ">" if message.is_bigendian else "<"
    kind = np.dtype(
        {
            "names": list("xyz"),
            "formats": [f"{order}f4"] * 3,
            "offsets": [offsets[name] for name in "xyz"],
            "itemsize": message.point_step,
        }
    )
    rows = np.frombuffer(message.data, kind, count=count)
    return np.stack([rows[name] for name in "xyz"], axis=1).astype(np.float32)
