# SPDX-License-Identifier: Apache-2.0
"""Registration: to the fraction of a pixel, in both directions, with what isn't seen marked and never invented."""

import math
import re
from dataclasses import replace

import cv2
import numpy as np
import pytest
from rig_fakes import (
    EQUIDISTANT,
    RATIONAL,
    ROAD,
    camera,
    grid,
    plain_image,
    plain_projection,
    plain_rays,
    plain_rotation,
    rig,
    waves,
)

from segmif_ros.imaging.crop import Crop
from segmif_ros.rig.calibration import Extrinsics, Homography, RigCalibration
from segmif_ros.rig.depth_registration import DepthRegistration
from segmif_ros.rig.errors import RegistrationError, UncalibratedError
from segmif_ros.rig.pixel_mapping import depth_plane, homography_mapping, stereo_mapping
from segmif_ros.rig.registration import (
    Registration,
    RegistrationConfig,
    Unregistered,
    lower_confidence,
    stretch_note,
)
from segmif_ros.rig.registration_modes import make_registration
from segmif_ros.scenes import RoadScene

GREY = np.full((48, 64, 3), 90, np.uint8)


def noise(height, width, seed=0) -> np.ndarray:
    return np.random.default_rng(seed).integers(0, 256, (height, width), dtype=np.uint8)


def by_homography(matrix, *, infrared=(64, 48), rgb=(64, 48), view="rgb") -> Registration:
    calibration = RigCalibration(homography=Homography(matrix=matrix, infrared_size=infrared, rgb_size=rgb))
    return Registration(RegistrationConfig(mode="homography", view=view), calibration)


def by_stereo(calibration, *, view="rgb", depth_m=8.0) -> Registration:
    return Registration(RegistrationConfig(mode="stereo", view=view, reference_depth_m=depth_m), calibration)


def shift(right, down) -> np.ndarray:
    return np.array([[1.0, 0, right], [0, 1.0, down], [0, 0, 1]])


# --- none and resize -------------------------------------------------------------------------------------------------


def test_none_hands_both_images_on_as_they_are() -> None:
    infrared = noise(48, 64)
    made = Registration(RegistrationConfig()).apply(infrared, GREY)
    assert made.infrared is infrared
    assert made.rgb is GREY
    assert made.valid is None


def test_none_refuses_sizes_that_differ_in_one_line_with_both() -> None:
    with pytest.raises(RegistrationError, match=r"infrared is 64x40 and RGB 64x48; both must have the same size"):
        Registration(RegistrationConfig()).apply(noise(40, 64), GREY)


@pytest.mark.parametrize(("view", "shape"), [("rgb", (48, 64)), ("infrared", (30, 40))])
def test_resize_gives_the_other_image_the_views_size(view, shape) -> None:
    made = Registration(RegistrationConfig(mode="resize", view=view)).apply(noise(30, 40), GREY)
    assert made.infrared.shape == shape
    assert made.rgb.shape == (*shape, 3)
    assert made.valid is None


@pytest.mark.parametrize("view", ["rgb", "infrared"])
def test_a_portrait_is_not_resized_onto_a_landscape(view) -> None:
    with pytest.raises(RegistrationError, match=r"40x30.*portrait and landscape can't be resized onto each other"):
        Registration(RegistrationConfig(mode="resize", view=view)).apply(noise(30, 40), np.zeros((40, 30, 3), np.uint8))
    square = Registration(RegistrationConfig(mode="resize", view=view)).apply(noise(30, 40), GREY[:10, :10])
    assert square.infrared.shape == square.rgb.shape[:2]


def test_other_proportions_under_resize_are_told_with_what_to_do() -> None:
    resize = RegistrationConfig(mode="resize")
    assert stretch_note(resize, (160, 120), (640, 480)) is None
    assert stretch_note(resize, (161, 120), (640, 480)) is None
    assert stretch_note(RegistrationConfig(), (160, 122), (160, 120)) is None
    note = stretch_note(resize, (160, 122), (160, 120))
    assert note.startswith("infrared is 160x122 and RGB 160x120, other proportions")
    assert "infrared_crop" in note


