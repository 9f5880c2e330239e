# SPDX-License-Identifier: Apache-2.0
"""`FrameNetwork` for backends that keep the whole frame on the device: the prior image is made there as well.

Bytes become float32 first thing: the numbers stay the same, as `FrameNetwork` computes in float32 from the start, and
graph runtimes that take bytes at their inputs but compute nothing in them can run it.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn

from segmif_ros.imaging.prior import PriorMethod
from segmif_ros.inference.frame import FrameNetwork, FrameOutput

DEVICE_PRIORS: tuple[str, ...] = ("visible", "mean")
"""Priors that `device_prior` makes."""

# OpenCV's luma of bytes: 0.299, 0.587 and 0.114 in steps of 2 ** -15. All sums stay below 2 ** 24, so float32 is exact.
_LUMA = (9798.0, 19235.0, 3735.0)
_LUMA_ONE = 32768.0


def device_prior(infrared: Tensor, rgb: Tensor, method: PriorMethod) -> Tensor:
    """The prior image where the pair is, equal to `segmif_ros.imaging.prior.prior_image` in every pixel.

    Args:
        infrared: (H, W) whole numbers 0..255, float32.
        rgb: (H, W, 3) whole numbers 0..255, float32, RGB.
        method: One of `DEVICE_PRIORS`.

    Returns:
        (H, W) whole numbers 0..255, float32.

    Raises:
        ValueError: Another method.
    """
    if method not in DEVICE_PRIORS:
        raise ValueError(f"prior '{method}' is made on the CPU only; on the device: {', '.join(DEVICE_PRIORS)}")
    red, green, blue = rgb.unbind(dim=-1)
    weighted = _LUMA[0] * red + _LUMA[1] * green + _LUMA[2] * blue + 0.5 * _LUMA_ONE
    visible = torch.floor(weighted / _LUMA_ONE)
    # halves are rounded to even on both sides
    return visible if method == "visible" else torch.round(0.5 * (visible + infrared))


class DeviceFrame(nn.Module):
    """A whole frame in one precision, from bytes to bytes.

    Args:
        network: Does the frame.
        dtype: Of the arithmetic; what isn't float32 runs under autocast, which keeps in float32 what needs it.
        prior: How to make the prior image when `forward` is given none, one of `DEVICE_PRIORS`.
    """

    def __init__(self, network: FrameNetwork, dtype: torch.dtype, prior: PriorMethod | None = None) -> None:
        super().__init__()
        self.network = network
        self.dtype = dtype
        self.prior = prior

    def forward(self, infrared: Tensor, rgb: Tensor, prior: Tensor | None = None) -> FrameOutput:
        """Infrared (H, W), RGB (H, W, 3) and prior (H, W) or None, all uint8 on one device -> results, uint8."""
        infrared, rgb = infrared.to(torch.float32), rgb.to(torch.float32)
        if prior is not None:
            prior = prior.to(torch.float32)
        elif self.prior is not None:
            prior = device_prior(infrared, rgb, self.prior)
        else:
            raise ValueError("no prior image, and no way said to make it")
        # without the cache: what is cast while a graph is recorded must be cast again at every replay
        with torch.autocast(
            infrared.device.type, self.dtype, enabled=self.dtype != torch.float32, cache_enabled=False
        ):
            return self.network(infrared, rgb, prior)


__all__ = ["DEVICE_PRIORS", "DeviceFrame", "device_prior"]
