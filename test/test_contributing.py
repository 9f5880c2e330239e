# SPDX-License-Identifier: Apache-2.0
"""The lists of CONTRIBUTING.md are true: a toy of each kind is added by the places that its list names, and works."""

import argparse
import json
import re
import sys
from dataclasses import dataclass
from pathlib import Path
from types import ModuleType
from typing import Any

import cv2
import numpy as np
import pytest
from torch_fixtures import one_thread, own_cache, tiny_weights

from segmif_ros import cli
from segmif_ros.bag import node_options
from segmif_ros.data.layouts import Layout
from segmif_ros.data.published import PUBLISHED, PublishedAs
from segmif_ros.evaluation.better import Better
from segmif_ros.evaluation.directions import direction
from segmif_ros.evaluation.fusion_metrics import FUSION_METRICS, FusionMetric
from segmif_ros.inference.backend_table import BACKENDS, BackendEntry
from segmif_ros.inference.engine import Engine, EngineConfig
from segmif_ros.labels import FMB, LABEL_SETS, LabelSet
from segmif_ros.reporting.tables import Table
from segmif_ros.ros.launch_arguments import parameter_arguments, parameter_values
from segmif_ros.ros.node_config import NodeConfig
from segmif_ros.ros.parameters import markdown_table, yaml_text
from segmif_ros.settings import from_values, part, setting
from segmif_ros.settings.options import add_options
from segmif_ros.trials import replay_command, replay_options
from segmif_ros.trials.demo import demo_report

__all__ = ["one_thread", "own_cache", "tiny_weights"]

ROOT = Path(__file__).parent.parent
PALETTE = np.array([[0, 0, 0], [9, 9, 9], [200, 0, 0]], np.uint8)
TOY_LABELS = LabelSet(name="toy", names=("floor", "wall", "robot"), palette=PALETTE)


def write(path: Path, image: np.ndarray) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    assert cv2.imwrite(str(path), image)


@pytest.fixture
def toy_data(tmp_path: Path) -> Path:
    """One pair in folders that no data set's authors use."""
    rng = np.random.default_rng(0)
    write(tmp_path / "toy" / "test" / "hot" / "1.png", rng.integers(0, 255, (64, 80), np.uint8))
    write(tmp_path / "toy" / "test" / "colour" / "1.png", rng.integers(0, 255, (64, 80, 3), np.uint8))
    write(tmp_path / "toy" / "test" / "truth" / "1.png", np.ones((64, 80), np.uint8))
    return tmp_path / "toy"


def evaluated(root: Path, *given: str) -> dict[str, Any]:
    out = root.parent / "out"
    assert cli.main(["evaluate", str(root), "--out", str(out), "--baseline", "average", *given]) == 0
    return dict(json.loads((out / "report.json").read_text()))


def test_a_label_set_is_known_by_its_name_once_it_is_in_the_table(
    monkeypatch: pytest.MonkeyPatch, tiny_weights: Path
) -> None:
    monkeypatch.setitem(LABEL_SETS, "toy", TOY_LABELS)
    engine = Engine(EngineConfig(weights=(str(tiny_weights),), device="cpu", label_set="toy"))
    assert engine.label_set.names == ("floor", "wall", "robot")


def test_a_backend_runs_networks_once_its_module_is_in_the_table(
    monkeypatch: pytest.MonkeyPatch, tiny_weights: Path
) -> None:
    from segmif_ros.inference.backends import torch_eager

    module: Any = ModuleType("toy_backend")
    module.create = torch_eager.create
    monkeypatch.setitem(sys.modules, "toy_backend", module)
    row = BackendEntry(module="toy_backend", devices=("cpu",), precisions=("float32",))
    monkeypatch.setitem(BACKENDS, "toy", row)
    engine = Engine(EngineConfig(weights=(str(tiny_weights),), device="cpu", backend="toy"))
    result = engine.infer(np.zeros((32, 32), np.uint8), np.zeros((32, 32, 3), np.uint8))
    assert (engine.backend_name, result.labels.shape) == ("toy", (32, 32))


def test_a_data_set_is_evaluated_by_its_name_once_it_is_in_the_table(
    monkeypatch: pytest.MonkeyPatch, toy_data: Path
) -> None:
    row = PublishedAs(layout=Layout(infrared="hot", rgb="colour", labels="truth"), label_set=FMB)
    monkeypatch.setitem(PUBLISHED, "toy", row)
    report = evaluated(toy_data, "--dataset", "toy", "--fusion-metrics", "EN")
    assert (report["header"]["data"]["name"], report["pairs"]["processed"]) == ("toy", 1)


