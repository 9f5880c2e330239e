# SPDX-License-Identifier: Apache-2.0
"""Start segmif_node, and on request the simulated rig, grid_node and RViz.

$ ros2 launch segmif_ros segmif.launch.py --show-args
$ ros2 launch segmif_ros segmif.launch.py simulated_rig:=true rviz:=true
$ ros2 launch segmif_ros segmif.launch.py simulated_rig:=true grid:=true
$ ros2 launch segmif_ros segmif.launch.py infrared_topic:=/boson/image_raw rgb_topic:=/camera/color/image_raw

Every parameter of segmif_node is an argument of the same name; those of simulated_rig have ``rig_`` before it, those of
grid_node ``grid_``. docs/integration.md shows how another launch file includes this one.
"""

import sys
from pathlib import Path

from segmif_ros.ros.grid_config import GridNodeConfig
from segmif_ros.ros.launch_arguments import (
    BOOLEAN,
    LaunchArgument,
    command_line_names,
    is_top,
    parameter_arguments,
    parameter_values,
    unknown_argument,
)
from segmif_ros.ros.node_config import NodeConfig
from segmif_ros.ros.simulator.config import RigConfig
from segmif_ros.ros.topics import TOPICS

ARGUMENTS = (
    LaunchArgument("params_file", "", "parameters of segmif_node; empty: the package's config/segmif.yaml"),
    LaunchArgument("namespace", "", "namespace of all nodes and relative topics"),
    LaunchArgument(
        "log_level", "info", "least severe log messages to show", ("debug", "info", "warn", "error", "fatal")
    ),
    LaunchArgument("use_sim_time", "false", "take the time from /clock, for replayed bags and simulators", BOOLEAN),
    LaunchArgument("rviz", "false", "start RViz with inputs and outputs side by side", BOOLEAN),
    LaunchArgument("simulated_rig", "false", "start the simulated camera pair, for trials without cameras", BOOLEAN),
    LaunchArgument("grid", "false", "start grid_node: a planner's grid of the ground, see docs/grid.md", BOOLEAN),
    LaunchArgument("grid_params_file", "", "parameters of grid_node; empty: the package's config/grid.yaml"),
    LaunchArgument("respawn", "false", "start segmif_node again when it ends", BOOLEAN),
    LaunchArgument("respawn_delay", "2.0", "seconds before segmif_node is started again"),
    LaunchArgument(
        "shutdown_on_exit",
        "auto",
        "end everything else when segmif_node or the simulated rig ends; auto: only where this file is launched "
        "itself, not where another launch file includes it, and not with respawn",
        ("auto", *BOOLEAN),
    ),
)
NODE_PARAMETERS = parameter_arguments(NodeConfig)
RIG_PREFIX = "rig_"
RIG_PARAMETERS = parameter_arguments(RigConfig, RIG_PREFIX, "simulated_rig's defaults")
GRID_PREFIX = "grid_"
GRID_PARAMETERS = parameter_arguments(GridNodeConfig, GRID_PREFIX, "grid_params_file")
# arguments of earlier versions -> the name of today
RENAMED = {"rig_time_offset_s": "rig_infrared_time_offset_s"}


def generate_launch_description():
    """Describe the arguments; `_start` acts on their values once these are known."""
    from launch import LaunchDescription
    from launch.actions import DeclareLaunchArgument, OpaqueFunction

    declared = [
        DeclareLaunchArgument(name, default_value=default, description=f"{description} (topic)")
        for name, default, description in TOPICS
    ]
    declared += [
        DeclareLaunchArgument(
            each.name,
            default_value=each.default,
            description=each.description,
            **({"choices": list(each.choices)} if each.choices else {}),
        )
        for each in (*ARGUMENTS, *NODE_PARAMETERS, *RIG_PARAMETERS, *GRID_PARAMETERS)
    ]
    return LaunchDescription([*declared, OpaqueFunction(function=_start)])


