# SPDX-License-Identifier: Apache-2.0
"""Calibration from the scene alone: found where views share edges, refused where they don't."""

import cv2
import numpy as np
import pytest

from segmif_ros.rig.calibrating.scene_calibration import MIN_FRAMES, calibrate_scene
from segmif_ros.rig.calibrating.scene_fit import NEARNESS, fit
from segmif_ros.rig.calibration import Extrinsics, RigCalibration
from segmif_ros.rig.errors import CalibrationError
from segmif_ros.rig.lens import DivisionLens
from segmif_ros.ros.simulator.optics import TwoCameras
from segmif_ros.ros.simulator.rigs import CameraPlan, rotation_of
from segmif_ros.scenes import RoadScene


def shapes(seed, size=(320, 240)) -> np.ndarray:
    rng = np.random.default_rng(seed)
    image = np.full(size[::-1], 100, np.uint8)
    for _ in range(60):
        (x, y), (w, h) = rng.integers(0, size), rng.integers(8, 50, 2)
        cv2.rectangle(image, (int(x), int(y)), (int(x + w), int(y + h)), int(rng.integers(0, 255)), -1)
    return image


def test_scale_roll_and_shift_are_found_across_sizes() -> None:
    # infrared pixels to RGB's: 160x120 into 320x240, smaller than the view, turned and shifted
    turn = np.vstack([cv2.getRotationMatrix2D((159.5, 119.5), -2.0, 0.85), [0, 0, 1]])
    turn[:2, 2] += (8, -5)
    true = turn @ np.array([[2, 0, 0.5], [0, 2, 0.5], [0, 0, 1.0]])
    pairs = []
    for seed in range(MIN_FRAMES):
        rgb = shapes(seed)
        infrared = 255 - cv2.warpPerspective(rgb, np.linalg.inv(true), (160, 120), flags=cv2.INTER_AREA)
        pairs.append((infrared.astype(np.uint16) * 20, np.dstack([rgb] * 3)))
    result = calibrate_scene(pairs)
    corners = np.array([[20.0, 20], [140, 20], [80, 60], [20, 100], [140, 100]])
    expected = cv2.perspectiveTransform(corners[:, None], true)[:, 0]
    assert np.hypot(*(result.calibration.homography.to_rgb(corners) - expected).T).max() < 1.5
    assert result.covariance.shape in ((8, 8), (9, 9))
    assert "px" in result.verdict


def test_the_rotation_of_known_cameras_is_found_on_streets() -> None:
    truth = RigCalibration(
        infrared=CameraPlan(width=160, height=120, fov_deg=50, lens="equidistant").model(),
        rgb=CameraPlan(width=320, height=240, fov_deg=58, lens="plumb_bob").model(),
        extrinsics=Extrinsics(rotation=rotation_of(1.2, -0.8, 1.0), translation_m=np.zeros(3)),
    )
    cameras = TwoCameras(truth)
    seen = [cameras.capture(RoadScene(seed, lighting="day"), 1.0) for seed in range(10)]
    result = calibrate_scene([(each.infrared, each.rgb) for each in seen], cameras=(truth.infrared, truth.rgb))
    off = result.calibration.extrinsics.rotation.T @ truth.extrinsics.rotation
    assert np.degrees(np.linalg.norm(cv2.Rodrigues(off)[0])) < 0.25
    assert result.covariance.shape == (3, 3)


def test_views_without_anything_in_common_are_refused_with_what_to_do() -> None:
    pairs = [(shapes(seed, (160, 120)), np.dstack([shapes(seed + 100)] * 3)) for seed in range(MIN_FRAMES)]
    with pytest.raises(CalibrationError, match=r"doesn't tell .* use a board"):
        calibrate_scene(pairs)


def test_a_frame_that_lies_elsewhere_is_left_out_and_counted() -> None:
    # as where a vehicle right before the cameras fills the view
    pairs = [(255 - shapes(seed), np.dstack([shapes(seed)] * 3)) for seed in range(MIN_FRAMES + 1)]
    near = cv2.warpAffine(pairs[0][0], np.array([[1.0, 0, 12], [0, 1, 0]]), (320, 240), borderMode=cv2.BORDER_REPLICATE)
    result = calibrate_scene([(near, pairs[0][1]), *pairs[1:]])
    assert (result.frames, result.frames_given) == (MIN_FRAMES, MIN_FRAMES + 1)
    assert f"{MIN_FRAMES} of {MIN_FRAMES + 1} frames" in result.verdict
    corners = np.array([[20.0, 20], [300, 20], [300, 220]])
    assert np.hypot(*(result.calibration.homography.to_rgb(corners) - corners).T).max() < 1.0


