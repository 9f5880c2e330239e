# SPDX-License-Identifier: Apache-2.0
"""A cheap look at a frame as it arrived: a subsample of it, measured, without decoding it where that can be avoided."""

from __future__ import annotations

import zlib
from dataclasses import dataclass
from typing import Any

import cv2
import numpy as np
import numpy.typing as npt

from segmif_ros.imaging import jpeg
from segmif_ros.imaging.compressed import CompressedBuffer, checked, decompress
from segmif_ros.imaging.crop import Crop
from segmif_ros.imaging.encodings import (
    INFRARED_ENCODINGS,
    RGB_ENCODINGS,
    EncodingError,
    ImageBuffer,
    view,
)
from segmif_ros.imaging.histogram import byte_counts

_ROWS = 48  # of a frame that are looked at
_COLUMNS = 640  # at most, of each of them; every second one of a wider frame, and so on
_FULL_SCALES = (255, 1023, 4095, 16383, 65535)
_BRIGHT = 250  # grey levels of 8 bit


@dataclass(frozen=True, kw_only=True, slots=True)
class Look:
    """What a subsample of one frame shows; values in the camera's own unit (grey levels, counts, kelvin).

    Attributes:
        digest: Tells other sampled bytes apart, within this process.
        low: 1st percentile.
        high: 99th percentile.
        saturated: Share of the sample at the end of its scale.
        detail: Mean magnitude of the horizontal gradient.
        eight_bit: Whether values are grey levels of 8 bit.
    """

    digest: int
    low: float
    high: float
    saturated: float
    detail: float
    eight_bit: bool

    @property
    def width(self) -> float:
        """Width of the range of values."""
        return self.high - self.low


def look(image: ImageBuffer | CompressedBuffer, camera: str, crop: Crop | None = None) -> Look | None:
    """Look at a frame.

    Args:
        image: As it arrived.
        camera: "infrared" or "rgb".
        crop: What to leave out; None for nothing.

    Returns:
        What was seen; None if the image can't be decoded.
    """
    crop = crop or Crop()
    try:
        if isinstance(image, CompressedBuffer):
            return _measured(_opened(image, crop), zlib.crc32(memoryview(image.data)))
        known = INFRARED_ENCODINGS if camera == "infrared" else RGB_ENCODINGS
        if image.encoding not in known:
            return None if image.encoding in ("8UC3", "8UC4", "") else _unknown(image)
        plane = _sampled(view(image), image.encoding, crop)
    except EncodingError:
        return None
    plane = np.ascontiguousarray(plane)
    # a CRC would give the interpreter's lock away, and another thread would take it for milliseconds
    return _measured(plane, hash(plane.tobytes()))


def _opened(image: CompressedBuffer, crop: Crop) -> npt.NDArray[Any]:
    """Return a sample of a JPEG or PNG: (H', W') in the camera's own unit."""
    if bytes(image.data[:3]) == jpeg.START:
        small = cv2.imdecode(np.frombuffer(checked(image), np.uint8), cv2.IMREAD_REDUCED_GRAYSCALE_4)
        if small is None:
            raise EncodingError("not a readable JPEG")
        return np.asarray(small)
    opened = decompress(image)
    return _sampled(view(opened), opened.encoding, crop)


def _unknown(image: ImageBuffer) -> Look:
    """Return a look at the bytes of an encoding that somebody else converts: only whether they change is known."""
    data = np.frombuffer(image.data, np.uint8)
    digest = zlib.crc32(data[:: max(1, data.size // (_ROWS * _COLUMNS))].tobytes())
    return Look(digest=digest, low=0.0, high=255.0, saturated=0.0, detail=1.0, eight_bit=True)


def _sampled(pixels: npt.NDArray[Any], encoding: str, crop: Crop) -> npt.NDArray[Any]:
    """Return (rows, columns) of one channel: the green one, the luma, or the only one there is."""
    if pixels.ndim == 3:
        pixels = pixels[..., 0 if encoding in ("yuv422_yuy2", "yuyv") else 1]
    elif encoding in ("nv12", "nv21"):
        pixels = pixels[: 2 * pixels.shape[0] // 3]
    pixels = crop.apply(pixels)
    step = max(1, pixels.shape[0] // _ROWS)
    rows = pixels[step // 2 :: step]
    bayer = 2 if encoding.startswith("bayer") else 1  # every second column has one colour
    return rows[:, :: bayer * max(1, rows.shape[1] // (bayer * _COLUMNS))]


def _measured(plane: npt.NDArray[Any], digest: int) -> Look:
    """Measure a sample (H, W) of one channel, in any byte order."""
    if plane.dtype.itemsize == 1:
        plane = np.ascontiguousarray(plane).view(np.uint8)
        share = np.cumsum(byte_counts(plane)) / plane.size
        low, high = (float(np.searchsorted(share, quantile)) for quantile in (0.01, 0.99))
        saturated = 1.0 - float(share[_BRIGHT - 1])
        return Look(digest=digest, low=low, high=high, saturated=saturated, detail=_gradient(plane), eight_bit=True)
    unsigned = plane.dtype.kind == "u"
    values = np.require(plane, np.uint16 if unsigned and plane.dtype.itemsize == 2 else np.float32, ["C", "ALIGNED"])
    if values.dtype == np.float32 and not np.isfinite(values).all():  # dead pixels of a radiometric image
        finite = values[np.isfinite(values)]
        middle = np.float32(np.median(finite)) if finite.size else np.float32(0)
        values = np.where(np.isfinite(values), values, middle)
    sample = values[:, ::4].ravel()
    places = int(0.01 * (sample.size - 1)), int(0.99 * (sample.size - 1))
    parted = np.partition(sample, places)
    low, high = (float(parted[place]) for place in places)
    # all but one in a hundred are below it, so a picture that is white for the most part has its maximum there
    saturated = float(np.mean(sample == high)) if unsigned and high in _FULL_SCALES else 0.0
    return Look(digest=digest, low=low, high=high, saturated=saturated, detail=_gradient(values), eight_bit=False)


def _gradient(plane: npt.NDArray[Any]) -> float:
    """Return the mean magnitude of the difference between neighbours in a row."""
    return float(cv2.mean(cv2.absdiff(plane[:, 1:], plane[:, :-1]))[0]) if plane.shape[1] > 1 else 0.0
