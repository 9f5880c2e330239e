# SPDX-License-Identifier: Apache-2.0
"""The factor of the confidence with one camera: computed from counts, stored by the hash of the weights."""

import json
from types import SimpleNamespace

import numpy as np
import pytest

from segmif_ros.data.transforms import Sample
from segmif_ros.evaluation.single_camera_factors import Reliability, measure, write_factors
from segmif_ros.inference.single_confidence import UNCALIBRATED, is_calibrated, read_table, single_confidence
from segmif_ros.labels import FMB


def reliability(confidence: int, right: int, of: int) -> Reliability:
    found = Reliability()
    truth = np.array([[1] * right + [2] * (of - right)], np.uint8)
    found.add(truth, np.ones_like(truth), np.full_like(truth, confidence))
    return found


def test_the_factor_brings_the_mean_confidence_down_to_what_is_right() -> None:
    found = reliability(204, right=60, of=100)  # 80 % sure, 60 % right
    assert found.factor() == pytest.approx(0.75)
    assert found.error() == pytest.approx(0.2)
    assert found.error(found.factor()) == pytest.approx(0.0)


def test_a_network_that_doubts_itself_is_not_made_surer() -> None:
    assert reliability(128, right=90, of=100).factor() == 1.0


def test_pixels_without_truth_are_not_counted() -> None:
    found = Reliability()
    found.add(np.full((2, 2), 255, np.uint8), np.ones((2, 2), np.uint8), np.full((2, 2), 200, np.uint8))
    assert found.pixels.sum() == 0


def test_each_camera_alone_is_shown_to_the_engine_with_the_substitute_of_the_other() -> None:
    seen = []

    class Engine:
        label_set = FMB

        def infer(self, infrared, rgb):
            seen.append((int(infrared[0, 0]), int(rgb[0, 0, 0])))
            return SimpleNamespace(labels=np.ones((9, 9), np.uint8), confidence=np.full((9, 9), 100, np.uint8))

    rgb = np.full((9, 9, 3), 70, np.uint8)
    sample = Sample(name="s", infrared=rgb[..., 0] + 20, rgb=rgb, labels=np.ones((9, 9), np.uint8))
    found = measure(Engine(), [lambda: sample], lambda _count: None)
    assert seen == [(90, 70), (128, 70), (90, 0)]
    assert found["rgb"].accuracy == 1.0


def test_factors_are_stored_by_hash_and_replace_those_of_older_weights_of_that_name(tmp_path) -> None:
    table = tmp_path / "single_camera.json"
    for model_hash in ("old", "new"):
        engine = SimpleNamespace(model_name="mine", model_hash=model_hash)
        write_factors(engine, {"rgb": 0.9, "infrared": 0.8}, ["3 of scenes"], table)
    stored = json.loads(table.read_text())
    assert list(stored) == ["new"]
    assert read_table(table)["new"]["rgb"] == 0.9


def test_weights_that_nobody_calibrated_get_a_low_factor() -> None:
    assert not is_calibrated("no such hash")
    assert single_confidence("no such hash", "rgb") == UNCALIBRATED