def _start(context):
    from launch.actions import LogInfo, RegisterEventHandler, SetEnvironmentVariable
    from launch.event_handlers import OnProcessExit
    from launch_ros.actions import Node

    from segmif_ros.ros.transport import PROFILE_VARIABLES, use_profile

    value = dict(context.launch_configurations)
    notes = [LogInfo(msg=f"{old} is called {new} now: use that name") for old, new in RENAMED.items() if value.get(old)]
    for old, new in RENAMED.items():
        value[new] = value.pop(old, "") or value[new]
    top = is_top(__file__, sys.argv)
    known = [row[0] for row in TOPICS] + [
        each.name for each in (*ARGUMENTS, *NODE_PARAMETERS, *RIG_PARAMETERS, *GRID_PARAMETERS)
    ]
    names = command_line_names(context.argv) if top else context.launch_configurations
    if problem := unknown_argument(set(names) - set(RENAMED), known, top=top):
        raise RuntimeError(problem)

    environment = dict(context.environment)
    use_profile(environment)  # leaves one of the user's own alone
    # the installed launch file lies beside the installed configuration; a link leads to the sources', just as well
    config = Path(__file__).resolve().parent.parent / "config"
    params_file, grid_params_file = (
        _file(name, value[name], config / default)
        for name, default in (("params_file", "segmif.yaml"), ("grid_params_file", "grid.yaml"))
    )

    respawn = value["respawn"] == "true"
    common = {
        "namespace": value["namespace"],
        "remappings": [(topic, value[name]) for name, topic, _ in TOPICS if value[name] != topic],
        "ros_arguments": ["--log-level", value["log_level"]],
        "output": "screen",
    }
    ours = {"package": "segmif_ros", "arguments": ["--exit-with-parent"], **common}
    clock = {"use_sim_time": value["use_sim_time"] == "true"}
    processes = [
        Node(
            executable="segmif_node",
            name="segmif_node",
            parameters=[str(params_file), {**parameter_values(NodeConfig, value), **clock}],
            respawn=respawn,
            respawn_delay=_seconds("respawn_delay", value["respawn_delay"]),
            **ours,
        )
    ]
    rig_values = parameter_values(RigConfig, value, RIG_PREFIX)
    with_grid = value["grid"] == "true"
    if value["simulated_rig"] == "true":
        if with_grid and not rig_values.get("pairs_folder"):
            rig_values.setdefault("drive", True)  # a grid needs to know where the robot is
        processes.append(
            Node(
                executable="simulated_rig",
                name="simulated_rig",
                parameters=[{**rig_values, **clock}],
                **ours,
            )
        )
    elif rig_values:
        notes.append(LogInfo(msg=f"{RIG_PREFIX}{next(iter(rig_values))} has no effect without simulated_rig:=true"))
    grid_values = parameter_values(GridNodeConfig, value, GRID_PREFIX)
    if with_grid:
        processes.append(
            Node(
                executable="grid_node",
                name="grid_node",
                parameters=[str(grid_params_file), {**grid_values, **clock}],
                respawn=respawn,
                respawn_delay=_seconds("respawn_delay", value["respawn_delay"]),
                **ours,
            )
        )
    elif grid_values:
        notes.append(LogInfo(msg=f"{GRID_PREFIX}{next(iter(grid_values))} has no effect without grid:=true"))
    ending = {"true": True, "false": False}.get(value["shutdown_on_exit"], top and not respawn)
    watched = list(processes) if ending else []
    if value["rviz"] == "true":
        _require_rviz()
        display = ["--display-config", str(config / "segmif.rviz")]
        processes.append(Node(package="rviz2", executable="rviz2", arguments=display, parameters=[clock], **common))
    return [
        *notes,
        *(SetEnvironmentVariable(name, environment[name]) for name in PROFILE_VARIABLES if name in environment),
        *(RegisterEventHandler(OnProcessExit(target_action=each, on_exit=_end)) for each in watched),
        *processes,
    ]


def _require_rviz():
    """Look rviz2 up before anything is started: launch would end and leave the started nodes behind."""
    from ament_index_python.packages import PackageNotFoundError, get_package_prefix

    try:
        get_package_prefix("rviz2")
    except PackageNotFoundError:
        raise RuntimeError(
            "rviz:=true: rviz2 is not installed; install the package ros-<distribution>-rviz2, or leave rviz:=true out"
        ) from None


def _file(argument, given, default):
    path = Path(given or default).expanduser()
    if not path.is_file():
        raise RuntimeError(f"{argument}:={path}: no such file")
    return path


def _seconds(argument, text):
    try:
        return float(text)
    except ValueError:
        raise RuntimeError(f"{argument}:={text}: a number is needed") from None


def _end(event, context):
    """End everything when the node or the rig ends; if it failed, `ros2 launch` itself ends with status 1."""
    from launch.actions import OpaqueFunction, Shutdown

    if context.is_shutdown:  # they were asked to end
        return None
    name = event.process_name
    if event.returncode == 0:
        return Shutdown(reason=f"{name} has ended")

    def fail(_context):
        # raising is what launch turns into exit status 1; Shutdown alone ends with 0
        raise RuntimeError(f"{name} failed with status {event.returncode}: its message is above")

    return OpaqueFunction(function=fail)