def test_resize_keeps_what_is_in_the_middle_in_the_middle() -> None:
    ramp = np.tile(np.arange(10, 90, 10, dtype=np.uint8), (6, 1))  # 8 columns
    made = Registration(RegistrationConfig(mode="resize")).apply(ramp, np.zeros((12, 16, 3), np.uint8))
    assert made.infrared[6, 1:5].astype(float) == pytest.approx([12.5, 17.5, 22.5, 27.5], abs=0.51)


# --- homography ------------------------------------------------------------------------------------------------------


def test_the_identity_changes_nothing() -> None:
    infrared = noise(48, 64)
    made = by_homography(np.eye(3)).apply(infrared, GREY)
    assert np.array_equal(made.infrared, infrared)
    assert made.valid is None


def test_a_shift_by_whole_pixels_is_exact_and_marks_the_border() -> None:
    infrared = noise(48, 64)
    made = by_homography(shift(5, -3)).apply(infrared, GREY)
    assert np.array_equal(made.infrared[:45, 5:], infrared[3:, :59])
    expected = np.zeros((48, 64), np.uint8)
    expected[:45, 5:] = 1
    assert np.array_equal(made.valid, expected)


def test_a_shift_by_half_a_pixel_is_the_mean_of_neighbours() -> None:
    infrared = noise(48, 64)
    made = by_homography(shift(0.5, 0)).apply(infrared, GREY)
    mean = (infrared[:, 1:].astype(float) + infrared[:, :-1]) / 2
    assert np.abs(made.infrared[:, 1:] - mean).max() <= 0.51
    assert made.valid is None  # the first column is still within the infrared image's first pixels


def test_into_the_infrared_view_it_is_the_colour_image_that_moves() -> None:
    infrared, rgb = noise(48, 64), np.stack([noise(48, 64, seed) for seed in (1, 2, 3)], axis=2)
    made = by_homography(shift(5, -3), view="infrared").apply(infrared, rgb)
    assert made.infrared is infrared
    assert np.array_equal(made.rgb[3:, :59], rgb[:45, 5:])
    assert made.valid[3:, :59].all()
    assert made.valid.sum() == 45 * 59


TILTED = np.array([[0.96, -0.06, 4.0], [0.05, 0.97, -2.0], [4e-4, -2e-4, 1.0]])


def test_a_homography_puts_every_pixel_where_it_belongs() -> None:
    maps = by_homography(TILTED).maps((64, 48), (64, 48))
    points = np.concatenate([maps.pixels.reshape(-1, 2), np.ones((64 * 48, 1))], axis=1) @ TILTED.T
    back = points[:, :2] / points[:, 2:]
    seen = maps.valid.ravel() == 1
    assert 0.7 < maps.seen < 1
    assert np.abs(back - grid(64, 48))[seen].max() < 1e-4


def test_both_directions_of_a_homography_are_each_others_inverse() -> None:
    homography = Homography(matrix=TILTED, infrared_size=(64, 48), rgb_size=(96, 72))
    into_rgb, into_infrared = (homography_mapping(homography, view) for view in ("rgb", "infrared"))
    assert (into_rgb.view_size, into_rgb.other_size) == (into_infrared.other_size, into_infrared.view_size)
    there, _ = into_rgb.to_other(grid(96, 72))
    assert np.abs(into_infrared.to_other(there)[0] - grid(96, 72)).max() < 1e-9


def test_what_lies_beyond_a_homographys_horizon_is_not_mirrored_into_the_view() -> None:
    # the road seen from above and from ahead: the RGB image's upper rows look over the horizon
    horizon = np.array([[1.0, 0.9, -14.0], [0, 1.9, 12.0], [0, 0.05, 1.0]])
    maps = by_homography(horizon).maps((64, 48), (64, 48))
    inverse = np.linalg.inv(horizon)
    w = np.concatenate([grid(64, 48), np.ones((64 * 48, 1))], axis=1) @ inverse[2]
    assert 0.05 < (w <= 0).mean() < 0.95
    assert 0.05 < maps.seen < 0.95
    assert not maps.valid.ravel()[w <= 0].any()


