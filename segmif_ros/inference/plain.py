# SPDX-License-Identifier: Apache-2.0
"""The network as its description reads, for comparison: nothing merged, nothing skipped, in torch operations.

The prior's pass runs all four encoder stages and enlarges its features to the image's size, attention multiplies its
matrices out, dense blocks concatenate, keys and values are made for every pixel, and the head concatenates enlarged
maps. The numbers are `SegMiF`'s (equal in float64 but for rounding); the time is what one pays without its rewrites.
"""

from __future__ import annotations

from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from segmif_ros.model import Mode, SegMiF, SegMiFOutput
from segmif_ros.model.colour import rgb_to_luma, stretched_bytes, with_luma
from segmif_ros.model.network import average_pooled

_HEAD_WIDTH = 8


class PlainSegMiF(nn.Module):
    """`SegMiF.forward` without its rewrites, on the weights of a given model.

    Args:
        model: Whose weights are used (shared, not copied), in evaluation mode.
    """

    def __init__(self, model: SegMiF) -> None:
        super().__init__()
        self.model = model

    def forward(self, infrared: Tensor, rgb: Tensor, prior: Tensor, mode: Mode = "robot") -> SegMiFOutput:
        """See `SegMiF.forward`."""
        fusion, network = self.model.fusion, self.model.segmentation
        if min(prior.shape[-2:]) >= 29 * self.model.config.prior_scale:
            prior = average_pooled(prior, self.model.config.prior_scale)
        features = _encoder(network.denoise_net.encoder, prior.repeat(1, 3, 1, 1))[:2]
        luma = _fusion(fusion, infrared, rgb_to_luma(rgb) if mode == "robot" else rgb[:, :1], *features)
        fused = with_luma(rgb, luma)
        fused = fused.clamp(0, 1) if mode == "robot" else stretched_bytes(fused).to(rgb.dtype) / 255
        normalised = (255 * fused - network.mean) / network.std
        logits = _head(network.denoise_net.decoder, _encoder(network.denoise_net.encoder, normalised))
        return SegMiFOutput(luma, fused, logits)


def _encoder(encoder: Any, image: Tensor) -> list[Tensor]:
    maps = []
    x = image
    for stage in range(1, 5):
        embed = getattr(encoder, f"patch_embed{stage}")
        x = embed.proj(x)
        height, width = x.shape[-2:]
        tokens = embed.norm(x.flatten(2).transpose(1, 2))
        for block in getattr(encoder, f"block{stage}"):
            tokens = tokens + _attention(block.attn, block.norm1(tokens), height, width)
            hidden = block.mlp.fc1(block.norm2(tokens))
            hidden = block.mlp.dwconv.dwconv(_map(hidden, height, width)).flatten(2).transpose(1, 2)
            tokens = tokens + block.mlp.fc2(F.gelu(hidden))
        x = _map(getattr(encoder, f"norm{stage}")(tokens), height, width)
        maps.append(x)
    return maps


