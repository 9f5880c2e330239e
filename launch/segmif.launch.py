# SPDX-License-Identifier: Apache-2.0
"""Start segmif_node, and if asked for the simulated rig and RViz.

$ ros2 launch segmif_ros segmif.launch.py --show-args
$ ros2 launch segmif_ros segmif.launch.py simulated_rig:=true rviz:=true
$ ros2 launch segmif_ros segmif.launch.py infrared_topic:=/boson/image_raw rgb_topic:=/camera/color/image_raw
"""

from pathlib import Path

# argument, what the node calls the topic, what it carries; the argument's default is the node's name for it, so that it
# follows the namespace
TOPICS = (
    ("infrared_topic", "infrared/image_raw", "infrared images in"),
    ("rgb_topic", "rgb/image_raw", "RGB images in"),
    ("infrared_info_topic", "infrared/camera_info", "CameraInfo of the infrared camera"),
    ("rgb_info_topic", "rgb/camera_info", "CameraInfo of the RGB camera"),
    ("fused_topic", "fused/image", "fused images out"),
    ("mask_topic", "segmentation/mask", "class id of every pixel out, mono8"),
    ("confidence_topic", "segmentation/confidence", "confidence of every pixel out, mono8, 0 to 255"),
    ("fused_info_topic", "fused/camera_info", "CameraInfo of the fused image out"),
    ("segmentation_info_topic", "segmentation/camera_info", "CameraInfo of mask and confidence out"),
    ("classes_mask_topic", "segmentation/classes_mask", "mask of chosen classes out, mono8, 0 or 255"),
    ("label_info_topic", "segmentation/label_info", "vision_msgs/LabelInfo out"),
    ("overlay_topic", "segmentation/overlay", "classes drawn over the image out, for people"),
    ("semantic_map_topic", "segmentation/semantic_map", "segmif_ros/SemanticMap out"),
    ("labels_topic", "rig/labels", "exact labels from the simulated rig, mono8"),
)
BOOLEAN = ("true", "false")
# argument, default, allowed values (None: any), description
ARGUMENTS = (
    ("params_file", "", None, "parameters of segmif_node; empty takes the package's config/segmif.yaml"),
    ("weights", "", None, "model name, file, or the authors' two files with a comma between; empty: as in params_file"),
    ("device", "", None, "auto, cpu, cuda or cuda:N; empty: as in params_file"),
    ("backend", "", None, "auto, fastest, torch or another backend of the README; empty: as in params_file"),
    ("precision", "", None, "float32, bfloat16 or float16; empty: as in params_file"),
    ("frame_budget_ms", "", None, "the network's image gets smaller where pairs take longer; empty: as in params_file"),
    ("namespace", "", None, "namespace of all nodes and relative topics"),
    ("log_level", "info", ("debug", "info", "warn", "error", "fatal"), "least severe log messages to show"),
    ("use_sim_time", "false", BOOLEAN, "take the time from /clock, for replayed bags and simulators"),
    ("rviz", "false", BOOLEAN, "start RViz with inputs and outputs side by side"),
    ("simulated_rig", "false", BOOLEAN, "start the simulated camera pair, for trials without cameras"),
    ("rig_rate_hz", "10.0", None, "simulated rig: pairs per second"),
    ("rig_lighting", "cycle", ("day", "dusk", "night", "cycle"), "simulated rig: light of the synthetic road"),
    ("rig_pairs_folder", "", None, "simulated rig: folder with infrared/ and visible/ to show; empty: synthetic road"),
    ("rig_width", "0", None, "simulated rig: image width in pixels; 0: 640, or pairs as they are"),
    ("rig_height", "0", None, "simulated rig: image height in pixels; 0: 480, or pairs as they are"),
    ("rig_jitter_s", "0.0", None, "simulated rig: standard deviation of the stamps' jitter in seconds"),
    ("rig_drop_probability", "0.0", None, "simulated rig: share of the frames of each camera that go missing, 0 to 1"),
    ("rig_time_offset_s", "0.0", None, "simulated rig: added to the infrared stamps, in seconds"),
)
# launch argument and parameter of segmif_node -> its type
NODE_PARAMETERS = {"weights": str, "device": str, "backend": str, "precision": str, "frame_budget_ms": float}
# launch argument -> parameter of the rig and its type
RIG_PARAMETERS = {
    "rig_rate_hz": ("rate_hz", float),
    "rig_lighting": ("lighting", str),
    "rig_pairs_folder": ("pairs_folder", str),
    "rig_width": ("width", int),
    "rig_height": ("height", int),
    "rig_jitter_s": ("jitter_s", float),
    "rig_drop_probability": ("drop_probability", float),
    "rig_time_offset_s": ("infrared_time_offset_s", float),
}


