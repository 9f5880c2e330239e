# SPDX-License-Identifier: Apache-2.0
"""What weights find in held-out synthetic scenes, and how that is counted."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

import numpy as np

from segmif_ros.arrays import Image
from segmif_ros.data.mixture import SceneSource
from segmif_ros.data.transforms import Sample
from segmif_ros.evaluation.card.card_types import Missing, SceneFigures, SegmentationFigures
from segmif_ros.evaluation.card.conditions import (
    FIRST_SEED,
    INPUTS,
    SCENE_HEIGHT,
    SCENE_WIDTH,
    SHIFTS_PX,
    shift_infrared,
)
from segmif_ros.evaluation.card.sheets import Gallery, SheetRow
from segmif_ros.evaluation.fusion_metrics import luma, structural_similarity
from segmif_ros.evaluation.segmentation_metrics import ConfusionMatrix
from segmif_ros.inference.engine import EngineProtocol, EngineResult
from segmif_ros.labels import FMB, LabelSet
from segmif_ros.scenes import LIGHTINGS

Advance = Callable[[int], None]

SHOWN = 4


@dataclass(kw_only=True, eq=False)
class _Kept:
    """What remains of a scene where one camera is missing: sums over scenes."""

    similarity: list[float] = field(default_factory=list)
    contrast: list[float] = field(default_factory=list)

    def add(self, remaining: Image, fused: Image) -> None:
        grey = luma(fused)
        self.similarity.append(structural_similarity(remaining, grey))
        if np.ptp(remaining):
            self.contrast.append(float(np.std(grey) / np.std(remaining)))

    def figures(self, shown: str) -> Missing:
        return {
            "input": shown,
            "ssim": float(np.mean(self.similarity)),
            "contrast": float(np.mean(self.contrast)) if self.contrast else None,
        }


class Matrices:
    """Confusion matrices by key, and the mean IoU of the single image that was added last."""

    def __init__(self, classes: int) -> None:
        self._classes = classes
        self.by_key: dict[tuple[str, ...], ConfusionMatrix] = {}

    def add(self, keys: Sequence[tuple[str, ...]], truth: Image, labels: Image, source: str) -> float:
        """Count labels, uint8 (H, W), under every key; return the mean IoU of this image alone."""
        one = ConfusionMatrix(self._classes)
        one.update(truth, labels, source)
        for key in keys:
            self.by_key.setdefault(key, ConfusionMatrix(self._classes)).counts += one.counts
        return one.mean_iou("present").value


def segmentation_figures(matrix: ConfusionMatrix, labels: LabelSet, classes: Sequence[int]) -> SegmentationFigures:
    """MIoU over ``classes`` under both conventions, with the classes each was taken over, and IoU by class."""
    present, fixed = matrix.mean_iou("present", classes), matrix.mean_iou("fixed", classes)
    iou = matrix.iou()
    return {
        "miou_present": present.value,
        "classes_present": [labels.names[c] for c in present.classes],
        "miou_fixed": fixed.value,
        "classes_fixed": [labels.names[c] for c in fixed.classes],
        "pixel_accuracy": matrix.pixel_accuracy(),
        "iou": {labels.names[c]: None if np.isnan(iou[c]) else float(iou[c]) for c in classes},
    }


def result_row(what: str, score: float, pair: tuple[Image, Image], result: EngineResult, truth: Image) -> SheetRow:
    """Return the row of a sheet for a pair, infrared and RGB, and what the engine made of it."""
    return SheetRow(
        caption=f"{what}, mIoU {100 * score:.0f}",
        infrared=pair[0],
        rgb=pair[1],
        fused=result.fused,
        labels=result.labels,
        truth=truth,
    )


def report_scenes(engine: EngineProtocol, count: int, gallery: Gallery, advance: Advance) -> SceneFigures:
    """Measure ``count`` held-out scenes of each lighting: both inputs, each alone, and infrared moved.

    The unlabelled class is not in the means. ``advance`` is called after every scene.
    """
    source = SceneSource(first_seed=FIRST_SEED, count=len(LIGHTINGS) * count, height=SCENE_HEIGHT, width=SCENE_WIDTH)
    matrices = Matrices(len(FMB))
    kept = {"RGB alone": _Kept(), "infrared alone": _Kept()}
    for index in range(len(source)):
        sample, lighting = source.sample(index, np.random.default_rng(0)), source.lighting(index)
        for name, pair in _scene_inputs(sample, index).items():
            result = engine.infer(*pair)
            score = matrices.add([(lighting, name), ("all", name)], sample.labels, result.labels, sample.name)
            row = result_row(f"seed {source.first_seed + index}, {lighting}", score, pair, result, sample.labels)
            if name == "fused":
                gallery.offer("scenes-worst", score, row)
            if name == "fused" and index // len(LIGHTINGS) < SHOWN:
                gallery.show(f"scenes-{lighting}", row)
            if name in kept:
                kept[name].add(luma(sample.rgb) if name == "RGB alone" else sample.infrared, result.fused)
                if index // len(LIGHTINGS) < SHOWN // 2:
                    gallery.show(f"scenes-{name.replace(' ', '-')}", row)
        advance(1)
    return {
        "first_seed": FIRST_SEED,
        "scenes_per_lighting": count,
        "height": SCENE_HEIGHT,
        "width": SCENE_WIDTH,
        "segmentation": {
            group: {name: _figures(matrices, group, name) for name in INPUTS} for group in (*LIGHTINGS, "all")
        },
        "misregistration": {
            str(shift): {
                group: _figures(matrices, group, _moved(shift) if shift else "fused")["miou_present"]
                for group in (*LIGHTINGS, "all")
            }
            for shift in SHIFTS_PX
        },
        "missing": {
            "infrared": kept["RGB alone"].figures("RGB alone"),
            "RGB": kept["infrared alone"].figures("infrared alone"),
        },
    }


def _scene_inputs(sample: Sample, index: int) -> dict[str, tuple[Image, Image]]:
    """Return the pairs that a scene is shown as, by name."""
    inputs = {name: choose(sample.infrared, sample.rgb) for name, choose in INPUTS.items()}
    moved = {_moved(shift): (shift_infrared(sample.infrared, shift, index), sample.rgb) for shift in SHIFTS_PX if shift}
    return inputs | moved


def _figures(matrices: Matrices, group: str, name: str) -> SegmentationFigures:
    """Return the figures of one lighting and input, without the unlabelled class."""
    classes = [c for c in range(len(FMB)) if FMB.names[c] != "unlabelled"]
    return segmentation_figures(matrices.by_key[group, name], FMB, classes)


def _moved(shift: int) -> str:
    return f"infrared moved by {shift} px"
