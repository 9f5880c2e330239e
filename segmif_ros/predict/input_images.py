# SPDX-License-Identifier: Apache-2.0
"""Images as people hand them over: arrays or paths, checked and turned into what a camera would have sent."""

from __future__ import annotations

import warnings
from pathlib import Path
from typing import Any

import numpy as np

from segmif_ros.arrays import Array
from segmif_ros.data.image_files import read_grey, read_rgb
from segmif_ros.paths import user_path

ImageLike = Array | str | Path
_INFRARED_TYPES = {"uint8": "mono8", "uint16": "mono16", "float32": "32FC1"}
_SAME_PLANES = 3  # levels by which the channels of a grey image that was saved in colour differ at most
_TOO_WARM = 30.0  # levels of red above blue, in the upper third, that a daylight sky never has
_BRIGHT = 100


class ImageError(ValueError):
    """An image that can't be used; one line that states which, why, and what to do."""


def infrared_image(image: ImageLike) -> Array:
    """Return infrared as (H, W): uint8 as it is, uint16 and float32 for the gain.

    Args:
        image: A path, or (H, W), (H, W, 1) or a grey image in three channels.

    Raises:
        ImageError: None, a colour image, another type or shape, or no pixel.
        DatasetError: The file can't be read.
    """
    if isinstance(image, str | Path):
        return read_grey(user_path(image))
    image = _array("infrared", image)
    if image.ndim == 3 and image.shape[2] == 1:
        image = image[..., 0]
    if image.ndim == 3 and image.shape[2] in (3, 4):
        if _is_coloured(image):
            raise ImageError("infrared is a colour image: are infrared and rgb swapped? A palette shows no heat")
        image = image[..., 0]
    if image.ndim != 2:
        raise ImageError(f"infrared has the shape {image.shape}: (height, width) is needed")
    if image.dtype.name not in _INFRARED_TYPES:
        known = ", ".join(_INFRARED_TYPES)
        raise ImageError(f"infrared is {image.dtype}: {known} are taken (8 bit after a gain, 16 bit or float raw)")
    return image


def rgb_image(image: ImageLike, *, bgr: bool = False) -> Array:
    """Return the RGB image as (H, W, 3) uint8, in RGB order.

    Args:
        image: A path, or (H, W, 3) uint8.
        bgr: Whether an array is in OpenCV's order, as `cv2.imread` gives it.

    Raises:
        ImageError: None, a grey image, another type or shape, or no pixel.
        DatasetError: The file can't be read.
    """
    if isinstance(image, str | Path):
        return read_rgb(user_path(image))
    image = _array("rgb", image)
    if image.ndim == 3 and image.shape[0] == 3 and image.shape[2] != 3:
        raise ImageError(f"rgb has the shape {image.shape}: channels last, (height, width, 3), is needed")
    if image.ndim == 3 and image.shape[2] == 4:
        raise ImageError("rgb has four channels: leave the transparency out, as in rgb[..., :3]")
    if image.ndim != 3 or image.shape[2] != 3:
        raise ImageError(f"rgb has the shape {image.shape}: (height, width, 3) is needed. Swapped with infrared?")
    if image.dtype != np.uint8:
        hint = " (multiply values of 0 to 1 by 255)" if image.dtype.kind == "f" else ""
        raise ImageError(f"rgb is {image.dtype}: uint8 of 0 to 255 is needed{hint}")
    if bgr:
        return image[..., ::-1]
    if looks_like_bgr(image):
        warnings.warn(
            "rgb looks as if red and blue were swapped (the upper third is bright and orange): cv2.imread gives BGR: "
            "pass bgr=True, or the file's path",
            stacklevel=4,
        )
    return image


def looks_like_bgr(image: Array) -> bool:
    """Whether what should be sky is bright and far redder than blue: a guess, and wrong at sunset.

    Args:
        image: (H, W, 3) uint8.
    """
    upper = image[: max(1, len(image) // 3)].reshape(-1, 3).astype(np.float32)
    bright = upper[upper.mean(axis=1) > _BRIGHT]
    if 4 * len(bright) < len(upper):
        return False
    red, _, blue = bright.mean(axis=0)
    return bool(red - blue > _TOO_WARM)


def _array(name: str, image: Any) -> Array:
    if image is None:
        raise ImageError(f"{name} is None: cv2.imread gives None where there is no such file: check its path")
    if not isinstance(image, np.ndarray):
        raise ImageError(f"{name} is {type(image).__name__}: a NumPy array or a path is needed")
    if not image.size:
        raise ImageError(f"{name} has no pixel: its shape is {image.shape}")
    return image


def _is_coloured(image: Array) -> bool:
    planes = image[..., :3].astype(np.int32)
    return bool((planes.max(axis=2) - planes.min(axis=2)).max() > _SAME_PLANES)
