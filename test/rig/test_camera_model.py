# SPDX-License-Identifier: Apache-2.0
"""The camera model: against the formulas of its distortion, and the words that wrong numbers are refused in."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from rig_fakes import EQUIDISTANT, PLUMB_BOB, RATIONAL, camera, grid, plain_projection, plain_rays, plain_rotation

from segmif_ros.rig.camera_model import CameraModel, Window, camera_from_info, same_proportions, scaled_projection
from segmif_ros.rig.errors import CalibrationError

OPTICS = {
    "none": ("plumb_bob", ()),
    "plumb_bob": ("plumb_bob", PLUMB_BOB),
    "plumb_bob of 4": ("plumb_bob", PLUMB_BOB[:4]),
    "rational_polynomial": ("rational_polynomial", RATIONAL),
    "equidistant": ("equidistant", EQUIDISTANT),
}
optics = pytest.mark.parametrize(("model", "D"), OPTICS.values(), ids=OPTICS)


@optics
def test_rays_are_those_of_the_distortions_formula(model, D) -> None:
    made = camera(model=model, D=D)
    pixels = grid(made.width, made.height)
    rays, known = made.rays(pixels)
    assert known.all()
    assert np.abs(rays - plain_rays(made, pixels)[:, :2]).max() < 1e-6


@optics
def test_points_appear_where_the_distortions_formula_puts_them(model, D) -> None:
    made = camera(model=model, D=D)
    rays = np.random.default_rng(0).uniform(-0.5, 0.5, (50, 2))
    points = 3 * np.concatenate([rays, np.ones((50, 1))], axis=1)
    pixels, known = made.pixels(points)
    assert known.all()
    assert np.abs(pixels - plain_projection(made, points)).max() < 1e-6


def test_what_is_behind_the_camera_has_no_pixel() -> None:
    _, known = camera().pixels([[0, 0, 1], [0, 0, 0], [0, 0, -1]])
    assert known.tolist() == [True, False, False]


def test_a_ray_far_outside_the_image_is_not_folded_back_into_it() -> None:
    made = camera(D=(-0.3, 0.0, 0.0, 0.0, 0.0))
    far = np.array([[1.8, 0.0, 1.0]])
    inside = plain_projection(made, far)[0]
    assert 0 < inside[0] < made.width  # the polynomial alone would show it
    assert made.pixels(far)[1].tolist() == [False]


def test_pixels_that_the_distortion_folds_have_no_ray() -> None:
    # the radius falls again from 1.05 on: a corner of this image is beyond what any ray reaches
    made = camera(focal=62.0, D=(-0.3, 0.0, 0.0, 0.0))
    _, known = made.rays([[48.0, 36.0], [95.4, 71.4], [-0.4, -0.4]])
    assert known[0]
    assert not known[1:].all()


@given(st.sampled_from([0.25, 0.5, 2.0, 3.0]), st.sampled_from([0.5, 1.0, 2.0]))
@settings(max_examples=12, deadline=None)
def test_a_scaled_camera_sees_the_same_at_the_same_place_of_the_image(by_u, by_v) -> None:
    made = camera()
    scaled = made.scaled(round(by_u * made.width), round(by_v * made.height))
    points = np.concatenate([np.random.default_rng(1).uniform(-0.4, 0.4, (20, 2)), np.ones((20, 1))], axis=1)
    shares = (made.pixels(points)[0] + 0.5) / made.size
    assert np.abs((scaled.pixels(points)[0] + 0.5) / scaled.size - shares).max() < 1e-9


def test_scaling_keeps_the_middle_of_an_image_in_the_middle() -> None:
    P = np.array([[100.0, 0, 319.5, -12.0], [0, 100.0, 239.5, 0], [0, 0, 1, 0]])
    scaled = scaled_projection(P, 0.5, 0.25)
    assert scaled.tolist() == [[50.0, 0, 159.5, -6.0], [0, 25.0, 59.5, 0], [0, 0, 1, 0]]


def test_scaling_takes_the_rectified_projection_along() -> None:
    P = [[90.0, 0, 48.0, -5.0], [0, 90.0, 36.0, 0], [0, 0, 1, 0]]
    assert camera(P=P).scaled(48, 36).P.tolist() == [[45.0, 0, 23.75, -2.5], [0, 45.0, 17.75, 0], [0, 0, 1, 0]]


@pytest.mark.parametrize(
    ("size", "same"),
    [
        ((640, 512), True),
        ((320, 256), True),
        ((213, 171), True),  # a third, rounded up
        ((1280, 1024), True),
        ((640, 514), False),  # two rows of telemetry
        ((640, 480), False),
    ],
)
def test_only_a_resized_image_has_the_same_proportions(size, same) -> None:
    assert same_proportions(size, (640, 512)) is same


def test_cameras_are_equal_if_all_their_numbers_are() -> None:
    assert camera() == camera()
    assert hash(camera()) == hash(camera())
    assert camera() != camera(focal=80.1)
    assert camera() != camera(P=np.eye(3, 4))


def test_the_matrices_cannot_be_changed_behind_the_models_back() -> None:
    with pytest.raises(ValueError, match="read-only"):
        camera().K[0, 0] = 1


REFUSED = {
    "zero focal length": ({"K": np.zeros((3, 3))}, "the focal length is 0: the camera is not calibrated"),
    "negative focal length": ({"K": [[-1, 0, 9], [0, 1, 9], [0, 0, 1]]}, "focal length is negative"),
    "nan": ({"K": [[float("nan"), 0, 9], [0, 1, 9], [0, 0, 1]]}, "isn't finite"),
    "skew": ({"K": [[50, 3, 9], [0, 50, 9], [0, 0, 1]]}, "a skew of 3, which moves pixels by up to 2.3 px"),
    "another size's K": ({"K": [[500, 0, 320], [0, 500, 240], [0, 0, 1]]}, "K is another image size's"),
    "K of a wrong shape": ({"K": np.eye(2)}, r"K \(camera_matrix\) is 2x2: 3x3 numbers are needed"),
    "text": ({"K": [["a", 0, 9], [0, 1, 9], [0, 0, 1]]}, "must be numbers"),
    "ragged": ({"K": [[1, 0, 9], [0, 1], [0, 0, 1]]}, "must be numbers, in rows of one length"),
    "no width": ({"width": 0}, "image width is 0"),
    "half a row": ({"height": 7.5}, "image height is 7.5"),
    "unknown distortion": ({"distortion_model": "fov"}, "use one of plumb_bob, rational_polynomial, equidistant"),
    "wrong number of coefficients": ({"D": [1, 2, 3]}, "plumb_bob distortion has 3 coefficients: 4 or 5 are needed"),
    "coefficients without sense": ({"D": [-9, 0, 0, 0]}, "can't be undone on"),
    "R that isn't orthonormal": ({"R": 1.1 * np.eye(3)}, "R .* is not a rotation: its rows are not orthonormal"),
    "R that mirrors": ({"R": np.diag([1, 1, -1])}, "its determinant is -1"),
    "P of a wrong shape": ({"P": np.eye(3)}, r"P \(projection_matrix\) is 3x3: 3x4"),
}


@pytest.mark.parametrize(("change", "line"), REFUSED.values(), ids=REFUSED)
def test_numbers_that_make_no_camera_are_refused_in_one_line(change, line) -> None:
    good = {"width": 64, "height": 48, "K": [[50, 0, 31], [0, 50, 24], [0, 0, 1]], "D": [-0.1, 0, 0, 0]}
    CameraModel(**good)
    with pytest.raises(CalibrationError, match=line) as caught:
        CameraModel(**{**good, **change})
    assert "\n" not in str(caught.value)


def test_a_rotation_written_with_few_digits_is_put_right() -> None:
    rotation = plain_rotation(3, 5, 7)
    R = camera(R=np.round(rotation, 3)).R
    assert np.abs(R @ R.T - np.eye(3)).max() < 1e-12
    assert np.abs(R - rotation).max() < 2e-3


INFO = {
    "width": 64,
    "height": 48,
    "distortion_model": "plumb_bob",
    "d": [-0.1, 0.0, 0.0, 0.0, 0.0],
    "k": [50.0, 0, 31, 0, 50, 24, 0, 0, 1],
    "r": [1.0, 0, 0, 0, 1, 0, 0, 0, 1],
    "p": [50.0, 0, 31, 0, 0, 50, 24, 0, 0, 0, 1, 0],
}


def test_a_camera_info_becomes_a_camera() -> None:
    made = camera_from_info(**INFO)
    assert made.K[0].tolist() == [50, 0, 31]
    assert made.D[0] == -0.1
    assert made.P.shape == (3, 4)


def test_a_camera_info_without_distortion_rectification_and_projection_is_a_pinhole_camera() -> None:
    made = camera_from_info(**{**INFO, "distortion_model": "", "d": [], "r": [0.0] * 9, "p": [0.0] * 12})
    assert made.rays([[31, 24]])[0].tolist() == [[0, 0]]
    assert made.R.tolist() == np.eye(3).tolist()
    assert made.P is None


@pytest.mark.parametrize(
    ("change", "line"), [({"k": [0.0] * 9}, "not calibrated"), ({"p": [1.0]}, "1 numbers in p: 12 are needed")]
)
def test_a_camera_info_that_is_none_is_refused(change, line) -> None:
    with pytest.raises(CalibrationError, match=line):
        camera_from_info(**{**INFO, **change})


K_WHOLE = [[400.0, 0, 159.5], [0, 401.0, 119.5], [0, 0, 1]]


def info(**changes) -> dict:
    return {
        "width": 320,
        "height": 240,
        "distortion_model": "plumb_bob",
        "d": [-0.1, 0.01, 0, 0, 0],
        "k": np.ravel(K_WHOLE),
        "r": np.eye(3).ravel(),
        "p": np.insert(np.array(K_WHOLE), 3, 0, axis=1).ravel(),
        **changes,
    }


def test_a_region_of_interest_is_a_part_of_the_image() -> None:
    whole = camera_from_info(**info())
    part = camera_from_info(**info(window=Window(x_offset=80, y_offset=60, width=160, height=120)))
    assert part.size == (160, 120)
    assert part.K.tolist() == [[400, 0, 79.5], [0, 401, 59.5], [0, 0, 1]]
    assert part.P[:, :3].tolist() == part.K.tolist()
    rays, known = part.rays([[10, 20]])
    assert known.all()
    assert np.allclose(rays, whole.rays([[90, 80]])[0], atol=1e-12)


def test_a_part_may_lie_beside_the_optical_axis() -> None:
    part = camera_from_info(**info(window=Window(x_offset=200, y_offset=0, width=100, height=80)))
    assert part.K[0, 2] == -40.5
    assert part.scaled(50, 40).size == (50, 40)


def test_binning_is_another_size_of_the_same_view() -> None:
    window = Window(binning_x=2, binning_y=2)
    assert window.is_whole
    assert camera_from_info(**info(window=window)) == camera_from_info(**info())
    assert Window(x_offset=80, width=160, binning_x=2, binning_y=2).image_size(320, 240) == (80, 120)


def test_a_region_outside_the_image_is_refused_by_its_name() -> None:
    with pytest.raises(CalibrationError, match=r"region of interest 160x120 at \(200, 60\) is not inside"):
        camera_from_info(**info(window=Window(x_offset=200, y_offset=60, width=160, height=120)))


@pytest.mark.parametrize(
    ("name", "D", "model", "count"),
    [
        ("plumb_bob", [0.1, 0.2, 0.01, 0.02, 0.3, 0, 0, 0], "plumb_bob", 5),
        ("plumb_bob", [0.1, 0.2, 0.01, 0.02, 0.03, 0.04, 0, 0], "rational_polynomial", 8),
        ("rational_polynomial", [0.1, 0.2, 0.01, 0.02, 0.3], "plumb_bob", 5),
        ("rational_polynomial", [0.1, 0.2, 0, 0, 0, 0, 0, 0], "rational_polynomial", 8),
        ("equidistant", [0.01, 0.02, -0.03, 0.01, 0], "equidistant", 4),
        *[(name, [0.01, 0.02, -0.03, 0.01], "equidistant", 4) for name in ("fisheye", "Kannala Brandt4", "equi")],
        *[(name, [0.1, 0.2, 0, 0, 0], "plumb_bob", 5) for name in ("", "radtan", "Plumb Bob", "Brown Conrady")],
        *[(name, [0.0] * 5, "plumb_bob", 0) for name in ("none", "None", "inverse_brown_conrady", "no_distortion")],
        ("plumb_bob", [0.0] * 16, "plumb_bob", 0),
    ],
)
def test_models_have_the_names_and_zeros_that_drivers_give_them(name, D, model, count) -> None:
    made = CameraModel(width=320, height=240, K=K_WHOLE, distortion_model=name, D=D)
    assert (made.distortion_model, made.D.size) == (model, count)
    assert made.D.tolist() == D[:count]


@pytest.mark.parametrize(
    ("name", "D", "line"),
    [
        ("plumb_bob", [0.1] * 6, "plumb_bob distortion has 6 coefficients: 4 or 5 are needed"),
        ("equidistant", [0.1] * 5, "equidistant distortion has 5 coefficients: 4 are needed"),
        ("none", [0.1] * 5, "distortion model 'none' has coefficients: use one of plumb_bob"),
        ("inverse_brown_conrady", [0.1] * 5, "distortion model 'inverse_brown_conrady' has coefficients"),
        ("ftheta", [0.0] * 4, "distortion model 'ftheta' is unknown: use one of plumb_bob, rational_polynomial"),
        ("plumb_bob", [[1, 2], 3], r"D \(distortion_coefficients\) must be numbers, in rows of one length"),
        (["plumb_bob"], [0.0] * 5, r"distortion model \['plumb_bob'\] is unknown"),
        ({}, [0.0] * 5, r"distortion model \{\} is unknown"),
    ],
)
def test_a_model_that_is_not_known_is_refused_by_its_name(name, D, line) -> None:
    with pytest.raises(CalibrationError, match=line):
        CameraModel(width=320, height=240, K=K_WHOLE, distortion_model=name, D=D)


def test_a_skew_that_moves_no_pixel_is_rounded_away() -> None:
    made = CameraModel(width=320, height=240, K=[[400, 0.4, 159.5], [0, 400, 119.5], [0, 0, 1]])
    assert made.K[0, 1] == 0
