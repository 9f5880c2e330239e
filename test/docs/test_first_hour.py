# SPDX-License-Identifier: Apache-2.0
"""The commands of "From two cameras to the first fused frame" in their order, on a small simulated rig, over DDS."""

import json
import shlex
from pathlib import Path

import pytest

pytest.importorskip("rclpy", reason="no ROS 2 here")

from documentation import ROOT, commands
from node_processes import PROCESS_DOMAIN
from ros_fixtures import started

from segmif_ros import cli
from segmif_ros.rig.calibration_file import load_calibration

__all__ = ["started"]
PAGE = ROOT / "docs" / "first_fused_frame.md"
PROGRAM = ("-m", "segmif_ros.cli")
BOARD = "checkerboard:5x4:0.08"
# eight poses of three frames each; small images, and a board whose squares are large enough in them
SMALL = (
    "infrared_width:=160", "infrared_height:=120", "width:=192", "height:=144", f"board:={BOARD}", "rate_hz:=5.0",
    "loop_frames:=24", "board_pose_frames:=3",
)  # fmt: skip
POINTS = "\n".join(
    f"{u} {v} {1.1 * u + 8} {1.1 * v + 6}" for u, v in ((9, 9), (150, 8), (8, 110), (149, 109), (80, 60))
)


def of_page(beginning: str) -> list[str]:
    """The words after `segmif` of the page's one command with this beginning."""
    (command,) = [each.text for each in commands(PAGE) if each.text.startswith(f"segmif {beginning}")]
    return shlex.split(command)[1:]


@pytest.mark.dds
def test_the_page_leads_from_cameras_to_a_registered_pair(started, world, tmp_path, monkeypatch, capsys) -> None:
    """Cameras shown a board are recorded and calibrated, from the bag and live, and the node takes the file."""
    monkeypatch.chdir(tmp_path)
    started(*PROGRAM, *of_page("rig"), *(word for each in SMALL for word in ("-p", each))).until("are rendered")
    monkeypatch.setenv("ROS_DOMAIN_ID", str(PROCESS_DOMAIN))
    assert cli.main([*of_page("record board"), "--seconds", "6"]) == 0
    assert cli.main([*of_page("calibrate board board"), "--board", BOARD]) == 0
    report = json.loads(Path("calibration/report.json").read_text())
    assert report["expected_px"] < 2
    found = load_calibration(Path("calibration/rig.yaml"))
    # the page's rig has 8 cm between the cameras
    assert found.extrinsics.translation_m[0] == pytest.approx(0.08, abs=0.02)

    live = ["calibrate", "board", "live", "--board", BOARD, "--views", "6", "--out", "calibration-live"]
    assert cli.main(live) == 0
    assert load_calibration(Path("calibration-live/rig.yaml")).extrinsics is not None

    assert cli.main([*of_page("record drive"), "--seconds", "3"]) == 0
    # a board before the same street for three seconds tells too little, which is said in one line
    capsys.readouterr()
    assert cli.main(of_page("calibrate scene drive")) in (0, 2)
    assert len(capsys.readouterr().err.strip().splitlines()) <= 1
    assert cli.main(of_page("calibrate points drive --click")) == 0
    Path("points.txt").write_text(POINTS)
    assert cli.main(of_page("calibrate points drive --points")) == 0

    weights = ("-p", f"weights:={world / 'tiny.safetensors'}", "-p", "num_threads:=1")
    # processes of tests don't run in this folder
    run = [each.replace("calibration_file:=", f"calibration_file:={tmp_path}/") for each in of_page("run")]
    started(*PROGRAM, *run, *weights).until("registration stereo at 10 m")
