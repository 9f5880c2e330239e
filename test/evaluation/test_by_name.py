# SPDX-License-Identifier: Apache-2.0
"""A model judged by truth of other classes."""

from pathlib import Path

import cv2
import numpy as np
import pytest

from segmif_ros.data.published import open_dataset
from segmif_ros.evaluation.by_name import ByName
from segmif_ros.evaluation.errors import EvaluationError
from segmif_ros.evaluation.evaluate import EvaluationConfig, evaluate
from segmif_ros.inference.engine import EngineResult
from segmif_ros.labels import CAMVID, FMB, MFNET, PST900

CAR, GUARDRAIL = MFNET.id_of("car"), MFNET.id_of("guardrail")


def test_fmb_classes_are_judged_by_mfnet_truth() -> None:
    by_name = ByName(FMB, MFNET)
    meant = {name: MFNET.names[by_name.predictions[i]] for i, name in enumerate(FMB.names)}
    assert {name for name, target in meant.items() if target == "car"} == {"car", "truck", "bus"}
    assert {name for name, target in meant.items() if target == "bike"} == {"bicycle", "motorcycle"}
    assert meant["person"] == "person" and meant["road"] == meant["sky"] == "unlabelled"
    assert [MFNET.names[i] for i in by_name.judged] == ["unlabelled", "car", "person", "bike"]


def test_it_is_said_what_counts_as_what_and_what_is_in_no_mean() -> None:
    (said,) = ByName(FMB, MFNET).notes()
    assert "the model has fmb's classes, the truth mfnet's" in said
    assert "truck and bus count as car; motorcycle counts as bike" in said
    assert "The model has no class for curve, car_stop, guardrail, color_cone, bump: they are in no mean." in said


def test_truth_that_tells_more_apart_than_the_model_is_merged() -> None:
    by_name = ByName(MFNET, FMB)
    meant = {name: FMB.names[by_name.truth[i]] for i, name in enumerate(FMB.names)}
    assert meant["truck"] == meant["bus"] == "car" and meant["motorcycle"] == "bicycle" and meant["road"] == "road"
    assert [FMB.names[i] for i in by_name.judged] == ["unlabelled", "person", "car", "bicycle"]


def test_pixels_without_truth_stay_without() -> None:
    assert ByName(FMB, MFNET).truth[255] == 255
    assert ByName(FMB, PST900).truth[np.array([255, 4])].tolist() == [255, 4]


def test_truth_without_a_class_for_the_rest_is_refused() -> None:
    with pytest.raises(EvaluationError, match="has no class for all that it doesn't name"):
        ByName(FMB, CAMVID)


class RedEngine:
    """Of FMB's classes, without guardrails; the labels are the RGB image's red channel."""

    label_set = FMB
    model_name, model_hash, device_name = "red", "0" * 12, "cpu"
    backend_name, precision = "abacus", "exact"

    def warm_up(self, height: int, width: int) -> None: ...

    def infer(self, infrared: np.ndarray, rgb: np.ndarray) -> EngineResult:
        return EngineResult(
            fused=np.full_like(rgb, 100), labels=rgb[..., 0].copy(), confidence=np.full_like(infrared, 51)
        )


def judged(tmp_path: Path, frames: dict[str, tuple[np.ndarray, np.ndarray]], **changes: str) -> dict:
    """Evaluate frames of (truth in MFNet's ids, prediction in FMB's)."""
    for name, (truth, predicted) in frames.items():
        grey = np.zeros_like(truth)
        images = {"ir": grey, "vi": np.dstack([grey, grey, predicted]), "Segmentation_labels": truth}  # BGR
        for folder, image in images.items():
            path = tmp_path / "data" / "test" / folder / f"{name}.png"
            path.parent.mkdir(parents=True, exist_ok=True)
            cv2.imwrite(str(path), image)
    dataset = open_dataset("msrs", tmp_path / "data")
    return evaluate(EvaluationConfig(dataset=dataset, out=tmp_path / "out", engine=RedEngine, metrics=(), **changes))


def halves(left: int, right: int, right_below: int | None = None) -> np.ndarray:
    image = np.full((16, 16), left, np.uint8)
    image[:, 8:] = right
    image[8:, 8:] = right if right_below is None else right_below
    return image


def test_frames_and_pixels_of_classes_that_the_model_lacks_count_for_nothing(tmp_path: Path) -> None:
    car, road = FMB.id_of("car"), FMB.id_of("road")
    everything_else_right = halves(CAR, GUARDRAIL, 0), halves(car, road)
    half_the_car_missed = halves(0, CAR), halves(road, road, car)
    report = judged(tmp_path, {"00001D": everything_else_right, "00002D": half_the_car_missed})
    assert report["frames"]["ranked_by"] == "mean IoU of the classes present that the model has"
    best = report["frames"]["best"][0]
    assert (best["key"], best["score"]) == (
        "00001D",
        pytest.approx((1 + 1 / 2) / 2),
    )  # rest is predicted twice as large
    assert report["segmentation"]["all"]["pixel_accuracy"] == pytest.approx((192 + 192) / (192 + 256))


def test_the_difference_is_red_only_where_a_class_that_the_model_has_is_wrong(tmp_path: Path) -> None:
    car, road = FMB.id_of("car"), FMB.id_of("road")
    judged(tmp_path, {"00001D": (halves(0, GUARDRAIL), halves(road, road, car))})
    red, _, blue = (
        cv2.imread(str(tmp_path / "out/pictures/00001D/difference.jpg"))[..., ::-1].astype(int).transpose(2, 0, 1)
    )
    right, lacking, wrong = (4, 3), (3, 12), (12, 12)
    assert abs(red[right] - blue[right]) < 20
    assert blue[lacking] > red[lacking] + 20
    assert red[wrong] > blue[wrong] + 100


def test_what_is_left_unlabelled_is_not_wrong_in_the_difference(tmp_path: Path) -> None:
    judged(tmp_path, {"00001D": (halves(0, CAR), halves(FMB.id_of("car"), FMB.id_of("car")))}, unlabelled="ignore")
    red, _, blue = (
        cv2.imread(str(tmp_path / "out/pictures/00001D/difference.jpg"))[..., ::-1].astype(int).transpose(2, 0, 1)
    )
    assert blue[4, 3] > red[4, 3] + 20
    assert abs(red[4, 12] - blue[4, 12]) < 20
