# SPDX-License-Identifier: Apache-2.0
"""Fused images made without a network, which the fusion network learns from."""

from __future__ import annotations

from typing import Literal

import cv2
import numpy as np
import numpy.typing as npt

from segmif_ros.imaging.prior import prior_image

FusionTarget = Literal["vsm_wls", "detail"]
Image = npt.NDArray[np.uint8]
_Plane = npt.NDArray[np.float32]

_LEVELS = 4
_NEIGHBOURHOOD_SIGMA = 3.0


def fusion_target(infrared: Image, rgb: Image, method: FusionTarget) -> Image:
    """Fused luma of a pair, uint8 (H, W).

    Args:
        infrared: uint8 (H, W).
        rgb: uint8 (H, W, 3), RGB.
        method: 'vsm_wls' is the paper's mask image, as in `prior_image`. 'detail' keeps more of both sources: its
            coarse part is halfway between the brighter source and the sum of both at the mean's brightness, its fine part
            (four levels of a Laplacian pyramid) comes from the source that has more of it around a pixel.
    """
    if method == "vsm_wls":
        return prior_image(infrared, rgb, "vsm_wls")
    thermal = infrared.astype(np.float32)
    luma = np.asarray(cv2.cvtColor(rgb, cv2.COLOR_RGB2GRAY), dtype=np.float32)
    total = thermal + luma
    coarse = 0.5 * np.maximum(thermal, luma) + 0.5 * (total - np.float32(0.5) * total.mean())
    thermal_fine, _ = _pyramid(thermal)
    luma_fine, _ = _pyramid(luma)
    _, fused = _pyramid(coarse)
    for a, b in zip(reversed(thermal_fine), reversed(luma_fine), strict=True):
        finer = _enlarged(fused, a)
        fused = finer + np.where(_strength(a) > _strength(b), a, b)
    return np.clip(np.rint(fused), 0, 255).astype(np.uint8)


def _pyramid(plane: _Plane) -> tuple[list[_Plane], _Plane]:
    """Details from fine to coarse, and what remains."""
    details = []
    for _ in range(_LEVELS):
        smaller = np.asarray(cv2.pyrDown(plane), dtype=np.float32)
        details.append(plane - _enlarged(smaller, plane))
        plane = smaller
    return details, plane


def _enlarged(plane: _Plane, like: _Plane) -> _Plane:
    return np.asarray(cv2.pyrUp(plane, dstsize=like.shape[::-1]), dtype=np.float32)


def _strength(detail: _Plane) -> _Plane:
    return np.asarray(cv2.GaussianBlur(np.abs(detail), (0, 0), _NEIGHBOURHOOD_SIGMA), dtype=np.float32)
