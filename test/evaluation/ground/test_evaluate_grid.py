# SPDX-License-Identifier: Apache-2.0
"""`segmif evaluate-grid`: drives, figures and files."""

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from fake_bag import FakeEngine

from segmif_ros import cli
from segmif_ros.evaluation.ground.drives import CONDITIONS, DriveConfig, run_drives
from segmif_ros.evaluation.ground.node_labels import NodeLabels
from segmif_ros.grid.config import GridConfig
from segmif_ros.grid.costs import default_costs_file, read_costs
from segmif_ros.imaging.missing import missing_infrared, missing_rgb

SMALL = DriveConfig(seeds=(5,), frames=6, height=96, width=128)
GRID = GridConfig(size_m=44, cell_m=0.4)


def _run(conditions, **options):
    return run_drives(conditions, SMALL, GRID, read_costs(default_costs_file()), **options)


def test_a_pose_that_looks_too_high_costs_safety() -> None:
    right = next(each for each in CONDITIONS if each.name == "exact labels")
    wrong = replace(right, name="wrong", pitch_error_deg=-3.0)
    good, bad = (each.scores.figures()["bands"]["5-10 m"] for each in _run([right, wrong], segment=None))
    assert bad["false_free"] > good["false_free"]


def test_a_network_that_sees_no_ground_makes_nothing_free() -> None:
    condition = next(each for each in CONDITIONS if each.name == "day")
    asked = []

    def segment(infrared, rgb):
        asked.append((infrared.shape, rgb.shape))
        return np.full(infrared.shape, 3, np.uint8), np.full(infrared.shape, 250, np.uint8)

    (got,) = _run([condition], segment=segment)
    assert asked[0] == ((96, 128), (96, 128, 3))
    assert all(not band["wrong_of_free"] for band in got.scores.figures()["bands"].values())


class Remembering(FakeEngine):
    """Keeps what it was shown."""

    def infer(self, infrared, rgb):
        self.shown = {"infrared": infrared, "rgb": rgb}
        return super().infer(infrared, rgb)


@pytest.mark.parametrize("lost", ["infrared", "rgb"])
def test_with_a_camera_gone_labels_come_by_the_nodes_own_way(lost) -> None:
    condition = next(each for each in CONDITIONS if each.name == "day")
    engine = Remembering()
    shown = NodeLabels(engine)
    _run([replace(condition, lost=lost)], segment=shown)
    substitute = {"infrared": missing_infrared, "rgb": missing_rgb}[lost](96, 128)
    other = engine.shown["rgb" if lost == "infrared" else "infrared"]
    assert (engine.shown[lost] == substitute).all()
    assert other.std() > 1
    labels, confidence = shown(*(None if each == lost else other for each in ("infrared", "rgb")))
    assert labels.shape == (96, 128)
    assert confidence.max() == 49, "half of 99: nobody has calibrated this network"


def test_the_command_writes_figures_page_and_picture(tmp_path: Path, capsys) -> None:
    words = ["--exact-only", "--drives", "1", "--frames", "6", "--size", "128x96", "--cell", "0.4"]
    assert cli.main(["evaluate-grid", *words, "--out", str(tmp_path)]) == 0
    report = json.loads((tmp_path / "grid.json").read_text())
    assert set(report["conditions"]["exact labels"]["bands"]) == {"0-5 m", "5-10 m", "10-20 m"}
    assert "false free" in (tmp_path / "grid.html").read_text()
    assert (tmp_path / "grid.jpg").stat().st_size > 1000
    assert "10-20 m" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("words", "said"),
    [(["--size", "big"], "as WIDTHxHEIGHT"), (["--frames", "2"], "6 or more"), (["--rate", "0"], "0.01 or more")],
)
def test_a_wrong_option_is_one_line(tmp_path: Path, capsys, words, said) -> None:
    with pytest.raises(SystemExit) as ended:
        cli.main(["evaluate-grid", "--exact-only", "--out", str(tmp_path), *words])
    assert ended.value.code == 2
    assert said in capsys.readouterr().err
