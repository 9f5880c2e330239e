# SPDX-License-Identifier: Apache-2.0
"""A whole frame as one torch module: uint8 images in, uint8 results out.

Every backend runs this module, so conversion, network, upsampling, argmax and confidence are the same numbers
everywhere, and a backend that compiles graphs compiles all of it.
"""

from __future__ import annotations

from typing import NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from segmif_ros.model import Mode, SegMiFOutput


class FrameOutput(NamedTuple):
    """What one frame gives.

    Attributes:
        fused: (H, W, 3) uint8 RGB.
        labels: (H, W) uint8 class ids.
        confidence: (H, W) uint8, 255 times the softmax probability of the winning class.
    """

    fused: Tensor
    labels: Tensor
    confidence: Tensor


class FrameNetwork(nn.Module):
    """`SegMiF` between uint8 images.

    Args:
        model: The network in evaluation mode: `SegMiF`, or something with its `forward`.
        mode: See `SegMiF.forward`.
    """

    def __init__(self, model: nn.Module, mode: Mode = "robot") -> None:
        super().__init__()
        self.model = model
        self.mode: Mode = mode

    def forward(self, infrared: Tensor, rgb: Tensor, prior: Tensor) -> FrameOutput:
        """Process one pair, from bytes to bytes.

        Args:
            infrared: (H, W) uint8, on the model's device.
            rgb: (H, W, 3) uint8, RGB.
            prior: (H, W) uint8.

        Returns:
            Fused image, labels and confidence, uint8.
        """
        planes = (_planes(image) for image in (infrared[..., None], rgb, prior[..., None]))
        output: SegMiFOutput = self.model(*planes, mode=self.mode)
        labels, confidence = labels_and_confidence(output.logits.float(), infrared.shape[0], infrared.shape[1])
        return FrameOutput(_to_bytes(output.fused_rgb[0].permute(1, 2, 0)), labels, confidence)


def labels_and_confidence(logits: Tensor, height: int, width: int) -> tuple[Tensor, Tensor]:
    """Upsample logits bilinearly and decide.

    Args:
        logits: (1, K, h, w) float32.
        height: H, rows of the results.
        width: W, columns of the results.

    Returns:
        Class ids and the probability of the winning class, (H, W) uint8 each; 255 stands for 1.
    """
    full = F.interpolate(logits, size=(height, width), mode="bilinear", align_corners=False)[0]
    tracing: bool = torch.jit.is_tracing()  # type: ignore[no-untyped-call, attr-defined]
    if full.is_cpu and not (tracing or torch.compiler.is_compiling()):
        return _by_class(full.detach())
    top, labels = full.max(dim=0)
    # the softmax of the winner is 1 / sum(exp(l - max)): no full softmax needed
    probability = (full - top).exp().sum(dim=0).reciprocal()
    return labels.to(torch.uint8), (255 * probability).round().to(torch.uint8)


def _by_class(full: Tensor) -> tuple[Tensor, Tensor]:
    """The same of logits (K, H, W) on the CPU, which are overwritten: torch's maximum with its place isn't vectorised.

    The maximum alone is, and so is counting the classes before the first that has it: half the time for 15 classes.
    """
    top = full.amax(dim=0)
    labels, sought = torch.zeros_like(top, dtype=torch.uint8), torch.ones_like(top, dtype=torch.uint8)
    below = torch.empty_like(top, dtype=torch.bool)
    for scores in full[:-1]:
        torch.lt(scores, top, out=below)
        labels.add_(sought.bitwise_and_(below.view(torch.uint8)))
    probability = full.sub_(top).exp_().sum(dim=0).reciprocal_()
    return labels, probability.mul_(255).round_().to(torch.uint8)


def _planes(image: Tensor) -> Tensor:
    """(H, W, C) uint8 -> (1, C, H, W) float32 in [0, 1]."""
    return (image.to(torch.float32) / 255).permute(2, 0, 1)[None].contiguous()


def _to_bytes(image: Tensor) -> Tensor:
    return (255 * image.float().clamp(0, 1)).round().to(torch.uint8).contiguous()
