# SPDX-License-Identifier: Apache-2.0
"""The fusion network: two dense branches that meet twice in the interaction block (Liu et al., SegMiF, ICCV 2023).

Shapes: B images, H x W pixels, s the scale of the network (1 in the paper), C channels, C1 and C2 channels of the
semantic features.
"""

from typing import Literal

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from segmif_ros.model.interaction import InteractionBlock
from segmif_ros.model.rewrites import Rewritable

FusionOutput = Literal["direct", "blend"]
_LAYERS = 5
# Convolutions to few channels use a part of a CPU's vectors; from 32 channels on, adding up costs more than it gains.
_SCATTER_GROWTH = 16
# Blending networks are trained on small crops and run at any size: their context logits don't grow with the image.
_BLEND_REFERENCE_TOKENS = 4096


class DenseBlock(Rewritable):
    """Dilated residual dense block: five 3x3 convolutions of dilation 2, each seeing all maps before it."""

    def __init__(self, channels: int, growth: int) -> None:
        super().__init__()
        self.growth = growth
        for layer in range(_LAYERS):
            convolution = nn.Conv2d(channels + growth * layer, growth, 3, padding=2, dilation=2)
            self.add_module(f"Dcov{layer + 1}", convolution)
        self.conv = nn.Conv2d(channels + growth * _LAYERS, channels, 1)

    def forward(self, x: Tensor) -> Tensor:
        """(B, C, h, w) -> (B, C, h, w)."""
        layers = [self.get_submodule(f"Dcov{layer + 1}") for layer in range(_LAYERS)]
        if self.scatters:
            dense = self._scattered(x)
        elif torch.is_grad_enabled() or not self.rewrites.dense_buffer:
            dense = x
            for layer in layers:
                dense = torch.cat((dense, F.relu(layer(dense))), dim=1)
        else:
            dense = self._without_gradient(x, layers)
        return x + F.relu(self.conv(dense))

    @property
    def scatters(self) -> bool:
        """Whether maps are convolved once for all later layers."""
        return self.rewrites.dense_scatter and self.growth <= _SCATTER_GROWTH and not self.training

    def _scattered(self, x: Tensor) -> Tensor:
        """The same maps by linearity: each is convolved for all later layers at once, to many channels, and added up.

        As many operations as layer by layer, in fewer and wider convolutions.
        """
        layers: list[nn.Conv2d] = [getattr(self, f"Dcov{layer + 1}") for layer in range(_LAYERS)]
        begin, end = 0, x.shape[1]
        maps, bias, sums = [x], torch.cat([layer.bias for layer in layers if layer.bias is not None]), None
        for index in range(_LAYERS):
            weight = torch.cat([layer.weight[:, begin:end] for layer in layers[index:]])
            part = F.conv2d(maps[-1], weight, None if index else bias, padding=2, dilation=2)
            sums = part if sums is None else sums[:, self.growth :] + part
            maps.append(F.relu(sums[:, : self.growth]))
            begin, end = end, end + self.growth
        return torch.cat(maps, dim=1)

    def _without_gradient(self, x: Tensor, layers: list[nn.Module]) -> Tensor:
        """The same maps in one buffer: no copy grows with each layer, and half the memory."""
        batch, channels, height, width = x.shape
        # what autocast would cast the buffer to before each convolution
        device = x.device.type
        dtype = torch.get_autocast_dtype(device) if torch.is_autocast_enabled(device) else x.dtype
        dense = x.new_empty((batch, channels + self.growth * _LAYERS, height, width), dtype=dtype)
        dense[:, :channels] = x
        for layer in layers:
            dense[:, channels : channels + self.growth] = layer(dense[:, :channels]).relu_()
            channels += self.growth
        return dense


