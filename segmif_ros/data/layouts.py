# SPDX-License-Identifier: Apache-2.0
"""Where the images of a split lie: the layouts in which people have published data sets.

  SPLIT/{Infrared,Visible,Label}/                    as most authors publish
  {Infrared,Visible,Label}/SPLIT/ or .../SPLIT/X/    sorted by kind of image (SeAFusion's MSRS)
  {RGB,Thermal,Label}/ and SPLIT.txt                 flat with lists (CMX's MFNet, StitchFusion's FMB)

Each may lie in one folder more, as archives unpack. Names of folders are compared without regard to case.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path

from segmif_ros.data.image_files import IMAGE_SUFFIXES, DatasetError, folders_in, images_by_name

# of several the first that is there is taken
INFRARED_FOLDERS = ("infrared", "ir", "thermal", "lwir", "tir")
RGB_FOLDERS = ("visible", "vi", "rgb", "vis")
LABEL_FOLDERS = ("labels", "label", "segmentation_labels")
_SHOWN = 3


@dataclass(frozen=True, kw_only=True)
class Layout:
    """The names that a data set's authors gave to its folders."""

    infrared: str
    rgb: str
    labels: str


@dataclass(frozen=True, kw_only=True)
class FoundSplit:
    """The images of a split by name.

    Attributes:
        base: The folder that the image folders lie in.
        infrared: Infrared images.
        rgb: RGB images.
        labels: Label maps; None where they aren't wanted.
        folders: The names of the folders, for messages.
        listed: The names in the split's list; None where there is no list.
    """

    base: Path
    infrared: dict[str, Path]
    rgb: dict[str, Path]
    labels: dict[str, Path] | None
    folders: tuple[str, ...]
    listed: tuple[str, ...] | None = None

    def complete(self) -> list[str]:
        """Return the names of which all images are there, in order."""
        names = self.infrared.keys() & self.rgb.keys()
        names = names if self.labels is None else names & self.labels.keys()
        return sorted(names if self.listed is None else names & set(self.listed))

    def left_out(self) -> tuple[str, ...]:
        """Return a line about the images that aren't complete; none if all are."""
        every = self.infrared.keys() | self.rgb.keys() if self.listed is None else set(self.listed)
        return left_out(every - set(self.complete()), self.folders)


def left_out(names: Iterable[str], folders: Iterable[str]) -> tuple[str, ...]:
    """Return a line about images that are left out; none if there are none."""
    lost = sorted(names)
    if not lost:
        return ()
    shown = ", ".join(lost[:_SHOWN]) + (", ..." if len(lost) > _SHOWN else "")
    within = ", ".join(f"{name}/" for name in folders)
    return (f"{len(lost)} images without a counterpart of the same name in each of {within} were left out ({shown}).",)


def child_folder(base: Path, names: Iterable[str]) -> Path | None:
    """Return the subfolder of the first of these names (in any case) that is there."""
    folders = {path.name.lower(): path for path in sorted(base.iterdir(), reverse=True) if path.is_dir()}
    return next((folders[name.lower()] for name in names if name.lower() in folders), None)


def find_split(layout: Layout, root: Path, split: str, *, with_labels: bool) -> FoundSplit:
    """Find a split's images in any of the layouts.

    Args:
        layout: The authors' names of the folders; the usual others are taken, too.
        root: The data set's folder.
        split: Its name.
        with_labels: Whether label maps are needed.

    Raises:
        DatasetError: If nothing is laid out in a known way; states what is there and what would do.
    """
    for base in top_folders(root):
        for wanted in (with_labels, False) if with_labels else (False,):
            found = _in_split(layout, base, split, wanted) or _by_kind(layout, base, split, wanted)
            if found is None:
                continue
            if with_labels and not wanted:
                lacking = next(_kinds(layout, with_labels=True, only="label"))
                raise DatasetError(
                    f"{found.base}: no folder {lacking[1][0]} with the label maps (folders there: "
                    f"{folders_in(found.base)}): --fusion-only does without"
                )
            return found
    raise _nothing_found(layout, root, split, with_labels=with_labels)


