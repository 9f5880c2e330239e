# SPDX-License-Identifier: Apache-2.0
"""From raw thermal values (14/16-bit counts, temperatures) to the 8-bit image that the network takes.

Infrared that is 8-bit already passes unchanged: its camera has applied a gain of its own.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

import cv2
import numpy as np
import numpy.typing as npt

Array = npt.NDArray[Any]  # docstrings say shape, type and range

GAIN_POLICIES = ("plateau", "percentile", "fixed", "minmax", "clahe")
# percentiles are taken over about this many pixels: enough to be stable, few enough to cost a fraction of a millisecond
_SAMPLES = 20_000
# Of "plateau": its range leaves out only defective pixels, because people may be less than 1 % of the image; so many
# levels tell occupied values from gaps; a level counts as at most this multiple of an even share; this share of the
# mapping is linear, so that a gap keeps some contrast.
_PLATEAU_PERCENTILES = (0.1, 99.95)
_LEVELS = 512
_PLATEAU = 2.0
_LINEAR_SHARE = 0.2
_FINE = 8192  # entries of the table for floats


@dataclass(frozen=True, kw_only=True)
class GainConfig:
    """How raw values become 0..255.

    Attributes:
        policy: "plateau": grey values are given to the values that occur, each level counting up to a plateau, and
            not to the gaps between them: a cold sky doesn't press the street into a few grey values, and a few hot
            pixels keep theirs. Smoothed over time. It is the usual automatic gain of thermal cameras.
            "percentile": the range between two percentiles, smoothed over time, so that one hot object that passes
            doesn't make the picture flicker. "fixed": ``fixed_low`` to ``fixed_high``. "minmax": this frame's range.
            "clahe": as percentile, then contrast limited adaptive histogram equalisation of the 8-bit image (of 16-bit
            values it would take 20 ms at 640x480).
        low_percentile: Becomes 0 (percentile, clahe).
        high_percentile: Becomes 255 (percentile, clahe).
        time_constant_s: After this time the smoothed range or mapping has followed 63 % of a step; 0 follows at once.
        fixed_low: Raw value (counts or the unit of 32FC1) that becomes 0.
        fixed_high: Raw value that becomes 255.
        clahe_clip_limit: OpenCV's clip limit.
        clahe_tiles: Tiles in each direction.
    """

    policy: str = "plateau"
    low_percentile: float = 1.0
    high_percentile: float = 99.0
    time_constant_s: float = 1.0
    fixed_low: float = 0.0
    fixed_high: float = 16383.0
    clahe_clip_limit: float = 2.0
    clahe_tiles: int = 8

    def __post_init__(self) -> None:
        if self.policy not in GAIN_POLICIES:
            raise ValueError(f"gain policy '{self.policy}' is unknown: use one of {', '.join(GAIN_POLICIES)}")
        if not 0 <= self.low_percentile < self.high_percentile <= 100:
            raise ValueError(
                f"gain percentiles {self.low_percentile:g} and {self.high_percentile:g}: "
                "0 <= low < high <= 100 is needed"
            )
        if not self.fixed_low < self.fixed_high:
            raise ValueError(f"fixed gain range {self.fixed_low:g} to {self.fixed_high:g}: low must be below high")


class ThermalGain:
    """One camera's gain; it remembers the smoothed range from frame to frame, so each camera has its own."""

    def __init__(self, config: GainConfig | None = None) -> None:
        self.config = config or GainConfig()
        self._clahe = cv2.createCLAHE(self.config.clahe_clip_limit, (self.config.clahe_tiles,) * 2)
        self.reset()

    def reset(self) -> None:
        """Forget the smoothed range: the next frame sets its own."""
        self._range: tuple[float, float] | None = None
        self._curve: _Curve | None = None
        self._stamp_ns = 0
        self._dtype: np.dtype[Any] | None = None

    def apply(self, infrared: Array, stamp_ns: int) -> Array:
        """Scale one frame.

        Args:
            infrared: (H, W) uint8 (returned as it is), uint16 or float32; NaN counts as the lowest value.
            stamp_ns: When the frame was taken; the smoothing follows stamps, so a replay gives the same pictures.

        Returns:
            (H, W) uint8.
        """
        if infrared.dtype == np.uint8:
            return infrared
        config = self.config
        if config.policy == "fixed":
            return _scale(infrared, config.fixed_low, config.fixed_high)
        if config.policy == "minmax":
            values = infrared[np.isfinite(infrared)] if infrared.dtype.kind == "f" else infrared
            return _scale(infrared, *((float(values.min()), float(values.max())) if values.size else (0.0, 0.0)))
        weight = self._weight(infrared.dtype, stamp_ns)
        sample = _sample(infrared)
        if config.policy == "plateau":
            self._curve = _Curve.of(sample).blended(self._curve, weight)
            return self._curve.apply(infrared)
        found = _percentiles(sample, config.low_percentile, config.high_percentile)
        self._range = found if self._range is None else _towards(self._range, found, weight)
        scaled = _scale(infrared, *self._range)
        return self._clahe.apply(scaled) if config.policy == "clahe" else scaled

    def _weight(self, dtype: np.dtype[Any], stamp_ns: int) -> float:
        """How far the smoothing goes towards this frame; starts anew where the past doesn't apply."""
        elapsed_s = 1e-9 * (stamp_ns - self._stamp_ns)
        # a jump back in time is another recording or a looped one; another type is another camera or mode
        if elapsed_s < 0 or dtype != self._dtype:
            self.reset()
        self._stamp_ns, self._dtype = stamp_ns, dtype
        constant_s = self.config.time_constant_s
        return 1.0 if constant_s <= 0 else 1.0 - math.exp(-elapsed_s / constant_s)


