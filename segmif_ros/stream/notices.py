# SPDX-License-Identifier: Apache-2.0
"""Lines for the log that come at camera rate, at a rate that a person can read."""

from __future__ import annotations

import threading
from collections.abc import Callable

NS_PER_S = 1_000_000_000


class Notices:
    """Says a line of one kind at once, then at most one a period, with the number of those left out.

    Args:
        say: Takes a line.
        now_ns: A clock that never steps back.
        period_s: Between two lines of one kind.
    """

    def __init__(self, say: Callable[[str], None], now_ns: Callable[[], int], period_s: float = 10.0) -> None:
        self._say = say
        self._now_ns = now_ns
        self._period_ns = round(period_s * NS_PER_S)
        self._lock = threading.Lock()
        self._latest: dict[str, tuple[int, int]] = {}  # kind -> when it was logged last, how many were left out since

    def __call__(self, kind: str, line: str) -> None:
        """Say ``line`` unless one of this kind was logged within the period."""
        now_ns = self._now_ns()
        with self._lock:
            last_ns, left_out = self._latest.get(kind, (None, 0))
            if last_ns is not None and now_ns - last_ns < self._period_ns:
                self._latest[kind] = (last_ns, left_out + 1)
                return
            self._latest[kind] = (now_ns, 0)
        self._say(f"{line} ({left_out} more like this since the last line)" if left_out else line)

    def once(self, kind: str, line: str) -> None:
        """Log ``line`` unless one of this kind was ever logged.

        Args:
            kind: Lines of one kind are logged once.
            line: For the log.
        """
        with self._lock:
            if kind in self._latest:
                return
            self._latest[kind] = (self._now_ns(), 0)
        self._say(line)
