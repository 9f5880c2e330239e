# SPDX-License-Identifier: Apache-2.0
"""Registration by distance: exact with exact depth, honest about what is hidden, better than a plane without."""

import cv2
import numpy as np
import pytest
from rig_fakes import ROAD, grid, plain_projection, plain_rays, rig

from segmif_ros.rig.adaptive_registration import AdaptiveNearness, compared_size
from segmif_ros.rig.calibration import Extrinsics, RigCalibration
from segmif_ros.rig.camera_model import CameraModel
from segmif_ros.rig.depth_images import depth_of_cloud, depth_to_nearness
from segmif_ros.rig.depth_registration import DepthRegistration
from segmif_ros.rig.errors import RegistrationError
from segmif_ros.rig.nearness import NearnessMaps, filled
from segmif_ros.rig.registration import Registration, RegistrationConfig
from segmif_ros.rig.registration_modes import make_registration

S = 1_000_000_000


def maps_of(calibration, nearest_m=1.0) -> NearnessMaps:
    back = calibration.extrinsics.inverse()
    here, there = calibration.rgb, calibration.infrared
    return NearnessMaps(here, there, back, here.size, there.size, nearest_m)


@pytest.mark.parametrize("depth_m", [1.0, 1.7, 6.0, 50.0, 1e9])
def test_the_curves_are_the_projections_to_a_twentieth_of_a_pixel(depth_m) -> None:
    calibration = rig(translation_m=(0.12, -0.03, 0.02))
    maps = maps_of(calibration)
    u, v = maps.at(1.0 / depth_m)
    rays = plain_rays(calibration.rgb, grid(*calibration.rgb.size))
    back = calibration.extrinsics.inverse()
    expected = plain_projection(calibration.infrared, depth_m * rays @ back.rotation.T + back.translation_m)
    found = np.stack([u.ravel(), v.ravel()], axis=1)
    inside = ((expected > -1) & (expected < calibration.infrared.size)).all(axis=1)
    inside &= maps.known.ravel()
    assert inside.mean() > 0.3
    assert np.abs(found - expected)[inside].max() < 0.05


# --- a wall with a post before it, seen by two pinholes side by side -------------------------------------------------

FOCAL, BASELINE, WALL_M, POST_M = 80.0, 0.2, 8.0, 2.0


def pinhole(width=120, height=80) -> CameraModel:
    K = [[FOCAL, 0, 0.5 * (width - 1)], [0, FOCAL, 0.5 * (height - 1)], [0, 0, 1]]
    return CameraModel(width=width, height=height, K=np.array(K))


def side_by_side() -> RigCalibration:
    mount = Extrinsics(rotation=np.eye(3), translation_m=np.array([BASELINE, 0.0, 0.0]))
    return RigCalibration(infrared=pinhole(), rgb=pinhole(), extrinsics=mount)


def wall_and_post() -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """(infrared, rgb, depth in the RGB view): the post is 20 columns wide, from 50 to 69 in the RGB view."""
    texture = np.random.default_rng(0).integers(60, 120, (80, 200)).astype(np.uint8)
    texture = cv2.GaussianBlur(texture, (0, 0), 1.5)
    far, near = round(FOCAL * BASELINE / WALL_M), round(FOCAL * BASELINE / POST_M)
    rgb, infrared = texture[:, 40:160].copy(), texture[:, 40 + far : 160 + far].copy()
    rgb[:, 50:70], infrared[:, 50 - near : 70 - near] = 250, 250
    depth = np.full((80, 120), WALL_M, np.float32)
    depth[:, 50:70] = POST_M
    return infrared, np.dstack([rgb] * 3), depth


def by_depth(view="rgb", **more) -> DepthRegistration:
    return make_registration(RegistrationConfig(mode="depth", view=view, **more), side_by_side())


def test_with_exact_depth_near_and_far_are_registered_at_once() -> None:
    infrared, rgb, depth = wall_and_post()
    registration = by_depth()
    registration.take_depth(S, depth)
    made = registration.apply(infrared, rgb, S)
    assert (made.infrared[:, 51:69] > 245).all()
    seen = made.valid.astype(bool)
    off = np.abs(made.infrared.astype(int) - rgb[..., 0].astype(int))
    assert off[seen].max() <= 6
    assert made.rgb is rgb


