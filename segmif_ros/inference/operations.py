# SPDX-License-Identifier: Apache-2.0
"""Operations and parameters of a network, counted without running it."""

from __future__ import annotations

import torch
from torch import nn
from torch._subclasses.fake_tensor import FakeTensorMode
from torch.nn.attention import SDPBackend, sdpa_kernel
from torch.utils.flop_counter import FlopCounterMode


def count_operations(network: nn.Module, height: int, width: int) -> float:
    """Floating-point operations of convolutions and matrix products of one frame; a multiply-add counts two.

    Args:
        network: On the CPU; takes (infrared (1, 1, H, W), rgb (1, 3, H, W), prior (1, 1, H, W)).
        height: H.
        width: W.
    """
    counter = FlopCounterMode(display=False)
    # attention in its plain form: the counter knows no CPU kernel of it
    with FakeTensorMode(allow_non_fake_inputs=True), torch.no_grad(), sdpa_kernel(SDPBackend.MATH), counter:
        planes = torch.empty(1, 5, height, width)
        network(planes[:, :1], planes[:, 1:4], planes[:, 4:])
    return float(counter.get_total_flops())


def count_parameters(network: nn.Module) -> int:
    """All parameters, also the unused ones that checkpoints carry."""
    return sum(parameter.numel() for parameter in network.parameters())
