# SPDX-License-Identifier: Apache-2.0
"""The commands of the quick start together, over DDS: cameras, node, status and page."""

import json
import shlex
import time
import urllib.request
from pathlib import Path

import pytest
from patience import WAIT_S

pytest.importorskip("rclpy", reason="no ROS 2 here")

from documentation import ROOT, commands
from node_processes import PROCESS_DOMAIN
from ros_fixtures import started

from segmif_ros import cli
from segmif_ros.inference.backends import missing_packages
from segmif_ros.rig.calibration_file import load_calibration

__all__ = ["started"]
PROGRAM = ("-m", "segmif_ros.cli")
TOPICS = ("-r", "infrared/image_raw:=/boson/image_raw", "-r", "rgb/image_raw:=/camera/color/image_raw")


def _get(url: str) -> bytes:
    with urllib.request.urlopen(url, timeout=WAIT_S) as answer:
        return answer.read()


PAGE = ROOT / "docs" / "quick_start.md"
POINTS = "\n".join(f"{u} {v} {u + 1} {v + 1}" for u, v in ((9, 9), (90, 8), (8, 55), (89, 54), (50, 30)))


def of_page(beginning: str) -> list[str]:
    """The words after `segmif` of the page's one command with this beginning."""
    (command,) = [each.text for each in commands(PAGE) if each.text.startswith(f"segmif {beginning}")]
    return shlex.split(command)[1:]


@pytest.mark.dds
def test_cameras_are_recorded_and_calibrated_by_points_as_the_quick_start_says(
    started, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    small = [
        word
        for each in ("width:=96", "height:=64", "infrared_width:=96", "infrared_height:=64")
        for word in ("-p", each)
    ]
    started(*PROGRAM, *of_page("rig --ros-args"), *small, "-p", "loop_frames:=2").until("are rendered")
    monkeypatch.setenv("ROS_DOMAIN_ID", str(PROCESS_DOMAIN))
    monkeypatch.chdir(tmp_path)
    assert cli.main([*of_page("record drive"), "--seconds", "5"]) == 0
    assert cli.main(of_page("calibrate points drive --click")) == 0
    Path("points.txt").write_text(POINTS)
    assert cli.main(of_page("calibrate points drive --points")) == 0
    assert load_calibration(Path("calibration/rig.yaml")).homography is not None


@pytest.mark.dds
def test_the_commands_of_the_quick_start_show_the_rig_in_a_page(
    started, world: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """The weights are a model folder where its runtime is installed: the page treats it like any others."""
    weights = world / ("tiny.safetensors" if missing_packages("onnxruntime") else "my_network")
    params = world / "node.yaml"
    params.write_text(f"/**:\n  ros__parameters: {{weights: {weights}, num_threads: 1}}\n")
    size = ("-p", "width:=96", "-p", "height:=64")
    started(*PROGRAM, "rig", "--rate", "4", "--ros-args", *size, *TOPICS).until("4 Hz")
    started(*PROGRAM, "run", "--params-file", str(params), "--ros-args", *TOPICS).until("active")
    monkeypatch.setenv("ROS_DOMAIN_ID", str(PROCESS_DOMAIN))
    page = started(*PROGRAM, "view", "--port", "0")
    page.until("http://")
    url = page.lines[-1].split("/ ")[0]
    ends_s = time.monotonic() + WAIT_S
    shown: dict[str, object] = {}
    while not {"infrared", "rgb", "fused", "overlay", "confidence"} <= set(shown) and time.monotonic() < ends_s:
        state = json.loads(_get(f"{url}/state.json"))
        shown = {each["name"]: each for each in state["panels"] if each["stamp"]}
        time.sleep(0.2)
    assert _get(f"{url}/panel/overlay.jpg")[:2] == b"\xff\xd8"
    capsys.readouterr()
    cli.main(["status", "--json", "--timeout", "20"])
    assert json.loads(capsys.readouterr().out)["input_rate_hz"]["infrared"] > 0
