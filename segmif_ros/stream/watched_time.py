# SPDX-License-Identifier: Apache-2.0
"""Time as far as somebody watched: where a process was given no time, nothing is known of what others did."""

from __future__ import annotations

from collections.abc import Callable

LONGEST_NS = 200_000_000  # two looks of the node's timer


class WatchedTime:
    """A clock that counts no more than ``longest_ns`` between two looks; not thread-safe.

    A process that stood still for seconds finds its timers due and its frames still queued. On this clock no camera has
    been silent meanwhile. Where looks come regularly it runs as fast as the clock that it follows.

    Args:
        now_ns: A clock that never steps back.
        longest_ns: What counts at most between two looks.
    """

    def __init__(self, now_ns: Callable[[], int], longest_ns: int = LONGEST_NS) -> None:
        self._now_ns = now_ns
        self._longest_ns = longest_ns
        self._looked_ns = now_ns()
        self._watched_ns = self._looked_ns

    def look(self) -> int:
        """Return the time, in nanoseconds, and count on from here."""
        self._watched_ns = self.now()
        self._looked_ns = self._now_ns()
        return self._watched_ns

    def now(self) -> int:
        """Return the time, in nanoseconds, without counting this as a look."""
        return self._watched_ns + min(self._longest_ns, max(0, self._now_ns() - self._looked_ns))
