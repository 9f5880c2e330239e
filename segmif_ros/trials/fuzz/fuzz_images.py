# SPDX-License-Identifier: Apache-2.0
"""Images with lying sizes, steps and bytes, through all that a frame goes through before the engine."""

from __future__ import annotations

import array
import random
import warnings
from functools import partial
from typing import Any

import cv2
import numpy as np
import numpy.typing as npt

from segmif_ros.imaging import encodings
from segmif_ros.imaging.compressed import CompressedBuffer, decompress
from segmif_ros.imaging.crop import Crop
from segmif_ros.imaging.encodings import EncodingError, ImageBuffer, is_pseudo_coloured, to_infrared, to_rgb, view
from segmif_ros.imaging.gain import GAIN_POLICIES, GainConfig, ThermalGain
from segmif_ros.rig.time_offset import TimeOffsetEstimator
from segmif_ros.trials.fuzz.mutation import damaged
from segmif_ros.trials.fuzz.tally import Tally

_ENCODINGS = (
    *dict.fromkeys(encodings.RGB_ENCODINGS + encodings.INFRARED_ENCODINGS),
    *("8UC3", "8UC4", "16UC3", "", "rgb8\0", "RGB8", "yuv420", "mono8 ", "x" * 200, "bayer_rggb12", "nv24", "32FC3"),
)
_SIDES = (0, 1, 2, 3, 4, 5, 7, 8, 9, 16, 17, 29, 30, 33)
_LIES = (0, 1, 2, 3, 5, 16, 29, 64, 255, 256, 640, 65535, 65536, 2**31 - 1, 2**31, 2**32 - 1)
_STAMPS = (0, 1, 10**9, -5, 2**62, -(2**62))
_FILLS = (
    b"\0",
    b"\xff",
    b"\xff\xff\xc0\x7f\0\0\x80\x7f\0\0\x80\xff\xff\xff\x7f\x7f",
)  # also NaN, inf and largest floats


def run(tally: Tally, count: int, seed: int) -> None:
    """Throw ``count`` images, a tenth of them compressed."""
    rng = random.Random(seed)
    estimator = TimeOffsetEstimator()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        for _ in range(count):
            if rng.random() < 0.1:
                _compressed(tally, rng)
            else:
                _frame(tally, _image(rng), rng, estimator)


