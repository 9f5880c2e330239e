# SPDX-License-Identifier: Apache-2.0
"""TensorRT as a provider of ONNX Runtime, which builds the engines and keeps them in the user's cache folder.

What TensorRT doesn't take of a graph runs on ONNX Runtime's CUDA provider. Not run on a GPU so far: see docs/cuda.md.
"""

from __future__ import annotations

from pathlib import Path

from segmif_ros.inference.backends.base import BackendOptions
from segmif_ros.inference.backends.onnx_runtime import (
    TENSORRT,
    OnnxRuntimeBackend,
    OnnxSession,
    Provider,
    device_providers,
)
from segmif_ros.inference.frame import FrameNetwork
from segmif_ros.paths import cache_folder


def providers(options: BackendOptions) -> list[Provider]:
    """Return TensorRT's provider, set for the options' precision, and what stands in for it."""
    cache = str(cache_folder() / "tensorrt")
    settings = {
        "device_id": options.device.index or 0,
        "trt_fp16_enable": options.precision == "float16",
        "trt_engine_cache_enable": True,
        "trt_engine_cache_path": cache,
        "trt_timing_cache_enable": True,
        "trt_timing_cache_path": cache,
    }
    return [(TENSORRT, settings), *device_providers(options)]


def create(network: FrameNetwork, options: BackendOptions) -> OnnxRuntimeBackend:
    """Make the backend of a network.

    Args:
        network: The network.
        options: Device, precision, prior.

    Returns:
        What runs it.
    """
    return OnnxRuntimeBackend(network, options, providers(options))


def open_session(file: Path, options: BackendOptions) -> OnnxSession:
    """Load a network's file.

    Args:
        file: An ONNX file.
        options: Device, precision, threads.

    Returns:
        What runs it.
    """
    return OnnxSession(file, providers(options), options.num_threads)
