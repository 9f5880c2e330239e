# SPDX-License-Identifier: Apache-2.0
"""The drift watch beside the node: looks once a second, tells what moved, corrects within bounds."""

import numpy as np
import pytest

pytest.importorskip("rclpy", reason="no ROS 2 here")

import cv2

from segmif_ros.rig.calibration import Extrinsics, RigCalibration
from segmif_ros.rig.camera_model import CameraModel
from segmif_ros.rig.registration import Registered, Registration, RegistrationConfig
from segmif_ros.ros.registration_watch import RegistrationWatch, WatchSettings, parallax_of


def pair(seed, right=0.0) -> Registered:
    rng = np.random.default_rng(seed)
    image = np.full((120, 160), 100, np.uint8)
    for _ in range(40):
        (x, y), (w, h) = rng.integers(0, (160, 120)), rng.integers(8, 40, 2)
        cv2.rectangle(image, (int(x), int(y)), (int(x + w), int(y + h)), int(rng.integers(0, 255)), -1)
    move = np.float32([[1, 0, right], [0, 1, 0]])
    infrared = cv2.warpAffine(255 - image, move, (160, 120), borderMode=cv2.BORDER_REPLICATE)
    return Registered(infrared=infrared, rgb=np.dstack([image] * 3))


def watching(**settings) -> tuple[RegistrationWatch, list]:
    corrections: list = []
    watch = RegistrationWatch(corrections.append, lambda: 0)
    watch._settings = WatchSettings(on=True, **settings)
    return watch, corrections


def test_moved_cameras_are_told_in_words_with_the_size_of_it() -> None:
    watch, corrections = watching()
    for seed in range(12):
        watch.look(pair(seed, right=6))
    assert "the cameras moved by about 6 px since calibration: recalibrate" in watch.problem().line
    assert float(watch.values()["misregistration_px"]) == pytest.approx(6, abs=0.5)
    assert not corrections


def test_cameras_in_place_are_no_problem() -> None:
    watch, _ = watching()
    for seed in range(12):
        watch.look(pair(seed))
    assert watch.problem() is None
    assert float(watch.values()["misregistration_px"]) < 1


def test_refinement_goes_in_small_steps_towards_the_shift_and_stops_at_the_bound() -> None:
    watch, corrections = watching(refine_px=1.2)
    for seed in range(40):
        watch.look(pair(seed, right=6))
    assert corrections[:3] == [
        (0.5, pytest.approx(0, abs=0.5)),
        (1.0, pytest.approx(0, abs=1)),
        (1.2, pytest.approx(0, abs=1.2)),
    ]
    assert watch.correction_px[0] == 1.2


def test_only_one_pair_a_second_is_taken_and_none_while_it_is_off() -> None:
    now = [0]
    watch = RegistrationWatch(lambda _: None, lambda: now[0])
    watch.see(pair(0))
    assert watch._pair is None
    watch._settings = WatchSettings(on=True)
    watch.see(first := pair(1))
    now[0] = 900_000_000
    watch.see(pair(2))
    assert watch._pair is first


def test_the_parallax_of_a_plane_is_tolerated() -> None:
    K = np.array([[300.0, 0, 159.5], [0, 300, 119.5], [0, 0, 1]])
    cam = CameraModel(width=320, height=240, K=K)
    mount = Extrinsics(rotation=np.eye(3), translation_m=np.array([0.1, 0.0, 0.0]))
    calibration = RigCalibration(infrared=cam, rgb=cam, extrinsics=mount)
    far, near = parallax_of(Registration(RegistrationConfig(mode="stereo", reference_depth_m=10.0), calibration))
    assert far == (pytest.approx(3.0, abs=0.05), pytest.approx(0, abs=1e-6))
    assert near == (pytest.approx(-7.0, abs=0.1), pytest.approx(0, abs=1e-6))
    config = RegistrationConfig(mode="stereo", view="infrared", reference_depth_m=10.0)
    assert parallax_of(Registration(config, calibration))[0] == (
        pytest.approx(3.0, abs=0.05),
        pytest.approx(0, abs=1e-6),
    )
    assert parallax_of(None) == ((0.0, 0.0), (0.0, 0.0))


def test_another_registration_begins_anew_with_the_correction_that_is_in_it() -> None:
    watch, _ = watching()
    for seed in range(12):
        watch.look(pair(seed, right=6))
    watch.use(WatchSettings(on=False), None, anew=True, correction_px=(1.5, 0.0))
    assert watch.problem() is None
    assert watch.correction_px == (1.5, 0.0)
