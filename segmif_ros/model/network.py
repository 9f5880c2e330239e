# SPDX-License-Identifier: Apache-2.0
"""SegMiF: the fusion network and the segmentation network in a cascade (Liu et al., ICCV 2023).

Shapes: B images, H x W pixels (any size from 29 x 29 on), K classes.
"""

from dataclasses import dataclass
from typing import Literal, NamedTuple

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from segmif_ros.model.colour import rgb_to_luma, stretched_bytes, with_luma
from segmif_ros.model.encoder import ENCODERS, MixTransformer
from segmif_ros.model.fusion import FusionNetwork, FusionOutput
from segmif_ros.model.head import SegmentationHead
from segmif_ros.model.interaction import HEAD_WIDTH
from segmif_ros.model.rewrites import Rewritable
from segmif_ros.settings import check, setting

Mode = Literal["robot", "authors"]
Design = Literal["cascade", "early", "two_branch"]

FUSION_SCALES = (1, 2, 4)
PRIOR_SCALES = (1, 2, 4)
# the encoder's first stage must have as many rows and columns as its attention reduces by
_SMALLEST_SIDE = 29
_MEAN = (123.675, 116.28, 103.53)
_STD = (58.395, 57.12, 57.375)


@dataclass(frozen=True, kw_only=True)
class SegMiFConfig:
    """Sizes of a model. The defaults are the paper's; a checkpoint's shapes give all but `prior_scale` and `design`.

    Raises:
        ValueError: A value is outside its range.
    """

    encoder: str = setting("mit_b3", "Encoder; mit_b0_slim has 3/4 of MiT-B0's channels.", choices=tuple(ENCODERS))
    num_classes: int = setting(15, "Classes of the label set.", minimum=1)
    fusion_channels: int = setting(64, "Width of the fusion network, a multiple of 8.", minimum=HEAD_WIDTH)
    growth: int = setting(32, "Channels that each layer of a dense block adds.", minimum=1)
    fusion_scale: int = setting(
        1,
        "1, 2 or 4: by how much smaller the fusion network works, on images folded into planes.",
        minimum=1,
        maximum=4,
    )
    fusion_output: FusionOutput = setting("direct", "What the fusion network gives; direct is the paper's.")
    decoder_channels: int = setting(256, "Width of the segmentation head.", minimum=1)
    prior_scale: int = setting(1, "1, 2 or 4: by how much smaller the prior image is encoded.", minimum=1, maximum=4)
    design: Design = setting("cascade", "How the two networks are combined; cascade is SegMiF.")

    def __post_init__(self) -> None:
        check(self)
        if self.fusion_channels % HEAD_WIDTH:
            raise ValueError(f"fusion_channels is {self.fusion_channels}: it must be a multiple of {HEAD_WIDTH}")
        if self.fusion_scale not in FUSION_SCALES:
            raise ValueError(f"fusion_scale is {self.fusion_scale}: it must be 1, 2 or 4")
        if self.prior_scale not in PRIOR_SCALES:
            raise ValueError(f"prior_scale is {self.prior_scale}: it must be 1, 2 or 4")


class SegMiFOutput(NamedTuple):
    """What one pass of the cascade gives.

    Attributes:
        fused_luma: (B, 1, H, W) float, the fusion network's output, not clamped.
        fused_rgb: (B, 3, H, W) float in [0, 1], RGB, the image that was shown to the segmentation network.
        logits: (B, K, ceil(H/4), ceil(W/4)) float.
    """

    fused_luma: Tensor
    fused_rgb: Tensor
    logits: Tensor


class _EncoderDecoder(nn.Module):
    def __init__(self, config: SegMiFConfig) -> None:
        super().__init__()
        widths, depths = ENCODERS[config.encoder]
        self.encoder = MixTransformer(widths, depths)
        self.decoder = SegmentationHead(widths, config.decoder_channels, config.num_classes)
        # Part of the published checkpoints; its output was thrown away there and it is never used here.
        self.classifier = nn.Conv2d(widths[3], config.num_classes, 1, bias=False)


class SegmentationNetwork(Rewritable):
    """Encoder and head behind the published key names (`denoise_net.*`)."""

    mean: Tensor
    std: Tensor

    def __init__(self, config: SegMiFConfig) -> None:
        super().__init__()
        self.denoise_net = _EncoderDecoder(config)
        self.register_buffer("mean", torch.tensor(_MEAN).view(3, 1, 1), persistent=False)
        self.register_buffer("std", torch.tensor(_STD).view(3, 1, 1), persistent=False)

    def forward(self, rgb: Tensor) -> Tensor:
        """RGB (B, 3, H, W) in [0, 1] -> logits (B, K, ceil(H/4), ceil(W/4)); mean and std are applied inside."""
        if self.rewrites.scaled_stem:
            stages = self.denoise_net.encoder(rgb - self.mean / 255, factor=255 / self.std)
        else:
            stages = self.denoise_net.encoder((255 * rgb - self.mean) / self.std)
        return self.denoise_net.decoder(stages)


