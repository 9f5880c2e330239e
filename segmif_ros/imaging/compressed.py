# SPDX-License-Identifier: Apache-2.0
"""JPEG and PNG images as image_transport sends them, opened into what `segmif_ros.imaging.encodings` reads."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import cv2
import numpy as np

from segmif_ros.imaging import jpeg, png
from segmif_ros.imaging.encodings import MAX_PIXELS, EncodingError, ImageBuffer, require_pixels

_HEAD = 1 << 20  # bytes of a JPEG before its frame: tags and a thumbnail
_CHANNELS = {1: "mono", 3: "bgr", 4: "bgra"}


@dataclass(frozen=True, kw_only=True, slots=True)
class CompressedBuffer:
    """One compressed image as it came, not yet looked into.

    Attributes:
        format: As in sensor_msgs/CompressedImage, for example "jpeg" or "mono16; png compressed ".
        data: Anything with the buffer protocol: bytes, bytearray, array.array, memoryview.
    """

    format: str
    data: Any

    @property
    def encoding(self) -> str:
        """What the image was before its compression, if the format has it, else the format."""
        return self.format.partition(";")[0].strip()


def decompress(image: CompressedBuffer, max_pixels: int = MAX_PIXELS) -> ImageBuffer:
    """Return the image that was compressed: mono8, bgr8, bgra8, rgb8, bayer_*8 or, from a PNG, mono16 and bgr16.

    Args:
        image: As it came.
        max_pixels: What the header may say: a few bytes can claim any size, and a decoder takes the memory for it.

    Raises:
        EncodingError: If it is neither JPEG nor PNG, incomplete, or damaged beyond what the decoder can open.
        ImageTooLargeError: If it has more than ``max_pixels``.
    """
    whole = checked(image, max_pixels)
    try:
        # unchanged: 16 bits stay 16, and nothing is turned by a camera's orientation tag
        pixels = cv2.imdecode(np.frombuffer(whole, np.uint8), cv2.IMREAD_UNCHANGED)
    except cv2.error as error:
        raise EncodingError(f"OpenCV can't open it ({error.err}): {_described(image)}") from error
    if pixels is None:
        raise EncodingError(f"OpenCV can't open it: {_described(image)}")
    height, width = pixels.shape[:2]
    return ImageBuffer(
        encoding=_encoding(image, pixels),
        height=height,
        width=width,
        step=pixels.strides[0],
        is_bigendian=False,
        data=pixels.astype(pixels.dtype.newbyteorder("<"), copy=False),
    )


def checked(image: CompressedBuffer, max_pixels: int = MAX_PIXELS) -> bytes:
    """Return the file with the same image that is given to a decoder; see `segmif_ros.imaging.jpeg` and ``png``.

    Args:
        image: As it came.
        max_pixels: What the header may say.

    Raises:
        EncodingError: If it is neither JPEG nor PNG, incomplete, or damaged.
        ImageTooLargeError: If it has more than ``max_pixels``.
    """
    data = bytes(image.data)
    if "compresseddepth" in image.format.lower():
        raise EncodingError("a compressedDepth image is no camera image: subscribe to the compressed one")
    if not data.startswith((jpeg.START, png.SIGNATURE)):
        raise EncodingError(f"neither JPEG nor PNG: {_described(image)}")
    size = image_size(data)
    if size is None:
        raise EncodingError(f"its header doesn't say its size: {_described(image)}")
    require_pixels(*size, max_pixels)
    try:
        return jpeg.whole_jpeg(data) if data.startswith(jpeg.START) else png.whole_png(data)
    except png.DamagedError as error:
        raise EncodingError(f"{error}: {_described(image)}") from None


def image_size(data: bytes | memoryview) -> tuple[int, int] | None:
    """Return (width, height) as in the header of a JPEG or PNG; None if it has none."""
    if bytes(data[:16]) == png.START:
        width, height = int.from_bytes(data[16:20], "big"), int.from_bytes(data[20:24], "big")
        return (width, height) if len(data) >= 24 and width and height else None
    head = bytes(data[:_HEAD])
    at = head.find(b"\xff", 2)  # decoders skip what is between segments
    while 0 <= at <= len(head) - 9:
        marker = head[at + 1]
        if marker == 0xFF:  # padding
            at += 1
        elif marker in jpeg.FRAMES:
            height, width = int.from_bytes(head[at + 5 : at + 7], "big"), int.from_bytes(head[at + 7 : at + 9], "big")
            return (width, height) if width and height else None
        elif marker in jpeg.ALONE:
            at += 2
        else:
            at += 2 + int.from_bytes(head[at + 2 : at + 4], "big")
        at = head.find(b"\xff", at)
    return None


def _encoding(image: CompressedBuffer, pixels: np.ndarray[Any, Any]) -> str:
    """Name what the decoder gave; it orders colours as BGR."""
    channels = 1 if pixels.ndim == 2 else pixels.shape[2]
    bits = 8 * pixels.dtype.itemsize
    if channels == 1:
        # image_transport leaves a Bayer pattern as it is in a PNG and notes it in front
        pattern = image.encoding if image.encoding.startswith("bayer_") and image.encoding.endswith(str(bits)) else ""
        return pattern or f"mono{bits}"
    # image_transport's publisher names the order of what it gave to the encoder, which stores blue where red should be
    swapped = "compressed rgb" in image.format
    name = _CHANNELS[channels]
    return f"{name.replace('bgr', 'rgb') if swapped else name}{bits}"


def _described(image: CompressedBuffer) -> str:
    return f"{memoryview(image.data).nbytes} bytes with format '{image.format}'"
