# SPDX-License-Identifier: Apache-2.0
"""Options of commands that read bags as the node would: topics, and the node's parameters that a replay follows."""

from __future__ import annotations

import argparse
from collections.abc import Collection
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from segmif_ros.bag.reading import INFRARED_TOPIC, RGB_TOPIC, BagError, Topics, open_bag
from segmif_ros.imaging.overlay import OverlayConfig
from segmif_ros.inference.config import NetworkConfig
from segmif_ros.paths import one_line
from segmif_ros.rig.errors import CalibrationError, RegistrationError
from segmif_ros.settings import from_values, part, settings_of
from segmif_ros.settings.options import add_options, given
from segmif_ros.stream.pipeline_config import PipelineConfig
from segmif_ros.yaml_file import YamlError, at_line, located, read_yaml


@dataclass(frozen=True, kw_only=True)
class _Followed:
    """Parameters of segmif_node that a replay follows."""

    network: NetworkConfig = part(NetworkConfig)
    pipeline: PipelineConfig = part(PipelineConfig)
    overlay: OverlayConfig = part(OverlayConfig, prefix="overlay_")


_FOLLOWED = {each.name: each for each in settings_of(_Followed)}


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
    """Return a node parameter's value in its type; ValueError if it is no value of it. Others are left as they are."""
    return _FOLLOWED[name].accept(value) if name in _FOLLOWED else value


def pipeline_config(values: dict[str, Any]) -> PipelineConfig:
    """Return pairing and gain from node parameters by name; those that are missing keep their defaults."""
    names = {each.name for each in settings_of(PipelineConfig)}
    try:
        return from_values(PipelineConfig, {name: value for name, value in values.items() if name in names})
    except ValueError as error:
        raise BagError(one_line(str(error))) from None


def offline_pipeline_config(values: dict[str, Any]) -> PipelineConfig:
    """Return `pipeline_config` for work without a node: nobody listens to camera_info, all calibration is in the file.

    Raises:
        BagError: If a value is wrong, or the file isn't enough for the registration.
    """
    config = pipeline_config(values)
    try:
        config.make_registration()
    except (CalibrationError, RegistrationError) as error:
        raise BagError(str(error)) from None
    return config


def add_replay_arguments(parser: argparse.ArgumentParser) -> None:
    """Add topics, pairing and gain."""
    group = parser.add_argument_group("bag")
    group.add_argument("--infrared-topic", default=INFRARED_TOPIC, metavar="TOPIC", help="default: %(default)s")
    group.add_argument("--rgb-topic", default=RGB_TOPIC, metavar="TOPIC", help="default: %(default)s")
    group.add_argument("--labels-topic", metavar="TOPIC", help="ground truth: mono8, one class id a pixel")
    add_pipeline_arguments(parser)


def add_pipeline_arguments(parser: argparse.ArgumentParser, names: Collection[str] = ()) -> None:
    """Add the node's parameters of pairing, registration, gain and overlay, or some; see `follow_params_file`."""
    group = parser.add_argument_group("as the node's parameters")
    group.add_argument("--params-file", type=Path, help="follow this params file of segmif_node")
    add_options(group, _Followed, names or [each.name for each in settings_of(_Followed) if each.path[0] != "network"])


def follow_params_file(arguments: argparse.Namespace) -> dict[str, Any]:
    """Return the node parameters that were given: on the command line, else in the params file.

    ``arguments`` gets those of the params file for which it has an option, so that all that reads its settings follows.
    """
    values = parameters_of(arguments.params_file) if arguments.params_file else {}
    for name, value in values.items():
        if name in _FOLLOWED and getattr(arguments, name, "") is None:
            setattr(arguments, name, value)
    return values | given(arguments, _Followed)


def topics_of(arguments: argparse.Namespace) -> Topics:
    """Return the topics that were asked for; a baseline has no labels to be compared."""
    labels = None if arguments.baseline else arguments.labels_topic
    return Topics(infrared=arguments.infrared_topic, rgb=arguments.rgb_topic, labels=labels)