def test_an_answer_that_may_be_off_by_more_than_is_accepted_is_refused() -> None:
    pairs = [(255 - shapes(seed), np.dstack([shapes(seed)] * 3)) for seed in range(MIN_FRAMES)]
    with pytest.raises(CalibrationError, match=r"may be off by .*board"):
        calibrate_scene(pairs, accept_px=0.01)


def test_mirrored_images_are_named() -> None:
    pairs = [(255 - shapes(seed)[:, ::-1], np.dstack([shapes(seed)] * 3)) for seed in range(MIN_FRAMES)]
    with pytest.raises(CalibrationError, match="images are mirrored"):
        calibrate_scene(pairs, fov_ratio=1.0)


def test_too_few_views_are_refused() -> None:
    with pytest.raises(CalibrationError, match="8 at least"):
        calibrate_scene([(shapes(0), np.dstack([shapes(0)] * 3))] * 3)


def test_a_barrel_of_the_infrared_lens_is_found_with_the_homography() -> None:
    # 10 px in the corners of 320 pixels' width: more than a homography alone can follow
    lens = DivisionLens(centre=(159.5, 119.5), radius_px=160, strength=-0.05)
    v, u = np.mgrid[0:240, 0:320].astype(np.float64)
    at = lens.undone(np.stack([u.ravel(), v.ravel()], axis=1))[0].reshape(240, 320, 2).astype(np.float32)
    pairs = []
    for seed in range(MIN_FRAMES):
        rgb = shapes(seed)
        bent = cv2.remap(rgb, at[..., 0], at[..., 1], cv2.INTER_LINEAR, borderMode=cv2.BORDER_REPLICATE)
        pairs.append((255 - bent, np.dstack([rgb] * 3)))
    found = calibrate_scene(pairs).calibration.homography
    assert found.infrared_lens.strength == pytest.approx(-0.05, abs=0.01)
    corners = np.array([[5.0, 5], [314, 5], [159, 119], [5, 234], [314, 234]])
    assert np.hypot(*(found.to_rgb(corners) - lens.undone(corners)[0]).T).max() < 1.5


def test_images_without_a_lens_get_a_plain_homography() -> None:
    rgb = [shapes(seed) for seed in range(MIN_FRAMES)]
    found = calibrate_scene([(255 - each, np.dstack([each] * 3)) for each in rgb]).calibration.homography
    assert found.infrared_lens is None


def test_parts_that_tell_nothing_do_not_move_the_fit() -> None:
    # of three parts, two show a move of (2, -1), one anything
    side, move = 11, np.array([2, -1])
    chances = np.full((3, side, side), 1.0 / side**2)
    chances[:2] = 0
    chances[:2, move[1] + side // 2, move[0] + side // 2] = 1
    slopes = np.tile(np.eye(2), (3, 1, 1))
    found = fit(chances, slopes, np.zeros(2), np.full(2, 10.0), np.ones(3, bool), noises_px=(3.0, 1.0))
    assert found.step == pytest.approx(move, abs=0.1)
    assert found.trust[2] < found.trust[0]


def test_rows_that_are_nearer_than_typical_are_no_turn_of_the_camera() -> None:
    # one row is far; three are as near as few things are, and displaced by parallax
    side, row = 17, np.repeat(np.arange(4), 5)
    nearer = np.zeros((len(NEARNESS), 20, 2))
    nearer[..., 0] = 15 * NEARNESS[:, None]
    chances = np.zeros((20, side, side))
    chances[row == 0, side // 2, side // 2] = 1
    chances[row > 0, side // 2, side // 2 + 3] = 1
    slopes = np.tile(np.eye(2), (20, 1, 1))
    given = {"noises_px": (2.0, 1.0), "nearer": nearer}
    used, free = np.ones(20, bool), np.full(2, 10.0)
    by_row = fit(chances, slopes, np.zeros(2), free, used, rows=row, **given)
    all_alike = fit(chances, slopes, np.zeros(2), free, used, **given)
    assert abs(by_row.step[0]) < 0.3
    assert abs(all_alike.step[0]) > 1.0
