# SPDX-License-Identifier: Apache-2.0
"""Where something surely isn't: evidence of its own, beside labels, such as a folder of hand-drawn boxes gives.

A map of absence is uint8 (H, W). Bit i of a pixel means that no class of group i is there, and nothing about the
others. It counts only where a pixel has no label, as a label is more.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np

from segmif_ros.arrays import Image
from segmif_ros.data.image_files import DatasetError
from segmif_ros.labels import LabelSet, common_name

# bit 0 is 1, bit 1 is 2, bit 2 is 4 in the files
ABSENCE_GROUPS: tuple[tuple[str, ...], ...] = (
    ("person",),
    ("car", "truck", "bus"),
    ("bicycle", "motorcycle"),
)
_ALL_BITS = (1 << len(ABSENCE_GROUPS)) - 1


def require_absence(bits: Image, path: Path | str) -> Image:
    """Return a map read from a file; DatasetError naming ``path`` if a bit is set that no group has."""
    if bits.size and int(bits.max()) > _ALL_BITS:
        groups = ", ".join(f"{1 << i} no {' or '.join(names)}" for i, names in enumerate(ABSENCE_GROUPS))
        raise DatasetError(f"{path}: holds {int(bits.max())}; a map of absence holds sums of {groups}")
    return bits


def possible_classes(classes: LabelSet) -> np.ndarray[tuple[int, int], np.dtype[np.bool_]]:
    """Return bool (2 ** groups, K): which classes a pixel may be by its bits, for all sums of bits.

    Classes are recognised by the names that mean the same in all sets; one of no group is always possible.
    """
    names = [common_name(name) for name in classes.names]
    table = np.ones((_ALL_BITS + 1, len(classes)), np.bool_)
    for bits in range(_ALL_BITS + 1):
        for i, group in enumerate(ABSENCE_GROUPS):
            if bits >> i & 1:
                table[bits] &= [name not in group for name in names]
    return table
