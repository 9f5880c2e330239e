# SPDX-License-Identifier: Apache-2.0
"""Pairs of a folder as frames: the filter of the node steadies their labels, repeatably."""

from collections.abc import Callable
from pathlib import Path

import cv2
import numpy as np
import pytest
from test_evaluate import RedEngine, config

from segmif_ros import cli
from segmif_ros.data.published import PairItem
from segmif_ros.evaluation.evaluate import EvaluationConfig, evaluate
from segmif_ros.evaluation.sequences import SequenceFilter
from segmif_ros.inference.engine import EngineResult

SIZE = (64, 96)
FRAMES = 5


class BlueFlicker(RedEngine):
    """Calls all the class of the blue channel's mean, surely where that is 1."""

    def infer(self, infrared: np.ndarray, rgb: np.ndarray) -> EngineResult:
        super().infer(infrared, rgb)
        labels = np.full(SIZE, 1 if rgb[0, 0, 2] == 1 else 2, np.uint8)
        return EngineResult(fused=rgb, labels=labels, confidence=np.where(labels == 1, 250, 90).astype(np.uint8))


@pytest.fixture
def root(tmp_path: Path) -> Path:
    """A still view whose third frame says another class."""
    look = cv2.resize(np.random.default_rng(0).integers(0, 255, (8, 12), np.uint8), SIZE[::-1])
    for number in range(FRAMES):
        rgb = np.dstack([look, look, look])
        rgb[0, 0, 0] = 9 if number == 2 else 1  # blue in OpenCV's order
        images = {"ir": look, "vi": rgb, "Segmentation_labels": np.ones(SIZE, np.uint8)}
        for folder, image in images.items():
            path = tmp_path / "data" / "test" / folder / f"{number:05d}D.png"
            path.parent.mkdir(parents=True, exist_ok=True)
            assert cv2.imwrite(str(path), image)
    return tmp_path / "data"


@pytest.fixture
def run(root: Path, tmp_path: Path) -> Callable[..., EvaluationConfig]:
    def make(out: str, **changes: object) -> EvaluationConfig:
        return config(root, tmp_path / out, **{"engine": BlueFlicker, "metrics": ("EN",), **changes})

    return make


def car(report: dict) -> float:
    return report["segmentation"]["all"]["iou"]["car"]


def test_a_frame_that_flickers_is_steadied(run) -> None:
    without, steadied = evaluate(run("plain")), evaluate(run("steady", temporal="filter"))
    assert car(without) == pytest.approx((FRAMES - 1) / FRAMES)
    assert car(steadied) == 1.0
    assert steadied["header"]["configuration"]["temporal"] == "filter"


def test_two_runs_and_a_resumed_one_write_the_same_bytes(run, tmp_path: Path) -> None:
    for out in ("one", "two"):
        evaluate(run(out, temporal="filter"))
    with pytest.raises(KeyboardInterrupt):
        evaluate(run("cut", temporal="filter", engine=lambda: BlueFlicker(stop_after=2)))
    evaluate(run("cut", temporal="filter"))
    one, two, cut = ((tmp_path / out / "report.json").read_bytes() for out in ("one", "two", "cut"))
    assert one == two == cut
    assert len((tmp_path / "cut" / "records.jsonl").read_text().splitlines()) == FRAMES


def test_each_folder_is_a_sequence_of_its_own(root: Path) -> None:

    items = [PairItem(key=f"{i}", infrared=None, rgb=Path(f"{i // 2}/{i}.png"), labels=None) for i in range(4)]
    steady = SequenceFilter(items, "filter")
    rgb = cv2.imread(str(next((root / "test" / "vi").iterdir())))
    seen = []
    for item, label in zip(items, (1, 1, 2, 2), strict=True):
        labels = np.full(SIZE, label, np.uint8)
        result = EngineResult(fused=rgb, labels=labels, confidence=np.full(SIZE, 90, np.uint8))
        seen.append(int(steady.apply(item, result).labels[5, 5]))
    assert seen == [1, 1, 2, 2]  # what the first folder showed is no evidence in the second


@pytest.mark.parametrize("given", [["--workers", "2"], ["--scheduler", "tcp://nowhere:1"], ["--baseline", "average"]])
def test_what_a_filter_cannot_be_combined_with_is_one_line(root: Path, given, capsys, tmp_path: Path) -> None:
    arguments = ["evaluate", str(root), "--dataset", "msrs", "--temporal", "filter", "--out", str(tmp_path / "out")]
    assert cli.main([*arguments, *given]) == 2
    said = capsys.readouterr().err
    assert "--temporal filter" in said and "leave" in said and said.count("\n") == 1
