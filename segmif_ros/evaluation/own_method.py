# SPDX-License-Identifier: Apache-2.0
"""The results of one's own method as files, judged as those of an engine are."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np

from segmif_ros.arrays import Image
from segmif_ros.data.image_files import DatasetError, images_by_name, read_rgb, size_of
from segmif_ros.data.label_files import read_label_map
from segmif_ros.inference.engine import EngineResult
from segmif_ros.labels import LabelSet


@dataclass(frozen=True, kw_only=True)
class OwnMethod:
    """Folders of results by the names of the pairs.

    Attributes:
        fused: Fused images; None for a method that only segments.
        labels: Label maps; None for a method that only fuses.
        label_set: What the ids of the label maps mean.
    """

    fused: Path | None
    labels: Path | None
    label_set: LabelSet

    def files(self, keys: list[str]) -> list[Path]:
        """Return the files that belong to pairs, in order."""
        folders = [images_by_name(_there(folder)) for folder in (self.fused, self.labels) if folder is not None]
        return [found[key] for found in folders for key in keys if key in found]

    def notes(self, keys: list[str]) -> tuple[str, ...]:
        """Return lines about files without a pair; DatasetError if no file has one."""
        lines = []
        for folder in (self.fused, self.labels):
            if folder is None:
                continue
            names = images_by_name(_there(folder)).keys()
            if not names & set(keys):
                shown = f": {min(names)}, for example, and pairs as {keys[0]}" if names else ""
                raise DatasetError(f"{folder}: none of {len(names)} images has the name of a pair{shown}")
            if alone := sorted(names - set(keys)):
                lines.append(f"{folder.name}/: {len(alone)} of {len(names)} images have no pair ({alone[0]}, ...).")
        return tuple(lines)

    def result(self, key: str, rgb: Image) -> EngineResult:
        """Return the results for a pair whose RGB image is ``rgb``, (H, W, 3) uint8.

        Raises:
            DatasetError: If a file is missing, can't be read, or has another size.
        """
        fused = read_rgb(_file(self.fused, key)) if self.fused else rgb
        labels = read_label_map(_file(self.labels, key), self.label_set) if self.labels else np.zeros_like(rgb[..., 0])
        for what, image in (("the fused image", fused), ("the label map", labels)):
            if image.shape[:2] != rgb.shape[:2]:
                raise DatasetError(f"{key}: {what} is {size_of(image)} and the pair {size_of(rgb)}: save it so")
        return EngineResult(fused=fused, labels=labels, confidence=np.zeros_like(labels))


def _there(folder: Path) -> Path:
    if not folder.is_dir():
        raise DatasetError(f"{folder}: no such folder")
    return folder


def _file(folder: Path, key: str) -> Path:
    found = images_by_name(folder).get(key)
    if found is None:
        raise DatasetError(f"{folder}: no image called {key}")
    return found
