# SPDX-License-Identifier: Apache-2.0
"""Health of one camera: each fault is found within a second, and what is no fault isn't called one."""

import cv2
import numpy as np
import pytest

from segmif_ros.imaging.compressed import CompressedBuffer
from segmif_ros.imaging.crop import Crop
from segmif_ros.imaging.encodings import ImageBuffer
from segmif_ros.imaging.look import look
from segmif_ros.stream import camera_health
from segmif_ros.stream.camera_health import CameraHealth, Condition, HealthConfig

S = 1_000_000_000
PERIOD = S // 10
HEIGHT, WIDTH = 60, 80


def buffer(image, encoding="mono8", **more) -> ImageBuffer:
    return ImageBuffer(
        encoding=encoding, height=image.shape[0], width=image.shape[1], step=0, is_bigendian=False, data=image.tobytes()
    )


def scene(number: int, camera: str = "infrared") -> np.ndarray:
    """Return a picture with detail that moves, and noise."""
    rng = np.random.default_rng(number)
    x, y = np.meshgrid(np.arange(WIDTH) + 3 * number, np.arange(HEIGHT))
    picture = 120 + 60 * np.sin(x / 3) * np.cos(y / 5) + rng.normal(0, 1, (HEIGHT, WIDTH))
    grey = np.clip(picture, 0, 255).astype(np.uint8)
    return grey if camera == "infrared" else np.dstack([grey, grey, grey])


class Camera:
    """Ten frames a second into a `CameraHealth`, by a clock of its own."""

    def __init__(self, camera="infrared", config=None) -> None:
        self.health = CameraHealth(camera, config)
        self.camera = camera
        self.now_ns = 0
        self.count = 0

    def show(self, image=None, *, encoding=None, stamp_ns=None) -> Condition:
        self.now_ns += PERIOD
        self.count += 1
        picture = scene(self.count, self.camera) if image is None else image
        encoding = encoding or ("mono8" if picture.ndim == 2 else "rgb8")
        self.health.sees(buffer(picture, encoding), self.now_ns, self.now_ns if stamp_ns is None else stamp_ns)
        return self.health.condition(self.now_ns)

    def live(self, frames=20) -> "Camera":
        for _ in range(frames):
            assert self.show() is Condition.OK
        return self

    def seconds_until(self, condition: Condition, image_of, limit=10) -> float:
        for number in range(1, limit + 1):
            if self.show(image_of(number)) is condition:
                return number * PERIOD / S
        raise AssertionError(f"{condition!r} was not found: {self.health.condition(self.now_ns)!r}")


def test_a_camera_that_moves_and_has_detail_is_well() -> None:
    assert Camera().live().show() is Condition.OK


def fogged(number: int) -> np.ndarray:
    return np.clip(170 + 0.12 * (scene(number).astype(float) - 170), 0, 255).astype(np.uint8)


FAULTS = {
    Condition.FROZEN: lambda _number: scene(0),
    Condition.FLAT: lambda number: np.full((HEIGHT, WIDTH), 90 + number, np.uint8),
    Condition.BLACK: lambda number: np.full((HEIGHT, WIDTH), number % 3, np.uint8),
    Condition.WHITE: lambda number: np.full((HEIGHT, WIDTH), 255 - number % 3, np.uint8),
    Condition.BLURRED: fogged,
    Condition.GLARE: lambda number: np.where(np.arange(WIDTH) < 60, 255, scene(number)).astype(np.uint8),
}


@pytest.mark.parametrize("condition", FAULTS, ids=lambda each: each.name.lower())
def test_each_fault_of_the_picture_is_found_within_a_second(condition: Condition) -> None:
    # RGB, for which a narrow range is no shutter
    camera = Camera("rgb").live()
    picture = FAULTS[condition]
    assert camera.seconds_until(condition, lambda n: np.dstack([picture(n)] * 3)) <= 1.0


@pytest.mark.parametrize("condition", FAULTS, ids=lambda each: each.name.lower())
def test_each_fault_of_the_picture_ends_within_a_second(condition: Condition) -> None:
    camera = Camera("rgb").live()
    picture = FAULTS[condition]
    camera.seconds_until(condition, lambda n: np.dstack([picture(n)] * 3))
    assert camera.seconds_until(Condition.OK, lambda n: scene(100 + n, "rgb")) <= 1.0


