# SPDX-License-Identifier: Apache-2.0
"""Labelled infrared + RGB data sets, read from the folders that their authors publish.

  fmb     {train,test}/{Infrared,Visible,Label}/NNNNN.png
  mfnet   images/NNNNN{D,N}.png (R, G, B, thermal in one PNG), labels/, and the lists train.txt ... test_night.txt
  msrs    {train,test}/{ir,vi,Segmentation_labels}/NNNNN{D,N}.png
  pst900  {train,test}/{rgb,thermal,labels}/
  pairs   {infrared,visible} and, if there is truth, labels: image pairs of one name each (RoadScene, TNO)

Only names are looked at when a data set is opened; images are read one by one, so that a broken one costs itself.
"""

from __future__ import annotations

import hashlib
import re
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import numpy.typing as npt

from segmif_ros.data.camvid import DatasetError
from segmif_ros.labels import FMB, MFNET, LabelSet

Image = npt.NDArray[np.uint8]

IMAGE_SUFFIXES = (".png", ".jpg", ".jpeg", ".bmp", ".tif", ".tiff")
# The order of ids and the colours of the data set's own paper; another public loader orders the classes differently.
PST900 = LabelSet(
    name="pst900",
    names=("background", "fire_extinguisher", "backpack", "hand_drill", "survivor"),
    palette=np.array([(0, 0, 0), (0, 0, 255), (0, 255, 0), (255, 0, 0), (255, 255, 255)], np.uint8),
)


@dataclass(frozen=True, kw_only=True, slots=True)
class PairItem:
    """One pair on disk.

    Attributes:
        key: Its name within the data set.
        infrared: The infrared image; None if it is the fourth channel of ``rgb``.
        rgb: The RGB image.
        labels: The label map, ids as grey levels; None if there is no truth.
        lighting: "day" or "night" where the data set says so, else "".
    """

    key: str
    infrared: Path | None
    rgb: Path
    labels: Path | None
    lighting: str = ""


@dataclass(frozen=True, kw_only=True)
class PublishedDataset:
    """One split of a data set.

    Attributes:
        name: "fmb", "mfnet", "msrs", "pst900" or "pairs".
        split: The split's name, "" where there are none.
        label_set: What the label maps' ids mean; None for `pairs` (there they are the model's own ids).
        items: The pairs, in the order of their keys.
        notes: What a reader of the figures should know.
    """

    name: str
    split: str
    label_set: LabelSet | None
    items: tuple[PairItem, ...]
    notes: tuple[str, ...] = ()


@dataclass(frozen=True, kw_only=True, eq=False)
class PairSample:
    """infrared uint8 (H, W), rgb uint8 (H, W, 3), labels uint8 (H, W) or None; sha256 over the files' contents."""

    infrared: Image
    rgb: Image
    labels: Image | None
    sha256: str


@dataclass(frozen=True, kw_only=True)
class _Layout:
    infrared: tuple[str, ...]
    rgb: tuple[str, ...]
    labels: tuple[str, ...]
    splits: tuple[str, ...] = ("train", "test")
    label_set: LabelSet | None = None
    labels_needed: bool = True
    notes: tuple[str, ...] = field(default=())


_FOLDERS = {
    "fmb": _Layout(infrared=("Infrared",), rgb=("Visible",), labels=("Label",), label_set=FMB),
    "msrs": _Layout(
        infrared=("ir",),
        rgb=("vi",),
        labels=("Segmentation_labels",),
        label_set=MFNET,
        notes=("MSRS: its author says that some pairs are not registered.",),
    ),
    "pst900": _Layout(
        infrared=("thermal",),
        rgb=("rgb",),
        labels=("labels",),
        label_set=PST900,
        notes=(f"PST900: ids are {', '.join(f'{i} {name}' for i, name in enumerate(PST900.names))}.",),
    ),
    "pairs": _Layout(
        infrared=("infrared", "ir", "thermal", "Infrared"),
        rgb=("visible", "rgb", "vi", "Visible"),
        labels=("labels", "Label", "label"),
        splits=("",),
        labels_needed=False,
    ),
}
DATASETS = ("fmb", "mfnet", "msrs", "pst900", "pairs")
# MFNet's truth is known to call guardrails car_stop there.
_MFNET_DOUBTFUL = frozenset(f"{number:05d}N" for number in range(1234, 1246))


