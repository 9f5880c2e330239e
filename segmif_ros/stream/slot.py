# SPDX-License-Identifier: Apache-2.0
"""A place for one item between a fast producer and a slower consumer: what is taken is always the newest."""

from __future__ import annotations

import threading
from typing import Generic, TypeVar

Item = TypeVar("Item")


class LatestSlot(Generic[Item]):
    """Holds one item; a newer one takes its place.

    A queue would hand out old items whenever the consumer is slower than the producer, which for a robot is worse than
    handing out fewer.
    """

    def __init__(self) -> None:
        self._changed = threading.Condition()
        self._item: Item | None = None
        self._closed = False

    def put(self, item: Item) -> Item | None:
        """Store ``item``; return the one that it replaced, or ``item`` itself if the slot is closed."""
        with self._changed:
            if self._closed:
                return item
            replaced, self._item = self._item, item
            self._changed.notify()
            return replaced

    def take(self) -> Item | None:
        """Wait for an item, take it out and return it; None once the slot is closed."""
        with self._changed:
            self._changed.wait_for(lambda: self._closed or self._item is not None)
            taken, self._item = self._item, None
            return taken

    def close(self) -> Item | None:
        """Refuse further items and wake waiting threads; return the item that nobody took."""
        with self._changed:
            self._closed = True
            left, self._item = self._item, None
            self._changed.notify_all()
            return left
