# SPDX-License-Identifier: Apache-2.0
"""Labels drawn over an image, for people."""

from __future__ import annotations

from dataclasses import dataclass

import cv2
import numpy as np

from segmif_ros.arrays import Image
from segmif_ros.settings import setting


@dataclass(frozen=True, kw_only=True)
class OverlayConfig:
    """How labels are drawn over an image."""

    alpha: float = setting(0.5, "Weight of the class colours in segmentation/overlay.", minimum=0.0, maximum=1.0)


def draw_overlay(image: Image, labels: Image, palette: Image, *, alpha: float = 0.5) -> Image:
    """Blend the colours of ``labels`` into ``image``.

    Args:
        image: (H, W, 3) uint8 RGB.
        labels: (H, W) uint8 class ids; ids without a colour leave the image as it is.
        palette: (N, 3) uint8 RGB, one colour an id.
        alpha: Weight of the colours, 0 (image only) to 1 (colours only).

    Returns:
        (H, W, 3) uint8 RGB. Class 0 stays transparent where its colour is black (unlabelled).
    """
    if image.shape[:2] != labels.shape:
        raise ValueError(f"image is {image.shape[:2]} and labels {labels.shape}: both must have the same size")
    colours = np.zeros((256, 3), np.uint8)
    colours[: len(palette)] = palette
    drawn = cv2.addWeighted(image, 1.0 - alpha, np.take(colours, labels, axis=0), alpha, 0.0)
    bare = cv2.LUT(labels, np.where(colours.any(axis=1), 0, 255).astype(np.uint8))
    cv2.copyTo(np.ascontiguousarray(image), bare, drawn)
    return np.asarray(drawn, np.uint8)


def draw_confidence(confidence: Image) -> Image:
    """Colour a confidence map: dark blue is unsure, yellow is sure.

    Args:
        confidence: (H, W) uint8, 255 times the probability of the winning class.

    Returns:
        (H, W, 3) uint8 RGB.
    """
    return np.ascontiguousarray(cv2.applyColorMap(confidence, cv2.COLORMAP_CIVIDIS)[..., ::-1], np.uint8)
