# SPDX-License-Identifier: Apache-2.0
"""Real pairs with evidence of persons, cars and bicycles: what is there, what isn't, and hand-drawn boxes.

Layout: ``infrared/`` and ``visible/`` as in `pair_folder`, and beside them, with files of the same names,

=====================  ==============================================================================================
``labels/``            label maps of a label set, 255 where nothing is known; a pixel of another class is none of them
``absent/``            bits of what surely isn't there (`segmif_ros.data.absence`), where ``labels/`` has 255
``labels_fmb/``        instead of ``labels/``: FMB's ids of these classes alone, 0 for none of them, 255 for not known
``boxes_infrared/``    NAME.txt, a line a box: class x y w h, x and y of the centre, all as shares of the image's sides;
                       class 0 is a person
=====================  ==============================================================================================

Cars are counted with trucks and buses, bicycles with motorcycles.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import cv2
import numpy as np

from segmif_ros.arrays import Image, Mask
from segmif_ros.data.absence import ABSENCE_GROUPS
from segmif_ros.data.image_files import DatasetError, images_by_name, require_8_bits, size_of
from segmif_ros.data.label_files import read_label_map
from segmif_ros.data.label_mapping import require_ids
from segmif_ros.data.pair_folder import PairFolder
from segmif_ros.labels import FMB, LabelSet, common_name

Light = Literal["day", "night"]

OBJECTS = tuple(group[0] for group in ABSENCE_GROUPS)
_OBJECT_MAPS, _BOXES = "labels_fmb", "boxes_infrared"
_PERSON_BOX = 0
_WHOLE_SIDE = 1.01
# names of pairs that end so say when they were taken, as MSRS's do
_NAMED_LIGHT = re.compile(r"\d([DN])$")
# mean grey level of the RGB image's upper third below which it is night, where the name doesn't say
_DARK = 80.0


@dataclass(frozen=True, kw_only=True, eq=False)
class ObjectPair:
    """One pair and what is known of it.

    Attributes:
        name: Of the pair.
        light: Day or night.
        infrared, rgb: uint8 (H, W) and (H, W, 3).
        objects: uint8 (H, W): 0 for none, i + 1 for `OBJECTS` number i, 255 where nothing is labelled.
        counted: bool (objects, H, W): where it is known whether a pixel is of each of them.
        person_boxes: Slices of rows and columns of each person's box.
    """

    name: str
    light: Light
    infrared: Image
    rgb: Image
    objects: Image
    counted: Mask
    person_boxes: tuple[tuple[slice, slice], ...]


class ObjectFolder:
    """The pairs of a folder of this layout that have a map or a box.

    Args:
        root: The folder.
        classes: Of the files in labels/.

    Raises:
        DatasetError: The folder has no pairs, or no evidence of any.
    """

    def __init__(self, root: Path, classes: LabelSet = FMB) -> None:
        self._folder = PairFolder(root)
        self._classes = classes
        self._table = object_table(classes)
        maps = root / _OBJECT_MAPS
        self._maps = images_by_name(maps) if maps.is_dir() else {}
        boxes = root / _BOXES
        self._boxes = {path.stem: path for path in sorted(boxes.glob("*.txt"))} if boxes.is_dir() else {}
        self._indices = [
            i for i, each in enumerate(self._folder.files)
            if each.labels or each.absent or each.name in self._maps or each.name in self._boxes
        ]  # fmt: skip
        if not self._indices:
            raise DatasetError(f"{root}: no pair has a file in labels/, absent/, {_OBJECT_MAPS}/ or {_BOXES}/")

    def __len__(self) -> int:
        return len(self._indices)

    def pair(self, index: int) -> ObjectPair:
        """Read pair ``index``; DatasetError naming a file that can't be used."""
        number = self._indices[index]
        files, found = self._folder.files[number], self._folder.load(number)
        shape = found.rgb.shape[:2]
        objects, known = np.full(shape, 255, np.uint8), np.zeros(shape, np.bool_)
        if files.name in self._maps:
            objects, known = self._object_map(self._maps[files.name], found.rgb)
        elif found.labels is not None and files.labels is not None:
            require_ids(found.labels, self._classes, files.labels)
            known = (found.labels != 255) & (found.labels != self._classes.ignore_id)
            objects = np.where(known, self._table[found.labels], np.uint8(255))
        bits = np.zeros(shape, np.uint8) if found.absent is None else found.absent
        counted = np.stack([known | ((bits >> i & 1) > 0) for i in range(len(OBJECTS))])
        boxes = self._boxes.get(files.name)
        return ObjectPair(
            name=files.name,
            light=_light(files.name, found.rgb),
            infrared=require_8_bits(found.infrared, files.infrared),
            rgb=found.rgb,
            objects=objects,
            counted=counted,
            person_boxes=() if boxes is None else _person_boxes(boxes, *shape),
        )

    def _object_map(self, path: Path, rgb: Image) -> tuple[Image, Mask]:
        ids = read_label_map(path)
        if ids.shape != rgb.shape[:2]:
            raise DatasetError(f"{path}: the map is {size_of(ids)} and the image {size_of(rgb)}")
        require_ids(ids, FMB, path)
        known = ids != 255
        return np.where(known, object_table(FMB)[ids], np.uint8(255)), known


def object_table(classes: LabelSet) -> Image:
    """Return (256,) uint8: i + 1 for ids of the classes of `OBJECTS` number i, 0 for all others."""
    table = np.zeros(256, np.uint8)
    for i, group in enumerate(ABSENCE_GROUPS):
        for number, name in enumerate(classes.names):
            if common_name(name) in group:
                table[number] = i + 1
    return table


def _light(name: str, rgb: Image) -> Light:
    named = _NAMED_LIGHT.search(name)
    if named:
        return "day" if named[1] == "D" else "night"
    top = rgb[: max(1, rgb.shape[0] // 3)]
    return "night" if float(cv2.cvtColor(top, cv2.COLOR_RGB2GRAY).mean()) < _DARK else "day"


def _person_boxes(path: Path, height: int, width: int) -> tuple[tuple[slice, slice], ...]:
    boxes = []
    try:
        lines = path.read_text(encoding="utf-8").splitlines()
    except (OSError, UnicodeDecodeError) as error:
        raise DatasetError(f"{path}: {getattr(error, 'strerror', None) or 'not a text file'}") from None
    for number, line in enumerate(lines, 1):
        if not line.strip():
            continue
        try:
            kind, x, y, w, h = (float(word) for word in line.split()[:5])
        except ValueError:
            raise DatasetError(f"{path}: line {number} is no box: 'class x y width height' is needed") from None
        # files of other tools round, so a side may be a little more than the whole image
        if not (0 <= x <= 1 and 0 <= y <= 1 and 0 < w <= _WHOLE_SIDE and 0 < h <= _WHOLE_SIDE):
            shown = " ".join(line.split()[1:5])
            raise DatasetError(
                f"{path}: line {number}: '{shown}' are no shares of the image's sides: "
                "the centre's x and y and the box's width and height between 0 and 1 are needed"
            )
        if kind != _PERSON_BOX:
            continue
        top, bottom = _side(y, h, height)
        left, right = _side(x, w, width)
        boxes.append((slice(top, bottom), slice(left, right)))
    return tuple(boxes)


def _side(centre: float, size: float, pixels: int) -> tuple[int, int]:
    """First and last + 1 pixel of a box's side, at least one pixel inside the image."""
    begin = min(max(round((centre - size / 2) * pixels), 0), pixels - 1)
    return begin, max(min(round((centre + size / 2) * pixels), pixels), begin + 1)
