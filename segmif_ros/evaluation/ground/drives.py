# SPDX-License-Identifier: Apache-2.0
"""Drives through synthetic streets, label maps of them, grids of these, and the figures that come of it."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from typing import Any

import cv2
import numpy as np

from segmif_ros.arrays import Float64Array, Image, Mask
from segmif_ros.evaluation.ground.scores import Cells, GroundScores
from segmif_ros.grid.config import GridConfig
from segmif_ros.grid.costs import CostTable
from segmif_ros.grid.evidence import Square
from segmif_ros.grid.ground_view import GroundView
from segmif_ros.grid.mapper import GroundMapper, LabelFrame
from segmif_ros.grid.poses import camera_pose
from segmif_ros.grid.rolling import GridMap
from segmif_ros.labels import FMB, LabelSet
from segmif_ros.rig.camera_model import CameraModel
from segmif_ros.scenes.drive import NOT_BLOCKED, Drive, GroundTruth, truly_free
from segmif_ros.scenes.scene import SceneFrame
from segmif_ros.settings import setting

# (infrared, RGB) -> (labels, confidence); None where the camera is gone
Segment = Callable[[Image | None, Image | None], tuple[Image, Image]]

EXACT_CONFIDENCE = 242  # 0.95: exact labels claim what a good network does
_SEEN = tuple(FMB.id_of(name) for name in ("road", "sidewalk", "vegetation"))
_NEAR_M = 0.1
_FIRST_SCORED = 4  # frames before that fill the grid


@dataclass(frozen=True, kw_only=True)
class DriveCondition:
    """What a run is about.

    Attributes:
        name: For tables.
        exact: Take the exact labels instead of a network's.
        lighting: Of the drives.
        pitch_error_deg: By how much the pose given to the grid looks lower than the camera does.
        lost: "" or the camera that is gone: "infrared" or "rgb".
    """

    name: str
    exact: bool = False
    lighting: str = "day"
    pitch_error_deg: float = 0.0
    lost: str = ""

    @property
    def labels_from(self) -> tuple[bool, str, str]:
        """What two conditions share if they differ in nothing but the pose."""
        return self.exact, self.lighting, self.lost


CONDITIONS = (
    DriveCondition(name="exact labels", exact=True),
    DriveCondition(name="exact labels, pitch off by 0.5 degrees", exact=True, pitch_error_deg=0.5),
    DriveCondition(name="exact labels, pitch off by -0.5 degrees", exact=True, pitch_error_deg=-0.5),
    DriveCondition(name="exact labels, pitch off by 1 degree", exact=True, pitch_error_deg=1.0),
    DriveCondition(name="exact labels, pitch off by -1 degree", exact=True, pitch_error_deg=-1.0),
    DriveCondition(name="day"),
    DriveCondition(name="day, pitch off by 0.5 degrees", pitch_error_deg=0.5),
    DriveCondition(name="day, pitch off by 1 degree", pitch_error_deg=1.0),
    DriveCondition(name="night", lighting="night"),
    DriveCondition(name="day, infrared gone", lost="infrared"),
    DriveCondition(name="night, infrared gone", lighting="night", lost="infrared"),
    DriveCondition(name="day, RGB gone", lost="rgb"),
    DriveCondition(name="night, RGB gone", lighting="night", lost="rgb"),
)


@dataclass(frozen=True, kw_only=True)
class DriveConfig:
    """How the drives go: one for each of ``seeds``, with the camera ``mount_m`` metres above the ground."""

    seeds: tuple[int, ...] = tuple(range(9000, 9006))
    frames: int = setting(16, "Frames of each drive.", minimum=6)
    rate_hz: float = setting(5.0, "Frames per second.", minimum=0.01)
    speed_mps: float = setting(2.0, "Metres per second of the robot.")
    height: int = setting(480, "Rows of the images.", minimum=32, maximum=8192)
    width: int = setting(640, "Columns and rows of the images.", minimum=32, maximum=8192)
    mount_m: float = 1.2


@dataclass
class DriveOutcome:
    """What came of one condition: its figures, and the last grid of its first drive beside the truth."""

    condition: DriveCondition
    scores: GroundScores = field(default_factory=GroundScores)
    example: dict[str, Any] = field(default_factory=dict)


def run_drives(
    conditions: Sequence[DriveCondition],
    config: DriveConfig,
    grid: GridConfig,
    costs: CostTable,
    *,
    segment: Segment | None,
    label_set: LabelSet = FMB,
    advance: Callable[[int], None] = lambda _count: None,
) -> list[DriveOutcome]:
    """Return what comes of each condition, in order.

    Conditions that differ in the pose only share their images and label maps.

    Args:
        conditions: What to run.
        config: The drives.
        grid: Of the grids; wide enough for the farthest range that is judged.
        costs: Of classes.
        segment: The network; None if all conditions take the exact labels.
        label_set: Of the network's labels.
        advance: Told of each frame.
    """
    outcomes = [DriveOutcome(condition=each) for each in conditions]
    groups: dict[tuple[bool, str, str], list[DriveOutcome]] = {}
    for each in outcomes:
        groups.setdefault(each.condition.labels_from, []).append(each)
    for members in groups.values():
        for seed in config.seeds:
            _drive(seed, members, config, grid, costs, segment, label_set, advance)
    return outcomes


def frames_to_do(conditions: Iterable[DriveCondition], config: DriveConfig) -> int:
    """Return how often `run_drives` will tell of a frame."""
    return len({each.labels_from for each in conditions}) * len(config.seeds) * config.frames


def _drive(
    seed: int,
    members: list[DriveOutcome],
    config: DriveConfig,
    grid: GridConfig,
    costs: CostTable,
    segment: Segment | None,
    label_set: LabelSet,
    advance: Callable[[int], None],
) -> None:
    condition = members[0].condition
    drive = Drive(
        seed,
        config.height,
        config.width,
        lighting=condition.lighting,
        speed_mps=config.speed_mps,
        mount_m=config.mount_m,
    )
    names = FMB.names if condition.exact else label_set.names
    mappers = [GroundMapper(grid, costs, names) for _ in members]
    camera = CameraModel(width=drive.width, height=drive.height, K=drive.K)
    before: list[tuple[SceneFrame, Float64Array]] = []
    for k in range(config.frames):
        t_s = k / config.rate_hz
        scene, pose = drive.frame(t_s), drive.pose(t_s)
        labels, confidence = _labels(scene, condition, segment)
        before.append((scene, pose))
        for outcome, mapper in zip(members, mappers, strict=True):
            mount = camera_pose(drive.mount_m, outcome.condition.pitch_error_deg)
            frame = LabelFrame(labels=labels, confidence=confidence, stamp_ns=round(1e9 * t_s))
            mapper.add(frame, camera, mount, pose)
        if k >= _FIRST_SCORED:
            # all have the same cells, because all are where the robot is
            grids = [mapper.map() for mapper in mappers]
            square = grids[0].square
            truth, seen = drive.truth(t_s, *square.centres()), seen_cells(square, drive, before)
            for outcome, got in zip(members, grids, strict=True):
                outcome.scores.add(cells_of(got, truth, seen, drive, pose))
                if k == config.frames - 1 and not outcome.example:
                    outcome.example = {"scene": scene, "labels": labels, "grid": got, "truth": truth, "pose": pose}
        advance(1)


def _labels(scene: SceneFrame, condition: DriveCondition, segment: Segment | None) -> tuple[Image, Image]:
    if condition.exact:
        return scene.labels, np.full(scene.labels.shape, EXACT_CONFIDENCE, np.uint8)
    if segment is None:
        raise ValueError(f"the condition '{condition.name}' needs a network")
    return segment(
        None if condition.lost == "infrared" else scene.infrared8, None if condition.lost == "rgb" else scene.rgb
    )


def seen_cells(square: Square, drive: Drive, before: Sequence[tuple[SceneFrame, Float64Array]]) -> Mask:
    """Return (N, N) which cells' ground is in view in any of these images, taken from these poses."""
    mount = camera_pose(drive.mount_m, 0.0)
    seen = np.zeros((square.cells, square.cells), bool)
    steps = np.arange(square.cells)
    for scene, at in before:
        matrix = GroundView.of(drive.K, mount, at).image_from_ground @ square.matrix()
        ground = np.isin(scene.labels, _SEEN).astype(np.uint8)
        size = (square.cells, square.cells)
        there = cv2.warpPerspective(ground, matrix, size, flags=cv2.INTER_NEAREST | cv2.WARP_INVERSE_MAP)
        depth = (matrix[2, 0] * steps)[None, :] + (matrix[2, 1] * steps + matrix[2, 2])[:, None]
        seen |= (np.asarray(there) > 0) & (depth > _NEAR_M)
    return seen


def cells_of(
    grid: GridMap,
    truth: GroundTruth,
    seen: Mask,
    drive: Drive,
    pose: Float64Array,
) -> Cells:
    """Return a grid beside the truth of its moment.

    Args:
        grid: The grid.
        truth: On its cells.
        seen: As `seen_cells`.
        drive: Knows the camera.
        pose: Where the robot is.
    """
    x, y = grid.square.centres()
    ahead, left = np.meshgrid(x - pose[0, 3], y - pose[1, 3])
    half = np.arctan(0.5 * drive.width / drive.K[0, 0])
    bearing = np.arctan2(left, ahead)
    return Cells(
        cost=grid.cost,
        obstacle=grid.obstacle,
        free=truly_free(truth),
        occupied=truth.blocked != NOT_BLOCKED,
        seen=seen,
        range_m=np.hypot(ahead, left).astype(np.float32),
        bearing_rad=bearing.astype(np.float32),
        in_view=np.abs(bearing) < half,
        cell_m=grid.square.cell_m,
    )
