# SPDX-License-Identifier: Apache-2.0
"""Decoded images kept in memory up to a limit, so that a small data set is read once and a large one still fits."""

from __future__ import annotations

from collections.abc import Callable

from segmif_ros.arrays import Image

KEPT_BYTES = 1 << 29


class ImageCache:
    """Images by index; once ``limit_bytes`` are kept, further ones are read again each time."""

    def __init__(self, limit_bytes: int = KEPT_BYTES) -> None:
        self._images: dict[int, tuple[Image, ...]] = {}
        self._free_bytes = limit_bytes

    def get(self, index: int, read: Callable[[], tuple[Image, ...]]) -> tuple[Image, ...]:
        """Return the images kept under ``index``, or those that ``read`` returns."""
        if index in self._images:
            return self._images[index]
        images = read()
        size = sum(image.nbytes for image in images)
        if size <= self._free_bytes:
            self._images[index] = images
            self._free_bytes -= size
        return images
