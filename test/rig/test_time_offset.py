# SPDX-License-Identifier: Apache-2.0
"""The time offset between two cameras that see one motion: found to a part of a frame, or not at all, with a reason."""

import itertools
import re

import cv2
import numpy as np
import pytest

from segmif_ros.rig.time_offset import TimeOffsetEstimator

NS = 1_000_000_000
START_NS = 1_700_000_000 * NS


class Drive:
    """A camera pans over a wall at a pace that changes at random, and each of the two sees its own texture of it."""

    def __init__(self, seed=0, *, seconds=10.0, pace=None) -> None:
        rng = np.random.default_rng(seed)
        self.seconds = seconds
        self._rng = rng
        fine = np.arange(0, seconds + 1, 0.001)
        knots = np.arange(0, seconds + 2, 0.1)
        speed = np.interp(fine, knots, rng.gamma(1.0, 15.0, knots.size)) if pace is None else pace(fine)
        self._position = fine, np.cumsum(speed) * 0.001
        shared, own = (cv2.GaussianBlur(rng.normal(size=(36, 800)), (0, 0), 1.5) for _ in range(2))
        self._rgb = 120 + 100 * shared
        # hot where it is dark, and patches that no colour tells
        self._infrared = 7000 - 1500 * shared + 1000 * own

    def image(self, camera, t_s, noise=0.02) -> np.ndarray:
        texture = self._rgb if camera == "rgb" else self._infrared
        at = float(np.interp(t_s, *self._position))
        left, share = int(at), at % 1
        clean = texture[:, left : left + 48] * (1 - share) + texture[:, left + 1 : left + 49] * share
        noisy = clean + noise * texture.std() * self._rng.normal(size=clean.shape)
        if camera == "infrared":
            return noisy.astype(np.uint16)
        return np.repeat(np.clip(noisy, 0, 255).astype(np.uint8)[..., None], 3, axis=2)

    def fill(
        self, estimator, *, offset_s=0.0, infrared_hz=30.0, rgb_hz=30.0, lost=0.0, jitter_s=0.0, **options
    ) -> None:
        for camera, hz, late_s, add in (
            ("infrared", infrared_hz, offset_s, estimator.add_infrared),
            ("rgb", rgb_hz, 0.0, estimator.add_rgb),
        ):
            for t in np.arange(0.013 if camera == "infrared" else 0.0, self.seconds, 1 / hz):
                if self._rng.random() >= lost:
                    stamp_s = t + late_s + jitter_s * self._rng.normal()
                    add(START_NS + round(stamp_s * NS), self.image(camera, t, **options))


CASES = {
    "none": {"offset_s": 0.0},
    "late infrared": {"offset_s": 0.04},
    "late RGB": {"offset_s": -0.125},
    "a slow infrared camera": {"offset_s": 0.21, "infrared_hz": 9.0},
    "two rates, jittering stamps, lost frames": {
        "offset_s": 0.033,
        "infrared_hz": 25.0,
        "jitter_s": 0.002,
        "lost": 0.1,
    },
    "noise": {"offset_s": 0.06, "noise": 0.3},
}


@pytest.mark.parametrize("case", CASES.values(), ids=CASES)
def test_an_offset_is_found_to_a_part_of_a_frame(case) -> None:
    estimator = TimeOffsetEstimator()
    Drive(seconds=14.0).fill(estimator, **case)
    found = estimator.estimate()
    assert found is not None, estimator.reason
    assert found.offset_s == pytest.approx(case["offset_s"], abs=0.01)
    assert found.correlation > 0.5
    assert found.peak_ratio > 1.5
    assert found.spread_s <= 0.015
    assert estimator.reason == ""


def test_brightness_that_pumps_is_no_motion() -> None:
    drive, estimator = Drive(), TimeOffsetEstimator()

    class Pumping:
        add_rgb = staticmethod(estimator.add_rgb)
        count = itertools.count()

        def add_infrared(self, stamp_ns, image) -> None:
            step = next(self.count) // 20 % 3
            estimator.add_infrared(stamp_ns, (image * (0.6 + 0.2 * step)).astype(np.float32))

    drive.fill(Pumping(), offset_s=0.05)
    found = estimator.estimate()
    assert found is not None, estimator.reason
    assert found.offset_s == pytest.approx(0.05, abs=0.01)


