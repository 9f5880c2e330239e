# SPDX-License-Identifier: Apache-2.0
"""The simulated rig's optics: the truth that it tells is the truth about its pixels."""

import cv2
import numpy as np
import pytest

from segmif_ros.rig.calibrating.board import detect, parse_board
from segmif_ros.rig.calibration import Extrinsics, RigCalibration
from segmif_ros.ros.simulator.board_view import HeldBoard, pose_in_infrared, random_pose
from segmif_ros.ros.simulator.config import RigConfig
from segmif_ros.ros.simulator.frames import SceneFrames, TwoCameraSource, make_source
from segmif_ros.ros.simulator.optics import TwoCameras
from segmif_ros.ros.simulator.rigs import CameraPlan, random_rig, rotation_of
from segmif_ros.scenes import RoadScene, SceneError


def two(lens="none", *, right=0.0, yaw=0.0, roll=0.0) -> RigCalibration:
    return RigCalibration(
        infrared=CameraPlan(width=128, height=96, fov_deg=45, lens=lens).model(),
        rgb=CameraPlan(width=160, height=120, fov_deg=55, lens="plumb_bob").model(),
        extrinsics=Extrinsics(rotation=rotation_of(yaw, 0, roll), translation_m=np.array([right, 0.0, 0.0])),
    )


def test_exact_depth_brings_one_camera_onto_the_other() -> None:
    rig = two("equidistant", right=0.3, yaw=2.0, roll=1.0)
    scene = RoadScene(3, lighting="day")
    seen = TwoCameras(rig).capture(scene, 1.0)
    # a second "infrared" camera in the RGB camera's own place is what the depth has to reproduce
    beside = RigCalibration(
        infrared=rig.rgb, rgb=rig.rgb, extrinsics=Extrinsics(rotation=np.eye(3), translation_m=np.zeros(3))
    )
    expected = TwoCameras(beside).capture(scene, 1.0).infrared.astype(float)
    v, u = np.mgrid[0:120, 0:160]
    rays, _ = rig.rgb.rays(np.stack([u.ravel(), v.ravel()], axis=1))
    z = np.minimum(seen.depth_m.ravel(), 1e6)[:, None].astype(float)
    points = np.concatenate([rays * z, z], axis=1)
    back = rig.extrinsics.inverse()
    pixels, known = rig.infrared.pixels(points @ back.rotation.T + back.translation_m)
    pixels = pixels.reshape(120, 160, 2).astype(np.float32)
    warped = cv2.remap(seen.infrared, pixels[..., 0], pixels[..., 1], cv2.INTER_LINEAR).astype(float)
    inside = ((pixels > 1) & (pixels < (126, 94))).all(axis=2) & known.reshape(120, 160)
    assert inside.mean() > 0.4
    assert np.median(np.abs(warped - expected)[inside]) < 0.05 * np.ptp(expected)
    assert np.median(np.abs(warped - expected)[inside]) < 20


def test_a_rotation_alone_moves_every_distance_alike() -> None:
    scene = RoadScene(4, lighting="day")
    straight, turned = (TwoCameras(two(yaw=yaw)).capture(scene, 0.5).infrared for yaw in (0.0, 3.0))
    focal = two().infrared.K[0, 0]
    shift = focal * np.tan(np.radians(3.0))
    moved = cv2.warpAffine(straight, np.float32([[1, 0, -shift], [0, 1, 0]]), (128, 96))
    middle = np.s_[20:76, 30:90]
    assert np.corrcoef(moved[middle].ravel(), turned[middle].ravel())[0, 1] > 0.97


@pytest.mark.parametrize("kind", ["checkerboard:8x6:0.06", "asymmetric_circles:4x7:0.12"])
@pytest.mark.parametrize("hot", [True, False])
def test_a_held_board_is_found_where_the_truth_has_it_in_both_cameras(kind, hot) -> None:
    rig, board = random_rig(3), parse_board(kind)
    held = HeldBoard(board, hot_on_cold=hot)
    pose = random_pose(0, 0, held, rig.infrared, rig.rgb, rig.extrinsics)
    street = np.full((rig.rgb.height, rig.rgb.width, 3), 90, np.uint8)
    counts = np.random.default_rng(0).normal(7000, 5, rig.infrared.size[::-1]).astype(np.uint16)
    there = pose_in_infrared(pose, rig.extrinsics)
    for image, camera, at in (
        (held.into_rgb(street, rig.rgb, pose), rig.rgb, pose),
        (held.into_infrared(counts, rig.infrared, there), rig.infrared, there),
    ):
        found = detect(board, image)
        assert found is not None
        true, _ = camera.pixels(board.points()[found.ids] @ at.rotation.T + at.translation_m)
        assert np.hypot(*(found.pixels - true).T).mean() < 0.4


def test_a_camera_that_looks_far_to_the_side_is_refused_in_words() -> None:
    with pytest.raises(SceneError, match="too far to the side"):
        TwoCameras(RigConfig(infrared_fov_deg=120, infrared_yaw_deg=30).calibration())


def test_cameras_of_their_own_have_their_own_sizes_depth_and_board() -> None:
    config = RigConfig(
        width=96, height=72, infrared_width=64, infrared_height=48, infrared_right_m=0.1, publish_depth=True,
        board="checkerboard:8x6:0.06", loop_frames=2,
    )  # fmt: skip
    source = make_source(config)
    assert isinstance(source, TwoCameraSource)
    frame = source.frame(0)
    assert frame.infrared.shape == (48, 64)
    assert frame.rgb.shape == (72, 96, 3)
    assert frame.depth_m is not None
    assert frame.depth_m.shape == (72, 96)
    assert "infrared 64x48" in source.describe()


def test_at_the_defaults_both_cameras_share_one_view() -> None:
    assert type(make_source(RigConfig(width=64, height=48))) is SceneFrames
