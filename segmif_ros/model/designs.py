# SPDX-License-Identifier: Apache-2.0
"""Designs to compare the cascade with: both cameras go into one pass, and the fused image comes out beside the classes.

Early fusion adds the infrared plane at the RGB encoder's first convolution, which is a convolution of four channels.
Two branches give infrared a thin encoder of its own, whose features are added to those of RGB stage by stage. Both keep
the cascade's encoder and head, and their key names, so that weights of one start another.

Shapes: B images, H x W pixels, C_i channels of stage i, K classes.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from segmif_ros.model.colour import rgb_to_luma, with_luma
from segmif_ros.model.encoder import ENCODERS, PatchEmbedding
from segmif_ros.model.fusion import folded, unfolded
from segmif_ros.model.network import Mode, SegmentationNetwork, SegMiF, SegMiFConfig, SegMiFOutput

_FOLD = 4  # the first stage's stride: the images folded by it have the size of its map
_THIN = 2  # the thermal branch has this times fewer channels than the RGB encoder


class Residual(nn.Module):
    """x + ReLU(BatchNorm(3x3 convolution of x))."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.conv = nn.Conv2d(channels, channels, 3, padding=1, bias=False)
        self.bn = nn.BatchNorm2d(channels)

    def forward(self, x: Tensor) -> Tensor:
        """(B, C, h, w) -> the same shape."""
        return x + F.relu(self.bn(self.conv(x)))


class ThermalBranch(nn.Module):
    """Four thin stages of an infrared plane, each projected to the width of the RGB encoder's stage.

    Args:
        widths: C_1 .. C_4.
    """

    def __init__(self, widths: Sequence[int]) -> None:
        super().__init__()
        inside = 1
        for stage, width in enumerate(widths, start=1):
            thin = width // _THIN
            kernel, stride = (7, 4) if stage == 1 else (3, 2)
            self.add_module(f"down{stage}", nn.Conv2d(inside, thin, kernel, stride, kernel // 2, bias=False))
            self.add_module(f"bn{stage}", nn.BatchNorm2d(thin))
            self.add_module(f"block{stage}", Residual(thin))
            projection = nn.Conv2d(thin, width, 1)
            nn.init.trunc_normal_(projection.weight, std=0.02)  # small: what the RGB encoder knows is not drowned
            self.add_module(f"project{stage}", projection)
            inside = thin

    def forward(self, infrared: Tensor) -> list[Tensor]:
        """(B, 1, H, W) -> maps (B, C_i, h_i, w_i), h_1 = ceil(H / 4) and h_i = ceil(h_{i-1} / 2)."""
        maps, current = [], infrared
        for stage in range(1, 5):
            parts = [self.get_submodule(f"{name}{stage}") for name in ("down", "bn", "block", "project")]
            current = parts[2](F.relu(parts[1](parts[0](current))))
            maps.append(parts[3](current))
        return maps


class PairSegmentation(SegmentationNetwork):
    """Encoder and head of both images; see `SegmentationNetwork` for the key names.

    Args:
        config: With design 'early' or 'two_branch'.
    """

    def __init__(self, config: SegMiFConfig) -> None:
        super().__init__(config)
        widths = ENCODERS[config.encoder][0]
        if config.design == "early":
            self.thermal: nn.Module = nn.Conv2d(1, widths[0], 7, 4, 3, bias=False)
            nn.init.trunc_normal_(self.thermal.weight, std=0.02)
        else:
            self.thermal = ThermalBranch(widths)
        self.early = config.design == "early"

    def stages(self, infrared: Tensor, rgb: Tensor) -> list[Tensor]:
        """Infrared (B, 1, H, W) and RGB (B, 3, H, W) in [0, 1] -> maps (B, C_i, h_i, w_i) of the four stages."""
        encoder = self.denoise_net.encoder
        current = (255 * rgb - self.mean) / self.std
        thermal = self.thermal(4 * infrared - 2)  # about as wide as the normalised RGB
        maps = []
        for stage in range(1, 5):
            embedding: PatchEmbedding = getattr(encoder, f"patch_embed{stage}")
            if self.early and stage == 1:
                tokens, height, width = embedding.normalised(embedding.proj(current) + thermal)
            else:
                tokens, height, width = embedding(current)
            current = encoder.finished(stage, tokens, height, width)
            if not self.early:
                current = current + thermal[stage - 1]
            maps.append(current)
        return maps


class SideFusion(nn.Module):
    """A fused image of the first stage's features and both images: a weight between them and a residual, per pixel.

    Args:
        features: C_1.
        channels: Between its two convolutions.
    """

    def __init__(self, features: int, channels: int) -> None:
        super().__init__()
        planes = _FOLD * _FOLD
        self.first = nn.Conv2d(features + 2 * planes, channels, 3, padding=1)
        self.second = nn.Conv2d(channels, 2 * planes, 3, padding=1)

    def forward(self, infrared: Tensor, visible: Tensor, features: Tensor) -> Tensor:
        """Two planes (B, 1, H, W) in [0, 1] and (B, C_1, h_1, w_1) -> fused luma (B, 1, H, W), not clamped."""
        height, width = infrared.shape[-2:]
        planes = torch.cat((features, folded(infrared, _FOLD), folded(visible, _FOLD)), dim=1)
        halves = self.second(F.relu(self.first(planes))).chunk(2, dim=1)
        logit, residual = (unfolded(half, _FOLD)[..., :height, :width] for half in halves)
        return torch.lerp(visible, infrared, logit.to(visible.dtype).sigmoid()) + residual


class OnePass(nn.Module):
    """Infrared and RGB in, class logits and a fused image out, with one pass of the encoder.

    Args:
        config: Its ``design`` is 'early' or 'two_branch'; ``growth``, the scales and ``fusion_output`` aren't used.
    """

    def __init__(self, config: SegMiFConfig) -> None:
        super().__init__()
        self.config = config
        self.metadata: dict[str, str] = {}
        self.fusion = SideFusion(ENCODERS[config.encoder][0][0], config.fusion_channels)
        self.segmentation = PairSegmentation(config)

    def raw(self, infrared: Tensor, rgb: Tensor) -> tuple[Tensor, Tensor]:
        """Fused luma (B, 1, H, W), not clamped, and logits (B, K, ceil(H/4), ceil(W/4)) of planes in [0, 1]."""
        stages = self.segmentation.stages(infrared, rgb)
        luma = self.fusion(infrared, rgb_to_luma(rgb), stages[0])
        return luma, self.segmentation.denoise_net.decoder(stages)

    def forward(
        self, infrared: Tensor, rgb: Tensor, prior: Tensor | None = None, mode: Mode = "robot"
    ) -> SegMiFOutput:
        """See `SegMiF.forward`; the prior image isn't looked at, and there is no mode 'authors'.

        Raises:
            ValueError: Another mode than 'robot'.
        """
        if mode != "robot":
            raise ValueError(f"mode is '{mode}': design '{self.config.design}' has no mode but 'robot'")
        luma, logits = self.raw(infrared, rgb)
        return SegMiFOutput(luma, with_luma(rgb, luma).clamp(0, 1), logits)


def build(config: SegMiFConfig) -> SegMiF | OnePass:
    """Return a new network of a configuration's design, with random weights."""
    return SegMiF(config) if config.design == "cascade" else OnePass(config)


__all__ = ["OnePass", "build"]