UNKNOWN = {
    "a still scene": (Drive(pace=np.zeros_like), {}, r"don't move together .*: is there any motion"),
    "steady motion": (Drive(pace=lambda t: 20 + 0 * t), {}, "don't move together"),
    "motion that repeats itself": (
        Drive(pace=lambda t: 25 * (1 + np.sin(2 * np.pi * 4 * t))),
        {"offset_s": 0.02},
        "several offsets fit about as well .*the motion repeats itself",
    ),
    "an offset beyond the search": (Drive(), {"offset_s": 0.8}, "don't move together"),
    "clocks that don't agree": (Drive(), {"offset_s": 3600.0}, r"stamps have 0.0 s in common"),
    "a short time": (Drive(seconds=4.0), {}, r"stamps have 3.\d s in common: 6 s are needed"),
    "hardly a frame": (Drive(seconds=0.5), {}, r"only 1\d infrared frames so far"),
}


@pytest.mark.parametrize(("drive", "options", "reason"), UNKNOWN.values(), ids=UNKNOWN)
def test_what_the_images_do_not_tell_is_not_guessed(drive, options, reason) -> None:
    estimator = TimeOffsetEstimator()
    drive.fill(estimator, **options)
    assert estimator.estimate() is None
    assert len(estimator.reason.splitlines()) == 1
    assert re.search(reason, estimator.reason), estimator.reason


@pytest.mark.parametrize("seed", range(5))
def test_two_cameras_that_see_different_things_have_no_offset(seed) -> None:
    estimator = TimeOffsetEstimator()
    one, other = Drive(seed), Drive(seed + 100)
    for t in np.arange(0, 10, 1 / 30):
        estimator.add_infrared(START_NS + round(t * NS), one.image("infrared", t))
        estimator.add_rgb(START_NS + round(t * NS), other.image("rgb", t))
    assert estimator.estimate() is None
    assert "don't move together" in estimator.reason


def test_an_offset_that_changes_half_way_is_not_averaged() -> None:
    estimator, drive = TimeOffsetEstimator(), Drive(seconds=16.0)
    for t in np.arange(0, 16, 1 / 30):
        late_s = 0.02 if t < 8 else 0.08
        estimator.add_infrared(START_NS + round((t + late_s) * NS), drive.image("infrared", t))
        estimator.add_rgb(START_NS + round(t * NS), drive.image("rgb", t))
    assert estimator.estimate() is None
    assert "the offset isn't certain" in estimator.reason


def test_a_step_back_of_the_stamps_starts_anew() -> None:
    """As a bag that loops: what came before doesn't count."""
    estimator = TimeOffsetEstimator()
    Drive(1, seconds=9.0).fill(estimator, offset_s=-0.1)
    Drive(2, seconds=9.0).fill(estimator, offset_s=0.05)
    assert estimator.estimate().offset_s == pytest.approx(0.05, abs=0.01)


def test_the_window_forgets_what_is_old() -> None:
    estimator = TimeOffsetEstimator(window_s=2.0)
    Drive(seconds=4.0).fill(estimator)
    assert estimator._infrared.count <= 61
    assert estimator.estimate() is None


def test_reset_forgets_everything() -> None:
    estimator = TimeOffsetEstimator()
    Drive().fill(estimator)
    estimator.reset()
    assert estimator.estimate() is None
    assert estimator.reason == "only 0 infrared frames so far"


def test_a_frame_that_comes_twice_or_late_changes_nothing() -> None:
    once, twice, drive = TimeOffsetEstimator(), TimeOffsetEstimator(), Drive()
    images = [(START_NS + round(t * NS), drive.image("infrared", t)) for t in np.arange(0, 2, 1 / 30)]
    for number, frame in enumerate(images):
        once.add_infrared(*frame)
        twice.add_infrared(*frame)
        twice.add_infrared(*images[max(number - 1, 0)])
    assert once._infrared._values == twice._infrared._values


def test_a_resolution_that_changes_in_flight_costs_one_step() -> None:
    estimator, drive = TimeOffsetEstimator(), Drive()
    for number, t in enumerate(np.arange(0, 1, 1 / 30)):
        image = drive.image("infrared", t)
        estimator.add_infrared(START_NS + round(t * NS), image if number < 15 else image[:12])
    assert estimator._infrared.count == 28


def test_temperatures_with_missing_values_are_taken() -> None:
    estimator = TimeOffsetEstimator()
    image = np.full((24, 32), 300.0, np.float32)
    image[0, 0] = np.nan
    for number in range(3):
        estimator.add_infrared(START_NS + number * NS // 30, image + number % 2)
    assert np.isfinite([each[2:] for each in estimator._infrared._values]).all()


@pytest.mark.parametrize("shape", [(1, 64), (48, 1), (1, 1), (2, 4000), (4, 640), (1, 4000), (1000, 3), (7, 7)])
def test_images_too_thin_to_show_a_motion_are_left_out(shape) -> None:
    estimator = TimeOffsetEstimator()
    for i in range(3):
        for add in (estimator.add_infrared, estimator.add_rgb):
            add(START_NS + i * NS // 30, np.full(shape, i, np.uint8))
    assert estimator.estimate() is None
