# SPDX-License-Identifier: Apache-2.0
"""camera_info in and out: what the cameras say about themselves, and what describes the outputs."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from copy import copy

import numpy as np
from rclpy.node import Node
from rclpy.qos import QoSProfile
from rclpy.serialization import deserialize_message
from sensor_msgs.msg import CameraInfo, RegionOfInterest
from std_msgs.msg import Header

from segmif_ros.arrays import Float64Array
from segmif_ros.imaging.crop import Crop
from segmif_ros.rig.camera_model import CameraModel, Window, camera_from_info, same_proportions, scaled_projection
from segmif_ros.rig.image_part import ImagePart
from segmif_ros.ros.problems import Problem
from segmif_ros.ros.qos import SUBSCRIPTION_EVENTS, overridable

_STAMP_END = 12  # bytes: what CDR begins with, and the stamp
_KEPT = 8  # scaled messages


class CameraInfoInput:
    """The subscription to one camera's camera_info; tells only what is new.

    Args:
        node: Subscribes.
        camera: "infrared" or "rgb".
        qos: Of its own; rclpy writes what ``qos_overrides`` say into it.
        take: Takes the camera and its message, on the executor's thread, when anything but the stamp has changed.
    """

    def __init__(self, node: Node, camera: str, qos: QoSProfile, take: Callable[[str, CameraInfo], None]) -> None:
        self._node = node
        self._camera = camera
        self._take = take
        self._last = b""
        # a camera sends the same numbers with every frame: they are compared as bytes, and parsed only if they differ
        self._subscription = node.create_subscription(
            CameraInfo,
            f"{camera}/camera_info",
            self._receive,
            qos,
            event_callbacks=SUBSCRIPTION_EVENTS,
            qos_overriding_options=overridable(),
            raw=True,
        )
        self.topic: str = node.resolve_topic_name(f"{camera}/camera_info")

    def close(self) -> None:
        """End the subscription."""
        self._node.destroy_subscription(self._subscription)

    def _receive(self, serialized: bytes) -> None:
        if serialized[_STAMP_END:] != self._last:
            self._last = serialized[_STAMP_END:]
            self._take(self._camera, deserialize_message(serialized, CameraInfo))


def camera_model(message: CameraInfo) -> CameraModel:
    """Return the calibrated camera that a message describes.

    Raises:
        segmif_ros.rig.errors.CalibrationError: If it is not calibrated, or its numbers can't be a camera's.
    """
    return camera_from_info(
        width=message.width,
        height=message.height,
        distortion_model=message.distortion_model,
        d=message.d,
        k=message.k,
        r=message.r,
        p=message.p,
        window=window_of(message),
    )


def window_of(message: CameraInfo) -> Window:
    """Return the region of interest and the binning that a message speaks of."""
    roi = message.roi
    return Window(
        x_offset=roi.x_offset,
        y_offset=roi.y_offset,
        width=roi.width,
        height=roi.height,
        binning_x=message.binning_x,
        binning_y=message.binning_y,
    )


def part_of(message: CameraInfo) -> ImagePart | None:
    """Return the part of a camera's image that it sends, as in its message; None for all of it, or a wrong part."""
    window, whole = window_of(message), (message.width, message.height)
    x, y, *size = window.part(*whole)
    if window.is_whole or min(size) < 1 or x + size[0] > whole[0] or y + size[1] > whole[1]:
        return None
    return ImagePart(x, y, (size[0], size[1]), whole)


def info_of(camera: CameraModel) -> CameraInfo:
    """Return the message of a camera; without a P of its own the raw image's K stands in, as for a single camera."""
    P = np.hstack([camera.K, np.zeros((3, 1))]) if camera.P is None else camera.P
    return CameraInfo(
        width=camera.width,
        height=camera.height,
        distortion_model=camera.distortion_model,
        d=camera.D.tolist() or [0.0] * 5,
        k=camera.K.ravel().tolist(),
        r=camera.R.ravel().tolist(),
        p=P.ravel().tolist(),
    )


