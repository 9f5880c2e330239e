# SPDX-License-Identifier: Apache-2.0
"""Runtimes behind the engine: each runs one and the same `FrameNetwork`, and some the file of a model folder.

A backend whose package isn't installed is no error until it is asked for by name.
"""

from __future__ import annotations

from collections.abc import Callable
from importlib import import_module
from importlib.util import find_spec
from pathlib import Path
from typing import cast

from segmif_ros.inference.backend_table import BACKENDS, BackendEntry
from segmif_ros.inference.backends.base import Backend, BackendOptions, PairBackend, Session, Tolerance
from segmif_ros.inference.backends.telemetry import block_telemetry
from segmif_ros.inference.errors import EngineError
from segmif_ros.inference.frame import FrameNetwork

block_telemetry()  # here, as this runs before any module of this package that imports openvino

Factory = Callable[[FrameNetwork, BackendOptions], Backend]
SessionFactory = Callable[[Path, BackendOptions], Session]


# How far a backend's results may be from torch's in float32 on the CPU. In float32 only rounding differs, which can
# move a pixel by one level or a label at a near tie; low precisions are held to what still counts as the same model.
TOLERANCES: dict[str, Tolerance] = {
    "float32": Tolerance(mask_agreement=0.999, fused_psnr_db=60.0),
    "bfloat16": Tolerance(mask_agreement=0.98, fused_psnr_db=40.0),
    "float16": Tolerance(mask_agreement=0.99, fused_psnr_db=45.0),
    "int8": Tolerance(mask_agreement=0.98, fused_psnr_db=40.0),
}


def missing_packages(name: str, *, file: bool = False) -> tuple[str, ...]:
    """Return what a backend lacks on this machine.

    Args:
        name: The backend.
        file: Whether it is to run a network's file.

    Returns:
        Import names; empty if nothing is missing.
    """
    entry = BACKENDS[name]
    return tuple(each for each in (*entry.packages, *(() if file else entry.exporters)) if find_spec(each) is None)


def lacking(name: str, device: str = "", *, file: bool = False) -> str:
    """Return the line about what backend `name` lacks here and how to install it; empty where nothing is missing.

    Args:
        name: One of `BACKENDS`.
        device: A device type, whose provider must be there too; empty where there is but one, or it is all the same.
        file: To run a network's file, and not a `FrameNetwork`.
    """
    entry = BACKENDS[name]
    if missing := missing_packages(name, file=file):
        # an extra of this package is unknown to pip where colcon installed it
        return f"backend '{name}' needs {', '.join(missing)}, not installed here: pip install {' '.join(missing)}"
    provider = entry.providers.get(device or entry.devices[0])
    if provider is None or provider in _onnx_providers():
        return ""
    return (
        f"backend '{name}' needs ONNX Runtime's {provider}, which the installed onnxruntime doesn't have: install "
        "onnxruntime-gpu in its place (docs/cuda.md)"
    )


def available_backends(device: str, precision: str) -> tuple[str, ...]:
    """Return the backends that are installed and can run on this device type in this precision.

    Args:
        device: "cpu" or "cuda".
        precision: Such as "float32".
    """
    return tuple(
        name
        for name, entry in BACKENDS.items()
        if device in entry.devices and precision in entry.precisions and not lacking(name, device)
    )


def create_backend(name: str, network: FrameNetwork, options: BackendOptions) -> Backend:
    """Make backend `name`.

    Args:
        name: One of `BACKENDS`.
        network: What to run, on `options.device` and in evaluation mode.
        options: How.

    Returns:
        What runs the network.

    Raises:
        EngineError: An unknown name, a device or precision that it doesn't do, or a package that isn't installed.
    """
    entry = _usable(name, options, file=False)
    return cast(Factory, import_module(entry.module).create)(network, options)


def open_session(name: str, file: Path, options: BackendOptions) -> Session:
    """Load a network's file by backend `name`.

    Args:
        name: One of `BACKENDS`, which must run files of this kind.
        file: The network.
        options: How.

    Raises:
        EngineError: As `create_backend`, or the backend can't load the file.
    """
    entry = _usable(name, options, file=True)
    return cast(SessionFactory, import_module(entry.module).open_session)(file, options)


def _usable(name: str, options: BackendOptions, *, file: bool) -> BackendEntry:
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
    if line := lacking(name, options.device.type, file=file):
        raise EngineError(line)
    return entry


def _onnx_providers() -> tuple[str, ...]:
    """Return the providers that the installed ONNX Runtime was built with."""
    import onnxruntime  # takes a third of a second, and only its own backends ask

    return tuple(onnxruntime.get_available_providers())


__all__ = [
    "BACKENDS",
    "TOLERANCES",
    "Backend",
    "BackendEntry",
    "BackendOptions",
    "PairBackend",
    "Session",
    "Tolerance",
    "available_backends",
    "create_backend",
    "lacking",
    "missing_packages",
    "open_session",
]
