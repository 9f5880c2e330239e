# SPDX-License-Identifier: Apache-2.0
"""PyTorch as it is, on the CPU or a CUDA device."""

from __future__ import annotations

from collections.abc import Callable

import torch

from segmif_ros.inference.backends.base import BackendOptions, FrameArrays, UInt8Image
from segmif_ros.inference.frame import FrameNetwork, FrameOutput

DTYPES = {"float32": torch.float32, "bfloat16": torch.bfloat16, "float16": torch.float16}


class TorchBackend:
    """Runs a network with torch tensors in and out.

    Args:
        network: `FrameNetwork`, or a compiled form of it.
        options: How; low precisions run under autocast, which keeps in float32 what needs it.
    """

    def __init__(self, network: Callable[..., FrameOutput], options: BackendOptions) -> None:
        self._network = network
        self._device = options.device
        self._dtype = DTYPES[options.precision]

    def run(self, infrared: UInt8Image, rgb: UInt8Image, prior: UInt8Image) -> FrameArrays:
        """See `Backend`."""
        with (
            torch.inference_mode(),
            torch.autocast(self._device.type, self._dtype, enabled=self._dtype != torch.float32),
        ):
            images = (torch.from_numpy(each).to(self._device) for each in (infrared, rgb, prior))
            fused, labels, confidence = self._network(*images)
        return fused.cpu().numpy(), labels.cpu().numpy(), confidence.cpu().numpy()


def create(network: FrameNetwork, options: BackendOptions) -> TorchBackend:
    """Make the backend."""
    return TorchBackend(network, options)
