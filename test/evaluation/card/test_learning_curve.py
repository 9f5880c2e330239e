# SPDX-License-Identifier: Apache-2.0
"""The learning curve beside weights: read, checked, thinned, drawn."""

import json
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from module_command import command_of

from segmif_ros.evaluation.card import learning_curve
from segmif_ros.evaluation.card.learning_curve import (
    curve_plots,
    join_stages,
    parse_points,
    read_curve,
    score_series,
    thin,
)
from segmif_ros.evaluation.errors import EvaluationError

main = command_of(learning_curve)
NUMBERS = st.floats(-1e6, 1e6)
LOSSES = st.fixed_dictionaries({"step": st.integers(0, 10**6), "loss": NUMBERS, "fusion": NUMBERS})
SCORES = st.fixed_dictionaries(
    {
        "step": st.integers(0, 10**6),
        "validation": st.dictionaries(st.text(max_size=5), st.dictionaries(st.text(max_size=5), NUMBERS)),
    }
)
JSON = st.recursive(
    st.none() | st.booleans() | st.floats() | st.text(max_size=5),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(st.sampled_from(["step", "loss", "validation", "x"]), inner, max_size=3)
    ),
    max_leaves=8,
)


@given(st.lists(LOSSES | SCORES))
def test_points_come_back_whole_in_the_order_of_steps(points: list[dict]) -> None:
    parsed = parse_points(points, "log")
    assert [point["step"] for point in parsed] == sorted(point["step"] for point in points)
    assert all(point in points for point in parsed)


@given(JSON)
def test_anything_else_is_refused_by_name_and_in_one_line(content: object) -> None:
    try:
        parse_points(content, "some.json")
    except EvaluationError as error:
        assert str(error).startswith("some.json: ")
        assert "\n" not in str(error)


@pytest.mark.parametrize(
    ("record", "said"),
    [
        ({"loss": 1.0}, "point 1: has no step"),
        ({"step": -1}, "point 1: has no step"),
        ({"step": True}, "point 1: has no step"),
        ({"step": 1, "validation": [1]}, "no table of figures"),
        ({"step": 1, "validation": {"scenes": 3}}, "no table of figures"),
    ],
)
def test_a_wrong_point_is_named(record: dict, said: str) -> None:
    with pytest.raises(EvaluationError, match=said):
        parse_points([record], "log")


def test_what_is_no_number_beside_the_losses_is_left_out() -> None:
    (point,) = parse_points([{"step": 1, "phase": "joint", "loss": 0.5, "fusion": float("nan")}], "log")
    assert point == {"step": 1, "loss": 0.5}


def test_what_is_no_number_in_a_validation_is_left_out() -> None:
    (point,) = parse_points([{"step": 1, "validation": {"scenes": {"miou": 0.5, "classes": ["road"]}}}], "log")
    assert point["validation"] == {"scenes": {"miou": 0.5}}


def test_thinning_averages_windows_and_keeps_validations() -> None:
    points = [{"step": step, "loss": float(step)} for step in range(1, 101)]
    points.append({"step": 50, "validation": {"scenes": {"miou": 0.1}}})
    thinned = thin(points, 4)
    losses = [point for point in thinned if "loss" in point]
    assert len(losses) == 4
    assert losses[-1] == {"step": 100, "loss": 88.0}
    assert [point for point in thinned if "validation" in point] == points[-1:]


@given(st.lists(LOSSES, max_size=50), st.integers(1, 20))
def test_thinning_leaves_no_more_points_than_windows(points: list[dict], windows: int) -> None:
    assert len(thin(parse_points(points, "log"), windows)) <= windows


def test_stages_are_counted_on() -> None:
    joined = join_stages([[{"step": 1}, {"step": 10}], [], [{"step": 2}]])
    assert [point["step"] for point in joined] == [1, 10, 12]


@pytest.fixture
def log(tmp_path: Path) -> Path:
    lines = [{"step": 1, "loss": 2.0}, {"step": 2, "validation": {"scenes": {"miou": 0.25}, "pairs": {"EN": 7.0}}}]
    path = tmp_path / "log.jsonl"
    path.write_text("".join(json.dumps(line) + "\n" for line in lines))
    return path


def test_a_curve_file_made_of_a_log_reads_as_the_log(log: Path, tmp_path: Path) -> None:
    curve = tmp_path / "x.curve.json"
    assert main([str(log), str(curve)]) == 0
    assert read_curve(curve) == read_curve(log)


def test_several_logs_are_stages_of_one_curve(log: Path, tmp_path: Path) -> None:
    curve = tmp_path / "x.curve.json"
    assert main([str(log), str(log), str(curve)]) == 0
    assert [point["step"] for point in read_curve(curve)] == [1, 2, 3, 4]


def test_only_sources_with_the_metric_have_a_series(log: Path) -> None:
    assert score_series(read_curve(log)) == {"scenes": ([2], [0.25])}


def test_scores_and_losses_are_drawn(log: Path) -> None:
    drawn = curve_plots(read_curve(log))
    assert len(drawn) == 2
    assert all("<svg" in each for each in drawn.values())


def test_an_empty_curve_has_no_plots() -> None:
    assert curve_plots([]) == {}


@pytest.mark.parametrize("text", ["", "[1]", '{"format": 9, "points": []}', "{", '{"format": 1}'])
def test_a_file_that_is_no_curve_is_one_line_and_status_2(
    text: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = tmp_path / "bad.curve.json"
    path.write_text(text)
    assert main([str(path), str(tmp_path / "out.json")]) == 2
    error = capsys.readouterr().err
    assert error.startswith("python -m segmif_ros.evaluation.card.learning_curve: ")
    assert "bad.curve.json" in error
    assert error.count("\n") == 1
