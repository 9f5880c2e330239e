# SPDX-License-Identifier: Apache-2.0
"""The whole frame as one CUDA graph per image size: launched at once instead of kernel by kernel.

Buffers never move and nothing is allocated after the first frame of a size, on the host's pinned side neither. See
docs/cuda.md for what of this was run where.
"""

from __future__ import annotations

from collections.abc import Callable

import torch

from segmif_ros.arrays import Image
from segmif_ros.inference.backends.base import BackendOptions, FrameArrays, PerSize
from segmif_ros.inference.backends.device_runtime import CudaRuntime, DeviceRuntime, StaticFrame
from segmif_ros.inference.backends.torch_eager import DTYPES
from segmif_ros.inference.device_frame import DeviceFrame
from segmif_ros.inference.frame import FrameNetwork

Recorded = tuple[StaticFrame, Callable[[], None]]


class CudaGraphBackend:
    """Replays a recording of the network.

    Args:
        network: What to run, on the runtime's device.
        options: How.
        runtime: The device.
    """

    def __init__(self, network: FrameNetwork, options: BackendOptions, runtime: DeviceRuntime) -> None:
        self._frame = DeviceFrame(network, DTYPES[options.precision], options.prior)
        self._runtime = runtime
        self._recorded: PerSize[Recorded] = PerSize(self._record, options.sizes_kept)

    def run(self, infrared: Image, rgb: Image, prior: Image) -> FrameArrays:
        """See `Backend`."""
        return self._run(infrared, rgb, prior)

    def run_pair(self, infrared: Image, rgb: Image) -> FrameArrays:
        """See `PairBackend`."""
        return self._run(infrared, rgb)

    def _run(self, *images: Image) -> FrameArrays:
        height, width = images[0].shape
        try:
            static, replay = self._recorded.get(height, width, len(images))
            return static.run(images, replay)
        except torch.OutOfMemoryError:
            self._recorded.clear()  # recordings hold memory that nobody else can use
            raise

    def _record(self, height: int, width: int, images: int) -> Recorded:
        plane, colour = (height, width), (height, width, 3)
        static = StaticFrame(self._runtime, (plane, colour, plane)[:images], (colour, plane, plane))

        def work() -> None:
            with torch.inference_mode():
                for target, result in zip(static.outputs, self._frame(*static.inputs), strict=True):
                    target.copy_(result)

        with self._runtime.queued():
            return static, self._runtime.record(work, f"a {width}x{height} frame")


def create(network: FrameNetwork, options: BackendOptions) -> CudaGraphBackend:
    """Make the backend of a network.

    Args:
        network: The network.
        options: Device, precision, prior.

    Returns:
        What runs it.
    """
    return CudaGraphBackend(network, options, CudaRuntime(options.device))
