# SPDX-License-Identifier: Apache-2.0
"""Runtimes behind the engine: each runs one and the same `FrameNetwork`.

A backend whose package isn't installed is no error until it is asked for by name.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from importlib import import_module
from importlib.util import find_spec
from typing import cast

from segmif_ros.inference.backends.base import Backend, BackendOptions, PairBackend, Tolerance
from segmif_ros.inference.backends.telemetry import block_telemetry
from segmif_ros.inference.errors import EngineError
from segmif_ros.inference.frame import FrameNetwork

block_telemetry()  # here, as this runs before any module of this package that imports openvino

Factory = Callable[[FrameNetwork, BackendOptions], Backend]


@dataclass(frozen=True, kw_only=True)
class BackendEntry:
    """One row of the table of backends.

    Attributes:
        module: Where its factory `create` is.
        devices: Device types that it runs on.
        precisions: What it computes in.
        packages: Python packages that it needs besides torch, by import name.
        extra: What `pip install segmif_ros[...]` calls them.
        on_trial: Whether "fastest" tries it; not what compiles for minutes.
    """

    module: str
    devices: tuple[str, ...]
    precisions: tuple[str, ...]
    packages: tuple[str, ...] = ()
    extra: str = ""
    on_trial: bool = True


_HERE = "segmif_ros.inference.backends."
BACKENDS: dict[str, BackendEntry] = {
    "torch": BackendEntry(
        module=_HERE + "torch_eager",
        devices=("cpu", "cuda"),
        precisions=("float32", "bfloat16", "float16"),
    ),
    "compile": BackendEntry(
        module=_HERE + "torch_compile",
        devices=("cpu", "cuda"),
        precisions=("float32", "bfloat16", "float16"),
        on_trial=False,
    ),
    "cuda_graph": BackendEntry(
        module=_HERE + "cuda_graph",
        devices=("cuda",),
        precisions=("float32", "bfloat16", "float16"),
    ),
    "tensorrt": BackendEntry(
        module=_HERE + "tensorrt",
        devices=("cuda",),
        precisions=("float32", "bfloat16", "float16"),
        packages=("tensorrt", "onnx", "onnxscript"),
        extra="tensorrt",
        on_trial=False,
    ),
    "openvino": BackendEntry(
        module=_HERE + "openvino_cpu",
        devices=("cpu",),
        precisions=("float32", "bfloat16", "int8"),
        packages=("openvino",),
        extra="openvino",
    ),
    "onnxruntime": BackendEntry(
        module=_HERE + "onnx_runtime",
        devices=("cpu",),
        precisions=("float32",),
        packages=("onnxruntime", "onnx", "onnxscript"),
        extra="onnxruntime",
    ),
}

# How far a backend's results may be from torch's in float32 on the CPU. In float32 only rounding differs, which can
# move a pixel by one level or a label at a near tie; low precisions are held to what still counts as the same model.
TOLERANCES: dict[str, Tolerance] = {
    "float32": Tolerance(mask_agreement=0.999, fused_psnr_db=60.0),
    "bfloat16": Tolerance(mask_agreement=0.98, fused_psnr_db=40.0),
    "float16": Tolerance(mask_agreement=0.99, fused_psnr_db=45.0),
    "int8": Tolerance(mask_agreement=0.98, fused_psnr_db=40.0),
}


def missing_packages(name: str) -> tuple[str, ...]:
    """Return the import names that backend `name` lacks here."""
    return tuple(each for each in BACKENDS[name].packages if find_spec(each) is None)


def lacking(name: str) -> str:
    """Return the line about what backend `name` lacks here and how to install it; empty where nothing is missing."""
    missing = ", ".join(missing_packages(name))
    remedy = f"pip install 'segmif_ros[{BACKENDS[name].extra}]'"
    return f"backend '{name}' needs {missing}, not installed here: {remedy}" if missing else ""


def available_backends(device: str, precision: str) -> tuple[str, ...]:
    """Return the backends that are installed and can run on this device type in this precision."""
    return tuple(
        name
        for name, entry in BACKENDS.items()
        if device in entry.devices and precision in entry.precisions and not missing_packages(name)
    )


def create_backend(name: str, network: FrameNetwork, options: BackendOptions) -> Backend:
    """Make backend `name`.

    Args:
        name: One of `BACKENDS`.
        network: What to run, on `options.device` and in evaluation mode.
        options: How.

    Raises:
        EngineError: An unknown name, a device or precision that it doesn't do, or a package that isn't installed.
    """
    entry = BACKENDS.get(name)
    if entry is None:
        raise EngineError(f"backend '{name}' is unknown: use one of auto, fastest, {', '.join(BACKENDS)}")
    if options.device.type not in entry.devices:
        raise EngineError(f"backend '{name}' runs on {' or '.join(entry.devices)} only, not on '{options.device}'")
    if options.precision not in entry.precisions:
        known = " or ".join(entry.precisions)
        others = [each for each, other in BACKENDS.items() if options.precision in other.precisions]
        also = f", or backend {' or '.join(others)}" if others else ""
        raise EngineError(f"backend '{name}' doesn't compute in '{options.precision}': use {known}{also}")
    if line := lacking(name):
        raise EngineError(line)
    return cast(Factory, import_module(entry.module).create)(network, options)


__all__ = [
    "BACKENDS",
    "TOLERANCES",
    "Backend",
    "BackendEntry",
    "BackendOptions",
    "PairBackend",
    "Tolerance",
    "available_backends",
    "create_backend",
    "lacking",
    "missing_packages",
]
