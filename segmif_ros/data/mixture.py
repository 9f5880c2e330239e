# SPDX-License-Identifier: Apache-2.0
"""A seeded, endless mixture of sample sources.

Sample n of a mixture is a function of (seed, n) alone, whatever was drawn before. So the position in the data is one
number, and a resumed training sees what the uninterrupted one would have seen.
"""

from __future__ import annotations

import fnmatch
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any, Protocol

import cv2
import numpy as np

from segmif_ros.arrays import Image
from segmif_ros.data.image_cache import ImageCache
from segmif_ros.data.image_files import DatasetError, require_8_bits
from segmif_ros.data.label_mapping import LabelMapping
from segmif_ros.data.pair_folder import PairFolder
from segmif_ros.data.published import PublishedDataset, read_pair
from segmif_ros.data.transforms import IGNORE_ID, AugmentConfig, Sample, augment
from segmif_ros.files import replace_file
from segmif_ros.labels import LabelSet
from segmif_ros.scenes import LIGHTINGS, VERSION, RoadScene


class Source(Protocol):
    """Something with a number of samples."""

    def __len__(self) -> int: ...

    def sample(self, index: int, rng: np.random.Generator) -> Sample:
        """Return sample ``index``; what is invented for it is drawn from ``rng``."""

    def files(self) -> list[Path]:
        """Return the files that its samples are read from, in the order of the samples; none if they are made."""


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
    """Registered pairs of a folder; see `segmif_ros.data.pair_folder`.

    Args:
        root: The folder.
        hold_out_every: With n > 0 the files are sorted by name and every n-th is kept apart. Equal for every user of a
            folder, so a number on the held-out part means something.
        held_out: False for the pairs to train on, True for those kept apart.
        mapping: From the classes of the files in labels/ to those of the samples; None leaves labels aside.
        labelled_only: Leave out pairs without a label file and without a map of absence.
        names: Pattern of the names to take, with * and ?; "" for all.

    Raises DatasetError where nothing is left.
    """

    def __init__(
        self,
        root: Path,
        *,
        hold_out_every: int = 0,
        held_out: bool = False,
        mapping: LabelMapping | None = None,
        labelled_only: bool = False,
        names: str = "",
    ) -> None:
        self._folder = PairFolder(root)
        kept = split_hold_out(len(self._folder), hold_out_every, held_out)
        if not kept:
            raise DatasetError(f"{root}: {len(self._folder)} pairs are too few to hold out every {hold_out_every}th")
        if names:
            kept = [i for i in kept if fnmatch.fnmatchcase(self._folder.files[i].name, names)]
            if not kept:
                raise DatasetError(f"{root}: no pair of these has a name like '{names}'")
        with_labels = [i for i in kept if self._folder.files[i].labels or self._folder.files[i].absent]
        if labelled_only and not with_labels:
            raise DatasetError(
                f"{root}: none of the {len(kept)} pairs has a label file (a PNG of ids in labels/) or one in absent/"
            )
        self._indices = with_labels if labelled_only else kept
        self.mapping = mapping if with_labels else None
        self._kept = ImageCache()

    def __len__(self) -> int:
        return len(self._indices)

    @property
    def names(self) -> tuple[str, ...]:
        """Names of the pairs, in the order of `sample`."""
        return tuple(self._folder.files[i].name for i in self._indices)

    def files(self) -> list[Path]:
        """Return the files of all pairs: infrared, RGB, and labels and absence where they are read."""
        found = [self._folder.files[i] for i in self._indices]
        evidence = self.mapping is not None
        return [
            path
            for each in found
            for path in (each.infrared, each.rgb, *((each.labels, each.absent) if evidence else ()))
            if path is not None
        ]

    def sample(self, index: int, rng: np.random.Generator) -> Sample:
        """Return pair ``index``, its labels 255 where there is no truth.

        Raises DatasetError for an unreadable file, 16 bits, unequal sizes or ids that the label set doesn't have.
        """
        infrared, rgb, labels, *absent = self._kept.get(index, lambda: self._read(self._indices[index]))
        path = self._folder.files[self._indices[index]].infrared
        return Sample(infrared=infrared, rgb=rgb, labels=labels, absent=absent[0] if absent else None, name=str(path))

    def _read(self, number: int) -> tuple[Image, ...]:
        files = self._folder.files[number]
        if self.mapping is None or (files.labels is None and files.absent is None):
            grey, rgb = self._folder.load_images(number)
            infrared = require_8_bits(grey, files.infrared)
            return infrared, rgb, np.full(infrared.shape, IGNORE_ID, np.uint8)
        pair = self._folder.load(number, self.mapping.theirs)
        if pair.labels is not None and files.labels is not None:
            labels = self.mapping.apply(pair.labels, files.labels)
        else:
            labels = np.full(pair.rgb.shape[:2], IGNORE_ID, np.uint8)
        absent = () if pair.absent is None else (pair.absent,)
        return require_8_bits(pair.infrared, files.infrared), pair.rgb, labels, *absent


class LostCamera:
    """A source one of whose cameras gives nothing.

    Args:
        source: The source.
        lost: 'rgb' or 'infrared': the image whose bytes are all 0.
    """

    def __init__(self, source: Source, lost: str) -> None:
        self._source = source
        self._lost = lost

    def __len__(self) -> int:
        return len(self._source)

    def __getattr__(self, name: str) -> Any:
        return getattr(self._source, name)

    def files(self) -> list[Path]:
        """Return the source's files."""
        return self._source.files()

    def sample(self, index: int, rng: np.random.Generator) -> Sample:
        """Return the source's sample ``index`` with that image black."""
        sample = self._source.sample(index, rng)
        return replace(sample, **{self._lost: np.zeros_like(getattr(sample, self._lost))})


