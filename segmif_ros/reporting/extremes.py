# SPDX-License-Identifier: Apache-2.0
"""The best and the worst frames as pictures: which they are, and their files."""

from __future__ import annotations

import bisect
import re
import shutil
from collections.abc import Iterable, Mapping
from pathlib import Path

import numpy as np

from segmif_ros.arrays import Image, Mask
from segmif_ros.labels import IGNORE_ID, LabelSet
from segmif_ros.reporting.pictures import encode

Encoded = dict[str, bytes]  # file name -> content

LAYERS = ("infrared", "rgb", "fused", "labels", "truth", "difference", "confidence")
PICTURES = "pictures"  # their folder
MAX_WIDTH = 640
_WRONG, _UNKNOWN = (235, 60, 45), (35, 50, 90)  # RGB


class Extremes:
    """The ``count`` best and the ``count`` worst of the scores seen so far; equal scores go by key.

    The answer doesn't depend on the order of arrival, and what isn't among the extremes of one process can't be among
    those of all.
    """

    def __init__(self, count: int) -> None:
        self._count = count
        self._seen: list[tuple[float, str]] = []

    def offer(self, key: str, score: float | None) -> tuple[bool, str | None]:
        """Take a frame's score.

        Args:
            key: Of the frame.
            score: The more, the better; None is no score.

        Returns:
            Whether it is an extreme now, and the key that no longer is.
        """
        if score is None or self._count < 1:
            return False, None
        before = self.keys()
        if (score, key) not in self._seen:
            bisect.insort(self._seen, (score, key))
        # what lies between can't come back
        self._seen = sorted({*self._seen[: self._count], *self._seen[-self._count :]})
        after = self.keys()
        return key in after, next(iter(before - after), None)

    def keys(self) -> set[str]:
        """Return all keys that are extremes."""
        return {key for _, key in self._seen}

    def worst(self) -> list[tuple[float, str]]:
        """Return (score, key), worst first."""
        return self._seen[: self._count]

    def best(self) -> list[tuple[float, str]]:
        """Return (score, key), best first."""
        return self._seen[-self._count :][::-1] if self._count else []


def encode_layers(
    *,
    infrared: Image,
    rgb: Image,
    fused: Image,
    labels: Image,
    truth: Image | None,
    label_set: LabelSet,
    confidence: Image | None = None,
    unjudged: Mask | None = None,
) -> Encoded:
    """Return the layers of one frame as files, at most 640 pixels wide.

    Args:
        infrared: (H, W) uint8.
        rgb: (H, W, 3) uint8, RGB.
        fused: (H, W, 3) uint8, RGB.
        labels: (H, W) uint8 ids of ``label_set``.
        truth: (H, W) uint8 ids of ``label_set``; None without ground truth.
        label_set: Gives the colours.
        confidence: (H, W) uint8; 0 everywhere, as of a method that has none, isn't drawn.
        unjudged: (H, W), where the difference is drawn as if there were no truth.
    """
    files = {
        "infrared.jpg": encode(infrared, width=MAX_WIDTH),
        "rgb.jpg": encode(rgb, width=MAX_WIDTH),
        "fused.jpg": encode(fused, width=MAX_WIDTH),
        "labels.png": encode(label_set.colourise(labels), flat=True, width=MAX_WIDTH),
    }
    if truth is not None:
        counted = truth if unjudged is None else np.where(unjudged, np.uint8(IGNORE_ID), truth)
        files["truth.png"] = encode(label_set.colourise(truth), flat=True, width=MAX_WIDTH)
        files["difference.jpg"] = encode(difference_image(fused, labels, counted, label_set), width=MAX_WIDTH)
    if confidence is not None and confidence.any():
        files["confidence.jpg"] = encode(confidence, width=MAX_WIDTH)
    return files


def difference_image(fused: Image, labels: Image, truth: Image, label_set: LabelSet) -> Image:
    """Return the fused image darkened, with wrong pixels in red and those without truth in blue, (H, W, 3) RGB.

    Args:
        fused: (H, W, 3) RGB uint8.
        labels: (H, W) predicted ids.
        truth: (H, W) ids; 255, the set's ignored id and ids outside of it have no truth.
        label_set: Of both.
    """
    known = (truth < len(label_set)) & (truth != label_set.ignore_id)
    dim = np.repeat(fused.mean(axis=2, keepdims=True) * 0.6, 3, axis=2)
    dim[known & (labels != truth)] = _WRONG
    dim[~known] = _UNKNOWN
    return np.asarray(dim, np.uint8)


def picture_folder(folder: Path, key: str) -> Path:
    """Return where the pictures of one frame lie.

    Args:
        folder: Of the run.
        key: Of the frame.
    """
    return folder / PICTURES / re.sub(r"[^\w.-]", "_", key)


def keep_pictures(folder: Path, key: str, files: Mapping[str, bytes]) -> None:
    """Write the pictures of one frame.

    Args:
        folder: Of the run.
        key: Of the frame.
        files: Contents by their names.
    """
    target = picture_folder(folder, key)
    target.mkdir(parents=True, exist_ok=True)
    for name, content in files.items():
        (target / name).write_bytes(content)


def drop_pictures(folder: Path, keys: Iterable[str]) -> None:
    """Remove the pictures of frames that are no longer among the extremes.

    Args:
        folder: Of the run.
        keys: Of the frames.
    """
    for key in keys:
        shutil.rmtree(picture_folder(folder, key), ignore_errors=True)
