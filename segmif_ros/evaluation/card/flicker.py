# SPDX-License-Identifier: Apache-2.0
"""Does the fused image of a steady scene stay steady? Two synthetic sequences by day and by night.

*Still*: a camera that stands, with sensor noise, past which a hot figure walks. All but the rows of the figure should
not change at all. *Driving*: the street at 10 frames a second, where the fused image should change no more than its
sources do.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator

import cv2
import numpy as np

from segmif_ros.arrays import Image, Mask
from segmif_ros.evaluation.card.card_types import FlickerFigures, SteadinessFigures
from segmif_ros.evaluation.card.conditions import FIRST_SEED, SCENE_HEIGHT, SCENE_WIDTH
from segmif_ros.evaluation.fusion_metrics import BASELINES, luma
from segmif_ros.inference.engine import EngineProtocol
from segmif_ros.scenes import RoadScene

LIGHTINGS = ("day", "night")
FRAME_S = 0.1
# standard deviations of the still camera's noise, grey levels
_INFRARED_NOISE, _RGB_NOISE = 1.5, 2.0
_HOT, _CLOTHES = 235, (44, 40, 38)
_MARGIN_PX = 16


class Steadiness:
    """Accumulates how much consecutive frames differ where ``where`` holds (H, W)."""

    def __init__(self, where: Mask) -> None:
        self._where = where
        self._before: dict[str, Image] = {}
        self._labels: Image | None = None
        self._steps: dict[str, list[float]] = {}
        self._changes: dict[str, list[float]] = {}
        self._relabelled: list[float] = []

    def add(self, infrared: Image, rgb: Image, fused: Image, labels: Image) -> None:
        """Take the next frame: infrared and labels (H, W), rgb and fused (H, W, 3), uint8."""
        visible = luma(rgb)
        images = {
            "infrared": infrared,
            "RGB": visible,
            "fused": luma(fused),
            "average": BASELINES["average"](infrared, visible),
        }
        for name, image in images.items():
            now = image[self._where].astype(np.float64)
            if name in self._before:
                before = self._before[name][self._where]
                self._steps.setdefault(name, []).append(abs(float(now.mean() - before.mean())))
                self._changes.setdefault(name, []).append(float(np.mean(np.abs(now - before))))
        if self._labels is not None:
            self._relabelled.append(float(np.mean(labels[self._where] != self._labels[self._where])))
        self._before, self._labels = images, labels

    def figures(self) -> SteadinessFigures:
        """Return the largest step of the mean and the mean change by image, grey levels, and their quotient.

        "relative_change": change of the fused image (and of the plain average) over the mean change of both sources.
        """
        change = {name: float(np.mean(values)) for name, values in self._changes.items()}
        sources = (change["infrared"] + change["RGB"]) / 2
        return {
            "largest_step": {name: max(values) for name, values in self._steps.items()},
            "change": change,
            "relative_change": {name: change[name] / sources if sources > 0 else None for name in ("fused", "average")},
            "relabelled": float(np.mean(self._relabelled)),
        }


def still_sequence(
    lighting: str, frames: int, height: int = SCENE_HEIGHT, width: int = SCENE_WIDTH
) -> tuple[Mask, Iterator[tuple[Image, Image]]]:
    """Return where nothing moves (H, W), and the frames, infrared (H, W) and RGB (H, W, 3) uint8.

    The figure enters after the first frame and walks through the picture.
    """
    scene = RoadScene(FIRST_SEED, height, width, lighting=lighting).frame(0.0)
    centre_y, half_height, half_width = round(0.62 * height), round(0.17 * height), round(0.05 * width)
    background = np.ones((height, width), np.bool_)
    top, bottom = centre_y - half_height - _MARGIN_PX, centre_y + half_height + _MARGIN_PX
    background[max(0, top) : bottom] = False

    def sequence() -> Iterator[tuple[Image, Image]]:
        rng = np.random.default_rng(FIRST_SEED)
        for i in range(frames):
            infrared, rgb = scene.infrared8.copy(), scene.rgb.copy()
            x = round((i / max(1, frames - 1)) * (width + 2 * half_width)) - 2 * half_width
            for image, value in ((infrared, (_HOT,)), (rgb, _CLOTHES)):
                cv2.ellipse(image, (x, centre_y), (half_width, half_height), 0, 0, 360, value, cv2.FILLED, cv2.LINE_AA)
            yield _noisy(infrared, _INFRARED_NOISE, rng), _noisy(rgb, _RGB_NOISE, rng)

    return background, sequence()


def driving_sequence(
    lighting: str, frames: int, height: int = SCENE_HEIGHT, width: int = SCENE_WIDTH
) -> tuple[Mask, Iterator[tuple[Image, Image]]]:
    """Return all of the picture as a mask, and the frames as `still_sequence` does, 0.1 s apart."""
    scene = RoadScene(FIRST_SEED, height, width, lighting=lighting)
    moments = (scene.frame(i * FRAME_S) for i in range(frames))
    return np.ones((height, width), np.bool_), ((each.infrared8, each.rgb) for each in moments)


SEQUENCES = {"still": still_sequence, "driving": driving_sequence}


def report_flicker(engine: EngineProtocol, frames: int, advance: Callable[[int], None]) -> FlickerFigures:
    """Measure ``frames`` (2 or more) of each sequence and lighting; ``advance`` is called after every frame."""
    report: FlickerFigures = {"frames": frames, "seed": FIRST_SEED, "still": {}, "driving": {}}
    kinds = (("still", report["still"]), ("driving", report["driving"]))
    for kind, figures in kinds:
        make = SEQUENCES[kind]
        for lighting in LIGHTINGS:
            where, sequence = make(lighting, frames)
            steadiness = Steadiness(where)
            for infrared, rgb in sequence:
                result = engine.infer(infrared, rgb)
                steadiness.add(infrared, rgb, result.fused, result.labels)
                advance(1)
            figures[lighting] = steadiness.figures()
    return report


def _noisy(image: Image, deviation: float, rng: np.random.Generator) -> Image:
    noise = deviation * rng.standard_normal(image.shape, dtype=np.float32)
    return np.clip(np.rint(image + noise), 0, 255).astype(np.uint8)
