# SPDX-License-Identifier: Apache-2.0
"""The launch file: arguments from the tables, a good guest in another's bringup, nothing started before it is sure."""

import re
import runpy
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import launch_stand_in
import pytest
import yaml
from documentation import PAGES, commands
from launch_stand_in import Context, exited, named

from segmif_ros.ros.grid_config import GridNodeConfig
from segmif_ros.ros.node_config import NodeConfig
from segmif_ros.ros.simulator.config import RigConfig
from segmif_ros.settings import SettingError, settings_of

FILE = Path(__file__).parents[2] / "launch" / "segmif.launch.py"
Start = Callable[..., list[Any]]


@pytest.fixture(scope="module")
def launch_file() -> dict:
    return runpy.run_path(str(FILE))


@pytest.fixture
def start(launch_file: dict, monkeypatch: pytest.MonkeyPatch) -> Start:
    """Act on arguments as launch would: as the file on the command line, or included by another."""
    launch_stand_in.install(monkeypatch)

    def act(included: bool = False, **given: str) -> list[Any]:
        command = "bringup.launch.py" if included else FILE.name
        words = [f"{name}:={value}" for name, value in given.items()]
        monkeypatch.setattr(sys, "argv", ["ros2", "launch", "some_package", command, *words])
        return launch_file["_start"](Context({**_defaults(launch_file), **given}, argv=words))

    return act


def _declared(launch_file: dict) -> list[Any]:
    tables = ("ARGUMENTS", "NODE_PARAMETERS", "RIG_PARAMETERS", "GRID_PARAMETERS")
    return [each for table in tables for each in launch_file[table]]


def _defaults(launch_file: dict) -> dict[str, str]:
    topics = {name: topic for name, topic, _ in launch_file["TOPICS"]}
    return {**topics, **{each.name: each.default for each in _declared(launch_file)}}


def _node(actions: list[Any], executable: str = "segmif_node") -> Any:
    return next(each for each in named(actions, "Node") if each.kwargs["executable"] == executable)


def test_the_launch_file_loads_where_launch_is_not_installed(launch_file: dict) -> None:
    assert callable(launch_file["generate_launch_description"])


def test_every_argument_has_its_own_name_and_a_description(launch_file: dict) -> None:
    rows_of = [(name, text) for name, _, text in launch_file["TOPICS"]]
    rows_of += [(each.name, each.description) for each in _declared(launch_file)]
    assert len({name for name, _ in rows_of}) == len(rows_of)
    assert all(len(text) > 10 for _, text in rows_of)


def test_every_default_is_among_the_choices(launch_file: dict) -> None:
    for each in launch_file["ARGUMENTS"]:
        assert not each.choices or each.default in each.choices, each.name


def test_every_parameter_of_node_and_rig_is_an_argument(launch_file: dict) -> None:
    names = {each.name for each in _declared(launch_file)}
    for prefix, config in (("", NodeConfig), ("rig_", RigConfig), ("grid_", GridNodeConfig)):
        assert names >= {prefix + each.name for each in settings_of(config)}


def test_all_arguments_are_declared(launch_file: dict, monkeypatch: pytest.MonkeyPatch) -> None:
    launch_stand_in.install(monkeypatch)
    (described,) = launch_file["generate_launch_description"]().args
    declared = {each.args[0] for each in named(described, "DeclareLaunchArgument")}
    assert declared == set(_defaults(launch_file))


def test_rviz_shows_topics_that_the_launch_file_knows(launch_file: dict) -> None:
    config = yaml.safe_load((FILE.parents[1] / "config" / "segmif.rviz").read_text())
    shown = {each["Topic"]["Value"] for each in config["Visualization Manager"]["Displays"]}
    assert shown <= {topic for _, topic, _ in launch_file["TOPICS"]}


def test_grid_starts_the_grid_node_and_makes_the_simulated_rig_drive(start: Start) -> None:
    actions = start(grid="true", simulated_rig="true", grid_cell_m="0.2", grid_cost_topic="/map")
    file, given = _node(actions, "grid_node").kwargs["parameters"]
    assert Path(file).name == "grid.yaml"
    assert given == {"cell_m": 0.2, "use_sim_time": False}
    assert ("grid/cost", "/map") in _node(actions, "grid_node").kwargs["remappings"]
    assert _node(actions, "simulated_rig").kwargs["parameters"][0]["drive"] is True


