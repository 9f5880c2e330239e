# SPDX-License-Identifier: Apache-2.0
"""Two reports side by side, and what fails a robot's CI."""

import csv
import json
from pathlib import Path
from typing import Any

import pytest

from segmif_ros import cli
from segmif_ros.evaluation.better import Better
from segmif_ros.evaluation.compare_reports import figures, load
from segmif_ros.evaluation.directions import direction
from segmif_ros.evaluation.fusion_metrics import TEXTBOOK_METRICS, TOOLBOX_METRICS


def report(miou: float, mse: float = 10.0, data: str = "d1", model: str = "net", **fusion: float) -> dict[str, Any]:
    return {
        "format": 1,
        "kind": "evaluate",
        "header": {"data": {"sha256": data}, "model": {"name": model, "sha256": "m"}, "configuration_sha256": "c"},
        "segmentation": {
            "confusion": [[1, 2], [3, 4]],
            "all": {"miou": {"present": {"value": miou, "classes": ["a"]}}, "iou": {"car": miou, "bus": None}},
        },
        "fusion": {
            "all": {
                "MSE": {"mean": mse, "deviation": 1.0, "pairs": 3},
                "EN": {"mean": 5.0},
                **{name: {"mean": value} for name, value in fusion.items()},
            }
        },
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


@pytest.mark.parametrize(
    ("given", "meant"), [("miou", MIOU), ("qabf", "fusion.all.Qabf"), ("fusion.all.Qafb", "fusion.all.Qabf")]
)
def test_a_misspelt_metric_gets_a_question(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], given: str, meant: str
) -> None:
    assert compare(tmp_path, report(0.5, Qabf=0.4), report(0.5, Qabf=0.4), "--metric", given) == 2
    said = capsys.readouterr().err
    assert "did you mean" in said and meant in said


ONLINE = {"online": {"memory_mib": {"max": 424.0}, "cpu_percent": 26.0, "age_ms": {"p95": 80.0}, "share": 0.9}}


@pytest.mark.parametrize(
    ("name", "worse"),
    [
        ("fusion.all.Nabf", 0.2),
        ("fusion.all.Qabf", 0.2),
        ("online.memory_mib.max", 1271.0),
        ("online.cpu_percent", 78.0),
        ("online.age_ms.p95", 90.0),
        ("online.share", 0.5),
        ("pairing.dropped.late", 9.0),
        ("timing.pairs_per_s", 1.0),
        ("timing.wall_s", 9.0),
    ],
)
def test_each_figure_has_its_own_better_direction(tmp_path: Path, name: str, worse: float) -> None:
    before = report(0.5, Nabf=0.1, Qabf=0.4) | ONLINE | {"pairing": {"dropped": {"late": 3}, "span_s": 9.0}}
    after = json.loads(json.dumps(before))
    timing = {"pairs_per_s": 3.0, "wall_s": 5.0}
    for each, folder in ((before, "a"), (after, "b")):
        (tmp_path / folder).mkdir()
        (tmp_path / folder / "timing.json").write_text(json.dumps(timing))
        (tmp_path / folder / "report.json").write_text(json.dumps(each))
    part, *keys, last = name.split(".")
    changed = timing if part == "timing" else after[part]
    for key in keys:
        changed = changed[key]
    if isinstance(changed.get(last), dict):
        changed, last = changed[last], "mean"
    changed[last] = worse
    file = "timing.json" if part == "timing" else "report.json"
    (tmp_path / "b" / file).write_text(json.dumps(timing if part == "timing" else after))
    given = ["--metric", f"{name}:0.001"]
    assert cli.main(["compare", str(tmp_path / "a"), str(tmp_path / "b"), *given]) == 1
    assert cli.main(["compare", str(tmp_path / "b"), str(tmp_path / "a"), *given]) == 0


def test_a_figure_that_is_not_known_is_refused(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    strange = report(0.5) | {"online": {"glamour": 3.0}}
    assert compare(tmp_path, strange, strange, "--metric", "online.glamour") == 2
    assert "whether more or less of it is better isn't known" in capsys.readouterr().err


def test_it_says_which_run_won_and_by_how_much(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert compare(tmp_path, report(0.5, model="old"), report(0.6, mse=8.0, model="new")) == 0
    said = capsys.readouterr().out
    assert f"new wins: better in 2 of 2 figures, worse in 0 ({MIOU} 0.6 against 0.5)" in said
    assert "iou.car" not in said


def test_all_that_differs_is_listed_only_if_asked(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    compare(tmp_path, report(0.5), report(0.6), "--all")
    said = capsys.readouterr().out
    assert "iou.car" in said and "fusion.all.EN" not in said


def three(tmp_path: Path, *options: str) -> int:
    names = ("average", "laplacian", "mine, 2")
    for i, name in enumerate(names):
        (tmp_path / name).mkdir()
        one = report(0.5 + 0.1 * i, mse=10.0 + i, model=name)
        (tmp_path / name / "report.json").write_text(json.dumps(one))
    return cli.main(["compare", *(str(tmp_path / name) for name in names), *options])


def test_several_reports_are_one_table_with_the_best_marked(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert three(tmp_path) == 0
    rows = {line.split()[0]: line for line in capsys.readouterr().out.splitlines() if line.strip()}
    assert "0.7*" in rows[MIOU] and "10*" in rows["fusion.all.MSE"]
    assert "*" not in rows["fusion.all.EN"]


def test_methods_by_metrics_come_as_csv(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert three(tmp_path, "--format", "csv", "--metric", MIOU, "--metric", "fusion.all.MSE:9") == 0
    rows = list(csv.reader(capsys.readouterr().out.splitlines()))
    assert rows[0] == ["method", MIOU, "fusion.all.MSE"]
    assert [row[0] for row in rows[1:]] == ["average", "laplacian", "mine, 2"]
    assert float(rows[3][1]) == pytest.approx(0.7)


def test_methods_by_metrics_come_as_latex_with_the_best_in_bold(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert three(tmp_path, "--format", "latex", "--metric", "fusion.all.MSE:9") == 0
    said = capsys.readouterr().out
    assert r"average & \textbf{10} \\" in said and r"MSE $\downarrow$" in said


def test_one_report_alone_is_refused(tmp_path: Path) -> None:
    assert cli.main(["compare", str(tmp_path)]) == 2


def test_every_figure_of_a_report_has_a_known_direction(tmp_path: Path) -> None:
    names = (*TEXTBOOK_METRICS, *TOOLBOX_METRICS)
    assert [name for name in names if direction(f"fusion.all.{name}") is None] == []
    for name in ("present", "truth", "fixed", "present_without_0"):
        assert direction(f"segmentation.night.miou.{name}") is Better.MORE


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
