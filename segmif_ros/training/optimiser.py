# SPDX-License-Identifier: Apache-2.0
"""AdamW, its parameter groups and the learning-rate schedule."""

from __future__ import annotations

from typing import TypedDict

import torch
from torch import nn


class ParameterGroup(TypedDict):
    """A group of parameters as torch's optimisers take it, with the rate that schedules start from."""

    name: str
    params: list[nn.Parameter]
    lr: float
    base_lr: float
    weight_decay: float


def poly_factor(step: int, *, warm_steps: float, warm_ratio: float, max_steps: int, power: float = 1.0) -> float:
    """Learning-rate factor at 0-based ``step``: linear warm-up, then (1 - step / max_steps)^power, 0 from there on.

    During warm-up it is 1 - (1 - step / warm_steps)(1 - warm_ratio), so it starts at warm_ratio. The two pieces
    don't meet exactly at warm_steps; that is the published schedule.
    """
    if step < warm_steps:
        return 1.0 - (1.0 - step / warm_steps) * (1.0 - warm_ratio)
    return (1.0 - step / max_steps) ** power if step < max_steps else 0.0


def parameter_groups(
    model: nn.Module, *, encoder_lr: float, decoder_lr: float, fusion_lr: float, weight_decay: float
) -> list[ParameterGroup]:
    """Split a SegMiF model's parameters as the authors do; every trainable parameter is in exactly one group.

    encoder: without "norm" in the name, encoder_lr, decayed; encoder_norm: with it, not decayed; decoder: head and
    unused classifier, decoder_lr, decayed; fusion: the whole fusion network, fusion_lr, decayed.
    """
    groups: dict[str, list[nn.Parameter]] = {"encoder": [], "encoder_norm": [], "decoder": [], "fusion": []}
    for name, parameter in model.named_parameters():
        if not parameter.requires_grad:
            continue
        if name.startswith("fusion."):
            groups["fusion"].append(parameter)
        elif ".encoder." in name:
            groups["encoder_norm" if "norm" in name else "encoder"].append(parameter)
        else:
            groups["decoder"].append(parameter)
    rates = {"encoder": encoder_lr, "encoder_norm": encoder_lr, "decoder": decoder_lr, "fusion": fusion_lr}
    return [
        {
            "name": name,
            "params": parameters,
            "lr": rates[name],
            "base_lr": rates[name],
            "weight_decay": 0.0 if name == "encoder_norm" else weight_decay,
        }
        for name, parameters in groups.items()
        if parameters
    ]


def set_learning_rate(optimiser: torch.optim.Optimizer, factor: float) -> None:
    """Set every group's rate to its base rate times ``factor``."""
    for group in optimiser.param_groups:
        group["lr"] = group["base_lr"] * factor


def lay_out_like_parameters(optimiser: torch.optim.Optimizer) -> None:
    """Give the moments of a loaded state their parameters' layout in memory.

    The fused steps go through memory in its order, and ``channels_last`` may have changed since the state was saved.
    """
    for parameter, values in optimiser.state.items():
        for name, value in values.items():
            if isinstance(value, torch.Tensor) and value.shape == parameter.shape:
                values[name] = torch.empty_like(parameter).copy_(value)
