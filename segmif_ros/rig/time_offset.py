# SPDX-License-Identifier: Apache-2.0
"""Estimate of a constant difference between the two cameras' stamps, from what both see move.

Whatever the two cameras see, it moves at the same moments: the robot turns, nods, shakes. How far the whole image moved
from frame to frame (phase correlation) is a signal over its stamps that doesn't depend on what the camera sees, and the
shift at which both cameras' signals agree best is the offset. It can be found only if the motion varies, and not always
in the same rhythm; where it can't, there is no estimate and a reason.
"""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass

import cv2
import numpy as np
import numpy.typing as npt

from segmif_ros.arrays import Array, Float32Array, Float64Array

WINDOW_S = 20.0
MAX_OFFSET_S = 0.5
MIN_CORRELATION = 0.5
MIN_PEAK_RATIO = 1.5
MAX_SPREAD_S = 0.015

_STEP_S = 0.01  # of the signals' common time axis
_MIN_SPAN_S = 6.0
_MIN_FRAMES = 40  # of each camera
_THUMBNAIL_PX = 64
_MIN_SIDE = 8  # of such an image
_TREND_S = 2.0  # slower changes than this say little about the moment
_OUTLIERS = (2.0, 98.0)  # percentiles: a shutter or a cut is no motion
_JUMP_BACK_NS = 100_000_000  # as pairing: another recording, or a clock that was set
_LEAST = 0.05  # correlation that chance gives; a second peak below it counts as this


@dataclass(frozen=True, kw_only=True)
class TimeOffset:
    """An estimate, with what speaks for it.

    Attributes:
        offset_s: How much later the infrared stamps are than the RGB stamps of the same moment; as the node's
            time_offset_s.
        correlation: Of the two cameras' motion at this offset, `MIN_CORRELATION` to 1.
        peak_ratio: This correlation by that of the next best offset, `MIN_PEAK_RATIO` or more.
        spread_s: By how much the estimates from the two halves of the window differ.
    """

    offset_s: float
    correlation: float
    peak_ratio: float
    spread_s: float


