# SPDX-License-Identifier: Apache-2.0
"""Every command of the page "From two cameras to the first fused frame" is one that the command line takes."""

import importlib
import re
import shlex
from pathlib import Path

import pytest

from segmif_ros import cli
from segmif_ros.command_line import Parser
from segmif_ros.ros.node_config import NodeConfig
from segmif_ros.ros.simulator.config import RigConfig
from segmif_ros.settings import settings_of

PAGE = Path(__file__).parent.parent / "docs" / "first_fused_frame.md"
COMMANDS = [line.strip() for line in PAGE.read_text().splitlines() if re.match(r" {4}(segmif|ros2) ", line)]


def parameters(command) -> dict[str, str]:
    return dict(re.findall(r"-p (\w+):=(\S+)", command))


def test_the_page_has_commands() -> None:
    assert len(COMMANDS) >= 8


@pytest.mark.parametrize(
    "command", [each for each in COMMANDS if each.startswith(("segmif calibrate", "segmif record"))]
)
def test_a_command_is_taken_as_it_stands(command) -> None:
    module = {"calibrate": "segmif_ros.trials.calibrate.command", "record": "segmif_ros.trials.record"}
    _, name, *given = shlex.split(command)
    parser = Parser(prog=f"segmif {name}")
    importlib.import_module(module[name]).add_arguments(parser)
    assert parser.parse_args(given)


@pytest.mark.parametrize("command", [each for each in COMMANDS if "-p " in each])
def test_parameters_are_those_of_the_node_that_is_started(command) -> None:
    table = {row.name: row for row in settings_of(RigConfig if command.startswith("segmif rig") else NodeConfig)}
    for name, value in parameters(command).items():
        assert name in table, name
        if table[name].choices:
            assert value in table[name].choices


def test_the_rehearsed_rig_can_be_had() -> None:
    (command,) = [each for each in COMMANDS if each.startswith("segmif rig")]
    kinds = {row.name: row.type for row in settings_of(RigConfig)}
    config = RigConfig(**{name: kinds[name](value) for name, value in parameters(command).items()})
    truth = config.calibration()
    assert truth.infrared.size == (384, 288)
    assert truth.extrinsics.translation_m[0] == 0.08
    assert not config.shares_view


def test_the_simulated_bracket_bends_while_it_runs() -> None:
    (command,) = [each for each in COMMANDS if each.startswith("ros2 param set")]
    assert command.split()[4] in {row.name for row in settings_of(RigConfig)}
    assert cli.COMMANDS["rig"]
