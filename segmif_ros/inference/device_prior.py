# SPDX-License-Identifier: Apache-2.0
"""`segmif_ros.imaging.prior` in torch, for where the pair already is on a device.

`visible` and `mean` are equal to the CPU's in every pixel. `vsm_wls` (Ma et al., 2017; see `segmif_ros.imaging.prior`)
goes through floats on both sides: nearly all pixels are equal, the others differ by a level, and single ones by more
where two details are equally strong and rounding decides between them.

Nothing here waits for the device or copies to it, so that it can be recorded. Planes are (2, 1, H, W), image 1 and 2 of
the method, or (1, 1, H, W), float32 unless stated otherwise.
"""

from __future__ import annotations

from typing import get_args

import torch
from torch import Tensor
from torch.nn import functional as F

from segmif_ros.imaging.prior import PriorMethod

DEVICE_PRIORS: tuple[str, ...] = get_args(PriorMethod)
"""Priors that `device_prior` makes."""

# OpenCV's luma of bytes: 0.299, 0.587 and 0.114 in steps of 2 ** -15. All sums stay below 2 ** 24, so float32 is exact.
_LUMA = (9798.0, 19235.0, 3735.0)
_LUMA_ONE = 32768.0
# of vsm_wls, as in segmif_ros.imaging.prior
_SIGMAS = (2, 4, 8)
_ROUNDS = 4
_GUIDED_EPS = 0.05**2
_WLS_WEIGHT = 0.01
_WLS_EPS = 1e-6
_DIGITS = 16  # a level is two digits of this base


def device_prior(infrared: Tensor, rgb: Tensor, method: PriorMethod) -> Tensor:
    """The prior image.

    Args:
        infrared: (H, W) whole numbers 0..255, float32.
        rgb: (H, W, 3) whole numbers 0..255, float32, RGB.
        method: 'vsm_wls', 'visible' or 'mean'.

    Returns:
        (H, W) whole numbers 0..255, float32.

    Raises:
        ValueError: Another method.
    """
    red, green, blue = rgb.unbind(dim=-1)
    weighted = _LUMA[0] * red + _LUMA[1] * green + _LUMA[2] * blue + 0.5 * _LUMA_ONE
    visible = torch.floor(weighted / _LUMA_ONE)
    if method == "visible":
        return visible
    if method == "mean":
        return torch.round(0.5 * (visible + infrared))  # halves to even, as OpenCV does
    if method == "vsm_wls":
        return _vsm_wls(torch.stack((visible, infrared))[:, None])
    raise ValueError(f"prior is '{method}': it must be one of {', '.join(DEVICE_PRIORS)}")


def _vsm_wls(levels: Tensor) -> Tensor:
    """(2, 1, H, W) whole numbers 0..255 -> (H, W) whole numbers 0..255."""
    details, base = _decompose(levels / 255)
    first, second = _saliency(levels[0, 0]), _saliency(levels[1, 0])
    share = 0.5 + 0.5 * (first - second)
    fused = base[1, 0] + share * (base[0, 0] - base[1, 0])
    fine1, fine2 = details[0][0, 0], details[0][1, 0]
    fused = fused + torch.where(fine1.abs() > fine2.abs(), fine1, fine2)
    for detail in details[1:]:
        fused = fused + _fuse_details(detail[:1], detail[1:])[0, 0]
    return torch.round(255 * fused).clamp(0, 255)


def _decompose(level: Tensor) -> tuple[list[Tensor], Tensor]:
    """Rolling guidance pyramid: four detail layers, finest first, and the base."""
    details = []
    for sigma in _SIGMAS:
        coarser = _smooth(level, sigma)
        details.append(level - coarser)
        level = coarser
    base = _gaussian(_padded(level, 6), 2)
    details.append(level - base)
    return details, base


