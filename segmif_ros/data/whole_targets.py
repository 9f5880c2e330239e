# SPDX-License-Identifier: Apache-2.0
"""Fusion targets of whole pairs: made, or read, before a pair is cropped and its colours are distorted."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

from segmif_ros.arrays import Image
from segmif_ros.data.image_cache import ImageCache
from segmif_ros.data.image_files import DatasetError, images_by_name, read_grey, size_of
from segmif_ros.data.layouts import child_folder, top_folders
from segmif_ros.data.mixture import Source
from segmif_ros.data.transforms import Sample
from segmif_ros.imaging.fusion_target import FusionTarget, fusion_target

Make = Callable[[Sample], Image]


class WholeTargets:
    """A source whose samples carry the fusion target of their whole, undistorted pair.

    The augmentation then scales, flips, pads and crops it as it does the images, and leaves its grey levels alone, as
    the published training does with its mask images.

    Args:
        source: The pairs; its other attributes are this source's, too.
        make: Returns the target, uint8 (H, W), of a sample as the source gives it.
        target_folder: Where ``make`` reads them, if it does.
    """

    def __init__(self, source: Source, make: Make, target_folder: Path | None = None) -> None:
        self._source = source
        self._make = make
        self._target_folder = target_folder
        self._kept = ImageCache()

    def __len__(self) -> int:
        return len(self._source)

    def __getattr__(self, name: str) -> Any:
        return getattr(self._source, name)

    def files(self) -> list[Path]:
        """Return the source's files and the targets'."""
        targets = images_by_name(self._target_folder) if self._target_folder else {}
        return [*self._source.files(), *(targets[name] for name in sorted(targets))]

    def sample(self, index: int, rng: np.random.Generator) -> Sample:
        """Return sample ``index`` with its target; DatasetError if that can't be read."""
        found = self._source.sample(index, rng)
        (target,) = self._kept.get(index, lambda: (self._make(found),))
        return replace(found, target=target)


def made_target(method: FusionTarget) -> Make:
    """Return what makes the target of a pair by a method."""
    return lambda sample: fusion_target(sample.infrared, sample.rgb, method)


def target_folder(root: Path, name: str, split: str) -> Path:
    """Return the folder of ready targets of a split: SPLIT/NAME, NAME/SPLIT or NAME below ``root``, as images lie.

    Args:
        root: The data set's folder.
        name: Of the folder of targets.
        split: Its name; empty where there are none.

    Returns:
        The folder; ROOT/NAME where there is none, for messages.
    """
    for base in top_folders(root):
        inner = child_folder(base, (split,))
        for parent in (inner, base) if inner else (base,):
            if (parent / name).is_dir():
                return child_folder(parent / name, (split,)) or parent / name
    return root / name


def target_files(folder: Path) -> Make:
    """Return what reads the target of a pair from FOLDER, where it has the name of the pair's image.

    Raises:
        DatasetError: There is no such folder; later, a pair without a file, or a file of another size or depth.
    """
    if not folder.is_dir():
        raise DatasetError(f"{folder}: no such folder: it should hold the fusion targets (targets)")
    files = images_by_name(folder)

    def read(sample: Sample) -> Image:
        name = Path(sample.name).stem
        if name not in files:
            raise DatasetError(f"{folder}: no fusion target called {name}, for {sample.name}")
        target = read_grey(files[name])
        if target.dtype != np.uint8 or target.shape != sample.infrared.shape:
            wanted = size_of(sample.infrared)
            raise DatasetError(f"{files[name]}: is {target.dtype} {size_of(target)}: 8 bits and {wanted} are needed")
        return np.asarray(target, np.uint8)

    return read
