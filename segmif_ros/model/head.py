# SPDX-License-Identifier: Apache-2.0
"""The all-MLP segmentation head (Xie et al., SegFormer, NeurIPS 2021, section 3.2).

Shapes: B images, h x w the size of the first stage's map, C_i channels of stage i, E head channels, K classes.
"""

from collections.abc import Sequence

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from segmif_ros.model.rewrites import Rewritable


class StageProjection(nn.Module):
    """Linear map of one stage's channels to the head's; a module of its own for the checkpoints' key names."""

    def __init__(self, in_channels: int, channels: int) -> None:
        super().__init__()
        self.proj = nn.Linear(in_channels, channels)


class FuseLayer(nn.Module):
    """1x1 convolution without bias and BatchNorm over the four concatenated stages, stage 4 first."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.conv = nn.Conv2d(4 * channels, channels, 1, bias=False)
        self.bn = nn.BatchNorm2d(channels)
        nn.init.kaiming_normal_(self.conv.weight, mode="fan_out", nonlinearity="relu")


class SegmentationHead(Rewritable):
    """Projects the four stages to one width, brings them to one size, mixes them and predicts classes.

    Args:
        widths: channels of the four encoder stages.
        channels: E, width of the head.
        num_classes: K.
    """

    def __init__(self, widths: Sequence[int], channels: int, num_classes: int) -> None:
        super().__init__()
        for stage in (4, 3, 2, 1):
            self.add_module(f"linear_c{stage}", StageProjection(widths[stage - 1], channels))
        self.linear_fuse = FuseLayer(channels)
        self.dropout = nn.Dropout2d(0.1)
        self.linear_pred = nn.Conv2d(channels, num_classes, 1)

    def forward(self, stages: Sequence[Tensor]) -> Tensor:
        """Four maps (B, C_i, h_i, w_i) -> logits (B, K, h_1, w_1)."""
        mixed = self._mixed_early(stages) if self.rewrites.folded_head else self._mixed_late(stages)
        return self.linear_pred(self.dropout(F.relu(mixed, inplace=not torch.is_grad_enabled())))

    def _mixed_late(self, stages: Sequence[Tensor]) -> Tensor:
        """Project, resize, concatenate, convolve, normalise."""
        parts = []
        for stage in (4, 3, 2, 1):
            projection = self._projection(stage)
            part = F.conv2d(stages[stage - 1], projection.weight[:, :, None, None], projection.bias)
            parts.append(_enlarge(part, stages[0]))
        return self.linear_fuse.bn(self.linear_fuse.conv(torch.cat(parts, dim=1)))

    def _mixed_early(self, stages: Sequence[Tensor]) -> Tensor:
        """The same numbers for a fraction of the operations.

        Projection, mixing and BatchNorm's fixed statistics are all linear and bilinear weights sum to one, so each
        stage passes through one product of matrices at its own resolution and only the sum is taken at full size.
        """
        bn = self.linear_fuse.bn
        gain, shift = None, None
        if not self.training:
            assert bn.running_mean is not None and bn.running_var is not None  # this layer tracks them
            gain = bn.weight * (bn.running_var + bn.eps).rsqrt()
            shift = bn.bias - gain * bn.running_mean
        parts = []
        slices = self.linear_fuse.conv.weight[:, :, 0, 0].chunk(4, dim=1)
        for stage, mix in zip((4, 3, 2, 1), slices, strict=True):
            projection = self._projection(stage)
            if gain is not None:
                mix = gain[:, None] * mix
            weight, bias = mix @ projection.weight, mix @ projection.bias
            if shift is not None and stage == 1:
                bias = bias + shift
            parts.append(_enlarge(F.conv2d(stages[stage - 1], weight[:, :, None, None], bias), stages[0]))
        mixed = parts[0]
        for part in parts[1:]:
            mixed = mixed + part if torch.is_grad_enabled() else mixed.add_(part)
        return bn(mixed) if self.training else mixed

    def _projection(self, stage: int) -> nn.Linear:
        return getattr(self, f"linear_c{stage}").proj


def _enlarge(part: Tensor, like: Tensor) -> Tensor:
    if part.shape[-2:] == like.shape[-2:]:
        return part
    return F.interpolate(part, size=like.shape[-2:], mode="bilinear", align_corners=False)


__all__ = ["SegmentationHead"]