def test_a_displaced_synthetic_scene_is_put_back() -> None:
    """The scene's exact misregistration against the same scene without it."""
    displaced = RoadScene(3, 96, 128, infrared_homography=TILTED).frame(0.0)
    straight = RoadScene(3, 96, 128).frame(0.0)
    made = by_homography(np.linalg.inv(TILTED), infrared=(128, 96), rgb=(128, 96)).apply(
        displaced.infrared8, displaced.rgb
    )
    inner = cv2.erode(made.valid, np.ones((7, 7))) == 1
    before, after = (
        np.abs(each.astype(float) - straight.infrared8)[inner].mean() for each in (displaced.infrared8, made.infrared)
    )
    assert after < 0.35 * before
    (right, down), response = cv2.phaseCorrelate(
        np.where(inner, made.infrared, 0).astype(np.float64), np.where(inner, straight.infrared8, 0).astype(np.float64)
    )
    assert math.hypot(right, down) < 0.1
    assert response > 0.5


# --- stereo ----------------------------------------------------------------------------------------------------------

OPTICS = {
    "plumb_bob": rig(),
    "rational_polynomial": rig(rgb=camera(model="rational_polynomial", D=RATIONAL)),
    "equidistant": rig(infrared=camera(96, 72, focal=45.0, model="equidistant", D=EQUIDISTANT)),
    "no distortion": rig(rgb=camera(D=()), infrared=camera(64, 48, focal=60.0, D=())),
}
optics = pytest.mark.parametrize("calibration", OPTICS.values(), ids=OPTICS)


def points_on_plane(normal, distance_m):
    """Of a camera in the RGB camera's frame: where its rays meet a plane."""
    return lambda rays: rays * (distance_m / (rays @ np.asarray(normal)))[:, None]


@optics
@pytest.mark.parametrize("view", ["rgb", "infrared"])
def test_a_point_of_the_plane_is_found_where_the_other_camera_has_it(calibration, view) -> None:
    """Independent formulas: through one camera onto the plane, and from there into the other camera."""
    maps_of = by_stereo(calibration, view=view)
    here, there = calibration.rgb, calibration.infrared
    R, t = calibration.extrinsics.rotation, calibration.extrinsics.translation_m
    if view == "rgb":
        points = points_on_plane((0, 0, 1), 8.0)(plain_rays(here, grid(*here.size)))
        others = (points - t) @ R  # R^T (X - t)
    else:
        here, there = there, here
        rays = plain_rays(here, grid(*here.size))
        depth = (8.0 - t[2]) / (rays @ R.T)[:, 2]
        others = (rays * depth[:, None]) @ R.T + t
    expected = plain_projection(there, others)
    maps = maps_of.maps(here.size, there.size)
    # far outside the image the polynomial of a distortion folds back into it: nothing can be seen there
    reach = np.hypot(*plain_rays(there, grid(*there.size)).T[:2]).max()
    plain = (others[:, 2] > 0) & (np.hypot(*others.T[:2] / others[:, 2]) < 1.02 * reach)
    inside = plain & ((expected > -0.5) & (expected < np.array(there.size) - 0.5)).all(axis=1)
    assert inside.mean() > 0.3
    assert np.mean(maps.valid.ravel() == inside) > 0.999
    seen = maps.valid.ravel() == 1
    assert np.abs(maps.pixels.reshape(-1, 2) - expected)[seen].max() < 0.01


