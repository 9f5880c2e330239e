# SPDX-License-Identifier: Apache-2.0
"""`segmif COMMAND`: argparse only. What a command does is in the package that it belongs to.

A command's modules are imported when it is the one that was asked for: `segmif doctor` needs no torch, and
`segmif train` no ROS.
"""

from __future__ import annotations

import argparse
import importlib
import sys
from collections.abc import Callable, Mapping, Sequence
from importlib import metadata
from typing import Any

from segmif_ros.command_line import Parser, finish
from segmif_ros.settings.options import add_options, given

Run = Callable[[argparse.Namespace], int]
Wire = Callable[[argparse.ArgumentParser], Run]

_ROS_ARGUMENTS = "what follows --ros-args goes to ROS 2 as it is: -p NAME:=VALUE, -r FROM:=TO, --params-file FILE"


def _of(module: str, options: str = "") -> Wire:
    """Wire a command to the functions add_arguments and run of a module.

    A module that needs torch has its options in one beside it, so that --help and a mistyped option cost no seconds.
    """
    declared_in = f"{module.rpartition('.')[0]}.{options}" if options else module

    def wire(parser: argparse.ArgumentParser) -> Run:
        importlib.import_module(declared_in).add_arguments(parser)

        def run(arguments: argparse.Namespace) -> int:
            status: int = importlib.import_module(module).run(arguments)
            return status

        return run

    return wire


def _ros_options(parser: argparse.ArgumentParser, config: type, names: Sequence[str], **options: str) -> None:
    """Add the options of a command that is a node: a params file, and some of its parameters."""
    parser.epilog = _ROS_ARGUMENTS
    parser.add_argument("--params-file", metavar="FILE", help="parameters, as `segmif parameters --yaml` prints them")
    add_options(parser, config, names, options=options)


def _node(parser: argparse.ArgumentParser) -> Run:
    from segmif_ros.ros.node_config import NodeConfig

    _ros_options(parser, NodeConfig, ("weights", "device"))

    def run(options: argparse.Namespace) -> int:
        from segmif_ros.ros import entry

        _give_ros(options, given(options, NodeConfig))
        return entry.segmif_node()

    return run


def _rig(parser: argparse.ArgumentParser) -> Run:
    from segmif_ros.ros.simulator.config import RigConfig

    _ros_options(parser, RigConfig, ("pairs_folder", "rate_hz", "lighting"), pairs_folder="--pairs")
    parser.add_argument(
        "--fault",
        dest="fault",
        action="append",
        default=[],
        metavar="CAMERA:KIND@START+DURATION",
        help="for example infrared:freeze@10s+5s; can be given several times",
    )

    def run(options: argparse.Namespace) -> int:
        from segmif_ros.ros import entry

        faults = {"faults": ",".join(options.fault)} if options.fault else {}
        _give_ros(options, given(options, RigConfig) | faults)
        return entry.simulated_rig()

    return run


def _grid(parser: argparse.ArgumentParser) -> Run:
    from segmif_ros.ros.grid_config import GridNodeConfig

    names = ("camera_height_m", "camera_pitch_deg", "odometry_from")
    _ros_options(parser, GridNodeConfig, names, odometry_from="--odometry")

    def run(options: argparse.Namespace) -> int:
        from segmif_ros.ros import entry

        values = given(options, GridNodeConfig)
        measured = {"camera_pose_from": "parameters"} if "camera_height_m" in values else {}
        _give_ros(options, measured | values)
        return entry.grid_node()

    return run


