# SPDX-License-Identifier: Apache-2.0
"""Options of commands that read bags as the node would: topics, and the node's parameters of pairing and gain."""

from __future__ import annotations

import argparse
from dataclasses import fields, replace
from pathlib import Path
from typing import Any

import yaml

from segmif_ros.bag.reading import INFRARED_TOPIC, RGB_TOPIC, BagError, Topics, open_bag
from segmif_ros.imaging.gain import GAIN_POLICIES, GainConfig
from segmif_ros.rig.errors import CalibrationError, RegistrationError
from segmif_ros.rig.registration import MODES, VIEWS
from segmif_ros.stream.pipeline import PipelineConfig

# parameters of segmif_node that a params file may hold and that a replay follows
_PAIRING = (
    *("slop_s", "queue_size", "time_offset_s", "master"),
    *("registration", "calibration_file", "reference_depth_m"),
)
_GAIN = tuple(f"gain_{each.name}" for each in fields(GainConfig))
ENGINE_PARAMETERS = ("weights", "device", "backend", "precision", "calibration_pairs", "prior", "mode", "label_set")



def expected_pairs(bag: Path, topics: Topics) -> int | None:
    """Return how many pairs a progress bar may count on; None if the bag can't be opened."""
    try:
        with open_bag(bag, topics) as opened:
            return min(opened.counts["infrared"], opened.counts["rgb"])
    except BagError:
        return None  # the replay itself will say it


def parameters_of(path: Path) -> dict[str, Any]:
    """Return the node parameters in a ROS 2 params file; BagError if it is none."""
    try:
        content = yaml.safe_load(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise BagError(f"{path}: {error.strerror or error}") from None
    except (yaml.YAMLError, UnicodeDecodeError):
        raise BagError(f"{path}: not readable as YAML") from None
    found: dict[str, Any] = {}
    sections = content.values() if isinstance(content, dict) else ()
    for section in sections:
        if isinstance(section, dict) and isinstance(section.get("ros__parameters"), dict):
            found.update(section["ros__parameters"])
    if not found:
        raise BagError(f"{path}: no ros__parameters in it: give a params file of segmif_node")
    return found


def pipeline_config(given: dict[str, Any]) -> PipelineConfig:
    """Return pairing and gain from node parameters by name; those that are missing keep their defaults."""
    gain = {name.removeprefix("gain_"): given[name] for name in _GAIN if given.get(name) is not None}
    pairing = {name: given[name] for name in _PAIRING if given.get(name) is not None}
    try:
        config = replace(PipelineConfig(), **pairing, gain=replace(GainConfig(), **gain))
        if config.slop_s < 0 or config.queue_size < 1:
            raise ValueError(f"slop_s {config.slop_s} must not be negative and queue_size at least 1")
    except (ValueError, TypeError) as error:
        raise BagError(str(error)) from None
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
    group.add_argument("--slop", dest="slop_s", type=float, help="seconds (default: 0.02)")
    group.add_argument("--queue-size", type=int)
    group.add_argument("--time-offset", dest="time_offset_s", type=float, help="taken off infrared stamps, seconds")
    group.add_argument("--master", choices=VIEWS)
    group.add_argument("--registration", choices=MODES, help="default: none")
    group.add_argument("--calibration-file", metavar="FILE", help="of the rig; camera_info isn't looked at")
    group.add_argument("--reference-depth", dest="reference_depth_m", type=float, help="metres (default: 10)")
    group.add_argument("--gain-policy", choices=GAIN_POLICIES)
    group.add_argument("--gain-time-constant", dest="gain_time_constant_s", type=float, help="seconds")
    group.add_argument("--gain-fixed-low", type=float)
    group.add_argument("--gain-fixed-high", type=float)
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
