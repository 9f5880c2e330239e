# SPDX-License-Identifier: Apache-2.0
"""Fused images made without a network, which the fusion network learns from."""

from __future__ import annotations

from typing import Literal

import cv2
import numpy as np

from segmif_ros.arrays import Float32Array, Image
from segmif_ros.imaging.prior import prior_image
from segmif_ros.imaging.pyramid import compose, decompose

FusionTarget = Literal["vsm_wls", "detail"]

_NEIGHBOURHOOD_SIGMA = 3.0


def fusion_target(infrared: Image, rgb: Image, method: FusionTarget) -> Image:
    """Return the fused luma of a pair, uint8 (H, W).

    Args:
        infrared: uint8 (H, W).
        rgb: uint8 (H, W, 3), RGB.
        method: 'vsm_wls' is the paper's mask image, as in `prior_image`. 'detail' keeps more of both sources: its
            coarse part is halfway between the brighter source and the sum of both at the mean's brightness, its fine
            part (four levels of a Laplacian pyramid) comes from the source that has more of it around a pixel.
    """
    if method == "vsm_wls":
        return prior_image(infrared, rgb, "vsm_wls")
    thermal = infrared.astype(np.float32)
    luma = np.asarray(cv2.cvtColor(rgb, cv2.COLOR_RGB2GRAY), dtype=np.float32)
    total = thermal + luma
    coarse = 0.5 * np.maximum(thermal, luma) + 0.5 * (total - np.float32(0.5) * total.mean())
    thermal_fine, _ = decompose(thermal)
    luma_fine, _ = decompose(luma)
    _, rest = decompose(coarse)
    fine = [np.where(_strength(a) > _strength(b), a, b) for a, b in zip(thermal_fine, luma_fine, strict=True)]
    fused = compose(fine, rest)
    return np.clip(np.rint(fused), 0, 255).astype(np.uint8)


def _strength(detail: Float32Array) -> Float32Array:
    return np.asarray(cv2.GaussianBlur(np.abs(detail), (0, 0), _NEIGHBOURHOOD_SIGMA), dtype=np.float32)
