# SPDX-License-Identifier: Apache-2.0
"""A folder of image pairs: infrared/ and visible/ with files of equal names, labels/ if there is truth, and absent/.

`segmif_ros.data.absence` describes what absent/ holds.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from segmif_ros.data.absence import require_absence
from segmif_ros.data.image_files import (
    DatasetError,
    folders_in,
    images_by_name,
    read_grey,
    read_rgb,
    size_of,
)
from segmif_ros.data.label_files import read_label_map
from segmif_ros.data.layouts import INFRARED_FOLDERS, RGB_FOLDERS, child_folder, left_out, read_list
from segmif_ros.labels import LabelSet
from segmif_ros.paths import user_path

_ABSENCE_FOLDERS = ("absent",)
_LABEL_FOLDERS = ("labels", "label")
_LISTS = ("train", "val", "test", "train_val", "trainval")
# Folders that look as if they held label maps, and aren't read as such.
_LIKE_LABELS = re.compile(r"label|mask|annot|truth|^gt$|^seg", re.IGNORECASE)


@dataclass(frozen=True, kw_only=True)
class PairFiles:
    """The files of one pair; labels and absent are None where there is no such evidence."""

    name: str
    infrared: Path
    rgb: Path
    labels: Path | None
    absent: Path | None = None


@dataclass(frozen=True, kw_only=True, eq=False)
class FolderPair:
    """infrared uint8 or uint16 (H, W), rgb uint8 (H, W, 3) RGB, labels and absent uint8 (H, W) or None."""

    name: str
    infrared: npt.NDArray[Any]
    rgb: npt.NDArray[np.uint8]
    labels: npt.NDArray[np.uint8] | None
    absent: npt.NDArray[np.uint8] | None = None


class PairFolder:
    """The pairs of a folder in the order of their names. Opening it looks at names only; load() reads one pair.

    Args:
        root: Holds infrared/ (or ir/, thermal/, lwir/, tir/) and visible/ (or vi/, vis/, rgb/), in any case, and
            perhaps labels/ (or label/) and absent/.
        split: A subfolder of each of them, or a list SPLIT.txt of names beside them; empty for none.

    Attributes:
        files: The pairs.
        without_partner: Images left out, because the other folder has no file of that name.

    Raises:
        DatasetError: No such folder, a folder is missing, two files of one name, or no pair at all.
    """

    def __init__(self, root: Path | str, split: str = "") -> None:
        try:
            self.root = user_path(root)
        except OSError as error:
            raise DatasetError(f"{root}: {error.strerror}") from None
        if not self.root.is_dir():
            raise DatasetError(f"{self.root}: no such folder")
        infrared_folder = self._folder(INFRARED_FOLDERS, "infrared")
        rgb_folder = self._folder(RGB_FOLDERS, "RGB")
        self._label_folder = child_folder(self.root, _LABEL_FOLDERS)
        listing = self.root / f"{split}.txt"
        listed = set(read_list(listing)) if split and listing.is_file() else None
        # lists that nobody asked for: all their pairs are taken together
        self._unread_lists = () if split else tuple(each for each in _LISTS if (self.root / f"{each}.txt").is_file())

        def images(folder: Path) -> dict[str, Path]:
            if listed is None:
                return images_by_name(_split(folder, split))
            return {name: path for name, path in images_by_name(folder).items() if name in listed}

        infrared, rgb = images(infrared_folder), images(rgb_folder)
        self._labels = images(self._label_folder) if self._label_folder else {}
        labels = self._labels
        self._folders = (infrared_folder.name, rgb_folder.name)
        absence_folder = child_folder(self.root, _ABSENCE_FOLDERS)
        absent = images_by_name(absence_folder) if absence_folder else {}
        self.files = tuple(
            PairFiles(
                name=name, infrared=infrared[name], rgb=rgb[name], labels=labels.get(name), absent=absent.get(name)
            )
            for name in sorted(infrared.keys() & rgb.keys())
        )
        alone = sorted(infrared.keys() ^ rgb.keys())
        self.without_partner = tuple(infrared.get(name) or rgb[name] for name in alone)
        if not self.files:
            shown = " and ".join(repr(min(names)) for names in (infrared, rgb) if names)
            inner = sorted({path.name for folder in (infrared_folder, rgb_folder) for path in _subfolders(folder)})
            advice = f"; there are subfolders, so give one as split: {', '.join(inner[:5])}" if inner else ""
            raise DatasetError(
                f"{self.root}: no pairs: {len(infrared)} infrared and {len(rgb)} RGB images, none of one name"
                + (f" ({shown}, for example)" if shown else "")
                + advice
            )

    def __len__(self) -> int:
        return len(self.files)

    def summary(self) -> str:
        """One line: how many pairs, and which files were left out."""
        line = f"{self.root}: {len(self)} pairs"
        if self.without_partner:
            shown = ", ".join(path.name for path in self.without_partner[:3])
            more = ", ..." if len(self.without_partner) > 3 else ""
            line += f"; {len(self.without_partner)} files without a partner left out ({shown}{more})"
        return line

    def notes(self, *, with_labels: bool = True) -> tuple[str, ...]:
        """Return lines about what is left out: images without partner, label files without pair."""
        notes = left_out((path.stem for path in self.without_partner), self._folders)
        if self._unread_lists:
            names = " and ".join(f"{name}.txt" for name in self._unread_lists)
            first = self._unread_lists[0]
            notes += (f"{names} not followed: all pairs are taken (--split {first} takes those of one).",)

        if not with_labels:
            return notes
        if self._label_folder is None:
            like = [path.name for path in _subfolders(self.root) if _LIKE_LABELS.search(path.name)]
            if like:
                notes += (f"{like[0]}/ isn't read: the label maps of pairs are looked for in labels/ or label/.",)
            return notes
        labelled = sum(files.labels is not None for files in self.files)
        name = self._label_folder.name
        if labelled < len(self._labels):
            alone = min(self._labels.keys() - {files.name for files in self.files})
            line = f"{name}/: {labelled} of {len(self._labels)} files belong to a pair"
            notes += (f"{line} ({self._labels[alone].name} doesn't: names must be those of the images).",)
        if labelled < len(self.files):
            notes += (f"{len(self.files) - labelled} of {len(self.files)} pairs have no label map in {name}/.",)
        return notes

    def load(self, index: int, label_set: LabelSet | None = None) -> FolderPair:
        """Read pair ``index``; labels may be in the colours of ``label_set``.

        Raises:
            DatasetError: For an unreadable file, a label file without ids, or sizes that differ.
        """
        files = self.files[index]
        infrared, rgb = self.load_images(index)
        labels = self._map(files.labels, label_set, infrared, files)
        absent = self._map(files.absent, None, infrared, files)
        if absent is not None and files.absent is not None:
            require_absence(absent, files.absent)
        return FolderPair(name=files.name, infrared=infrared, rgb=rgb, labels=labels, absent=absent)

    def load_images(self, index: int) -> tuple[npt.NDArray[Any], npt.NDArray[np.uint8]]:
        """Read infrared, uint8 or uint16 (H, W), and RGB, uint8 (H, W, 3); the labels are not looked at."""
        files = self.files[index]
        infrared, rgb = read_grey(files.infrared), read_rgb(files.rgb)
        self._require_same_size(infrared, files.infrared, rgb, files.rgb)
        return infrared, rgb

    def _map(
        self, path: Path | None, label_set: LabelSet | None, infrared: npt.NDArray[Any], files: PairFiles
    ) -> npt.NDArray[np.uint8] | None:
        if path is None:
            return None
        found = read_label_map(path, label_set)
        self._require_same_size(infrared, files.infrared, found, path)
        return found

    @staticmethod
    def _require_same_size(infrared: npt.NDArray[Any], path: Path, other: npt.NDArray[Any], other_path: Path) -> None:
        if other.shape[:2] != infrared.shape:
            raise DatasetError(
                f"{other_path}: {size_of(other)}, but {path.name} of {path.parent.name}/ has {size_of(infrared)}: "
                "register the pair first"
            )

    def _folder(self, names: tuple[str, ...], what: str) -> Path:
        found = child_folder(self.root, names)
        if found is None:
            wanted = ", ".join(f"{name}/" for name in names)
            raise DatasetError(
                f"{self.root}: no folder of {what} images (looked for {wanted}; there: {folders_in(self.root)})"
            )
        return found


def _split(folder: Path, split: str) -> Path:
    if not split:
        return folder
    inner = child_folder(folder, (split,))
    if inner is None:
        raise DatasetError(f"{folder}: no split '{split}' (folders there: {folders_in(folder)})")
    return inner


def _subfolders(folder: Path) -> list[Path]:
    return sorted(path for path in folder.iterdir() if path.is_dir() and not path.name.startswith("."))
