# SPDX-License-Identifier: Apache-2.0
"""One encoder of pictures: JPEG for images, PNG for label maps, as files, as bytes, and as addresses in a page."""

from __future__ import annotations

import base64
from pathlib import Path

import cv2
import numpy as np

from segmif_ros.arrays import Array, Image

_QUALITY = 85  # of JPEG


def encode(image: Array, *, flat: bool = False, width: int = 0) -> bytes:
    """Return an image as a file: JPEG, or PNG where no value may change.

    Args:
        image: (H, W) grey or (H, W, 3) RGB, uint8.
        flat: Few colours and hard edges, such as a label map: PNG.
        width: Scale down to this many pixels if it is wider; 0 leaves the size.

    Raises:
        ValueError: If it has no pixel.
    """
    if not image.size:
        raise ValueError(f"a picture of shape {image.shape} can't be encoded")
    image = fitted(image, width, flat=flat) if width else image
    if image.ndim == 3:
        image = cv2.cvtColor(image, cv2.COLOR_RGB2BGR)
    suffix, options = (".png", []) if flat else (".jpg", [cv2.IMWRITE_JPEG_QUALITY, _QUALITY])
    return cv2.imencode(suffix, image, options)[1].tobytes()


def fitted(image: Array, width: int, *, flat: bool = False) -> Image:
    """Return an image that is not wider than a limit, in its proportions.

    Args:
        image: (H, W) or (H, W, 3) uint8.
        width: Columns at most.
        flat: Whether colours are classes, which must not be mixed.
    """
    if image.shape[1] <= width:
        return image
    size = (width, max(1, round(image.shape[0] * width / image.shape[1])))
    return np.asarray(cv2.resize(image, size, interpolation=cv2.INTER_NEAREST if flat else cv2.INTER_AREA), np.uint8)


def write_picture(path: Path, image: Array) -> None:
    """Write an image.

    Args:
        path: Its suffix chooses PNG or JPEG.
        image: (H, W) grey or (H, W, 3) RGB, uint8.

    Raises:
        OSError: If it can't be written.
    """
    path.write_bytes(encode(image, flat=path.suffix == ".png"))


def picture_uri(image: Array, *, flat: bool = False, width: int = 0) -> str:
    """Return an image as an address that holds it.

    Args:
        image: (H, W) grey or (H, W, 3) RGB, uint8.
        flat: PNG in place of JPEG.
        width: Columns at most; 0 for all.
    """
    return data_uri("png" if flat else "jpeg", encode(image, flat=flat, width=width))


def file_uri(path: Path) -> str:
    """Return a JPEG or PNG file as an address that holds it; OSError if it can't be read."""
    return data_uri("png" if path.suffix == ".png" else "jpeg", path.read_bytes())


def data_uri(kind: str, content: bytes) -> str:
    """Return an encoded image as an address that holds it.

    Args:
        kind: "png", "jpeg", ...
        content: The file's bytes.
    """
    return f"data:image/{kind};base64,{base64.b64encode(content).decode('ascii')}"
