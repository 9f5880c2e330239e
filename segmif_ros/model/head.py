# SPDX-License-Identifier: Apache-2.0
"""The all-MLP segmentation head (Xie et al., SegFormer, NeurIPS 2021, section 3.2).

Shapes: B images, h x w the size of the first stage's map, C_i channels of stage i, E head channels, K classes.
"""

from collections.abc import Sequence

from torch import Tensor, nn
from torch.nn import functional as F


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


class SegmentationHead(nn.Module):
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
        """Four maps (B, C_i, h_i, w_i) -> logits (B, K, h_1, w_1).

        Projection and mixing are both linear and bilinear weights sum to one, so each stage passes through the product
        of its two matrices at its own resolution and only the sum is taken at full size: the same numbers as
        project, resize, concatenate, convolve for a fraction of the operations.
        """
        slices = self.linear_fuse.conv.weight[:, :, 0, 0].chunk(4, dim=1)
        mixed: Tensor | None = None
        for stage, mix in zip((4, 3, 2, 1), slices, strict=True):
            projection: StageProjection = getattr(self, f"linear_c{stage}")
            weight, bias = mix @ projection.proj.weight, mix @ projection.proj.bias
            part = F.conv2d(stages[stage - 1], weight[:, :, None, None], bias)
            if stage > 1:
                part = F.interpolate(part, size=stages[0].shape[-2:], mode="bilinear", align_corners=False)
            mixed = part if mixed is None else mixed + part
        return self.linear_pred(self.dropout(F.relu(self.linear_fuse.bn(mixed))))


__all__ = ["SegmentationHead"]
