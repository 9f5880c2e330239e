# SPDX-License-Identifier: Apache-2.0
"""Serialized messages of a bag <-> arrays. The messages are those that the node takes and gives."""

from __future__ import annotations

import math
import struct
from functools import cache
from typing import TYPE_CHECKING, Any

import cv2
import numpy as np
import numpy.typing as npt
from rosbags.typesys import Stores, get_types_from_msg, get_typestore
from rosbags.typesys.store import Typestore

from segmif_ros.imaging.compressed import CompressedBuffer
from segmif_ros.imaging.encodings import ImageBuffer
from segmif_ros.labels import LabelSet
from segmif_ros.stream.single_camera import CameraReport

if TYPE_CHECKING:  # torch would come with it
    from segmif_ros.inference.engine import EngineResult

NS_PER_S = 1_000_000_000
IMAGE = "sensor_msgs/msg/Image"
COMPRESSED = "sensor_msgs/msg/CompressedImage"
CAMERA_INFO = "sensor_msgs/msg/CameraInfo"
LABEL_INFO = "vision_msgs/msg/LabelInfo"
SEMANTIC_MAP = "segmif_ros/msg/SemanticMap"

# msg/*.msg without their comments: an installed package doesn't carry those files everywhere. A test compares.
DEFINITIONS = {
    "segmif_ros/msg/SemanticClass": """\
uint8 id
string name
uint8 r
uint8 g
uint8 b
uint32 pixel_count
""",
    SEMANTIC_MAP: """\
std_msgs/Header header
uint32 height
uint32 width
uint8[] labels
uint8[] confidence
SemanticClass[] classes
float64 pair_offset_s
string model_name
string model_hash
float32 inference_ms
uint8 CAMERA_INFRARED=1
uint8 CAMERA_RGB=2
uint8 cameras
uint8 HEALTH_OK=0
uint8 HEALTH_SILENT=1
uint8 HEALTH_FROZEN=2
uint8 HEALTH_STAMP_STUCK=3
uint8 HEALTH_FLAT=4
uint8 HEALTH_BLACK=5
uint8 HEALTH_WHITE=6
uint8 HEALTH_SHUTTER=7
uint8 HEALTH_UNREADABLE=8
uint8 HEALTH_BLURRED=9
uint8 HEALTH_GLARE=10
uint8 HEALTH_UNPAIRED=11
uint8 infrared_health
uint8 rgb_health
string health
""",
}


# vision_msgs 4: no store has them
_VISION = {
    "vision_msgs/msg/VisionClass": "uint16 class_id\nstring class_name\n",
    LABEL_INFO: "std_msgs/Header header\nVisionClass[] class_map\nfloat32 threshold\n",
}


@cache
def typestore() -> Typestore:
    """Return the message types, ours among them.

    The image messages and the header look the same on the wire in every ROS 2 distribution, so one store reads all.
    """
    store = get_typestore(Stores.ROS2_KILTED)
    types: dict[str, Any] = {}
    for name, definition in (DEFINITIONS | _VISION).items():
        types.update(get_types_from_msg(definition, name))
    store.register(types)
    return store


def header_of(raw: bytes | memoryview) -> tuple[int, str]:
    """Return stamp in nanoseconds and frame_id of a serialized message whose first field is a header.

    Raises ValueError if the bytes are too few.
    """
    order = "<" if len(raw) > 1 and raw[1] & 1 else ">"
    try:
        seconds, nanoseconds, length = struct.unpack_from(f"{order}iII", raw, 4)
    except struct.error:
        raise ValueError(f"a message of {len(raw)} bytes is too short for a header") from None
    if 16 + length > len(raw):
        raise ValueError("the header's frame_id is longer than the message")
    return seconds * NS_PER_S + nanoseconds, bytes(raw[16 : 16 + max(0, length - 1)]).decode(errors="replace")


def image_of(raw: bytes | memoryview, message_type: str) -> ImageBuffer | CompressedBuffer:
    """Return the image behind a serialized Image or CompressedImage, not yet looked into.

    A message that can't be read comes back with an invalid encoding, which the pipeline drops and counts as
    undecodable, as it does with every damaged frame.
    """
    try:
        # a bytearray, because arrays that look into bytes are read-only, about which torch warns
        message: Any = typestore().deserialize_cdr(memoryview(bytearray(raw)), message_type)
    except Exception as error:  # noqa: BLE001  # the parser raises many types on damaged bytes; the frame is counted
        return _undecodable(f"damaged message: {type(error).__name__}")
    if message_type == COMPRESSED:
        return CompressedBuffer(format=message.format, data=message.data)
    return ImageBuffer.of(message)


def image_message(image: npt.NDArray[Any], encoding: str, stamp_ns: int, frame_id: str) -> memoryview:
    """Return a serialized Image, tightly packed and little-endian.

    image: (H, W) or (H, W, 3) of the encoding's type, in its colour order.
    """
    store = typestore()
    little = np.ascontiguousarray(image, image.dtype.newbyteorder("<"))
    message = store.types[IMAGE](
        header=message_header(stamp_ns, frame_id),
        height=image.shape[0],
        width=image.shape[1],
        encoding=encoding,
        is_bigendian=0,
        step=little.strides[0],
        data=little.reshape(-1).view(np.uint8),
    )
    return store.serialize_cdr(message, IMAGE)


