# SPDX-License-Identifier: Apache-2.0
"""The lens of one number: there and back, as part of a homography and of its file."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from segmif_ros.rig.calibration import Homography, RigCalibration
from segmif_ros.rig.calibration_file import calibration_yaml, load_calibration
from segmif_ros.rig.errors import CalibrationError
from segmif_ros.rig.image_part import ImagePart
from segmif_ros.rig.lens import DivisionLens
from segmif_ros.rig.pixel_mapping import homography_mapping

CORNERS = np.array([(0.0, 0.0), (319.0, 0.0), (319.0, 239.0), (80.0, 60.0)])


def bent(strength: float = -0.06) -> Homography:
    lens = DivisionLens(centre=(159.5, 119.5), radius_px=160, strength=strength)
    matrix = [[2.0, 0.01, 5.0], [0.0, 2.0, -4.0], [0.0, 1e-5, 1.0]]
    return Homography(matrix=matrix, infrared_size=(320, 240), rgb_size=(640, 480), infrared_lens=lens)


@given(st.floats(-0.2, 0.15))
def test_a_lens_that_is_undone_and_applied_leaves_pixels_where_they_were(strength: float) -> None:
    lens = DivisionLens(centre=(159.5, 119.5), radius_px=160, strength=strength)
    plain, known = lens.undone(CORNERS)
    back, also = lens.applied(plain)
    assert known.all()
    assert also.all()
    assert back == pytest.approx(CORNERS, abs=1e-6)


def test_both_directions_of_a_homography_with_a_lens_agree() -> None:
    there = homography_mapping(bent(), "infrared").to_other(CORNERS)[0]
    back = homography_mapping(bent(), "rgb").to_other(there)[0]
    assert back == pytest.approx(CORNERS, abs=1e-6)
    assert np.abs(there - bent(0.0).to_rgb(CORNERS)).max() > 10


def test_the_lens_of_a_part_of_the_image_is_the_whole_ones() -> None:
    part = ImagePart(40, 30, (200, 150), (320, 240))
    cut = bent().of_parts(part, None)
    inside = np.array([(0.0, 0.0), (150.0, 100.0)])
    assert cut.to_rgb(inside) == pytest.approx(bent().to_rgb(inside + np.array([40, 30])), abs=1e-6)


def test_the_file_keeps_the_lens(tmp_path) -> None:
    file = tmp_path / "rig.yaml"
    file.write_text(calibration_yaml(RigCalibration(homography=bent())))
    read = load_calibration(file).homography
    assert read.to_rgb(CORNERS) == pytest.approx(bent().to_rgb(CORNERS), abs=1e-9)


@pytest.mark.parametrize("strength", [-0.9, 0.9])
def test_a_lens_that_folds_the_image_is_refused(strength: float) -> None:
    with pytest.raises(CalibrationError, match="folds"):
        bent(strength)


def test_a_lens_without_a_radius_is_refused() -> None:
    with pytest.raises(CalibrationError, match="radius_px is 0"):
        DivisionLens(centre=(1, 1), radius_px=0, strength=-0.1)
