# SPDX-License-Identifier: Apache-2.0
"""Fusion by a pixel rule: the baselines of evaluation, and the fused image of networks that give none."""

from __future__ import annotations

from collections.abc import Callable

import cv2
import numpy as np

from segmif_ros.arrays import Image
from segmif_ros.imaging.pyramid import LEVELS, compose, decompose


def laplacian_pyramid(a: Image, b: Image, levels: int = LEVELS) -> Image:
    """Fuse two grey images, uint8 (H, W), by Laplacian pyramids (Burt and Adelson).

    Of each detail coefficient the one of larger magnitude is taken (of equal ones a's), of the coarsest level the mean.
    An image too small for ``levels`` gets fewer.

    Args:
        a: (H, W) uint8, grey.
        b: (H, W) uint8, grey.
        levels: Of detail; an image too small for them gets fewer.

    Returns:
        (H, W) uint8, grey.
    """
    (fine_a, rest_a), (fine_b, rest_b) = (decompose(image.astype(np.float32), levels) for image in (a, b))
    stronger = [np.where(np.abs(x) >= np.abs(y), x, y) for x, y in zip(fine_a, fine_b, strict=True)]
    image = compose(stronger, np.asarray((rest_a + rest_b) / 2, np.float32))
    return np.clip(np.rint(image), 0, 255).astype(np.uint8)


def _average(a: Image, b: Image) -> Image:
    return np.rint((a.astype(np.float64) + b) / 2).astype(np.uint8)


FUSION_RULES: dict[str, Callable[[Image, Image], Image]] = {
    "average": _average,
    "maximum": np.maximum,
    "laplacian": laplacian_pyramid,
}
"""By name: a rule that takes infrared and the RGB image's luma, both uint8 (H, W), and returns the fused luma."""


def with_fused_luma(rgb: Image, fuse: Callable[[Image], Image]) -> Image:
    """Return the RGB image with another luma and its own chroma.

    Args:
        rgb: (H, W, 3) uint8, RGB.
        fuse: Takes the luma, uint8 (H, W), and returns the luma to put in its place.

    Returns:
        (H, W, 3) uint8, RGB.
    """
    ycrcb = cv2.cvtColor(rgb, cv2.COLOR_RGB2YCrCb)
    ycrcb[..., 0] = fuse(np.ascontiguousarray(ycrcb[..., 0], np.uint8))
    return np.asarray(cv2.cvtColor(ycrcb, cv2.COLOR_YCrCb2RGB), np.uint8)
