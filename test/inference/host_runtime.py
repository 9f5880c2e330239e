# SPDX-License-Identifier: Apache-2.0
"""A `DeviceRuntime` on the CPU that writes down what it is asked for; a recording is the work itself, run again."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager

import torch
from torch import Tensor

from segmif_ros.inference.errors import EngineError


class HostRuntime:
    """Refuses whatever a real stream would not do in order, or not at all."""

    def __init__(self) -> None:
        self.log: list[str] = []
        self.hosts: list[Tensor] = []
        self.devices: list[Tensor] = []
        self.failure: RuntimeError | None = None
        self._inside = False

    def host_bytes(self, count: int) -> Tensor:
        self.log.append("allocate")
        self.hosts.append(torch.zeros(count, dtype=torch.uint8))
        return self.hosts[-1]

    def device_bytes(self, count: int) -> Tensor:
        assert self._inside, "memory must belong to the stream that uses it"
        self.log.append("allocate")
        self.devices.append(torch.zeros(count, dtype=torch.uint8))
        return self.devices[-1]

    @contextmanager
    def queued(self) -> Iterator[None]:
        assert not self._inside
        self._inside = True
        try:
            yield
        finally:
            self._inside = False

    def copy(self, target: Tensor, source: Tensor) -> None:
        assert self._inside
        self.log.append("up" if any(source is each for each in self.hosts) else "down")
        target.copy_(source)

    def record(self, work: Callable[[], None], what: str) -> Callable[[], None]:
        assert self._inside
        if self.failure is not None:
            raise self.failure
        self.log.append("record")
        work()

        def replay() -> None:
            assert self._inside
            self.log.append("replay")
            work()

        return replay

    def synchronise(self) -> None:
        assert not self._inside
        self.log.append("synchronise")


NOT_RECORDABLE = EngineError("a 47x33 frame can't be recorded as a CUDA graph (no): use the backend 'torch'")
