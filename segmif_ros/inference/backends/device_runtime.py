# SPDX-License-Identifier: Apache-2.0
"""One frame after the other through buffers that never move, and the few calls of CUDA that this takes.

Everything of a frame is queued in order on one stream: one copy up, one replay, one copy down; then the host waits
once. Buffers on both sides are made when an image size is first seen and stay, as recorded work holds their addresses.
"""

from __future__ import annotations

import math
import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager
from pathlib import Path
from typing import Protocol

import numpy as np
import torch
from torch import Tensor

from segmif_ros.arrays import Image
from segmif_ros.inference.backends.base import FrameArrays
from segmif_ros.inference.errors import EngineError

Shape = tuple[int, ...]

_ALIGNMENT = 256  # bytes, as CUDA's own allocations have
# Process-wide: a recording forbids everybody else to wait for the whole device, as beginning a recording and giving
# memory back do, and cuDNN's search is one switch for all. Replays go on meanwhile: they wait for their own stream.
_DEVICE_ALONE = threading.Lock()
_WARM_UPS = 3  # runs before recording: libraries load kernels, take workspaces and choose algorithms in the first ones


class DeviceRuntime(Protocol):
    """What a frame needs of a device; a fake on the CPU stands in for it in tests."""

    def host_bytes(self, count: int) -> Tensor:
        """Return (count,) uint8 on the host, where the device can copy from and to by itself."""

    def device_bytes(self, count: int) -> Tensor:
        """Return (count,) uint8 on the device."""

    def queued(self) -> AbstractContextManager[None]:
        """Return a context in which work is queued in order on this runtime's stream."""

    def copy(self, target: Tensor, source: Tensor) -> None:
        """Queue a copy; inside `queued`.

        Args:
            target: Where to.
            source: Where from, of the same shape and type.
        """

    def record(self, work: Callable[[], None], what: str) -> Callable[[], None]:
        """Run work a few times, record it and return what queues the recording; inside `queued`.

        Args:
            work: Queues device work on buffers that stay where they are.
            what: Names it in errors.

        Raises:
            EngineError: It can't be recorded.
            torch.OutOfMemoryError: The device's memory doesn't suffice.
        """

    def synchronise(self) -> None:
        """Wait until all that was queued is done."""


class CudaRuntime:
    """`DeviceRuntime` of one CUDA device, with a stream of its own.

    Args:
        device: With or without an index.
    """

    def __init__(self, device: torch.device) -> None:
        self._device = device
        self._stream = torch.cuda.Stream(device)  # type: ignore[no-untyped-call]

    def host_bytes(self, count: int) -> Tensor:
        """See `DeviceRuntime`."""
        return torch.zeros(count, dtype=torch.uint8, pin_memory=True)

    def device_bytes(self, count: int) -> Tensor:
        """See `DeviceRuntime`."""
        return torch.zeros(count, dtype=torch.uint8, device=self._device)

    @contextmanager
    def queued(self) -> Iterator[None]:
        """See `DeviceRuntime`."""
        with torch.cuda.device(self._device), torch.cuda.stream(self._stream):
            yield

    def copy(self, target: Tensor, source: Tensor) -> None:
        """See `DeviceRuntime`."""
        target.copy_(source, non_blocking=True)

    def record(self, work: Callable[[], None], what: str) -> Callable[[], None]:
        """See `DeviceRuntime`."""
        with _DEVICE_ALONE:
            return self._record(work, what)

    def _record(self, work: Callable[[], None], what: str) -> Callable[[], None]:
        # the weights were copied on the default stream
        self._stream.wait_stream(torch.cuda.default_stream(self._device))
        graph = torch.cuda.CUDAGraph()
        tuned = torch.backends.cudnn.benchmark
        torch.backends.cudnn.benchmark = True  # the size stays, so that trying algorithms once pays
        try:
            for _ in range(_WARM_UPS):
                work()
            # only this thread's calls are held to the rules of recording: others may be using the device
            with torch.cuda.graph(graph, stream=self._stream, capture_error_mode="thread_local"):
                work()
        except (torch.OutOfMemoryError, EngineError):
            raise
        except RuntimeError as error:
            # a recording that failed inside raises a second time when it is ended, without the cause
            cause = error.__context__ or error
            if isinstance(cause, (torch.OutOfMemoryError, EngineError)):
                raise cause from error
            reason = str(cause).strip().partition("\n")[0]
            raise EngineError(
                f"{what} can't be recorded as a CUDA graph ({reason}): use the backend 'torch'"
            ) from error
        finally:
            torch.backends.cudnn.benchmark = tuned
        return graph.replay

    def synchronise(self) -> None:
        """See `DeviceRuntime`."""
        self._stream.synchronize()


