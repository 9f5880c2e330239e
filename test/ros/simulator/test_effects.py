# SPDX-License-Identifier: Apache-2.0
"""What goes wrong with the simulated cameras' images on their way out."""

import numpy as np

from segmif_ros.ros.simulator.config import RigConfig
from segmif_ros.ros.simulator.effects import make_effects
from segmif_ros.ros.simulator.schedule import INFRARED, RGB, Shot


def shot(camera) -> Shot:
    return Shot(camera=camera, due_ns=0, stamp_ns=0, dropped=False)


def spot() -> np.ndarray:
    image = np.zeros((48, 64), np.uint16)
    image[22:27, 30:35] = 4000
    return image


def middle_of(image) -> np.ndarray:
    v, u = np.nonzero(image > 2000)
    return np.array([u.mean(), v.mean()])


def test_without_parameters_there_is_no_effect() -> None:
    assert make_effects(RigConfig(), 60.0) == []


def test_a_bent_bracket_moves_the_infrared_image_alone() -> None:
    (bracket,) = make_effects(RigConfig(bracket_yaw_deg=5.0), 60.0)
    moved = middle_of(bracket.apply(shot(INFRARED), spot(), 0.0)) - middle_of(spot())
    np.testing.assert_allclose(moved, [-60 * np.tan(np.radians(5.0)), 0], atol=0.6)  # it looks right: things go left
    image = spot()
    assert bracket.apply(shot(RGB), image, 0.0) is image


def test_a_drifting_bracket_moves_on_with_time() -> None:
    (bracket,) = make_effects(RigConfig(bracket_drift_deg_per_min=6.0), 60.0)
    early, late = (middle_of(bracket.apply(shot(INFRARED), spot(), t_s))[0] for t_s in (0.0, 50.0))
    assert early - late > 4


def test_a_shutter_event_freezes_infrared_and_shifts_its_counts_afterwards() -> None:
    (shutter,) = make_effects(RigConfig(shutter_period_s=10.0, shutter_s=0.5, seed=1), 60.0)
    images = [np.full((4, 4), 1000 + k, np.uint16) for k in range(3)]
    before = shutter.apply(shot(INFRARED), images[0], 9.9)
    during = shutter.apply(shot(INFRARED), images[1], 10.2)
    after = shutter.apply(shot(INFRARED), images[2], 10.6)
    assert during is before
    assert np.ptp(after) == 0
    assert int(after[0, 0]) != 1002