def open_dataset(name: str, root: Path, split: str = "") -> PublishedDataset:
    """List the pairs of one split (default: "test", and everything for `pairs`).

    Raises DatasetError if the folder isn't laid out as its authors publish it, or the split doesn't exist.
    """
    if name not in DATASETS:
        raise DatasetError(f"data set '{name}' is unknown: choose from {', '.join(DATASETS)}")
    if not root.is_dir():
        raise DatasetError(f"{root}: no such folder")
    if name == "mfnet":
        return _open_mfnet(root, split or "test")
    layout = _FOLDERS[name]
    split = split or layout.splits[-1]
    if split not in layout.splits:
        raise DatasetError(f"{name} has no split '{split}': choose from {', '.join(filter(None, layout.splits))}")
    return _open_folders(name, layout, root, split)


def read_pair(item: PairItem, label_set: LabelSet | None) -> PairSample:
    """Read one pair.

    Raises DatasetError for an unreadable file, sizes that differ, or label ids that ``label_set`` doesn't have.
    """
    digest = hashlib.sha256()
    colour = _decode(item.rgb, digest)
    if item.infrared is None:
        if colour.ndim != 3 or colour.shape[2] != 4:
            raise DatasetError(f"{item.rgb}: not a PNG of four channels (R, G, B, thermal)")
        infrared = np.ascontiguousarray(colour[..., 3])
    else:
        infrared = _grey(_decode(item.infrared, digest), item.infrared)
    rgb = _rgb(colour, item.rgb)
    if infrared.shape != rgb.shape[:2]:
        raise DatasetError(f"{item.key}: infrared is {_size(infrared)} and RGB {_size(rgb)}: register the pair first")
    labels = None
    if item.labels is not None:
        labels = _decode(item.labels, digest)
        if labels.ndim != 2 or labels.dtype != np.uint8:
            raise DatasetError(f"{item.labels}: not a map of ids (one channel, 8 bit): is it the coloured version?")
        if labels.shape != infrared.shape:
            raise DatasetError(f"{item.key}: labels are {_size(labels)} and the images {_size(infrared)}")
        if label_set is not None:
            present = np.flatnonzero(np.bincount(labels.ravel(), minlength=256))
            unknown = [int(i) for i in present if i >= len(label_set) and i != label_set.ignore_id]
            if unknown:
                raise DatasetError(f"{item.labels}: ids {unknown} are not {label_set.name}'s 0..{len(label_set) - 1}")
    return PairSample(infrared=infrared, rgb=rgb, labels=labels, sha256=digest.hexdigest())


def _open_folders(name: str, layout: _Layout, root: Path, split: str) -> PublishedDataset:
    base = root / split if split else root
    infrared = _images(_folder(base, layout.infrared, "infrared"))
    rgb = _images(_folder(base, layout.rgb, "RGB"))
    labels: dict[str, Path] = {}
    if layout.labels_needed or any((base / each).is_dir() for each in layout.labels):
        labels = _images(_folder(base, layout.labels, "label"))
    stems = sorted(infrared.keys() & rgb.keys())
    complete = [stem for stem in stems if stem in labels] if layout.labels_needed else stems
    if not complete:
        raise DatasetError(f"{base}: no pair of images with one name in {layout.infrared[0]} and {layout.rgb[0]}")
    notes = list(layout.notes)
    alone = len(infrared.keys() | rgb.keys()) - len(complete)
    if alone:
        notes.append(f"{alone} images without a counterpart of the same name were left out.")
    told = all(re.search(r"\d[DN]$", stem) for stem in complete) and name != "fmb"
    items = tuple(
        PairItem(
            key=stem,
            infrared=infrared[stem],
            rgb=rgb[stem],
            labels=labels.get(stem),
            lighting=_lighting(stem) if told else "",
        )
        for stem in complete
    )
    return PublishedDataset(name=name, split=split, label_set=layout.label_set, items=items, notes=tuple(notes))