def test_what_a_near_thing_hides_from_the_other_camera_is_marked_and_is_no_second_one() -> None:
    infrared, rgb, depth = wall_and_post()
    registration = by_depth()
    registration.take_depth(S, depth)
    made = registration.apply(infrared, rgb, S)
    # the infrared camera is to the right, so the post hides the wall to its left
    hidden = made.valid[40] == 0
    assert hidden[44:49].all()
    assert not hidden[50:118].any()


def test_the_infrared_view_takes_the_same_depth() -> None:
    infrared, rgb, depth = wall_and_post()
    registration = by_depth(view="infrared")
    registration.take_depth(S, depth)
    made = registration.apply(infrared, rgb, S)
    assert made.infrared is infrared
    assert (made.rgb[:, 43:61, 0] > 240).all()


def test_depth_of_another_size_and_with_holes_is_taken() -> None:
    infrared, rgb, depth = wall_and_post()
    depth[:, ::7] = 0.0
    depth[3, 4] = np.nan
    registration = by_depth()
    registration.take_depth(S, depth[::2, ::2])
    made = registration.apply(infrared, rgb, S)
    assert (made.infrared[:, 53:67] > 240).all()


def test_without_depth_of_the_moment_the_plane_is_taken_and_it_is_said() -> None:
    infrared, rgb, depth = wall_and_post()
    registration = by_depth()
    plane = Registration(RegistrationConfig(mode="stereo"), side_by_side()).apply(infrared, rgb)
    np.testing.assert_array_equal(registration.apply(infrared, rgb, S).infrared, plane.infrared)
    assert "no depth image has come" in registration.problem
    registration.take_depth(S, depth)
    registration.apply(infrared, rgb, 3 * S)
    assert "2.00 s from the pair" in registration.problem
    registration.apply(infrared, rgb, S)
    assert registration.problem == ""


def test_depth_of_other_proportions_is_refused_in_words() -> None:
    infrared, rgb, _ = wall_and_post()
    registration = by_depth()
    registration.take_depth(S, np.ones((80, 80), np.float32))
    registration.apply(infrared, rgb, S)
    assert "80x80" in registration.problem


def test_a_cloud_becomes_depth_and_the_nearest_point_of_a_pixel_wins() -> None:
    points = np.array([[0, 0, 4.0], [0, 0, 2.0], [0.5, 0, 2.0], [np.nan, 0, 1], [0, 0, -3]])
    depth = depth_of_cloud(points, pinhole(), shrink=1)
    assert sorted(depth[depth > 0].tolist()) == [2.0, 2.0]


def test_holes_are_filled_from_what_is_farther() -> None:
    nearness = np.full((20, 20), 0.5, np.float32)
    nearness[:, 10:] = 0.1
    known = np.ones((20, 20), bool)
    known[:, 8:12] = False
    assert (filled(nearness, known, 0.0)[:, 9:12] == np.float32(0.1)).all()


def test_depth_zero_and_not_a_number_are_unknown_and_infinite_is_the_sky() -> None:
    nearness, known = depth_to_nearness(np.array([[0.0, np.nan, -1.0, np.inf, 2.0]]))
    assert known.tolist() == [[False, False, False, True, True]]
    assert nearness[0, 3:].tolist() == [0.0, 0.5]


def test_a_lacking_calibration_is_named_with_the_mode() -> None:
    with pytest.raises(RegistrationError, match="'adaptive' lacks infrared and rgb and extrinsics"):
        make_registration(RegistrationConfig(mode="adaptive"), RigCalibration())


# --- adaptive --------------------------------------------------------------------------------------------------------


def street(shift_of_row, seed=0, size=(192, 144)) -> tuple[np.ndarray, np.ndarray]:
    """(rgb, infrared) whose rows are displaced as shift_of_row says."""
    rng = np.random.default_rng(seed)
    image = np.full(size[::-1], 100, np.uint8)
    for _ in range(120):
        (x, y), (w, h) = rng.integers(0, size), rng.integers(4, 25, 2)
        cv2.rectangle(image, (int(x), int(y)), (int(x + w), int(y + h)), int(rng.integers(0, 255)), -1)
    v, u = np.mgrid[0 : size[1], 0 : size[0]].astype(np.float32)
    infrared = cv2.remap(255 - image, u + shift_of_row(v).astype(np.float32), v, cv2.INTER_LINEAR)
    return image, infrared