@optics
@pytest.mark.parametrize("view", ["rgb", "infrared"])
def test_a_plane_seen_through_two_distorting_cameras_is_registered_within_half_a_pixel(calibration, view) -> None:
    """Both cameras render the same texture on one plane; registered, the images must be one."""
    R, t = calibration.extrinsics.rotation, calibration.extrinsics.translation_m
    seen_by_rgb = plain_image(calibration.rgb, waves, points_on_plane((0, 0, 1), 8.0))
    seen_by_infrared = plain_image(
        calibration.infrared,
        waves,
        lambda rays: (rays * ((8.0 - t[2]) / (rays @ R.T)[:, 2])[:, None]) @ R.T + t,
    )
    made = by_stereo(calibration, view=view).apply(seen_by_infrared, np.dstack([seen_by_rgb] * 3))
    inner = np.ones(made.infrared.shape, np.uint8) if made.valid is None else made.valid
    inner = cv2.erode(inner, np.ones((3, 3)), borderValue=0) == 1
    difference = made.infrared.astype(float) - made.rgb[..., 0]
    slope_v, slope_u = np.gradient(made.rgb[..., 0].astype(float))
    A = np.stack([slope_u[inner], slope_v[inner]], axis=1)
    displacement, *_ = np.linalg.lstsq(A, difference[inner], rcond=None)
    assert np.abs(displacement).max() < 0.1  # all over
    # by the slope of the texture, where it has one; 2 levels are rounding and interpolation
    slope = np.hypot(slope_u, slope_v)
    steep = inner & (slope > 4)
    assert steep.sum() > 100
    assert (np.abs(difference)[steep] / slope[steep]).max() < 0.5


def test_a_plane_that_is_not_upright_is_registered_down_to_its_horizon() -> None:
    calibration = rig(plane=ROAD)
    maps = by_stereo(calibration, depth_m=0).maps(calibration.rgb.size, calibration.infrared.size)
    rays = plain_rays(calibration.rgb, grid(*calibration.rgb.size))
    R, t = calibration.extrinsics.rotation, calibration.extrinsics.translation_m
    ahead = rays @ ROAD.normal > 0
    assert 0.2 < ahead.mean() < 0.8
    on_road = rays / np.where(ahead, rays @ ROAD.normal, 1)[:, None] * ROAD.distance_m
    far = rays * 1e12
    expected = plain_projection(calibration.infrared, (np.where(ahead[:, None], on_road, far) - t) @ R)
    seen = maps.valid.ravel() == 1
    assert min((seen & ahead).sum(), (seen & ~ahead).sum()) > 200
    assert np.abs(maps.pixels.reshape(-1, 2) - expected)[seen].max() < 0.01


def test_what_is_off_the_reference_is_displaced_by_what_is_said() -> None:
    pinhole = {"D": (), "centre": (47.5, 35.5)}
    calibration = rig(
        infrared=camera(focal=100.0, **pinhole), rgb=camera(focal=100.0, **pinhole), angles_deg=(0, 0, 0),
        translation_m=(0.2, 0, 0),
    )  # fmt: skip
    made = by_stereo(calibration, depth_m=10.0)
    assert made.displacement_px(10.0) == pytest.approx(0, abs=1e-9)
    assert made.displacement_px(5.0) == pytest.approx(100 * 0.2 * (1 / 5 - 1 / 10))
    assert made.displacement_px(math.inf) == pytest.approx(100 * 0.2 / 10, rel=1e-6)


def test_both_directions_of_a_stereo_rig_are_each_others_inverse() -> None:
    cameras = rig()
    parts = cameras.infrared, cameras.rgb, cameras.extrinsics
    into_rgb, into_infrared = (stereo_mapping(*parts, depth_plane(8.0), view) for view in ("rgb", "infrared"))
    pixels = grid(*cameras.rgb.size)
    there, known = into_rgb.to_other(pixels)
    back, known_back = into_infrared.to_other(there)
    both = known & known_back
    assert both.mean() > 0.5
    assert np.abs(back - pixels)[both].max() < 1e-3


# --- what isn't seen -------------------------------------------------------------------------------------------------


def test_what_the_other_camera_does_not_see_gets_the_median_of_what_it_sees() -> None:
    infrared = np.full((48, 64), 60, np.uint8)
    infrared[:8] = 250  # a hot band that must not spread
    made = by_homography(shift(0, 20)).apply(infrared, GREY)
    assert (made.infrared[:20] == 60).all()
    assert not made.valid[:20].any()
    assert made.valid[20:].all()
    assert np.array_equal(made.rgb, GREY)


