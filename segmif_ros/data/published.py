# SPDX-License-Identifier: Apache-2.0
"""Labelled infrared + RGB data sets, read from the folders that their authors publish.

  fmb     {train,test}/{Infrared,Visible,Label}/NNNNN.png
  mfnet   images/NNNNN{D,N}.png (R, G, B, thermal in one PNG), labels/, and the lists train.txt ... test_night.txt
  msrs    {train,test}/{ir,vi,Segmentation_labels}/NNNNN{D,N}.png
  pst900  {train,test}/{rgb,thermal,labels}/
  pairs   a folder of image pairs, see `segmif_ros.data.pair_folder` (RoadScene, TNO, M3FD, LLVIP)

The other layouts in which these are passed on are taken as well, see `segmif_ros.data.layouts`. Only names are looked
at when a data set is opened; images are read one by one, so that a broken one costs itself.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from segmif_ros.arrays import Array, Image
from segmif_ros.data.image_files import (
    DatasetError,
    decode,
    is_coloured,
    read_content,
    require_8_bits,
    size_of,
    to_grey,
    to_rgb,
)
from segmif_ros.data.label_files import decode_label_map
from segmif_ros.data.layouts import INFRARED_FOLDERS, Layout, child_folder, find_split, read_list, top_folders
from segmif_ros.data.pair_folder import PairFolder
from segmif_ros.labels import FMB, IGNORE_ID, MFNET, PST900, LabelSet


@dataclass(frozen=True, kw_only=True, slots=True)
class PairItem:
    """One pair on disk.

    Attributes:
        key: Its name within the data set.
        infrared: The infrared image; None if it is the fourth channel of ``rgb``.
        rgb: The RGB image.
        labels: The label map, ids as grey levels; None if there is no truth.
        lighting: "day" or "night" where the data set tells them apart, else "".
    """

    key: str
    infrared: Path | None
    rgb: Path
    labels: Path | None
    lighting: str = ""

    def files(self, *, with_labels: bool) -> list[Path]:
        """Return its files."""
        return [path for path in (self.infrared, self.rgb, self.labels if with_labels else None) if path is not None]


@dataclass(frozen=True, kw_only=True)
class PublishedDataset:
    """One split of a data set.

    Attributes:
        name: One of `dataset_names`.
        root: Its folder, with links followed.
        split: The split's name, "" where there are none.
        label_set: What the label maps' ids mean; None for `pairs` (there they are the model's own ids).
        items: The pairs, in the order of their keys.
        notes: What a reader of the figures should know.
    """

    name: str
    root: Path
    split: str
    label_set: LabelSet | None
    items: tuple[PairItem, ...]
    notes: tuple[str, ...] = ()


@dataclass(frozen=True, kw_only=True, eq=False)
class PairSample:
    """infrared uint8 (H, W), rgb uint8 (H, W, 3), labels uint8 (H, W) or None; sha256 over the files' contents.

    looks_swapped: the infrared file holds colours and the RGB file none.
    """

    infrared: Image
    rgb: Image
    labels: Image | None
    sha256: str
    looks_swapped: bool = False


@dataclass(frozen=True, kw_only=True)
class PublishedAs:
    """How a data set is laid out, what the ids in its label maps mean, and what is known about it."""

    layout: Layout
    label_set: LabelSet
    notes: tuple[str, ...] = ()


Prepare = Callable[[Array, Image], tuple[Image, Image]]

_SPLITS = ("train", "test")
# a new data set is a row here
PUBLISHED: dict[str, PublishedAs] = {
    "fmb": PublishedAs(layout=Layout(infrared="Infrared", rgb="Visible", labels="Label"), label_set=FMB),
    "msrs": PublishedAs(
        layout=Layout(infrared="ir", rgb="vi", labels="Segmentation_labels"),
        label_set=MFNET,
        notes=("MSRS: its author says that some pairs are not registered.",),
    ),
    "mfnet": PublishedAs(layout=Layout(infrared="Thermal", rgb="RGB", labels="Label"), label_set=MFNET),
    "pst900": PublishedAs(
        layout=Layout(infrared="thermal", rgb="rgb", labels="labels"),
        label_set=PST900,
        notes=(f"PST900: ids are {', '.join(f'{i} {name}' for i, name in enumerate(PST900.names))}.",),
    ),
}
PAIRS = "pairs"  # any folder of pairs, see `segmif_ros.data.pair_folder`
# MFNet's truth is known to call guardrails car_stop there.
_MFNET_DOUBTFUL = frozenset(f"{number:05d}N" for number in range(1234, 1246))


def dataset_names() -> tuple[str, ...]:
    """Return the names that `open_dataset` knows."""
    return (*PUBLISHED, PAIRS)


def open_dataset(name: str, root: Path, split: str = "", *, with_labels: bool = True) -> PublishedDataset:
    """List the pairs of one split (default: "test", and everything for `pairs`).

    Args:
        name: One of `dataset_names`.
        root: The data set's folder.
        split: The split's name.
        with_labels: Whether label maps are needed; without, folders of labels needn't be there.

    Raises:
        DatasetError: If the folder isn't laid out in a known way, or the split doesn't exist.
    """
    if name not in dataset_names():
        raise DatasetError(f"data set '{name}' is unknown: choose from {', '.join(dataset_names())}")
    if not root.is_dir():
        raise DatasetError(f"{root}: {'is a file: give a folder' if root.exists() else 'no such folder'}")
    if name == PAIRS:
        return _open_pairs(root, split, with_labels=with_labels)
    split = split or "test"
    if name == "mfnet":
        for base in top_folders(root):
            lists = any(base.glob("*.txt")) and child_folder(base, INFRARED_FOLDERS) is None
            if lists or child_folder(base, ("images",)) is not None:
                return _open_mfnet(base, split)
    return _open_split(name, PUBLISHED[name], root, split, with_labels=with_labels)


def read_pair(item: PairItem, label_set: LabelSet | None, prepare: Prepare | None = None) -> PairSample:
    """Read one pair.

    Args:
        item: Its files.
        label_set: What the ids of its label map mean, and whose colours it may have; None for any ids.
        prepare: Takes infrared (H, W), uint8, uint16 or float32, and RGB, and returns both in 8 bits and one size;
            None takes only those that are so already. The label map is of the size that comes out.

    Raises:
        DatasetError: For an unreadable file, sizes that differ, or label ids that ``label_set`` doesn't have.
        ValueError: Whatever ``prepare`` raises.
    """
    digest = hashlib.sha256()

    def content_of(path: Path) -> bytes:
        content = read_content(path)
        digest.update(content)
        return content

    colour = decode(content_of(item.rgb), item.rgb)
    path = item.infrared or item.rgb
    looks_swapped = False
    if item.infrared is not None:
        stored = decode(content_of(path), path, floats=prepare is not None)
        looks_swapped = is_coloured(stored) and not is_coloured(colour)
        infrared = to_grey(stored)
    elif colour.ndim == 3 and colour.shape[2] == 4:
        infrared = np.ascontiguousarray(colour[..., 3])
    else:
        raise DatasetError(f"{item.rgb}: not a PNG of four channels (R, G, B, thermal)")
    rgb = to_rgb(colour)
    if prepare is not None:
        infrared, rgb = prepare(infrared, rgb)
    infrared = require_8_bits(infrared, path)
    if infrared.shape != rgb.shape[:2]:
        raise DatasetError(
            f"{item.key}: infrared is {size_of(infrared)} and RGB {size_of(rgb)}: register the pair first"
        )
    labels = None
    if item.labels is not None:
        labels = decode_label_map(content_of(item.labels), item.labels, label_set)
        if labels.shape != infrared.shape:
            raise DatasetError(f"{item.key}: labels are {size_of(labels)} and the images {size_of(infrared)}")
        if label_set is not None:
            _require_ids(labels, item.labels, label_set)
    return PairSample(infrared=infrared, rgb=rgb, labels=labels, sha256=digest.hexdigest(), looks_swapped=looks_swapped)


def _require_ids(labels: Image, path: Path, label_set: LabelSet) -> None:
    present = np.flatnonzero(np.bincount(labels.ravel(), minlength=256))
    unknown = [int(i) for i in present if i >= len(label_set) and i not in (label_set.ignore_id, IGNORE_ID)]
    if unknown:
        raise DatasetError(f"{path}: ids {unknown} are not {label_set.name}'s 0..{len(label_set) - 1}")


def _open_split(name: str, published: PublishedAs, root: Path, split: str, *, with_labels: bool) -> PublishedDataset:
    try:
        found = find_split(published.layout, root, split, with_labels=with_labels)
    except DatasetError as error:
        if name == "mfnet" or split in _SPLITS:
            raise
        raise DatasetError(f"{name} has no split '{split}': choose from {', '.join(_SPLITS)} ({error})") from None
    stems = [stem for stem in found.complete() if not stem.endswith("-flip")]
    if not stems:
        folders = ", ".join(f"{folder}/" for folder in found.folders)
        raise DatasetError(f"{found.base}: no image of one name in each of {folders}")
    notes = (*published.notes, *found.left_out(), *(_mfnet_notes(found.complete(), split) if name == "mfnet" else ()))
    return PublishedDataset(
        name=name,
        root=root.resolve(),
        split=split,
        label_set=published.label_set,
        items=_items(stems, found.infrared, found.rgb, found.labels or {}, lit=name != "fmb"),
        notes=notes,
    )


def _items(
    names: Sequence[str],
    infrared: Mapping[str, Path],
    rgb: Mapping[str, Path],
    labels: Mapping[str, Path],
    *,
    lit: bool,
) -> tuple[PairItem, ...]:
    known = lit and _tell_lighting(names)
    return tuple(
        PairItem(
            key=name,
            infrared=infrared[name],
            rgb=rgb[name],
            labels=labels.get(name),
            lighting=_lighting(name) if known else "",
        )
        for name in names
    )


def _open_pairs(root: Path, split: str, *, with_labels: bool) -> PublishedDataset:
    folder = PairFolder(root, split)
    infrared = {files.name: files.infrared for files in folder.files}
    rgb = {files.name: files.rgb for files in folder.files}
    labels = {files.name: files.labels for files in folder.files if files.labels is not None}
    return PublishedDataset(
        name="pairs",
        root=root.resolve(),
        split=split,
        label_set=None,
        items=_items(list(infrared), infrared, rgb, labels if with_labels else {}, lit=True),
        notes=folder.notes(with_labels=with_labels),
    )


def _open_mfnet(root: Path, split: str) -> PublishedDataset:
    listing = root / f"{split}.txt"
    if not listing.is_file():
        there = ", ".join(sorted(path.stem for path in root.glob("*.txt"))) or "no list at all"
        raise DatasetError(f"{root}: no {split}.txt (MFNet keeps its split lists at the root; there is {there})")
    stems = read_list(listing)
    original = sorted({stem for stem in stems if not stem.endswith("-flip")})
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
    return PublishedDataset(
        name="mfnet", root=root.resolve(), split=split, label_set=MFNET, items=items, notes=_mfnet_notes(stems, split)
    )


def _mfnet_notes(stems: Sequence[str], split: str) -> tuple[str, ...]:
    notes = []
    if flipped := len([stem for stem in stems if stem.endswith("-flip")]):
        notes.append(f"{flipped} mirrored copies ('-flip') in {split}.txt were left out.")
    if doubtful := sorted(_MFNET_DOUBTFUL.intersection(stems)):
        notes.append(
            f"MFNet: the truth of {len(doubtful)} frames ({doubtful[0]} to {doubtful[-1]}) is known to call guardrails "
            "car_stop."
        )
    return tuple(notes)


def _tell_lighting(stems: Sequence[str]) -> bool:
    """Whether the names say day or night, as MFNet's and MSRS's do: a number, and D or N."""
    return all(re.search(r"\d[DN]$", stem) for stem in stems)


def _lighting(stem: str) -> str:
    return {"D": "day", "N": "night"}.get(stem[-1:], "")
