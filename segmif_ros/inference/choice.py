# SPDX-License-Identifier: Apache-2.0
"""Choosing a backend by a short trial on this machine, remembered for next time."""

from __future__ import annotations

import contextlib
import hashlib
import json
import os
import statistics
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

import numpy as np

from segmif_ros.arrays import Image
from segmif_ros.files import write_json
from segmif_ros.inference.backends import Backend, Tolerance
from segmif_ros.inference.errors import EngineError
from segmif_ros.paths import cache_folder

Images = tuple[Image, Image, Image]

REFERENCE = "torch"
_ROUNDS = 5
# A tie is no reason to leave the reference; a machine at work varies by about this much.
_NEEDED_GAIN = 1.1
_PACKAGES = ("torch", "openvino", "onnxruntime", "segmif_ros")


@dataclass(frozen=True, kw_only=True)
class Choice:
    """What a trial found.

    Attributes:
        backend: The one to use.
        median_ms: Median time of a frame by backend that ran.
        refused: By backend: why it doesn't come into question.
    """

    backend: str
    median_ms: dict[str, float]
    refused: dict[str, str]

    def line(self) -> str:
        """Return the choice in one line."""
        order = sorted(self.median_ms, key=lambda name: self.median_ms[name])
        times = ", ".join(f"{name} {self.median_ms[name]:.0f} ms" for name in order)
        refused = "".join(f"; not {name}: {why}" for name, why in self.refused.items())
        return f"backend {self.backend} chosen by trial: {times}{refused}"


def try_backends(
    makers: Mapping[str, Callable[[], Backend]],
    images: Images,
    tolerance: Tolerance,
    *,
    reference: str = REFERENCE,
    clock: Callable[[], float] = time.perf_counter,
) -> Choice:
    """Time all backends frame by frame in turn and choose the fastest that agrees with the reference.

    Args:
        makers: By name; must hold the reference, whose failure is raised.
        images: Infrared, RGB and prior of the size that will be used.
        tolerance: What a backend must keep against the reference.
        reference: Name of the one that the others must agree with.
        clock: Seconds.

    Returns:
        The choice, with the times of all.

    Raises:
        EngineError: The reference can't be made.
    """
    backends: dict[str, Backend] = {reference: makers[reference]()}
    expected = backends[reference].run(*images)
    refused: dict[str, str] = {}
    for name, make in makers.items():
        if name == reference:
            continue
        try:
            backend = make()
            found = backend.run(*images)
        except (EngineError, RuntimeError, ImportError) as error:  # a trial of what is optional: reported, and left out
            refused[name] = str(error).strip().partition("\n")[0] or type(error).__name__
            continue
        agreement, psnr = mask_agreement(found[1], expected[1]), psnr_db(found[0], expected[0])
        if agreement < tolerance.mask_agreement or (psnr is not None and psnr < tolerance.fused_psnr_db):
            refused[name] = f"masks agree {100 * agreement:.2f} %, fused {psnr or np.inf:.1f} dB"
            continue
        backends[name] = backend
    times: dict[str, list[float]] = {name: [] for name in backends}
    for _ in range(_ROUNDS):
        for name, backend in backends.items():
            started = clock()
            backend.run(*images)
            times[name].append(1e3 * (clock() - started))
    median_ms = {name: statistics.median(each) for name, each in times.items()}
    fastest = min(median_ms, key=lambda name: median_ms[name])
    if median_ms[reference] < _NEEDED_GAIN * median_ms[fastest]:
        fastest = reference
    return Choice(backend=fastest, median_ms=median_ms, refused=refused)


class ChoiceCache:
    """Remembered choices, one small JSON file.

    A file that can't be read counts as empty and one that can't be written is left: the trial then runs again.

    Args:
        path: The file; None for one in the user's cache folder.
    """

    def __init__(self, path: Path | None = None) -> None:
        self.path = path or cache_folder() / "backends.json"

    def get(self, key: str) -> str | None:
        """Return the backend that was chosen for this key."""
        found = self._read().get(key)
        return found if isinstance(found, str) else None

    def put(self, key: str, backend: str) -> None:
        """Remember a choice; a cache that can't be written is left as it is.

        Args:
            key: As `choice_key` makes it.
            backend: The name that was chosen.
        """
        entries = self._read() | {key: backend}
        with contextlib.suppress(OSError):
            self.path.parent.mkdir(parents=True, exist_ok=True)
            write_json(self.path, entries)

    def _read(self) -> dict[str, object]:
        try:
            entries = json.loads(self.path.read_text())
        except (OSError, ValueError):
            return {}
        return entries if isinstance(entries, dict) else {}


def choice_key(
    *,
    model_hash: str,
    mode: str,
    height: int,
    width: int,
    precision: str,
    device: str,
    num_threads: int,
    calibration_pairs: str = "",
) -> str:
    """Return everything that a choice depends on as one hash: the arguments, the processor and the packages' versions.

    Args:
        model_hash: Of the weights.
        mode: Of the network.
        height: Rows of the images.
        width: Their columns.
        precision: Such as "float32".
        device: Its name.
        num_threads: On the CPU; 0 for the runtime's choice.
        calibration_pairs: The folder, for int8.
    """
    facts = {
        "model": model_hash,
        "mode": mode,
        "size": [height, width],
        "precision": precision,
        "device": device,
        "threads": num_threads,
        "calibration": calibration_pairs,
        "cores": len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count(),
        "processor": processor_name(),
        "packages": {name: package_version(name) for name in _PACKAGES},
    }
    return hashlib.sha256(json.dumps(facts, sort_keys=True).encode()).hexdigest()[:32]


def mask_agreement(found: Image, expected: Image) -> float:
    """Return the share of pixels with the same class id.

    Args:
        found: (H, W) uint8, class ids.
        expected: Likewise.
    """
    return float((found == expected).mean())


def psnr_db(found: Image, expected: Image) -> float | None:
    """Return the peak signal-to-noise ratio in dB, peak 255; None for equal images.

    Args:
        found: uint8, of any shape.
        expected: uint8, of the same shape.
    """
    error = float(np.square(found.astype(np.float64) - expected).mean())
    return 10 * float(np.log10(255**2 / error)) if error else None


def processor_name() -> str:
    """Return the processor's name as the kernel has it; empty where it has none."""
    try:
        lines = Path("/proc/cpuinfo").read_text().splitlines()
    except OSError:
        return ""
    return next((line.partition(":")[2].strip() for line in lines if line.startswith("model name")), "")


def package_version(name: str) -> str | None:
    """Return the version of an installed package, None for one that isn't installed."""
    try:
        return version(name)
    except PackageNotFoundError:
        return None
