# SPDX-License-Identifier: Apache-2.0
"""`FrameNetwork` for backends that keep the whole frame on the device: the prior image is made there as well.

Bytes become float32 first thing: the numbers stay the same, as `FrameNetwork` computes in float32 from the start, and
graph runtimes that take bytes at their inputs but compute nothing in them can run it.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn

from segmif_ros.imaging.prior import PriorMethod
from segmif_ros.inference.device_prior import DEVICE_PRIORS, device_prior
from segmif_ros.inference.frame import FrameNetwork, FrameOutput


class DeviceFrame(nn.Module):
    """A whole frame in one precision, from bytes to bytes.

    Args:
        network: Does the frame.
        dtype: Of the arithmetic; what isn't float32 runs under autocast, which keeps in float32 what needs it.
        prior: How to make the prior image when `forward` is given none.
    """

    def __init__(self, network: FrameNetwork, dtype: torch.dtype, prior: PriorMethod | None = None) -> None:
        super().__init__()
        self.network = network
        self.dtype = dtype
        self.prior = prior

    def forward(self, infrared: Tensor, rgb: Tensor, prior: Tensor | None = None) -> FrameOutput:
        """Process one pair on the device.

        Args:
            infrared: (H, W) uint8.
            rgb: (H, W, 3) uint8, RGB.
            prior: (H, W) uint8; None computes it on the device, where the network takes one.

        Returns:
            Fused image, labels and confidence, uint8 on the same device.
        """
        infrared, rgb = infrared.to(torch.float32), rgb.to(torch.float32)
        if prior is not None:
            prior = prior.to(torch.float32)
        elif self.prior is not None:
            prior = device_prior(infrared, rgb, self.prior)
        else:
            raise ValueError("no prior image, and no method to make it")
        # without the cache: what is cast while a graph is recorded must be cast again at every replay
        with torch.autocast(
            infrared.device.type, self.dtype, enabled=self.dtype != torch.float32, cache_enabled=False
        ):
            return self.network(infrared, rgb, prior)


__all__ = ["DEVICE_PRIORS", "DeviceFrame"]