def test_the_distances_of_ground_and_horizon_are_found_without_depth() -> None:
    cam = CameraModel(width=192, height=144, K=np.array([[160.0, 0, 95.5], [0, 160, 71.5], [0, 0, 1]]))
    mount = Extrinsics(rotation=np.eye(3), translation_m=np.array([-0.2, 0.0, 0.0]))
    true = np.clip((np.arange(144) - 70) / 160 / 1.5, 1 / 40, None)[:, None] * np.ones((1, 192))
    adaptive = AdaptiveNearness(NearnessMaps(cam, cam, mount, cam.size, cam.size), 0.1)
    for seed in range(3):
        image, infrared = street(lambda v: 160 * 0.2 * np.clip((v - 70) / 160 / 1.5, 1 / 40, None), seed)
        found = adaptive.estimate(image, infrared)
    off_px = 160 * 0.2 * np.abs(found - true)[10:134, 20:172]
    plane_px = 160 * 0.2 * np.abs(0.1 - true)[10:134, 20:172]
    assert off_px.mean() < 0.3 * plane_px.mean()


def test_images_that_have_nothing_in_common_stay_at_one_distance_without_tearing() -> None:
    cam = CameraModel(width=192, height=144, K=np.array([[160.0, 0, 95.5], [0, 160, 71.5], [0, 0, 1]]))
    mount = Extrinsics(rotation=np.eye(3), translation_m=np.array([-0.2, 0.0, 0.0]))
    adaptive = AdaptiveNearness(NearnessMaps(cam, cam, mount, cam.size, cam.size), 0.1)
    flat = np.full((144, 192), 90, np.uint8)
    assert np.ptp(adaptive.estimate(flat, flat)) < 0.5


def test_adaptive_registers_pairs_of_any_sizes_of_the_calibrated_proportions() -> None:
    registration = make_registration(RegistrationConfig(mode="adaptive"), rig())
    registration.prepare()
    rng = np.random.default_rng(0)
    made = registration.apply(
        rng.integers(0, 255, (96, 128), dtype=np.uint8), rng.integers(0, 255, (144, 192, 3), dtype=np.uint8), S
    )
    assert made.infrared.shape == (144, 192)
    with pytest.raises(RegistrationError, match="other proportions"):
        registration.apply(np.zeros((96, 96), np.uint8), np.zeros((144, 192, 3), np.uint8), S)


def test_views_are_compared_small() -> None:
    assert compared_size((1280, 720)) == (192, 108)
    assert compared_size((96, 72)) == (96, 72)


# --- ground ----------------------------------------------------------------------------------------------------------


def test_ground_registers_the_road_and_what_lies_beyond_at_the_reference() -> None:
    calibration = rig(plane=ROAD)
    ground = Registration(RegistrationConfig(mode="ground", reference_depth_m=20.0), calibration)
    sizes = calibration.rgb.size, calibration.infrared.size
    found = ground.maps(*sizes).pixels
    road = Registration(RegistrationConfig(mode="stereo", reference_depth_m=0.0), calibration).maps(*sizes)
    far = Registration(RegistrationConfig(mode="stereo", reference_depth_m=20.0), calibration).maps(*sizes)
    both = (ground.maps(*sizes).valid & road.valid & far.valid).astype(bool)
    bottom, top = both[-1], both[0]
    np.testing.assert_allclose(found[-1][bottom], road.pixels[-1][bottom], atol=1e-3)
    np.testing.assert_allclose(found[0][top], far.pixels[0][top], atol=0.5)
    with pytest.raises(RegistrationError, match="'plane'"):
        Registration(RegistrationConfig(mode="ground"), rig())


def test_a_correction_brings_displaced_content_back() -> None:
    calibration = rig()
    plain, corrected = (
        Registration(RegistrationConfig(mode="stereo", correction_px=by), calibration)
        for by in ((0.0, 0.0), (3.0, -2.0))
    )
    here = plain.maps(calibration.rgb.size, calibration.infrared.size).pixels[28, 43]
    there = corrected.maps(calibration.rgb.size, calibration.infrared.size).pixels[30, 40]
    np.testing.assert_allclose(here, there, atol=1e-3)
