# SPDX-License-Identifier: Apache-2.0
"""Small worlds for tests of the grid, with numbers that can be followed by hand.

The camera has f = 100 px and its axis in pixel (100, 100) of 201x201; it sits 1 m over the ground and looks along x.
So ground at distance x appears at row 100 + 100 / x: 1 m at row 200, 2 m at row 150, 4 m at row 125, 5 m at row 120.
A point y to the left appears at column 100 - 100 y / x.
"""

from pathlib import Path

import numpy as np

from segmif_ros.grid.config import GridConfig
from segmif_ros.grid.costs import CostTable, read_costs
from segmif_ros.grid.mapper import GroundMapper, LabelFrame
from segmif_ros.grid.poses import camera_pose
from segmif_ros.labels import FMB
from segmif_ros.rig.camera_model import CameraModel

COSTS_FILE = Path(__file__).parents[1] / "config" / "grid_costs.yaml"
CAMERA = CameraModel(width=201, height=201, K=np.array([[100.0, 0, 100], [0, 100, 100], [0, 0, 1]]))
LEVEL = camera_pose(1.0, 0.0)
HERE = np.eye(4)
CONFIG = GridConfig(size_m=20.0, cell_m=0.2, max_range_m=9.0, pitch_error_deg=0.0, min_object_px=2)
ROAD, SIDEWALK, VEGETATION, SKY, PERSON, SIGN, TRUCK = (
    FMB.id_of(name) for name in ("road", "sidewalk", "vegetation", "sky", "person", "sign", "truck")
)
SECOND_NS = 1_000_000_000


def costs() -> CostTable:
    return read_costs(COSTS_FILE)


def mapper(config: GridConfig = CONFIG) -> GroundMapper:
    return GroundMapper(config, costs(), FMB.names)


def street() -> np.ndarray:
    """(201, 201) uint8: sky over the horizon, road below."""
    labels = np.full((201, 201), SKY, np.uint8)
    labels[101:] = ROAD
    return labels


def frame(labels: np.ndarray, stamp_ns: int = SECOND_NS, confidence: int = 242) -> LabelFrame:
    return LabelFrame(labels=labels, confidence=np.full(labels.shape, confidence, np.uint8), stamp_ns=stamp_ns)


def seen(labels: np.ndarray, times: int = 5, config: GridConfig = CONFIG) -> "GroundMapper":
    """A mapper that has looked at a label map a few times in half a second."""
    made = mapper(config)
    for k in range(times):
        made.add(frame(labels, SECOND_NS + k * SECOND_NS // 10), CAMERA, LEVEL, HERE)
    return made


def cost_at(grid, x: float, y: float) -> int:
    j, i = divmod(int(grid.square.flat_index(np.array([x]), np.array([y]))[0]), grid.square.cells)
    return int(grid.cost[j, i])
