# SPDX-License-Identifier: Apache-2.0
"""The hierarchical interaction of both modalities and the semantic features (Liu et al., SegMiF, ICCV 2023).

Shapes: B images, h x w the size of the maps, N = h * w tokens, C channels, heads of width 8 (so C / 8 of them).
"""

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from segmif_ros.model.encoder import to_map, to_tokens
from segmif_ros.model.rewrites import Rewritable

HEAD_WIDTH = 8
_GRAM_CHUNK = 1024


class _SemanticContext(nn.Module):
    """Keys and values of the semantic tokens."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.kv3 = nn.Linear(channels, 2 * channels, bias=False)


class _ModalityContext(nn.Module):
    """Keys and values of the infrared (1) and the visible (2) tokens."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.kv1 = nn.Linear(channels, 2 * channels, bias=False)
        self.kv2 = nn.Linear(channels, 2 * channels, bias=False)


class CrossInteraction(Rewritable):
    """Semantic queries read the modalities' contexts, and modality queries read the semantic context."""

    def __init__(self, channels: int, reference_tokens: int | None = None) -> None:
        super().__init__()
        self.reference_tokens = reference_tokens
        self.channel_proj1 = nn.Linear(channels, 2 * channels)
        self.channel_proj2 = nn.Linear(channels, 2 * channels)
        self.channel_proj3 = nn.Linear(channels, 2 * channels)
        self.cross_attn = _SemanticContext(channels)
        self.cross_attn2 = _ModalityContext(channels)
        self.end_proj1 = nn.Linear(2 * channels, channels)
        self.end_proj2 = nn.Linear(2 * channels, channels)
        self.norm1 = nn.LayerNorm(channels, eps=1e-5)
        self.norm2 = nn.LayerNorm(channels, eps=1e-5)

    def forward(
        self, infrared: Tensor, visible: Tensor, semantic: tuple[Tensor, Tensor]
    ) -> tuple[Tensor, Tensor]:
        """Tokens (B, N, C) of both modalities and both halves (B, N, C) of the projected semantic tokens -> updated."""
        y1, u1 = self._projected(self.channel_proj1, infrared)
        y2, u2 = self._projected(self.channel_proj2, visible)
        y3, u3 = (F.relu(half) for half in semantic)
        scale = 1.0 if self.reference_tokens is None else self.reference_tokens / infrared.shape[1]
        context = _context if self.rewrites.gram_context else _context_of_every_token
        context1 = context(y1, self.cross_attn2.kv1.weight, scale)
        context2 = context(y2, self.cross_attn2.kv2.weight, scale)
        context3 = context(u3, self.cross_attn.kv3.weight, scale)
        attend = _attend if self.rewrites.folded_context else _attend_by_head
        infrared = self.norm1(infrared + attend(y3, context1, u1, context3, self.end_proj1))
        visible = self.norm2(visible + attend(y3, context2, u2, context3, self.end_proj2))
        return infrared, visible

    def _projected(self, projection: nn.Linear, tokens: Tensor) -> tuple[Tensor, Tensor]:
        """relu(projection(tokens)) in its two halves."""
        inplace = not torch.is_grad_enabled()
        if not self.rewrites.split_projection:
            y, u = F.relu(projection(tokens), inplace=inplace).chunk(2, dim=-1)
            return y, u
        weights, biases = projection.weight.chunk(2), projection.bias.chunk(2)
        y, u = (F.relu(F.linear(tokens, w, b), inplace=inplace) for w, b in zip(weights, biases, strict=True))
        return y, u


class InteractionBlock(Rewritable):
    """`CrossInteraction` on maps; a module of its own for the checkpoints' key names.

    Args:
        channels: C.
        reference_tokens: None for the paper's context logits, sums over all tokens that grow with the image.
            A number makes them means over the tokens times that number: equal to the paper's on an image of so many
            tokens, and independent of the resolution elsewhere.
    """

    def __init__(self, channels: int, reference_tokens: int | None = None) -> None:
        super().__init__()
        self.cross = CrossInteraction(channels, reference_tokens)
        self.apply(_initialise)

    def forward(self, infrared: Tensor, visible: Tensor, semantic: Tensor) -> tuple[Tensor, Tensor]:
        """Maps (B, C, h, w) of both modalities and a semantic map (B, C, any size) -> both modalities, updated.

        The semantic map is projected at its own size and then resized, which equals resizing first: a bilinear resize
        commutes with a linear layer, though not with the ReLU after it.
        """
        size = infrared.shape[-2:]
        weights, biases = self.cross.channel_proj3.weight.chunk(2), self.cross.channel_proj3.bias.chunk(2)
        if not self.rewrites.early_projection:
            semantic = _resize(semantic, size)
        y, u = (
            to_tokens(_resize(F.conv2d(semantic, weight[:, :, None, None], bias), size))
            for weight, bias in zip(weights, biases, strict=True)
        )
        updated = self.cross(to_tokens(infrared), to_tokens(visible), (y, u))
        return to_map(updated[0], *size), to_map(updated[1], *size)


