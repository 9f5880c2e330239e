# SPDX-License-Identifier: Apache-2.0
"""The engine: one call from an image pair to fused image, labels and confidence.

It knows numpy arrays and torch, no ROS. The node, the offline tools and the tests all go through `EngineProtocol`, so
a fake fits wherever the network isn't the point.
"""

from __future__ import annotations

import logging
import time
from dataclasses import dataclass, field
from functools import partial
from typing import Protocol, cast

import numpy as np
import torch

from segmif_ros.arrays import Image
from segmif_ros.imaging.prior import PriorMethod, prior_image
from segmif_ros.inference.allocator import keep_large_blocks
from segmif_ros.inference.backends import (
    BACKENDS,
    TOLERANCES,
    Backend,
    BackendOptions,
    PairBackend,
    available_backends,
    lacking,
)
from segmif_ros.inference.backends.device_runtime import device_facts, give_memory_back
from segmif_ros.inference.choice import ChoiceCache, choice_key, try_backends
from segmif_ros.inference.config import CHOICES, MODES, PRECISIONS, PRIOR_METHODS, EngineConfig
from segmif_ros.inference.device_frame import DEVICE_PRIORS
from segmif_ros.inference.errors import EngineError
from segmif_ros.inference.networks import AUTHORS_PRIOR, MIN_SIDE, installed_first, open_network, require
from segmif_ros.inference.sample_pairs import pattern_pairs
from segmif_ros.labels import LabelSet
from segmif_ros.model import Mode
from segmif_ros.paths import user_path

_LOGGER = logging.getLogger(__name__)


@dataclass(frozen=True, kw_only=True, eq=False)
class EngineResult:
    """What the engine makes of one pair.

    Attributes:
        fused: (H, W, 3) uint8 RGB.
        labels: (H, W) uint8 class ids.
        confidence: (H, W) uint8, 255 times the softmax probability of the winning class.
        stage_ms: Milliseconds by stage: "prior" (nearly 0 where the backend makes it) and "network" (images in,
            results out).
    """

    fused: Image
    labels: Image
    confidence: Image
    stage_ms: dict[str, float] = field(default_factory=dict)


class EngineProtocol(Protocol):
    """What the pipeline needs of an engine."""

    @property
    def label_set(self) -> LabelSet:
        """The classes that `EngineResult.labels` holds."""

    @property
    def model_name(self) -> str:
        """For example "segmif-s"."""

    @property
    def model_hash(self) -> str:
        """First 12 hex digits of the SHA-256 over the weights files."""

    @property
    def device_name(self) -> str:
        """For example "cpu" or "cuda:0"."""

    @property
    def backend_name(self) -> str:
        """What runs the network now, for example "torch"."""

    @property
    def precision(self) -> str:
        """What it computes in now, for example "float32"; not what was asked for where a choice fell back."""

    def warm_up(self, height: int, width: int) -> None:
        """Run once at this size, so that the first real pair runs at full speed.

        Args:
            height: Rows of the pairs to come.
            width: Their columns.
        """

    def infer(self, infrared: Image, rgb: Image) -> EngineResult:
        """Process one pair.

        Args:
            infrared: (H, W) uint8.
            rgb: (H, W, 3) uint8, RGB.

        Returns:
            Fused image, labels, confidence and times.
        """


