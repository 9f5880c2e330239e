# SPDX-License-Identifier: Apache-2.0
"""The drive's exact ground agrees with its images: what is projected from one is found in the other."""

import numpy as np
import pytest

from segmif_ros.labels import FMB
from segmif_ros.scenes.drive import NOT_BLOCKED, Drive

ROAD, SIDEWALK = FMB.id_of("road"), FMB.id_of("sidewalk")
X, Y = (np.arange(-8, 24, 0.1) + 0.05).astype(np.float32), (np.arange(-8, 8, 0.1) + 0.05).astype(np.float32)


@pytest.mark.parametrize("seed", [1, 2, 3])
def test_road_in_the_image_is_road_on_the_ground(seed: int) -> None:
    drive = Drive(seed, 240, 320)
    labels, pose = drive.frame(1.0).labels, drive.pose(1.0)
    x, y = X + np.float32(pose[0, 3]), Y + np.float32(pose[1, 3])
    truth = drive.truth(1.0, x, y)
    # a level camera: u = cx - f y / x, v = cy + f h / x
    ahead = np.broadcast_to(X, truth.ground.shape)
    left = np.broadcast_to(Y[:, None], truth.ground.shape)
    near = (ahead > 3) & (ahead < 10)
    f, cx, cy = drive.K[0, 0], drive.K[0, 2], drive.K[1, 2]
    u, v = (np.rint(each).astype(int) for each in (cx - f * left[near] / ahead[near], cy + f * 1.2 / ahead[near]))
    inside = (u >= 0) & (u < 320) & (v >= 0) & (v < 240)
    seen, on_ground = labels[v[inside], u[inside]], truth.ground[near][inside]
    blocked = truth.blocked[near][inside] != NOT_BLOCKED
    flat = np.isin(seen, (ROAD, SIDEWALK)) & ~blocked
    assert flat.sum() > 300
    assert np.mean(seen[flat] == on_ground[flat]) > 0.97


def test_the_robot_drives_along_x_and_its_side_of_the_road() -> None:
    drive = Drive(1, 48, 64, speed_mps=3.0)
    assert drive.pose(2.0)[0, 3] - drive.pose(0.0)[0, 3] == pytest.approx(6.0)
    assert drive.pose(2.0)[:3, :3].tolist() == np.eye(3).tolist()


def test_something_stands_on_most_streets_and_the_robot_stands_on_nothing() -> None:
    found = 0
    for seed in range(4):
        drive = Drive(seed, 48, 64)
        pose = drive.pose(0.0)
        x, y = X + np.float32(pose[0, 3]), Y + np.float32(pose[1, 3])
        truth = drive.truth(0.0, x, y)
        found += int((truth.blocked != NOT_BLOCKED).sum() > 20)
        j, i = np.abs(Y).argmin(), np.abs(X).argmin()
        assert truth.blocked[j, i] == NOT_BLOCKED
    assert found >= 3
