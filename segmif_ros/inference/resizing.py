# SPDX-License-Identifier: Apache-2.0
"""A pair at another size than the cameras', and results brought back to theirs."""

from __future__ import annotations

import cv2
import numpy as np
import numpy.typing as npt

UInt8Image = npt.NDArray[np.uint8]
Size = tuple[int, int]
"""Rows and columns."""


def resized(image: UInt8Image, size: Size) -> UInt8Image:
    """Return an image (H, W) or (H, W, C) uint8 at a size: by area where it gets smaller, bilinearly elsewhere."""
    if image.shape[:2] == size:
        return image
    smaller = size[0] <= image.shape[0] and size[1] <= image.shape[1]
    found = cv2.resize(image, size[::-1], interpolation=cv2.INTER_AREA if smaller else cv2.INTER_LINEAR)
    return np.asarray(found, np.uint8)


def resized_ids(labels: UInt8Image, size: Size) -> UInt8Image:
    """Return class ids (H, W) uint8 at a size, each from the nearest pixel."""
    if labels.shape == size:
        return labels
    return np.asarray(cv2.resize(labels, size[::-1], interpolation=cv2.INTER_NEAREST), np.uint8)


def enlarged_fused(fused: UInt8Image, small_rgb: UInt8Image, rgb: UInt8Image) -> UInt8Image:
    """Bring a fused image to the RGB image's size, with the RGB image's fine detail.

    The difference to the RGB image that the network saw is resized and added to the full one.

    Args:
        fused: (h, w, 3) uint8, RGB.
        small_rgb: (h, w, 3) uint8, what the network saw.
        rgb: (H, W, 3) uint8, as it came.

    Returns:
        (H, W, 3) uint8, RGB.
    """
    if fused.shape == rgb.shape:
        return fused
    change = cv2.resize(cv2.subtract(fused, small_rgb, dtype=cv2.CV_16S), rgb.shape[1::-1])
    return np.asarray(cv2.add(rgb, change, dtype=cv2.CV_8U), np.uint8)