def _attention(attention: Any, tokens: Tensor, height: int, width: int) -> Tensor:
    batch, count, channels = tokens.shape
    heads = attention.heads
    source = tokens
    if attention.reduction > 1:
        source = attention.sr(_map(tokens, height, width)).flatten(2).transpose(1, 2)
        source = attention.norm(source)
    query = attention.q(tokens).reshape(batch, count, heads, -1).permute(0, 2, 1, 3)
    both = attention.kv(source).reshape(batch, -1, 2, heads, channels // heads)
    key, value = both.permute(2, 0, 3, 1, 4)
    weights = ((query @ key.transpose(-2, -1)) * (channels // heads) ** -0.5).softmax(dim=-1)
    return attention.proj((weights @ value).transpose(1, 2).reshape(batch, count, channels))


def _head(head: Any, maps: list[Tensor]) -> Tensor:
    parts = []
    for stage in (4, 3, 2, 1):
        x = maps[stage - 1]
        projected = getattr(head, f"linear_c{stage}").proj(x.flatten(2).transpose(1, 2))
        parts.append(_resize(_map(projected, *x.shape[-2:]), maps[0].shape[-2:]))
    fuse = head.linear_fuse
    mixed = F.relu(fuse.bn(fuse.conv(torch.cat(parts, dim=1))))
    return head.linear_pred(head.dropout(mixed))


def _fusion(fusion: Any, infrared: Tensor, visible: Tensor, features1: Tensor, features2: Tensor) -> Tensor:
    height, width = infrared.shape[-2:]
    prelu = fusion.relu
    t, v = _fold(infrared, fusion.scale), _fold(visible, fusion.scale)
    size = t.shape[-2:]
    a = _dense(fusion.DRDB1, prelu(fusion.conv1_ir(t)))
    b = _dense(fusion.DRDB2, prelu(fusion.conv1_vis(v)))
    a, b = _interaction(fusion.ffm, a, b, fusion.conv3(_resize(features1, size)))
    a, b = _dense(fusion.DRDB3, a), _dense(fusion.DRDB4, b)
    a, b = _interaction(fusion.ffm, a, b, fusion.conv4(_resize(features2, size)))
    x = prelu(fusion.conv21(prelu(fusion.conv2(torch.cat((a, b), dim=1)))))
    x = fusion.conv22(x)
    if fusion.output == "direct":
        return F.pixel_shuffle(prelu(x), fusion.scale)[..., :height, :width]
    halves = (F.pixel_shuffle(half, fusion.scale)[..., :height, :width] for half in x.chunk(2, dim=1))
    logit, residual = halves
    share = logit.sigmoid()
    return share * infrared + (1 - share) * visible + residual


def _dense(block: Any, x: Tensor) -> Tensor:
    dense = x
    for layer in range(1, 6):
        dense = torch.cat((dense, F.relu(getattr(block, f"Dcov{layer}")(dense))), dim=1)
    return x + F.relu(block.conv(dense))


def _interaction(block: Any, infrared: Tensor, visible: Tensor, semantic: Tensor) -> tuple[Tensor, Tensor]:
    cross = block.cross
    size = infrared.shape[-2:]
    tokens = [each.flatten(2).transpose(1, 2) for each in (infrared, visible, semantic)]
    pairs = [F.relu(getattr(cross, f"channel_proj{i}")(x)).chunk(2, dim=-1) for i, x in enumerate(tokens, start=1)]
    (y1, u1), (y2, u2), (y3, u3) = pairs
    gain = 1.0 if cross.reference_tokens is None else cross.reference_tokens / y1.shape[1]
    context1 = _context(y1, cross.cross_attn2.kv1, gain)
    context2 = _context(y2, cross.cross_attn2.kv2, gain)
    context3 = _context(u3, cross.cross_attn.kv3, gain)
    updated = []
    for x, u, context, index in ((tokens[0], u1, context1, 1), (tokens[1], u2, context2, 2)):
        both = torch.cat((_attend(y3, context), _attend(u, context3)), dim=-1)
        x = getattr(cross, f"norm{index}")(x + getattr(cross, f"end_proj{index}")(both))
        updated.append(_map(x, *size))
    return updated[0], updated[1]


def _context(tokens: Tensor, key_value: Any, gain: float) -> Tensor:
    batch, count, channels = tokens.shape
    both = key_value(tokens).reshape(batch, count, 2, channels // _HEAD_WIDTH, _HEAD_WIDTH)
    key, value = both.permute(2, 0, 3, 1, 4)
    return (gain * _HEAD_WIDTH**-0.5 * (key.transpose(-2, -1) @ value)).softmax(dim=-2)


def _attend(tokens: Tensor, context: Tensor) -> Tensor:
    heads = tokens.reshape(*tokens.shape[:2], -1, _HEAD_WIDTH).permute(0, 2, 1, 3)
    return (heads @ context).permute(0, 2, 1, 3).reshape(tokens.shape)


def _map(tokens: Tensor, height: int, width: int) -> Tensor:
    return tokens.transpose(1, 2).reshape(tokens.shape[0], -1, height, width)


def _resize(feature_map: Tensor, size: torch.Size) -> Tensor:
    return F.interpolate(feature_map, size=tuple(size), mode="bilinear", align_corners=False)


def _fold(plane: Tensor, scale: int) -> Tensor:
    height, width = plane.shape[-2:]
    return F.pixel_unshuffle(F.pad(plane, (0, -width % scale, 0, -height % scale), mode="replicate"), scale)
