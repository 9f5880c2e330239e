# SPDX-License-Identifier: Apache-2.0
"""Colour conversion as the published networks were trained with, and the authors' 8-bit display step.

The coefficients are rounded to three places as in the published pipeline, so a round trip is off by about 1e-3 at most;
checkpoints depend on them. RGB order, float in [0, 1], planes on axis -3: (..., 3, H, W).
"""

import torch
from torch import Tensor


def rgb_to_luma(rgb: Tensor) -> Tensor:
    """(..., 3, H, W) RGB in [0, 1] -> luma (..., 1, H, W) in [0, 1]."""
    red, green, blue = rgb.chunk(3, dim=-3)
    return 0.299 * red + 0.587 * green + 0.114 * blue


def rgb_to_ycrcb(rgb: Tensor) -> Tensor:
    """(..., 3, H, W) RGB in [0, 1] -> planes Y, Cr, Cb in that order, each in [0, 1]; grey has Cr = Cb = 0.5."""
    luma = rgb_to_luma(rgb)
    red, _, blue = rgb.chunk(3, dim=-3)
    return torch.cat((luma, 0.713 * (red - luma) + 0.5, 0.564 * (blue - luma) + 0.5), dim=-3)


def ycrcb_to_rgb(ycrcb: Tensor) -> Tensor:
    """(..., 3, H, W) Y, Cr, Cb -> RGB, not clamped: values leave [0, 1] where the luma was changed."""
    luma, cr, cb = ycrcb.chunk(3, dim=-3)
    cr = cr - 0.5
    cb = cb - 0.5
    return torch.cat((luma + 1.403 * cr, luma - 0.714 * cr - 0.344 * cb, luma + 1.773 * cb), dim=-3)


def with_luma(rgb: Tensor, luma: Tensor) -> Tensor:
    """The colours of `rgb` (..., 3, H, W) with another luma (..., 1, H, W); RGB, not clamped."""
    return ycrcb_to_rgb(torch.cat((luma, rgb_to_ycrcb(rgb)[..., 1:, :, :]), dim=-3))


def stretched_bytes(rgb: Tensor) -> Tensor:
    """The authors' displayed image: clamp, truncate to 8 bit, stretch minimum..maximum to 0..255, truncate again.

    Minimum and maximum are taken over everything passed in, so the result of one frame depends on its own extremes
    (video flickers) and a batch is stretched as one. A constant image, where the published code divides by zero, is 0.

    Args:
        rgb: float, any shape, any range.

    Returns:
        uint8 of the same shape. No gradient passes.
    """
    levels = (255 * rgb.clamp(0, 1)).to(torch.uint8)
    low, high = levels.min(), levels.max()
    # Integers divided in float64, as published: truncation makes the last bit of the quotient visible.
    span = (high - low).double().clamp(min=1)
    return (255.0 * ((levels - low).double() / span)).to(torch.uint8)


__all__ = ["rgb_to_luma", "rgb_to_ycrcb", "stretched_bytes", "with_luma", "ycrcb_to_rgb"]
