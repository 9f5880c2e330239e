# SPDX-License-Identifier: Apache-2.0
"""The figures of calibration and registration: rows are kept, runs go on, tables say what rows hold."""

import json
import re

import cv2
import numpy as np
import pytest
from module_command import command_of

from segmif_ros.data.image_files import read_grey
from segmif_ros.data.pair_folder import PairFolder
from segmif_ros.trials import rig_drift_figures, rig_figures


def _folder(root, count, move=None):
    for kind in ("infrared", "visible"):
        (root / kind).mkdir(parents=True)
    for k in range(count):
        rng = np.random.default_rng(k)
        image = np.full((120, 160), 100, np.uint8)
        for _ in range(60):
            (x, y), (w, h) = rng.integers(0, (160, 120)), rng.integers(6, 25, 2)
            cv2.rectangle(image, (int(x), int(y)), (int(x + w), int(y + h)), int(rng.integers(0, 255)), -1)
        infrared = image if move is None else cv2.warpAffine(image, move, (160, 120), borderMode=cv2.BORDER_REPLICATE)
        cv2.imwrite(str(root / "infrared" / f"{k}.png"), infrared)
        cv2.imwrite(str(root / "visible" / f"{k}.png"), np.dstack([image] * 3))
    return root


def test_the_displacement_of_a_folder_of_pairs_is_found_and_taken_off(tmp_path) -> None:
    root = _folder(tmp_path / "pairs", 6, np.array([[1.0, 0, 3], [0, 1, -2]]))
    files = PairFolder(root).files
    field, count = rig_drift_figures.own_field(files)
    assert count == 6
    assert np.median(field.reshape(-1, 2), axis=0) == pytest.approx((3, -2), abs=0.2)
    image = read_grey(files[0].infrared).astype(np.uint8)
    back = rig_drift_figures.without_field(image, np.full((6, 8, 2), (3, -2), np.float32))
    assert (back[30:-30, 30:-30] == cv2.imread(str(files[0].rgb), 0)[30:-30, 30:-30]).mean() > 0.99


def test_a_part_that_needs_pairs_says_so(tmp_path, capsys) -> None:
    assert command_of(rig_figures)(["--out", str(tmp_path), "--parts", "own"]) == 2
    assert "--parts own needs --pairs" in capsys.readouterr().err


def test_drift_is_measured_without_the_displacement_of_other_pairs(tmp_path, capsys) -> None:
    move = np.array([[1.0, 0, 3], [0, 1, -2]])
    root, others = _folder(tmp_path / "pairs", 2, move), _folder(tmp_path / "others", 4, move)
    given = ["--out", str(tmp_path / "out"), "--pairs", str(root)]
    assert command_of(rig_figures)([*given, "--parts", "own,drift", "--without", str(others)]) == 0
    said = capsys.readouterr().out
    assert re.search(r"drift on \S+/pairs without the displacement of \S+/others, 2 seeds", said)
    assert "2 pairs: infrared is displaced by" in said


def test_a_run_keeps_its_rows_and_goes_on_where_it_was(tmp_path, monkeypatch, capsys) -> None:
    asked = []
    monkeypatch.setattr(
        rig_figures,
        "measure_drift",
        lambda seed: (
            asked.append(seed)
            or {"0": 0.0, **{f"{kind} {px}": 1 for kind in ("shift", "roll", "zoom") for px in (2, 4, 8)}}
        ),
    )
    assert command_of(rig_figures)(["--out", str(tmp_path), "--parts", "drift", "--seeds", "2"]) == 0
    with (tmp_path / "records.jsonl").open("a") as stream:
        stream.write('{"part": "drift", "se')  # ended within a line
    assert command_of(rig_figures)(["--out", str(tmp_path), "--parts", "drift", "--seeds", "3"]) == 0
    assert asked == [0, 1, 2]
    assert "| roll | 1.000 | 1.000 | 1.000 |" in capsys.readouterr().out
    assert "drift, 3 seeds" in (tmp_path / "tables.md").read_text()


def test_refusals_are_counted_and_not_averaged() -> None:
    good = {"mean_px": 0.5, "worst_px": 2.0, "far_mean_px": 0.6, "far_worst_px": 1.0, "said_px": 0.4}
    rows = {
        0: {"homography": good, "rotation": {"refused": "no"}},
        1: {"homography": {"refused": "no"}, "rotation": good},
    }
    table = rig_figures.tables({"scene": rows})
    assert "| homography | 1 | 1 | 0.50 | 0.50 | 0 | 0.40 |" in table


def test_what_came_back_is_a_share_of_what_was_lost() -> None:
    def confusion(right):
        matrix = np.zeros((15, 15), int)
        matrix[1, 1], matrix[1, 8], matrix[8, 8] = right, 100 - right, 50
        return matrix.tolist()

    row = {"confusion": {"aligned": confusion(100), "plane at 10 m (default)": confusion(0), "x": confusion(100)},
           "ms": {"x": 7.0}}  # fmt: skip
    table = rig_figures.tables({"parallax": {0: json.loads(json.dumps(row))}})
    assert "| x | 100.0 | 100.0 | 100% (100 to 100) | 100% (100 to 100) | 7 |" in table


def test_answers_from_two_halves_are_held_against_each_other() -> None:
    rows = [{"mean_px": 1.0, "said_px": 0.5, "put": [[x, 0.0], None]} for x in (10.0, 10.5, 10.0, 10.5)]
    text = rig_figures.tables({"warped f": dict(enumerate([*rows, {"refused": "no"}]))})
    assert "4 of 5 warps found." in text
    assert "0.50 px between the answers from two halves" in text
    assert "Refused: no" in text
