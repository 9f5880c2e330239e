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

from segmif_ros.arrays import Array
from segmif_ros.settings import setting

_Range = tuple[float, float]

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
_GREYS = np.linspace(0, 255, _LEVELS + 1)
_FADED = 0.25  # grey values
_FINE = 8192  # entries of the table for floats
# What is odd doesn't teach at once. A frame that spans less than this share of what is remembered shows a shutter, a
# lens cap or a dropout: its camera is back within seconds, or really looks at a wall. A frame that has nothing in
# common with what is remembered is a flash or saturation, or the camera has changed its mode.
_NARROW = 0.05
_NARROW_FOR_S = 5.0
_APART_FOR_S = 0.3
_ANOTHER_RECORDING_S = 1.0  # so much back in time
_LONGEST_S = 1.0  # that one frame counts for in these times, whatever its stamp
_LARGE = 1e30  # values beyond are computed in double precision


@dataclass(frozen=True, kw_only=True)
class GainConfig:
    """How raw values become 0..255.

    "plateau" is the usual automatic gain of thermal cameras, smoothed over time. Grey values go to the values that
    occur, each level counting up to a plateau, and not to the gaps between them. So a cold sky doesn't press the street
    into a few grey values, and a few hot pixels keep theirs. "percentile" is smoothed over time, so that one hot object
    that passes doesn't make the picture flicker. "clahe" equalises the 8-bit image of "percentile" (of 16-bit values it
    would take 20 ms at 640x480).

    Raises:
        ValueError: Values that don't go together.
    """

    policy: str = setting(
        "plateau",
        "How raw thermal values become 8-bit: plateau (equalised and smoothed over time, the usual gain of thermal "
        "cameras), percentile (linear, smoothed over time), fixed range, minmax a frame, clahe.",
        choices=GAIN_POLICIES,
        group="Thermal gain (16-bit and float infrared)",
    )
    low_percentile: float = setting(1.0, "Percentile that becomes 0 (percentile, clahe).", minimum=0.0, maximum=100.0)
    high_percentile: float = setting(
        99.0, "Percentile that becomes 255 (percentile, clahe).", minimum=0.0, maximum=100.0
    )
    time_constant_s: float = setting(
        1.0, "How slowly the percentile range follows the scene, in seconds; 0 at once.", minimum=0.0, maximum=600.0
    )
    fixed_low: float = setting(0.0, "Raw value (counts, or the unit of 32FC1) that becomes 0 (fixed).")
    fixed_high: float = setting(16383.0, "Raw value that becomes 255 (fixed).")
    clahe_clip_limit: float = setting(2.0, "Contrast limit (clahe).", minimum=0.1, maximum=100.0)
    clahe_tiles: int = setting(8, "Tiles in each direction (clahe).", minimum=1, maximum=64)

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
    """One camera's gain; it remembers the smoothed range from frame to frame, so each camera has its own.

    One odd frame (shutter, saturation, all black, a wrong stamp) neither erases nor shifts what is remembered.
    """

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
        self._learned_s = 0.0  # how long frames have taught
        self._odd_s = 0.0  # how long they have been odd

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
        if infrared.dtype != self._dtype:  # another camera or mode
            self.reset()
        first = self._dtype is None
        elapsed_s = 0.0 if first else 1e-9 * (stamp_ns - self._stamp_ns)
        self._stamp_ns, self._dtype = stamp_ns, infrared.dtype
        sample = _sample(infrared)
        if config.policy == "plateau":
            found = _Curve.of(sample)
            old = self._curve
            weight = 1.0 if old is None else self._weight(old.core, found.core, old.ends, found.ends, elapsed_s)
            self._curve = found if old is None else old.towards(found, weight)
            return self._curve.apply(infrared, sample)
        wanted = _percentiles(sample, config.low_percentile, config.high_percentile)
        before = self._range
        weight = 1.0 if before is None else self._weight(before, wanted, before, wanted, elapsed_s)
        self._range = wanted if before is None else _towards(before, wanted, weight)
        scaled = _scale(infrared, *self._range)
        return self._clahe.apply(scaled) if config.policy == "clahe" else scaled

    def _weight(self, old: _Range, new: _Range, old_ends: _Range, new_ends: _Range, elapsed_s: float) -> float:
        """Return how far the smoothing goes towards this frame.

        Args:
            old: Where most of what is remembered lies.
            new: Where most of this frame lies.
            old_ends: All of what is remembered.
            new_ends: All of this frame.
            elapsed_s: Since the frame before; negative after a jump back.
        """
        constant_s = self.config.time_constant_s
        if constant_s <= 0:
            return 1.0
        passed_s = min(max(elapsed_s, 0.0), _LONGEST_S)
        narrow = _width(new) < _NARROW * _width(old)
        apart = new_ends[0] > old_ends[1] or new_ends[1] < old_ends[0]
        if narrow or apart:
            self._odd_s += passed_s
            patience_s = _NARROW_FOR_S if narrow else _APART_FOR_S
            if elapsed_s < -_ANOTHER_RECORDING_S and apart:
                patience_s = -1.0
            if self._odd_s <= patience_s:
                return 0.0
        if not narrow:
            self._odd_s = 0.0
        # the first frame may have been a shutter: what it taught isn't worth keeping
        worthless = self._learned_s < constant_s and _width(old) < _NARROW * _width(new)
        self._learned_s = 0.0 if apart or worthless else self._learned_s + passed_s
        return 1.0 if apart or worthless else 1.0 - math.exp(-max(elapsed_s, 0.0) / constant_s)