def _image(rng: random.Random) -> ImageBuffer:
    encoding = rng.choice(_ENCODINGS)
    if rng.random() < 0.3:
        height, width, step = (rng.choice(_LIES) for _ in range(3))
        data = rng.randbytes(rng.randrange(64))
    else:
        height, width = rng.choice(_SIDES), rng.choice(_SIDES)
        row = _row_bytes(encoding, width)
        rows = height + (height + 1) // 2 if encoding in ("nv12", "nv21") else height
        step = rng.choice((0, row, row, row, row + 1, row + 7, 2 * row, max(0, row - 1), rng.choice(_LIES)))
        whole = rows * (step or row)
        size = min(rng.choice((whole, whole, whole, whole - (step or row) + row, whole + 1, whole - 1, 0)), 1 << 16)
        fill = rng.choice(_FILLS)
        data = rng.randbytes(max(size, 0)) if rng.random() < 0.5 else (fill * (size // len(fill) + 1))[: max(size, 0)]
    kind = rng.choice((bytes, bytearray, lambda raw: array.array("B", raw), memoryview))
    big = rng.random() < 0.4
    return ImageBuffer(encoding=encoding, height=height, width=width, step=step, is_bigendian=big, data=kind(data))


def _row_bytes(encoding: str, width: int) -> int:
    try:
        one = view(
            ImageBuffer(encoding=encoding, height=2, width=2, step=64, is_bigendian=False, data=bytes(64 * 3)[:192])
        )
    except EncodingError:
        try:
            one = view(ImageBuffer(encoding=encoding, height=2, width=2, step=64, is_bigendian=False, data=bytes(128)))
        except EncodingError:
            return width
    columns = width + width % 2 if encoding in ("nv12", "nv21") else width
    return columns * one.itemsize * (one.shape[2] if one.ndim == 3 else 1)


def _frame(tally: Tally, image: ImageBuffer, rng: random.Random, estimator: TimeOffsetEstimator) -> None:
    def which() -> str:
        return (
            f"{image.encoding[:20]!r} {image.width}x{image.height}, step {image.step}, big {image.is_bigendian}, "
            f"{memoryview(image.data).nbytes} bytes {bytes(image.data)[:32].hex()}"
        )

    size = (image.height, image.width)
    rgb = tally.attempt("to_rgb", lambda: to_rgb(image), EncodingError, which)
    if rgb is not None:
        tally.require("to_rgb", rgb.dtype == np.uint8 and rgb.shape == (*size, 3), f"{rgb.dtype} {rgb.shape}", which)
    infrared = tally.attempt("to_infrared", lambda: to_infrared(image), EncodingError, which)
    if infrared is None:
        return
    kept = infrared.dtype in (np.uint8, np.uint16, np.float32) and infrared.dtype.isnative and infrared.shape == size
    tally.require("to_infrared", kept, f"{infrared.dtype} {infrared.shape}", which)
    tally.attempt("is_pseudo_coloured", lambda: is_pseudo_coloured(image), EncodingError, which)
    crop = Crop(*(rng.randrange(4) for _ in range(4)))
    tally.attempt("crop", lambda: crop.apply(infrared), EncodingError, which)
    tally.attempt("time offset", lambda: estimator.add_infrared(rng.choice(_STAMPS), view(image)), (), which)
    _gain(tally, infrared, rng, which)


def _gain(tally: Tally, infrared: npt.NDArray[Any], rng: random.Random, which: Any) -> None:
    config = GainConfig(
        policy=rng.choice(GAIN_POLICIES),
        time_constant_s=rng.choice((0.0, 1.0, 600.0)),
        fixed_low=rng.choice((0.0, -1e308, 1e-300)),
        fixed_high=rng.choice((1e308, 16383.0, 1e-299)),
    )
    gain = ThermalGain(config)
    for _ in range(2):
        stamp_ns = rng.choice(_STAMPS)
        call = partial(gain.apply, infrared, stamp_ns)
        out = tally.attempt("gain", call, (), lambda: f"{config.policy}: {which()}")
        if out is not None:
            tally.require(
                "gain", out.dtype == np.uint8 and out.shape == infrared.shape, f"{out.dtype} {out.shape}", which
            )


def _compressed(tally: Tally, rng: random.Random) -> None:
    shape = (rng.randint(1, 40), rng.randint(1, 40), *rng.choice(((), (3,), (4,))))
    dtype = rng.choice((np.uint8, np.uint16))
    pixels = np.frombuffer(rng.randbytes(int(np.prod(shape)) * np.dtype(dtype).itemsize), dtype).reshape(shape)
    kind = ".png" if dtype is np.uint16 or (len(shape) == 3 and shape[2] == 4) else rng.choice((".png", ".jpg"))
    data = damaged(cv2.imencode(kind, pixels)[1].tobytes(), rng)
    form = rng.choice(("jpeg", "png", "", "mono16; png compressed ", "rgb8; jpeg compressed bgr8", "bayer_rggb8; png"))
    image = CompressedBuffer(format=form, data=data)

    def which() -> str:
        return f"{kind} {shape} {dtype.__name__} as {form!r}: {data[:48].hex()}"

    with tally.listening():
        opened = tally.attempt("decompress", lambda: decompress(image), EncodingError, which, lambda: data)
    if opened is not None:
        for decode in (to_rgb, to_infrared):
            tally.attempt(f"decompressed {decode.__name__}", partial(decode, opened), EncodingError, which)
