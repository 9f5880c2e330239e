# SPDX-License-Identifier: Apache-2.0
"""A folder of image pairs: infrared/ and visible/ with files of equal names, labels/ if there is truth, and absent/.

What absent/ holds says `segmif_ros.data.absence`.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from segmif_ros.data.absence import require_absence
from segmif_ros.data.images import (
    DatasetError,
    folders_in,
    images_by_name,
    read_grey,
    read_label_map,
    read_rgb,
    size_of,
)
from segmif_ros.paths import user_path

# Names are compared without regard to case; of several the first is taken.
INFRARED_FOLDERS = ("infrared", "ir", "thermal")
RGB_FOLDERS = ("visible", "vi", "rgb")
LABEL_FOLDERS = ("labels", "label")
ABSENCE_FOLDERS = ("absent",)


@dataclass(frozen=True, kw_only=True)
class PairFiles:
    """The files of one pair; labels and absent are None where there is no such evidence."""

    name: str
    infrared: Path
    rgb: Path
    labels: Path | None
    absent: Path | None = None


@dataclass(frozen=True, kw_only=True, eq=False)
class Pair:
    """infrared uint8 or uint16 (H, W), rgb uint8 (H, W, 3) RGB, labels and absent uint8 (H, W) or None."""

    name: str
    infrared: npt.NDArray[Any]
    rgb: npt.NDArray[np.uint8]
    labels: npt.NDArray[np.uint8] | None
    absent: npt.NDArray[np.uint8] | None = None


class PairFolder:
    """The pairs of a folder in the order of their names. Opening it looks at names only; load() reads one pair.

    Args:
        root: Holds infrared/ (or ir/, thermal/) and visible/ (or vi/, rgb/), in any case; perhaps labels/ and absent/.

    Attributes:
        files: The pairs.
        without_partner: Images left out, because the other folder has no file of that name.

    Raises:
        DatasetError: No such folder, a folder is missing, two files of one name, or no pair at all.
    """

    def __init__(self, root: Path | str) -> None:
        try:
            self.root = user_path(root)
        except OSError as error:
            raise DatasetError(f"{root}: {error.strerror}") from None
        if not self.root.is_dir():
            raise DatasetError(f"{self.root}: no such folder")
        infrared = images_by_name(self._folder(INFRARED_FOLDERS, "infrared"))
        rgb = images_by_name(self._folder(RGB_FOLDERS, "RGB"))
        label_folder = _find(self.root, LABEL_FOLDERS)
        labels = images_by_name(label_folder) if label_folder else {}
        absence_folder = _find(self.root, ABSENCE_FOLDERS)
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
            raise DatasetError(
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
        """Read pair ``index``; DatasetError for an unreadable file or sizes that differ."""
        files = self.files[index]
        infrared, rgb = self.load_images(index)
        labels, absent = self._map(files.labels, infrared, files), self._map(files.absent, infrared, files)
        if absent is not None and files.absent is not None:
            require_absence(absent, files.absent)
        return Pair(name=files.name, infrared=infrared, rgb=rgb, labels=labels, absent=absent)

    def load_images(self, index: int) -> tuple[npt.NDArray[Any], npt.NDArray[np.uint8]]:
        """Read infrared, uint8 or uint16 (H, W), and RGB, uint8 (H, W, 3); the labels are not looked at."""
        files = self.files[index]
        infrared, rgb = read_grey(files.infrared), read_rgb(files.rgb)
        self._require_same_size(infrared, files.infrared, rgb, files.rgb)
        return infrared, rgb

    def _map(self, path: Path | None, infrared: npt.NDArray[Any], files: PairFiles) -> npt.NDArray[np.uint8] | None:
        if path is None:
            return None
        found = read_label_map(path)
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
        found = _find(self.root, names)
        if found is None:
            wanted = ", ".join(f"{name}/" for name in names)
            raise DatasetError(
                f"{self.root}: no folder of {what} images (looked for {wanted}; there: {folders_in(self.root)})"
            )
        return found


def _find(root: Path, names: tuple[str, ...]) -> Path | None:
    folders = {path.name.lower(): path for path in sorted(root.iterdir(), reverse=True) if path.is_dir()}
    return next((folders[name] for name in names if name in folders), None)
