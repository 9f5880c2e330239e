# SPDX-License-Identifier: Apache-2.0
"""The prior image: what the network's semantic features are taken from.

SegMiF was trained with one grey image per pair beside infrared and RGB. Its authors say in their issue threads that it
comes from "Infrared and visible image fusion based on visual saliency map and weighted least square optimization" (Ma
et al., Infrared Physics & Technology 82, 2017), and that where none was at hand they used the visible image. Here it is
computed from the pair itself:

- `vsm_wls`: that method, the one to use with weights that were trained so (all of the authors').
- `visible`: the luma of the RGB image, nearly free, what the authors did for TNO and RoadScene; blind at night.
- `mean`: half luma, half infrared, nearly free, sees both.

Weights say in their metadata which one they were trained with.

Roles in `vsm_wls`: the method is symmetric but for its last step, which draws a detail towards image 1 where image 2 is
flat. A comment of the published code calls image 1 the visible one, but its example loads infrared files as image 1.
Here image 1 is the visible one: as the comment states, and keeping visible texture where infrared is flat is what the
step is good for, as the base and the finest detail already carry what is hot.
"""

from typing import Literal, get_args

import cv2
import numpy as np

PriorMethod = Literal["vsm_wls", "visible", "mean"]

_SIGMAS = (2, 4, 8)
_ROUNDS = 4
_GUIDED_EPS = 0.05**2
_WLS_WEIGHT = 0.01
_WLS_EPS = 1e-6


def prior_image(infrared: np.ndarray, rgb: np.ndarray, method: PriorMethod = "vsm_wls") -> np.ndarray:
    """Prior image of a registered pair.

    Args:
        infrared: uint8 (H, W).
        rgb: uint8 (H, W, 3), RGB order.
        method: 'vsm_wls', 'visible' or 'mean', see above.

    Returns:
        uint8 (H, W).

    Raises:
        ValueError: unknown method, or images of another type or of sizes that differ.
    """
    if infrared.ndim != 2 or infrared.dtype != np.uint8:
        raise ValueError(f"infrared is {infrared.dtype} {infrared.shape}: it must be uint8 (height, width)")
    if rgb.shape != (*infrared.shape, 3) or rgb.dtype != np.uint8:
        raise ValueError(f"rgb is {rgb.dtype} {rgb.shape}: it must be uint8 {(*infrared.shape, 3)} like infrared")
    visible = cv2.cvtColor(np.ascontiguousarray(rgb), cv2.COLOR_RGB2GRAY)
    if method == "visible":
        return visible
    if method == "mean":
        return cv2.addWeighted(visible, 0.5, np.ascontiguousarray(infrared), 0.5, 0.0)
    if method == "vsm_wls":
        return _vsm_wls(visible, np.ascontiguousarray(infrared))
    raise ValueError(f"prior is '{method}': it must be one of {', '.join(get_args(PriorMethod))}")


def _vsm_wls(image1: np.ndarray, image2: np.ndarray) -> np.ndarray:
    """Fusion by visual saliency and weighted least squares of two uint8 (H, W) images, uint8 (H, W)."""
    details1, base1 = _decompose(image1)
    details2, base2 = _decompose(image2)
    share = 0.5 + 0.5 * (_saliency(image1) - _saliency(image2))
    fused = base2 + share * (base1 - base2)
    fused += np.where(np.abs(details1[0]) > np.abs(details2[0]), details1[0], details2[0])
    for detail1, detail2 in zip(details1[1:], details2[1:], strict=True):
        fused += _fuse_details(detail1, detail2)
    return cv2.convertScaleAbs(np.maximum(fused, 0, out=fused), alpha=255)


def _decompose(image: np.ndarray) -> tuple[list[np.ndarray], np.ndarray]:
    """Rolling guidance pyramid of a uint8 image: four detail layers, finest first, and the base; float32 in [0, 1]."""
    level = image.astype(np.float32) / 255
    details = []
    for sigma in _SIGMAS:
        coarser = _smooth(level, sigma)
        details.append(level - coarser)
        level = coarser
    base = _gaussian(level, 2)
    details.append(level - base)
    return details, base


def _gaussian(image: np.ndarray, sigma: int) -> np.ndarray:
    window = 2 * 3 * sigma + 1
    return cv2.GaussianBlur(image, (window, window), sigma, borderType=cv2.BORDER_REPLICATE)


def _smooth(image: np.ndarray, radius: int) -> np.ndarray:
    """Rolling guidance: a Gaussian, then guided filters (He et al., TPAMI 2013) of the image, each guided by the last.

    Windows are cut at the border, not padded: sums over zeros outside, divided by the number of pixels inside.
    """
    size = (2 * radius + 1, 2 * radius + 1)

    def total(plane: np.ndarray) -> np.ndarray:
        return cv2.boxFilter(plane, cv2.CV_32F, size, normalize=False, borderType=cv2.BORDER_CONSTANT)

    inverse_count = 1 / total(np.ones_like(image))

    def mean(plane: np.ndarray) -> np.ndarray:
        return total(plane) * inverse_count

    mean_image = mean(image)
    guide = _gaussian(image, radius)
    for _ in range(_ROUNDS):
        mean_guide = mean(guide)
        variance = mean(guide * guide) - mean_guide * mean_guide
        slope = (mean(guide * image) - mean_guide * mean_image) / (variance + _GUIDED_EPS)
        guide = mean(slope) * guide + mean(mean_image - slope * mean_guide)
    return guide


def _saliency(image: np.ndarray) -> np.ndarray:
    """Sum of the distances to all other pixels' levels, scaled to [0, 1]: float32 (H, W) of a uint8 image."""
    histogram = np.bincount(image.ravel(), minlength=256).astype(np.float64)
    levels = np.arange(256)
    table = np.abs(levels[:, None] - levels) @ histogram
    present = table[histogram > 0]
    span = present.max() - present.min()
    if span == 0:
        return np.zeros(image.shape, np.float32)
    return ((table - present.min()) / span).astype(np.float32)[image]


def _fuse_details(detail1: np.ndarray, detail2: np.ndarray) -> np.ndarray:
    """Least-squares blend: near the stronger of both, and near detail 1 where detail 2 is flat.

    The published "system" is diagonal, so it has a closed form.
    """
    choice = (np.abs(detail1) > np.abs(detail2)).astype(np.float32)
    choice = cv2.GaussianBlur(choice, (13, 13), 2, borderType=cv2.BORDER_REFLECT)
    stronger = detail2 + choice * (detail1 - detail2)
    activity = np.abs(cv2.blur(detail2, (7, 7), borderType=cv2.BORDER_REPLICATE))
    weight = _WLS_WEIGHT / (activity + _WLS_EPS)
    return (stronger + weight * detail1) / (1 + weight)


__all__ = ["PriorMethod", "prior_image"]
