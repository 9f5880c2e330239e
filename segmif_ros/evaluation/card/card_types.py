# SPDX-License-Identifier: Apache-2.0
"""What report.json of a weights report holds, part by part. Shares and IoU are in 0..1."""

from __future__ import annotations

from typing import Any, TypedDict

# metric -> value, of the model ("model") and of each baseline
Means = dict[str, dict[str, float]]


class SegmentationFigures(TypedDict):
    """Mean IoU under both conventions, with the classes that each was taken over, and IoU by class."""

    miou_present: float
    classes_present: list[str]
    miou_fixed: float
    classes_fixed: list[str]
    pixel_accuracy: float
    iou: dict[str, float | None]


class Ratio(TypedDict):
    """One loss over another; None where the other is none."""

    ratio: float | None
    less_than_half: bool | None


_Losses = TypedDict("_Losses", {"without infrared": float, "with infrared": float})


class NightLoss(_Losses, Ratio):
    """Mean IoU that one and the same weights lose at night, without and with infrared."""


class DayAndNight(TypedDict):
    """Mean IoU as is, at night, and the difference."""

    day: float
    night: float
    lost: float


class RgbReferenceFigures(Ratio):
    """The same of a model that was trained on RGB alone, over the classes of both."""

    name: str
    sha256: str
    label_set: str
    classes: list[str]
    night: dict[str, DayAndNight]


class _CamVid(TypedDict):
    images: int
    label_set: str
    segmentation: dict[str, SegmentationFigures]
    night_loss: NightLoss


class CamVidFigures(_CamVid, total=False):
    """CamVid by input; "merged" with the predicted classes folded as coarsely as CamVid's are."""

    split: str
    held_out: bool
    merged: dict[str, SegmentationFigures]
    rgb_reference: RgbReferenceFigures


class Missing(TypedDict):
    """What the fused image keeps of the camera that is left: SSIM, and the quotient of standard deviations."""

    input: str
    ssim: float
    contrast: float | None


class _Scenes(TypedDict):
    first_seed: int
    scenes_per_lighting: int
    height: int
    width: int
    segmentation: dict[str, dict[str, SegmentationFigures]]
    misregistration: dict[str, dict[str, float]]
    missing: dict[str, Missing]


class SceneFigures(_Scenes, total=False):
    """Synthetic scenes by lighting and input; mean IoU by pixels that infrared was moved by."""

    held_out: bool


class ObjectFigures(TypedDict):
    """What is found of persons, cars and bicycles; None where there is nothing to count."""

    pairs: int
    iou: dict[str, float | None]
    miou: float | None
    precision: dict[str, float | None]
    recall: dict[str, float | None]
    persons_found: int
    person_boxes: int


class _Street(TypedDict):
    pairs: int
    found_share: float
    objects: dict[str, dict[str, ObjectFigures]]
    failing_cameras: dict[str, dict[str, float | None]]


class StreetFigures(_Street, total=False):
    """Real streets, by light and input."""

    held_out: bool


class _Pairs(TypedDict):
    pairs: int
    fusion: Means
    ranks: Means
    ahead_of_every_baseline: bool


class PairFigures(_Pairs, total=False):
    """Fusion metrics of real pairs, and ranks."""

    hold_out_every: int
    held_out: bool


class SteadinessFigures(TypedDict):
    """Grey levels, and the share of labels that change from frame to frame, see `flicker`."""

    largest_step: dict[str, float]
    change: dict[str, float]
    relative_change: dict[str, float | None]
    relabelled: float


class SequenceFigures(SteadinessFigures):
    """The same of a real sequence."""

    frames: int


class FlickerFigures(TypedDict):
    """The same of synthetic sequences, by lighting."""

    frames: int
    seed: int
    still: dict[str, SteadinessFigures]
    driving: dict[str, SteadinessFigures]


class CardReport(TypedDict, total=False):
    """report.json: what the weights are (`segmif_ros.inference.models.ModelFacts`), and every part that was measured.

    Attributes:
        left_out: Why a part wasn't measured, by its name.
        calibration: Of int8.
        curve: Points of the learning curve, see `learning_curve`.
    """

    format: int
    model: dict[str, Any]
    device: str
    backend: str
    precision: str
    calibration: str
    quick: bool
    left_out: dict[str, str]
    camvid: CamVidFigures
    scenes: SceneFigures
    streets: dict[str, StreetFigures]
    pairs: dict[str, PairFigures]
    flicker: FlickerFigures
    sequences: dict[str, SequenceFigures]
    curve: list[dict[str, Any]]
