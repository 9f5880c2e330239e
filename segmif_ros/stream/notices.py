# SPDX-License-Identifier: Apache-2.0
"""Lines for the log that come at camera rate, said at a rate that a person can read."""

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
        self._said: dict[str, tuple[int, int]] = {}  # kind -> when it was said last, how many were left out since

    def __call__(self, kind: str, line: str) -> None:
        """Say ``line`` unless one of this kind was said within the period."""
        now_ns = self._now_ns()
        with self._lock:
            last_ns, left_out = self._said.get(kind, (None, 0))
            if last_ns is not None and now_ns - last_ns < self._period_ns:
                self._said[kind] = (last_ns, left_out + 1)
                return
            self._said[kind] = (now_ns, 0)
        self._say(f"{line} ({left_out} more like this since the last line)" if left_out else line)

    def once(self, kind: str, line: str) -> None:
        """Say ``line`` unless one of this kind was ever said."""
        with self._lock:
            if kind in self._said:
                return
            self._said[kind] = (self._now_ns(), 0)
        self._say(line)
