# SPDX-License-Identifier: Apache-2.0
"""The documented commands that run until they are stopped: each is started as it stands, with small images."""

import shlex
import signal
from pathlib import Path

import pytest

pytest.importorskip("rclpy", reason="no ROS 2 here")

from command_list import STARTED
from ros_fixtures import started

__all__ = ["started"]
PROGRAM = ("-m", "segmif_ros.cli")
RIG = ("width:=96", "height:=64", "loop_frames:=4", "scene_frames:=4")


def _line(text: str, world: Path) -> list[str]:
    """Return the words after `segmif` with the files of the world, and parameters that keep it small."""
    words = [str(world / each) if (world / each).is_file() else each for each in shlex.split(text.rstrip(" &"))[1:]]
    small = [*RIG] if words[0] == "rig" else []
    if words[0] == "run":
        files = [f"calibration_file:={world / 'rig.yaml'}"] if "calibration_file" in text else []
        small = [f"weights:={world / 'tiny.safetensors'}", "num_threads:=1", "warm_up_width:=96", "warm_up_height:=64"]
        small += files
    marker = [] if "--ros-args" in words or not small else ["--ros-args"]
    return [*words, *marker, *(word for each in small for word in ("-p", each))]


@pytest.mark.dds
@pytest.mark.parametrize("text", STARTED)
def test_a_documented_program_starts_and_ends(text: str, world: Path, started) -> None:
    program = started(*PROGRAM, *_line(text, world))
    program.until(STARTED[text])
    program.popen.send_signal(signal.SIGINT)
    assert program.end() == 0, program.lines
