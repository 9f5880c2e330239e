# SPDX-License-Identifier: Apache-2.0
"""The Mix Transformer encoder, MiT-B0 to MiT-B5 (Xie et al., SegFormer, NeurIPS 2021, section 3.1).

Shapes: B images, H x W pixels, h x w the size of a stage's map, N = h * w tokens, C channels.
A map (B, C, h, w) and its tokens (B, N, C) share memory here: maps are views in channels_last order, which saves the
copies between convolutions and linear layers.
"""

import math
from collections.abc import Sequence

from torch import Tensor, nn
from torch.nn import functional as F

from segmif_ros.model.rewrites import Rewritable

ENCODERS: dict[str, tuple[tuple[int, int, int, int], tuple[int, int, int, int]]] = {
    "mit_b0_slim": ((24, 48, 120, 192), (2, 2, 2, 2)),
    "mit_b0": ((32, 64, 160, 256), (2, 2, 2, 2)),
    "mit_b1": ((64, 128, 320, 512), (2, 2, 2, 2)),
    "mit_b2": ((64, 128, 320, 512), (3, 4, 6, 3)),
    "mit_b3": ((64, 128, 320, 512), (3, 4, 18, 3)),
    "mit_b4": ((64, 128, 320, 512), (3, 8, 27, 3)),
    "mit_b5": ((64, 128, 320, 512), (3, 6, 40, 3)),
}
"""Channels and number of blocks of the four stages, by name; 'mit_b0_slim' is ours, 3/4 of MiT-B0's channels."""

MINIMUM_SIDE = 29
"""Smallest image side in pixels: stage 1 then has the 8 rows that its 8x8 spatial reduction needs."""

_HEADS = (1, 2, 5, 8)
_REDUCTIONS = (8, 4, 2, 1)
_MLP_RATIO = 4
_DROP_PATH = 0.1
# Three eps values live side by side in the published networks, and checkpoints were trained with them.
_BLOCK_EPS = 1e-6
_PATCH_EPS = 1e-5


def to_tokens(feature_map: Tensor) -> Tensor:
    """(B, C, h, w) -> (B, h * w, C), row by row; a view when the map is in channels_last order."""
    # not flatten and transpose: graph runtimes take this order for what it is in memory and copy nothing
    return feature_map.permute(0, 2, 3, 1).flatten(1, 2)


def to_map(tokens: Tensor, height: int, width: int) -> Tensor:
    """(B, height * width, C) -> (B, C, height, width) in channels_last order, a view of contiguous tokens."""
    return tokens.view(tokens.shape[0], height, width, -1).permute(0, 3, 1, 2)


class DropPath(nn.Module):
    """Stochastic depth: in training drops a sample's residual branch with probability `rate`, scales the others."""

    def __init__(self, rate: float) -> None:
        super().__init__()
        self.rate = rate

    def forward(self, branch: Tensor) -> Tensor:
        if not self.training or self.rate == 0:
            return branch
        keep = 1 - self.rate
        mask = branch.new_empty((branch.shape[0],) + (1,) * (branch.ndim - 1)).bernoulli_(keep)
        return branch * (mask / keep)


