# SPDX-License-Identifier: Apache-2.0
"""Faults of the simulated cameras: when each begins and ends, and what it does to frames.

A fault is written CAMERA:KIND@START+DURATION, for example ``infrared:freeze@10s+5s``: from second 10 on, for five
seconds. Without a duration it lasts; ``/PERIOD`` repeats it (``rgb:fog@20s+5s/60s``: 20 s, 80 s, 140 s, ...). Commas
separate several. No clock of its own: the time since the start is passed in.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass

import cv2
import numpy as np

from segmif_ros.arrays import Array

NS_PER_S = 1_000_000_000
CAMERAS = ("infrared", "rgb")
# what a kind does, for help texts and docs
KINDS = {
    "silent": "no frames",
    "freeze": "the same picture under new stamps",
    "stamp": "new pictures under one stamp",
    "flat": "one value everywhere",
    "black": "all 0",
    "white": "all saturated",
    "fog": "a bright veil: an eighth of the contrast, blurred",
    "glare": "three quarters of the picture saturated",
    "shutter": "a uniform picture with a little noise, as a thermal camera's shutter gives",
}


_PATTERN = re.compile(
    r"(?P<camera>[a-z]+):(?P<kind>[a-z]+)@(?P<start>\d+(\.\d+)?)s?(\+(?P<duration>\d+(\.\d+)?)s?)?"
    r"(/(?P<period>\d+(\.\d+)?)s?)?"
)
_EXAMPLE = "write for example infrared:freeze@10s+5s"
_SATURATED = {"u1": 255, "u2": 16383}  # raw thermal cameras have 14 bits
_FOG_CONTRAST = 0.12
_GLARE_SHARE = 0.75
_SHUTTER_NOISE = 0.002  # of the full scale


class FaultError(ValueError):
    """A fault that can't be understood; one line that states which and how to write it."""


@dataclass(frozen=True, kw_only=True)
class Fault:
    """One fault.

    Attributes:
        camera: "infrared" or "rgb".
        kind: One of `KINDS`.
        start_s: When it begins, in seconds from the first frame.
        duration_s: How long it lasts; infinite if it never ends.
        period_s: After how long it begins again; 0 for never.
    """

    camera: str
    kind: str
    start_s: float
    duration_s: float = float("inf")
    period_s: float = 0.0

    def active(self, elapsed_s: float) -> bool:
        """Whether it holds ``elapsed_s`` after the first frame."""
        since_s = elapsed_s - self.start_s
        if self.period_s and since_s >= 0:
            since_s %= self.period_s
        return 0 <= since_s < self.duration_s

    def __str__(self) -> str:
        lasts = "" if self.duration_s == float("inf") else f"+{self.duration_s:g}s"
        return f"{self.camera}:{self.kind}@{self.start_s:g}s{lasts}" + (f"/{self.period_s:g}s" if self.period_s else "")


def parse_faults(text: str) -> tuple[Fault, ...]:
    """Return the faults that ``text`` describes, none for an empty one.

    Raises:
        FaultError: If one can't be understood.
    """
    return tuple(_parsed(each.strip()) for each in text.split(",") if each.strip())


def _parsed(text: str) -> Fault:
    found = _PATTERN.fullmatch(text)
    if found is None:
        raise FaultError(f"fault '{text}' is not CAMERA:KIND@START+DURATION: {_EXAMPLE}")
    camera, kind = found["camera"], found["kind"]
    if camera not in CAMERAS:
        raise FaultError(f"fault '{text}': camera '{camera}' is unknown: use {' or '.join(CAMERAS)}")
    if kind not in KINDS:
        raise FaultError(f"fault '{text}': kind '{kind}' is unknown: use one of {', '.join(KINDS)}")
    duration_s = float(found["duration"]) if found["duration"] else float("inf")
    period_s = float(found["period"] or 0.0)
    if duration_s == 0:
        raise FaultError(f"fault '{text}' lasts 0 s: {_EXAMPLE}")
    if period_s and period_s <= duration_s:
        raise FaultError(f"fault '{text}': a period has to be longer than what it repeats: {_EXAMPLE}/60s")
    return Fault(camera=camera, kind=kind, start_s=float(found["start"]), duration_s=duration_s, period_s=period_s)