def compressed_message(image: npt.NDArray[Any], encoding: str, kind: str, stamp_ns: int, frame_id: str) -> memoryview:
    """Return a serialized CompressedImage as image_transport writes it.

    image: (H, W) uint8 or uint16, or (H, W, 3) uint8 RGB; kind: "jpeg" or "png".
    """
    store = typestore()
    pixels = cv2.cvtColor(image, cv2.COLOR_RGB2BGR) if image.ndim == 3 else image
    done, data = cv2.imencode(f".{kind}", pixels)
    if not done:
        raise ValueError(f"{image.dtype} {image.shape} can't be written as {kind}")
    message = store.types[COMPRESSED](
        header=message_header(stamp_ns, frame_id), format=f"{encoding}; {kind} compressed ", data=data.reshape(-1)
    )
    return store.serialize_cdr(message, COMPRESSED)


def semantic_map_message(
    result: EngineResult,
    label_set: LabelSet,
    *,
    stamp_ns: int,
    frame_id: str,
    pair_offset_s: float,
    model_name: str,
    model_hash: str,
    cameras: CameraReport | None = None,
) -> memoryview:
    """Return a serialized segmif_ros/SemanticMap; its inference_ms is 0, so that two runs write the same bytes."""
    store = typestore()
    height, width = result.labels.shape
    counts = np.bincount(result.labels.ravel(), minlength=256).tolist()
    colours = label_set.palette.tolist()
    semantic_class = store.types["segmif_ros/msg/SemanticClass"]
    message = store.types[SEMANTIC_MAP](
        header=message_header(stamp_ns, frame_id),
        height=height,
        width=width,
        labels=np.ascontiguousarray(result.labels).reshape(-1),
        confidence=np.ascontiguousarray(result.confidence).reshape(-1),
        classes=[
            semantic_class(id=i, name=name, r=colours[i][0], g=colours[i][1], b=colours[i][2], pixel_count=counts[i])
            for i, name in enumerate(label_set.names)
        ],
        pair_offset_s=pair_offset_s,
        model_name=model_name,
        model_hash=model_hash,
        inference_ms=0.0,
        **(cameras or CameraReport()).as_fields(),
    )
    return store.serialize_cdr(message, SEMANTIC_MAP)


def camera_info_of(raw: bytes | memoryview) -> dict[str, Any]:
    """Return a serialized CameraInfo as plain values: frame_id, height, width, distortion_model, d, k, r, p, roi.

    Numbers that aren't finite are None, as JSON has none of them.

    Raises:
        ValueError: If the bytes are no such message.
    """
    try:
        message: Any = typestore().deserialize_cdr(raw, CAMERA_INFO)
    except Exception as error:  # the parser raises many types on damaged bytes
        raise ValueError(f"damaged CameraInfo: {type(error).__name__}") from error
    roi = message.roi
    matrices = {
        name: [float(each) if math.isfinite(each) else None for each in getattr(message, name)]
        for name in ("d", "k", "r", "p")
    }
    return {
        "frame_id": message.header.frame_id,
        "height": message.height,
        "width": message.width,
        "distortion_model": message.distortion_model,
        **matrices,
        "binning": [message.binning_x, message.binning_y],
        "roi": [roi.x_offset, roi.y_offset, roi.width, roi.height],
    }


def camera_info_message(
    height: int, width: int, K: npt.NDArray[np.float64], stamp_ns: int, frame_id: str
) -> memoryview:
    """Return a serialized CameraInfo of a pinhole camera without distortion; K (3, 3) in pixels."""
    store = typestore()
    k = np.ascontiguousarray(K, np.float64).reshape(-1)
    message = store.types[CAMERA_INFO](
        header=message_header(stamp_ns, frame_id),
        height=height,
        width=width,
        distortion_model="plumb_bob",
        d=np.zeros(5),
        k=k,
        r=np.eye(3).reshape(-1),
        p=np.insert(k.reshape(3, 3), 3, 0, axis=1).reshape(-1),
        binning_x=0,
        binning_y=0,
        roi=store.types["sensor_msgs/msg/RegionOfInterest"](
            x_offset=0, y_offset=0, height=0, width=0, do_rectify=False
        ),
    )
    return store.serialize_cdr(message, CAMERA_INFO)


def camera_info_again(info: dict[str, Any], stamp_ns: int, frame_id: str) -> memoryview:
    """Return a serialized CameraInfo of what `camera_info_of` returned, with another header."""
    store = typestore()
    x, y, width, height = info["roi"]
    message = store.types[CAMERA_INFO](
        header=message_header(stamp_ns, frame_id),
        height=info["height"],
        width=info["width"],
        distortion_model=info["distortion_model"],
        **{name: np.asarray(info[name], np.float64) for name in ("d", "k", "r", "p")},
        binning_x=info["binning"][0],
        binning_y=info["binning"][1],
        roi=store.types["sensor_msgs/msg/RegionOfInterest"](
            x_offset=x, y_offset=y, height=height, width=width, do_rectify=False
        ),
    )
    return store.serialize_cdr(message, CAMERA_INFO)


def label_info_message(labels: LabelSet, stamp_ns: int, frame_id: str) -> memoryview:
    """Return a serialized vision_msgs/LabelInfo with the names of the class ids, as the node publishes it."""
    store = typestore()
    named = store.types["vision_msgs/msg/VisionClass"]
    classes = [named(class_id=i, class_name=name) for i, name in enumerate(labels.names)]
    message = store.types[LABEL_INFO](header=message_header(stamp_ns, frame_id), class_map=classes, threshold=0.0)
    return store.serialize_cdr(message, LABEL_INFO)


def message_header(stamp_ns: int, frame_id: str) -> Any:
    """Return a std_msgs/Header of the type store."""
    types = typestore().types
    stamp = types["builtin_interfaces/msg/Time"](sec=stamp_ns // NS_PER_S, nanosec=stamp_ns % NS_PER_S)
    return types["std_msgs/msg/Header"](stamp=stamp, frame_id=frame_id)


def _undecodable(what: str) -> ImageBuffer:
    return ImageBuffer(encoding=what, height=0, width=0, step=0, is_bigendian=False, data=b"")