def test_a_single_odd_frame_changes_nothing() -> None:
    camera = Camera().live()
    assert camera.show(np.zeros((HEIGHT, WIDTH), np.uint8)) is Condition.OK
    camera.live(5)


def test_a_shutter_before_a_raw_thermal_camera_is_found_by_the_collapse_of_its_range() -> None:
    camera = Camera()

    def raw(number: int) -> np.ndarray:
        return (7000 + 8 * scene(number).astype(int)).astype(np.uint16)

    def shutter(number: int) -> np.ndarray:
        return np.random.default_rng(number).integers(7500, 7512, (HEIGHT, WIDTH)).astype(np.uint16)

    for number in range(20):
        assert camera.show(raw(number), encoding="mono16") is Condition.OK
    found = [camera.show(shutter(number), encoding="mono16") for number in range(10)]
    assert Condition.SHUTTER in found


def test_another_gain_of_a_raw_thermal_camera_is_no_fault() -> None:
    camera = Camera()
    for number in range(40):
        image = (7000 + (8 if number < 20 else 3) * scene(number).astype(int)).astype(np.uint16)
        assert camera.show(image, encoding="mono16") is Condition.OK


def test_a_stamp_that_stands_still_is_found_within_a_second() -> None:
    camera = Camera().live()
    found = [camera.show(stamp_ns=5) for _ in range(10)]
    assert found[-1] is Condition.STAMP_STUCK


def test_silence_is_found_by_time_alone() -> None:
    camera = Camera().live()
    assert camera.health.condition(camera.now_ns + 4 * PERIOD) is Condition.OK
    assert camera.health.condition(camera.now_ns + S) is Condition.SILENT
    assert "no frame for 1.0 s" in camera.health.line(Condition.SILENT, camera.now_ns + S)


def test_a_slow_camera_is_not_silent_between_its_frames() -> None:
    camera = Camera()
    for number in range(5):
        camera.health.sees(buffer(scene(number)), number * S, number * S)
    assert camera.health.condition(4 * S + int(1.9 * S)) is Condition.OK


def test_a_camera_that_comes_back_is_watched_for_a_moment_before_it_is_trusted() -> None:
    camera = Camera().live()
    camera.now_ns += 2 * S
    found = [camera.show() for _ in range(8)]
    assert found[0] is Condition.SILENT
    assert found[-1] is Condition.OK


def test_a_frozen_picture_can_be_allowed_for_a_simulation_without_noise() -> None:
    camera = Camera(config=HealthConfig(frozen_after_s=0.0))
    still = scene(0)
    assert {camera.show(still) for _ in range(20)} == {Condition.OK}


