# SPDX-License-Identifier: Apache-2.0
"""Image pairs of one size to measure with, or to calibrate a low precision with."""

from __future__ import annotations

from pathlib import Path

import cv2
import numpy as np

from segmif_ros.arrays import Image
from segmif_ros.inference.errors import EngineError

Pair = tuple[Image, Image]

MOST_PAIRS = 8
_IMAGE_SUFFIXES = (".png", ".jpg", ".jpeg", ".bmp", ".tif", ".tiff")


class PairsError(EngineError):
    """Pairs that aren't there or can't be read; one line."""


def read_pairs(folder: Path, height: int, width: int, most: int = MOST_PAIRS) -> list[Pair]:
    """Read pairs of FOLDER/infrared and FOLDER/visible (same file stems), resized.

    Args:
        folder: Holds both.
        height: Rows of the result.
        width: Columns of the result.
        most: So many are taken, spread evenly over the folder in the order of their names.

    Returns:
        Infrared (H, W) and RGB (H, W, 3), uint8.

    Raises:
        PairsError: No pair, or a file that is no image.
    """
    infrared, visible = (
        {path.stem: path for path in sorted((folder / side).glob("*")) if path.suffix.lower() in _IMAGE_SUFFIXES}
        for side in ("infrared", "visible")
    )
    both = [stem for stem in infrared if stem in visible]
    if not both:
        raise PairsError(f"{folder}: no pairs: put images of the same names into its folders infrared and visible")
    count = min(most, len(both))
    pairs = []
    for stem in (both[index * len(both) // count] for index in range(count)):
        thermal = cv2.imread(str(infrared[stem]), cv2.IMREAD_GRAYSCALE)
        colour = cv2.imread(str(visible[stem]), cv2.IMREAD_COLOR)
        if thermal is None or colour is None:
            raise PairsError(f"{infrared[stem] if thermal is None else visible[stem]}: is no readable image")
        thermal = cv2.resize(thermal, (width, height), interpolation=cv2.INTER_AREA)
        colour = cv2.resize(colour, (width, height), interpolation=cv2.INTER_AREA)
        pairs.append((thermal.astype(np.uint8), np.ascontiguousarray(colour[..., ::-1], np.uint8)))
    return pairs


def pattern_pairs(height: int, width: int, count: int = 2) -> list[Pair]:
    """Return pairs of blurred blobs with some noise, the same at each call.

    Args:
        height: H, rows.
        width: W, columns.
        count: How many pairs.

    Returns:
        Infrared (H, W) and RGB (H, W, 3), uint8.
    """
    generator = np.random.default_rng(0)
    pairs = []
    for _ in range(count):
        coarse = generator.random((max(2, height // 40), max(2, width // 40), 4), np.float32)
        smooth = cv2.resize(coarse, (width, height), interpolation=cv2.INTER_CUBIC)
        noisy = 255 * smooth + 4 * generator.standard_normal(smooth.shape, np.float32)
        planes = noisy.clip(0, 255).astype(np.uint8)
        pairs.append((planes[..., 3].copy(), planes[..., :3].copy()))
    return pairs