def test_a_metric_is_computed_and_has_a_direction_once_it_is_in_the_table(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setitem(FUSION_METRICS, "TOY", FusionMetric(lambda _a, _b, f: float(np.ptp(f)), Better.LESS))
    rng = np.random.default_rng(0)
    write(tmp_path / "pairs" / "infrared" / "1.png", rng.integers(0, 255, (64, 80), np.uint8))
    write(tmp_path / "pairs" / "visible" / "1.png", rng.integers(0, 255, (64, 80, 3), np.uint8))
    report = evaluated(tmp_path / "pairs", "--dataset", "pairs", "--fusion-metrics", "TOY")
    assert report["fusion"]["all"]["TOY"]["pairs"] == 1
    assert direction("fusion.all.TOY") is Better.LESS


@dataclass(frozen=True, kw_only=True)
class ToyConfig:
    speed_mps: float = setting(1.0, "Speed of the toy.", minimum=0.0, maximum=9.0, group="Toy")


@dataclass(frozen=True, kw_only=True)
class NodeWithToy(NodeConfig):
    toy: ToyConfig = part(ToyConfig, prefix="toy_")


def test_a_setting_of_a_component_is_a_parameter_a_launch_argument_an_option_and_a_row_of_the_table() -> None:
    assert from_values(NodeWithToy, {"toy_speed_mps": 2}).toy == ToyConfig(speed_mps=2.0)
    lines = yaml_text(NodeWithToy).splitlines()
    at = lines.index("    toy_speed_mps: 1.0")
    assert lines[at - 2 : at] == ["    # --- Toy ---", "    # Speed of the toy. (0 to 9; changes at any time)"]
    assert "| `toy_speed_mps` | `1.0` | 0 to 9 | at any time | Speed of the toy. |" in markdown_table(NodeWithToy)
    assert "toy_speed_mps" in [each.name for each in parameter_arguments(NodeWithToy)]
    assert parameter_values(NodeWithToy, {"toy_speed_mps": "3"}) == {"toy_speed_mps": 3.0}
    parser = argparse.ArgumentParser()
    add_options(parser, NodeWithToy, ("toy_speed_mps",))
    assert parser.parse_args(["--toy-speed", "4"]).toy_speed_mps == 4.0


def test_replay_and_predict_have_every_setting_of_the_components_that_they_run() -> None:
    parser = argparse.ArgumentParser()
    node_options.add_pipeline_arguments(parser)
    options = {each for action in parser._actions for each in action.option_strings}
    assert {"--gain-policy", "--slop", "--registration", "--temporal", "--infrared-alone-confidence"} <= options


def test_an_option_of_replay_reaches_its_run_once_it_is_declared(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    declare, run = replay_options.add_arguments, replay_command.run

    def add_arguments(parser: argparse.ArgumentParser) -> None:
        declare(parser)
        parser.add_argument("--toy", type=int, default=0)

    def use(options: argparse.Namespace) -> int:
        print("toy", options.toy)
        return run(options)

    monkeypatch.setattr(replay_options, "add_arguments", add_arguments)
    monkeypatch.setattr(replay_command, "run", use)
    assert cli.main(["replay", "no/such/bag", "--toy", "3"]) != 0  # and all of its own options are there
    shown = capsys.readouterr()
    assert shown.out == "toy 3\n"
    assert "no/such/bag" in shown.err


@dataclass(frozen=True, kw_only=True)
class FiguresWithToy(demo_report.Figures):
    toys: int = 0


def test_a_figure_of_the_demo_is_in_its_tables_and_report_once_it_is_a_field_with_a_row(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    none: dict[str, Any] = {"dropped": {}, "age_ms": {}, "stage_ms": {}, "topics": {}}
    found = FiguresWithToy(pairs=1, processed=1, rate_hz=1.0, toys=7, **none)
    of_today = demo_report.tables
    row = Table(title="Toys", columns=("", "count"), rows=(("toys", str(found.toys)),))
    monkeypatch.setattr(demo_report, "tables", lambda figures: (*of_today(figures), row))
    demo_report.write_report(tmp_path, found, [], title="demo", lead="", notes=(), facts={})
    page = (tmp_path / "index.html").read_text()
    assert "Toys" in page
    assert json.loads((tmp_path / "report.json").read_text())["toys"] == 7


def test_a_command_is_run_once_it_is_in_the_table(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    module: Any = ModuleType("toy_command")
    module.add_arguments = lambda parser: parser.add_argument("--times", type=int, default=1)
    module.run = lambda options: print("toy " * options.times) or 0
    monkeypatch.setitem(sys.modules, "toy_command", module)
    monkeypatch.setitem(cli.COMMANDS, "toy", ("play", cli._of("toy_command")))
    assert cli.main(["toy", "--times", "2"]) == 0
    assert capsys.readouterr().out.split() == ["toy", "toy"]


def test_the_names_in_the_lists_are_in_the_files_that_they_are_said_to_be_in() -> None:
    text = (ROOT / "CONTRIBUTING.md").read_text().partition("## Adding things")[2]
    steps = re.findall(r"^\d\. (.*?)(?=^\d\. |^\*\*|\Z)", text, re.MULTILINE | re.DOTALL)
    assert len(steps) > 10
    for step in steps:
        files = [ROOT / name for name in re.findall(r"`([\w/]+\.(?:py|md|yaml|xml))`", step)]
        code = "".join(path.read_text() for path in files if path.suffix == ".py")
        for name in re.findall(r"`(\w*[A-Z_]\w*|[a-z]+)(?:\(\.\.\.\))?`", step) if code else ():
            assert name in code, f"{name}: not in {[str(path.relative_to(ROOT)) for path in files]}"