def _open_mfnet(root: Path, split: str) -> PublishedDataset:
    listing = root / f"{split}.txt"
    if not listing.is_file():
        there = ", ".join(sorted(path.stem for path in root.glob("*.txt"))) or "no list at all"
        raise DatasetError(f"{root}: no {split}.txt (MFNet keeps its split lists at the root; there is {there})")
    stems = [line.strip() for line in listing.read_text(encoding="utf-8").splitlines() if line.strip()]
    original = sorted({stem for stem in stems if not stem.endswith("-flip")})
    notes = []
    if flipped := len([stem for stem in stems if stem.endswith("-flip")]):
        notes.append(f"{flipped} mirrored copies ('-flip') in {split}.txt were left out.")
    if doubtful := sorted(_MFNET_DOUBTFUL.intersection(original)):
        notes.append(
            f"MFNet: the truth of {len(doubtful)} frames ({doubtful[0]} to {doubtful[-1]}) is known to call guardrails "
            "car_stop."
        )
    if not original:
        raise DatasetError(f"{listing}: the list names no image")
    items = tuple(
        PairItem(
            key=stem,
            infrared=None,
            rgb=root / "images" / f"{stem}.png",
            labels=root / "labels" / f"{stem}.png",
            lighting=_lighting(stem),
        )
        for stem in original
    )
    return PublishedDataset(name="mfnet", split=split, label_set=MFNET, items=items, notes=tuple(notes))


def _lighting(stem: str) -> str:
    return {"D": "day", "N": "night"}.get(stem[-1:], "")


def _folder(base: Path, names: tuple[str, ...], what: str) -> Path:
    for name in names:
        if (base / name).is_dir():
            return base / name
    if not base.is_dir():
        raise DatasetError(f"{base}: no such folder")
    there = ", ".join(sorted(path.name for path in base.iterdir() if path.is_dir())) or "none"
    raise DatasetError(f"{base}: no folder {' or '.join(names)} with the {what} images (folders there: {there})")


def _images(folder: Path) -> dict[str, Path]:
    return {path.stem: path for path in sorted(folder.iterdir()) if path.suffix.lower() in IMAGE_SUFFIXES}


def _decode(path: Path, digest: hashlib._Hash) -> npt.NDArray[Any]:
    """Read and decode one file in OpenCV's channel order, adding its bytes to ``digest``."""
    try:
        content = path.read_bytes()
    except OSError as error:
        raise DatasetError(f"{path}: {error.strerror or error}") from None
    digest.update(content)
    image = cv2.imdecode(np.frombuffer(content, np.uint8), cv2.IMREAD_UNCHANGED) if content else None
    if image is None or image.dtype not in (np.uint8, np.uint16):
        raise DatasetError(f"{path}: not a readable image")
    return image


def _grey(image: npt.NDArray[Any], path: Path) -> Image:
    if image.dtype != np.uint8:
        raise DatasetError(f"{path}: {image.dtype.itemsize * 8} bits a pixel; 8-bit infrared is needed")
    if image.ndim == 2:
        return image
    return np.asarray(cv2.cvtColor(image[..., :3], cv2.COLOR_BGR2GRAY), np.uint8)


def _rgb(image: npt.NDArray[Any], path: Path) -> Image:
    if image.dtype != np.uint8:
        raise DatasetError(f"{path}: {image.dtype.itemsize * 8} bits a channel; 8-bit RGB is needed")
    if image.ndim == 2:
        return np.repeat(image[..., None], 3, axis=2)
    return np.ascontiguousarray(image[..., 2::-1])


def _size(image: npt.NDArray[Any]) -> str:
    return f"{image.shape[1]}x{image.shape[0]}"
