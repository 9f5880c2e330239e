# SPDX-License-Identifier: Apache-2.0
"""A replayed drive: the planner's grid in the bag of outputs, and its figures against the recorded ground."""

from pathlib import Path

import numpy as np
import pytest
from fake_bag import FakeEngine
from rosbags.rosbag2 import Reader

from segmif_ros.bag.grid_messages import (
    grid_message,
    grid_of,
    odometry_message,
    odometry_of,
    transforms_message,
    transforms_of,
)
from segmif_ros.bag.grid_replay import GridReplayConfig, grid_lines
from segmif_ros.bag.reading import BagError
from segmif_ros.bag.record_synthetic import RecordConfig, record
from segmif_ros.bag.replay import ReplayConfig, replay
from segmif_ros.grid.config import GridConfig
from segmif_ros.grid.evidence import Square
from segmif_ros.grid.poses import CameraMount, from_rpy
from segmif_ros.inference.engine import EngineResult
from segmif_ros.scenes.drive import Drive

SMALL = {"frames": 6, "rate_hz": 5.0, "seed": 3, "height": 96, "width": 128, "lighting": "day"}
GRID = GridReplayConfig(grid=GridConfig(size_m=24.0, cell_m=0.4))


class TruthEngine(FakeEngine):
    """Labels are the drive's exact ones, one frame after the other."""

    def __init__(self) -> None:
        super().__init__()
        self._drive = Drive(SMALL["seed"], SMALL["height"], SMALL["width"], lighting="day")

    def infer(self, infrared: np.ndarray, rgb: np.ndarray) -> EngineResult:
        labels = self._drive.frame(self.pairs / SMALL["rate_hz"]).labels
        self.pairs += 1
        return EngineResult(fused=rgb.copy(), labels=labels, confidence=np.full_like(infrared, 242))


@pytest.fixture(scope="module")
def drive(tmp_path_factory) -> Path:
    path = tmp_path_factory.mktemp("bags") / "drive"
    record(path, RecordConfig(drive=True, **SMALL))
    return path


def test_a_drive_becomes_grids_that_are_judged_against_its_ground(drive: Path, tmp_path: Path) -> None:
    report = replay(drive, tmp_path / "out", TruthEngine(), ReplayConfig(metrics=(), grid=GRID))
    assert (report["grid"]["grids"], report["grid"]["judged"], report["grid"]["left_out"]) == (6, 6, {})
    near = report["grid"]["figures"]["bands"]["5-10 m"]
    assert near["iou_free"] > 0.6
    assert any(line.startswith("grid, 5-10 m: IoU free") for line in grid_lines(report))
    with Reader(tmp_path / "out" / "outputs") as reader:
        counts = {each.topic: each.msgcount for each in reader.connections}
        connections = [each for each in reader.connections if each.topic == "/grid/cost"]
        last = grid_of(list(reader.messages(connections))[-1][2])
    assert {counts[f"/grid/{each}"] for each in ("cost", "classes", "confidence")} == {6}
    assert last.cells.shape == (60, 60)
    assert ((last.cells >= 0) & (last.cells < 50)).sum() > 50
    assert (last.cells[:, :20] == -1).all(), "far behind the robot"


def test_the_camera_may_be_measured_by_hand(drive: Path, tmp_path: Path) -> None:
    config = GridReplayConfig(camera=CameraMount(height_m=1.2), grid=GRID.grid)
    by_hand, by_tf = (
        replay(drive, tmp_path / name, TruthEngine(), ReplayConfig(metrics=(), grid=each))["grid"]
        for name, each in (("hand", config), ("tf", GRID))
    )
    assert by_hand == by_tf


def test_a_bag_without_poses_is_refused_in_one_line(tmp_path: Path) -> None:
    path = tmp_path / "still"
    record(path, RecordConfig(**{**SMALL, "frames": 1}))
    with pytest.raises(BagError, match="--grid needs the robot's poses, and there are none on /odom or /tf"):
        replay(path, tmp_path / "out", TruthEngine(), ReplayConfig(metrics=(), grid=GRID))


def test_poses_and_grids_come_back_from_their_messages() -> None:
    pose = from_rpy([1, -2, 0.5], 0.1, -0.2, 2.5)
    stamp, frame, child, got = odometry_of(odometry_message(pose, 5, "odom", "base_link"))
    assert (stamp, frame, child) == (5, "odom", "base_link")
    assert got == pytest.approx(pose, abs=1e-6)
    [(stamp, parent, child, got)] = transforms_of(transforms_message([("a", "b", pose)], 7))
    assert (stamp, parent, child) == (7, "a", "b")
    assert got == pytest.approx(pose, abs=1e-6)
    cells = np.arange(-1, 15, dtype=np.int8).reshape(4, 4)
    grid = grid_of(grid_message(cells, Square(x_m=-1.0, y_m=2.0, cell_m=0.5, cells=4), 9, "odom"))
    assert np.array_equal(grid.cells, cells)
    assert (grid.stamp_ns, grid.x_m, grid.y_m, grid.cell_m) == (9, -1.0, 2.0, 0.5)
