# SPDX-License-Identifier: Apache-2.0
"""Infrared images invented for labelled RGB ones: plausible temperatures by class, not what a street looks like."""

from __future__ import annotations

import cv2
import numpy as np
import numpy.typing as npt

from segmif_ros.arrays import Float32Array, Image, Mask
from segmif_ros.labels import CAMVID, IGNORE_ID, LabelSet, common_name

# grey level range of a thermal camera by class: (coldest, warmest) surface, and how much of the RGB texture shows
_SURFACES: dict[str, tuple[int, int, float]] = {
    "sky": (5, 60, 0.05),
    "building": (50, 150, 0.25),
    "pole": (50, 160, 0.2),
    "road": (60, 150, 0.15),
    "sidewalk": (60, 160, 0.15),
    "vegetation": (50, 130, 0.3),
    "sign": (40, 140, 0.1),
    "fence": (50, 140, 0.25),
    "car": (40, 130, 0.25),
    "truck": (40, 130, 0.25),
    "bus": (40, 130, 0.25),
    "person": (180, 250, 0.1),
    "bicycle": (150, 240, 0.15),
    "motorcycle": (150, 240, 0.15),
}
_OTHER_SURFACE = (50, 150, 0.25)
# details of the RGB image smaller than this show
_TEXTURE_PX = 25
_ENGINES = ("car", "truck", "bus")


def thermal_from_labels(labels: Image, rgb: Image, rng: np.random.Generator, classes: LabelSet = CAMVID) -> Image:
    """Invent an infrared image for a labelled RGB one.

    labels: uint8 (H, W), ids of ``classes``; rgb: uint8 (H, W, 3). Returns uint8 (H, W).

    Every connected region gets a temperature of its class's range (people hot, sky cold), cars a warm patch low in the
    middle, everything a slow drift, a little of the RGB texture (of either sign: bright is not warm), blur and noise.
    It teaches that hot is alive, not what a street looks like in infrared.
    """
    height, width = labels.shape
    grey = cv2.cvtColor(rgb, cv2.COLOR_RGB2GRAY).astype(np.float32)
    texture = grey - cv2.blur(grey, (_TEXTURE_PX, _TEXTURE_PX))
    sign = np.float32(rng.choice([-1.0, 0.5, 1.0]))
    image = np.zeros((height, width), np.float32)
    labels = np.where(labels == classes.ignore_id, np.uint8(IGNORE_ID), labels)
    for i, name in (*enumerate(classes.names), (IGNORE_ID, "unlabelled")):
        coldest, warmest, shown = _SURFACES.get(common_name(name), _OTHER_SURFACE)
        left, top, wide, high = cv2.boundingRect(np.asarray(labels == i, np.uint8))
        if not wide:
            continue
        part = (slice(top, top + high), slice(left, left + wide))
        mask = labels[part] == i
        spread = (warmest - coldest) / 6
        base = float(rng.uniform(coldest + spread, warmest - spread))
        count, regions, boxes, _ = cv2.connectedComponentsWithStats(mask.astype(np.uint8), connectivity=4)
        levels = base + np.asarray(rng.uniform(-spread, spread, count))
        filled = levels.astype(np.float32)[regions] + np.float32(shown * sign) * texture[part]
        np.copyto(image[part], filled, where=mask)
        if common_name(name) in _ENGINES:
            _warm_engines(image[part], mask, np.asarray(boxes, dtype=np.int32), rng)
    drift = cv2.resize(rng.normal(0, rng.uniform(2, 10), (4, 5)).astype(np.float32), (width, height))
    image = np.asarray(cv2.GaussianBlur(image + drift, (0, 0), rng.uniform(0.6, 1.6)), dtype=np.float32)
    image = image + rng.uniform(1, 5) * rng.standard_normal((height, width), dtype=np.float32)
    return np.clip(np.rint(image), 0, 255).astype(np.uint8)


def _warm_engines(
    image: Float32Array,
    mask: Mask,
    boxes: npt.NDArray[np.int32],
    rng: np.random.Generator,
) -> None:
    """Add a warm patch (engine, tyres, exhaust) low in each car region of some size; parked ones stay cold."""
    y, x = np.ogrid[0 : image.shape[0], 0 : image.shape[1]]
    for left, top, width, height, area in boxes[1:]:
        if area < 200 or rng.random() < 0.3:
            continue
        across = (x - (left + rng.uniform(0.3, 0.7) * width)) / (0.3 * width)
        down = (y - (top + rng.uniform(0.55, 0.85) * height)) / (0.25 * height)
        patch = rng.uniform(40, 110) * np.exp(-(down**2) / 2) * np.exp(-(across**2) / 2)
        np.add(image, patch.astype(np.float32), out=image, where=mask)
