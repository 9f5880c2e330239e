# SPDX-License-Identifier: Apache-2.0
"""A model folder goes wherever weights go: one network of another design through every command."""

import argparse
import json
import re
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest
from bag_fixtures import make_bag

pytest.importorskip("onnx", reason="onnx is not installed")

from standin_networks import early_fusion, rgb_only

from segmif_ros.evaluation import command as evaluate
from segmif_ros.evaluation.card import command as weights_report
from segmif_ros.inference import models
from segmif_ros.inference.backends import missing_packages
from segmif_ros.inference.weights import WeightsError
from segmif_ros.labels import label_set
from segmif_ros.trials import bench, replay_command

__all__ = ["make_bag"]
pytestmark = pytest.mark.skipif(bool(missing_packages("onnxruntime")), reason="onnxruntime and onnx not installed")


def _run(module: Any, *arguments: object) -> int:
    parser = argparse.ArgumentParser()
    module.add_arguments(parser)
    return module.run(parser.parse_args([str(each) for each in arguments]))


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return early_fusion(tmp_path / "net")


@pytest.fixture
def pairs(tmp_path: Path) -> Path:
    random = np.random.default_rng(0)
    for side, shape in (("infrared", (64, 80)), ("visible", (64, 80, 3))):
        (tmp_path / "pairs" / side).mkdir(parents=True)
        for stem in ("a", "b"):
            cv2.imwrite(str(tmp_path / "pairs" / side / f"{stem}.png"), random.integers(0, 256, shape, np.uint8))
    return tmp_path / "pairs"


def test_evaluate_reports_a_model_folder_by_its_name_and_backend(folder: Path, pairs: Path, tmp_path: Path) -> None:
    options = ("--dataset", "pairs", "--weights", folder, "--fusion-metrics", "EN", "--out", tmp_path / "out")
    assert _run(evaluate, pairs, *options) == 0
    header = json.loads((tmp_path / "out" / "report.json").read_text())["header"]
    assert header["model"]["name"] == "early-fusion"
    assert header["configuration"]["backend"] == "onnxruntime"


def test_replay_runs_a_bag_through_a_model_folder(folder: Path, make_bag: Any, tmp_path: Path) -> None:
    options = ("--weights", folder, "--fusion-metrics", "EN", "--out", tmp_path / "out")
    assert _run(replay_command, make_bag(), *options) == 0
    report = json.loads(next((tmp_path / "out").rglob("report.json")).read_text())
    assert report["header"]["model"]["name"] == "early-fusion"
    assert report["pairs"]["processed"] > 0


def test_bench_times_a_model_folder_against_its_own_reference(
    folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    options = ("--size", "64x48", "--frames", "1", "--warm-up", "0", "--device", "cpu", "--threads", "1")
    assert _run(bench, "--weights", folder, *options, "--out", tmp_path / "out") == 0
    rows = json.loads((tmp_path / "out" / "bench.json").read_text())["rows"]
    assert rows[0]["backend"] == "onnxruntime"
    assert {row["gflop"] for row in rows} == {None}
    assert "early-fusion" in capsys.readouterr().out


def test_models_describes_folders_each_by_itself(folder: Path, tmp_path: Path) -> None:
    other = rgb_only(tmp_path / "other")
    first, second = (models.describe(each) for each in models.asked_models([str(folder), str(other)]))
    assert (first.name, first.licence, first.classes) == ("early-fusion", "Apache-2.0", ("road", "person", "car"))
    assert (second.name, second.prior, second.parameters) == ("rgb-only", "none", None)
    assert models.models_table([first, second]).row_count == 2
    assert any("Apache-2.0" in line for line in models.details(first))


def test_models_runs_the_file_of_a_folder_and_names_the_entry_that_does_not_fit(folder: Path) -> None:
    facts = models.describe([str(folder)])
    assert facts.trial_run == "passed, by onnxruntime"
    assert "  trial run   passed, by onnxruntime" in models.details(facts)
    described = folder / "model.yaml"
    described.write_text(described.read_text().replace("name: image", "name: picture"))
    with pytest.raises(WeightsError, match=r"inputs\[0\]\.name is 'picture'"):
        models.describe([str(folder)])


def test_models_says_which_runtime_is_missing_for_a_trial_run(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(models, "lacking", lambda backend, *, file: f"backend '{backend}' needs something")
    assert models.describe([str(folder)]).trial_run == "not done: backend 'onnxruntime' needs something"


def test_the_page_states_how_many_classes_each_label_set_has() -> None:
    page = (Path(__file__).parents[2] / "docs" / "own_network.md").read_text()
    row = next(line for line in page.splitlines() if line.startswith("| `label_set`"))
    assert re.findall(r"`(\w+)` \((\d+)", row) == [
        (name, str(len(label_set(name)))) for name in ("fmb", "mfnet", "pst900", "camvid")
    ]


def test_weights_report_measures_a_model_folder_on_pairs(folder: Path, pairs: Path, tmp_path: Path) -> None:
    options = ("--all-pairs", pairs, "--only", "pairs", "--quick", "--threads", "1", "--out", tmp_path / "card")
    assert _run(weights_report, "--weights", folder, *options) == 0
    page = next((tmp_path / "card").rglob("report.html")).read_text()
    assert "early-fusion" in page


def test_the_node_loads_a_model_folder_as_it_loads_weights_and_so_does_a_reload(folder: Path) -> None:
    pytest.importorskip("rclpy", reason="no ROS 2 here")
    from segmif_ros.ros.node_config import NodeConfig
    from segmif_ros.ros.segmif_node import load_engine
    from segmif_ros.settings import from_values

    engine = load_engine(from_values(NodeConfig, {"weights": str(folder), "device": "cpu"}))
    assert (engine.model_name, engine.backend_name) == ("early-fusion", "onnxruntime")
