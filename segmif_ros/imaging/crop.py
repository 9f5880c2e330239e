# SPDX-License-Identifier: Apache-2.0
"""Rows and columns of an image that are no picture: telemetry of thermal cameras, black borders."""

from __future__ import annotations

from dataclasses import dataclass

from segmif_ros.arrays import Array
from segmif_ros.imaging.encodings import EncodingError


@dataclass(frozen=True)
class Crop:
    """What is cut off an image's sides.

    Attributes:
        top: Rows.
        bottom: Rows.
        left: Columns.
        right: Columns.

    Raises:
        ValueError: If one of them is negative.
    """

    top: int = 0
    bottom: int = 0
    left: int = 0
    right: int = 0

    def __post_init__(self) -> None:
        if min(self.top, self.bottom, self.left, self.right) < 0:
            raise ValueError("must not be negative")

    @classmethod
    def parse(cls, text: str) -> Crop:
        """Return the crop of a text of four whole numbers: top, bottom, left, right; an empty one cuts nothing.

        Raises:
            ValueError: For any other text.
        """
        words = text.replace(",", " ").split()
        try:
            if len(words) not in (0, 4):
                raise ValueError
            return cls(*(int(word) for word in words))
        except ValueError:
            raise ValueError(
                f"'{text}' is no crop: four numbers of 0 or more are needed, for example '0, 2, 0, 0' for two rows at "
                "the bottom (top, bottom, left, right)"
            ) from None

    def apply(self, image: Array) -> Array:
        """Return the rest of (H, W) or (H, W, C), a view; EncodingError if nothing is left."""
        if self == _NOTHING:
            return image
        height, width = image.shape[:2]
        rows, columns = height - self.top - self.bottom, width - self.left - self.right
        if rows < 1 or columns < 1:
            raise EncodingError(
                f"the image is {width}x{height}: nothing is left of it after cutting {self.top} rows at the top, "
                f"{self.bottom} at the bottom, {self.left} columns at the left and {self.right} at the right"
            )
        return image[self.top : self.top + rows, self.left : self.left + columns]


_NOTHING = Crop()
