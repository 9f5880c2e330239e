# SPDX-License-Identifier: Apache-2.0
"""A homography from chosen points: found, checked, and refused in words."""

import cv2
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from segmif_ros.rig.calibrating.clicked_points import calibrate_points, read_points
from segmif_ros.rig.errors import CalibrationError

TRUE = np.array([[1.9, 0.05, 31.0], [-0.04, 1.95, 12.0], [1e-5, -2e-5, 1.0]])
SIZES = (320, 256), (640, 512)


def pairs(count=8, seed=0) -> np.ndarray:
    there = np.random.default_rng(seed).uniform((10, 10), (300, 240), (count, 2))
    return np.hstack([there, cv2.perspectiveTransform(there[:, None], TRUE)[:, 0]])


def test_the_homography_of_exact_points_is_found() -> None:
    result = calibrate_points(pairs(), *SIZES)
    np.testing.assert_allclose(result.calibration.homography.to_rgb([[100, 90]]), pairs_at(100, 90), atol=1e-3)
    assert result.verdict.startswith("good: 0.0 px")


def pairs_at(u, v) -> np.ndarray:
    return cv2.perspectiveTransform(np.array([[[u, v]]], np.float64), TRUE)[0]


def test_a_wrong_pair_is_left_out_by_number() -> None:
    points = pairs(9)
    points[4, 2:] -= 80 * np.sign(points[4, 2:] - 250)
    result = calibrate_points(points, *SIZES)
    assert "pair 5" in result.verdict
    assert result.residuals_px[result.used].max() < 0.1


def test_four_pairs_are_said_to_be_unchecked() -> None:
    assert "unchecked" in calibrate_points(pairs(4, seed=3), *SIZES).verdict


@pytest.mark.parametrize(
    ("points", "told"),
    [
        (pairs(3), "4 at least"),
        (np.column_stack([np.arange(5.0) * 10, np.arange(5.0) * 10, np.arange(5.0) * 20, np.arange(5.0) * 20]), "line"),
        (pairs(8)[:, [2, 3, 0, 1]], "outside"),
    ],
)
def test_points_that_tell_nothing_are_refused(points, told) -> None:
    with pytest.raises(CalibrationError, match=told):
        calibrate_points(points, *SIZES)


def test_a_file_may_hold_commas_and_comments(tmp_path) -> None:
    path = tmp_path / "points.txt"
    path.write_text("# infrared, RGB\n1, 2, 3, 4\n\n5 6 7.5 8  # a lamp\n")
    np.testing.assert_array_equal(read_points(path), [[1, 2, 3, 4], [5, 6, 7.5, 8]])


def test_a_bad_line_is_named(tmp_path) -> None:
    path = tmp_path / "points.txt"
    path.write_text("1 2 3 4\n1 2 3\n")
    with pytest.raises(CalibrationError, match=r"points.txt: line 2: four numbers"):
        read_points(path)


@given(st.text(max_size=80))
def test_whatever_a_file_holds_it_is_read_or_refused_in_one_line(text) -> None:
    import tempfile
    from pathlib import Path

    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "p.txt"
        path.write_text(text, encoding="utf-8", errors="replace")
        try:
            assert read_points(path).shape[1] == 4
        except CalibrationError as error:
            assert "\n" not in str(error)
