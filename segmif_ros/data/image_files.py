# SPDX-License-Identifier: Apache-2.0
"""Image files of data sets: found by name and read into grey or RGB, or refused by name."""

from __future__ import annotations

from pathlib import Path

import cv2
import numpy as np

from segmif_ros.arrays import Array, Image
from segmif_ros.imaging.png import START, DamagedError, whole_png

IMAGE_SUFFIXES = (".png", ".jpg", ".jpeg", ".bmp", ".tif", ".tiff")
_SHOWN_FOLDERS = 8


class DatasetError(ValueError):
    """A data set's folder or file that can't be used; one line that states which and why."""


def images_by_name(folder: Path) -> dict[str, Path]:
    """Return a folder's images by name without suffix; DatasetError if two files have one name."""
    found: dict[str, Path] = {}
    for path in sorted(folder.iterdir()):
        if path.suffix.lower() in IMAGE_SUFFIXES and not path.name.startswith("."):
            if path.stem in found:
                raise DatasetError(f"{folder}: {found[path.stem].name} and {path.name}: which one is meant?")
            found[path.stem] = path
    return found


def folders_in(folder: Path) -> str:
    """Return the names of the first folders in a folder, for an error's line."""
    names = sorted(path.name for path in folder.iterdir() if path.is_dir())
    shown = ", ".join(names[:_SHOWN_FOLDERS]) or "none"
    return f"{shown} and {len(names) - _SHOWN_FOLDERS} more" if len(names) > _SHOWN_FOLDERS else shown


def read_content(path: Path) -> bytes:
    """Return a file's bytes; DatasetError if it can't be read."""
    try:
        return path.read_bytes()
    except OSError as error:
        raise DatasetError(f"{path}: {error.strerror or error}") from None


def decode(content: bytes, path: Path, *, floats: bool = False) -> Array:
    """Return an image as stored: uint8 or uint16, (H, W) or (H, W, C) in OpenCV's order of channels.

    With ``floats`` also floating point values, as float32.

    An orientation tag is left alone: the infrared image has none, and the two are registered as stored.
    Raises DatasetError naming ``path``.
    """
    try:  # libpng would write to the terminal whatever it dislikes
        content = whole_png(content) if content.startswith(START) else content
    except DamagedError as error:
        raise DatasetError(f"{path}: not a readable image: {error}") from None
    image = cv2.imdecode(np.frombuffer(content, np.uint8), cv2.IMREAD_UNCHANGED) if content else None
    if image is None:
        raise DatasetError(f"{path}: not a readable image")
    if floats and image.dtype.kind == "f":
        return np.asarray(image, np.float32)
    if image.dtype not in (np.uint8, np.uint16):
        raise DatasetError(f"{path}: {image.dtype} values; 8 or 16 bits are needed")
    return image


def read_rgb(path: Path) -> Image:
    """Return an image as (H, W, 3) RGB, uint8."""
    return to_rgb(decode(read_content(path), path))


def read_grey(path: Path) -> Array:
    """Return an image as (H, W), uint8 or uint16."""
    return to_grey(decode(read_content(path), path))


def to_rgb(image: Array) -> Image:
    """Turn a decoded image into (H, W, 3) RGB, uint8: of 16 bits the upper 8."""
    shown = np.asarray(image >> 8 if image.dtype == np.uint16 else image, np.uint8)
    if shown.ndim == 2:
        return np.repeat(shown[..., None], 3, axis=2)
    return np.ascontiguousarray(shown[..., 2::-1])


def to_grey(image: Array) -> Array:
    """Turn a decoded image into (H, W) of its own depth: grey or pseudo-colour may be saved in three channels."""
    if image.ndim == 2:
        return image
    return cv2.cvtColor(np.ascontiguousarray(image[..., :3]), cv2.COLOR_BGR2GRAY)


def is_coloured(image: Array) -> bool:
    """Return whether a decoded image holds any colour: its first three channels differ somewhere."""
    return image.ndim == 3 and image.shape[2] >= 3 and bool((image[..., :2] != image[..., 1:3]).any())


def require_8_bits(infrared: Array, path: Path) -> Image:
    """Return infrared (H, W) if it is uint8; else raise DatasetError: what a level means is for a gain to say."""
    if infrared.dtype != np.uint8:
        raise DatasetError(f"{path}: {8 * infrared.dtype.itemsize} bits a pixel; 8-bit infrared is needed")
    return np.asarray(infrared, np.uint8)


def size_of(image: Array) -> str:
    """Return width x height, for an error's line."""
    return f"{image.shape[1]}x{image.shape[0]}"
