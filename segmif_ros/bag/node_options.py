# SPDX-License-Identifier: Apache-2.0
"""Options of commands that read bags as the node would: topics, and the node's parameters of pairing and gain."""

from __future__ import annotations

import argparse
import math
from dataclasses import fields, replace
from pathlib import Path
from typing import Any

from segmif_ros.bag.reading import INFRARED_TOPIC, RGB_TOPIC, BagError, Topics, open_bag
from segmif_ros.imaging.gain import GainConfig
from segmif_ros.paths import one_line
from segmif_ros.rig.errors import CalibrationError, RegistrationError
from segmif_ros.rig.preparation import add_preparation_arguments
from segmif_ros.stream.pipeline import PipelineConfig
from segmif_ros.stream.single_camera import POLICIES
from segmif_ros.stream.temporal import FILTERS
from segmif_ros.yaml_file import YamlError, at_line, located, read_yaml, shown

# parameters of segmif_node that a params file may hold and that a replay follows
_PAIRING = (
    *("slop_s", "queue_size", "time_offset_s", "master"),
    *("registration", "calibration_file", "reference_depth_m"),
    *("infrared_crop", "max_pixels"),
    *("single_camera", "single_camera_after_s", "frozen_images"),
    *("infrared_alone_confidence", "rgb_alone_confidence", "temporal"),
)
_GAIN = tuple(f"gain_{each.name}" for each in fields(GainConfig))
ENGINE_PARAMETERS = (
    *("weights", "device", "backend", "precision", "calibration_pairs", "prior", "mode", "label_set"),
    *("inference_width", "inference_height"),
)
_TYPES: dict[Any, type] = {
    **{name: type(getattr(PipelineConfig(), name)) for name in _PAIRING},
    **{name: type(getattr(GainConfig(), name.removeprefix("gain_"))) for name in _GAIN},
    **dict.fromkeys(ENGINE_PARAMETERS, str),
    **dict.fromkeys(("inference_width", "inference_height"), int),
    "overlay_alpha": float,
}
_NAMES = {int: "a whole number", float: "a number", str: "a text", bool: "true or false"}


def expected_pairs(bag: Path, topics: Topics) -> int | None:
    """Return how many pairs a progress bar may count on; None if the bag can't be opened."""
    try:
        with open_bag(bag, topics) as opened:
            return min(opened.counts["infrared"], opened.counts["rgb"])
    except BagError:
        return None  # the replay itself will say it


def parameters_of(path: Path) -> dict[str, Any]:
    """Return the node parameters in a ROS 2 params file.

    Raises:
        BagError: If it is none, or a value that a replay follows is of the wrong type.
    """
    try:
        content = read_yaml(path)
    except YamlError as error:
        raise BagError(str(error)) from None
    found: dict[str, Any] = {}
    sections = content.values() if isinstance(content, dict) else ()
    for section in sections:
        if isinstance(section, dict) and isinstance(values := section.get("ros__parameters"), dict):
            try:
                for name, value in values.items():
                    with at_line(values, name):
                        found[name] = _followed(name, value)
            except ValueError as error:
                raise BagError(located(path, error)) from None
    if not found:
        raise BagError(f"{path}: no ros__parameters in it: give a params file of segmif_node")
    return found


def _followed(name: Any, value: Any) -> Any:
    """Return a node parameter's value in its type; ValueError if it is of another. Others are left as they are."""
    wanted = _TYPES.get(name)
    if wanted is None:
        return value
    if wanted is float and type(value) is int:
        value = float(value)
    if wanted is int and isinstance(value, float) and value.is_integer():
        value = int(value)
    if type(value) is not wanted or value in (math.inf, -math.inf) or value != value:
        raise ValueError(f"parameter {name!r} is {shown(value)}: {_NAMES[wanted]} is needed")
    return value


def pipeline_config(given: dict[str, Any]) -> PipelineConfig:
    """Return pairing and gain from node parameters by name; those that are missing keep their defaults."""
    gain = {name.removeprefix("gain_"): given[name] for name in _GAIN if given.get(name) is not None}
    pairing = {name: given[name] for name in _PAIRING if given.get(name) is not None}
    try:
        config = replace(PipelineConfig(), **pairing, gain=replace(GainConfig(), **gain))
        if not (0 <= config.slop_s <= 10 and abs(config.time_offset_s) <= 10 and 1 <= config.queue_size <= 1000):
            raise ValueError(
                f"slop_s {config.slop_s:g}, time_offset_s {config.time_offset_s:g}, queue_size {config.queue_size}: "
                "0 to 10, -10 to 10 and 1 to 1000 are allowed"
            )
    except (ValueError, TypeError) as error:
        raise BagError(one_line(str(error))) from None
    return config


def offline_pipeline_config(given: dict[str, Any]) -> PipelineConfig:
    """Return `pipeline_config` for work without a node: nobody listens to camera_info, all calibration is in the file.

    Raises:
        BagError: If a value is wrong, or the file isn't enough for the registration.
    """
    config = pipeline_config(given)
    try:
        config.make_registration()
    except (CalibrationError, RegistrationError) as error:
        raise BagError(str(error)) from None
    return config


def add_replay_arguments(parser: argparse.ArgumentParser) -> None:
    """Add topics, pairing and gain."""
    group = parser.add_argument_group("bag")
    group.add_argument("--infrared", default=INFRARED_TOPIC, metavar="TOPIC", help="default: %(default)s")
    group.add_argument("--rgb", default=RGB_TOPIC, metavar="TOPIC", help="default: %(default)s")
    group.add_argument("--labels", metavar="TOPIC", help="ground truth: mono8, one class id a pixel")
    group = parser.add_argument_group("as the node's parameters")
    group.add_argument("--params-file", type=Path, help="follow this params file of segmif_node")
    group.add_argument("--slop", dest="slop_s", type=float, help="seconds (default: 0, from the frame periods)")
    group.add_argument("--queue-size", type=int)
    group.add_argument("--time-offset", dest="time_offset_s", type=float, help="taken off infrared stamps, seconds")
    add_preparation_arguments(group)
    group.add_argument(
        "--single-camera",
        choices=POLICIES,
        help="go on with one camera where the other one is silent or blind (default: none, pairs alone are processed)",
    )
    group.add_argument("--single-camera-after", dest="single_camera_after_s", type=float, help="seconds (default: 0.5)")
    group.add_argument("--temporal", choices=FILTERS, help="steady the labels over time (default: none)")
    group.add_argument("--gain-time-constant", dest="gain_time_constant_s", type=float, help="seconds")
    group.add_argument("--overlay-alpha", type=float)


def node_parameters(arguments: argparse.Namespace) -> dict[str, Any]:
    """Return the node parameters that were given: on the command line, else in the params file."""
    given = parameters_of(arguments.params_file) if arguments.params_file else {}
    said = vars(arguments)
    names = (*_PAIRING, *_GAIN, "overlay_alpha")
    return {**given, **{name: said[name] for name in names if said.get(name) is not None}}


def topics_of(arguments: argparse.Namespace) -> Topics:
    """Return the topics that were asked for; a baseline has no labels to be compared."""
    labels = None if arguments.baseline else arguments.labels
    return Topics(infrared=arguments.infrared, rgb=arguments.rgb, labels=labels)
