# SPDX-License-Identifier: Apache-2.0
"""Two reports side by side, and what fails a robot's CI."""

import json
from pathlib import Path
from typing import Any

import pytest

from segmif_ros import cli
from segmif_ros.evaluation.compare import figures, load


def report(miou: float, mse: float = 10.0, data: str = "d1") -> dict[str, Any]:
    return {
        "format": 1,
        "kind": "evaluate",
        "header": {"data": {"sha256": data}, "model": {"sha256": "m"}, "configuration_sha256": "c"},
        "segmentation": {
            "confusion": [[1, 2], [3, 4]],
            "all": {"miou": {"present": {"value": miou, "classes": ["a"]}}, "iou": {"car": miou, "bus": None}},
        },
        "fusion": {"all": {"MSE": {"mean": mse, "deviation": 1.0, "pairs": 3}, "EN": {"mean": 5.0}}},
    }


def compare(tmp_path: Path, before: Any, after: Any, *options: str) -> int:
    paths = []
    for name, content in (("a", before), ("b", after)):
        folder = tmp_path / name
        folder.mkdir()
        paths.append(folder / "report.json")
        paths[-1].write_text(content if isinstance(content, str) else json.dumps(content))
    return cli.main(["compare", *map(str, paths), *options])


MIOU = "segmentation.all.miou.present"


@pytest.mark.parametrize(("after", "status"), [(0.50, 0), (0.49, 0), (0.48, 1), (0.60, 0)])
def test_a_fall_by_more_than_the_margin_fails(tmp_path: Path, after: float, status: int) -> None:
    assert compare(tmp_path, report(0.5), report(after), "--metric", MIOU, "--margin", "0.01") == status


def test_each_metric_can_have_its_own_margin(tmp_path: Path) -> None:
    assert compare(tmp_path, report(0.5), report(0.3), "--metric", f"{MIOU}:0.3") == 0


@pytest.mark.parametrize(("mse", "status"), [(12.0, 1), (5.0, 0)])
def test_an_error_is_worse_when_it_grows(tmp_path: Path, mse: float, status: int) -> None:
    assert compare(tmp_path, report(0.5), report(0.5, mse), "--metric", "fusion.all.MSE:1") == status


def test_what_was_said_names_the_metric_and_both_values(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    compare(tmp_path, report(0.5), report(0.3), "--metric", MIOU)
    out, err = capsys.readouterr()
    assert "FELL" in out
    assert f"{MIOU} went from 0.5 to 0.3, more than the margin of 0.01" in err


def test_without_a_chosen_metric_nothing_fails(tmp_path: Path) -> None:
    assert compare(tmp_path, report(0.5), report(0.1)) == 0


def test_other_data_are_said(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    compare(tmp_path, report(0.5), report(0.5, data="d2"))
    assert "data differ: d1 and d2" in capsys.readouterr().out


def test_an_unknown_metric_is_refused_with_examples(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert compare(tmp_path, report(0.5), report(0.5), "--metric", "miou") == 2
    assert MIOU in capsys.readouterr().err


def test_a_metric_without_a_better_direction_is_refused(tmp_path: Path) -> None:
    assert compare(tmp_path, report(0.5), report(0.5), "--metric", "fusion.all.EN") == 2


@pytest.mark.parametrize("content", ["not json", "[]", '{"format": 99, "header": {}}'])
def test_what_is_no_report_is_one_line(tmp_path: Path, content: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert compare(tmp_path, report(0.5), content) == 2
    assert capsys.readouterr().err.count("\n") == 1


def test_figures_without_a_value_are_left_out(tmp_path: Path) -> None:
    found = figures(report(0.5))
    assert "segmentation.all.iou.bus" not in found
    assert found["segmentation.all.iou.car"] == 0.5
    assert found["fusion.all.MSE"] == 10.0


def test_timing_beside_a_report_can_be_compared(tmp_path: Path) -> None:
    path = tmp_path / "report.json"
    path.write_text(json.dumps(report(0.5)))
    (tmp_path / "timing.json").write_text(json.dumps({"stage_ms": {"network": {"p50": 3.0}}}))
    assert figures(load(path))["timing.stage_ms.network.p50"] == 3.0
