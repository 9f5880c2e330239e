# SPDX-License-Identifier: Apache-2.0
"""The drift watch beside the node's work: a thread that checks one registered pair a second."""

from __future__ import annotations

import threading
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from segmif_ros.rig.drift import LIMIT_PX, DriftEstimate, DriftWatch
from segmif_ros.rig.registration import Registered, Registration
from segmif_ros.rig.registration_modes import AnyRegistration
from segmif_ros.ros.problems import Problem

PERIOD_NS = 1_000_000_000
STEP_PX = 0.5  # largest change of the correction at once
_NEAREST_M = 3.0  # nearer things are too few to be taken for a drift

Shift = tuple[float, float]


@dataclass(frozen=True, kw_only=True)
class WatchSettings:
    """What is asked for.

    Attributes:
        on: Whether to watch.
        limit_px: Displacement from which on the cameras count as moved, pixels of the view.
        refine_px: Largest correction in each direction, pixels of the view; 0 corrects nothing.
    """

    on: bool = False
    limit_px: float = LIMIT_PX
    refine_px: float = 0.0


class RegistrationWatch:
    """Watches and, if asked, corrects.

    Args:
        correct: Takes the correction (right, down) in pixels of the view that is to be in force from now on. Called on
            the watch's own thread.
        now_ns: A clock that never steps back.
        unexpected: Takes an exception that only a defect can cause; the watch continues after it.
    """

    def __init__(
        self,
        correct: Callable[[Shift], None],
        now_ns: Callable[[], int],
        unexpected: Callable[[Exception], None] = lambda _error: None,
    ) -> None:
        self._unexpected = unexpected
        self._correct = correct
        self._now_ns = now_ns
        self._settings = WatchSettings()
        self._watch = DriftWatch()
        self._next_ns = 0
        self._pair: Registered | None = None
        self._correction: Shift = (0.0, 0.0)
        self._found: DriftEstimate | None = None
        self._moved = False
        self._arrived = threading.Condition()
        self._closed = False
        self._generation = 0
        self._thread: threading.Thread | None = None

    def use(
        self,
        settings: WatchSettings,
        registration: AnyRegistration | None,
        *,
        anew: bool = True,
        correction_px: Shift = (0.0, 0.0),
    ) -> None:
        """Watch so from now on.

        Args:
            settings: How.
            registration: What is in force.
            anew: Whether it is another one than before; if not, and the settings are as before, nothing changes.
            correction_px: The correction in it.
        """
        with self._arrived:
            if not anew and settings == self._settings:
                return
            self._settings, self._correction = settings, correction_px
            self._generation += 1
            self._pair = None
            self._watch = DriftWatch(limit_px=settings.limit_px, parallax=parallax_of(registration))
            self._found, self._moved = None, False
            if settings.on and self._thread is None:
                self._thread = threading.Thread(target=self._work, name="segmif-registration-watch", daemon=True)
                self._thread.start()

    def see(self, registered: Registered) -> None:
        """Take a registered pair; returns at once. Only one a second is looked at."""
        if not self._settings.on:
            return
        now_ns = self._now_ns()
        if now_ns < self._next_ns:
            return
        self._next_ns = now_ns + PERIOD_NS
        with self._arrived:
            self._pair = registered
            self._arrived.notify()

    def close(self) -> None:
        """End the thread."""
        with self._arrived:
            self._closed = True
            self._arrived.notify()

    @property
    def correction_px(self) -> Shift:
        """The correction in force."""
        return self._correction

    def look(self, registered: Registered) -> None:
        """Look at a pair and correct if asked; what the thread does for each."""
        with self._arrived:
            watch, generation = self._watch, self._generation
        if not watch.add(registered.infrared, registered.rgb):
            return
        found = watch.estimate()
        with self._arrived:
            if generation != self._generation:
                return
            self._found, self._moved = found or self._found, watch.moved
        if found is not None and self._settings.refine_px:
            self._refine(found)

    def values(self) -> dict[str, str]:
        """Return the keys and values of the diagnostics."""
        found, reason = self._found, self._watch.reason
        right, down = self._correction
        return {
            "misregistration_px": f"{found.moved_px:.1f}" if found else "",
            "misregistration_quality": (
                f"{found.views} views, peak {found.sharpness:.1f} deviations high, halves differ by "
                f"{found.spread_px:.1f} px"
                if found and not reason
                else f"none: {reason}"
            ),
            "registration_correction_px": f"{right:.1f} {down:.1f}",
        }

    def problem(self) -> Problem | None:
        """Return the warning that the cameras moved, or None."""
        found = self._found
        if not self._moved or found is None:
            return None
        if self._settings.refine_px:
            remedy = "refinement follows as far as refine_registration_px allows; recalibrate if it stays"
        else:
            remedy = "recalibrate, or allow refine_registration_px"
        return Problem(
            "misregistration", f"the cameras moved by about {found.moved_px:.0f} px since calibration: {remedy}"
        )

    def _work(self) -> None:
        while True:
            with self._arrived:
                self._arrived.wait_for(lambda: self._closed or self._pair is not None)
                if self._closed:
                    return
                pair, self._pair = self._pair, None
            assert pair is not None
            self._look_safely(pair)

    def _look_safely(self, pair: Registered) -> None:
        try:
            self.look(pair)
        except Exception as error:  # noqa: BLE001  a defect must not end the thread
            self._unexpected(error)

    def _refine(self, found: DriftEstimate) -> None:
        """Go a step towards what was found, within the bounds; then look afresh."""
        limit = self._settings.refine_px
        steps = np.clip(found.shift_px, -STEP_PX, STEP_PX)
        if found.moved_px < STEP_PX:
            return
        wanted = np.clip(np.array(self._correction) + steps, -limit, limit)
        new = float(wanted[0]), float(wanted[1])
        if new != self._correction:
            self._correction = new
            self._correct(new)
            self._watch.reset()


def parallax_of(registration: AnyRegistration | None) -> tuple[Shift, Shift]:
    """Return how things far away and near are displaced under a registration, pixels: what is no drift."""
    if isinstance(registration, Registration) and registration.config.mode == "stereo":
        # the other camera's image is the one that is displaced
        sign = 1 if registration.config.view == "rgb" else -1
        (a, b), (c, d) = registration.displacement(1e9), registration.displacement(_NEAREST_M)
        return (sign * a, sign * b), (sign * c, sign * d)
    return (0.0, 0.0), (0.0, 0.0)
