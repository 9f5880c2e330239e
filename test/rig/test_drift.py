# SPDX-License-Identifier: Apache-2.0
"""Drift watch: finds what was moved, waits for several views, and stays quiet where a scene can't tell."""

import cv2
import numpy as np
import pytest

from segmif_ros.rig.drift import CONFIRMATIONS, MIN_VIEWS, DriftWatch, single_view_score
from segmif_ros.scenes import RoadScene


@pytest.fixture(scope="module")
def drive() -> list[tuple[np.ndarray, np.ndarray]]:
    frames = [RoadScene(seed, 120, 160, lighting="day").frame(1.0) for seed in range(12)]
    return [(each.infrared8, each.rgb) for each in frames]


def moved(image, dx, dy, roll_deg=0.0) -> np.ndarray:
    height, width = image.shape
    move = cv2.getRotationMatrix2D((0.5 * (width - 1), 0.5 * (height - 1)), -roll_deg, 1.0)
    move[:, 2] += (dx, dy)
    return cv2.warpAffine(image, move, (width, height), borderMode=cv2.BORDER_REPLICATE)


def watched(drive, dx=0.0, dy=0.0, roll_deg=0.0, **settings) -> DriftWatch:
    watch = DriftWatch(**settings)
    for infrared, rgb in drive:
        watch.add(moved(infrared, dx, dy, roll_deg), rgb)
    return watch


def test_registered_cameras_are_found_in_place(drive) -> None:
    found = watched(drive).estimate()
    assert found is not None
    assert found.moved_px < 1.0


def test_a_shift_is_found_with_its_direction(drive) -> None:
    found = watched(drive, 5, -3).estimate()
    assert found is not None
    assert found.shift_px == pytest.approx((5, -3), abs=0.8)
    assert found.roll_deg == 0


def test_a_roll_is_found_with_its_sign(drive) -> None:
    found = watched(drive, roll_deg=2.5).estimate()
    assert found is not None
    assert found.roll_deg == pytest.approx(2.5, abs=0.5)


def test_what_parallax_explains_is_no_drift(drive) -> None:
    watch = watched(drive, 4, 0, parallax=((-1.0, 0.0), (6.0, 0.0)))
    assert watch.estimate().moved_px < 1.0
    assert watched(drive, 0, 4, parallax=((-1.0, 0.0), (6.0, 0.0))).estimate().moved_px > 3.0


def test_a_view_that_stands_still_never_tells(drive) -> None:
    infrared, rgb = drive[0]
    watch = DriftWatch()
    assert watch.add(moved(infrared, 8, 0), rgb)
    assert not any(watch.add(moved(infrared, 8, 0), rgb) for _ in range(3 * MIN_VIEWS))
    assert watch.estimate() is None
    assert "different views" in watch.reason


def test_images_that_have_nothing_in_common_never_tell(drive) -> None:
    watch = DriftWatch()
    for i, (_, rgb) in enumerate(drive):
        watch.add(np.random.default_rng(i).integers(0, 255, rgb.shape[:2], dtype=np.uint8), rgb)
    assert watch.estimate() is None
    assert watch.reason


def test_moved_is_said_after_confirmation_and_taken_back_with_hysteresis(drive) -> None:
    watch = watched(drive, 6, 0, limit_px=3.0)
    said = []
    for _ in range(CONFIRMATIONS):
        watch.estimate()
        said.append(watch.moved)
    assert said == [*[False] * (CONFIRMATIONS - 1), True]
    watch.reset()
    assert watch.moved
    for infrared, rgb in drive:
        watch.add(moved(infrared, 2.5, 0), rgb)  # below the limit, but not by enough
    assert [watch.estimate() and watch.moved for _ in range(CONFIRMATIONS + 1)][-1]


def test_another_size_begins_anew(drive) -> None:
    watch = watched(drive)
    infrared, rgb = drive[0]
    watch.add(cv2.resize(infrared, (320, 240)), cv2.resize(rgb, (320, 240)))
    assert watch.estimate() is None


def test_one_view_scores_higher_the_farther_it_is_displaced(drive) -> None:
    scores = [
        np.mean([single_view_score(moved(infrared, shift, 0), rgb) for infrared, rgb in drive]) for shift in (0, 2, 6)
    ]
    assert scores[0] < scores[1] < scores[2]
