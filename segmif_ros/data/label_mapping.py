# SPDX-License-Identifier: Apache-2.0
"""Label maps of one set of classes turned into those of another."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import numpy as np

from segmif_ros.arrays import Image
from segmif_ros.data.image_files import DatasetError
from segmif_ros.imaging.histogram import byte_counts
from segmif_ros.labels import IGNORE_ID, LabelSet, LabelSetError, counterparts


class LabelMapError(DatasetError):
    """Two sets of classes that can't be mapped."""


class LabelMapping:
    """Maps ids of ``theirs`` onto ids of ``ours`` by the classes' names; what has no counterpart becomes 255.

    Args:
        theirs: Classes of the label maps.
        ours: Classes wanted.
        label_map: Their name to ours, or to 'ignored', where names alone say too little; see `labels.counterparts`.

    Raises:
        LabelMapError: ``label_map`` names a class that doesn't exist, or no class at all has a counterpart.
    """

    def __init__(self, theirs: LabelSet, ours: LabelSet, label_map: Mapping[str, str] | None = None) -> None:
        self.theirs, self.ours = theirs, ours
        try:
            self._ids = counterparts(theirs, ours, label_map)
        except LabelSetError as error:
            raise LabelMapError(f"label_map: {error}") from None
        if all(i is None for i in self._ids.values()):
            raise LabelMapError(
                f"no class of label set '{theirs.name}' has a counterpart in '{ours.name}': give a label_map"
                f" (theirs: {', '.join(theirs.names)}; ours: {', '.join(ours.names)})"
            )
        self._table = np.full(256, IGNORE_ID, np.uint8)
        for i, j in self._ids.items():
            self._table[i] = IGNORE_ID if j is None else j

    def apply(self, labels: Image, source: Path | str) -> Image:
        """Map labels uint8 (H, W); DatasetError naming ``source`` for ids that ``theirs`` doesn't have."""
        require_ids(labels, self.theirs, source)
        return np.asarray(self._table[labels], np.uint8)

    def describe(self) -> str:
        """Return one line: which classes are renamed, ignored, and which of ours have no counterpart."""
        renamed, ignored = [], []
        for i, j in self._ids.items():
            name = self.theirs.names[i]
            if j is None:
                ignored.append(name)
            elif self.ours.names[j] != name:
                renamed.append(f"{name} -> {self.ours.names[j]}")
        found = set(self._ids.values())
        absent = [name for i, name in enumerate(self.ours.names) if i not in found and i != self.ours.ignore_id]
        parts = [f"{len(self._ids) - len(ignored)} of {len(self._ids)} classes of {self.theirs.name} used"]
        parts += [", ".join(renamed)] if renamed else []
        parts += [f"ignored: {', '.join(ignored)}"] if ignored else []
        parts += [f"never seen: {', '.join(absent)}"] if absent else []
        return "; ".join(parts)


def require_ids(labels: Image, classes: LabelSet, source: Path | str) -> None:
    """Refuse ids that ``classes`` doesn't have.

    Args:
        labels: uint8 (H, W); the set's ``ignore_id`` and 255 may occur.
        classes: Whose ids these are.
        source: The file, for the error.

    Raises:
        DatasetError: Other ids occur.
    """
    known = {*range(len(classes)), classes.ignore_id, IGNORE_ID}
    unknown = sorted(set(np.flatnonzero(byte_counts(labels)).tolist()) - known)
    if unknown:
        raise DatasetError(f"{source}: ids {unknown} are not {classes.name}'s 0..{len(classes) - 1}")
