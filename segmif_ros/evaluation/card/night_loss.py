# SPDX-License-Identifier: Apache-2.0
"""What darkness takes from weights: beside the same weights without infrared, and beside an RGB-only model."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np

from segmif_ros.arrays import Image
from segmif_ros.evaluation.card.card_types import DayAndNight, NightLoss, Ratio, RgbReferenceFigures
from segmif_ros.evaluation.forward import predict_labels
from segmif_ros.evaluation.segmentation_metrics import ConfusionMatrix
from segmif_ros.inference.weights import parse_weights, resolve_weights, weights_hash
from segmif_ros.labels import CAMVID, IGNORE_ID, LabelSet, common_name, counterparts, label_set_of
from segmif_ros.model import SegMiF, load_checkpoint

RGB, NIGHT = "RGB", "night RGB"
# names (the common ones) of classes that CamVid's coarser ones hold
_COARSER = {"truck": "car", "bus": "car", "motorcycle": "bicyclist", "lamp": "sign"}


@dataclass(frozen=True, kw_only=True, eq=False)
class RgbReference:
    """An RGB-only model: the segmentation network of weights, in evaluation mode, that is shown RGB images alone."""

    name: str
    sha256: str
    model: SegMiF
    label_set: LabelSet


def load_reference(weights: str, device: str) -> RgbReference:
    """Load an RGB-only reference; WeightsError, CheckpointError or LabelSetError if it can't be used."""
    paths = resolve_weights(parse_weights(weights))
    model = load_checkpoint(paths).to(device).eval().requires_grad_(False)
    return RgbReference(
        name=model.metadata.get("name", Path(paths[0]).stem),
        sha256=weights_hash(paths),
        model=model,
        label_set=label_set_of(model.metadata, model.config.num_classes),
    )


class Comparison:
    """Counts weights and an RGB-only reference in CamVid's classes, over those that both have.

    Classes that CamVid's are coarser than count as the one that holds them, in either's predictions; what has no
    counterpart there counts as wrong. Truth of a class that one of both lacks is not counted.

    Args:
        reference: The RGB-only model.
        labels: Classes of the weights and of the truth.
    """

    def __init__(self, reference: RgbReference, labels: LabelSet) -> None:
        self._reference = reference
        common, theirs = counterparts(CAMVID, labels), counterparts(CAMVID, reference.label_set)
        self._classes = [i for i in common if common[i] is not None and theirs[i] is not None]
        self._ours, self._theirs = _prediction_table(labels), _prediction_table(reference.label_set)
        self._truth = np.full(256, IGNORE_ID, np.uint8)
        for i in self._classes:
            self._truth[common[i]] = i
        self._matrices: dict[str, ConfusionMatrix] = {}

    def add(self, name: str, rgb: Image, truth: Image, labels: Image) -> None:
        """Count what the weights found, ``labels``, and show the reference ``rgb`` where no infrared comes with it.

        Args:
            name: Of the input, as in `weights_camvid`.
            rgb: uint8 (H, W, 3).
            truth: uint8 (H, W), ids of the weights' classes or 255.
            labels: uint8 (H, W), ids of the weights' classes.
        """
        true = self._truth[truth]
        self._matrix(name).update(true, self._ours[labels], name)
        if name in (RGB, NIGHT):
            found = predict_labels(self._reference.model, rgb)
            self._matrix(f"reference {name}").update(true, self._theirs[found], name)

    def _matrix(self, name: str) -> ConfusionMatrix:
        return self._matrices.setdefault(name, ConfusionMatrix(len(CAMVID), CAMVID.ignore_id))

    def figures(self) -> RgbReferenceFigures:
        """Return mean IoU as is and at night, what is lost of it, and whether that is less than half."""
        miou = {name: each.mean_iou("fixed", self._classes).value for name, each in self._matrices.items()}
        rows = {
            "RGB-only model": _lost(miou[f"reference {RGB}"], miou[f"reference {NIGHT}"]),
            "without infrared": _lost(miou[RGB], miou[NIGHT]),
            "with infrared": _lost(miou[f"{RGB} with invented infrared"], miou[f"{NIGHT} with invented infrared"]),
        }
        reference = self._reference
        return {
            "name": reference.name,
            "sha256": reference.sha256,
            "label_set": reference.label_set.name,
            "classes": [CAMVID.names[c] for c in self._classes],
            "night": rows,
            **_beside(rows["with infrared"]["lost"], rows["RGB-only model"]["lost"]),
        }


def night_loss(miou: dict[str, float]) -> NightLoss:
    """Compare what the night takes from one and the same weights without and with infrared.

    This is no statement about a model that was trained on RGB images alone: that is `Comparison`.

    Args:
        miou: In 0..1, by the names of `weights_camvid.report_camvid`.

    Returns:
        "without infrared" (a uniform grey in its place) and "with infrared": mIoU lost; "ratio" of the second to the
        first and "less_than_half", both None where nothing is lost without infrared.
    """
    alone = miou[RGB] - miou[NIGHT]
    both = miou[f"{RGB} with invented infrared"] - miou[f"{NIGHT} with invented infrared"]
    return {"without infrared": alone, "with infrared": both, **_beside(both, alone)}


def _lost(day: float, night: float) -> DayAndNight:
    return {"day": day, "night": night, "lost": day - night}


def _beside(lost: float, other: float) -> Ratio:
    ratio = lost / other if other > 0 else None
    return {"ratio": ratio, "less_than_half": None if ratio is None else ratio < 0.5}


def _prediction_table(labels: LabelSet) -> Image:
    """Return CamVid's id by predicted id; what has no counterpart is unlabelled there, which no truth is."""
    coarser = {
        name: _COARSER[common_name(name)]
        for name in labels.names
        if common_name(name) in _COARSER and name not in CAMVID.names
    }
    table = np.full(256, CAMVID.ignore_id, np.uint8)
    for i, j in counterparts(labels, CAMVID, coarser).items():
        table[i] = CAMVID.ignore_id if j is None else j
    return table
