# SPDX-License-Identifier: Apache-2.0
"""What the stamps of one camera's latest frames show about the camera and its driver."""

from __future__ import annotations

import statistics
from collections import deque
from dataclasses import dataclass
from itertools import pairwise

_FRAMES = 32


@dataclass(frozen=True, kw_only=True, slots=True)
class Rhythm:
    """The latest stamps of one camera, summed up.

    Attributes:
        intervals: How many there are to judge by.
        period_s: Median interval of those that go forward; 0 without one.
        variation: Mean difference between one of these and the next, over their mean; 0 for a clock, above 0.4 where
            frames get lost, small for a camera that changes its rate.
        repeated: Intervals of 0.
        backward: Intervals below 0.
    """

    intervals: int = 0
    period_s: float = 0.0
    variation: float = 0.0
    repeated: int = 0
    backward: int = 0


class StampWatch:
    """Remembers the latest stamps."""

    def __init__(self) -> None:
        self._stamps_ns: deque[int] = deque(maxlen=_FRAMES + 1)

    def see(self, stamp_ns: int) -> None:
        """Take the stamp of a frame as it arrives."""
        self._stamps_ns.append(stamp_ns)

    def rhythm(self) -> Rhythm:
        """Return how regularly the stamps come."""
        stamps_ns = list(self._stamps_ns)
        intervals_ns = [later - earlier for earlier, later in pairwise(stamps_ns)]
        forward_ns = [each for each in intervals_ns if each > 0]
        steps_ns = [abs(later - earlier) for earlier, later in pairwise(forward_ns)]
        mean_ns = statistics.fmean(forward_ns) if forward_ns else 0.0
        return Rhythm(
            intervals=len(intervals_ns),
            period_s=1e-9 * statistics.median(forward_ns) if forward_ns else 0.0,
            variation=statistics.fmean(steps_ns) / mean_ns if steps_ns else 0.0,
            repeated=sum(each == 0 for each in intervals_ns),
            backward=sum(each < 0 for each in intervals_ns),
        )