COMMANDS: dict[str, tuple[str, Wire]] = {
    "demo": ("run rig and node, show figures, pictures and a page", _of("segmif_ros.trials.demo.command")),
    "run": ("run segmif_node", _node),
    "rig": ("run the simulated camera pair", _rig),
    "grid": ("run grid_node: a planner's grid of the ground", _grid),
    "status": ("show a running node: inputs, rates, drops, ages, problems", _of("segmif_ros.trials.status")),
    "view": ("show a running node's images and state in a browser", _of("segmif_ros.trials.view")),
    "train": ("train from a recipe", _of("segmif_ros.training.__main__")),
    "predict": (
        "write fused images and labels of your own pictures",
        _of("segmif_ros.predict.command", "predict_options"),
    ),
    "pseudo-label": (
        "label pairs by what a trained network sees by day",
        _of("segmif_ros.training.pseudo_labels", "pseudo_label_options"),
    ),
    "evaluate": ("evaluate weights, or your own method's images, on a data set", _of("segmif_ros.evaluation.command")),
    "compare": ("compare two reports of evaluate", _of("segmif_ros.evaluation.compare_reports")),
    "evaluate-grid": ("judge the planner's grid against exact ground", _of("segmif_ros.evaluation.ground.command")),
    "replay": (
        "run bags through pairing and engine, or play one to a node",
        _of("segmif_ros.trials.replay_command", "replay_options"),
    ),
    "calibrate": ("calibrate a rig from a board, a drive or points", _of("segmif_ros.trials.calibrate.command")),
    "record": ("record both cameras, camera_info and tf, with a manifest", _of("segmif_ros.trials.record")),
    "record-synthetic": ("write a bag of synthetic scenes with exact labels", _of("segmif_ros.bag.record_synthetic")),
    "export-dataset": ("write a bag's pairs in FMB's layout", _of("segmif_ros.bag.export_dataset")),
    "bench": (
        "time models, backends and precisions on this machine",
        _of("segmif_ros.trials.bench", "bench_options"),
    ),
    "gpu-check": (
        "measure what a GPU gives, within minutes",
        _of("segmif_ros.trials.gpu_check", "gpu_check_options"),
    ),
    "convert": ("write weights as one file of ours or as the authors' two", _of("segmif_ros.inference.convert")),
    "export": (
        "write the network as ONNX, OpenVINO or a model folder",
        _of("segmif_ros.inference.export", "export_options"),
    ),
    "models": (
        "list the packaged weights, or describe those of a file",
        _of("segmif_ros.inference.models", "models_options"),
    ),
    "weights-report": (
        "measure weights on held-out scenes",
        _of("segmif_ros.evaluation.card.command", "card_options"),
    ),
    "single-camera": (
        "calibrate the confidence with one camera alone",
        _of("segmif_ros.evaluation.single_camera_factors"),
    ),
    "parity": (
        "compare the network with recorded outputs of the authors' network",
        _of("segmif_ros.trials.parity", "parity_options"),
    ),
    "picture": ("draw synthetic scenes and what the weights make of them", _of("segmif_ros.trials.demo.picture")),
    "parameters": ("print or write the tables of parameters", _of("segmif_ros.ros.parameter_files")),
    "doctor": ("list what is installed, what is missing, and how to install it", _of("segmif_ros.trials.doctor")),
}


UNLISTED = {"picture"}  # makes this project's own picture


def main(arguments: Sequence[str] | None = None) -> int:
    """Run one command; all errors are printed and all exit statuses decided by `command_line.finish`.

    Returns:
        0 for success, 1 where something failed, 2 for a wrong command line or unusable input, 130 if interrupted.
    """
    words = list(sys.argv[1:] if arguments is None else arguments)
    ours, ros = _split(words)
    parser = Parser(prog="segmif", description="Infrared + RGB fusion and segmentation for ROS 2.")
    parser.add_argument("--version", action="version", version=_version())
    commands = parser.add_subparsers(dest="command", metavar="COMMAND", required=True)

    def parse_and_run() -> int:
        run: Run | None = None
        for name, (summary, wire) in COMMANDS.items():
            # a command without help is left out of the list
            listed: dict[str, Any] = {} if name in UNLISTED else {"help": summary}
            wired = commands.add_parser(name, description=f"{summary[0].upper()}{summary[1:]}.", **listed)
            if ours[:1] == [name]:
                run = wire(wired)
        options = parser.parse_args(ours, argparse.Namespace(ros=ros))
        assert run is not None  # argparse ends with status 2 where no command is named
        return run(options)

    return finish(f"segmif {ours[0]}" if ours and ours[0] in COMMANDS else "segmif", parse_and_run)


def _split(words: list[str]) -> tuple[list[str], list[str]]:
    """Cut the command line before --ros-args, which only the commands that are nodes know."""
    if words[:1] in (["run"], ["rig"], ["grid"]) and "--ros-args" in words:
        at = words.index("--ros-args")
        return words[:at], words[at:]
    return words, []


def _give_ros(options: argparse.Namespace, parameters: Mapping[str, Any]) -> None:
    """Leave a command line to rclpy, which reads sys.argv, with our options as ROS 2 arguments in it."""
    ours = ["--params-file", options.params_file] if options.params_file else []
    for name, value in parameters.items():
        ours += ["-p", f"{name}:={value:g}" if isinstance(value, float) else f"{name}:={value}"]
    sys.argv[1:] = [*(["--ros-args", *ours, "--"] if ours else []), *options.ros]


def _version() -> str:
    try:
        return f"segmif_ros {metadata.version('segmif_ros')}"
    except metadata.PackageNotFoundError:
        return "segmif_ros, from the sources"


if __name__ == "__main__":
    sys.exit(main())
