# SPDX-License-Identifier: Apache-2.0
"""What a drive adds to a recording: poses on odom and tf, and the exact ground on /ground_truth/grid."""

from __future__ import annotations

import numpy as np

from segmif_ros.bag.grid_messages import (
    OCCUPANCY_GRID,
    ODOMETRY,
    TF_MESSAGE,
    grid_message,
    odometry_message,
    transforms_message,
)
from segmif_ros.bag.grid_replay import TRUTH_TOPIC
from segmif_ros.bag.writing import BagWriter
from segmif_ros.grid.evidence import Square
from segmif_ros.grid.poses import camera_pose
from segmif_ros.scenes.drive import NOT_BLOCKED, Drive, truly_free

ODOM_FRAME, BASE_FRAME = "odom", "base_link"
CAMERA_FRAMES = ("rgb_optical_frame", "infrared_optical_frame")
CELL_M, CELLS = 0.1, 440
_OCCUPIED, _NOT_FREE, _FREE = 100, 80, 0


def write_drive(bag: BagWriter, drive: Drive, t_s: float, stamp_ns: int, recorded_ns: int) -> None:
    """Write poses and ground of one moment; the camera's place on /tf_static with the first."""
    pose = drive.pose(t_s)
    if t_s == 0:
        mount = camera_pose(drive.mount_m, 0.0)
        fixed = [(BASE_FRAME, frame, mount) for frame in CAMERA_FRAMES]
        bag.write("/tf_static", TF_MESSAGE, recorded_ns, transforms_message(fixed, stamp_ns))
    bag.write("/odom", ODOMETRY, recorded_ns, odometry_message(pose, stamp_ns, ODOM_FRAME, BASE_FRAME))
    bag.write("/tf", TF_MESSAGE, recorded_ns, transforms_message([(ODOM_FRAME, BASE_FRAME, pose)], stamp_ns))
    corner = [float(np.floor(each / CELL_M - CELLS / 2) * CELL_M) for each in pose[:2, 3]]
    square = Square(x_m=corner[0], y_m=corner[1], cell_m=CELL_M, cells=CELLS)
    truth = drive.truth(t_s, *square.centres())
    cells = np.where(truth.blocked != NOT_BLOCKED, _OCCUPIED, np.where(truly_free(truth), _FREE, _NOT_FREE))
    bag.write(
        TRUTH_TOPIC, OCCUPANCY_GRID, recorded_ns, grid_message(cells.astype(np.int8), square, stamp_ns, ODOM_FRAME)
    )
