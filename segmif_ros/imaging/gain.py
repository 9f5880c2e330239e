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

GAIN_POLICIES = ("percentile", "fixed", "minmax", "clahe")
# percentiles are taken over about this many pixels: enough to be stable, few enough to cost a fraction of a millisecond
_SAMPLES = 20_000


@dataclass(frozen=True, kw_only=True)
class GainConfig:
    """How raw values become 0..255.

    Attributes:
        policy: "percentile": the range between two percentiles, smoothed over time, so that one hot object that passes
            doesn't make the picture flicker. "fixed": ``fixed_low`` to ``fixed_high``. "minmax": this frame's range.
            "clahe": as percentile, then contrast limited adaptive histogram equalisation of the 8-bit image (of 16-bit
            values it would take 20 ms at 640x480).
        low_percentile: Becomes 0.
        high_percentile: Becomes 255.
        time_constant_s: After this time the smoothed range has followed 63 % of a step; 0 follows at once.
        fixed_low: Raw value (counts or the unit of 32FC1) that becomes 0.
        fixed_high: Raw value that becomes 255.
        clahe_clip_limit: OpenCV's clip limit.
        clahe_tiles: Tiles in each direction.
    """

    policy: str = "percentile"
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
        low, high = self._limits(infrared, stamp_ns)
        scaled = _scale(infrared, low, high)
        return self._clahe.apply(scaled) if self.config.policy == "clahe" else scaled

    def _limits(self, infrared: Array, stamp_ns: int) -> tuple[float, float]:
        config = self.config
        if config.policy == "fixed":
            return config.fixed_low, config.fixed_high
        if config.policy == "minmax":
            values = infrared[np.isfinite(infrared)] if infrared.dtype.kind == "f" else infrared
            return (float(values.min()), float(values.max())) if values.size else (0.0, 0.0)
        found = _percentiles(infrared, config.low_percentile, config.high_percentile)
        elapsed_s = 1e-9 * (stamp_ns - self._stamp_ns)
        # a jump back in time is another recording or a looped one; another type is another camera or mode
        fresh = self._range is None or elapsed_s < 0 or infrared.dtype != self._dtype
        if fresh or self._range is None or config.time_constant_s <= 0:
            smoothed = found
        else:
            smoothed = _towards(self._range, found, 1.0 - math.exp(-elapsed_s / config.time_constant_s))
        self._range, self._stamp_ns, self._dtype = smoothed, stamp_ns, infrared.dtype
        return smoothed


def _towards(old: tuple[float, float], new: tuple[float, float], weight: float) -> tuple[float, float]:
    """Move a range by ``weight`` of the way: its low end linearly, its width by ratio.

    One hot object can make the range twenty times as wide. Followed linearly, the first frame's step would already
    double a narrow range; by ratio every frame takes the same share of the way, which the eye hardly sees.
    """
    low = old[0] + weight * (new[0] - old[0])
    old_width, new_width = (max(high - low, 1e-3) for low, high in (old, new))
    return low, low + old_width * (new_width / old_width) ** weight


def _percentiles(infrared: Array, low: float, high: float) -> tuple[float, float]:
    stride = max(1, math.isqrt(infrared.size // _SAMPLES))
    sample = infrared[::stride, ::stride].ravel()
    if sample.dtype.kind == "f":
        sample = sample[np.isfinite(sample)]
        if not sample.size:
            return 0.0, 0.0
    ranks = [round(each / 100 * (sample.size - 1)) for each in (low, high)]
    ordered = np.partition(sample, ranks)
    return float(ordered[ranks[0]]), float(ordered[ranks[1]])


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
