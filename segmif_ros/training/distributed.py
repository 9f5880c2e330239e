# SPDX-License-Identifier: Apache-2.0
"""Several processes that train one model, started by torchrun.

Each process takes its share of every batch, and what the shares give is added up, so that the sum is what one process
would have had for the whole batch. Sums are taken explicitly rather than by DistributedDataParallel: the networks are
called one by one, one of them may be frozen, and a share may be cut into parts that are added up first.
"""

from __future__ import annotations

import contextlib
import datetime as dt
import os
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from typing import Any, TypeVar

import torch
import torch.distributed as dist
from torch import Tensor, nn
from torch.utils.data import Dataset

_T = TypeVar("_T")
# the others wait while the first one validates
_PATIENCE = dt.timedelta(hours=2)


class ProcessError(RuntimeError):
    """The processes of a run cannot work together."""


class ReportedElsewhereError(RuntimeError):
    """Another process of the run failed and states why; this one ends in silence."""


@dataclass(frozen=True, kw_only=True)
class Processes:
    """This process among ``world``; all methods but ``share`` must be called by all of them in the same order.

    Attributes:
        rank: Number of this process, 0 for the one that logs, validates and saves.
        world: How many there are.
        local_rank: Number of this process on its machine.
    """

    rank: int = 0
    world: int = 1
    local_rank: int = 0

    @property
    def is_main(self) -> bool:
        """Whether this process logs, validates and saves."""
        return self.rank == 0

    def share(self, samples: Dataset[Any], batch_size: int) -> Dataset[Any]:
        """Samples of this process: of every ``batch_size`` samples the rank-th of ``world`` equal shares."""
        return samples if self.world == 1 else _Share(samples, batch_size, self)

    def sum(self, values: Tensor) -> Tensor:
        """Sum over all processes, element by element."""
        if self.world > 1:
            with _as_process_error():
                dist.all_reduce(values)
        return values

    def sum_gradients(self, parameters: Iterable[nn.Parameter]) -> None:
        """Replace every gradient by its sum over all processes, in one message per dtype and device.

        A parameter without gradient must lack it in every process; it does, since all take the same path.
        """
        if self.world > 1:
            self._sum_together([each.grad for each in parameters if each.grad is not None])

    def mean_buffers(self, model: nn.Module) -> None:
        """Replace running statistics by their means over all processes."""
        if self.world > 1:
            buffers = [each for each in model.buffers() if each.is_floating_point()]
            self._sum_together(buffers)
            for each in buffers:
                each /= self.world

    def _sum_together(self, tensors: list[Tensor]) -> None:
        kinds: dict[tuple[torch.dtype, torch.device], list[Tensor]] = {}
        for each in tensors:
            kinds.setdefault((each.dtype, each.device), []).append(each)
        for group in kinds.values():
            flat = self.sum(torch.cat([each.reshape(-1) for each in group]))
            for each, part in zip(group, torch.split(flat, [each.numel() for each in group]), strict=True):
                each.copy_(part.view_as(each))

    def gather(self, value: _T) -> list[_T]:
        """Return every process's value, by rank."""
        if self.world == 1:
            return [value]
        values: list[Any] = [None] * self.world
        with _as_process_error():
            dist.all_gather_object(values, value)
        return values

    def on_main(self, action: Callable[[], _T]) -> _T:
        """Do something in the main process alone and return its result to all.

        If it fails there, its error is raised there and ReportedElsewhereError in the others.
        """
        if self.world == 1:
            return action()
        outcome: list[Any] = [None, False]
        try:
            if self.is_main:
                outcome = [action(), True]
        finally:  # also when it failed: the others wait for the word
            with _as_process_error():
                dist.broadcast_object_list(outcome)
        if not outcome[1]:
            raise ReportedElsewhereError("the main process failed")
        return outcome[0]


ALONE = Processes()


class _Share(Dataset[Any]):
    def __init__(self, samples: Dataset[Any], batch_size: int, processes: Processes) -> None:
        self._samples = samples
        self._batch_size = batch_size
        self._processes = processes

    def __getitem__(self, number: int) -> Any:
        size = self._batch_size // self._processes.world
        batch, place = divmod(number, size)
        return self._samples[batch * self._batch_size + self._processes.rank * size + place]


@contextlib.contextmanager
def joined() -> Iterator[Processes]:
    """Join the processes that torchrun started, gloo for CPU tensors and NCCL for CUDA's; alone without torchrun."""
    if not dist.is_torchelastic_launched():
        yield ALONE
        return
    local_rank = int(os.environ["LOCAL_RANK"])
    with _as_process_error():
        if torch.cuda.is_available():
            torch.cuda.set_device(local_rank % torch.cuda.device_count())
        dist.init_process_group("cpu:gloo,cuda:nccl" if torch.cuda.is_available() else "gloo", timeout=_PATIENCE)
    try:
        yield Processes(rank=dist.get_rank(), world=dist.get_world_size(), local_rank=local_rank)
    finally:
        dist.destroy_process_group()


@contextlib.contextmanager
def _as_process_error() -> Iterator[None]:
    try:
        yield
    except RuntimeError as error:  # what every backend raises for a lost peer
        reason = str(error).strip().splitlines()[0] if str(error).strip() else type(error).__name__
        raise ProcessError(f"another process of the run has ended or cannot be reached ({reason})") from error
