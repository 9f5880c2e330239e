# SPDX-License-Identifier: Apache-2.0
"""The network at another size than the cameras' images, and results brought back to theirs."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import replace
from typing import TYPE_CHECKING

import cv2
import numpy as np

from segmif_ros.arrays import Image

if TYPE_CHECKING:  # the engine itself resizes for networks of one size
    from segmif_ros.inference.engine import EngineProtocol, EngineResult
    from segmif_ros.labels import LabelSet

Size = tuple[int, int]
"""Rows and columns."""

RESIZE = "resize"  # the stage in `EngineResult.stage_ms`


def resized(image: Image, size: Size) -> Image:
    """Return an image (H, W) or (H, W, C) uint8 at a size: by area where it gets smaller, bilinearly elsewhere.

    Args:
        image: (H, W) or (H, W, C) uint8.
        size: (rows, columns).
    """
    if image.shape[:2] == size:
        return image
    smaller = size[0] <= image.shape[0] and size[1] <= image.shape[1]
    found = cv2.resize(image, size[::-1], interpolation=cv2.INTER_AREA if smaller else cv2.INTER_LINEAR)
    return np.asarray(found, np.uint8)


def resized_ids(labels: Image, size: Size) -> Image:
    """Return class ids (H, W) uint8 at a size, each from the nearest pixel.

    Args:
        labels: (H, W) uint8.
        size: (rows, columns).
    """
    if labels.shape == size:
        return labels
    return np.asarray(cv2.resize(labels, size[::-1], interpolation=cv2.INTER_NEAREST), np.uint8)


def enlarged_fused(fused: Image, small_rgb: Image, rgb: Image) -> Image:
    """Bring a fused image to the RGB image's size, with the RGB image's fine detail.

    The difference to the RGB image that the network saw is resized and added to the full one.

    Args:
        fused: (h, w, 3) uint8, RGB.
        small_rgb: (h, w, 3) uint8, what the network saw.
        rgb: (H, W, 3) uint8, as it came.

    Returns:
        (H, W, 3) uint8, RGB.
    """
    if fused.shape == rgb.shape:
        return fused
    change = cv2.resize(cv2.subtract(fused, small_rgb, dtype=cv2.CV_16S), rgb.shape[1::-1])
    return np.asarray(cv2.add(rgb, change, dtype=cv2.CV_8U), np.uint8)


def asked_size(asked: Size, pair_size: Size) -> Size:
    """Return the rows and columns that the network sees: a side of 0 follows from the other by the pair's proportions.

    Both 0: the pair's own.

    Args:
        asked: (rows, columns); a side of 0 follows from the other one.
        pair_size: (rows, columns) of the pair.
    """
    rows, columns = asked
    height, width = pair_size
    if not rows and not columns:
        return pair_size
    return rows or max(1, round(height * columns / width)), columns or max(1, round(width * rows / height))


def infer_at(
    engine: EngineProtocol,
    size: Size,
    infrared: Image,
    rgb: Image,
    *,
    clock: Callable[[], float] = time.perf_counter,
) -> EngineResult:
    """Run an engine on a pair at a size, and bring its results to the pair's.

    Labels are enlarged to the nearest pixel, confidences bilinearly, and the fused image as in `enlarged_fused`.

    Args:
        engine: Does the work.
        size: Rows and columns that the network sees.
        infrared: (H, W) uint8.
        rgb: (H, W, 3) uint8, RGB.
        clock: Seconds, for the stage `RESIZE`.

    Returns:
        Results at the pair's size.
    """
    began = clock()
    small_infrared, small_rgb = resized(infrared, size), resized(rgb, size)
    ready = clock()
    result = engine.infer(small_infrared, small_rgb)
    inferred = clock()
    full = infrared.shape[0], infrared.shape[1]
    found = replace(
        result,
        fused=enlarged_fused(result.fused, small_rgb, rgb),
        labels=resized_ids(result.labels, full),
        confidence=resized(result.confidence, full),
    )
    resize_ms = 1e3 * (ready - began + clock() - inferred)
    return replace(found, stage_ms={**result.stage_ms, RESIZE: resize_ms})


class EngineAround:
    """What is around another engine: it reports that engine's identity as its own.

    Args:
        engine: Does the work.
    """

    def __init__(self, engine: EngineProtocol) -> None:
        self._engine = engine

    @property
    def label_set(self) -> LabelSet:
        """See `EngineProtocol`."""
        return self._engine.label_set

    @property
    def model_name(self) -> str:
        """See `EngineProtocol`."""
        return self._engine.model_name

    @property
    def model_hash(self) -> str:
        """See `EngineProtocol`."""
        return self._engine.model_hash

    @property
    def device_name(self) -> str:
        """See `EngineProtocol`."""
        return self._engine.device_name

    @property
    def backend_name(self) -> str:
        """See `EngineProtocol`."""
        return self._engine.backend_name

    @property
    def precision(self) -> str:
        """See `EngineProtocol`."""
        return self._engine.precision


class FixedSizeEngine(EngineAround):
    """An engine whose network always sees one size, whatever the cameras send; `EngineProtocol`.

    Args:
        engine: Does the work.
        size: Rows and columns that the network sees; one of them may be 0, see `asked_size`.
    """

    def __init__(self, engine: EngineProtocol, size: Size) -> None:
        super().__init__(engine)
        self._size = size

    def warm_up(self, height: int, width: int) -> None:
        """Warm up at the size that the network will see of pairs of this size.

        Args:
            height: Rows of the pairs to come.
            width: Their columns.
        """
        self._engine.warm_up(*asked_size(self._size, (height, width)))

    def infer(self, infrared: Image, rgb: Image) -> EngineResult:
        """See `EngineProtocol`."""
        if infrared.ndim != 2 or rgb.shape[:2] != infrared.shape:  # the engine's to refuse
            return self._engine.infer(infrared, rgb)
        size = asked_size(self._size, infrared.shape)
        if size == infrared.shape:
            return self._engine.infer(infrared, rgb)
        return infer_at(self._engine, size, infrared, rgb)
