# SPDX-License-Identifier: Apache-2.0
"""Under which conditions weights are measured: fixed rules for what is done to a pair, the same in every report."""

from __future__ import annotations

from collections.abc import Callable
from enum import IntEnum

import cv2
import numpy as np

from segmif_ros.arrays import Image
from segmif_ros.imaging.missing import missing_infrared, missing_rgb

Pair = tuple[Image, Image]

# far from the seeds of training (0 ..) and of its validation (900000 ..)
FIRST_SEED = 5_000_000
SCENE_HEIGHT, SCENE_WIDTH = 288, 384
SHIFTS_PX = (0, 2, 4, 8)
GREY = 128

_NOISE, _SPECKLES = 20.0, 0.02
_DIRECTIONS = ((1, 0), (-1, 0), (0, 1), (0, -1))


class Purpose(IntEnum):
    """What a generator draws: each has its own numbers, so that one rule's say nothing of another's."""

    NIGHT = 1
    SHIFT = 2
    INVENTED_INFRARED = 3
    CAMERA_NOISE = 4
    DROPPED_CAMERA = 5


def generator(purpose: Purpose, index: int) -> np.random.Generator:
    """Return what draws the numbers of one purpose for one sample, the same in every report."""
    return np.random.default_rng((FIRST_SEED, int(purpose), index))


def without_infrared(infrared: Image, rgb: Image) -> Pair:
    """Take the infrared camera away: a uniform grey of 128."""
    return missing_infrared(*infrared.shape), rgb


def without_rgb(infrared: Image, rgb: Image) -> Pair:
    """Take the RGB camera away: black."""
    return infrared, missing_rgb(*rgb.shape[:2])


INPUTS: dict[str, Callable[[Image, Image], Pair]] = {
    "fused": lambda infrared, rgb: (infrared, rgb),
    "RGB alone": without_infrared,
    "infrared alone": without_rgb,
}


def night(rgb: Image, seed: int) -> Image:
    """Darken an RGB image, uint8 (H, W, 3), taken by day to a fixed night exposure.

    Linear light (gamma 2.2) is cut to 6 %, photon noise of variance 0.002 times the light and read noise of 0.003 are
    added, the camera turns its gain up by 1.5, and the image is encoded with the same gamma. The noise is drawn from
    ``seed``, so an image has one night.
    """
    rng = generator(Purpose.NIGHT, seed)
    linear = (rgb.astype(np.float32) / 255) ** 2.2 * np.float32(0.06)
    linear = linear + rng.standard_normal(rgb.shape, dtype=np.float32) * np.sqrt(0.002 * linear + 0.003**2)
    return np.rint(255 * np.clip(1.5 * linear, 0, 1) ** (1 / 2.2)).astype(np.uint8)


def noisy(infrared: Image, rgb: Image, index: int) -> Pair:
    """Add Gaussian noise of 20 grey levels to both images, and make 2 % of their pixels black or white.

    infrared uint8 (H, W), rgb uint8 (H, W, 3); ``index`` draws the noise, so a pair has one.
    """
    rng = generator(Purpose.CAMERA_NOISE, index)

    def disturbed(image: Image) -> Image:
        changed = image + _NOISE * rng.standard_normal(image.shape, dtype=np.float32)
        draw = rng.random(image.shape[:2])
        changed[draw < _SPECKLES / 2] = 0
        changed[draw > 1 - _SPECKLES / 2] = 255
        return np.clip(np.rint(changed), 0, 255).astype(np.uint8)

    return disturbed(infrared), disturbed(rgb)


def shift_infrared(infrared: Image, pixels: int, seed: int) -> Image:
    """Move an infrared image, uint8 (H, W), by whole ``pixels`` right, left, down or up, as ``seed`` has it.

    One seed has one direction for any distance; the border is replicated. Nothing is interpolated, so only the place
    changes.
    """
    right, down = _DIRECTIONS[int(generator(Purpose.SHIFT, seed).integers(len(_DIRECTIONS)))]
    matrix = np.array([[1, 0, right * pixels], [0, 1, down * pixels]], np.float64)
    size = (infrared.shape[1], infrared.shape[0])
    moved = cv2.warpAffine(infrared, matrix, size, flags=cv2.INTER_NEAREST, borderMode=cv2.BORDER_REPLICATE)
    return np.asarray(moved, np.uint8)