def generate_launch_description():
    """Describe the arguments; what they lead to is decided by `_start` when their values are known."""
    from launch import LaunchDescription
    from launch.actions import DeclareLaunchArgument, OpaqueFunction

    declared = [
        DeclareLaunchArgument(name, default_value=default, description=f"{description} (topic)")
        for name, default, description in TOPICS
    ]
    declared += [
        DeclareLaunchArgument(
            name, default_value=default, description=description, **({"choices": list(allowed)} if allowed else {})
        )
        for name, default, allowed, description in ARGUMENTS
    ]
    return LaunchDescription([*declared, OpaqueFunction(function=_start)])


def _start(context):
    from launch.actions import RegisterEventHandler, SetEnvironmentVariable
    from launch.event_handlers import OnProcessExit
    from launch_ros.actions import Node

    from segmif_ros.ros.transport import PROFILE_VARIABLES, use_profile

    value = context.launch_configurations
    environment = dict(context.environment)
    use_profile(environment)  # leaves one of the user's own alone
    # the installed launch file lies beside the installed configuration; a link leads to the sources', just as well
    config = Path(__file__).resolve().parent.parent / "config"
    params_file = Path(value["params_file"] or config / "segmif.yaml").expanduser()
    if not params_file.is_file():
        raise RuntimeError(f"params_file:={params_file}: no such file")

    given = {name: _number(name, value[name], kind) for name, kind in NODE_PARAMETERS.items() if value[name]}
    common = {
        "namespace": value["namespace"],
        "remappings": [(topic, value[name]) for name, topic, _ in TOPICS if value[name] != topic],
        "ros_arguments": ["--log-level", value["log_level"]],
        "output": "screen",
    }
    clock = {"use_sim_time": value["use_sim_time"] == "true"}
    processes = [
        Node(
            package="segmif_ros",
            executable="segmif_node",
            name="segmif_node",
            parameters=[str(params_file), {**given, **clock}],
            **common,
        )
    ]
    if value["simulated_rig"] == "true":
        processes.append(
            Node(
                package="segmif_ros",
                executable="simulated_rig",
                name="simulated_rig",
                parameters=[{**_rig_parameters(value), **clock}],
                **common,
            )
        )
    watched = list(processes)
    if value["rviz"] == "true":
        processes.append(
            Node(
                package="rviz2",
                executable="rviz2",
                arguments=["--display-config", str(config / "segmif.rviz")],
                parameters=[clock],
                **common,
            )
        )
    return [
        *(SetEnvironmentVariable(name, environment[name]) for name in PROFILE_VARIABLES if name in environment),
        *(RegisterEventHandler(OnProcessExit(target_action=each, on_exit=_end)) for each in watched),
        *processes,
    ]


def _rig_parameters(value):
    return {name: _number(argument, value[argument], kind) for argument, (name, kind) in RIG_PARAMETERS.items()}


def _number(argument, text, kind):
    try:
        return kind(text)
    except ValueError:
        needed = "a whole number" if kind is int else "a number"
        raise RuntimeError(f"{argument}:={text}: {needed} is needed") from None


def _end(event, context):
    """End everything when the node or the rig ends; if it failed, `ros2 launch` itself ends with status 1."""
    from launch.actions import OpaqueFunction, Shutdown

    if context.is_shutdown:  # they were told to end
        return None
    name = event.process_name
    if event.returncode == 0:
        return Shutdown(reason=f"{name} has ended")

    def fail(_context):
        # raising is what launch turns into exit status 1; Shutdown alone ends with 0
        raise RuntimeError(f"{name} failed with status {event.returncode}: what it said is above")

    return OpaqueFunction(function=fail)
