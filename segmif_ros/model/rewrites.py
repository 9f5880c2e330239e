# SPDX-License-Identifier: Apache-2.0
"""Switches of the exact rewrites: each gives the same numbers but for rounding. One is turned off to find a fault."""

from __future__ import annotations

from dataclasses import dataclass, fields

from torch import nn


@dataclass(frozen=True, kw_only=True)
class Rewrites:
    """Which rewrites are used; all of them by default.

    Attributes:
        short_prior_pass: the prior's encoder pass stops after the second stage.
        grey_stem: the stem sums its weights over the three equal planes of the prior.
        scaled_stem: 255 / std is multiplied into the stem's weights. The mean is still taken off the image, so that
            the stem's zero border stays the border of the normalised image.
        folded_head: head projections, fuse slices and, in evaluation mode, BatchNorm are multiplied into one matrix a
            stage, which runs at the stage's own resolution.
        early_projection: 1x1 maps of the semantic features run before these are enlarged (the ReLU stays behind).
        split_projection: both halves of the interaction's projections are computed apart, so that none is a strided
            view.
        gram_context: contexts come from the Gram matrix of the tokens, Wk (A^T A) Wv^T, summed in float64.
        folded_context: contexts are multiplied into the interaction's last projection.
        fused_attention: the encoder's attention is PyTorch's fused one.
        dense_scatter: in evaluation mode, dense blocks of small growth convolve each map once for all later layers and
            add up, instead of convolving all earlier maps for each layer.
        channels_last: the fusion network's maps lie in memory pixel by pixel where its dense blocks scatter, so that
            maps and tokens share memory.
        dense_buffer: without gradients, dense blocks write into one buffer instead of concatenating.
    """

    short_prior_pass: bool = True
    grey_stem: bool = True
    scaled_stem: bool = True
    folded_head: bool = True
    early_projection: bool = True
    split_projection: bool = True
    gram_context: bool = True
    folded_context: bool = True
    fused_attention: bool = True
    dense_scatter: bool = True
    channels_last: bool = True
    dense_buffer: bool = True

    @classmethod
    def none(cls) -> Rewrites:
        """Return all switches off: the network as its description reads."""
        return cls(**{each.name: False for each in fields(cls)})


class Rewritable(nn.Module):
    """A module that looks its rewrites up in `rewrites`."""

    rewrites = Rewrites()


def use_rewrites(model: nn.Module, rewrites: Rewrites) -> None:
    """Set the switches of a model and all its parts; it takes effect at the next call."""
    for module in model.modules():
        if isinstance(module, Rewritable):
            module.rewrites = rewrites


__all__ = ["Rewritable", "Rewrites", "use_rewrites"]
