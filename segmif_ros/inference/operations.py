# SPDX-License-Identifier: Apache-2.0
"""What a frame costs at least: operations and bytes counted without running it, and what this machine does of them."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from typing import Any

import torch
from torch import Tensor, nn
from torch._subclasses.fake_tensor import FakeTensorMode
from torch.nn.attention import SDPBackend, sdpa_kernel
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves
from torch.utils.flop_counter import FlopCounterMode

_MATRIX_SIDE = 1536
_COPY_BYTES = 256 << 20
_TRIES = 5


@dataclass(frozen=True, kw_only=True)
class Work:
    """What one frame asks for.

    Attributes:
        operations: Floating-point operations of convolutions and matrix products; a multiply-add counts two.
        bytes_moved: Bytes that these read and write in float32 when each reads its inputs and weights and writes its
            output once and everything between them is merged into them.
    """

    operations: float
    bytes_moved: float


@dataclass(frozen=True, kw_only=True)
class Rates:
    """What a device does of it.

    Attributes:
        operations_per_s: By precision, best of a few large matrix products.
        bytes_per_s: Read plus written, best of a few large copies.
    """

    operations_per_s: dict[str, float]
    bytes_per_s: float


class _Traffic(TorchDispatchMode):  # type: ignore[no-untyped-call]
    """Adds up the bytes of tensors that convolutions and matrix products read and write."""

    def __init__(self) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self.bytes = 0

    def __torch_dispatch__(
        self, func: Any, types: object, args: tuple[Any, ...] = (), kwargs: dict[str, Any] | None = None
    ) -> Any:
        result = func(*args, **(kwargs or {}))
        if func.overloadpacket in _MATRIX_OPERATIONS:
            tensors = [each for each in (*tree_leaves(args), *tree_leaves(result)) if isinstance(each, Tensor)]
            self.bytes += sum(each.numel() * each.element_size() for each in tensors)
        return result


_ATEN = torch.ops.aten
_MATRIX_OPERATIONS = {_ATEN.convolution, _ATEN.mm, _ATEN.addmm, _ATEN.bmm, _ATEN.baddbmm}


def count_work(network: nn.Module, height: int, width: int) -> Work:
    """Count one frame.

    Args:
        network: On the CPU; takes (infrared (1, 1, H, W), rgb (1, 3, H, W), prior (1, 1, H, W)).
        height: H.
        width: W.

    Returns:
        Operations and bytes.
    """
    counter, traffic = FlopCounterMode(display=False), _Traffic()
    # attention in its plain form: the counter knows no CPU kernel of it
    with (
        FakeTensorMode(allow_non_fake_inputs=True),
        torch.no_grad(),
        sdpa_kernel(SDPBackend.MATH),
        counter,
        traffic,
    ):
        planes = torch.empty(1, 5, height, width)
        network(planes[:, :1], planes[:, 1:4], planes[:, 4:])
    return Work(operations=float(counter.get_total_flops()), bytes_moved=float(traffic.bytes))


def count_parameters(network: nn.Module) -> int:
    """Return the number of all parameters, also of the unused ones that checkpoints carry."""
    return sum(parameter.numel() for parameter in network.parameters())


def measure_rates(device: torch.device, precisions: tuple[str, ...], *, side: int = _MATRIX_SIDE) -> Rates:
    """Measure what the device does, with all threads that torch has; takes about a second.

    Args:
        device: What is measured.
        precisions: Names of torch's types, such as "float32" and "int8".
        side: Of the square matrices that are multiplied.

    Returns:
        Operations a second by precision, and bytes a second.
    """
    operations = {}
    for name in precisions:
        matrix = torch.ones(side, side, dtype=getattr(torch, name), device=device)
        # torch.mm of int8 sums in int8, by a slow path; this one sums in int32, as quantised convolutions do
        multiply = torch._int_mm if matrix.dtype == torch.int8 else torch.mm
        operations[name] = 2 * side**3 / _best_s(partial(multiply, matrix, matrix), device)
    source = torch.ones(_COPY_BYTES // 4, device=device)
    target = torch.empty_like(source)
    return Rates(
        operations_per_s=operations, bytes_per_s=2 * _COPY_BYTES / _best_s(lambda: target.copy_(source), device)
    )


def _best_s(call: Callable[[], object], device: torch.device) -> float:
    best = float("inf")
    for _ in range(1 + _TRIES):  # the slow first one is never the best
        started = time.perf_counter()
        call()
        if device.type == "cuda":
            torch.cuda.synchronize(device)
        best = min(best, time.perf_counter() - started)
    return best
