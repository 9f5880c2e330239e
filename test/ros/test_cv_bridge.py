# SPDX-License-Identifier: Apache-2.0
"""Our conversions against cv_bridge's, byte for byte, in a ROS 2 install that brings it."""

import numpy as np
import pytest

pytest.importorskip("rclpy", reason="no ROS 2 here")
pytest.importorskip("cv_bridge", reason="only a ROS 2 install has cv_bridge")

from cv_bridge import CvBridge
from sensor_msgs.msg import Image

from segmif_ros.imaging.encodings import ImageBuffer, to_infrared, to_rgb
from segmif_ros.ros.messages import byte_array

# encodings that both know; of YUV with an odd width the last column is undefined in cv_bridge
RGB = {
    **dict.fromkeys(("mono8", "bayer_rggb8", "bayer_bggr8", "bayer_gbrg8", "bayer_grbg8"), 1),
    **dict.fromkeys(("mono16", "yuv422", "yuv422_yuy2"), 2),
    **dict.fromkeys(("bayer_rggb16", "bayer_bggr16", "bayer_gbrg16", "bayer_grbg16"), 2),
    "rgb8": 3, "bgr8": 3, "rgba8": 4, "bgra8": 4, "rgb16": 6, "bgr16": 6, "rgba16": 8, "bgra16": 8,
}
INFRARED = {"mono8": 1, "8UC1": 1, "mono16": 2, "16UC1": 2, "32FC1": 4}
LUMA = {"rgb8": 3, "bgr8": 3, "rgba8": 4, "bgra8": 4}


def message(encoding: str, pixel_bytes: int, height: int, width: int) -> Image:
    data = np.random.default_rng(1).integers(0, 256, height * width * pixel_bytes, dtype=np.uint8)
    if encoding == "32FC1":
        data = np.random.default_rng(1).normal(300, 20, height * width).astype("<f4").view(np.uint8)
    step = width * pixel_bytes
    return Image(encoding=encoding, height=height, width=width, step=step, data=byte_array(data))


@pytest.mark.parametrize("size", [(48, 64), (47, 64)])
@pytest.mark.parametrize("encoding", RGB)
def test_an_rgb_image_is_cv_bridges_byte_for_byte(encoding, size) -> None:
    sent = message(encoding, RGB[encoding], *size)
    theirs = CvBridge().imgmsg_to_cv2(sent, "rgb8")
    assert np.array_equal(to_rgb(ImageBuffer.of(sent)), theirs)


@pytest.mark.parametrize("encoding", INFRARED)
def test_an_infrared_image_is_cv_bridges_byte_for_byte(encoding) -> None:
    sent = message(encoding, INFRARED[encoding], 47, 63)
    assert np.array_equal(to_infrared(ImageBuffer.of(sent)), CvBridge().imgmsg_to_cv2(sent, "passthrough"))


@pytest.mark.parametrize("encoding", LUMA)
def test_the_luminance_of_a_palette_is_cv_bridges_byte_for_byte(encoding) -> None:
    sent = message(encoding, LUMA[encoding], 47, 63)
    assert np.array_equal(to_infrared(ImageBuffer.of(sent)), CvBridge().imgmsg_to_cv2(sent, "mono8"))