class FusionNetwork(Rewritable):
    """Fuses one infrared and one visible plane, guided by the semantic features of the prior image.

    Args:
        semantic_widths: (C1, C2), channels of the encoder's first two stages.
        channels: C, a multiple of 8; 64 in the paper.
        growth: channels that each dense layer adds; 32 in the paper.
        scale: s in {1, 2, 4}; the network works on images folded to H/s x W/s with s * s planes.
        output: 'direct' predicts the fused luma; 'blend' predicts a weight w and a residual r per pixel and returns
            sigmoid(w) * infrared + (1 - sigmoid(w)) * visible + r, so that a small network keeps fine detail.
    """

    def __init__(
        self,
        *,
        semantic_widths: tuple[int, int],
        channels: int = 64,
        growth: int = 32,
        scale: int = 1,
        output: FusionOutput = "direct",
    ) -> None:
        super().__init__()
        self.scale = scale
        self.output = output
        planes = scale * scale
        self.conv1_ir = nn.Conv2d(planes, channels, 3, padding=1)
        self.conv1_vis = nn.Conv2d(planes, channels, 3, padding=1)
        self.DRDB1 = DenseBlock(channels, growth)
        self.DRDB2 = DenseBlock(channels, growth)
        self.DRDB3 = DenseBlock(channels, growth)
        self.DRDB4 = DenseBlock(channels, growth)
        self.conv2 = nn.Conv2d(2 * channels, channels, 3, padding=1)
        self.relu = nn.PReLU()
        reference_tokens = _BLEND_REFERENCE_TOKENS if output == "blend" else None
        self.ffm = InteractionBlock(channels, reference_tokens)
        # The published checkpoints carry the weights of a second block; the forward pass uses the first one twice.
        self.ffm2 = InteractionBlock(channels)
        self.conv3 = nn.Conv2d(semantic_widths[0], channels, 1)
        self.conv4 = nn.Conv2d(semantic_widths[1], channels, 1)
        self.conv21 = nn.Conv2d(channels, channels // 2, 3, padding=1)
        self.conv22 = nn.Conv2d(channels // 2, planes if output == "direct" else 2 * planes, 3, padding=1)

    def forward(self, infrared: Tensor, visible: Tensor, features1: Tensor, features2: Tensor) -> Tensor:
        """Fused luma.

        Args:
            infrared: (B, 1, H, W) in [0, 1].
            visible: (B, 1, H, W) in [0, 1].
            features1: (B, C1, h1, w1), the encoder's first stage for the prior image.
            features2: (B, C2, h2, w2), its second stage.

        Returns:
            (B, 1, H, W), not clamped.
        """
        height, width = infrared.shape[-2:]
        infrared_planes, visible_planes = folded(infrared, self.scale), folded(visible, self.scale)
        if not self.rewrites.early_projection:
            # The 1x1 maps run on small maps otherwise, and the interaction block enlarges: equal, and much cheaper.
            size = infrared_planes.shape[-2:]
            features1 = F.interpolate(features1, size=size, mode="bilinear", align_corners=False)
            features2 = F.interpolate(features2, size=size, mode="bilinear", align_corners=False)
        a = self.DRDB1(self.relu(self._first(self.conv1_ir, infrared_planes)))
        b = self.DRDB2(self.relu(self._first(self.conv1_vis, visible_planes)))
        a, b = self.ffm(a, b, self.conv3(features1))
        a, b = self.DRDB3(a), self.DRDB4(b)
        a, b = self.ffm(a, b, self.conv4(features2))
        x = self.relu(self.conv2(torch.cat((a, b), dim=1)))
        x = self.conv22(self.relu(self.conv21(x)))
        if self.output == "direct":
            return unfolded(self.relu(x), self.scale)[..., :height, :width]
        logit, residual = (unfolded(half, self.scale)[..., :height, :width] for half in x.chunk(2, dim=1))
        return torch.lerp(visible, infrared, logit.to(visible.dtype).sigmoid()) + residual

    def _first(self, convolution: nn.Conv2d, planes: Tensor) -> Tensor:
        """The first convolution; it decides how all later maps lie in memory."""
        if not (self.rewrites.channels_last and self.DRDB1.scatters):
            return convolution(planes)
        # the input too, as that saves the copy after it; with one plane both orders are the same
        mapped = convolution(planes.contiguous(memory_format=torch.channels_last))
        return mapped.contiguous(memory_format=torch.channels_last)


def folded(plane: Tensor, scale: int) -> Tensor:
    """(B, 1, H, W) -> (B, s * s, ceil(H / s), ceil(W / s)); sizes that s doesn't divide repeat the border."""
    height, width = plane.shape[-2:]
    pad = (0, -width % scale, 0, -height % scale)
    if any(pad):
        plane = F.pad(plane, pad, mode="replicate")
    return F.pixel_unshuffle(plane, scale) if scale > 1 else plane


def unfolded(planes: Tensor, scale: int) -> Tensor:
    """(B, s * s, h, w) -> (B, 1, s * h, s * w), the inverse of `folded`."""
    return F.pixel_shuffle(planes, scale) if scale > 1 else planes


__all__ = ["DenseBlock", "FusionNetwork", "FusionOutput", "folded", "unfolded"]
