# SPDX-License-Identifier: Apache-2.0
"""A rig's calibration: what is refused and why, and what camera_info of a stereo pair says about the mounting."""

import numpy as np
import pytest
from rig_fakes import camera, plain_rotation

from segmif_ros.rig.calibration import Extrinsics, Homography, Plane, RigCalibration, stereo_extrinsics
from segmif_ros.rig.errors import CalibrationError

SIZES = {"infrared_size": (64, 48), "rgb_size": (96, 72)}
MILD = np.array([[1.4, 0.05, 3.0], [-0.02, 1.45, 2.0], [1e-4, -5e-5, 1.0]])


def test_the_inverse_takes_points_back() -> None:
    mount = Extrinsics(rotation=plain_rotation(4, -7, 2), translation_m=(0.1, 0.02, -0.03))
    back = mount.inverse()
    point = np.array([0.3, -0.2, 5.0])
    there = mount.rotation @ point + mount.translation_m
    assert np.allclose(back.rotation @ there + back.translation_m, point)


EXTRINSICS_REFUSED = {
    "not orthonormal": (2 * np.eye(3), (0, 0, 0), "rotation is not a rotation: its rows are not orthonormal"),
    "a mirror": (np.diag([-1, 1, 1]), (0, 0, 0), "its determinant is -1, it mirrors"),
    "millimetres": (np.eye(3), (120, 0, 0), r"120 m long: metres are needed, were these millimetres"),
    "not finite": (np.eye(3), (np.inf, 0, 0), "translation_m has a number that isn't finite"),
    "wrong shape": (np.eye(3), (0, 0), "translation_m is 2: 3 numbers are needed"),
    "other frames": (
        # from a body frame (x forward, y left, z up) to an optical frame
        [[0, -1, 0], [0, 0, -1], [1, 0, 0]],
        (0, 0, 0),
        "90 degrees apart: the rotation must be between optical frames",
    ),
}


@pytest.mark.parametrize(("rotation", "translation_m", "line"), EXTRINSICS_REFUSED.values(), ids=EXTRINSICS_REFUSED)
def test_extrinsics_that_make_no_rig_are_refused(rotation, translation_m, line) -> None:
    with pytest.raises(CalibrationError, match=line):
        Extrinsics(rotation=rotation, translation_m=translation_m)


def test_a_homography_may_have_any_scale_and_sign() -> None:
    point = [[12.0, 7.0]]
    there = Homography(matrix=MILD, **SIZES).to_rgb(point)
    for factor in (-1.0, 250.0, -1e-4):
        made = Homography(matrix=factor * MILD, **SIZES)
        assert np.allclose(made.to_rgb(point), there)
        assert (made.matrix @ (12, 7, 1))[2] > 0


HOMOGRAPHIES_REFUSED = {
    "singular": ([[1, 0, 0], [2, 0, 0], [0, 0, 1]], "singular"),
    "nearly singular": ([[1, 1, 0], [1, 1 + 1e-8, 0], [0, 0, 1]], "singular"),
    "zero": (np.zeros((3, 3)), "singular"),
    "not finite": ([[1, 0, np.nan], [0, 1, 0], [0, 0, 1]], "isn't finite"),
    "outside": ([[1, 0, 500], [0, 1, 0], [0, 0, 1]], "maps the infrared image outside the RGB image"),
    "a dot": ([[0.01, 0, 50], [0, 0.01, 30], [0, 0, 1]], "outside the RGB image"),
    "torn": ([[1, 0, 0], [0, 1, 0], [-0.04, 0, 1]], "tears the infrared image apart"),
    "wrong shape": (np.eye(2), "the homography is 2x2: 3x3 numbers are needed"),
}


@pytest.mark.parametrize(("matrix", "line"), HOMOGRAPHIES_REFUSED.values(), ids=HOMOGRAPHIES_REFUSED)
def test_homographies_that_register_nothing_are_refused(matrix, line) -> None:
    with pytest.raises(CalibrationError, match=line):
        Homography(matrix=matrix, **SIZES)


