# SPDX-License-Identifier: Apache-2.0
"""Launch arguments follow the parameter tables, and names that nothing declares are refused."""

from dataclasses import dataclass

import pytest

from segmif_ros.ros.launch_arguments import (
    command_line_names,
    is_top,
    parameter_arguments,
    parameter_values,
    unknown_argument,
)
from segmif_ros.settings import SettingError, setting

KNOWN = ("infrared_topic", "rgb_topic", "registration", "slop_s", "params_file", "namespace", "use_sim_time")


@dataclass(frozen=True, kw_only=True)
class Table:
    rate: float = setting(1.0, "A rate.", minimum=0.0, maximum=10.0)
    count: int = setting(2, "A count.")
    on: bool = setting(True, "A switch.")
    mode: str = setting("a", "A choice.", choices=("a", "b"))


def test_every_parameter_is_an_argument_that_is_empty_by_default() -> None:
    made = parameter_arguments(Table, "rig_")
    assert [each.name for each in made] == ["rig_rate", "rig_count", "rig_on", "rig_mode"]
    assert {each.default for each in made} == {""}
    assert made[3].description == "A choice. (a, b; empty: as in params_file)"


def test_values_get_the_parameters_types_and_empty_ones_are_left_out() -> None:
    values = {"rate": "3", "count": "4", "on": "false", "mode": "", "other": "x"}
    assert parameter_values(Table, values) == {"rate": 3.0, "count": 4, "on": False}


@pytest.mark.parametrize(
    ("name", "text", "line"),
    [
        ("rate", "fast", "rate:=fast: a number is needed"),
        ("rate", "11", "rate:=11: allowed is 0 to 10"),
        ("count", "1.5", "count:=1.5: a whole number is needed"),
        ("on", "yes", "on:=yes: true or false is needed"),
        ("mode", "c", "mode:=c: allowed is a, b"),
    ],
)
def test_a_wrong_value_is_refused_with_the_argument_and_what_is_allowed(name: str, text: str, line: str) -> None:
    with pytest.raises(SettingError, match=f"^{line}$"):
        parameter_values(Table, {name: text})


def test_names_are_read_off_a_command_line() -> None:
    words = ["ros2", "launch", "segmif_ros", "segmif.launch.py", "slop_s:=0.01", "--debug", "a:=b:=c"]
    assert command_line_names(words) == ["slop_s", "a"]


def test_a_file_is_at_the_top_where_the_command_line_names_it() -> None:
    assert is_top("/share/launch/segmif.launch.py", ["ros2", "launch", "segmif_ros", "segmif.launch.py"])
    assert not is_top("/share/launch/segmif.launch.py", ["ros2", "launch", "robot", "bringup.launch.py"])


def test_at_the_top_every_unknown_name_is_refused_with_the_likeliest() -> None:
    assert "did you mean 'slop_s'" in str(unknown_argument(["slop"], KNOWN, top=True))
    assert "'infrared_topic'" in str(unknown_argument(["ir_topic"], KNOWN, top=True))
    assert "--show-args" in str(unknown_argument(["zzz"], KNOWN, top=True))
    assert unknown_argument(["slop_s"], KNOWN, top=True) is None


def test_in_an_include_only_a_slip_of_the_pen_is_refused() -> None:
    assert "'registration'" in str(unknown_argument(["registrations"], KNOWN, top=False))
    theirs = ["use_namespace", "map_params_file", "use_rviz", "slam", "lidar_topic", "autostart", "camera_namespace"]
    assert unknown_argument(theirs, KNOWN, top=False) is None