class PublishedSource:
    """One split of a published, labelled data set; see `segmif_ros.data.published`.

    Args:
        dataset: The opened split.
        ours: Classes of the samples.
        label_map: Their class names to ours; see `labels.counterparts`.
    """

    def __init__(self, dataset: PublishedDataset, ours: LabelSet, label_map: Mapping[str, str] | None = None) -> None:
        assert dataset.label_set is not None
        self.mapping = LabelMapping(dataset.label_set, ours, label_map)
        self.notes = dataset.notes
        self._items = dataset.items
        self._kept = ImageCache()

    def __len__(self) -> int:
        return len(self._items)

    def files(self) -> list[Path]:
        """Return the files of all pairs."""
        return [path for item in self._items for path in item.files(with_labels=True)]

    def sample(self, index: int, rng: np.random.Generator) -> Sample:
        """Return pair ``index``; DatasetError for an unreadable file, unequal sizes or ids outside the set."""
        infrared, rgb, labels = self._kept.get(index, lambda: self._read(index))
        return Sample(infrared=infrared, rgb=rgb, labels=labels, name=str(self._items[index].rgb))

    def _read(self, index: int) -> tuple[Image, ...]:
        item = self._items[index]
        pair = read_pair(item, self.mapping.theirs)
        assert pair.labels is not None and item.labels is not None
        return pair.infrared, pair.rgb, self.mapping.apply(pair.labels, item.labels)


def split_hold_out(count: int, every: int, held_out: bool) -> list[int]:
    """Indices 0..count-1 that are (not) held out; every = 0 holds nothing out."""
    return [i for i in range(count) if (every > 0 and i % every == every - 1) == held_out]


class SceneSource:
    """Synthetic road scenes with exact labels, by day, dusk and night in turn, in any weather.

    Rendering costs more than a training step, so a scene is rendered once and kept as a file when ``cache`` is given.

    Args:
        first_seed: Scene i has the seed first_seed + i; training and evaluation use ranges that don't meet.
        count: Number of scenes.
        height, width: Size of the images, pixels.
        cache: A folder for rendered scenes; None renders each time. File names carry the generator's version, so that
            scenes of an older one are never taken for today's.
        mapping: From FMB's classes to those of the samples; None for FMB's own.
    """

    def __init__(
        self,
        *,
        first_seed: int,
        count: int,
        height: int,
        width: int,
        cache: Path | None = None,
        mapping: LabelMapping | None = None,
    ) -> None:
        self.mapping = mapping
        self.first_seed, self.count, self.height, self.width = first_seed, count, height, width
        self._cache = cache

    def __len__(self) -> int:
        return self.count

    def lighting(self, index: int) -> str:
        """Return the lighting of scene ``index``: the three in turn."""
        return LIGHTINGS[index % len(LIGHTINGS)]

    def files(self) -> list[Path]:
        """Return none: scenes follow from their seeds, and the cache's names carry the generator's version."""
        return []

    def sample(self, index: int, rng: np.random.Generator) -> Sample:
        """Return scene ``index``; DatasetError where the cache can't be read or written."""
        found = self._scene(index)
        return replace(found, labels=self.mapping.apply(found.labels, found.name)) if self.mapping else found

    def is_kept(self, index: int) -> bool:
        """Whether scene ``index`` is in the cache already."""
        return self._cache is not None and self._file(self._cache, index).is_file()

    def _file(self, cache: Path, index: int) -> Path:
        seed, lighting = self.first_seed + index, self.lighting(index)
        return cache / f"scene-v{VERSION}-{seed}-{lighting}-{self.height}x{self.width}.png"

    def _scene(self, index: int) -> Sample:
        seed, lighting = self.first_seed + index, self.lighting(index)
        name = f"scene seed {seed} {lighting} {self.height}x{self.width}"
        if self._cache is None:
            return self._render(seed, lighting, name)
        path = self._file(self._cache, index)
        if not path.is_file():
            self._keep(path, self._render(seed, lighting, name))
        stacked = cv2.imread(str(path), cv2.IMREAD_GRAYSCALE)
        if stacked is None or stacked.shape != (5 * self.height, self.width):
            raise DatasetError(f"{path}: not a cached scene; delete it")
        red, green, blue, infrared, labels = np.vsplit(np.asarray(stacked, dtype=np.uint8), 5)
        return Sample(infrared=infrared, rgb=np.dstack([red, green, blue]), labels=labels, name=name)

    def _keep(self, path: Path, scene: Sample) -> None:
        planes = np.vstack([scene.rgb[..., 0], scene.rgb[..., 1], scene.rgb[..., 2], scene.infrared, scene.labels])
        # not cv2.imwrite, whose error hides a full disk
        _, encoded = cv2.imencode(".png", planes)
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            replace_file(path, encoded.tobytes())  # data workers may render one scene at the same time
        except OSError as error:
            raise DatasetError(f"{path}: the rendered scene cannot be kept: {error.strerror}") from error

    def _render(self, seed: int, lighting: str, name: str) -> Sample:
        frame = RoadScene(seed, self.height, self.width, lighting=lighting, weather="any").frame(0.0)
        return Sample(infrared=frame.infrared8, rgb=frame.rgb, labels=frame.labels, name=name)
