# SPDX-License-Identifier: Apache-2.0
"""Warping: an image of one camera looked up pixel by pixel for the view of the other, and what fills its gaps."""

from __future__ import annotations

import math
from dataclasses import dataclass

import cv2
import numpy as np
import numpy.typing as npt

from segmif_ros.arrays import Array, Float32Array, Float64Array, Image, Mask
from segmif_ros.rig.camera_model import scaled_projection

_SHRINK_FROM = 1.5  # source pixels per pixel of the view, in one direction
_SAMPLES = 4096  # pixels that the median is taken over


@dataclass(frozen=True, kw_only=True, eq=False)
class Maps:
    """Where each pixel (u, v) of the view is in the other camera's image, for one pair of sizes.

    Attributes:
        pixels: (H, W, 2) float32, pixels (u, v) of the other image; means nothing where `valid` is 0.
        valid: (H, W) uint8, 1 where the other camera sees.
        seen: Share of the view that the other camera sees.
    """

    pixels: Float32Array
    valid: Image
    seen: float


class Warp:
    """A map in the form that OpenCV remaps fastest with: 1/32 pixel in fixed point."""

    def __init__(self, maps: Maps, other_size: tuple[int, int]) -> None:
        self.valid = maps.valid
        self.valid.setflags(write=False)
        self.all_seen = bool(maps.valid.all())
        pixels = maps.pixels
        self._source_size = other_size
        # a remap looks at 2x2 pixels: of a much finer image it would see a sample with all its noise and aliasing
        if (shrink := _pixels_per_pixel(maps)) >= _SHRINK_FROM:
            smaller = max(1, round(other_size[0] / shrink)), max(1, round(other_size[1] / shrink))
            pixels = rescaled(pixels, other_size, smaller).astype(np.float32)
            self._source_size = smaller
        self._map = cv2.convertMaps(pixels, np.zeros(0, np.float32), cv2.CV_16SC2)
        self._unseen = maps.valid == 0
        seen = np.flatnonzero(maps.valid)
        self._sample = seen[:: max(1, seen.size // _SAMPLES)]

    def apply(self, image: Image) -> Image:
        """Return the image in the view, its gaps filled with the median of the rest."""
        image = resized(image, self._source_size)
        warped: Image = np.asarray(
            cv2.remap(image, self._map[0], self._map[1], cv2.INTER_LINEAR, borderMode=cv2.BORDER_REPLICATE), np.uint8
        )
        if not self.all_seen:
            fill_unseen(warped, self._unseen, self._sample)
        return warped


def fill_unseen(warped: Image, unseen: Mask, sample: npt.NDArray[np.intp]) -> None:
    """Put the median of what is seen where nothing is, channel by channel, in place.

    Args:
        warped: (H, W) or (H, W, 3).
        unseen: (H, W).
        sample: (N,) flat indices of pixels that are seen, which the median is taken over.
    """
    values = warped.reshape(unseen.size, -1)[sample]
    fill = np.sort(values, axis=0)[len(values) // 2] if len(values) else np.zeros(values.shape[1], np.uint8)
    np.copyto(warped, fill, where=unseen if warped.ndim == 2 else unseen[..., None])


def resized(image: Image, size: tuple[int, int]) -> Image:
    """Resize an image, by area where it gets smaller.

    Args:
        image: (H, W) or (H, W, C) uint8.
        size: (width, height).

    Returns:
        The image at that size; itself if it has it.
    """
    if (image.shape[1], image.shape[0]) == size:
        return image
    shrinks = size[0] < image.shape[1] and size[1] < image.shape[0]
    return np.asarray(cv2.resize(image, size, interpolation=cv2.INTER_AREA if shrinks else cv2.INTER_LINEAR), np.uint8)


def rescaled(pixels: Array, from_size: tuple[int, int], to_size: tuple[int, int]) -> Float64Array:
    """Return pixels (..., 2) of an image as those of the same image resized.

    Args:
        pixels: (..., 2), columns and rows.
        from_size: (width, height) of their image.
        to_size: (width, height) that it is resized to.
    """
    if from_size == to_size:
        return pixels
    matrix = scaled_projection(np.eye(3), to_size[0] / from_size[0], to_size[1] / from_size[1])
    return pixels * (matrix[0, 0], matrix[1, 1]) + matrix[:2, 2]


def _pixels_per_pixel(maps: Maps) -> float:
    """Return how many pixels of the other image one of the view spans in each direction, in the median."""
    right, down = np.diff(maps.pixels, axis=1)[:-1], np.diff(maps.pixels, axis=0)[:, :-1]
    area = np.abs(right[..., 0] * down[..., 1] - right[..., 1] * down[..., 0])
    inside = (maps.valid[:-1, :-1] & maps.valid[:-1, 1:] & maps.valid[1:, :-1]).astype(bool)
    return math.sqrt(float(np.median(area[inside]))) if inside.any() else 1.0
