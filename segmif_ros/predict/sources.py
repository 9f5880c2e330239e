# SPDX-License-Identifier: Apache-2.0
"""Where `segmif predict` takes pairs from: two image files, a folder of pairs, or two videos."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np

from segmif_ros.arrays import Array
from segmif_ros.data.image_files import IMAGE_SUFFIXES, DatasetError, read_grey, read_rgb
from segmif_ros.data.pair_folder import PairFolder

VIDEO_SUFFIXES = (".mp4", ".avi", ".mkv", ".mov", ".webm", ".m4v", ".mpg", ".mpeg")


@dataclass(frozen=True, kw_only=True)
class Item:
    """One pair.

    Attributes:
        name: Of the files that are made of it.
        load: Returns infrared (H, W) and RGB (H, W, 3) as they are stored; DatasetError if it can't.
        stamp_s: When it was taken, in a video.
    """

    name: str
    load: Callable[[], tuple[Array, Array]]
    stamp_s: float | None = None


@dataclass(frozen=True, kw_only=True)
class PictureSource:
    """Pairs in their order.

    Attributes:
        kind: "pair", "folder" or "videos".
        where: What was given.
        count: How many pairs there are about; None where that isn't known.
        items: Returns them, each to be loaded before the next is taken.
        notes: Lines about what is left out.
        rate_hz: Of videos; 0 for none.
    """

    kind: str
    where: tuple[str, ...]
    count: int | None
    items: Callable[[], Iterator[Item]]
    notes: tuple[str, ...] = ()
    rate_hz: float = 0.0


def open_source(first: Path, second: Path | None) -> PictureSource:
    """Return the pairs of one folder, of two image files, or of two videos, infrared first.

    Args:
        first: A folder with infrared/ and visible/, or the infrared image or video.
        second: The RGB image or video; None for a folder.

    Raises:
        DatasetError: There is no such thing, it has no pairs, or the two don't go together.
    """
    for path in (first, *filter(None, [second])):
        if not path.exists():
            raise DatasetError(f"{path}: no such file or folder")
    if second is None:
        if not first.is_dir():
            raise DatasetError(f"{first}: give the RGB image or video as well, or a folder with infrared/ and visible/")
        return _folder(first)
    kinds = [_kind(path) for path in (first, second)]
    if kinds[0] != kinds[1]:
        raise DatasetError(f"{first} is {kinds[0]} and {second} is {kinds[1]}: give two of a kind, infrared first")
    if kinds[0] == "a folder":
        raise DatasetError(f"{first} and {second}: give the one folder that holds both, as infrared/ and visible/")
    where = str(first), str(second)
    if kinds[0] == "a video":
        return _videos(first, second, where)
    item = Item(name=first.stem, load=lambda: (read_grey(first), read_rgb(second)))
    return PictureSource(kind="pair", where=where, count=1, items=lambda: iter([item]))


def _folder(folder: Path) -> PictureSource:
    pairs = PairFolder(folder)

    def load(infrared: Path, rgb: Path) -> tuple[Array, Array]:
        return read_grey(infrared), read_rgb(rgb)

    def items() -> Iterator[Item]:
        for files in pairs.files:
            yield Item(name=files.name, load=lambda files=files: load(files.infrared, files.rgb))  # type: ignore[misc]

    notes = pairs.notes(with_labels=False)
    return PictureSource(kind="folder", where=(str(folder),), count=len(pairs), items=items, notes=notes)


def _videos(infrared: Path, rgb: Path, where: tuple[str, str]) -> PictureSource:
    thermal, colour = _Video(infrared), _Video(rgb)
    rate_hz = colour.rate_hz
    count = min(colour.count, round(thermal.count * colour.rate_hz / thermal.rate_hz)) or None
    notes = []
    if abs(thermal.rate_hz - colour.rate_hz) > 0.01 * colour.rate_hz:
        notes.append(f"infrared has {thermal.rate_hz:.4g} frames a second, RGB {colour.rate_hz:.4g}: paired by time")
    if abs(thermal.count / thermal.rate_hz - colour.count / colour.rate_hz) > 1 / rate_hz:
        notes.append("one video is longer than the other: its end is left out")

    def items() -> Iterator[Item]:
        frames, partners = _Video(rgb).frames(), _Video(infrared).frames()
        at, partner = -1, None
        for index, frame in enumerate(frames):
            wanted = round(index * thermal.rate_hz / colour.rate_hz)
            while at < wanted:
                partner = next(partners, None)
                at += 1
            if partner is None:
                return
            grey = cv2.cvtColor(partner, cv2.COLOR_BGR2GRAY) if partner.ndim == 3 else partner
            pair = np.asarray(grey), np.ascontiguousarray(frame[..., ::-1])
            yield Item(name=f"{index:06d}", load=lambda pair=pair: pair, stamp_s=index / rate_hz)  # type: ignore[misc]

    return PictureSource(kind="videos", where=where, count=count, items=items, notes=tuple(notes), rate_hz=rate_hz)


class _Video:
    def __init__(self, path: Path) -> None:
        self._path = path
        self._capture = cv2.VideoCapture(str(path))
        if not self._capture.isOpened():
            raise DatasetError(f"{path}: not a readable video")
        self.rate_hz = self._capture.get(cv2.CAP_PROP_FPS) or 30.0
        self.count = max(0, int(self._capture.get(cv2.CAP_PROP_FRAME_COUNT)))

    def frames(self) -> Iterator[Array]:
        while True:
            good, frame = self._capture.read()
            if not good:
                return
            yield frame


def _kind(path: Path) -> str:
    if path.is_dir():
        return "a folder"
    if path.suffix.lower() in VIDEO_SUFFIXES:
        return "a video"
    if path.suffix.lower() in IMAGE_SUFFIXES:
        return "an image"
    raise DatasetError(f"{path}: images end with {', '.join(IMAGE_SUFFIXES)}, videos with {', '.join(VIDEO_SUFFIXES)}")
