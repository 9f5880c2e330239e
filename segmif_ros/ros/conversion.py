# SPDX-License-Identifier: Apache-2.0
"""Encodings that `segmif_ros.imaging.encodings` doesn't know, through cv_bridge where a ROS 2 install brings it.

What this package knows it reads itself in both worlds, so results don't depend on what is installed.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from sensor_msgs.msg import Image

from segmif_ros.imaging.encodings import EncodingError, ImageBuffer
from segmif_ros.ros.messages import byte_array
from segmif_ros.stream.processing import Convert


def cv_bridge_conversion() -> Convert | None:
    """Return the conversion, or None where cv_bridge is not installed."""
    try:
        from cv_bridge import CvBridge, CvBridgeError
    except ImportError:
        return None
    bridge = CvBridge()

    def convert(image: ImageBuffer, camera: str) -> ImageBuffer:
        message = Image(
            encoding=image.encoding,
            height=image.height,
            width=image.width,
            step=image.step,
            is_bigendian=int(image.is_bigendian),
            data=byte_array(np.frombuffer(image.data, np.uint8)),
        )
        try:
            pixels = bridge.imgmsg_to_cv2(message, "rgb8" if camera == "rgb" else "passthrough")
        except CvBridgeError as error:
            raise EncodingError(f"cv_bridge can't convert it: {' '.join(str(error).split())}") from error
        return buffer_of(pixels, image.encoding)

    return convert


def buffer_of(pixels: np.ndarray[Any, Any], encoding: str) -> ImageBuffer:
    """Return (H, W, 3) uint8 as rgb8, (H, W) uint8 as mono8, uint16 as mono16, other values as 32FC1.

    Raises:
        EncodingError: For another shape; ``encoding`` says what it came from.
    """
    if pixels.ndim == 3 and pixels.shape[2] == 1:
        pixels = pixels[:, :, 0]
    if pixels.ndim == 3 and pixels.shape[2] == 3 and pixels.dtype == np.uint8:
        name = "rgb8"
    elif pixels.ndim == 2:
        name = {"uint8": "mono8", "uint16": "mono16"}.get(pixels.dtype.name, "32FC1")
    else:
        raise EncodingError(f"encoding '{encoding}' became {pixels.dtype} {pixels.shape} in cv_bridge: no image for us")
    little = np.ascontiguousarray(pixels, "<f4" if name == "32FC1" else pixels.dtype.newbyteorder("<"))
    height, width = little.shape[:2]
    return ImageBuffer(
        encoding=name, height=height, width=width, step=little.strides[0], is_bigendian=False, data=little
    )