@pytest.mark.parametrize("size", [(0, 48), (64.5, 48), (64,)])
def test_a_homography_needs_the_sizes_that_it_was_found_with(size) -> None:
    with pytest.raises(CalibrationError, match="infrared_size is"):
        Homography(matrix=MILD, infrared_size=size, rgb_size=(96, 72))


def test_a_planes_normal_may_have_any_length() -> None:
    plane = Plane(normal=(0, 3, 4), distance_m=2)
    assert plane.normal.tolist() == [0, 0.6, 0.8]
    assert plane.distance_m == 2.0


@pytest.mark.parametrize(
    ("normal", "distance_m"), [((0, 0, 0), 1), ((0, 0, 1), 0), ((0, 0, 1), -1), ((0, 0, 1), "far")]
)
def test_a_plane_that_is_none_is_refused(normal, distance_m) -> None:
    with pytest.raises(CalibrationError, match="the plane's"):
        Plane(normal=normal, distance_m=distance_m)


def stereo_pair(rotation, translation_m):
    """Infrared and RGB as a stereo calibration leaves them, the infrared camera being the pair's origin."""
    # both rectified frames have x along the baseline, which is from the infrared to the RGB camera
    baseline = -rotation.T @ translation_m  # the RGB camera in the infrared camera's frame
    x = baseline / np.linalg.norm(baseline)
    y = np.cross([0, 0, 1], x)
    y /= np.linalg.norm(y)
    R_infrared = np.array([x, y, np.cross(x, y)])
    R_rgb = R_infrared @ rotation.T
    P = np.array([[70.0, 0, 40, 0], [0, 70.0, 30, 0], [0, 0, 1, 0]])
    P_rgb = P.copy()
    P_rgb[0, 3] = -70.0 * np.linalg.norm(baseline)
    return camera(64, 48, focal=62.0, R=R_infrared, P=P), camera(R=R_rgb, P=P_rgb)


def test_the_camera_infos_of_a_stereo_pair_say_how_the_cameras_are_mounted() -> None:
    rotation, translation_m = plain_rotation(1, -2, 0.5), np.array([-0.12, 0.01, 0.02])
    found = stereo_extrinsics(*stereo_pair(rotation, translation_m))
    assert np.allclose(found.rotation, rotation, atol=1e-9)
    assert np.allclose(found.translation_m, translation_m, atol=1e-9)


def test_the_camera_infos_of_single_cameras_say_nothing_about_the_mounting() -> None:
    P = np.array([[70.0, 0, 40, 0], [0, 70.0, 30, 0], [0, 0, 1, 0]])
    assert stereo_extrinsics(camera(P=P), camera(P=P)) is None
    assert stereo_extrinsics(camera(), camera(P=P)) is None


def test_a_stereo_pairs_baseline_in_millimetres_is_refused() -> None:
    with pytest.raises(CalibrationError, match="metres are needed"):
        stereo_extrinsics(*stereo_pair(plain_rotation(1, -2, 0.5), np.array([-120.0, 10, 20])))


def test_a_calibration_keeps_what_it_has_and_takes_the_rest_from_the_cameras() -> None:
    own = RigCalibration(rgb=camera(focal=81.0))
    infrared, rgb = stereo_pair(plain_rotation(1, 2, 3), np.array([-0.1, 0.0, 0.0]))
    whole = own.completed(infrared=infrared, rgb=rgb)
    assert whole.rgb is own.rgb
    assert whole.infrared is infrared
    assert np.allclose(whole.extrinsics.translation_m, [-0.1, 0, 0])
    assert own.completed(infrared=infrared).extrinsics is None


def test_a_projection_that_is_singular_is_refused_by_its_name() -> None:
    flat = [[500, 0, 32, -50], [0, 500, 24, 0], [0, 0, 0, 0]]
    with pytest.raises(CalibrationError, match=r"P \(projection_matrix\) is singular"):
        stereo_extrinsics(camera(P=flat), camera(P=flat))
