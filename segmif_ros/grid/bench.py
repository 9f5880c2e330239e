# SPDX-License-Identifier: Apache-2.0
"""How long one core takes for a frame: python -m segmif_ros.grid.bench.

Times are the process's own CPU time, so that other programs on the machine count little. A street that costs much is
taken: people, cars with gaps under them, grass and a tree line, in a grid that moves.
"""

from __future__ import annotations

import argparse
import resource
import sys
import time
from dataclasses import dataclass

import cv2
import numpy as np
import numpy.typing as npt

from segmif_ros.command_line import run_module
from segmif_ros.grid.config import GridConfig
from segmif_ros.grid.costs import default_costs_file, read_costs
from segmif_ros.grid.mapper import GroundMapper, LabelFrame
from segmif_ros.grid.point_cloud import points_of_ground
from segmif_ros.grid.poses import camera_pose, from_rpy
from segmif_ros.labels import FMB
from segmif_ros.rig.camera_model import CameraModel
from segmif_ros.settings import part, setting
from segmif_ros.settings.options import add_options, from_options

WARM_UP = 10


@dataclass(frozen=True, kw_only=True)
class BenchConfig:
    """What is timed."""

    frames: int = setting(200, "Frames that are timed.", minimum=1)
    width: int = setting(640, "Columns and rows of the labels.", minimum=32, maximum=8192)
    height: int = setting(480, "Rows of the labels.", minimum=32, maximum=8192)
    grid: GridConfig = part(GridConfig, only=("size_m", "cell_m"))


def street(height: int, width: int) -> npt.NDArray[np.uint8]:
    """Return (height, width) labels: sky, trees over the horizon; below it road, grass, cars, people, a cut lorry.

    Args:
        height: Rows.
        width: Columns.

    Returns:
        (height, width) uint8, class ids of FMB.
    """
    labels = np.full((height, width), FMB.id_of("sky"), np.uint8)
    horizon = round(0.45 * height)
    labels[round(0.35 * height) : horizon] = FMB.id_of("vegetation")
    labels[horizon:] = FMB.id_of("road")
    labels[horizon : round(0.52 * height), : width // 4] = FMB.id_of("vegetation")
    for k in range(8):
        x, foot = round(width * (0.05 + 0.115 * k)), round(height * (0.5 + 0.05 * k))
        span, tall = round(0.04 * width), round(0.18 * height)
        class_id = FMB.id_of("car" if k % 2 else "person")
        labels[foot - tall : foot - 4, x : x + span] = class_id
        labels[foot - 4 : foot, x : x + 3] = labels[foot - 4 : foot, x + span - 3 : x + span] = class_id
    labels[round(0.2 * height) : round(0.6 * height), round(0.93 * width) :] = FMB.id_of("truck")
    return labels


def measure(frames: int, height: int, width: int, config: GridConfig) -> dict[str, float]:
    """Return milliseconds of CPU time a frame (median and 95th percentile) by stage, and the memory's growth in KiB.

    Args:
        frames: How many are measured, after a warm-up.
        height: Rows of a label map.
        width: Columns of a label map.
        config: The grid.
    """
    mapper = GroundMapper(config, read_costs(default_costs_file()), FMB.names)
    f = 0.8 * width
    camera = CameraModel(width=width, height=height, K=np.array([[f, 0, width / 2], [0, f, 0.45 * height], [0, 0, 1]]))
    mount = camera_pose(1.2, 0.0)
    labels = street(height, width)
    confidence = np.random.default_rng(0).integers(128, 255, labels.shape, np.uint8)
    spent: dict[str, list[float]] = {"take in": [], "read out": [], "points": []}
    before = 0
    for k in range(WARM_UP + frames):
        if k == WARM_UP:
            before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
        frame = LabelFrame(labels=labels, confidence=confidence, stamp_ns=k * 100_000_000)
        pose = from_rpy([0.15 * k, 0, 0], 0, 0, 0.01 * k)
        began = time.process_time()
        view = mapper.add(frame, camera, mount, pose)
        added = time.process_time()
        mapper.map()
        read = time.process_time()
        pinhole = mapper.pinhole(camera, frame)
        if k == 0:
            rays = pinhole.rays()
        began_points = time.process_time()
        points_of_ground(labels, pinhole, rays, view, mount, mapper.table)
        ended = time.process_time()
        if k >= WARM_UP:
            for name, took in (
                ("take in", added - began),
                ("read out", read - added),
                ("points", ended - began_points),
            ):
                spent[name].append(1e3 * took)
    grew = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before
    both = np.add(spent["take in"], spent["read out"])
    found = {"grid_ms_p50": float(np.median(both)), "grid_ms_p95": float(np.percentile(both, 95))}
    found |= {f"{name.replace(' ', '_')}_ms_p50": float(np.median(values)) for name, values in spent.items()}
    return found | {"memory_growth_kib": float(grew)}


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare what is timed."""
    add_options(parser, BenchConfig, options={"size_m": "--grid"})


def run(options: argparse.Namespace) -> int:
    """Print the figures; return 0."""
    config = from_options(options, BenchConfig())
    grid = config.grid
    cv2.setNumThreads(1)
    found = measure(config.frames, config.height, config.width, grid)
    size = f"{config.width}x{config.height}"
    print(f"{size} labels into {grid.cells}x{grid.cells} cells, one core, {config.frames} frames")
    for name, value in found.items():
        print(f"{name:18} {value:8.2f}")
    return 0


if __name__ == "__main__":
    sys.exit(run_module("segmif_ros.grid.bench", __doc__, add_arguments, run))
