# SPDX-License-Identifier: Apache-2.0
"""`segmif weights-report`: which parts are measured on what, and that terminal, JSON and page say the same."""

import argparse
import dataclasses
import json
import shutil
from pathlib import Path

import cv2
import numpy as np
import pytest
from module_command import command_of

from segmif_ros.evaluation.card import command as weights_report
from segmif_ros.evaluation.card.card_page import render_page
from segmif_ros.evaluation.card.card_tables import report_tables
from segmif_ros.evaluation.card.command import measure
from segmif_ros.evaluation.card.measured_data import Amounts, Data, find_data
from segmif_ros.evaluation.card.sheets import Gallery
from segmif_ros.inference.models import describe
from segmif_ros.labels import FMB, MFNET
from segmif_ros.reporting.numbers import number
from segmif_ros.reporting.sheet import GAP_PX
from segmif_ros.result_folder import MARK_FILE

FEW = Amounts(scenes=1, images=1, pairs=2, frames=2)


def options(*arguments: object) -> argparse.Namespace:
    parser = argparse.ArgumentParser()
    weights_report.add_arguments(parser)
    return parser.parse_args([str(each) for each in arguments])


@pytest.fixture
def facts(tiny_file: Path):
    return describe([str(tiny_file)])


@pytest.fixture(scope="module")
def labelled(roadscene: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The pairs once more, in a folder of their own with labels: a person everywhere."""
    root = tmp_path_factory.mktemp("streets") / "yard"
    shutil.copytree(roadscene, root)
    (root / "labels").mkdir()
    for path in (root / "visible").iterdir():
        cv2.imwrite(str(root / "labels" / path.name), np.full((72, 80), FMB.id_of("person"), np.uint8))
    return root


@pytest.fixture(scope="module")
def outcome(
    tiny_file: Path, roadscene: Path, camvid_root: Path, labelled: Path, tmp_path_factory: pytest.TempPathFactory
):
    """Folder and status of one run over everything, with a curve beside the weights."""
    out = tmp_path_factory.mktemp("out")
    points = [{"step": 4, "loss": 1.0}, {"step": 5, "validation": {"scenes": {"miou": 0.125}}}]
    curve = tiny_file.with_name("tiny.curve.json")
    curve.write_text(json.dumps({"format": 1, "points": points}))
    few = pytest.MonkeyPatch()
    few.setattr(weights_report, "QUICK", FEW)
    command = ["--weights", str(tiny_file), "--data", str(roadscene.parent), "--quick", "--device", "cpu"]
    command += ["--streets", str(labelled), "--sequences", str(roadscene)]
    status = command_of(weights_report)([*command, "--out", str(out)])
    few.undo()
    curve.unlink()
    (folder,) = out.iterdir()
    return status, folder


def test_a_run_ends_well_in_a_folder_of_the_models_name(outcome) -> None:
    status, folder = outcome
    assert status == 0
    assert folder.name.startswith("tiny-")


def test_every_part_is_in_the_json(outcome) -> None:
    report = json.loads((outcome[1] / "report.json").read_text())
    assert set(weights_report.PARTS) <= set(report)
    assert report["left_out"] == {}
    assert (report["device"], report["backend"], report["precision"]) == ("cpu", "torch", "float32")
    assert report["pairs"]["roadscene"]["hold_out_every"] == 4
    assert report["curve"][1]["validation"] == {"scenes": {"miou": 0.125}}


def test_the_page_holds_every_figure_of_the_tables_and_needs_no_other_file(outcome) -> None:
    report = json.loads((outcome[1] / "report.json").read_text())
    page = (outcome[1] / "report.html").read_text()
    assert all(cell in page for table in report_tables(report) for row in table.rows for cell in row)
    assert 'src="data:image/jpeg' in page
    assert page.count('src="') == page.count('src="data:')


def test_the_page_names_the_colour_of_every_class(outcome) -> None:
    page = (outcome[1] / "report.html").read_text()
    assert '<i style="background: rgb(173, 229, 229)"></i>road' in page
    assert page.count("<i style=") == len(FMB)


def test_the_page_says_that_a_quick_run_is_no_measurement(outcome) -> None:
    assert "its figures are no measurement" in (outcome[1] / "report.html").read_text()


def test_there_are_sheets_of_day_night_and_worst_cases(outcome) -> None:
    names = {path.stem for path in outcome[1].glob("*.jpg")}
    assert {"scenes-day", "scenes-night", "scenes-worst", "camvid-RGB", "roadscene", "roadscene-worst"} <= names
    assert cv2.imread(str(outcome[1] / "roadscene.jpg")).shape[1] == 4 * 320 + 3 * GAP_PX


def test_the_learning_curve_is_drawn(outcome) -> None:
    assert "<svg" in (outcome[1] / "curve.svg").read_text()


def test_the_terminal_shows_the_figures_that_are_written(
    tiny_file: Path, roadscene: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    command = ["--weights", str(tiny_file), "--only", "pairs", "--pairs", str(roadscene), "--device", "cpu"]
    assert command_of(weights_report)([*command, "--out", str(tmp_path)]) == 0
    captured = capsys.readouterr()
    (folder,) = tmp_path.iterdir()
    report = json.loads((folder / "report.json").read_text())
    assert "scenes" not in report
    assert number(report["pairs"]["roadscene"]["fusion"]["model"]["Qabf"]) in captured.out
    assert f"{report['pairs']['roadscene']['ranks']['laplacian']['mean']:.2f}" in captured.out
    assert "tiny: roadscene, 2 pairs" in captured.err


def test_parts_without_data_are_left_out_and_said(engine, facts) -> None:
    data = Data(camvid=None, split="val", pairs={})
    report = measure(engine, facts, data, FEW, ("camvid", "pairs", "curve"), Gallery(FMB), lambda _: None)
    assert set(report["left_out"]) == {"camvid", "pairs", "curve"}
    assert "--camvid" in report["left_out"]["camvid"]


def test_weights_of_other_classes_are_measured_on_pairs_alone(fake_engine, facts, roadscene: Path) -> None:
    data = Data(camvid=roadscene.parent / "camvid", split="val", pairs={"roadscene": (roadscene, 0)})
    report = measure(
        fake_engine(MFNET), facts, data, FEW, ("camvid", "scenes", "pairs"), Gallery(MFNET), lambda _: None
    )
    assert report["pairs"]["roadscene"]["pairs"] == 2
    assert set(report["left_out"]) == {"camvid", "scenes"}
    assert "'mfnet'" in report["left_out"]["scenes"]


def test_a_part_that_was_asked_for_and_cannot_be_measured_is_an_error(
    tiny_file: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    command = ["--weights", str(tiny_file), "--only", "camvid", "--device", "cpu", "--out", str(tmp_path / "out")]
    assert command_of(weights_report)(command) == 2
    assert "camvid can't be measured: no --camvid" in capsys.readouterr().err
    assert [path.name for path in (tmp_path / "out").rglob("*") if path.is_file()] == [MARK_FILE]


def test_a_data_folder_is_searched_for_what_is_known(roadscene: Path, camvid_root: Path) -> None:
    data = find_data(options("--data", roadscene.parent))
    assert data.camvid == camvid_root
    assert data.pairs == {"roadscene": (roadscene, 4)}


def test_every_4th_or_all_of_a_folders_pairs_are_taken_by_option(tmp_path: Path) -> None:
    data = find_data(options("--pairs", tmp_path / "a", "--all-pairs", tmp_path / "b"))
    assert data.pairs == {"a": (tmp_path / "a", 4), "b": (tmp_path / "b", 0)}


def test_the_samples_that_nothing_is_trained_on_are_all_taken(tmp_path: Path) -> None:
    (tmp_path / "msrs_samples").mkdir()
    assert find_data(options("--data", tmp_path)).pairs == {"msrs_samples": (tmp_path / "msrs_samples", 0)}


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["--weights", "none.safetensors"], "none.safetensors"),
        (["--weights", "segmif-s", "segmif-xxl"], "segmif-xxl"),
        (["--rgb-reference", "none.safetensors"], "none.safetensors"),
        (["--scenes", "0"], "--scenes is 0"),
        (["--data", "nowhere"], "nowhere: no such folder"),
        (["--data", __file__], "test_card_command.py: not a folder"),
        (["--data", str(Path(__file__).parent)], "card: holds none of camvid"),
        (["--pairs", "x/road", "--all-pairs", "y/road"], "second folder of pairs called 'road'"),
    ],
)
def test_what_cannot_be_used_is_one_line_before_anything_is_measured(
    arguments: list[str], said: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert command_of(weights_report)([*arguments, "--out", str(tmp_path / "out")]) == 2
    captured = capsys.readouterr()
    assert captured.err.startswith("python -m segmif_ros.evaluation.card.command: ")
    assert said in captured.err
    assert captured.err.count("\n") == 1
    assert not captured.out


def test_all_packaged_weights_are_measured_by_default(
    tiny_file: Path, roadscene: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    packaged = tmp_path / "weights"
    packaged.mkdir()
    for name in ("one", "two"):
        (packaged / f"{name}.safetensors").write_bytes(tiny_file.read_bytes())
    monkeypatch.setattr("segmif_ros.inference.weights.PACKAGED_FOLDER", packaged)
    command = ["--only", "pairs", "--pairs", str(roadscene), "--device", "cpu", "--out", str(tmp_path / "out")]
    assert command_of(weights_report)(command) == 0
    assert {path.name for path in (tmp_path / "out").iterdir()} == {"one", "two"}


def measured(engine, facts, packaged: bool, **data):
    folders = {"camvid": None, "split": "val", "pairs": {}} | data
    own = dataclasses.replace(facts, packaged=packaged)
    return measure(engine, own, Data(**folders), FEW, ("camvid", "pairs"), Gallery(FMB), lambda _: None)


@pytest.mark.parametrize(
    ("packaged", "every", "untouched", "held_out", "said"),
    [
        (True, 4, frozenset(), True, "every 4th, never trained on"),
        (True, 0, frozenset({"roadscene"}), True, "all, never trained on"),
        (True, 0, frozenset(), False, "all, as given"),
        (False, 4, frozenset(), False, "every 4th, as given"),
    ],
)
def test_only_packaged_weights_on_held_out_pairs_are_said_to_be_untrained(
    engine, facts, roadscene, packaged, every, untouched, held_out, said
) -> None:
    report = measured(engine, facts, packaged, pairs={"roadscene": (roadscene, every)}, untouched=untouched)
    assert report["pairs"]["roadscene"]["held_out"] is held_out
    assert said in report_tables(report)[0].title
    claim = "Measured on what this package's recipes never train on."
    page = render_page({**report, "quick": False}, {}, FMB).replace("&#39;", "'")
    assert (claim in page) is held_out
    assert ("Measured on data as given" in page) is not held_out


@pytest.mark.parametrize(("packaged", "held_out"), [(True, True), (False, False)])
def test_camvids_val_split_is_held_out_of_packaged_weights_alone(
    engine, facts, camvid_root, packaged, held_out
) -> None:
    assert measured(engine, facts, packaged, camvid=camvid_root)["camvid"]["held_out"] is held_out


def test_camvids_train_split_is_not_held_out(engine, facts, camvid_root, tmp_path) -> None:
    (tmp_path / "train").symlink_to(camvid_root / "val")
    report = measured(engine, facts, True, camvid=tmp_path, split="train")
    assert report["camvid"]["held_out"] is False


def test_an_rgb_only_model_is_compared_with_by_option(tiny_file, camvid_root, tmp_path, capsys) -> None:
    command = ["--weights", str(tiny_file), "--only", "camvid", "--camvid", str(camvid_root), "--device", "cpu"]
    assert command_of(weights_report)([*command, "--rgb-reference", str(tiny_file), "--out", str(tmp_path)]) == 0
    (folder,) = tmp_path.iterdir()
    found = json.loads((folder / "report.json").read_text())["camvid"]["rgb_reference"]
    assert found["name"] == "tiny"
    shown = capsys.readouterr().out
    assert "RGB-only model tiny (" in shown
    assert "these weights, simulated infrared" in shown