class TimeOffsetEstimator:
    """Collects how both cameras' images move and compares; not thread-safe.

    Args:
        window_s: How far back it looks.
        max_offset_s: Largest offset that is looked for, in both directions.

    Attributes:
        reason: Why the last `estimate` gave none; empty if it gave one.
    """

    def __init__(self, *, window_s: float = WINDOW_S, max_offset_s: float = MAX_OFFSET_S) -> None:
        self._max_offset_s = max_offset_s
        self._infrared = _Motion(window_s)
        self._rgb = _Motion(window_s)
        self.reason = "no frames yet"

    def add_infrared(self, stamp_ns: int, image: Array) -> None:
        """Take an infrared image.

        Args:
            stamp_ns: Later than the one before.
            image: (H, W) or (H, W, C), of any type.
        """
        self._infrared.add(stamp_ns, image)

    def add_rgb(self, stamp_ns: int, image: Array) -> None:
        """Take an RGB image.

        Args:
            stamp_ns: Later than the one before.
            image: (H, W) or (H, W, C), of any type.
        """
        self._rgb.add(stamp_ns, image)

    def reset(self) -> None:
        """Forget everything."""
        self._infrared.clear()
        self._rgb.clear()

    def estimate(self) -> TimeOffset | None:
        """Return the offset, or None if the images don't tell it; see `reason`."""
        found = self._estimate()
        self.reason = found if isinstance(found, str) else ""
        return None if isinstance(found, str) else found

    def _estimate(self) -> TimeOffset | str:
        for name, motion in (("infrared", self._infrared), ("RGB", self._rgb)):
            if motion.count < _MIN_FRAMES:
                return f"only {motion.count} {name} frames so far"
        origin_ns = self._rgb.first_ns
        infrared, rgb = self._infrared.signal(origin_ns), self._rgb.signal(origin_ns)
        start, end = max(infrared[0][0], rgb[0][0]), min(infrared[0][-1], rgb[0][-1])
        if end - start < _MIN_SPAN_S:
            return f"both cameras' stamps have {max(0.0, end - start):.1f} s in common: {_MIN_SPAN_S:g} s are needed"
        times = np.arange(start, end, _STEP_S)
        return self._compare(*(_even(times, *each) for each in (infrared, rgb)))

    def _compare(self, infrared: Float64Array, rgb: Float64Array) -> TimeOffset | str:
        lags = np.arange(-round(self._max_offset_s / _STEP_S), round(self._max_offset_s / _STEP_S) + 1)
        correlations = _correlations(infrared, rgb, lags)
        peak = int(np.argmax(correlations))
        correlation = float(correlations[peak])
        if correlation < MIN_CORRELATION:
            return f"the two cameras' images don't move together (correlation {correlation:.2f}): is there any motion?"
        if peak in (0, lags.size - 1):
            return f"the offset is {self._max_offset_s:g} s or more"
        ratio = correlation / max(_next_peak(correlations, peak), _LEAST)
        if ratio < MIN_PEAK_RATIO:
            return f"several offsets fit about as well (peak ratio {ratio:.2f}): the motion repeats itself"
        halves = slice(None, len(rgb) // 2), slice(len(rgb) // 2, None)
        lag_of = [_peak_lag(_correlations(infrared[half], rgb[half], lags), lags) for half in halves]
        spread_s = _STEP_S * abs(lag_of[0] - lag_of[1])
        if spread_s > MAX_SPREAD_S:
            return f"the offset isn't certain: it differs by {spread_s:.3f} s between the window's halves"
        return TimeOffset(
            offset_s=_STEP_S * _peak_lag(correlations, lags),
            correlation=correlation,
            peak_ratio=ratio,
            spread_s=spread_s,
        )


class _Motion:
    """How one camera's image moves, over its stamps."""

    def __init__(self, window_s: float) -> None:
        self._window_ns = round(1e9 * window_s)
        self._values: deque[tuple[int, int, float, float]] = deque()  # both stamps, pixels to the right and down
        self._last: tuple[int, Float32Array] | None = None

    def clear(self) -> None:
        self._values.clear()
        self._last = None

    @property
    def count(self) -> int:
        return len(self._values)

    @property
    def first_ns(self) -> int:
        return self._values[0][0]

    def add(self, stamp_ns: int, image: Array) -> None:
        if self._last is not None and stamp_ns <= self._last[0]:
            if stamp_ns > self._last[0] - _JUMP_BACK_NS:
                return  # late or twice
            self.clear()
        thumbnail = _thumbnail(image)
        if min(thumbnail.shape) < _MIN_SIDE:  # too thin for a motion to be seen, and for OpenCV's window
            self.clear()
            return
        if self._last is not None and self._last[1].shape == thumbnail.shape:
            window = cv2.createHanningWindow(thumbnail.shape[::-1], cv2.CV_32F)
            (right, down), _ = cv2.phaseCorrelate(self._last[1], thumbnail, window)
            self._values.append((self._last[0], stamp_ns, right, down))
        self._last = stamp_ns, thumbnail
        while self._values and self._values[0][0] < stamp_ns - self._window_ns:
            self._values.popleft()

    def signal(self, origin_ns: int) -> tuple[Float64Array, Float64Array]:
        """Return (N,) seconds since ``origin_ns`` and (N, 2) motion, without that across lost frames."""
        before, after = (np.array([each[i] - origin_ns for each in self._values]) * 1e-9 for i in (0, 1))
        motion = np.array([each[2:] for each in self._values])
        whole = after - before < 1.7 * np.median(after - before)
        motion = motion[whole]
        # what moves does so between two frames
        return 0.5 * (before + after)[whole], np.clip(motion, *np.percentile(motion, _OUTLIERS, axis=0))


def _thumbnail(image: Array) -> Float32Array:
    """Return a small image of mean 0 and contrast 1, so that exposure and gain are no motion."""
    stride = max(1, image.shape[1] // (3 * _THUMBNAIL_PX))
    plane = image[::stride, ::stride] if image.ndim == 2 else image[::stride, ::stride, min(1, image.shape[2] - 1)]
    values = np.nan_to_num(plane.astype(np.float32), copy=False, nan=0.0, posinf=0.0, neginf=0.0)
    if values.shape[1] > _THUMBNAIL_PX:
        height = max(1, round(values.shape[0] * _THUMBNAIL_PX / values.shape[1]))
        values = np.asarray(cv2.resize(values, (_THUMBNAIL_PX, height), interpolation=cv2.INTER_AREA), np.float32)
    return np.asarray((values - values.mean()) / max(float(values.std()), 1e-3), np.float32)


def _even(times: Float64Array, at: Float64Array, motion: Float64Array) -> Float64Array:
    """Return the motion (N, 2) at even times, less its running mean."""
    return np.stack([_without_trend(np.interp(times, at, each)) for each in motion.T], axis=1)


def _without_trend(signal: Float64Array) -> Float64Array:
    """Return the signal less its running mean."""
    width = min(round(_TREND_S / _STEP_S), signal.size) // 2 * 2 + 1
    padded = np.pad(signal, width // 2, mode="edge")
    sums = np.cumsum(np.concatenate([[0.0], padded]))
    return signal - (sums[width:] - sums[:-width])[: signal.size] / width


def _correlations(infrared: Float64Array, rgb: Float64Array, lags: npt.NDArray[np.int64]) -> Float64Array:
    """Return the correlation of infrared(t + lag) with rgb(t), (N, C) both, for each lag, over what overlaps."""
    found = np.zeros(lags.size)
    for i, lag in enumerate(lags):
        a = infrared[max(lag, 0) : len(infrared) + min(lag, 0)]
        b = rgb[max(-lag, 0) : len(rgb) + min(-lag, 0)]
        a, b = (a - a.mean(axis=0)).ravel(), (b - b.mean(axis=0)).ravel()
        norm = float(np.sqrt((a @ a) * (b @ b)))
        found[i] = (a @ b) / norm if norm else 0.0
    return found


def _next_peak(correlations: Float64Array, peak: int) -> float:
    """Return the highest correlation outside the peak, which reaches down to where the slope turns up again."""
    outside = []
    for side in (correlations[peak::-1], correlations[peak:]):
        # ripples on the upper half are the same peak
        low = np.flatnonzero(side < 0.5 * side[0])
        rising = np.flatnonzero(np.diff(side) > 0)
        foot = rising[rising >= low[0]] if low.size else low
        outside.append(float(side[foot[0] :].max()) if foot.size else 0.0 if low.size else float(side[0]))
    # a peak that doesn't fall off on one side is no peak: the next best is its neighbour
    return max(outside)


def _peak_lag(correlations: Float64Array, lags: npt.NDArray[np.int64]) -> float:
    """Return the lag of the highest correlation, between the steps by a parabola through its neighbours."""
    peak = int(np.argmax(correlations))
    if peak in (0, lags.size - 1):
        return float(lags[peak])
    before, at, after = correlations[peak - 1 : peak + 2]
    bend = before - 2 * at + after
    return float(lags[peak]) + (0.5 * float((before - after) / bend) if bend < 0 else 0.0)
