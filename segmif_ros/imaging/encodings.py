# SPDX-License-Identifier: Apache-2.0
"""Images as cameras send them (an encoding name and a byte buffer) turned into numpy arrays.

The names are those of sensor_msgs/image_encodings. `view` and the plain encodings copy nothing: the arrays look into
the buffer, padded rows through their strides. What costs a copy: another byte order, another colour order, Bayer, YUV.

Shapes: H rows, W columns. Colour order is always stated: RGB unless the name of the encoding states otherwise.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import cv2
import numpy as np

from segmif_ros.arrays import Array


class EncodingError(ValueError):
    """A buffer that can't be an image of the stated size, or an encoding that isn't known; one line."""


class ImageTooLargeError(EncodingError):
    """An image of more pixels than are allowed; one line."""


# Of one image at most, unless the parameter states otherwise: 4096x4096.
MAX_PIXELS = 1 << 24


def require_pixels(width: int, height: int, max_pixels: int) -> None:
    """Refuse an image of too many pixels.

    Args:
        width: Columns.
        height: Rows.
        max_pixels: How many are allowed.

    Raises:
        ImageTooLargeError: If there are more.
    """
    if width * height > max_pixels:
        raise ImageTooLargeError(
            f"it is {width}x{height}, {1e-6 * width * height:.1f} million pixels: max_pixels allows "
            f"{1e-6 * max_pixels:.1f} million"
        )


@dataclass(frozen=True, kw_only=True, slots=True)
class ImageBuffer:
    """One image as it came, not yet looked into.

    Attributes:
        encoding: Name as in sensor_msgs/image_encodings, for example "mono16".
        height: Rows.
        width: Columns.
        step: Bytes from one row to the next; 0 (left out by some drivers) means tightly packed.
        is_bigendian: Byte order of 16-bit and 32-bit values.
        data: Anything with the buffer protocol: bytes, bytearray, array.array, memoryview.
    """

    encoding: str
    height: int
    width: int
    step: int
    is_bigendian: bool
    data: Any

    @classmethod
    def of(cls, message: Any) -> ImageBuffer:
        """Return the image behind anything with the fields of sensor_msgs/Image; its bytes are not copied."""
        return cls(
            encoding=message.encoding,
            height=message.height,
            width=message.width,
            step=message.step,
            is_bigendian=bool(message.is_bigendian),
            data=message.data,
        )


_OF_DTYPES = {"uint8": "mono8", "uint16": "mono16", "float32": "32FC1"}


def buffer_of(image: Array) -> ImageBuffer:
    """Return an array, infrared (H, W) or RGB (H, W, 3), as the image message that a camera would have sent."""
    encoding = "rgb8" if image.ndim == 3 else _OF_DTYPES[image.dtype.name]
    image = np.ascontiguousarray(image, image.dtype.newbyteorder("<"))
    return ImageBuffer(
        encoding=encoding,
        height=image.shape[0],
        width=image.shape[1],
        step=image.strides[0],
        is_bigendian=False,
        data=image.reshape(-1).view(np.uint8),
    )


# encoding -> (values a pixel, numpy type without byte order)
_LAYOUTS = {
    "mono8": (1, "u1"),
    "8UC1": (1, "u1"),
    "mono16": (1, "u2"),
    "16UC1": (1, "u2"),
    "32FC1": (1, "f4"),
    "rgb8": (3, "u1"),
    "bgr8": (3, "u1"),
    "rgba8": (4, "u1"),
    "bgra8": (4, "u1"),
    "bayer_rggb8": (1, "u1"),
    "bayer_bggr8": (1, "u1"),
    "bayer_gbrg8": (1, "u1"),
    "bayer_grbg8": (1, "u1"),
    "yuv422": (2, "u1"),
    "uyvy": (2, "u1"),
    "yuv422_yuy2": (2, "u1"),
    "yuyv": (2, "u1"),
    "nv12": (1, "u1"),
    # rare ones
    "8SC1": (1, "i1"),
    "16SC1": (1, "i2"),
    "32SC1": (1, "i4"),
    "64FC1": (1, "f8"),
    "rgb16": (3, "u2"),
    "bgr16": (3, "u2"),
    "rgba16": (4, "u2"),
    "bgra16": (4, "u2"),
    "bayer_rggb16": (1, "u2"),
    "bayer_bggr16": (1, "u2"),
    "bayer_gbrg16": (1, "u2"),
    "bayer_grbg16": (1, "u2"),
    "nv21": (1, "u1"),
}
_TO_RGB = {
    "mono8": cv2.COLOR_GRAY2RGB,
    "8UC1": cv2.COLOR_GRAY2RGB,
    "mono16": cv2.COLOR_GRAY2RGB,
    "bgr8": cv2.COLOR_BGR2RGB,
    "rgba8": cv2.COLOR_RGBA2RGB,
    "bgra8": cv2.COLOR_BGRA2RGB,
    # OpenCV names a pattern after the second row's second and third pixel, ROS after the first row's first two
    "bayer_rggb8": cv2.COLOR_BayerBG2RGB,
    "bayer_bggr8": cv2.COLOR_BayerRG2RGB,
    "bayer_gbrg8": cv2.COLOR_BayerGR2RGB,
    "bayer_grbg8": cv2.COLOR_BayerGB2RGB,
    "bgr16": cv2.COLOR_BGR2RGB,
    "rgba16": cv2.COLOR_RGBA2RGB,
    "bgra16": cv2.COLOR_BGRA2RGB,
    "bayer_rggb16": cv2.COLOR_BayerBG2RGB,
    "bayer_bggr16": cv2.COLOR_BayerRG2RGB,
    "bayer_gbrg16": cv2.COLOR_BayerGR2RGB,
    "bayer_grbg16": cv2.COLOR_BayerGB2RGB,
}
_TO_LUMA = {
    "rgb8": cv2.COLOR_RGB2GRAY,
    "bgr8": cv2.COLOR_BGR2GRAY,
    "rgba8": cv2.COLOR_RGBA2GRAY,
    "bgra8": cv2.COLOR_BGRA2GRAY,
}
_UYVY = ("yuv422", "uyvy")
_YUYV = ("yuv422_yuy2", "yuyv")
_HALF_CHROMA = {"nv12": cv2.COLOR_YUV2RGB_NV12, "nv21": cv2.COLOR_YUV2RGB_NV21}
_NEUTRAL = 8  # so far from 128 chroma shows no colour
_AS_FLOAT = ("8SC1", "16SC1", "32SC1", "64FC1")

RGB_ENCODINGS = ("rgb8", "rgb16", *_TO_RGB, *_UYVY, *_YUYV, *_HALF_CHROMA)
INFRARED_ENCODINGS = (
    *("mono8", "8UC1", "mono16", "16UC1", "32FC1"),
    *_AS_FLOAT,
    *_TO_LUMA,
    *_UYVY,
    *_YUYV,
    *_HALF_CHROMA,
)


def view(image: ImageBuffer) -> Array:
    """Return the buffer as an array, without a copy.

    Returns:
        (H, W) for one value a pixel, (H, W, C) for more, in the encoding's own order and the buffer's byte order;
        (H + ceil(H / 2), W rounded up to even) for nv12 and nv21, the chroma rows below the luma rows.

    Raises:
        EncodingError: If the encoding is unknown, a side is 0, the step is shorter than a row, or the buffer's length
            isn't step times rows.
    """
    try:
        channels, kind = _LAYOUTS[image.encoding]
    except KeyError:
        known = ", ".join(_LAYOUTS)
        raise EncodingError(f"encoding '{image.encoding}' is not supported: publish one of {known}") from None
    if image.height < 1 or image.width < 1:
        raise EncodingError(f"the image is empty: {_described(image)}")
    dtype = np.dtype(kind).newbyteorder(">" if image.is_bigendian else "<")
    rows, columns = image.height, image.width
    if image.encoding in _HALF_CHROMA:
        rows, columns = rows + (rows + 1) // 2, columns + columns % 2
    row_bytes = columns * channels * dtype.itemsize
    step = image.step or row_bytes
    if step < row_bytes:
        raise EncodingError(f"step is {step} bytes but a row has {row_bytes}: {_described(image)}")
    size = memoryview(image.data).nbytes
    # a buffer may end with the last pixel: some drivers leave out the padding of the last row
    if size not in (rows * step, (rows - 1) * step + row_bytes):
        raise EncodingError(f"the data has {size} bytes, step times rows is {rows * step}: {_described(image)}")
    shape: tuple[int, ...] = (rows, columns)
    strides: tuple[int, ...] = (step, channels * dtype.itemsize)
    if channels > 1:
        shape, strides = (*shape, channels), (*strides, dtype.itemsize)
    return np.ndarray(shape, dtype, buffer=image.data, strides=strides)


def to_rgb(image: ImageBuffer) -> Array:
    """Return (H, W, 3) uint8 RGB; for rgb8 a view, for the other encodings a new array. 16 bits become 8 by rounding.

    Raises:
        EncodingError: As `view`, and for an encoding that is no colour image nor an 8-bit grey one.
    """
    if image.encoding not in RGB_ENCODINGS:
        raise EncodingError(_no_role(image.encoding, "an RGB image", RGB_ENCODINGS))
    pixels = view(image)
    if image.encoding == "rgb8":
        return pixels
    pixels = _ours(pixels)
    if image.encoding == "rgb16":
        return _eight_bits(pixels)
    if image.encoding in _TO_RGB:
        if image.encoding.startswith("bayer") and min(image.height, image.width) < 3:
            raise EncodingError(f"a Bayer image needs at least 3x3 pixels: {_described(image)}")
        return _eight_bits(_converted(pixels, _TO_RGB[image.encoding]))
    if image.encoding in _HALF_CHROMA:
        return _half_chroma_to_rgb(pixels, image)
    return _yuv422_to_rgb(pixels, luma=1 if image.encoding in _UYVY else 0)


def to_infrared(image: ImageBuffer) -> Array:
    """Return (H, W) uint8, uint16 or float32 in the machine's byte order, values as the camera sent them.

    Signed and 64-bit values become float32. A pseudo-coloured image (see `is_pseudo_coloured`) becomes its luminance,
    uint8; of the YUV of UVC cameras the luma is taken as it is.

    Raises:
        EncodingError: As `view`, and for an encoding that no thermal camera driver uses.
    """
    if image.encoding not in INFRARED_ENCODINGS:
        raise EncodingError(_no_role(image.encoding, "an infrared image", INFRARED_ENCODINGS))
    pixels = view(image)
    if image.encoding in _TO_LUMA:
        return _converted(_ours(pixels), _TO_LUMA[image.encoding])
    if image.encoding in _UYVY + _YUYV:
        return np.ascontiguousarray(pixels[..., 1 if image.encoding in _UYVY else 0])
    if image.encoding in _HALF_CHROMA:
        return pixels[: image.height, : image.width]
    if image.encoding in _AS_FLOAT:
        with np.errstate(over="ignore"):  # infinite, then; the gain stage copes
            return pixels.astype(np.float32)
    return _ours(pixels)


def is_pseudo_coloured(image: ImageBuffer) -> bool:
    """Whether an infrared image shows colours of a palette instead of measured values.

    Three channels always do; the YUV of a UVC camera does if its chroma isn't neutral.
    """
    if image.encoding in _TO_LUMA:
        return True
    if image.encoding in _UYVY + _YUYV:
        chroma = view(image)[..., 0 if image.encoding in _UYVY else 1]
    elif image.encoding in _HALF_CHROMA:
        chroma = view(image)[image.height :]
    else:
        return False
    sample = chroma[:: max(1, chroma.shape[0] // 16), :: max(1, chroma.shape[1] // 16)]
    return bool((np.abs(sample.astype(np.int16) - 128) > _NEUTRAL).mean() > 0.05)


def _yuv422_to_rgb(pixels: Array, *, luma: int) -> Array:
    """(H, W, 2) uint8, luma in channel ``luma`` and U, V in turn in the other, BT.601 video range -> (H, W, 3) RGB."""
    height, width = pixels.shape[:2]
    if width % 2:  # OpenCV takes pairs of columns: complete the last one by its neighbour's
        padded = np.full((height, width + 1, 2), 128, np.uint8)
        padded[:, :width] = pixels
        padded[:, width, luma] = pixels[:, width - 1, luma]
        if width > 1:
            padded[:, width, 1 - luma] = pixels[:, width - 2, 1 - luma]
        pixels = padded
    code = cv2.COLOR_YUV2RGB_UYVY if luma == 1 else cv2.COLOR_YUV2RGB_YUY2
    return cv2.cvtColor(pixels, code)[:, :width]


def _half_chroma_to_rgb(pixels: Array, image: ImageBuffer) -> Array:
    """Luma rows and, below, rows of interleaved U, V (nv21: V, U) at half resolution, BT.601 video range -> RGB."""
    height, width = image.height, image.width
    luma, chroma = pixels[:height], pixels[height:]
    if height % 2 or width % 2:
        luma = cv2.copyMakeBorder(luma[:, :width], 0, height % 2, 0, width % 2, cv2.BORDER_REPLICATE)
    chroma = np.ascontiguousarray(chroma).reshape(chroma.shape[0], -1, 2)
    return cv2.cvtColorTwoPlane(luma, chroma, _HALF_CHROMA[image.encoding])[:height, :width]


def _ours(pixels: Array) -> Array:
    """Return the same values in the machine's byte order, and in rows that OpenCV takes: whole values apart."""
    if 1 in pixels.shape[:2]:  # NumPy may give such an axis any stride, which old OpenCV doesn't take
        pixels = pixels.copy()
    return np.require(pixels, pixels.dtype.newbyteorder("="), ["ALIGNED"])


def _converted(pixels: Array, code: int) -> Array:
    """Return cv2.cvtColor's result, also of a single pixel, which OpenCV 4.5.4 doesn't take."""
    if pixels.shape[:2] == (1, 1):
        return cv2.cvtColor(np.repeat(pixels, 2, axis=1), code)[:, :1]
    return cv2.cvtColor(pixels, code)


def _eight_bits(pixels: Array) -> Array:
    """uint16 -> uint8, 65535 becoming 255; uint8 stays."""
    return pixels if pixels.dtype == np.uint8 else cv2.convertScaleAbs(pixels, alpha=255 / 65535)


def _described(image: ImageBuffer) -> str:
    return f"{image.encoding} {image.width}x{image.height}, step {image.step}"


def _no_role(encoding: str, role: str, known: tuple[str, ...]) -> str:
    if encoding.startswith("bayer_"):
        return f"encoding '{encoding}' is the mosaic of a colour camera and no infrared image: are the topics mixed up?"
    if encoding in ("8UC3", "8UC4"):
        return f"encoding '{encoding}' doesn't say its colour order: have the driver publish rgb8 or bgr8"
    return f"encoding '{encoding}' can't be used as {role}: publish one of {', '.join(known)}"