def scaled_info(
    info: CameraInfo, view_size: tuple[int, int], size: tuple[int, int], crop: Crop | None = None
) -> CameraInfo | None:
    """Return what describes an output that is a camera's image at another size; None if the camera sends another view.

    K and P are scaled as the image was (`segmif_ros.rig.camera_model.scaled_projection`); R and D depend on no size.
    Binning and region of interest are applied and left out: the numbers are those of the image as it is.

    Args:
        info: The camera's own.
        view_size: (width, height) of its images, after the crop.
        size: (width, height) of the output.
        crop: What was cut off the images. A camera_info of just the size that is left is taken as theirs.
    """
    # drivers that aren't calibrated may leave out the size as well
    calibrated = (info.width, info.height) if info.width and info.height else view_size
    window = window_of(info)
    x, y, *part = window.part(*calibrated)
    sent = window.image_size(*calibrated)
    left = ImagePart.left_by(crop or Crop(), view_size)
    if not left.is_of(sent):
        left = ImagePart(0, 0, view_size, view_size)
    if window.is_whole:
        fits = same_proportions(left.whole, calibrated)
    else:  # a part can have the proportions of the whole: only its size tells
        fits = min(part) > 0 and max(abs(left.whole[0] - sent[0]), abs(left.whole[1] - sent[1])) <= 1
    if not fits:
        return None
    to_sent = scaled_projection(_shift(x, y), left.whole[0] / part[0], left.whole[1] / part[1])
    by = size[0] / view_size[0], size[1] / view_size[1]
    made = copy(info)
    made.header = Header()
    made.width, made.height = size
    for name, columns in (("k", 3), ("p", 4)):
        matrix = np.reshape(getattr(info, name), (3, columns))
        setattr(made, name, scaled_projection(_shift(left.x, left.y) @ to_sent @ matrix, *by).ravel().tolist())
    made.binning_x = made.binning_y = 0
    made.roi = RegionOfInterest()
    return made


def _shift(x: int, y: int) -> Float64Array:
    """Return the matrix from pixels of an image to those of its part that begins at (x, y)."""
    return np.array([[1.0, 0, -x], [0, 1, -y], [0, 0, 1]])


class InfoOfOutputs:
    """Describes outputs by the master camera's camera_info; remembers what it has scaled."""

    def __init__(self) -> None:
        self._info: CameraInfo | None = None
        self._crop = Crop()
        self._made: dict[tuple[tuple[int, int], tuple[int, int]], CameraInfo | None] = {}

    def use(self, info: CameraInfo | None, crop: Crop | None = None) -> None:
        """Describe the outputs by another camera_info from now on.

        Args:
            info: The master camera's; None if there is none.
            crop: What is cut off its images before; None for nothing.
        """
        # all at once: the worker may be reading
        self._info, self._crop, self._made = info, crop or Crop(), {}

    def message(self, header: Header, view_size: tuple[int, int], size: tuple[int, int]) -> CameraInfo | None:
        """Return the camera_info of an output.

        Args:
            header: Of the output.
            view_size: (width, height) of the master's image.
            size: (width, height) of the output.

        Returns:
            `scaled_info`; None if there is no camera_info, or it is of another view.
        """
        info, crop, made = self._info, self._crop, self._made
        if info is None:
            return None
        key = view_size, size
        if key not in made:
            if len(made) > _KEPT:
                made.clear()
            made[key] = scaled_info(info, view_size, size, crop)
        found = made[key]
        if found is None:
            return None
        message = copy(found)
        message.header = header
        return message

    def problem(self, camera: str, topics: Sequence[str]) -> Problem | None:
        """Return why topics of camera_info carry nothing, or None.

        Args:
            camera: The master.
            topics: Those of camera_info that have subscribers.
        """
        wanted = " and ".join(topics)
        if not topics:
            return None
        if self._info is None:
            return Problem("camera_info", f"{wanted}: there is a subscriber, but no {camera}/camera_info comes")
        if None in self._made.values():
            whole, window = (self._info.width, self._info.height), window_of(self._info)
            reason = f"is for {whole[0]}x{whole[1]} images and these have other proportions{self._after_crop()}"
            if not window.is_whole:
                x, y, width, height = window.part(*whole)
                sent = "x".join(map(str, window.image_size(*whole)))
                reason = (
                    f"has a roi of {width}x{height} at ({x}, {y}) of {whole[0]}x{whole[1]}, so that images must be "
                    f"{sent}, and these are not"
                )
            return Problem("camera_info", f"{wanted}: not published, because {camera}/camera_info {reason}")
        return None

    def _after_crop(self) -> str:
        return "" if self._crop == Crop() else ", with what infrared_crop cuts off and without"