class Engine:
    """SegMiF's network, or the one of a model folder, behind `EngineProtocol`.

    Args:
        config: What to run and where.

    Raises:
        EngineError: If the device or an option isn't there.
        WeightsError: If the weights aren't there.
        CheckpointError: If they don't fit.
    """

    def __init__(self, config: EngineConfig) -> None:
        require("mode", config.mode, MODES)
        require("precision", config.precision, PRECISIONS)
        require("prior", config.prior, ("auto", *PRIOR_METHODS))
        require("backend", config.backend, (*CHOICES, *BACKENDS))
        self._network = open_network(
            config.weights,
            mode=cast(Mode, config.mode),
            prior=config.prior,
            labels=config.label_set,
            expected_classes=config.expected_classes,
        )
        self._reference = installed_first(self._network.backends)
        self.backend_name = self._reference if config.backend in CHOICES else config.backend
        self._device = _resolve_device(config.device, self.backend_name)
        if self._device.type == "cpu":
            if config.tune_allocator:
                keep_large_blocks()
            if config.precision == "float16":
                raise EngineError("precision 'float16' needs a CUDA device: use 'bfloat16' or 'float32' on the CPU")
        if config.precision == "int8" and config.backend == "fastest" and not self._candidates(config.precision):
            raise EngineError(
                "precision 'int8' needs the backend openvino, on the CPU: pip install openvino, or use "
                "another precision"
            )
        if config.num_threads > 0:
            torch.set_num_threads(config.num_threads)
        self._config = config
        self.prior = self._network.prior
        self._backend = self._create(self.backend_name)
        self.precision = self._precision(self.backend_name)
        self.label_set = self._network.label_set.with_palette(config.palette)
        self.model_name = self._network.name
        self.model_hash = self._network.sha256
        self.device_name = str(self._device)

    def warm_up(self, height: int, width: int) -> None:
        """Run once at this size, so that the first real pair runs at full speed.

        With the backend "fastest" this is where it is chosen, for this and all sizes until the next call.

        Args:
            height: Rows of the pairs to come.
            width: Their columns.
        """
        if self._config.backend == "fastest":
            self._choose(height, width)
        grey = np.full((height, width), 128, np.uint8)
        self.infer(grey, np.repeat(grey[..., None], 3, axis=2))

    def infer(self, infrared: Image, rgb: Image) -> EngineResult:
        """Process one pair.

        Args:
            infrared: (H, W) uint8.
            rgb: (H, W, 3) uint8, RGB order, of the same size; H and W at least 29 for SegMiF.

        Returns:
            Fused image, labels, confidence and times.

        Raises:
            EngineError: If the sizes or types don't fit, or the device ran out of memory (the engine stays usable).
        """
        _check_pair(infrared, rgb, self._network.minimum_side)
        infrared, rgb = np.ascontiguousarray(infrared), np.ascontiguousarray(rgb)
        backend = self._backend
        started = prior_done = time.perf_counter()
        try:
            if isinstance(backend, PairBackend) and (self.prior is None or self.prior in DEVICE_PRIORS):
                fused, labels, confidence = backend.run_pair(infrared, rgb)
            else:
                prior = np.ascontiguousarray(_prior(infrared, rgb, self.prior))
                prior_done = time.perf_counter()
                fused, labels, confidence = backend.run(infrared, rgb, prior)
        except torch.OutOfMemoryError as error:
            if self._device.type == "cuda":
                give_memory_back()
            size = f"{infrared.shape[1]}x{infrared.shape[0]}"
            raise EngineError(
                f"{self.device_name} ran out of memory on a {size} pair, which is dropped: lower the image size or "
                "the precision, or free the device"
            ) from error
        done = time.perf_counter()
        stage_ms = {"prior": 1e3 * (prior_done - started), "network": 1e3 * (done - prior_done)}
        return EngineResult(fused=fused, labels=labels, confidence=confidence, stage_ms=stage_ms)

    def _create(self, name: str) -> Backend:
        config = self._config
        try:
            pairs = user_path(config.calibration_pairs) if config.calibration_pairs else None
        except OSError as error:
            raise EngineError(f"calibration_pairs {config.calibration_pairs}: {error.strerror}") from None
        options = BackendOptions(
            device=self._device,
            precision=self._precision(name),
            num_threads=config.num_threads,
            prior=self.prior,
            calibration_pairs=pairs,
        )
        return self._network.create(name, options)

    def _precision(self, name: str) -> str:
        config = self._config
        # of "fastest" in int8 the reference is torch as it is: what is measured against, and stays where nothing is won
        reference = config.backend == "fastest" and config.precision == "int8" and name == self._reference
        return "float32" if reference else config.precision

    def _candidates(self, precision: str) -> list[str]:
        # what compiles for minutes runs only when it is selected by name
        there = available_backends(self._device.type, precision)
        return [name for name in there if BACKENDS[name].on_trial and name in self._network.backends]

    def _choose(self, height: int, width: int) -> None:
        """Take the backend that a trial found fastest, now or when it was last asked the same."""
        precision = self._config.precision
        names = self._candidates(precision)
        if self._reference not in names:
            names.insert(0, self._reference)
        key = choice_key(
            model_hash=self.model_hash,
            mode=self._config.mode,
            height=height,
            width=width,
            precision=precision,
            device=self._device_identity(),
            num_threads=self._config.num_threads,
            calibration_pairs=self._config.calibration_pairs,
        )
        cache = ChoiceCache()
        chosen = cache.get(key)
        if chosen not in names:
            ((infrared, rgb),) = pattern_pairs(height, width, count=1)
            makers = {name: partial(self._create, name) for name in names}
            images = infrared, rgb, _prior(infrared, rgb, self.prior)
            choice = try_backends(makers, images, TOLERANCES[precision], reference=self._reference)
            _LOGGER.info("%s", choice.line())
            chosen = choice.backend
            cache.put(key, chosen)
        if chosen != self.backend_name:
            self._backend = self._create(chosen)
            self.backend_name, self.precision = chosen, self._precision(chosen)

    def _device_identity(self) -> str:
        """The device as a choice depends on it: on CUDA which one it is, not only its number."""
        if self._device.type == "cpu":
            return self.device_name
        return "; ".join(device_facts(self._device).values())