def test_grid_parameters_without_the_grid_are_noted(start: Start) -> None:
    (note,) = named(start(grid_cell_m="0.2"), "LogInfo")
    assert "grid_cell_m has no effect without grid:=true" in note.kwargs["msg"]


def test_the_bringup_includes_the_launch_file(monkeypatch: pytest.MonkeyPatch) -> None:
    launch_stand_in.install(monkeypatch)
    (described,) = runpy.run_path(str(FILE.with_name("bringup.launch.py")))["generate_launch_description"]().args
    assert named(described, "IncludeLaunchDescription")
    assert {each.args[0] for each in named(described, "DeclareLaunchArgument")} == {"grid", "rviz"}


def test_without_arguments_the_node_gets_the_packaged_parameters_alone(start: Start) -> None:
    actions = start()
    assert [each.kwargs["executable"] for each in named(actions, "Node")] == ["segmif_node"]
    file, given = _node(actions).kwargs["parameters"]
    assert Path(file).name == "segmif.yaml"
    assert given == {"use_sim_time": False}
    assert _node(actions).kwargs["remappings"] == []


def test_a_parameter_on_the_command_line_goes_over_the_params_file_in_its_type(start: Start) -> None:
    _file, given = _node(start(registration="resize", slop_s="0.01", queue_size="7")).kwargs["parameters"]
    assert given == {"registration": "resize", "slop_s": 0.01, "queue_size": 7, "use_sim_time": False}


def test_a_topic_argument_remaps(start: Start) -> None:
    assert _node(start(infrared_topic="/boson/image_raw")).kwargs["remappings"] == [
        ("infrared/image_raw", "/boson/image_raw")
    ]


def test_the_simulated_rig_gets_its_parameters(start: Start) -> None:
    rig = _node(start(simulated_rig="true", rig_rate_hz="5", rig_lighting="night"), "simulated_rig")
    assert rig.kwargs["parameters"] == [{"rate_hz": 5.0, "lighting": "night", "use_sim_time": False}]


def test_an_argument_of_the_rig_without_the_rig_is_reported(start: Start) -> None:
    (note,) = named(start(rig_rate_hz="5"), "LogInfo")
    assert "no effect without simulated_rig:=true" in note.kwargs["msg"]


def test_an_argument_of_an_earlier_version_still_works_and_names_the_new_one(start: Start) -> None:
    actions = start(simulated_rig="true", rig_time_offset_s="0.01")
    assert _node(actions, "simulated_rig").kwargs["parameters"][0]["infrared_time_offset_s"] == 0.01
    assert "rig_infrared_time_offset_s" in named(actions, "LogInfo")[0].kwargs["msg"]


@pytest.mark.parametrize(
    ("given", "line"),
    [
        ({"registrations": "none"}, "did you mean 'registration'"),
        ({"nosuch": "1"}, "--show-args"),
        ({"params_file": "/nowhere.yaml"}, "/nowhere.yaml: no such file"),
        ({"respawn_delay": "soon"}, "a number is needed"),
    ],
)
def test_what_is_wrong_is_refused_before_anything_starts(start: Start, given: dict, line: str) -> None:
    with pytest.raises(RuntimeError, match=line):
        start(**given)