class StaticFrame:
    """The buffers of one image size; everything going up is one block, and everything coming down another.

    Args:
        runtime: Where.
        inputs: Shapes of what goes up, uint8.
        outputs: Shapes of what comes down, uint8.

    Attributes:
        inputs: Tensors on the device, to read from.
        outputs: Tensors on the device, to write into.
    """

    def __init__(self, runtime: DeviceRuntime, inputs: Sequence[Shape], outputs: Sequence[Shape]) -> None:
        self._runtime = runtime
        with runtime.queued():
            self._up = _Block(runtime, inputs)
            self._down = _Block(runtime, outputs)
        self.inputs, self.outputs = self._up.tensors, self._down.tensors

    def run(self, images: Sequence[Image], work: Callable[[], None]) -> FrameArrays:
        """Copy images up, queue work, copy results down, wait once.

        Args:
            images: As many as the graph takes, of its sizes.
            work: Queues the network's work.

        Returns:
            Copies of the results, which belong to the caller.
        """
        for staged, image in zip(self._up.arrays, images, strict=True):
            np.copyto(staged, image)
        with self._runtime.queued():
            self._runtime.copy(self._up.device, self._up.host)
            work()
            self._runtime.copy(self._down.host, self._down.device)
        self._runtime.synchronise()
        fused, labels, confidence = (staged.copy() for staged in self._down.arrays)
        return fused, labels, confidence


class _Block:
    """Images behind each other in one buffer on the host and one on the device, each at an aligned address."""

    def __init__(self, runtime: DeviceRuntime, shapes: Sequence[Shape]) -> None:
        sizes = [math.prod(shape) for shape in shapes]
        starts = [0]
        for size in sizes:
            starts.append(starts[-1] + math.ceil(size / _ALIGNMENT) * _ALIGNMENT)
        self.host, self.device = runtime.host_bytes(starts[-1]), runtime.device_bytes(starts[-1])
        places = list(zip(starts, sizes, shapes, strict=False))  # the last start is the end
        self.tensors = [self.device[start : start + size].view(shape) for start, size, shape in places]
        self.arrays: list[Image] = [
            self.host[start : start + size].view(shape).numpy() for start, size, shape in places
        ]


def give_memory_back() -> None:
    """Hand what torch's allocator keeps unused back to CUDA; not while another thread records."""
    with _DEVICE_ALONE:
        torch.cuda.empty_cache()


def device_facts(device: torch.device) -> dict[str, str]:
    """Return what compiled code depends on: the device, its driver, and the CUDA that torch is built for."""
    if device.type != "cuda":
        return {"device": device.type}
    found = torch.cuda.get_device_properties(device)
    return {
        # memory and multiprocessors tell a slice of a device from the whole one
        "device": f"{found.name}, {found.total_memory >> 20} MiB, {found.multi_processor_count} multiprocessors",
        "capability": f"{found.major}.{found.minor}",
        "driver": _driver(),
        "cuda": str(torch.version.cuda),
    }


def _driver(path: Path = Path("/proc/driver/nvidia/version")) -> str:
    """The driver's own line; empty where it has none, as on some embedded boards."""
    try:
        return path.read_text().partition("\n")[0].strip()
    except OSError:
        return ""