class PatchEmbedding(nn.Module):
    """Overlapping patches: a strided convolution and a LayerNorm."""

    def __init__(self, in_channels: int, channels: int, kernel: int, stride: int) -> None:
        super().__init__()
        self.proj = nn.Conv2d(in_channels, channels, kernel, stride, kernel // 2)
        self.norm = nn.LayerNorm(channels, eps=_PATCH_EPS)

    def forward(self, feature_map: Tensor) -> tuple[Tensor, int, int]:
        """(B, C_in, H, W) -> tokens (B, h * w, C), h, w with h = ceil(H / stride), w = ceil(W / stride).

        A map of one channel stands for C_in equal ones.
        """
        if feature_map.shape[1] == self.proj.in_channels:
            embedded = self.proj(feature_map)
        else:
            embedded = self._convolve(feature_map, self.proj.weight.sum(dim=1, keepdim=True))
        return self.normalised(embedded)

    def scaled(self, feature_map: Tensor, factor: Tensor) -> tuple[Tensor, int, int]:
        """The same of factor * feature_map, factor (C_in, 1, 1), for the price of multiplying it into the weights."""
        return self.normalised(self._convolve(feature_map, self.proj.weight * factor))

    def _convolve(self, feature_map: Tensor, weight: Tensor) -> Tensor:
        stride, padding = self.proj.stride[0], self.proj.kernel_size[0] // 2
        return F.conv2d(feature_map, weight, self.proj.bias, stride=stride, padding=padding)

    def normalised(self, embedded: Tensor) -> tuple[Tensor, int, int]:
        """Convolved (B, C, h, w) -> tokens (B, h * w, C), h, w."""
        height, width = embedded.shape[-2:]
        return self.norm(to_tokens(embedded)), height, width


class EfficientAttention(Rewritable):
    """Self-attention whose keys and values come from a map reduced by `reduction` in both directions."""

    def __init__(self, channels: int, heads: int, reduction: int) -> None:
        super().__init__()
        self.heads = heads
        self.reduction = reduction
        self.q = nn.Linear(channels, channels)
        self.kv = nn.Linear(channels, 2 * channels)
        self.proj = nn.Linear(channels, channels)
        if reduction > 1:
            self.sr = nn.Conv2d(channels, channels, reduction, reduction)
            self.norm = nn.LayerNorm(channels, eps=_PATCH_EPS)

    def forward(self, tokens: Tensor, height: int, width: int) -> Tensor:
        """(B, N, C) -> (B, N, C)."""
        source = tokens
        if self.reduction > 1:
            source = self.norm(to_tokens(self.sr(to_map(tokens, height, width))))
        query = self.q(tokens).unflatten(-1, (self.heads, -1)).transpose(1, 2)
        key, value = self.kv(source).unflatten(-1, (2, self.heads, -1)).permute(2, 0, 3, 1, 4)
        if self.rewrites.fused_attention:
            attended = F.scaled_dot_product_attention(query, key, value)
        else:
            attended = (query @ key.transpose(-2, -1) * query.shape[-1] ** -0.5).softmax(dim=-1) @ value
        return self.proj(attended.transpose(1, 2).flatten(2))


class DepthwiseConvolution(nn.Module):
    """3x3 depthwise convolution; its zero padding is what tells the encoder where a token is."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.dwconv = nn.Conv2d(channels, channels, 3, padding=1, groups=channels)

    def forward(self, tokens: Tensor, height: int, width: int) -> Tensor:
        return to_tokens(self.dwconv(to_map(tokens, height, width)))


class MixFeedForward(nn.Module):
    """Linear, depthwise 3x3, exact GELU, linear."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.fc1 = nn.Linear(channels, _MLP_RATIO * channels)
        self.dwconv = DepthwiseConvolution(_MLP_RATIO * channels)
        self.fc2 = nn.Linear(_MLP_RATIO * channels, channels)

    def forward(self, tokens: Tensor, height: int, width: int) -> Tensor:
        return self.fc2(F.gelu(self.dwconv(self.fc1(tokens), height, width)))


class TransformerBlock(nn.Module):
    """Pre-norm attention and feed-forward, each with a residual connection."""

    def __init__(self, channels: int, heads: int, reduction: int, drop_path: float) -> None:
        super().__init__()
        self.norm1 = nn.LayerNorm(channels, eps=_BLOCK_EPS)
        self.attn = EfficientAttention(channels, heads, reduction)
        self.drop_path = DropPath(drop_path)
        self.norm2 = nn.LayerNorm(channels, eps=_BLOCK_EPS)
        self.mlp = MixFeedForward(channels)

    def forward(self, tokens: Tensor, height: int, width: int) -> Tensor:
        tokens = tokens + self.drop_path(self.attn(self.norm1(tokens), height, width))
        return tokens + self.drop_path(self.mlp(self.norm2(tokens), height, width))


class MixTransformer(nn.Module):
    """Four stages of overlapping patches and transformer blocks.

    Args:
        widths: channels of the four stages.
        depths: blocks in the four stages.
    """

    def __init__(self, widths: Sequence[int], depths: Sequence[int]) -> None:
        super().__init__()
        self.widths = tuple(widths)
        rates = [_DROP_PATH * i / max(sum(depths) - 1, 1) for i in range(sum(depths))]
        in_channels = 3
        for stage, channels in enumerate(widths, start=1):
            kernel, stride = (7, 4) if stage == 1 else (3, 2)
            self.add_module(f"patch_embed{stage}", PatchEmbedding(in_channels, channels, kernel, stride))
            in_channels = channels
        for stage, (channels, depth) in enumerate(zip(widths, depths, strict=True), start=1):
            first = sum(depths[: stage - 1])
            blocks = [
                TransformerBlock(channels, _HEADS[stage - 1], _REDUCTIONS[stage - 1], rate)
                for rate in rates[first : first + depth]
            ]
            self.add_module(f"block{stage}", nn.ModuleList(blocks))
            self.add_module(f"norm{stage}", nn.LayerNorm(channels, eps=_BLOCK_EPS))
        self.apply(_initialise)

    def forward(self, image: Tensor, stages: int = 4, factor: Tensor | None = None) -> list[Tensor]:
        """Maps of the first `stages` stages; the later ones are not computed.

        Args:
            image: (B, 3, H, W) float, or (B, 1, H, W) for three equal planes; sides of at least 29 pixels.
            stages: how many, 1 to 4.
            factor: (3, 1, 1), multiplied with the image.

        Returns:
            maps (B, C_i, h_i, w_i) with h_1 = ceil(H / 4) and h_i = ceil(h_{i-1} / 2), likewise w_i.

        Raises:
            ValueError: a side is shorter than 29 pixels.
        """
        if min(image.shape[-2:]) < MINIMUM_SIDE:
            size = f"{image.shape[-1]}x{image.shape[-2]}"
            raise ValueError(f"image of {size} pixels is too small: both sides must be at least {MINIMUM_SIDE}")
        maps = []
        current = image
        for stage in range(1, stages + 1):
            embedding: PatchEmbedding = getattr(self, f"patch_embed{stage}")
            if stage == 1 and factor is not None:
                tokens, height, width = embedding.scaled(current, factor)
            else:
                tokens, height, width = embedding(current)
            current = self.finished(stage, tokens, height, width)
            maps.append(current)
        return maps

    def finished(self, stage: int, tokens: Tensor, height: int, width: int) -> Tensor:
        """Embedded tokens (B, h * w, C) of a stage -> its map (B, C, h, w), through its blocks and norm."""
        for block in self.get_submodule(f"block{stage}").children():
            tokens = block(tokens, height, width)
        return to_map(self.get_submodule(f"norm{stage}")(tokens), height, width)


def _initialise(module: nn.Module) -> None:
    """The published initialisation; LayerNorm keeps PyTorch's 1 and 0."""
    if isinstance(module, nn.Linear):
        nn.init.trunc_normal_(module.weight, std=0.02)
        nn.init.zeros_(module.bias)
    elif isinstance(module, nn.Conv2d):
        fan_out = module.kernel_size[0] * module.kernel_size[1] * module.out_channels // module.groups
        nn.init.normal_(module.weight, 0.0, math.sqrt(2.0 / fan_out))
        if module.bias is not None:
            nn.init.zeros_(module.bias)


__all__ = ["ENCODERS", "MINIMUM_SIDE", "MixTransformer", "to_map", "to_tokens"]
