# SPDX-License-Identifier: Apache-2.0
"""A seeded, endless mixture of sample sources.

Sample n of a mixture is a function of (seed, n) alone, whatever was drawn before. So the position in the data is one
number, and a resumed training sees what the uninterrupted one would have seen.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Protocol

import cv2
import numpy as np

from segmif_ros.data.images import DatasetError, require_8_bits
from segmif_ros.data.pair_folder import PairFolder
from segmif_ros.data.scenes import LIGHTINGS, RoadScene
from segmif_ros.data.transforms import IGNORE_ID, AugmentConfig, Image, Sample, augment


class Source(Protocol):
    """Something with a number of samples."""

    def __len__(self) -> int: ...

    def sample(self, index: int, rng: np.random.Generator) -> Sample:
        """Return sample ``index``; what is invented for it is drawn from ``rng``."""


class Mixture:
    """Draws a source by weight, a sample of it, and augments it.

    Args:
        sources: (source, weight, its augmentation) of each part; weights need not sum to one.
        seed: Of everything drawn.
    """

    def __init__(self, sources: Sequence[tuple[Source, float, AugmentConfig]], seed: int) -> None:
        if not sources or any(weight <= 0 for _, weight, _ in sources):
            raise ValueError("a mixture needs at least one source, each with a weight above 0")
        self._parts = tuple(sources)
        total = sum(weight for _, weight, _ in sources)
        self._upper = np.cumsum([weight / total for _, weight, _ in sources])
        self._seed = seed

    def __getitem__(self, number: int) -> Sample:
        """Return augmented sample ``number`` (0, 1, 2, ... without end)."""
        rng = np.random.default_rng((self._seed, number))
        part = min(int(np.searchsorted(self._upper, rng.random(), side="right")), len(self._parts) - 1)
        source, _, config = self._parts[part]
        return augment(source.sample(int(rng.integers(len(source))), rng), config, rng)


class PairSource:
    """Registered pairs of a folder, their labels left aside; see `segmif_ros.data.pair_folder`.

    Args:
        root: The folder.
        hold_out_every: With n > 0 the files are sorted by name and every n-th is kept apart. Equal for every user of a
            folder, so a number on the held-out part means something.
        held_out: False for the pairs to train on, True for those kept apart.

    Raises DatasetError where nothing is left.
    """

    def __init__(self, root: Path, *, hold_out_every: int = 0, held_out: bool = False) -> None:
        self._folder = PairFolder(root)
        self._kept = split_hold_out(len(self._folder), hold_out_every, held_out)
        if not self._kept:
            raise DatasetError(f"{root}: {len(self._folder)} pairs are too few to hold out every {hold_out_every}th")
        self._cache: dict[int, tuple[Image, Image]] = {}

    def __len__(self) -> int:
        return len(self._kept)

    @property
    def names(self) -> tuple[str, ...]:
        """Names of the pairs, in the order of `sample`."""
        return tuple(self._folder.files[i].name for i in self._kept)

    def sample(self, index: int, rng: np.random.Generator) -> Sample:
        """Return pair ``index`` with labels of 255; DatasetError for an unreadable file, 16 bits or unequal sizes."""
        infrared, rgb = self._read(index)
        labels = np.full(infrared.shape, IGNORE_ID, np.uint8)
        return Sample(infrared=infrared, rgb=rgb, labels=labels, name=str(self._path(index)))

    def _path(self, index: int) -> Path:
        return self._folder.files[self._kept[index]].infrared

    def _read(self, index: int) -> tuple[Image, Image]:
        if index not in self._cache:
            infrared, rgb = self._folder.load_images(self._kept[index])
            self._cache[index] = require_8_bits(infrared, self._path(index)), rgb
        return self._cache[index]


def split_hold_out(count: int, every: int, held_out: bool) -> list[int]:
    """Indices 0..count-1 that are (not) held out; every = 0 holds nothing out."""
    return [i for i in range(count) if (every > 0 and i % every == every - 1) == held_out]


class SceneSource:
    """Synthetic road scenes with exact FMB labels, by day, dusk and night in turn, in any weather.

    Rendering costs more than a training step, so a scene is rendered once and kept as a file when ``cache`` is given.

    Args:
        first_seed: Scene i has the seed first_seed + i; training and evaluation use ranges that don't meet.
        count: Number of scenes.
        height, width: Size of the images, pixels.
        cache: A folder for rendered scenes; None renders each time.
    """

    def __init__(self, *, first_seed: int, count: int, height: int, width: int, cache: Path | None = None) -> None:
        self.first_seed, self.count, self.height, self.width = first_seed, count, height, width
        self._cache = cache

    def __len__(self) -> int:
        return self.count

    def lighting(self, index: int) -> str:
        """Return the lighting of scene ``index``: the three in turn."""
        return LIGHTINGS[index % len(LIGHTINGS)]

    def sample(self, index: int, rng: np.random.Generator) -> Sample:
        """Return scene ``index``."""
        seed, lighting = self.first_seed + index, self.lighting(index)
        name = f"scene seed {seed} {lighting} {self.height}x{self.width}"
        if self._cache is None:
            return self._render(seed, lighting, name)
        path = self._cache / f"scene-{seed}-{lighting}-{self.height}x{self.width}.png"
        if not path.is_file():
            self._cache.mkdir(parents=True, exist_ok=True)
            fresh = self._render(seed, lighting, name)
            planes = np.vstack([fresh.rgb[..., 0], fresh.rgb[..., 1], fresh.rgb[..., 2], fresh.infrared, fresh.labels])
            temporary = path.with_suffix(".part.png")
            cv2.imwrite(str(temporary), planes)
            temporary.replace(path)
        stacked = cv2.imread(str(path), cv2.IMREAD_GRAYSCALE)
        if stacked is None or stacked.shape != (5 * self.height, self.width):
            raise DatasetError(f"{path}: not a cached scene; delete it")
        red, green, blue, infrared, labels = np.vsplit(np.asarray(stacked, dtype=np.uint8), 5)
        return Sample(infrared=infrared, rgb=np.dstack([red, green, blue]), labels=labels, name=name)

    def _render(self, seed: int, lighting: str, name: str) -> Sample:
        frame = RoadScene(seed, self.height, self.width, lighting=lighting, weather="any").frame(0.0)
        return Sample(infrared=frame.infrared8, rgb=frame.rgb, labels=frame.labels, name=name)
