# SPDX-License-Identifier: Apache-2.0
"""Labelled RGB images without infrared: ``<root>/<split>/{images,labels}``, a label PNG for each image of its name."""

from __future__ import annotations

from pathlib import Path
from typing import Literal

import numpy as np

from segmif_ros.arrays import Image
from segmif_ros.data.image_cache import ImageCache
from segmif_ros.data.image_files import DatasetError, images_by_name, read_rgb, size_of
from segmif_ros.data.invented_infrared import thermal_from_labels
from segmif_ros.data.label_files import read_label_map
from segmif_ros.data.label_mapping import LabelMapping
from segmif_ros.data.transforms import Sample

Infrared = Literal["none", "invented"]


class RgbLabels:
    """The labelled images of one split.

    Args:
        root: The folder with the splits.
        split: A folder in it; "" if ``root`` itself holds images/ and labels/.
        mapping: From the label files' classes to those of the samples.
        infrared: 'none', a constant level drawn for each sample, as of a lost camera; or 'invented' from the labels,
            newly drawn for each sample (see `invented_infrared`).

    Attributes:
        notes: Lines about files that are left out.

    Raises DatasetError where there is nothing of that layout.
    """

    def __init__(self, root: Path, split: str, mapping: LabelMapping, *, infrared: Infrared = "none") -> None:
        images, labels = root / split / "images", root / split / "labels"
        if not images.is_dir() or not labels.is_dir():
            raise DatasetError(f"{root}: no split '{split}' (expected {images} and {labels})")
        found, truth = images_by_name(images), images_by_name(labels)
        both = sorted(found.keys() & truth.keys())
        if not both:
            raise DatasetError(f"{images}: no image with a label of the same name in {labels}")
        lonely = {
            "images without a label": found.keys() - truth.keys(),
            "labels without an image": truth.keys() - found.keys(),
        }
        self.notes = [
            f"{len(names)} {what} of the same name are left out, such as {min(names)}"
            for what, names in lonely.items()
            if names
        ]
        self.mapping = mapping
        self.paths = [found[name] for name in both]
        self._truth = [truth[name] for name in both]
        self._infrared = infrared
        self._kept = ImageCache()

    def __len__(self) -> int:
        return len(self.paths)

    def files(self) -> list[Path]:
        """Return each image and its label map."""
        return [path for both in zip(self.paths, self._truth, strict=True) for path in both]

    def sample(self, index: int, rng: np.random.Generator) -> Sample:
        """Return image ``index`` with its labels; DatasetError naming a file that can't be used."""
        rgb, theirs = self._kept.get(index, lambda: self._read(index))
        labels = self.mapping.apply(theirs, self._truth[index])
        if self._infrared == "invented":
            infrared = thermal_from_labels(theirs, rgb, rng, self.mapping.theirs)
        else:
            infrared = np.full(theirs.shape, rng.integers(0, 256), np.uint8)
        return Sample(infrared=infrared, rgb=rgb, labels=labels, name=str(self.paths[index]))

    def _read(self, index: int) -> tuple[Image, ...]:
        rgb, labels = read_rgb(self.paths[index]), read_label_map(self._truth[index], self.mapping.theirs)
        if rgb.shape[:2] != labels.shape:
            raise DatasetError(f"{self._truth[index]}: labels are {size_of(labels)} and the image {size_of(rgb)}")
        return rgb, labels
