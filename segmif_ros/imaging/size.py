# SPDX-License-Identifier: Apache-2.0
"""A size of images that is asked for, of which one side may follow from the other."""

from __future__ import annotations

from dataclasses import dataclass

from segmif_ros.settings import setting


@dataclass(frozen=True, kw_only=True)
class ImageSize:
    """A size in pixels; a side of 0 follows from the other one, and with both 0 an image keeps its own."""

    width: int = setting(
        0,
        "Columns of {what}; 0 follows from the rows, and with both 0 it is the cameras' size.",
        minimum=0,
        maximum=8192,
    )
    height: int = setting(0, "Rows of the same; 0 follows from the columns.", minimum=0, maximum=8192)

    def __bool__(self) -> bool:
        return bool(self.width or self.height)

    def of(self, width: int, height: int) -> tuple[int, int]:
        """Return the (width, height) that an image of width x height gets.

        Args:
            width: Columns of the image.
            height: Its rows.
        """
        return (
            self.width or max(1, round(width * (self.height or height) / height)),
            self.height or max(1, round(height * (self.width or width) / width)),
        )