def test_unseen_colour_gets_the_median_channel_by_channel() -> None:
    rgb = np.zeros((48, 64, 3), np.uint8) + np.array([10, 20, 30], np.uint8)
    made = by_homography(shift(0, 20), view="infrared").apply(noise(48, 64), rgb)
    assert (made.rgb[made.valid == 0] == (10, 20, 30)).all()


def test_images_that_come_in_are_left_as_they_are() -> None:
    infrared = noise(48, 64)
    before = infrared.copy()
    by_homography(shift(9, 9)).apply(infrared, GREY)
    assert np.array_equal(infrared, before)


def test_confidence_is_halved_where_one_camera_sees_alone() -> None:
    confidence = np.array([[255, 255, 128, 1]], np.uint8)
    valid = np.array([[1, 0, 0, 0]], np.uint8)
    assert lower_confidence(confidence, valid).tolist() == [[255, 127, 64, 0]]
    assert confidence.tolist() == [[255, 255, 128, 1]]


def test_confidence_stays_where_both_see_everywhere() -> None:
    confidence = noise(4, 4)
    assert lower_confidence(confidence, None) is confidence


# --- sizes -----------------------------------------------------------------------------------------------------------


def test_sizes_may_change_in_flight() -> None:
    """Both images binned: the calibration's pixels are scaled, and the old sizes work again afterwards."""
    registration = by_homography(shift(8, -4), infrared=(64, 48), rgb=(64, 48))
    first = registration.apply(noise(48, 64), GREY)
    small = noise(24, 32)
    made = registration.apply(small, GREY[::2, ::2])
    assert np.array_equal(made.infrared[:22, 4:], small[2:, :28])
    only_rgb = registration.apply(noise(48, 64), GREY[::2, ::2])
    assert only_rgb.infrared.shape == (24, 32)
    assert np.array_equal(only_rgb.valid, made.valid)
    again = registration.apply(noise(48, 64), GREY)
    assert np.array_equal(first.infrared, again.infrared)
    assert np.array_equal(first.valid, again.valid)


