# SPDX-License-Identifier: Apache-2.0
"""Frames that got lost between a publisher and this process, from the numbers that the middleware gives to messages."""

from __future__ import annotations

from collections import deque
from typing import Any

_MESSAGES = 32
_MIN_MESSAGES = 10


class LossWatch:
    """Counts the gaps in the numbers of the latest messages of one publisher."""

    def __init__(self) -> None:
        self._missing: deque[int] = deque(maxlen=_MESSAGES)
        self._number: int | None = None
        self._publisher: Any = None

    def see(self, number: int | None, publisher: Any = None) -> None:
        """Take the number of a message as it arrives.

        Args:
            number: That its publisher's middleware gave to it; None where it gives none.
            publisher: Tells publishers apart.
        """
        if number is None:
            return
        if publisher != self._publisher:  # another process, which counts on its own
            self._missing.clear()
            self._number, self._publisher = None, publisher
        if self._number is not None:
            self._missing.append(max(0, number - self._number - 1))
        self._number = number

    @property
    def share(self) -> float | None:
        """Share of the latest messages known to be lost, 0 to 1; None where messages have no numbers."""
        if self._number is None:
            return None
        if len(self._missing) < _MIN_MESSAGES:
            return 0.0
        lost = sum(self._missing)
        return lost / (lost + len(self._missing))