def test_a_driver_that_repeats_each_frame_three_times_is_not_frozen() -> None:
    camera = Camera()
    assert {camera.show(scene(number // 3)) for number in range(30)} == {Condition.OK}


def test_frames_that_cannot_be_decoded_make_a_camera_unreadable() -> None:
    camera = Camera().live()
    broken = ImageBuffer(encoding="mono8", height=9, width=9, step=0, is_bigendian=False, data=b"12")
    for _ in range(6):
        camera.now_ns += PERIOD
        camera.health.sees(broken, camera.now_ns, camera.now_ns)
    assert camera.health.condition(camera.now_ns) is Condition.UNREADABLE


def test_a_collapse_of_detail_that_lasts_is_taken_for_usual_in_minutes() -> None:
    camera = Camera("rgb").live()
    found = [camera.show(np.dstack([fogged(number)] * 3)) for number in range(6000)]
    assert found[20] is Condition.BLURRED
    assert found[-1] is Condition.OK


@pytest.mark.parametrize("suffix", [".jpg", ".png"])
def test_compressed_images_are_looked_at_as_well(suffix: str) -> None:
    health = CameraHealth("infrared")
    for number in range(20):
        image = np.full((HEIGHT, WIDTH), 90, np.uint8) if number >= 10 else scene(number)
        data = cv2.imencode(suffix, image)[1].tobytes()
        health.sees(CompressedBuffer(format=suffix[1:], data=data), number * PERIOD, number * PERIOD)
        if number < 10:
            assert health.condition(number * PERIOD) is Condition.OK
    assert health.condition(19 * PERIOD) in (Condition.SHUTTER, Condition.FLAT)


@pytest.mark.parametrize("encoding", ["rgb8", "bgra8", "nv12", "yuyv", "bayer_rggb8", "mono16", "32FC1", "rgb16"])
def test_every_encoding_can_be_looked_at(encoding: str) -> None:
    channels = {"rgb8": 3, "bgra8": 4, "yuyv": 2, "mono16": 2, "32FC1": 4, "rgb16": 6, "nv12": 1.5}.get(encoding, 1)
    data = np.random.default_rng(0).integers(0, 60, int(HEIGHT * WIDTH * channels)).astype(np.uint8)
    image = ImageBuffer(encoding=encoding, height=HEIGHT, width=WIDTH, step=0, is_bigendian=True, data=data.tobytes())
    camera = "infrared" if encoding in ("mono16", "32FC1") else "rgb"
    seen = look(image, camera)
    assert seen is not None
    assert seen.width > 0


def test_infrared_with_dead_pixels_and_nothing_else_is_flat() -> None:
    image = np.full((HEIGHT, WIDTH), np.nan, np.float32)
    seen = look(buffer(image, "32FC1"), "infrared")
    assert seen is not None
    assert seen.width == 0.0


def test_rows_of_telemetry_do_not_hide_that_the_picture_stands_still() -> None:
    camera = Camera().live()
    camera.health.crop = Crop(bottom=2)
    found = []
    for number in range(10):
        image = scene(0)
        image[-2:] = number * 20
        found.append(camera.show(image))
    assert found[-1] is Condition.FROZEN


def test_frames_that_come_all_at_once_after_a_pause_leave_a_slow_camera_its_rhythm() -> None:
    health, now_ns = CameraHealth("rgb"), 0
    for number in range(1, 31):
        now_ns += S if number < 20 or number > 25 else S // 1000
        picture = np.dstack([scene(number)] * 3)
        health.sees(buffer(picture, "rgb8"), now_ns, number * S)
        # its rhythm has to be learned first
        assert number < 10 or health.condition(now_ns + S * 9 // 10) is Condition.OK


@pytest.fixture
def looks(monkeypatch) -> list[int]:
    """Return a list that grows by one with every look at a picture."""
    taken: list[int] = []

    def counted(*args):
        taken.append(len(taken))
        return look(*args)

    monkeypatch.setattr(camera_health, "look", counted)
    return taken


@pytest.mark.parametrize(("rate_hz", "share"), [(60, 1 / 6), (30, 1 / 3), (15, 2 / 3), (10, 1.0), (5, 1.0)])
def test_a_picture_is_looked_at_ten_times_a_second_at_most(looks: list[int], rate_hz: int, share: float) -> None:
    health, image = CameraHealth("infrared"), buffer(scene(0))
    for number in range(60):
        health.sees(image, number * S // rate_hz, number)
    assert len(looks) == pytest.approx(60 * share, abs=2)


def test_jitter_costs_a_camera_of_ten_frames_a_second_one_look_at_most(looks: list[int]) -> None:
    health, image, rng = CameraHealth("infrared"), buffer(scene(0)), np.random.default_rng(0)
    for number in range(100):
        health.sees(image, int(number * PERIOD + rng.uniform(0, 0.4) * PERIOD), number)
    assert len(looks) >= 99


def test_a_clock_that_is_set_back_does_not_stop_the_looks(looks: list[int]) -> None:
    health, image = CameraHealth("infrared"), buffer(scene(0))
    for now_ns in (1000 * S, 5 * S, 5 * S + PERIOD):
        health.sees(image, now_ns, now_ns)
    assert len(looks) == 3


@pytest.mark.parametrize("condition", FAULTS, ids=lambda each: each.name.lower())
def test_each_fault_of_a_fast_camera_is_found_as_soon(condition: Condition) -> None:
    health, picture = CameraHealth("rgb"), FAULTS[condition]
    for number in range(1, 90):
        now_ns = number * S // 30
        image = scene(number, "rgb") if number <= 60 else np.dstack([picture(number - 60)] * 3)
        health.sees(buffer(image, "rgb8"), now_ns, now_ns)
        assert number > 60 or health.condition(now_ns) is Condition.OK
        if health.condition(now_ns) is condition:
            break
    assert 0 < number - 60 <= 0.75 * 30


def test_a_picture_that_moves_again_before_it_is_looked_at_is_not_frozen() -> None:
    health = CameraHealth("infrared")
    for number in range(1, 60):
        now_ns = number * S // 30
        # still for 0.43 s, five looks
        health.sees(buffer(scene(30 if 30 <= number <= 43 else number)), now_ns, now_ns)
        assert health.condition(now_ns) is Condition.OK
