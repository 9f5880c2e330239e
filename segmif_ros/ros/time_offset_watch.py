# SPDX-License-Identifier: Apache-2.0
"""The estimate of the cameras' time offset beside the node's work: it looks at the frames and reports."""

from __future__ import annotations

from segmif_ros.imaging.crop import Crop
from segmif_ros.imaging.encodings import EncodingError, to_infrared, view
from segmif_ros.rig.time_offset import TimeOffset, TimeOffsetEstimator
from segmif_ros.ros.problems import Problem
from segmif_ros.stream.processing import DecodeConfig, Frame, opened

PERIOD_NS = 5_000_000_000  # between two estimates, each of which takes some tens of milliseconds
_MIN_DIFFERENCE_S = 0.01


class TimeOffsetWatch:
    """Collects frames and estimates from time to time; for the executor's thread alone.

    Attributes:
        decoding: How frames are taken. Rows of telemetry move as no scene does, so they are cut off here, too.
    """

    def __init__(self) -> None:
        self.decoding = DecodeConfig()
        self._estimator = TimeOffsetEstimator()
        self._found: TimeOffset | None = None
        self._before: TimeOffset | None = None
        self._next_ns: int | None = None

    def see(self, camera: str, frame: Frame) -> None:
        """Look at a frame.

        Args:
            camera: "infrared" or "rgb".
            frame: What is wrong with it is reported where it is decoded.
        """
        decoding = self.decoding
        try:
            image = opened(frame.image, decoding.max_pixels)
            cut = camera == "infrared" and decoding.infrared_crop != Crop()
            pixels = decoding.infrared_crop.apply(to_infrared(image)) if cut else view(image)
        except EncodingError:
            return
        (self._estimator.add_infrared if camera == "infrared" else self._estimator.add_rgb)(frame.stamp_ns, pixels)

    def reset(self) -> None:
        """Forget everything."""
        self._estimator.reset()
        self._found = self._before = self._next_ns = None

    def look(self, now_ns: int) -> None:
        """Estimate again if it is time; ``now_ns`` is of a clock that never steps back."""
        if self._next_ns is None or now_ns >= self._next_ns:
            self._next_ns = now_ns + PERIOD_NS
            self._before, self._found = self._found, self._estimator.estimate()

    def settled_s(self) -> float | None:
        """Return the offset once two estimates in a row agree, None before."""
        found, before = self._found, self._before
        if found is None or before is None:
            return None
        agree = abs(found.offset_s - before.offset_s) <= _MIN_DIFFERENCE_S + max(found.spread_s, before.spread_s)
        return 0.5 * (found.offset_s + before.offset_s) if agree else None

    def values(self) -> dict[str, str]:
        """Return the keys and values of the diagnostics."""
        found = self._found
        if found is None:
            return {"time_offset_estimate_ms": "", "time_offset_estimate_quality": f"none: {self._estimator.reason}"}
        quality = (
            f"correlation {found.correlation:.2f}, peak ratio {found.peak_ratio:.1f}, "
            f"halves differ by {1e3 * found.spread_s:.1f} ms"
        )
        return {
            "time_offset_estimate_ms": f"{1e3 * found.offset_s:.1f}",
            "time_offset_estimate_quality": quality,
        }

    def problem(self, time_offset_s: float) -> Problem | None:
        """Return the warning that the images tell another offset than the parameter, or None."""
        found = self._found
        if found is None or abs(found.offset_s - time_offset_s) < _MIN_DIFFERENCE_S + found.spread_s:
            return None
        late = "late" if found.offset_s > 0 else "early"
        return Problem(
            "time offset",
            f"the images move as if infrared stamps were {1e3 * abs(found.offset_s):.0f} ms {late} (correlation "
            f"{found.correlation:.2f}): set time_offset_s to {found.offset_s:.3f}, it is {time_offset_s:g}",
        )
