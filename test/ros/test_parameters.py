# SPDX-License-Identifier: Apache-2.0
"""One table: declaration, validation, the params file and the README's table can't drift apart."""

import subprocess
import sys
from dataclasses import dataclass, replace
from pathlib import Path
from typing import get_args

import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st

from segmif_ros.grid.config import GridConfig
from segmif_ros.imaging.gain import GainConfig
from segmif_ros.inference.config import EngineConfig
from segmif_ros.ros.grid_config import GridNodeConfig
from segmif_ros.ros.node_config import FILE_HEADER, NodeConfig
from segmif_ros.ros.parameters import markdown_table, yaml_text
from segmif_ros.settings import SettingError, from_values, setting, settings_of
from segmif_ros.stream.pipeline_config import PipelineConfig

ROOT = Path(__file__).parent.parent.parent
PARAMS_FILE = ROOT / "config" / "segmif.yaml"


@dataclass(frozen=True, kw_only=True)
class Small:
    rate_hz: float = setting(30.0, "Rate.", minimum=0.1, maximum=100.0)
    count: int = setting(3, "Count.", minimum=1)
    colour: str = setting("red", "Colour.", choices=("red", "blue"))
    on: bool = setting(True, "Switch.")


def test_the_params_file_in_the_repository_is_the_one_the_table_gives() -> None:
    assert PARAMS_FILE.read_text() == yaml_text(NodeConfig, FILE_HEADER), "run: make params"


def test_the_params_file_says_every_parameter_with_its_default() -> None:
    said = yaml.safe_load(PARAMS_FILE.read_text())["/**"]["ros__parameters"]
    assert said == {row.name: row.default for row in settings_of(NodeConfig)}
    assert from_values(NodeConfig, said) == NodeConfig()


def test_the_documented_tables_have_a_line_for_every_parameter() -> None:
    lines = [line for line in markdown_table(NodeConfig).splitlines() if line.startswith("| `")]
    assert [line.split("`")[1] for line in lines] == [row.name for row in settings_of(NodeConfig)]
    assert all(line.count("|") == 6 for line in lines), "a description with a bar breaks the table"


def test_every_parameter_says_what_it_means_in_a_sentence() -> None:
    for row in settings_of(NodeConfig):
        assert row.description.endswith("."), row.name


def test_every_default_is_allowed_by_its_own_row() -> None:
    for row in settings_of(NodeConfig):
        assert row.problem(row.default) is None


def test_the_defaults_are_those_of_the_parts_that_replay_starts_from() -> None:
    # a replay takes pairs alone unless it is asked to go on with one camera, as the node does
    assert NodeConfig().pipeline == replace(PipelineConfig(), single_camera="continue")
    assert NodeConfig().pipeline.gain == GainConfig()
    assert NodeConfig().network.engine == EngineConfig()
    assert GridNodeConfig().grid == GridConfig()


def test_the_modes_are_those_of_the_model() -> None:
    from segmif_ros.inference import config
    from segmif_ros.model import Mode

    assert get_args(Mode) == config.MODES


def test_the_tables_import_neither_ros_nor_torch() -> None:
    program = (
        "import sys, segmif_ros.ros.parameters, segmif_ros.ros.node_config\n"
        "sys.exit(', '.join(m for m in ('rclpy', 'torch', 'sensor_msgs') if m in sys.modules) or 0)"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, cwd=ROOT)
    assert (done.returncode, done.stderr) == (0, "")


def test_an_integer_is_taken_where_a_float_is_meant() -> None:
    made = from_values(Small, {"rate_hz": 20})
    assert made.rate_hz == 20.0
    assert isinstance(made.rate_hz, float)


@pytest.mark.parametrize(
    ("values", "reason"),
    [
        ({"rate_hz": 1000.0}, "parameter 'rate_hz' is 1000.0: allowed is 0.1 to 100"),
        ({"rate_hz": float("nan")}, "parameter 'rate_hz' is nan: allowed is 0.1 to 100"),
        ({"rate_hz": "fast"}, "parameter 'rate_hz' is 'fast': a number is needed"),
        ({"rate_hz": True}, "parameter 'rate_hz' is true: a number is needed"),
        ({"count": 0}, "parameter 'count' is 0: allowed is 1 or more"),
        ({"count": 2.5}, "parameter 'count' is 2.5: a whole number is needed"),
        ({"count": True}, "parameter 'count' is true: a whole number is needed"),
        ({"colour": "green"}, "parameter 'colour' is 'green': allowed is red, blue"),
        ({"colour": 3}, "parameter 'colour' is 3: a text is needed"),
        ({"on": 1}, "parameter 'on' is 1: true or false is needed"),
        ({"on": None}, "parameter 'on' is not set: true or false is needed"),
        ({"colur": "red"}, "there is no parameter 'colur', did you mean 'colour'?"),
    ],
)
def test_a_bad_value_is_refused_with_the_reason(values, reason) -> None:
    with pytest.raises(SettingError) as caught:
        from_values(Small, values)
    assert str(caught.value) == reason


def test_all_bad_values_are_said_at_once_in_one_line() -> None:
    with pytest.raises(SettingError) as caught:
        from_values(Small, {"count": 0, "colour": "green", "size": 1})
    assert str(caught.value).count(";") == 2
    assert "\n" not in str(caught.value)


def test_values_that_do_not_go_together_are_refused() -> None:
    with pytest.raises(SettingError, match="low < high"):
        from_values(NodeConfig, {"gain_low_percentile": 60.0, "gain_high_percentile": 40.0})


@given(
    st.sampled_from(settings_of(Small)),
    st.one_of(st.none(), st.booleans(), st.integers(), st.floats(), st.text(), st.lists(st.integers())),
)
def test_any_value_is_either_accepted_in_the_rows_type_or_refused_in_one_line(row, value) -> None:
    problem = row.problem(value)
    if problem is None:
        assert type(row.accept(value)) is row.type
        assert row.accept(value) == value
    else:
        assert "\n" not in problem


def test_several_weights_are_separated_by_commas() -> None:
    assert from_values(NodeConfig, {"weights": "a.pth, b.pth"}).network.engine.weights == ("a.pth", "b.pth")
    assert NodeConfig().network.engine.weights == ("segmif-s",)


def test_the_gain_stage_gets_its_part() -> None:
    gain = from_values(NodeConfig, {"gain_policy": "fixed", "gain_fixed_low": 100.0}).pipeline.gain
    assert (gain.policy, gain.fixed_low) == ("fixed", 100.0)
