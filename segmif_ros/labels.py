# SPDX-License-Identifier: Apache-2.0
"""Label sets: which id means which class, and in what colour it is drawn."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np
import numpy.typing as npt

IGNORE_ID = 255


class LabelSetError(ValueError):
    """A label set that doesn't exist or doesn't fit."""


@dataclass(frozen=True, kw_only=True, eq=False)
class LabelSet:
    """The classes of a data set or a model, in the order of their ids.

    Attributes:
        name: How parameters and checkpoints name the set.
        names: Class names; the index is the id.
        palette: (N, 3) uint8 RGB, one colour an id.
        ignore_id: Pixels of this id have no truth: never trained on, never counted.
    """

    name: str
    names: tuple[str, ...]
    palette: npt.NDArray[np.uint8] = field(repr=False)
    ignore_id: int = IGNORE_ID

    def __len__(self) -> int:
        return len(self.names)

    def id_of(self, name: str) -> int:
        """Return the id of the class called ``name``; LabelSetError lists the names that exist."""
        if name not in self.names:
            raise LabelSetError(
                f"label set '{self.name}' has no class '{name}': choose from {', '.join(self.names)}"
            )
        return self.names.index(name)

    def colourise(self, labels: npt.NDArray[np.uint8]) -> npt.NDArray[np.uint8]:
        """Turn (H, W) uint8 ids into a (H, W, 3) uint8 RGB picture; ids outside the set come out black."""
        table = np.zeros((256, 3), np.uint8)
        table[: len(self)] = self.palette
        return np.take(table, labels, axis=0)


def _label_set(name: str, classes: Sequence[tuple[str, tuple[int, int, int]]]) -> LabelSet:
    palette = np.array([colour for _, colour in classes], np.uint8)
    palette.setflags(write=False)
    return LabelSet(name=name, names=tuple(each for each, _ in classes), palette=palette)


# The palette is the one of the SegMiF paper's figures.
FMB = _label_set(
    "fmb",
    [
        ("unlabelled", (0, 0, 0)),
        ("road", (173, 229, 229)),
        ("sidewalk", (187, 57, 134)),
        ("building", (45, 163, 178)),
        ("lamp", (206, 176, 47)),
        ("sign", (131, 54, 200)),
        ("vegetation", (56, 171, 83)),
        ("sky", (183, 71, 78)),
        ("person", (66, 102, 167)),
        ("car", (14, 127, 255)),
        ("truck", (138, 163, 91)),
        ("bus", (156, 98, 153)),
        ("motorcycle", (101, 153, 140)),
        ("bicycle", (225, 214, 155)),
        ("pole", (136, 111, 89)),
    ],
)

MFNET = _label_set(
    "mfnet",
    [
        ("unlabelled", (0, 0, 0)),
        ("car", (64, 0, 128)),
        ("person", (64, 64, 0)),
        ("bike", (0, 128, 192)),
        ("curve", (0, 0, 192)),
        ("car_stop", (128, 128, 0)),
        ("guardrail", (64, 64, 128)),
        ("color_cone", (192, 128, 128)),
        ("bump", (192, 64, 0)),
    ],
)

CAMVID = _label_set(
    "camvid",
    [
        ("sky", (128, 128, 128)),
        ("building", (128, 0, 0)),
        ("pole", (192, 192, 128)),
        ("road", (128, 64, 128)),
        ("pavement", (60, 40, 222)),
        ("tree", (128, 128, 0)),
        ("sign", (192, 128, 128)),
        ("fence", (64, 64, 128)),
        ("car", (64, 0, 128)),
        ("pedestrian", (64, 64, 0)),
        ("bicyclist", (0, 128, 192)),
        ("unlabelled", (0, 0, 0)),
    ],
)

LABEL_SETS = {each.name: each for each in (FMB, MFNET, CAMVID)}


def label_set(name: str) -> LabelSet:
    """Return the label set called ``name``; LabelSetError lists the names that exist."""
    try:
        return LABEL_SETS[name]
    except KeyError:
        raise LabelSetError(f"no label set '{name}': choose from {', '.join(LABEL_SETS)}") from None


def label_set_for_classes(count: int) -> LabelSet:
    """Return the label set for a model of ``count`` classes whose checkpoint names none.

    The authors' checkpoints carry no names: 15 classes are FMB's, 9 are MFNet's. For any other number the classes are
    called class_0, class_1 and so on, and their colours are spread over the hue circle.
    """
    for known in (FMB, MFNET):
        if len(known) == count:
            return known
    golden = (np.arange(count) * 0.618033988749895) % 1.0
    # a cosine palette: three phases of one wave give distinct, saturated colours
    waves = 0.5 + 0.5 * np.cos(2 * np.pi * (golden[:, None] + np.array([0.0, 1 / 3, 2 / 3])))
    palette = np.round(255 * waves).astype(np.uint8)
    return LabelSet(name=f"classes-{count}", names=tuple(f"class_{i}" for i in range(count)), palette=palette)