def read_list(path: Path) -> tuple[str, ...]:
    """Return the image names in a list: one a line, without folders and suffixes, each once.

    Raises:
        DatasetError: If the file can't be read as text.
    """
    try:
        lines = path.read_text(encoding="utf-8-sig").splitlines()
    except (OSError, UnicodeDecodeError) as error:
        raise DatasetError(f"{path}: {getattr(error, 'strerror', None) or 'not a text file'}") from None
    return tuple(dict.fromkeys(_stem(line) for line in lines if line.strip()))


def _stem(line: str) -> str:
    # some lists name the RGB image, the thermal one and the label map, all in one line
    entry = line.strip() if "\t" not in line.strip() else line.strip().split("\t")[0].strip()
    words = entry.split()
    if len(words) > 1 and all(word.lower().endswith(IMAGE_SUFFIXES) or "/" in word for word in words):
        entry = words[0]
    name = entry.replace("\\", "/").rsplit("/", 1)[-1]
    return name.rsplit(".", 1)[0] if name.lower().endswith(IMAGE_SUFFIXES) else name


def top_folders(root: Path) -> Iterator[Path]:
    """Yield a folder, and the one in it that archives unpack to where it is the only one."""
    yield root
    folders = [path for path in sorted(root.iterdir()) if path.is_dir() and not path.name.startswith((".", "__"))]
    if len(folders) == 1:
        yield folders[0]


def _kinds(layout: Layout, *, with_labels: bool, only: str = "") -> Iterator[tuple[str, tuple[str, ...]]]:
    for kind, names in (
        ("infrared", (layout.infrared, *INFRARED_FOLDERS)),
        ("RGB", (layout.rgb, *RGB_FOLDERS)),
        ("label", (layout.labels, *LABEL_FOLDERS)),
    ):
        if (kind != "label" or with_labels) and only in ("", kind):
            yield kind, names


def _folders(layout: Layout, base: Path, *, with_labels: bool) -> list[Path] | None:
    found = [child_folder(base, names) for _, names in _kinds(layout, with_labels=with_labels)]
    folders = [path for path in found if path is not None]
    return folders if len(folders) == len(found) else None


def _in_split(layout: Layout, base: Path, split: str, with_labels: bool) -> FoundSplit | None:
    inner = child_folder(base, (split,))
    folders = _folders(layout, inner, with_labels=with_labels) if inner else None
    return _found(inner, folders, folders) if inner and folders else None


def _by_kind(layout: Layout, base: Path, split: str, with_labels: bool) -> FoundSplit | None:
    folders = _folders(layout, base, with_labels=with_labels)
    if folders is None:
        return None
    parts = [child_folder(folder, (split,)) for folder in folders]
    splits = [_with_images(part) for part in parts if part is not None]
    if len(splits) == len(folders):
        return _found(base, folders, splits)
    listing = base / f"{split}.txt"
    return _found(base, folders, folders, read_list(listing)) if listing.is_file() else None


def _with_images(folder: Path) -> Path:
    """Return the folder, or the only one in it where it holds no image itself."""
    inner = [path for path in folder.iterdir() if path.is_dir()]
    return inner[0] if len(inner) == 1 and not images_by_name(folder) else folder


def _found(base: Path, named: list[Path], folders: list[Path], listed: tuple[str, ...] | None = None) -> FoundSplit:
    images = [images_by_name(folder) for folder in folders]
    return FoundSplit(
        base=base,
        infrared=images[0],
        rgb=images[1],
        labels=images[2] if len(images) > 2 else None,
        folders=tuple(folder.name for folder in named),
        listed=listed,
    )


def _nothing_found(layout: Layout, root: Path, split: str, *, with_labels: bool) -> DatasetError:
    kinds = list(_kinds(layout, with_labels=with_labels))
    inner = child_folder(root, (split,))
    if inner is not None:
        lacking = next((kind, names[0]) for kind, names in kinds if child_folder(inner, names) is None)
        return DatasetError(
            f"{inner}: no folder {lacking[1]} with the {lacking[0]} images (folders there: {folders_in(inner)})"
        )
    names = ",".join(names[0] for _, names in kinds)
    lists = sorted(path.stem for path in root.glob("*.txt"))
    there = folders_in(root) + (f"; lists: {', '.join(lists)}" if lists else "")
    return DatasetError(
        f"{root}: no split '{split}': looked for {split}/{{{names}}}/, {{{names}}}/{split}/, and {{{names}}}/ with "
        f"{split}.txt (folders there: {there})"
    )
