# SPDX-License-Identifier: Apache-2.0
"""The horizon tells when the pitch is wrong."""

import numpy as np
import pytest
from grid_scenes import CAMERA, HERE, SKY, costs, street

from segmif_ros.grid.ground_view import GroundView
from segmif_ros.grid.mapper import horizon_problem
from segmif_ros.grid.poses import camera_pose
from segmif_ros.labels import FMB

TABLE = costs().for_names(FMB.names)


def _said(pitch_deg: float, labels: np.ndarray | None = None) -> str | None:
    labels = street() if labels is None else labels
    view = GroundView.of(CAMERA.K, camera_pose(1.0, pitch_deg), HERE)
    return horizon_problem(labels, np.full(labels.shape, 250, np.uint8), view, TABLE, SKY)


def test_a_horizon_where_it_should_be_is_no_problem() -> None:
    assert _said(0.0) is None
    assert _said(0.3) is None


@pytest.mark.parametrize(("pitch_deg", "words"), [(-6.0, "of the ground lies over"), (6.0, "of the sky lies below")])
def test_a_wrong_pitch_is_said_with_its_size_and_direction(pitch_deg: float, words: str) -> None:
    said = _said(pitch_deg)
    assert said is not None
    assert words in said


def test_labels_that_are_wrong_on_both_sides_are_no_horizon() -> None:
    labels = street()
    labels[120:160] = SKY
    labels[40:80] = FMB.id_of("road")
    assert _said(0.0, labels) is None