def _resolve_device(name: str, backend: str) -> torch.device:
    """Return the device called `name`; "auto" looks among those that the backend supports."""
    if name == "auto":
        wanted = "cuda" in BACKENDS[backend].devices and torch.cuda.is_available()
        return torch.device("cuda" if wanted and not lacking(backend, "cuda", file=True) else "cpu")
    try:
        device = torch.device(f"cuda:{name}" if name.isdecimal() else name)
    except RuntimeError:
        raise EngineError(f"device '{name}' is unknown: use 'auto', 'cpu', 'cuda' or 'cuda:N'") from None
    if device.type not in ("cpu", "cuda"):
        raise EngineError(f"device '{name}' is not supported: use 'auto', 'cpu', 'cuda' or 'cuda:N'")
    if device.type == "cuda" and not torch.cuda.is_available():
        raise EngineError(f"device '{name}': this torch ({torch.__version__}) sees no CUDA device: use 'cpu' or 'auto'")
    if device.type == "cuda" and (device.index or 0) >= torch.cuda.device_count():
        raise EngineError(f"device '{name}': there are only {torch.cuda.device_count()} CUDA devices")
    return device


def _prior(infrared: Image, rgb: Image, method: PriorMethod | None) -> Image:
    """The prior image; of a network that takes none, the infrared image stands in its place."""
    return infrared if method is None else prior_image(infrared, rgb, method=method)


def _check_pair(infrared: Image, rgb: Image, minimum_side: int) -> None:
    for name, image, ndim in (("infrared", infrared, 2), ("RGB", rgb, 3)):
        if image.dtype != np.uint8 or image.ndim != ndim or (ndim == 3 and image.shape[2] != 3):
            wanted = "(H, W)" if ndim == 2 else "(H, W, 3)"
            raise EngineError(f"{name} image is {image.dtype} {image.shape}: uint8 {wanted} is needed")
    if infrared.shape != rgb.shape[:2]:
        raise EngineError(
            f"infrared is {infrared.shape[1]}x{infrared.shape[0]} and RGB {rgb.shape[1]}x{rgb.shape[0]}: "
            "both must have the same size"
        )
    if min(infrared.shape) < minimum_side:
        size = f"{infrared.shape[1]}x{infrared.shape[0]}"
        raise EngineError(f"the pair is {size}: each side must be at least {minimum_side}")


__all__ = [
    "AUTHORS_PRIOR",
    "BACKENDS",
    "CHOICES",
    "MIN_SIDE",
    "MODES",
    "PRECISIONS",
    "PRIOR_METHODS",
    "Engine",
    "EngineConfig",
    "EngineError",
    "EngineProtocol",
    "EngineResult",
]
