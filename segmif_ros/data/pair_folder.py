# SPDX-License-Identifier: Apache-2.0
"""A folder of image pairs: infrared/ and visible/ with files of equal names, and labels/ if there is truth."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import numpy.typing as npt

from segmif_ros.data.camvid import DatasetError
from segmif_ros.data.published import IMAGE_SUFFIXES

# Names are compared without regard to case; of several the first is taken.
INFRARED_FOLDERS = ("infrared", "ir", "thermal")
RGB_FOLDERS = ("visible", "vi", "rgb")
LABEL_FOLDERS = ("labels", "label")


class PairFolderError(DatasetError):
    """A folder or a file of it that can't be used; one line that says which and why."""


@dataclass(frozen=True, kw_only=True)
class PairFiles:
    """The files of one pair; labels is None where there is no truth."""

    name: str
    infrared: Path
    rgb: Path
    labels: Path | None


@dataclass(frozen=True, kw_only=True, eq=False)
class Pair:
    """infrared uint8 or uint16 (H, W), rgb uint8 (H, W, 3) RGB, labels uint8 (H, W) ids or None."""

    name: str
    infrared: npt.NDArray[Any]
    rgb: npt.NDArray[np.uint8]
    labels: npt.NDArray[np.uint8] | None


class PairFolder:
    """The pairs of a folder in the order of their names. Opening it looks at names only; load() reads one pair.

    Args:
        root: Holds infrared/ (or ir/, thermal/) and visible/ (or vi/, rgb/), in any case, and perhaps labels/.

    Attributes:
        files: The pairs.
        without_partner: Images left out, because the other folder has no file of that name.

    Raises:
        PairFolderError: No such folder, a folder is missing, two files of one name, or no pair at all.
    """

    def __init__(self, root: Path | str) -> None:
        self.root = Path(root).expanduser()
        if not self.root.is_dir():
            raise PairFolderError(f"{self.root}: no such folder")
        infrared = _images(self._folder(INFRARED_FOLDERS, "infrared"))
        rgb = _images(self._folder(RGB_FOLDERS, "RGB"))
        label_folder = _find(self.root, LABEL_FOLDERS)
        labels = _images(label_folder) if label_folder else {}
        self.files = tuple(
            PairFiles(name=name, infrared=infrared[name], rgb=rgb[name], labels=labels.get(name))
            for name in sorted(infrared.keys() & rgb.keys())
        )
        alone = sorted(infrared.keys() ^ rgb.keys())
        self.without_partner = tuple(infrared.get(name) or rgb[name] for name in alone)
        if not self.files:
            raise PairFolderError(
                f"{self.root}: no pairs: {len(infrared)} infrared and {len(rgb)} RGB images, none of one name"
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

    def load(self, index: int) -> Pair:
        """Read pair ``index``; PairFolderError for an unreadable file or sizes that differ."""
        files = self.files[index]
        infrared, rgb = _infrared(files.infrared), _rgb(files.rgb)
        labels = None if files.labels is None else _labels(files.labels)
        for image, path in ((rgb, files.rgb), (labels, files.labels)):
            if image is not None and image.shape[:2] != infrared.shape:
                raise PairFolderError(
                    f"{path}: {_size(image)}, but {files.infrared.name} of {files.infrared.parent.name}/ has "
                    f"{_size(infrared)}: register the pair first"
                )
        return Pair(name=files.name, infrared=infrared, rgb=rgb, labels=labels)

    def _folder(self, names: tuple[str, ...], what: str) -> Path:
        found = _find(self.root, names)
        if found is None:
            there = ", ".join(sorted(path.name for path in self.root.iterdir() if path.is_dir())) or "none"
            wanted = ", ".join(f"{name}/" for name in names)
            raise PairFolderError(f"{self.root}: no folder of {what} images (looked for {wanted}; there: {there})")
        return found


def _find(root: Path, names: tuple[str, ...]) -> Path | None:
    folders = {path.name.lower(): path for path in sorted(root.iterdir(), reverse=True) if path.is_dir()}
    return next((folders[name] for name in names if name in folders), None)


def _images(folder: Path) -> dict[str, Path]:
    found: dict[str, Path] = {}
    for path in sorted(folder.iterdir()):
        if path.suffix.lower() in IMAGE_SUFFIXES and not path.name.startswith("."):
            if path.stem in found:
                raise PairFolderError(f"{folder}: {found[path.stem].name} and {path.name}: which one is meant?")
            found[path.stem] = path
    return found


def _read(path: Path, flags: int) -> npt.NDArray[Any]:
    try:
        content = np.fromfile(path, np.uint8)
    except OSError as error:
        raise PairFolderError(f"{path}: {error.strerror or error}") from None
    image = cv2.imdecode(content, flags) if content.size else None
    if image is None:
        raise PairFolderError(f"{path}: not a readable image")
    return image


def _infrared(path: Path) -> npt.NDArray[Any]:
    image = _read(path, cv2.IMREAD_UNCHANGED)
    if image.dtype not in (np.uint8, np.uint16):
        raise PairFolderError(f"{path}: {image.dtype} values; infrared of 8 or 16 bits is needed")
    if image.ndim == 3:  # grey or pseudo-colour saved in three channels
        image = cv2.cvtColor(np.ascontiguousarray(image[..., :3]), cv2.COLOR_BGR2GRAY)
    return image


def _rgb(path: Path) -> npt.NDArray[np.uint8]:
    # An orientation tag is left alone: the infrared image has none, and the two are registered as stored.
    image = _read(path, cv2.IMREAD_COLOR | cv2.IMREAD_IGNORE_ORIENTATION)
    return np.asarray(cv2.cvtColor(image, cv2.COLOR_BGR2RGB), np.uint8)


def _labels(path: Path) -> npt.NDArray[np.uint8]:
    image = _read(path, cv2.IMREAD_UNCHANGED)
    if image.ndim != 2 or image.dtype != np.uint8:
        raise PairFolderError(f"{path}: not a map of ids (one channel, 8 bit): is it the coloured version?")
    return np.asarray(image, np.uint8)


def _size(image: npt.NDArray[Any]) -> str:
    return f"{image.shape[1]}x{image.shape[0]}"
