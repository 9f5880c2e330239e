# SPDX-License-Identifier: Apache-2.0
"""The time offset beside the node's work: what is looked at, and what is reported."""

import cv2
import numpy as np
import pytest

from segmif_ros.imaging.compressed import CompressedBuffer
from segmif_ros.imaging.crop import Crop
from segmif_ros.imaging.encodings import ImageBuffer
from segmif_ros.ros.time_offset_watch import PERIOD_NS, TimeOffsetWatch
from segmif_ros.stream.processing import DecodeConfig, Frame

START_NS = 1_700_000_000_000_000_000


def raw(pixels) -> ImageBuffer:
    height, width = pixels.shape
    return ImageBuffer(
        encoding="mono8", height=height, width=width, step=width, is_bigendian=False, data=pixels.tobytes()
    )


def png(pixels) -> CompressedBuffer:
    return CompressedBuffer(format="mono8; png compressed ", data=cv2.imencode(".png", pixels)[1].tobytes())


def drive(watch, *, late_s, pack) -> None:
    """Both cameras pan over a wall at a changing pace; the infrared driver stamps late."""
    rng = np.random.default_rng(3)
    wall = np.repeat(np.repeat(rng.integers(0, 255, (18, 500), dtype=np.uint8), 2, axis=0), 2, axis=1)
    pace = np.interp(np.arange(0, 10, 0.001), np.arange(0, 11, 0.1), rng.gamma(1.0, 20.0, 110))
    position = np.cumsum(pace) * 0.001
    for t in np.arange(0, 9, 1 / 30):
        at = round(position[int(1000 * t)])
        image = np.ascontiguousarray(wall[:, at : at + 48])
        for camera, pixels, later_s in (("infrared", 255 - image, late_s), ("rgb", image, 0.0)):
            stamp_ns = START_NS + round((t + later_s) * 1e9)
            watch.see(camera, Frame(stamp_ns=stamp_ns, frame_id="", image=pack(pixels)))


@pytest.mark.parametrize("pack", [raw, png])
def test_an_offset_that_the_images_show_is_reported_and_warned_of(pack) -> None:
    watch = TimeOffsetWatch()
    drive(watch, late_s=0.06, pack=pack)
    watch.look(0)
    assert float(watch.values()["time_offset_estimate_ms"]) == pytest.approx(60, abs=10)
    assert watch.values()["time_offset_estimate_quality"].startswith("correlation 0.")
    line = watch.problem(0.0).line
    assert line.startswith("the images move as if infrared stamps were ")
    assert " ms late (correlation 0." in line
    assert "set time_offset_s to 0.0" in line


def test_an_offset_that_is_taken_off_already_is_no_problem() -> None:
    watch = TimeOffsetWatch()
    drive(watch, late_s=-0.06, pack=raw)
    watch.look(0)
    assert " ms early" in watch.problem(0.0).line
    assert watch.problem(-0.06) is None


def test_without_an_estimate_the_reason_is_reported() -> None:
    watch = TimeOffsetWatch()
    watch.look(0)
    assert watch.values() == {
        "time_offset_estimate_ms": "",
        "time_offset_estimate_quality": "none: only 0 infrared frames so far",
    }
    assert watch.problem(0.0) is None


def test_estimates_are_made_from_time_to_time_and_not_always() -> None:
    watch = TimeOffsetWatch()
    watch.look(0)
    drive(watch, late_s=0.06, pack=raw)
    watch.look(PERIOD_NS - 1)
    assert watch.values()["time_offset_estimate_ms"] == ""
    watch.look(PERIOD_NS)
    assert watch.values()["time_offset_estimate_ms"] != ""


def test_frames_that_cannot_be_decoded_are_passed_over() -> None:
    watch = TimeOffsetWatch()
    broken = ImageBuffer(encoding="mono8", height=4, width=4, step=4, is_bigendian=False, data=b"short")
    watch.see("rgb", Frame(stamp_ns=1, frame_id="", image=broken))
    watch.look(0)
    assert watch.values()["time_offset_estimate_ms"] == ""


def test_reset_forgets_what_was_found() -> None:
    watch = TimeOffsetWatch()
    drive(watch, late_s=0.06, pack=raw)
    watch.look(0)
    watch.reset()
    assert watch.problem(0.0) is None


def test_rows_of_telemetry_are_no_part_of_the_motion() -> None:
    """Counters at the bottom change in each frame; without them both cameras agree."""
    watch = TimeOffsetWatch()
    watch.decoding = DecodeConfig(infrared_crop=Crop(bottom=2))
    seen = []
    watch._estimator.add_infrared = lambda _stamp_ns, pixels: seen.append(pixels)
    picture = np.arange(48, dtype=np.uint8).reshape(6, 8)
    watch.see("infrared", Frame(stamp_ns=1, frame_id="", image=raw(picture)))
    assert np.array_equal(seen[0], picture[:4])
    watch.decoding = DecodeConfig(max_pixels=47)
    watch.see("infrared", Frame(stamp_ns=2, frame_id="", image=raw(picture)))
    assert len(seen) == 1
