# SPDX-License-Identifier: Apache-2.0
"""What weights find on held-out labelled data: synthetic scenes, and CamVid by day and darkened to night."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from segmif_ros.data.camvid import CamVid, camvid_to_fmb
from segmif_ros.data.mixture import SceneSource
from segmif_ros.data.scenes import LIGHTINGS
from segmif_ros.evaluation.fusion import luma, structural_similarity
from segmif_ros.evaluation.segmentation import ConfusionMatrix
from segmif_ros.evaluation.weights_conditions import (
    FIRST_SEED,
    INPUTS,
    SCENE_HEIGHT,
    SCENE_WIDTH,
    SHIFTS_PX,
    night,
    shift_infrared,
    spread,
    without_infrared,
)
from segmif_ros.evaluation.weights_sheets import Gallery, Row
from segmif_ros.inference.engine import EngineProtocol
from segmif_ros.labels import CAMVID, FMB, LabelSet

Image = npt.NDArray[np.uint8]
Advance = Callable[[int], None]

SHOWN = 4
# classes of FMB that CamVid's coarser ones hold: its cars include trucks and buses, its signs traffic lights
_MERGED = {"truck": "car", "bus": "car", "motorcycle": "bicycle", "lamp": "sign"}


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

    def means(self) -> dict[str, float | None]:
        return {
            "ssim": float(np.mean(self.similarity)),
            "contrast": float(np.mean(self.contrast)) if self.contrast else None,
        }


class _Matrices:
    """Confusion matrices by key, and the mean IoU of the single image that was added last."""

    def __init__(self, classes: int) -> None:
        self._classes = classes
        self.by_key: dict[tuple[str, ...], ConfusionMatrix] = {}

    def add(self, keys: Sequence[tuple[str, ...]], truth: Image, labels: Image, source: str) -> float:
        one = ConfusionMatrix(self._classes)
        one.update(truth, labels, source)
        for key in keys:
            self.by_key.setdefault(key, ConfusionMatrix(self._classes)).counts += one.counts
        return one.mean_iou("present").value


def segmentation_figures(matrix: ConfusionMatrix, labels: LabelSet, classes: Sequence[int]) -> dict[str, Any]:
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


def report_scenes(engine: EngineProtocol, count: int, gallery: Gallery, advance: Advance) -> dict[str, Any]:
    """Measure ``count`` held-out scenes of each lighting: both inputs, each alone, and infrared moved.

    The unlabelled class is not in the means. ``advance`` is called after every scene.
    """
    source = SceneSource(first_seed=FIRST_SEED, count=len(LIGHTINGS) * count, height=SCENE_HEIGHT, width=SCENE_WIDTH)
    classes = [c for c in range(len(FMB)) if FMB.names[c] != "unlabelled"]
    matrices = _Matrices(len(FMB))
    kept = {"RGB alone": _Kept(), "infrared alone": _Kept()}
    for index in range(len(source)):
        sample, lighting = source.sample(index, np.random.default_rng(0)), source.lighting(index)
        inputs = {name: choose(sample.infrared, sample.rgb) for name, choose in INPUTS.items()}
        inputs |= {
            _moved(shift): (shift_infrared(sample.infrared, shift, index), sample.rgb) for shift in SHIFTS_PX if shift
        }
        for name, pair in inputs.items():
            result = engine.infer(*pair)
            keys = [(lighting, name), ("all", name)]
            score = matrices.add(keys, sample.labels, result.labels, sample.name)
            row = Row(
                caption=f"seed {source.first_seed + index}, {lighting}, mIoU {100 * score:.0f}",
                infrared=pair[0],
                rgb=pair[1],
                fused=result.fused,
                labels=result.labels,
                truth=sample.labels,
            )
            if name == "fused":
                gallery.offer("scenes-worst", score, row)
            if name == "fused" and index // len(LIGHTINGS) < SHOWN:
                gallery.show(f"scenes-{lighting}", row)
            if name in kept:
                kept[name].add(luma(sample.rgb) if name == "RGB alone" else sample.infrared, result.fused)
                if index // len(LIGHTINGS) < SHOWN // 2:
                    gallery.show(f"scenes-{name.replace(' ', '-')}", row)
        advance(1)
    groups = (*LIGHTINGS, "all")

    def figures(name: str) -> dict[str, dict[str, Any]]:
        return {group: segmentation_figures(matrices.by_key[group, name], FMB, classes) for group in groups}

    by_input = {name: figures(name) for name in INPUTS}
    moved = {shift: figures(_moved(shift)) if shift else by_input["fused"] for shift in SHIFTS_PX}
    return {
        "first_seed": FIRST_SEED,
        "scenes_per_lighting": count,
        "height": SCENE_HEIGHT,
        "width": SCENE_WIDTH,
        "segmentation": {group: {name: by_input[name][group] for name in INPUTS} for group in groups},
        "misregistration": {
            str(shift): {group: each[group]["miou_present"] for group in groups} for shift, each in moved.items()
        },
        "missing": {
            "infrared": {"input": "RGB alone", **kept["RGB alone"].means()},
            "RGB": {"input": "infrared alone", **kept["infrared alone"].means()},
        },
    }


def _moved(shift: int) -> str:
    return f"infrared moved by {shift} px"


def report_camvid(
    engine: EngineProtocol, data: CamVid, most: int | None, gallery: Gallery, advance: Advance
) -> dict[str, Any]:
    """Measure CamVid's RGB by day and darkened by `night`, each with a uniform grey and with invented infrared.

    Args:
        engine: Of FMB's classes, or of CamVid's own where ``data`` has them.
        data: One split.
        most: Images, spread evenly; None for all.
        gallery: Takes examples and the worst.
        advance: Called after every image.

    Returns:
        Figures over the classes that CamVid maps onto, "merged" ones with the predicted classes folded as coarsely as
        CamVid's are, and what the night takes away.
    """
    labels = engine.label_set
    classes = list(range(len(CAMVID) - 1))
    if labels.name == FMB.name:
        mapped = camvid_to_fmb(np.arange(len(CAMVID), dtype=np.uint8)[None])
        classes = [int(c) for c in np.unique(mapped) if c != FMB.ignore_id]
    indices = spread(len(data), len(data) if most is None else most)
    shown = {indices[i] for i in spread(len(indices), 2 * SHOWN)}
    matrices = _Matrices(len(labels))
    for index in indices:
        sample = data.sample(index, np.random.default_rng((FIRST_SEED, index)))
        dark = night(sample.rgb, index)
        inputs = {
            "RGB": without_infrared(sample.infrared, sample.rgb),
            "RGB with invented infrared": (sample.infrared, sample.rgb),
            "night RGB": without_infrared(sample.infrared, dark),
            "night RGB with invented infrared": (sample.infrared, dark),
        }
        for name, pair in inputs.items():
            result = engine.infer(*pair)
            score = matrices.add([(name,)], sample.labels, result.labels, sample.name)
            row = Row(
                caption=f"{Path(sample.name).stem}, mIoU {100 * score:.0f}",
                infrared=pair[0],
                rgb=pair[1],
                fused=result.fused,
                labels=result.labels,
                truth=sample.labels,
            )
            if name == "RGB":
                gallery.offer("camvid-worst", score, row)
            if index in shown:
                gallery.show(f"camvid-{name.replace(' ', '-')}", row)
        advance(1)
    found = {key[0]: matrix for key, matrix in matrices.by_key.items()}
    figures = {name: segmentation_figures(matrix, labels, classes) for name, matrix in found.items()}
    report: dict[str, Any] = {
        "images": len(indices),
        "label_set": labels.name,
        "segmentation": figures,
        "night_loss": night_loss({name: each["miou_fixed"] for name, each in figures.items()}),
    }
    if labels.name == FMB.name:
        report["merged"] = {
            name: segmentation_figures(_merge(matrix), labels, classes) for name, matrix in found.items()
        }
    return report


def night_loss(miou: dict[str, float]) -> dict[str, Any]:
    """Compare what the night takes away without and with infrared.

    Args:
        miou: In 0..1, by the names of `report_camvid`.

    Returns:
        "RGB" and "with infrared": mIoU lost; "ratio" of the second to the first and "less_than_half", both None where
        RGB alone loses nothing.
    """
    alone = miou["RGB"] - miou["night RGB"]
    both = miou["RGB with invented infrared"] - miou["night RGB with invented infrared"]
    ratio = both / alone if alone > 0 else None
    return {
        "RGB": alone,
        "with infrared": both,
        "ratio": ratio,
        "less_than_half": None if ratio is None else ratio < 0.5,
    }


def _merge(matrix: ConfusionMatrix) -> ConfusionMatrix:
    """Count predictions of finer classes as those of the class of CamVid's that holds them."""
    merged = ConfusionMatrix(matrix.num_classes)
    merged.counts += matrix.counts
    for fine, coarse in _MERGED.items():
        merged.counts[:, FMB.id_of(coarse)] += merged.counts[:, FMB.id_of(fine)]
        merged.counts[:, FMB.id_of(fine)] = 0
    return merged