class SegMiF(Rewritable):
    """Infrared and RGB in, fused image and class logits out.

    `fusion` and `segmentation` have the state-dict keys of the authors' two checkpoint files. In training mode
    DropPath, Dropout2d and BatchNorm's batch statistics are active; `load_checkpoint` returns a model in evaluation
    mode.

    Attributes:
        config: the sizes.
        metadata: strings that came with the checkpoint; empty for a new model.
    """

    def __init__(self, config: SegMiFConfig) -> None:
        super().__init__()
        self.config = config
        self.metadata: dict[str, str] = {}
        widths = ENCODERS[config.encoder][0]
        self.fusion = FusionNetwork(
            semantic_widths=widths[:2],
            channels=config.fusion_channels,
            growth=config.growth,
            scale=config.fusion_scale,
            output=config.fusion_output,
        )
        self.segmentation = SegmentationNetwork(config)

    def prior_features(self, prior: Tensor) -> tuple[Tensor, Tensor]:
        """First two encoder stages of the prior image (B, 1, H, W) in [0, 1].

        The prior enters as three equal planes without mean and std, as in the published training and test code.

        Returns:
            (B, C1, ceil(H/4), ceil(W/4)) and (B, C2, ceil(H/8), ceil(W/8)); with a prior_scale s of a prior that is
            averaged over s x s pixels first, unless a side would get too small for the encoder.
        """
        scale = self.config.prior_scale
        if min(prior.shape[-2:]) >= scale * _SMALLEST_SIDE:
            prior = average_pooled(prior, scale)
        planes = prior if self.rewrites.grey_stem else prior.expand(-1, 3, -1, -1)
        features = self.segmentation.denoise_net.encoder(planes, stages=2 if self.rewrites.short_prior_pass else 4)
        return features[0], features[1]

    def fuse(self, infrared: Tensor, visible: Tensor, prior: Tensor) -> Tensor:
        """Fused luma (B, 1, H, W), not clamped, of three planes (B, 1, H, W) in [0, 1]."""
        _require_planes(infrared, visible, prior)
        return self.fusion(infrared, visible, *self.prior_features(prior))

    def segment(self, rgb: Tensor) -> Tensor:
        """Logits (B, K, ceil(H/4), ceil(W/4)) of RGB (B, 3, H, W) in [0, 1]."""
        return self.segmentation(rgb)

    def forward(self, infrared: Tensor, rgb: Tensor, prior: Tensor, mode: Mode = "robot") -> SegMiFOutput:
        """The whole cascade.

        Args:
            infrared: (B, 1, H, W) in [0, 1].
            rgb: (B, 3, H, W) in [0, 1], RGB.
            prior: (B, 1, H, W) in [0, 1].
            mode: 'robot' fuses with the luma, as in training, and clamps the fused RGB: equal frames give equal output.
                'authors' repeats the published test script: it fuses with the red plane, truncates to 8 bit and
                stretches the batch's own minimum and maximum to 0..255 before segmentation, so use batches of one.
                Video flickers with it, and no gradient passes to the fusion network.

        Raises:
            ValueError: shapes that don't fit, a side below 29 pixels, or an unknown mode.
        """
        if rgb.ndim != 4 or rgb.shape[1] != 3:
            raise ValueError(f"rgb has shape {tuple(rgb.shape)}: it must be (batch, 3, height, width)")
        if mode == "robot":
            fused_luma = self.fuse(infrared, rgb_to_luma(rgb), prior)
            fused_rgb = with_luma(rgb, fused_luma).clamp(0, 1)
        elif mode == "authors":
            fused_luma = self.fuse(infrared, rgb[:, :1], prior)
            fused_rgb = stretched_bytes(with_luma(rgb, fused_luma)).to(rgb.dtype) / 255
        else:
            raise ValueError(f"mode is '{mode}': it must be 'robot' or 'authors'")
        return SegMiFOutput(fused_luma, fused_rgb, self.segment(fused_rgb))


def average_pooled(plane: Tensor, scale: int) -> Tensor:
    """(B, 1, H, W) averaged over scale x scale pixels, (B, 1, ceil(H/s), ceil(W/s)); borders average what is there."""
    return plane if scale == 1 else F.avg_pool2d(plane, scale, ceil_mode=True, count_include_pad=False)


def _require_planes(infrared: Tensor, visible: Tensor, prior: Tensor) -> None:
    if infrared.ndim != 4 or infrared.shape[1] != 1:
        raise ValueError(f"infrared has shape {tuple(infrared.shape)}: it must be (batch, 1, height, width)")
    for name, plane in (("visible", visible), ("prior", prior)):
        if plane.shape != infrared.shape:
            shapes = f"{tuple(plane.shape)}, infrared {tuple(infrared.shape)}"
            raise ValueError(f"{name} has shape {shapes}: both must be equal")


__all__ = [
    "FUSION_SCALES",
    "PRIOR_SCALES",
    "Design",
    "Mode",
    "SegMiF",
    "SegMiFConfig",
    "SegMiFOutput",
    "SegmentationNetwork",
]
