# SPDX-License-Identifier: Apache-2.0
"""The options that choose the engine: what is asked for is what is made, and what the report says."""

import argparse
from typing import Any

import pytest

from segmif_ros.evaluation import engine_options
from segmif_ros.evaluation.baseline import BaselineEngine
from segmif_ros.evaluation.errors import EvaluationError
from segmif_ros.inference.engine import BACKENDS, EngineConfig


def parsed(*arguments: str) -> argparse.Namespace:
    parser = argparse.ArgumentParser()
    engine_options.add_engine_arguments(parser)
    engine_options.add_run_arguments(parser, "out")
    return parser.parse_args(arguments)


@pytest.fixture
def configs(monkeypatch: pytest.MonkeyPatch) -> list[EngineConfig]:
    """The configurations of the engines that were made."""
    made: list[EngineConfig] = []
    monkeypatch.setattr("segmif_ros.inference.engine.Engine", made.append)
    return made


def test_without_options_the_engine_is_the_default_one(configs: list[EngineConfig]) -> None:
    engine_options.engine_factory(parsed())()
    assert configs == [EngineConfig()]


def test_device_backend_and_precision_reach_the_engine(configs: list[EngineConfig]) -> None:
    engine_options.engine_factory(parsed("--device", "cpu", "--backend", "openvino", "--precision", "bfloat16"))()
    [config] = configs
    assert (config.device, config.backend, config.precision) == ("cpu", "openvino", "bfloat16")


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        ((), ("torch", "float32")),  # what `auto` is
        (("--backend", "openvino", "--precision", "bfloat16"), ("openvino", "bfloat16")),
    ],
)
def test_the_report_states_backend_and_precision_in_force(arguments: tuple[str, ...], said: tuple[str, str]) -> None:
    settings = engine_options.engine_settings(parsed(*arguments))
    assert (settings["backend"], settings["precision"]) == said
    assert "calibration_pairs" not in settings  # only int8 is calibrated


@pytest.mark.parametrize(("given", "said"), [((), "built-in patterns"), (("--calibration-pairs", "mine"), "mine")])
def test_what_int8_is_calibrated_with_reaches_engine_and_report(
    configs: list[EngineConfig], given: tuple[str, ...], said: str
) -> None:
    arguments = parsed("--backend", "openvino", "--precision", "int8", *given)
    engine_options.engine_factory(arguments)()
    [config] = configs
    assert config.calibration_pairs == "".join(given[1:])
    assert engine_options.engine_settings(arguments)["calibration_pairs"].startswith(said)


def test_pairs_that_int8_is_calibrated_with_count_by_their_contents(tmp_path):
    arguments = parsed("--precision", "int8", "--calibration-pairs", str(tmp_path))
    (tmp_path / "a.png").write_bytes(b"1")
    first = engine_options.engine_settings(arguments)
    (tmp_path / "a.png").write_bytes(b"2")
    assert engine_options.engine_settings(arguments) != first


def test_a_baseline_has_no_backend() -> None:
    arguments = parsed("--baseline", "average")
    assert engine_options.engine_settings(arguments) == {"baseline": "average"}
    assert isinstance(engine_options.engine_factory(arguments)(), BaselineEngine)


def test_every_backend_can_be_asked_for_and_a_trial_of_them_can_not(capsys: pytest.CaptureFixture[str]) -> None:
    for name in BACKENDS:
        assert parsed("--backend", name).backend == name
    with pytest.raises(SystemExit):
        parsed("--backend", "fastest")
    assert "invalid choice: 'fastest'" in capsys.readouterr().err


def test_a_backend_by_trial_from_elsewhere_is_one_line() -> None:
    arguments: Any = parsed()
    arguments.backend = "fastest"  # as a params file says it
    with pytest.raises(EvaluationError, match=r"figures must say theirs: give one of torch, compile") as refused:
        engine_options.engine_factory(arguments)
    assert "\n" not in str(refused.value)


@pytest.mark.parametrize(("given", "settings"), [((), {}), (("--palette", "robot"), {"palette": "robot"})])
def test_a_palette_makes_another_run_only_where_it_is_not_the_usual_one(
    given: tuple[str, ...], settings: dict[str, str]
) -> None:
    assert engine_options.palette_settings(parsed(*given)) == settings


def test_an_unknown_palette_is_refused_with_the_choices(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        parsed("--palette", "neon")
    assert "invalid choice: 'neon' (choose from" in capsys.readouterr().err
