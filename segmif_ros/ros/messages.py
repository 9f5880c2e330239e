# SPDX-License-Identifier: Apache-2.0
"""Messages <-> numpy arrays and plain values."""

from __future__ import annotations

import array
import importlib
from typing import Any

import cv2
import numpy as np
import numpy.typing as npt
from builtin_interfaces.msg import Time
from sensor_msgs.msg import CompressedImage, Image
from std_msgs.msg import Header

from segmif_ros.imaging.encodings import ImageBuffer
from segmif_ros.imaging.histogram import byte_counts
from segmif_ros.labels import LabelSet

NS_PER_S = 1_000_000_000

# what `image_message` writes, by the array's type and shape
_ENCODINGS: dict[str, tuple[np.dtype[Any], int]] = {
    "mono8": (np.dtype(np.uint8), 2),
    "8UC1": (np.dtype(np.uint8), 2),
    "mono16": (np.dtype(np.uint16), 2),
    "16UC1": (np.dtype(np.uint16), 2),
    "32FC1": (np.dtype(np.float32), 2),
    "rgb8": (np.dtype(np.uint8), 3),
    "bgr8": (np.dtype(np.uint8), 3),
}


def stamp_ns(header: Header) -> int:
    """Return the header's stamp in nanoseconds."""
    return int(header.stamp.sec) * NS_PER_S + int(header.stamp.nanosec)


def make_header(stamp_ns: int, frame_id: str) -> Header:
    """Return a header.

    Args:
        stamp_ns: Not negative.
        frame_id: Of the camera.
    """
    header = Header(frame_id=frame_id)
    header.stamp = Time(sec=stamp_ns // NS_PER_S, nanosec=stamp_ns % NS_PER_S)
    return header


def image_buffer(message: Image) -> ImageBuffer:
    """Return the image behind ``message``; its bytes are not copied, so the message must not be changed."""
    return ImageBuffer.of(message)


def image_message(image: npt.NDArray[Any], encoding: str, header: Header) -> Image:
    """Return a tightly packed, little-endian message.

    Args:
        image: (H, W) uint8, uint16 or float32, or (H, W, 3) uint8 in the encoding's colour order.
        encoding: "mono8", "8UC1", "mono16", "16UC1", "32FC1", "rgb8" or "bgr8".
        header: Used as it is, not copied.

    Raises:
        ValueError: If type or shape of ``image`` isn't the encoding's.
    """
    dtype, ndim = _ENCODINGS[encoding]
    if image.dtype != dtype or image.ndim != ndim or (ndim == 3 and image.shape[2] != 3):
        raise ValueError(f"{encoding} can't hold {image.dtype} {image.shape}")
    return Image(
        header=header,
        height=image.shape[0],
        width=image.shape[1],
        encoding=encoding,
        is_bigendian=0,
        step=image.shape[1] * dtype.itemsize * (3 if ndim == 3 else 1),
        data=byte_array(image),
    )


def byte_array(values: npt.NDArray[Any]) -> array.array[int]:
    """Return the array's bytes in C order, little-endian, in the type that messages take without a check per byte."""
    little = np.ascontiguousarray(values, values.dtype.newbyteorder("<"))
    filled = array.array("B")
    # a memory copy; assigning bytes or a numpy array to a message field would look at every single value
    filled.frombytes(little.data.cast("B"))
    return filled


def compressed_message(rgb: npt.NDArray[Any], quality: int, header: Header) -> CompressedImage:
    """Return an image as a JPEG in image_transport's words.

    Args:
        rgb: (H, W, 3) uint8 RGB, or (H, W) uint8.
        quality: 1 to 100.
        header: Of the message.
    """
    colour = rgb.ndim == 3
    pixels = cv2.cvtColor(rgb, cv2.COLOR_RGB2BGR) if colour else rgb
    _, encoded = cv2.imencode(".jpg", pixels, [cv2.IMWRITE_JPEG_QUALITY, quality])
    form = "rgb8; jpeg compressed bgr8" if colour else "mono8; jpeg compressed "
    return CompressedImage(header=header, format=form, data=byte_array(encoded))


def semantic_map_type() -> tuple[Any, str]:
    """Return the class of segmif_ros/SemanticMap and "", or None and why it can't be published."""
    return _publishable("segmif_ros.msg", "SemanticMap", "segmif_ros.msg was not built")


def label_info_type() -> tuple[Any, str]:
    """Return the class of vision_msgs/LabelInfo and "", or None and why it can't be published."""
    missing = "vision_msgs is not installed: apt install ros-$ROS_DISTRO-vision-msgs brings it"
    return _publishable("vision_msgs.msg", "LabelInfo", missing)


def _publishable(module: str, name: str, missing: str) -> tuple[Any, str]:
    from rclpy.exceptions import NoTypeSupportImportedException
    from rclpy.type_support import check_for_type_support
    from rosidl_generator_py.import_type_support_impl import UnsupportedTypeSupport  # type: ignore[import-untyped]

    try:
        message_type = getattr(importlib.import_module(module), name)
        check_for_type_support(message_type)
    except (ImportError, AttributeError, UnsupportedTypeSupport) as error:
        return None, f"{missing} ({error})"
    except NoTypeSupportImportedException:
        return None, f"{module} has no type support for this middleware"
    return message_type, ""


def label_info_message(label_set: LabelSet, header: Header) -> Any:
    """Return a vision_msgs/LabelInfo with the names of the class ids.

    Args:
        label_set: The classes.
        header: Of the message.

    Raises:
        ImportError: If vision_msgs isn't installed.
    """
    from vision_msgs.msg import LabelInfo, VisionClass

    classes = [VisionClass(class_id=i, class_name=name) for i, name in enumerate(label_set.names)]
    return LabelInfo(header=header, class_map=classes, threshold=0.0)


def semantic_map_message(
    labels: npt.NDArray[Any], confidence: npt.NDArray[Any], label_set: LabelSet, header: Header, **facts: float | str
) -> Any:
    """Return a segmif_ros/SemanticMap.

    Args:
        labels: (H, W) uint8 class ids.
        confidence: (H, W) uint8, 0..255.
        label_set: The classes of ``labels``.
        header: Used as it is, not copied.
        facts: The message's pair_offset_s, model_name, model_hash and inference_ms, and which cameras it rests on.

    Raises:
        ImportError: If the message was not built.
    """
    from segmif_ros.msg import SemanticClass, SemanticMap  # a machine without a compiler doesn't have it

    # an editable install whose messages were built before a field was added continues without that field
    built = SemanticMap.get_fields_and_field_types()
    facts = {name: value for name, value in facts.items() if name in built}
    height, width = labels.shape
    counts = byte_counts(labels).astype(int).tolist()
    colours = label_set.palette.tolist()
    return SemanticMap(
        header=header,
        height=height,
        width=width,
        labels=byte_array(labels),
        confidence=byte_array(confidence),
        classes=[
            SemanticClass(id=i, name=name, r=colours[i][0], g=colours[i][1], b=colours[i][2], pixel_count=counts[i])
            for i, name in enumerate(label_set.names)
        ],
        **facts,
    )