def _towards(old: tuple[float, float], new: tuple[float, float], weight: float) -> tuple[float, float]:
    """Move a range by ``weight`` of the way: its low end linearly, its width by ratio.

    One hot object can make the range twenty times as wide. Followed linearly, the first frame's step would already
    double a narrow range; by ratio every frame takes the same share of the way, which the eye hardly sees.
    """
    low = old[0] + weight * (new[0] - old[0])
    old_width, new_width = (max(high - low, 1e-3) for low, high in (old, new))
    return low, low + old_width * (new_width / old_width) ** weight


def _sample(infrared: Array) -> Array:
    """Return finite values spread over the frame, flat; (0,) if there are none."""
    stride = max(1, math.isqrt(infrared.size // _SAMPLES))
    sample = infrared[::stride, ::stride].ravel()
    return sample[np.isfinite(sample)] if sample.dtype.kind == "f" else sample


def _percentiles(sample: Array, low: float, high: float) -> tuple[float, float]:
    if not sample.size:
        return 0.0, 0.0
    ranks = [round(each / 100 * (sample.size - 1)) for each in (low, high)]
    ordered = np.partition(sample, ranks)
    return float(ordered[ranks[0]]), float(ordered[ranks[1]])


@dataclass(frozen=True, kw_only=True, eq=False)
class _Curve:
    """A rising mapping: float32 grey values (_LEVELS + 1,) at even steps of the raw value from ``low`` to ``high``."""

    low: float
    high: float
    values: Array

    @classmethod
    def of(cls, sample: Array) -> _Curve:
        low, high = _percentiles(sample, *_PLATEAU_PERCENTILES)
        straight = np.linspace(0, 255, _LEVELS + 1, dtype=np.float32)
        if not high > low:
            return cls(low=low, high=low + 1, values=straight)
        counts, _ = np.histogram(np.clip(sample, low, high), _LEVELS, (low, high))
        shares = np.minimum(counts, _PLATEAU * sample.size / _LEVELS)
        equalised = np.concatenate(([0.0], np.cumsum(shares) * (255 / shares.sum())))
        values = _LINEAR_SHARE * straight + (1 - _LINEAR_SHARE) * equalised
        return cls(low=low, high=high, values=values.astype(np.float32))

    def at(self, raw: Array) -> Array:
        return np.interp(raw, np.linspace(self.low, self.high, self.values.size), self.values)

    def blended(self, old: _Curve | None, weight: float) -> _Curve:
        """Go ``weight`` of the way from ``old``, compared at the same raw values: what lies still hardly changes."""
        if old is None or weight >= 1:
            return self
        before = old.at(np.linspace(self.low, self.high, self.values.size))
        values = (before + weight * (self.values - before)).astype(np.float32)
        return _Curve(low=self.low, high=self.high, values=values)

    def apply(self, infrared: Array) -> Array:
        if infrared.dtype == np.uint16:
            # only the values that can differ need an entry: below and above the range all are alike
            first, last = max(math.floor(self.low), 0), min(math.ceil(self.high), 65535)
            table = self.at(np.arange(first, last + 1)).round().astype(np.uint8)
            return table[np.clip(infrared, first, last) - np.uint16(first)]
        # floats by a fine table as well: np.interp over every pixel takes 20 times as long
        table = self.at(np.linspace(self.low, self.high, _FINE)).round().astype(np.uint8)
        per_unit = np.float32((_FINE - 1) / (self.high - self.low))
        steps = np.clip((infrared - np.float32(self.low)) * per_unit, 0, _FINE - 1)
        return table[np.nan_to_num(steps, copy=False, nan=0.0).astype(np.uint16)]


def _scale(infrared: Array, low: float, high: float) -> Array:
    """Map low..high to 0..255 with rounding and saturation; a range of no width puts a step there."""
    if infrared.dtype == np.uint16:
        # OpenCV's saturating arithmetic does what a 65536-entry table would, at a third of the time
        base = min(max(round(low), 0), 65535)
        above = cv2.subtract(infrared, float(base))  # type: ignore[call-overload]  # a scalar is fine
        return cv2.convertScaleAbs(above, alpha=255.0 / max(high - base, 1.0))
    span = max(high - low, 1e-6)
    scaled = np.clip((infrared - np.float32(low)) * np.float32(255.0 / span), 0, 255)
    return np.nan_to_num(scaled, copy=False, nan=0.0).round().astype(np.uint8)