def test_rviz_is_looked_up_before_anything_starts(
    start: Start, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    pytest.importorskip("ament_index_python", reason="no ROS 2 here")
    monkeypatch.setenv("AMENT_PREFIX_PATH", str(tmp_path))
    with pytest.raises(RuntimeError, match="rviz2 is not installed"):
        start(rviz="true")


def test_a_wrong_parameter_is_refused_before_anything_starts(start: Start) -> None:
    with pytest.raises(SettingError, match=r"^slop_s:=abc: a number is needed$"):
        start(slop_s="abc")


def test_launched_itself_the_end_of_the_node_ends_everything(start: Start) -> None:
    assert len(named(start(simulated_rig="true"), "RegisterEventHandler")) == 2


@pytest.mark.parametrize("given", [{"included": True}, {"respawn": "true"}, {"shutdown_on_exit": "false"}])
def test_included_or_respawned_the_end_of_the_node_ends_nothing_else(start: Start, given: dict) -> None:
    assert named(start(**given), "RegisterEventHandler") == []


def test_an_include_can_ask_for_the_common_end(start: Start) -> None:
    assert len(named(start(included=True, shutdown_on_exit="true"), "RegisterEventHandler")) == 1


def test_arguments_of_the_including_file_are_none_of_our_business(start: Start) -> None:
    assert start(included=True, use_rviz="true", map_params_file="x.yaml")


def _documented() -> str:
    page = (FILE.parents[1] / "docs" / "integration.md").read_text()
    return next(
        each for each in re.findall(r"```python\n(.*?)```", page, re.DOTALL) if "IncludeLaunchDescription" in each
    )


def test_the_documented_include_gives_only_arguments_that_exist(launch_file: dict) -> None:
    names = re.findall(r'^        "(\w+)":', _documented(), re.MULTILINE)
    assert len(names) == 5
    assert set(names) <= set(_defaults(launch_file))


def test_every_documented_launch_line_gives_arguments_that_exist(launch_file: dict) -> None:
    lines = [each.text.split() for page in PAGES for each in commands(page) if each.text.startswith("ros2 launch ")]
    known = set(_defaults(launch_file))
    assert len(lines) > 4
    for _, _, package, file, *arguments in lines:
        assert (package, FILE.with_name(file).is_file()) == ("segmif_ros", True)
        assert {each.partition(":=")[0] for each in arguments} <= known


def test_with_launch_installed_the_documented_include_leaves_the_rest_of_the_robot_alone(tmp_path: Path) -> None:
    pytest.importorskip("launch.actions", reason="the package index has no launch: a ROS 2 install brings it")
    params = tmp_path / "segmif.yaml"
    params.write_text("/**:\n  ros__parameters: {weights: nosuch}\n")
    # another part of the robot, which outlives the node: that fails at once for want of its weights
    rest = 'ExecuteProcess(cmd=["sh", "-c", "sleep 20; echo the rest went on"], output="screen")'
    changes = {
        "/etc/robot/segmif.yaml": str(params),
        '"respawn": "true"': '"respawn": "false"',
        'PathJoinSubstitution([FindPackageShare("segmif_ros"), "launch", "segmif.launch.py"])': repr(str(FILE)),
        "import GroupAction": "import ExecuteProcess, GroupAction",
        "[GroupAction(": f"[{rest}, GroupAction(",
    }
    text = _documented()
    for old, new in changes.items():
        assert old in text
        text = text.replace(old, new)
    file = tmp_path / "robot.launch.py"
    file.write_text(text)
    code = "import sys; from launch import LaunchService; from launch.launch_description_sources import *\n"
    code += "service = LaunchService(); service.include_launch_description("
    code += "get_launch_description_from_python_launch_file(sys.argv[1])); sys.exit(service.run())"
    done = subprocess.run([sys.executable, "-c", code, str(file)], capture_output=True, text=True, timeout=120)
    assert "no such name" in done.stdout + done.stderr
    assert "the rest went on" in done.stdout
    assert done.returncode == 0


def test_respawn_is_handed_to_launch(start: Start) -> None:
    node = _node(start(respawn="true", respawn_delay="0.5"))
    assert (node.kwargs["respawn"], node.kwargs["respawn_delay"]) == (True, 0.5)


def test_our_processes_end_with_launch_however_it_ends(start: Start) -> None:
    actions = start(simulated_rig="true")
    assert all("--exit-with-parent" in each.kwargs["arguments"] for each in named(actions, "Node"))


def test_a_wished_end_shuts_down_and_a_failure_raises(launch_file: dict, monkeypatch: pytest.MonkeyPatch) -> None:
    launch_stand_in.install(monkeypatch)
    end = launch_file["_end"]
    assert type(end(exited(0), Context({}))).__name__ == "Shutdown"
    with pytest.raises(RuntimeError, match="status 3"):
        end(exited(3), Context({})).kwargs["function"](None)
    assert end(exited(3), Context({}, is_shutdown=True)) is None


def test_with_launch_installed_every_argument_is_declared(launch_file: dict) -> None:
    pytest.importorskip("launch.actions", reason="the package index has no launch: a ROS 2 install brings it")
    description = launch_file["generate_launch_description"]()
    assert {each.name for each in description.get_launch_arguments()} == set(_defaults(launch_file))
