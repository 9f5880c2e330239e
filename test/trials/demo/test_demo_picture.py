# SPDX-License-Identifier: Apache-2.0
"""The picture of synthetic scenes: three lightings, five pictures each, the classes that are there."""

import argparse
from typing import Any

import numpy as np
import pytest

from segmif_ros.inference.engine import EngineResult
from segmif_ros.labels import FMB
from segmif_ros.trials.demo.picture import PictureError, add_arguments, draw, run


class _FakeEngine:
    label_set = FMB
    model_name, model_hash, device_name = "fake", "0" * 12, "cpu"
    backend_name, precision = "abacus", "exact"

    def __init__(self) -> None:
        self.seen: list[tuple[Any, ...]] = []

    def warm_up(self, height: int, width: int) -> None:
        pass

    def infer(self, infrared: np.ndarray, rgb: np.ndarray) -> EngineResult:
        self.seen.append((infrared.shape, infrared.dtype, rgb.shape))
        labels = np.full(infrared.shape, FMB.id_of("road"), np.uint8)
        labels[:5] = FMB.id_of("car")
        return EngineResult(fused=rgb, labels=labels, confidence=labels)


def test_the_picture_has_a_row_of_five_for_each_lighting() -> None:
    engine = _FakeEngine()
    picture = draw(engine, seed=0, t_s=0.0, height=48, width=64)
    assert engine.seen == [((48, 64), np.uint8, (48, 64, 3))] * 3
    assert picture.shape[1] == 5 * 64 + 4 * 6
    assert picture.shape[0] > 3 * 48


def test_the_legend_names_only_classes_that_are_there() -> None:
    picture = draw(_FakeEngine(), seed=0, t_s=0.0, height=48, width=64)
    below = picture[-12:].reshape(-1, 3).tolist()
    assert FMB.palette[FMB.id_of("road")].tolist() in below
    assert FMB.palette[FMB.id_of("bus")].tolist() not in below


def test_a_picture_without_width_is_refused_in_one_line() -> None:
    parser = argparse.ArgumentParser()
    add_arguments(parser)
    with pytest.raises(PictureError, match="--width 0: a number of pixels above 0"):
        run(parser.parse_args(["--width", "0", "--out", "new.jpg"]))