def _towards(old: tuple[float, float], new: tuple[float, float], weight: float) -> tuple[float, float]:
    """Move a range by ``weight`` of the way: its low end linearly, its width by ratio.

    One hot object can make the range twenty times as wide. Followed linearly, the first frame's step would already
    double a narrow range; by ratio every frame takes the same share of the way, which the eye hardly sees.
    """
    low = old[0] + weight * (new[0] - old[0])
    old_width, new_width = (max(high - low, 1e-3) for low, high in (old, new))
    return low, low + old_width * (new_width / old_width) ** weight


def _width(ends: _Range) -> float:
    return ends[1] - ends[0]


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


@dataclass(frozen=True, eq=False)
class _Curve:
    """A rising mapping: ``raw`` (_LEVELS + 1,) float64 are the raw values that become 0..255 in even steps.

    Even steps of grey keep what matters, however far apart its raw values are: a hot pixel in the memory costs the
    others no precision.
    """

    raw: Array

    @classmethod
    def of(cls, sample: Array) -> _Curve:
        low, high = _percentiles(sample, *_PLATEAU_PERCENTILES)
        if not high > low:
            return cls(np.linspace(low, low + 1, _LEVELS + 1))
        raw = np.linspace(low, high, _LEVELS + 1)
        counts, _ = np.histogram(np.clip(sample.astype(np.float64), low, high), _LEVELS, (low, high))
        shares = np.minimum(counts, _PLATEAU * sample.size / _LEVELS)
        equalised = np.concatenate(([0.0], np.cumsum(shares) * (255 / shares.sum())))
        return cls(np.interp(_GREYS, _LINEAR_SHARE * _GREYS + (1 - _LINEAR_SHARE) * equalised, raw))

    @property
    def ends(self) -> _Range:
        """The raw values that become 0 and 255."""
        return float(self.raw[0]), float(self.raw[-1])

    @property
    def core(self) -> _Range:
        """The raw values between which the middle half of the grey values lies: few hot pixels don't move it."""
        return float(self.raw[_LEVELS // 4]), float(self.raw[-1 - _LEVELS // 4])

    def at(self, raw: Array) -> Array:
        return np.interp(raw, self.raw, _GREYS)

    def towards(self, new: _Curve, weight: float) -> _Curve:
        """Go ``weight`` of the way to ``new``, compared at the same raw values: what lies still hardly changes.

        Nothing is lost where only one of the two has values, but what is worth less than a grey value's fraction.
        """
        if weight in (0.0, 1.0):
            return new if weight else self
        raw = np.sort(np.concatenate([self.raw, new.raw]))
        before = self.at(raw)
        grey = before + weight * (new.at(raw) - before)
        # the tails of what is fading
        grey[(raw < new.raw[0]) & (grey < _FADED)] = 0
        grey[(raw > new.raw[-1]) & (grey > 255 - _FADED)] = 255
        first, last = int(np.flatnonzero(grey <= 0)[-1]), int(np.flatnonzero(grey >= 255)[0])
        return _Curve(np.interp(_GREYS, grey[first : last + 1], raw[first : last + 1]))

    def apply(self, infrared: Array, sample: Array) -> Array:
        """Map (H, W) uint16 or float32 to uint8; ``sample`` are values of it."""
        low, high = self.ends
        if infrared.dtype == np.uint16:
            # only the values that can differ need an entry: below and above the range all are alike
            first, last = max(math.floor(low), 0), min(math.ceil(high), 65535)
            table = self.at(np.arange(first, last + 1)).round().astype(np.uint8)
            return table[np.clip(infrared, first, last) - np.uint16(first)]
        # floats by a table as well, as fine as this frame allows: np.interp over every pixel takes 20 times as long
        if sample.size:
            low, high = max(low, float(sample.min())), min(high, float(sample.max()))
        if not low < high:
            return self.at(np.nan_to_num(infrared, nan=low)).round().astype(np.uint8)
        table = self.at(np.linspace(low, high, _FINE)).round().astype(np.uint8)
        with np.errstate(over="ignore", invalid="ignore"):
            values = infrared.astype(np.float64) if max(-low, high) > _LARGE else infrared
            steps = np.clip(
                (values - values.dtype.type(low)) * values.dtype.type((_FINE - 1) / (high - low)), 0, _FINE - 1
            )
        return table[np.nan_to_num(steps, copy=False, nan=0.0).astype(np.uint16)]


def _scale(infrared: Array, low: float, high: float) -> Array:
    """Map low..high to 0..255 with rounding and saturation; a range of no width puts a step there."""
    if infrared.dtype == np.uint16 and infrared.size > 4:  # OpenCV takes four values for a colour
        # OpenCV's saturating arithmetic does what a 65536-entry table would, at a third of the time
        base = min(max(round(low), 0), 65535)
        above = cv2.subtract(infrared, float(base))  # type: ignore[call-overload]  # a scalar is fine
        return cv2.convertScaleAbs(above, alpha=255.0 / max(high - base, 1.0))
    if infrared.dtype == np.uint16:
        low, high = float(min(max(round(low), 0), 65535)), max(high, low + 1.0)
    span = max(high - low, 1e-6)
    values = infrared.astype(np.float64) if max(-low, high) > _LARGE else infrared.astype(np.float32, copy=False)
    kind = values.dtype.type
    with np.errstate(over="ignore", invalid="ignore"):
        scaled = np.clip((values - kind(low)) * kind(255.0 / span), 0, 255)
    return np.nan_to_num(scaled, copy=False, nan=0.0).round().astype(np.uint8)
