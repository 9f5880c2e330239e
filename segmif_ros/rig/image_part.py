# SPDX-License-Identifier: Apache-2.0
"""Parts of images: a crop, or a region of interest, of what a camera was calibrated with."""

from __future__ import annotations

from dataclasses import dataclass

from segmif_ros.imaging.crop import Crop
from segmif_ros.rig.camera_model import CameraModel, same_proportions

Size = tuple[int, int]


@dataclass(frozen=True)
class ImagePart:
    """Where an image lies in the whole one, in pixels.

    Attributes:
        x: Column of its first pixel.
        y: Row of its first pixel.
        size: (width, height).
        whole: (width, height) of the whole image.
    """

    x: int
    y: int
    size: Size
    whole: Size

    @classmethod
    def left_by(cls, crop: Crop, size: Size) -> ImagePart:
        """Return where cropped images lie in what the camera sent.

        Args:
            crop: What was cut off.
            size: (width, height) after it.
        """
        whole = size[0] + crop.left + crop.right, size[1] + crop.top + crop.bottom
        return cls(crop.left, crop.top, size, whole)

    def is_of(self, calibrated: Size) -> bool:
        """Whether a calibration with images of this (width, height) is of the whole image.

        One of just the part's size is the part's own.
        """
        return self.size not in (calibrated, self.whole) and same_proportions(self.whole, calibrated)

    def camera(self, model: CameraModel) -> CameraModel:
        """Return the model of the part; the model itself if it is the part's already.

        Raises:
            CalibrationError: If the part isn't inside of the whole image.
        """
        return model.scaled(*self.whole).cropped(self.x, self.y, *self.size) if self.is_of(model.size) else model
