# SPDX-License-Identifier: Apache-2.0
"""How steady fused image and labels are over real sequences: folders of frames, or pairs of videos."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Protocol

import cv2
import numpy as np

from segmif_ros.arrays import Image
from segmif_ros.data.image_files import DatasetError, require_8_bits, to_grey, to_rgb
from segmif_ros.data.pair_folder import PairFolder
from segmif_ros.data.sampling import spread
from segmif_ros.evaluation.card.card_types import SequenceFigures
from segmif_ros.evaluation.card.flicker import Steadiness
from segmif_ros.evaluation.card.sheets import Gallery, SheetRow
from segmif_ros.inference.engine import EngineProtocol

SHOWN = 4
_VIDEOS = (".mp4", ".avi", ".mkv", ".mov")


class Frames(Protocol):
    """A sequence of registered pairs."""

    @property
    def name(self) -> str:
        """What it is called."""

    def __len__(self) -> int: ...

    def frames(self, first: int, count: int) -> Iterator[tuple[Image, Image]]:
        """Yield infrared (H, W) and RGB (H, W, 3), uint8, of ``count`` frames from ``first`` on."""


class FolderFrames:
    """Image files in the order of their names. DatasetError where there are no pairs, or fewer than two."""

    def __init__(self, root: Path) -> None:
        self._folder = PairFolder(root)
        self.name = root.resolve().name
        _require_two(len(self), root)

    def __len__(self) -> int:
        return len(self._folder)

    def frames(self, first: int, count: int) -> Iterator[tuple[Image, Image]]:
        """Yield the pairs; DatasetError naming a file that can't be used."""
        for number in range(first, first + count):
            infrared, rgb = self._folder.load_images(number)
            yield require_8_bits(infrared, self._folder.files[number].infrared), rgb


class VideoFrames:
    """Two videos of one length and frame rate. DatasetError for a file that is none, or too short."""

    def __init__(self, infrared: Path, rgb: Path) -> None:
        self.name = infrared.stem
        self._files = infrared, rgb
        lengths = [int(_opened(each).get(cv2.CAP_PROP_FRAME_COUNT)) for each in self._files]
        self._length = min(lengths)
        _require_two(self._length, infrared)

    def __len__(self) -> int:
        return self._length

    def frames(self, first: int, count: int) -> Iterator[tuple[Image, Image]]:
        """Yield the pairs; DatasetError where a frame can't be read or the sizes differ."""
        readers = [_opened(each) for each in self._files]
        for number in range(first + count):
            read = [reader.read() for reader in readers]
            for (good, _), file in zip(read, self._files, strict=True):
                if not good:
                    raise DatasetError(f"{file}: frame {number} can't be read")
            if number < first:
                continue
            infrared, rgb = to_grey(read[0][1]), to_rgb(read[1][1])
            if infrared.shape != rgb.shape[:2]:
                raise DatasetError(f"{self._files[0]}: the frames of infrared and RGB differ in size")
            yield np.asarray(infrared, np.uint8), rgb


def open_sequences(root: Path) -> list[Frames]:
    """Return a folder's sequences: one of its image files, or one of each pair of videos of equal names.

    Raises DatasetError where there is neither.
    """
    videos = [
        {path.stem: path for path in sorted(folder.iterdir()) if path.suffix.lower() in _VIDEOS}
        for folder in (root / "infrared", root / "visible") if folder.is_dir()
    ]  # fmt: skip
    if len(videos) == 2 and (both := sorted(videos[0].keys() & videos[1].keys())):
        return [VideoFrames(videos[0][name], videos[1][name]) for name in both]
    return [FolderFrames(root)]


def report_sequence(
    engine: EngineProtocol, sequence: Frames, count: int, name: str, gallery: Gallery, advance: Callable[[int], None]
) -> SequenceFigures:
    """Measure ``count`` (2 or more) consecutive frames from the middle of a sequence.

    Nothing is known of what moves, so the change of the fused image is beside that of its sources. A few frames go to
    the sheet sequence-NAME.
    """
    shown = spread(count, SHOWN)
    steadiness: Steadiness | None = None
    for number, (infrared, rgb) in enumerate(sequence.frames((len(sequence) - count) // 2, count)):
        result = engine.infer(infrared, rgb)
        steadiness = steadiness or Steadiness(np.ones(infrared.shape, np.bool_))
        steadiness.add(infrared, rgb, result.fused, result.labels)
        if number in shown:
            row = SheetRow(
                caption=f"{name}, frame {number}", infrared=infrared, rgb=rgb, fused=result.fused, labels=result.labels
            )
            gallery.show(f"sequence-{name}", row)
        advance(1)
    assert steadiness is not None
    return {"frames": count, **steadiness.figures()}


def _opened(path: Path) -> cv2.VideoCapture:
    video = cv2.VideoCapture(str(path))
    if not video.isOpened():
        raise DatasetError(f"{path}: not a readable video")
    return video


def _require_two(count: int, path: Path) -> None:
    if count < 2:
        raise DatasetError(f"{path}: {count} frames; a sequence needs two or more")
