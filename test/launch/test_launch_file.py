# SPDX-License-Identifier: Apache-2.0
"""The launch file: its tables agree with the node and the rig, and where launch is installed it describes itself."""

import runpy
from pathlib import Path

import pytest

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
