# SPDX-License-Identifier: Apache-2.0
"""What the engine asks of a backend."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable, Hashable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Generic, Protocol, TypeVar, runtime_checkable

import torch

from segmif_ros.arrays import Array, Image
from segmif_ros.imaging.prior import PriorMethod

FrameArrays = tuple[Image, Image, Image]
"""Fused (H, W, 3), labels (H, W) and confidence (H, W), all uint8."""

T = TypeVar("T")


@dataclass(frozen=True, kw_only=True)
class BackendOptions:
    """How to run.

    Attributes:
        device: Where.
        precision: "float32", "bfloat16", "float16", or "int8" (mixed: int8 where it is safe, bfloat16 elsewhere).
        num_threads: Threads on the CPU; 0 leaves the runtime's choice.
        sizes_kept: Image sizes for which a backend that compiles per size keeps its graphs.
        prior: How a `PairBackend` makes the prior image, and how calibration does; None where it is always given.
        calibration_pairs: Folder (of infrared/ and visible/) that int8 is calibrated with; None takes built-in
            patterns.
    """

    device: torch.device
    precision: str = "float32"
    num_threads: int = 0
    sizes_kept: int = 3
    prior: PriorMethod | None = None
    calibration_pairs: Path | None = None


@dataclass(frozen=True, kw_only=True)
class Tolerance:
    """How far from torch in float32 a backend may be.

    Attributes:
        mask_agreement: Smallest share of pixels with the same class id.
        fused_psnr_db: Smallest peak signal-to-noise ratio of the fused image in dB, peak 255.
    """

    mask_agreement: float
    fused_psnr_db: float


class Backend(Protocol):
    """One runtime with one network."""

    def run(self, infrared: Image, rgb: Image, prior: Image) -> FrameArrays:
        """Run the network on one pair.

        Args:
            infrared: (H, W) uint8.
            rgb: (H, W, 3) uint8, RGB.
            prior: (H, W) uint8.

        Returns:
            Fused image, labels and confidence, which the caller owns.
        """


@runtime_checkable
class PairBackend(Backend, Protocol):
    """A backend that can make the prior image as well, where the pair already is."""

    def run_pair(self, infrared: Image, rgb: Image) -> FrameArrays:
        """Run the network on one pair, with the prior image of `BackendOptions.prior`, one of `DEVICE_PRIORS`.

        Args:
            infrared: (H, W) uint8.
            rgb: (H, W, 3) uint8, RGB.

        Returns:
            Fused image, labels and confidence, which the caller owns.
        """


@dataclass(frozen=True, kw_only=True)
class TensorFacts:
    """What a network's file states about one of its tensors.

    Attributes:
        name: As in the file.
        shape: Sides; None where any size goes. None altogether where the file doesn't state it.
        type: As numpy calls it, "float32" for example; empty where the file doesn't state it.
    """

    name: str
    shape: tuple[int | None, ...] | None = None
    type: str = ""


class Session(Protocol):
    """A network's file, loaded: tensors in, tensors out."""

    @property
    def inputs(self) -> tuple[TensorFacts, ...]:
        """What it takes."""

    @property
    def outputs(self) -> tuple[TensorFacts, ...]:
        """What it gives; empty where the file doesn't say."""

    def run(self, tensors: Mapping[str, Array], outputs: Sequence[str]) -> dict[str, Array]:
        """Run once.

        Args:
            tensors: By input name.
            outputs: Names to return; where the file has none, the names of what it returns, in its order.

        Returns:
            By these names, arrays that the caller owns.

        Raises:
            EngineError: The runtime refuses; one line.
        """


class PerSize(Generic[T]):
    """What was made for each image size, the least recently used dropped first.

    Args:
        make: Makes it for (height, width), and for whatever else `get` is asked for.
        kept: How many to keep.
    """

    def __init__(self, make: Callable[..., T], kept: int) -> None:
        self._make = make
        self._kept = kept
        self._made: OrderedDict[tuple[Hashable, ...], T] = OrderedDict()

    def get(self, height: int, width: int, *more: Hashable) -> T:
        """Return what belongs to this size; makes it at the first call, which can take seconds.

        Args:
            height: Rows.
            width: Columns.
            *more: Whatever else it depends on.
        """
        key = height, width, *more
        if key in self._made:
            self._made.move_to_end(key)
            return self._made[key]
        while len(self._made) >= self._kept:
            self._made.popitem(last=False)  # before making: two large graphs at once may not fit
        self._made[key] = made = self._make(*key)
        return made

    def clear(self) -> None:
        """Drop all of them."""
        self._made.clear()


def example_inputs(height: int, width: int) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    """Return grey images (H, W), (H, W, 3), (H, W) uint8 on the CPU, to record a graph with.

    Args:
        height: H, rows.
        width: W, columns.
    """
    grey = torch.full((height, width), 128, dtype=torch.uint8)
    return grey, grey[..., None].repeat(1, 1, 3), grey.clone()
