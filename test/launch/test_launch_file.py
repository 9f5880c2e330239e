# SPDX-License-Identifier: Apache-2.0
"""The launch file: its tables agree with the node and the rig, and where launch is installed it describes itself."""

import runpy
from pathlib import Path

import pytest

from segmif_ros.ros.node_config import NodeConfig
from segmif_ros.ros.parameters import rows
from segmif_ros.ros.simulator.config import RigConfig

FILE = Path(__file__).parents[2] / "launch" / "segmif.launch.py"


@pytest.fixture(scope="module")
def launch_file() -> dict:
    return runpy.run_path(str(FILE))


def test_the_launch_file_loads_where_launch_is_not_installed(launch_file: dict) -> None:
    assert callable(launch_file["generate_launch_description"])


def test_every_argument_has_its_own_name_and_a_description(launch_file: dict) -> None:
    names = [row[0] for row in (*launch_file["TOPICS"], *launch_file["ARGUMENTS"])]
    assert len(names) == len(set(names))
    assert all(len(row[-1]) > 10 for row in (*launch_file["TOPICS"], *launch_file["ARGUMENTS"]))


def test_every_default_is_among_the_allowed_values(launch_file: dict) -> None:
    for name, default, allowed, _description in launch_file["ARGUMENTS"]:
        assert allowed is None or default in allowed, name


def test_arguments_are_passed_on_under_names_that_the_nodes_know(launch_file: dict) -> None:
    ours = {row.name: row for row in rows(NodeConfig)}
    for name, kind in launch_file["NODE_PARAMETERS"].items():
        assert kind is ours[name].type, name
    known = {row.name: row for row in rows(RigConfig)}
    defaults = {row[0]: row[1] for row in launch_file["ARGUMENTS"]}
    assert {defaults[name] for name in launch_file["NODE_PARAMETERS"]} == {""}, "empty: as in params_file"
    for argument, (name, kind) in launch_file["RIG_PARAMETERS"].items():
        assert kind is known[name].type, argument
        assert kind(defaults[argument]) == known[name].default, argument


def test_the_light_of_the_rig_can_be_chosen_from_all_there_is(launch_file: dict) -> None:
    allowed = {row[0]: row[2] for row in launch_file["ARGUMENTS"]}["rig_lighting"]
    known = {row.name: row for row in rows(RigConfig)}
    assert set(allowed) == set(known["lighting"].choices)


def test_rviz_shows_topics_that_the_launch_file_knows(launch_file: dict) -> None:
    import yaml

    config = yaml.safe_load((FILE.parents[1] / "config" / "segmif.rviz").read_text())
    shown = {each["Topic"]["Value"] for each in config["Visualization Manager"]["Displays"]}
    assert shown <= {topic for _, topic, _ in launch_file["TOPICS"]}


def test_with_launch_installed_every_argument_is_declared(launch_file: dict) -> None:
    pytest.importorskip("launch.actions", reason="the package index has no launch: a ROS 2 install brings it")
    description = launch_file["generate_launch_description"]()
    declared = {each.name for each in description.get_launch_arguments()}
    assert declared == {row[0] for row in (*launch_file["TOPICS"], *launch_file["ARGUMENTS"])}
