# SPDX-License-Identifier: Apache-2.0
"""Laplacian pyramids (Burt and Adelson, 1983) of grey planes."""

from __future__ import annotations

import cv2
import numpy as np

from segmif_ros.arrays import Float32Array

LEVELS = 4
_SMALLEST_SIDE = 4


def decompose(plane: Float32Array, levels: int = LEVELS) -> tuple[list[Float32Array], Float32Array]:
    """Split a plane, float32 (H, W), into details from fine to coarse, and what remains.

    A level halves both sides; a plane with a side below 4 is not halved again, so a small one has fewer than
    ``levels``.

    Args:
        plane: (H, W) float32.
        levels: Of detail, at most.

    Returns:
        The details, (H, W), (H/2, W/2), ... float32, and the rest, float32.
    """
    details: list[Float32Array] = []
    while len(details) < levels and min(plane.shape) >= _SMALLEST_SIDE:
        smaller = np.asarray(cv2.pyrDown(plane), np.float32)
        details.append(plane - _enlarged(smaller, plane))
        plane = smaller
    return details, plane


def compose(details: list[Float32Array], rest: Float32Array) -> Float32Array:
    """Put together what `decompose` split.

    Args:
        details: From fine to coarse, float32.
        rest: The coarsest level, float32.

    Returns:
        (H, W) float32.
    """
    for detail in reversed(details):
        rest = _enlarged(rest, detail) + detail
    return rest


def _enlarged(plane: Float32Array, like: Float32Array) -> Float32Array:
    return np.asarray(cv2.pyrUp(plane, dstsize=like.shape[::-1]), np.float32)