def _smooth(image: Tensor, radius: int) -> Tensor:
    """A Gaussian, then guided filters of the image, each guided by the last; windows are cut at the border."""
    mean_image = _mean(image, radius)
    guide = _gaussian(_padded(image, 3 * radius), radius)
    for _ in range(_ROUNDS):
        mean_guide = _mean(guide, radius)
        variance = _mean(guide * guide, radius) - mean_guide * mean_guide
        slope = (_mean(guide * image, radius) - mean_guide * mean_image) / (variance + _GUIDED_EPS)
        guide = _mean(slope, radius) * guide + _mean(mean_image - slope * mean_guide, radius)
    return guide


def _mean(plane: Tensor, radius: int) -> Tensor:
    """Mean over the pixels of a square window that are inside, rows and columns apart."""
    size = 2 * radius + 1
    rows = F.avg_pool2d(plane, (size, 1), stride=1, padding=(radius, 0), count_include_pad=False)
    return F.avg_pool2d(rows, (1, size), stride=1, padding=(0, radius), count_include_pad=False)


def _padded(plane: Tensor, by: int) -> Tensor:
    return F.pad(plane, (by, by, by, by), mode="replicate")


def _mirrored(plane: Tensor, by: int) -> Tensor:
    """Padded by its mirror image with the border pixel doubled, which torch's own modes leave single."""
    plane = torch.cat((plane[..., :by].flip(-1), plane, plane[..., -by:].flip(-1)), dim=-1)
    return torch.cat((plane[..., :by, :].flip(-2), plane, plane[..., -by:, :].flip(-2)), dim=-2)


def _gaussian(padded: Tensor, sigma: int) -> Tensor:
    """Gaussian over 6 sigma + 1 pixels, without the padding of 3 sigma on each side.

    In float64, as CUDA's convolutions may round the inputs of float32 to 11 bits.
    """
    at = torch.arange(-3 * sigma, 3 * sigma + 1, device=padded.device, dtype=torch.float64)
    weights = torch.exp(-0.5 * (at / sigma) ** 2)
    weights = weights / weights.sum()
    columns = F.conv2d(padded.double(), weights.view(1, 1, 1, -1))
    return F.conv2d(columns, weights.view(1, 1, -1, 1)).float()


def _saliency(levels: Tensor) -> Tensor:
    """Sum of the distances to all other pixels' levels, scaled to [0, 1]: (H, W) of (H, W) whole numbers."""
    flat = levels.flatten()[:, None]
    digits = torch.arange(_DIGITS, device=levels.device, dtype=levels.dtype)
    high = torch.floor(flat / _DIGITS)
    # counting without atomics, which no graph runtime has: every pixel is a one in a table of 16 x 16
    ones = (high == digits).to(levels.dtype), (flat - _DIGITS * high == digits).to(levels.dtype)
    histogram = (ones[0].t() @ ones[1]).flatten().double()
    values = torch.arange(256, device=levels.device, dtype=torch.float64)
    table = (values[:, None] - values).abs() @ histogram
    there = histogram > 0
    lowest = torch.where(there, table, table.max()).amin(dim=0)
    highest = torch.where(there, table, torch.zeros_like(table)).amax(dim=0)
    span = highest - lowest
    scaled = torch.where(span > 0, (table - lowest) / span.clamp(min=1), torch.zeros_like(table))
    return scaled.to(levels.dtype)[levels.long()]


def _fuse_details(detail1: Tensor, detail2: Tensor) -> Tensor:
    """Least-squares blend: near the stronger of both, and near detail 1 where detail 2 is flat."""
    choice = _gaussian(_mirrored((detail1.abs() > detail2.abs()).to(detail1.dtype), 6), 2)
    stronger = detail2 + choice * (detail1 - detail2)
    activity = F.avg_pool2d(_padded(detail2, 3), 7, stride=1).abs()
    weight = _WLS_WEIGHT / (activity + _WLS_EPS)
    return (stronger + weight * detail1) / (1 + weight)


__all__ = ["DEVICE_PRIORS", "device_prior"]
