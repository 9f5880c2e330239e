# SPDX-License-Identifier: Apache-2.0
"""When the simulated cameras expose, publish and lose frames. No clock of its own: times are passed in."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Generic, TypeVar

import numpy as np

Content = TypeVar("Content")

INFRARED, RGB = "infrared", "rgb"
# As shares of the period. Together with the next frame's earliest time they leave no room for frames to swap.
_LARGEST_JITTER = 0.3
_LARGEST_DELAY = 0.4


@dataclass(frozen=True, kw_only=True)
class Shot:
    """One image of one camera: when it is due to be published, and its stamp, in ns from the start."""

    camera: str
    due_ns: int
    stamp_ns: int
    dropped: bool


class Schedule:
    """The shots of each frame, a function of (seed, frame) alone.

    Args:
        rate_hz: Frames per second.
        jitter_s: Standard deviation of the stamp's jitter; the delay of publishing is the size of another such draw.
        drop_probability: Of each image by itself.
        infrared_time_offset_s: Added to what infrared stamps say, not to when they are published.
        seed: Of all draws.
    """

    def __init__(
        self, *, rate_hz: float, jitter_s: float, drop_probability: float, infrared_time_offset_s: float, seed: int
    ) -> None:
        self.period_s = 1.0 / rate_hz
        self._jitter_s = jitter_s
        self._drop_probability = drop_probability
        self._offset_ns = round(1e9 * infrared_time_offset_s)
        self._seed = seed

    def shots(self, frame: int) -> tuple[Shot, Shot]:
        """Return the two images of frame 0, 1, ... in the order in which they are due."""
        rng = np.random.default_rng((self._seed, frame))
        exposed_s = frame * self.period_s
        made = []
        for camera in (INFRARED, RGB):
            jitter, delay = self._jitter_s * rng.standard_normal(2)
            jitter = float(np.clip(jitter, -_LARGEST_JITTER * self.period_s, _LARGEST_JITTER * self.period_s))
            delay = min(abs(float(delay)), _LARGEST_DELAY * self.period_s)
            stamp_ns = round(1e9 * (exposed_s + jitter))
            made.append(
                Shot(
                    camera=camera,
                    due_ns=stamp_ns + round(1e9 * delay),
                    stamp_ns=stamp_ns + (self._offset_ns if camera == INFRARED else 0),
                    dropped=bool(rng.random() < self._drop_probability),
                )
            )
        first, second = sorted(made, key=lambda shot: shot.due_ns)
        return first, second

    def frame_at(self, elapsed_ns: int) -> int:
        """Return the newest frame whose exposure is not later than elapsed_ns."""
        return max(0, int(elapsed_ns * 1e-9 / self.period_s + 1e-6))


@dataclass(kw_only=True)
class PlayerCounts:
    """Frames that were shown, missed because the player was called too late, or skipped because none was ready."""

    shown: int = 0
    missed: int = 0
    unprepared: int = 0


class Player(Generic[Content]):
    """Plays a schedule: which images are due now, and when to ask again.

    Args:
        schedule: Of the shots.
        take: Returns the next frame's content, None if it isn't ready; a frame that isn't ready in time is skipped.
        max_frames: Ends after so many frames that were shown; 0: never.
        start_ns: The moment of frame 0, on the caller's clock.
        counts: Goes on counting where another player stopped.
    """

    def __init__(
        self,
        schedule: Schedule,
        take: Callable[[], Content | None],
        *,
        max_frames: int,
        start_ns: int,
        counts: PlayerCounts | None = None,
    ) -> None:
        self._schedule, self._take = schedule, take
        self._max_frames, self._start_ns = max_frames, start_ns
        self.counts = counts or PlayerCounts()
        self._frame = -1  # the newest that was begun
        self._left: list[Shot] = []
        self._content: Content | None = None

    @property
    def done(self) -> bool:
        """Whether the last image of the last frame has been handed out."""
        return not self._left and 0 < self._max_frames <= self.counts.shown

    def due(self, now_ns: int) -> list[tuple[Shot, Content]]:
        """Return the images to publish now, in order, without those that get lost; stamps are on the caller's clock."""
        found = []
        while (self._left or self._begin(now_ns)) and self._start_ns + self._left[0].due_ns <= now_ns:
            shot = self._left.pop(0)
            if not shot.dropped and self._content is not None:
                stamp_ns = max(0, self._start_ns + shot.stamp_ns)
                found.append((replace(shot, due_ns=self._start_ns + shot.due_ns, stamp_ns=stamp_ns), self._content))
        return found

    def wait_ns(self, now_ns: int) -> int:
        """Return the time until `due` has something again, at least 1 ns."""
        shot = self._left[0] if self._left else self._schedule.shots(self._frame + 1)[0]
        return max(1, self._start_ns + shot.due_ns - now_ns)

    def _begin(self, now_ns: int) -> bool:
        """Go on to the next frame; False if it isn't time for it, or it isn't ready."""
        if self.done:
            return False
        elapsed_ns = now_ns - self._start_ns
        number = self._frame + 1
        newest = self._schedule.frame_at(elapsed_ns)
        # One frame late is made up for, more are given up: a burst of old frames is no camera.
        if newest > number + 1:
            self.counts.missed += newest - number
            number, self._frame = newest, newest - 1
        shots = self._schedule.shots(number)
        if shots[0].due_ns > elapsed_ns:
            return False
        self._frame = number
        self._content = self._take()
        if self._content is None:
            self.counts.unprepared += 1
            return False
        self._left = list(shots)
        self.counts.shown += 1
        return True