class FaultInjector:
    """Does to the frames of both cameras what the faults say; not thread-safe.

    Args:
        faults: Of both cameras; where two of one camera overlap, the one named first holds.
        seed: Of the noise.
    """

    def __init__(self, faults: tuple[Fault, ...], seed: int = 0) -> None:
        self._faults = faults
        self._seed = seed
        self._count = 0
        # of the latest frame without a fault
        self._stamps_ns: dict[str, int] = {}
        self._pictures: dict[str, Array] = {}

    def active(self, camera: str, elapsed_ns: int) -> Fault | None:
        """Return the fault of a camera that holds now, if any."""
        elapsed_s = elapsed_ns / NS_PER_S
        return next((each for each in self._faults if each.camera == camera and each.active(elapsed_s)), None)

    def stamp_ns(self, camera: str, elapsed_ns: int, stamp_ns: int) -> int:
        """Return the stamp that a camera gives to its frame of ``stamp_ns``, ``elapsed_ns`` after the first one."""
        fault = self.active(camera, elapsed_ns)
        if fault is None or fault.kind != "stamp":
            self._stamps_ns[camera] = stamp_ns
        return self._stamps_ns.setdefault(camera, stamp_ns)

    def picture(self, camera: str, elapsed_ns: int, image: Array) -> Array | None:
        """Return the picture that a camera sends; None if it doesn't send.

        Args:
            camera: "infrared" or "rgb".
            elapsed_ns: Since the first frame.
            image: (H, W) uint8, uint16 or float32, or (H, W, 3) uint8; not changed, and kept until the next one.
        """
        fault = self.active(camera, elapsed_ns)
        if fault is None or fault.kind == "stamp":
            self._pictures[camera] = image
            return image
        if fault.kind == "silent":
            return None
        if fault.kind == "freeze":
            return self._pictures.setdefault(camera, image)
        self._count += 1
        return _PICTURES[fault.kind](image, np.random.default_rng((self._seed, self._count)))


def _saturation(image: Array) -> float:
    return _SATURATED.get(image.dtype.str[1:], float(np.nanmax(image)))


def _black(image: Array, _rng: np.random.Generator) -> Array:
    return np.zeros_like(image)


def _white(image: Array, _rng: np.random.Generator) -> Array:
    return np.full_like(image, _saturation(image))


def _flat(image: Array, _rng: np.random.Generator) -> Array:
    return np.full_like(image, image.mean())


def _fog(image: Array, _rng: np.random.Generator) -> Array:
    values = cv2.GaussianBlur(image.astype(np.float32), (0, 0), max(1.0, image.shape[1] / 160))
    # a veil of light before a colour camera; before a thermal one, air at the scene's mean temperature
    veil = 200.0 if image.ndim == 3 else float(values.mean())
    return (veil + _FOG_CONTRAST * (values - veil)).astype(image.dtype)


def _glare(image: Array, _rng: np.random.Generator) -> Array:
    dazzled = image.copy()
    dazzled[:, : round(_GLARE_SHARE * image.shape[1])] = _saturation(image)
    return dazzled


def _shutter(image: Array, rng: np.random.Generator) -> Array:
    noise = _SHUTTER_NOISE * _saturation(image) * (rng.random(image.shape, np.float32) - 0.5)
    return np.rint(float(image.mean()) + noise).astype(image.dtype)


_PICTURES: dict[str, Callable[[Array, np.random.Generator], Array]] = {
    "black": _black,
    "white": _white,
    "flat": _flat,
    "fog": _fog,
    "glare": _glare,
    "shutter": _shutter,
}