def _resize(semantic: Tensor, size: torch.Size) -> Tensor:
    if semantic.shape[-2:] == size:
        return semantic
    return F.interpolate(semantic, size=size, mode="bilinear", align_corners=False)


def _context(tokens: Tensor, key_value: Tensor, scale: float) -> Tensor:
    """Context matrices (B, heads, 8, 8): softmax over key channels (axis -2) of scale / sqrt(8) * K^T V.

    K^T V = Wk (A^T A) Wv^T needs only the Gram matrix of the tokens A (B, N, C). The logits are sums over all pixels,
    large enough for a plain float32 sum to show in the result; chunks summed in float64 don't, and cost no time.
    """
    channels = tokens.shape[-1]
    with torch.autocast(tokens.device.type, enabled=False):
        key, value = key_value.double().view(2, channels // HEAD_WIDTH, HEAD_WIDTH, channels)
        logits = scale * HEAD_WIDTH**-0.5 * (key @ _gram(tokens)[:, None] @ value.transpose(-2, -1))
    return logits.softmax(dim=-2).to(tokens.dtype)


def _context_of_every_token(tokens: Tensor, key_value: Tensor, scale: float) -> Tensor:
    """`_context` as it is defined: keys and values of all tokens, multiplied in the tokens' own precision."""
    both = F.linear(tokens, key_value).reshape(*tokens.shape[:2], 2, -1, HEAD_WIDTH)
    key, value = both.permute(2, 0, 3, 1, 4)
    return (scale * HEAD_WIDTH**-0.5 * (key.transpose(-2, -1) @ value)).softmax(dim=-2)


def _gram(tokens: Tensor) -> Tensor:
    """A^T A of tokens A (B, N, C) as float64 (B, C, C)."""
    tokens = tokens.float() if tokens.dtype in (torch.float16, torch.bfloat16) else tokens
    batch, count, channels = tokens.shape
    chunks = count // _GRAM_CHUNK
    parts = []
    if chunks:
        whole = tokens[:, : chunks * _GRAM_CHUNK].reshape(batch, chunks, _GRAM_CHUNK, channels)
        parts.append((whole.transpose(-2, -1) @ whole).double().sum(dim=1))
    if count % _GRAM_CHUNK:  # graph runtimes refuse an empty product
        rest = tokens[:, chunks * _GRAM_CHUNK :]
        parts.append((rest.transpose(-2, -1) @ rest).double())
    return torch.stack(parts).sum(dim=0)


def _attend(y: Tensor, y_context: Tensor, u: Tensor, u_context: Tensor, end_proj: nn.Linear) -> Tensor:
    """end_proj([y c_y | u c_u]) with the contexts multiplied into end_proj's weight: (B, N, C)."""
    y_weight, u_weight = end_proj.weight.chunk(2, dim=1)
    folded = torch.baddbmm(end_proj.bias, y, _fold(y_context, y_weight))
    return torch.baddbmm(folded, u, _fold(u_context, u_weight))


def _attend_by_head(y: Tensor, y_context: Tensor, u: Tensor, u_context: Tensor, end_proj: nn.Linear) -> Tensor:
    """`_attend` as it is defined."""
    parts = [
        (tokens.reshape(*tokens.shape[:2], -1, HEAD_WIDTH).transpose(1, 2) @ context).transpose(1, 2).flatten(2)
        for tokens, context in ((y, y_context), (u, u_context))
    ]
    return end_proj(torch.cat(parts, dim=-1))


def _fold(context: Tensor, weight: Tensor) -> Tensor:
    """Per-head contexts (B, heads, 8, 8) and a weight (C_out, C) -> (B, C, C_out)."""
    heads, width = context.shape[1:3]
    return (context @ weight.t().reshape(heads, width, -1)).flatten(1, 2)


def _initialise(module: nn.Module) -> None:
    if isinstance(module, nn.Linear):
        nn.init.trunc_normal_(module.weight, std=0.02)
        if module.bias is not None:
            nn.init.zeros_(module.bias)


__all__ = ["HEAD_WIDTH", "InteractionBlock"]
