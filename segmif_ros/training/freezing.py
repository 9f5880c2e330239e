# SPDX-License-Identifier: Apache-2.0
"""Parts of the network that a training leaves as they are."""

from __future__ import annotations

from collections.abc import Sequence

from torch import nn

_NET = "segmentation.denoise_net."
_STAGES = tuple(f"encoder.stages.{stage}" for stage in range(1, 5))
# name in a recipe -> how the names of its modules begin
FROZEN_PARTS: dict[str, tuple[str, ...]] = {
    "fusion": ("fusion",),
    "segmentation": ("segmentation",),
    "encoder": (f"{_NET}encoder",),
    **{
        name: tuple(f"{_NET}encoder.{part}{stage}" for part in ("patch_embed", "block", "norm"))
        for stage, name in enumerate(_STAGES, 1)
    },
    "decoder": (f"{_NET}decoder", f"{_NET}classifier"),
    "decoder.body": tuple(
        f"{_NET}decoder.{part}" for part in ("linear_c1", "linear_c2", "linear_c3", "linear_c4", "linear_fuse")
    ),
}


def require_known(names: Sequence[str], method: str) -> None:
    """Raise ValueError for a part that doesn't exist, or if nothing would be left that ``method`` trains."""
    unknown = sorted(set(names) - set(FROZEN_PARTS))
    if unknown:
        raise ValueError(f"freeze names {', '.join(unknown)}: choose from {', '.join(FROZEN_PARTS)}")
    encoder = "encoder" in names or set(_STAGES) <= set(names)
    segmentation, fusion = "segmentation" in names or (encoder and "decoder" in names), "fusion" in names
    nothing = {
        "joint": segmentation and fusion,
        "segmentation": segmentation,
        "fusion": fusion,
        "alternating": segmentation or fusion,
    }
    if nothing[method]:
        raise ValueError(f"freeze leaves nothing for method '{method}' to train: name fewer parts")


def freeze(model: nn.Module, names: Sequence[str]) -> None:
    """Take the parameters of the named parts out of the training; those of the others stay as they are."""
    for name, parameter in model.named_parameters():
        if _is_in(name, names):
            parameter.requires_grad_(False)


def count_frozen(model: nn.Module, names: Sequence[str]) -> int:
    """Return the number of parameters in the named parts."""
    return sum(parameter.numel() for name, parameter in model.named_parameters() if _is_in(name, names))


def hold_still(model: nn.Module, names: Sequence[str]) -> None:
    """Put the named parts into evaluation mode: no dropout in them, and their BatchNorm statistics stay."""
    for name, module in model.named_modules():
        if _is_in(name, names):
            module.train(False)


def _is_in(name: str, names: Sequence[str]) -> bool:
    return any(f"{name}.".startswith(f"{begin}.") for each in names for begin in FROZEN_PARTS[each])