def test_maps_are_made_once_for_a_pair_of_sizes(monkeypatch) -> None:
    registration = by_homography(shift(8, -4))
    made = []
    original = Registration.maps
    monkeypatch.setattr(Registration, "maps", lambda self, *sizes: (made.append(sizes), original(self, *sizes))[1])
    for width in (64, 32, 64, 32):
        registration.apply(noise(48, 64), np.zeros((width * 3 // 4, width, 3), np.uint8))
    assert made == [((64, 48), (64, 48)), ((32, 24), (64, 48))]


def test_the_first_pair_needs_not_wait_for_prepared_maps(monkeypatch) -> None:
    registration = by_homography(shift(8, -4))
    registration.prepare()
    monkeypatch.setattr(Registration, "maps", None)
    assert registration.apply(noise(48, 64), GREY).valid is not None
    Registration(RegistrationConfig(mode="resize")).prepare()  # has none, and needs none


def test_maps_of_many_sizes_are_not_kept_for_ever() -> None:
    registration = by_homography(shift(8, -4))
    for width in range(16, 64, 4):
        registration.apply(noise(48, 64), np.zeros((width * 3 // 4, width, 3), np.uint8))
    assert len(registration._warps) == 4


@pytest.mark.parametrize(
    ("infrared", "rgb", "line"),
    [
        ((64, 51), (96, 72), r"infrared images are 64x51 but the calibration is for 64x48"),
        ((64, 50), (96, 72), r"infrared images are 64x50"),  # telemetry rows below the picture
        ((64, 48), (96, 60), r"RGB images are 96x60 but the calibration is for 96x72"),
    ],
)
def test_images_of_other_proportions_than_the_calibration_are_refused(infrared, rgb, line) -> None:
    with pytest.raises(RegistrationError, match=line):
        by_stereo(rig()).apply(np.zeros(infrared[::-1], np.uint8), np.zeros((*rgb[::-1], 3), np.uint8))


def test_a_much_finer_image_is_averaged_and_not_sampled() -> None:
    """Noise of a fine RGB image must not survive in a coarse infrared view."""
    fine = np.dstack([noise(192, 256, seed) for seed in range(3)])
    large = {"infrared": (64, 48), "rgb": (256, 192), "view": "infrared"}
    made = by_homography(np.diag([4.0, 4.0, 1.0]) + np.array([[0, 0, 1.5], [0, 0, 1.5], [0, 0, 0]]), **large)
    out = made.apply(noise(48, 64), fine).rgb
    averaged = cv2.resize(fine, (64, 48), interpolation=cv2.INTER_AREA)
    assert np.abs(out.astype(int) - averaged).max() <= 1
    assert out.std() < 0.3 * fine.std()


# --- refusals --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("options", "line"),
    [
        ({"mode": "magic"}, "registration mode 'magic' is unknown: use none, resize, homography, stereo"),
        ({"view": "left"}, "registration view 'left' is unknown"),
        ({"reference_depth_m": -1.0}, "reference_depth_m is -1: 0 or more"),
        ({"reference_depth_m": math.inf}, "reference_depth_m is inf"),
    ],
)
def test_settings_that_are_none_are_refused(options, line) -> None:
    with pytest.raises(RegistrationError, match=line):
        RegistrationConfig(**options)


def lacking(**parts) -> RigCalibration:
    return RigCalibration(**{**vars(rig()), **parts})


MISSING = {
    "homography": ("homography", rig(), 8.0, "needs a calibration_file with a 'homography'"),
    "no calibration at all": (
        "stereo",
        RigCalibration(),
        8.0,
        "lacks infrared and rgb and extrinsics: .* or cameras whose camera_info is calibrated as a stereo pair",
    ),
    "one camera": ("stereo", lacking(rgb=None), 8.0, "lacks rgb: .* camera_info is calibrated$"),
    "mounting": ("stereo", lacking(extrinsics=None), 8.0, "lacks extrinsics: .* as a stereo pair"),
    "plane": ("stereo", rig(), 0.0, "reference_depth_m is 0, but the calibration has no 'plane'"),
}


@pytest.mark.parametrize(("mode", "calibration", "depth_m", "line"), MISSING.values(), ids=MISSING)
def test_a_calibration_that_lacks_what_the_mode_needs_is_refused(mode, calibration, depth_m, line) -> None:
    with pytest.raises(RegistrationError, match=line):
        Registration(RegistrationConfig(mode=mode, reference_depth_m=depth_m), calibration)


def test_cameras_that_share_no_view_are_refused() -> None:
    aside = Extrinsics(rotation=plain_rotation(0, 80, 0), translation_m=(0.1, 0, 0))
    with pytest.raises(RegistrationError, match=r"infrared sees 0\.0% of the RGB view: is the calibration from"):
        by_stereo(lacking(extrinsics=aside))


def test_a_plane_behind_the_infrared_camera_is_refused() -> None:
    behind = Extrinsics(rotation=np.eye(3), translation_m=(0, 0, 1.0))
    with pytest.raises(RegistrationError, match="passes behind the infrared camera"):
        by_stereo(lacking(extrinsics=behind), view="infrared", depth_m=0.5)


@pytest.mark.parametrize(
    ("registration", "line"),
    [
        (Registration(RegistrationConfig()), "none: both cameras must show the same view at one size"),
        (Registration(RegistrationConfig(mode="resize")), "resize: infrared images get the size of RGB images"),
        (by_homography(shift(16, 0)), "homography: infrared sees 75% of the RGB view"),
        (
            by_stereo(rig()),
            r"stereo at 8 m: infrared sees \d\d% of the RGB view; things at 4 m are displaced by 1\.\d px, far .* px",
        ),
        (by_stereo(rig(plane=ROAD), depth_m=0), r"stereo onto the calibration's plane: infrared sees \d\d% of .* view"),
    ],
    ids=["none", "resize", "homography", "stereo", "plane"],
)
def test_a_registration_says_what_it_does(registration, line) -> None:
    assert re.fullmatch("registration " + line, registration.describe())


def test_a_registration_that_is_not_there_yet_refuses_every_pair_with_the_reason() -> None:
    waiting = Unregistered(RegistrationConfig(mode="stereo", view="infrared"), "no camera_info yet")
    assert waiting.config.view == "infrared"
    assert waiting.describe() == "no camera_info yet"
    with pytest.raises(UncalibratedError, match="no camera_info yet"):
        waiting.apply(noise(48, 64), GREY)


def test_the_camera_of_the_view_is_known_where_the_calibration_has_it() -> None:
    calibration = rig()
    assert by_stereo(calibration).camera is calibration.rgb
    assert by_stereo(calibration, view="infrared").camera is calibration.infrared
    assert Registration(RegistrationConfig()).camera is None


def test_only_modes_with_a_map_give_maps() -> None:
    with pytest.raises(RegistrationError, match="'resize' has no map"):
        Registration(RegistrationConfig(mode="resize")).maps((4, 4), (4, 4))


# --- what is cut off infrared images ----------------------------------------------------------------------------------


def cropped_by(mode, calibration, crop, view="rgb") -> Registration | DepthRegistration:
    config = RegistrationConfig(mode=mode, view=view, reference_depth_m=8.0, infrared_crop=crop)
    return make_registration(config, calibration)


@pytest.mark.parametrize("mode", ["homography", "stereo"])
@pytest.mark.parametrize("view", ["rgb", "infrared"])
@pytest.mark.parametrize("crop", [Crop(0, 2, 0, 0), Crop(3, 1, 2, 4), Crop(6, 6, 8, 8)])
def test_a_calibration_of_the_whole_image_stays_right_when_rows_are_cut_off(mode, view, crop) -> None:
    calibration = replace(rig(), homography=Homography(matrix=shift(8, -4), infrared_size=(64, 48), rgb_size=(96, 72)))
    whole = cropped_by(mode, calibration, Crop(), view)
    cut = cropped_by(mode, calibration, crop, view)
    width, height = 64 - crop.left - crop.right, 48 - crop.top - crop.bottom
    offset = np.array([crop.left, crop.top])
    if view == "rgb":
        expected, found = whole.maps((96, 72), (64, 48)), cut.maps((96, 72), (width, height))
        both = (found.valid & expected.valid).astype(bool)
        assert both.any()
        assert np.allclose(found.pixels[both] + offset, expected.pixels[both], atol=1e-3)
    else:
        expected, found = whole.maps((64, 48), (96, 72)), cut.maps((width, height), (96, 72))
        part = np.s_[crop.top : crop.top + height, crop.left : crop.left + width]
        both = (found.valid & expected.valid[part]).astype(bool)
        assert both.any()
        assert np.allclose(found.pixels[both], expected.pixels[part][both], atol=1e-3)


def test_a_calibration_of_what_is_left_is_taken_as_it_is() -> None:
    plain, cut = (cropped_by("stereo", rig(), crop) for crop in (Crop(), Crop(0, 2, 0, 0)))
    sizes = (96, 72), (64, 48)
    assert np.array_equal(plain.maps(*sizes).pixels, cut.maps(*sizes).pixels)


def test_a_crop_that_fits_neither_is_refused() -> None:
    with pytest.raises(RegistrationError, match="infrared images are 64x40 but the calibration is for 64x48"):
        cropped_by("stereo", rig(), Crop(0, 2, 0, 0)).maps((96, 72), (64, 40))


@pytest.mark.parametrize("mode", ["depth", "adaptive"])
def test_the_modes_with_distances_know_the_crop_too(mode) -> None:
    """Twelve rows above are cut off: what is left is registered as the same part of the whole image."""
    infrared, rgb = noise(48, 64), np.zeros((72, 96, 3), np.uint8)
    whole, cut = (cropped_by(mode, rig(), crop) for crop in (Crop(), Crop(12, 0, 0, 0)))
    for each in (whole, cut):
        each.take_depth(0, np.full((72, 96), 4.0))  # adaptive has nothing to go by here but the reference
    before, after = whole.apply(infrared, rgb), cut.apply(infrared[12:], rgb)
    both = (before.valid & after.valid).astype(bool)
    both[1:] &= both[:-1]  # not at the cut edge
    assert both.sum() > 500
    assert np.mean(np.abs(before.infrared[both].astype(int) - after.infrared[both]) <= 1) > 0.95
