# SPDX-License-Identifier: Apache-2.0
"""The figures of calibration and registration: rows are kept, runs go on, tables say what rows hold."""

import json

import numpy as np
from module_command import command_of

from segmif_ros.trials import rig_figures


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
