# SPDX-License-Identifier: Apache-2.0
"""Views of a board as a perfect detector with a little noise would give them."""

import numpy as np

from segmif_ros.rig.calibrating.board import Board, Detection
from segmif_ros.rig.calibrating.views import BoardView
from segmif_ros.rig.calibration import RigCalibration
from segmif_ros.ros.simulator.board_view import HeldBoard, planned_pose, pose_in_infrared

BOARD = Board(kind="checkerboard", columns=8, rows=6, spacing_m=0.08)


def views_of(
    truth: RigCalibration, count=16, *, seed=0, sigma_px=0.07, board=BOARD, pose_of=planned_pose
) -> list[BoardView]:
    rng, held, made = np.random.default_rng(seed), HeldBoard(board), []
    for number in range(count):
        pose = pose_of(number, seed, held, truth.infrared, truth.rgb, truth.extrinsics)
        there = pose_in_infrared(pose, truth.extrinsics)
        found = []
        for camera, at in ((truth.infrared, there), (truth.rgb, pose)):
            pixels, _ = camera.pixels(board.points() @ at.rotation.T + at.translation_m)
            pixels = pixels + rng.normal(0, sigma_px, pixels.shape)
            found.append(Detection(ids=np.arange(len(pixels)), pixels=pixels))
        made.append(BoardView(name=f"view {number}", infrared=found[0], rgb=found[1]))
    return made
