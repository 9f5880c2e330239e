# SPDX-License-Identifier: Apache-2.0
"""One pair: what the engine gets, and in which words a pair is refused."""

import dataclasses

import cv2
import numpy as np
import pytest
from stream_fakes import MS, FakeClock, FakeEngine, infrared_frame, rgb_frame

from segmif_ros.imaging.crop import Crop
from segmif_ros.imaging.gain import ThermalGain
from segmif_ros.rig.calibration import Homography, RigCalibration
from segmif_ros.rig.registration import Registration, RegistrationConfig, Unregistered
from segmif_ros.stream.pairing import Pair
from segmif_ros.stream.processing import DecodeConfig, PairProcessor, PairRefusedError


def pair_of(infrared, rgb) -> Pair:
    return Pair(infrared=infrared, rgb=rgb, offset_ns=infrared.stamp_ns - rgb.stamp_ns)


def processor(engine=None, **options) -> PairProcessor:
    return PairProcessor(engine or FakeEngine(), gain=ThermalGain(), now_ns=FakeClock(), **options)


def test_the_engine_gets_decoded_contiguous_8_bit_images_of_one_size() -> None:
    engine = FakeEngine()
    data = np.zeros((4, 6, 3), np.uint8)
    data[..., 0] = 200  # blue, in this order
    frames = infrared_frame(encoding="mono16"), rgb_frame(data=data.tobytes(), encoding="bgr8")
    processor(engine).process(pair_of(*frames))
    infrared, rgb = engine.calls[0]
    assert (infrared.shape, infrared.dtype) == ((4, 6), np.uint8)
    assert (rgb.shape, rgb.dtype) == ((4, 6, 3), np.uint8)
    assert rgb.flags.c_contiguous
    assert rgb[0, 0].tolist() == [0, 0, 200]


@pytest.mark.parametrize("master", ["rgb", "infrared"])
def test_the_camera_of_the_view_is_the_master(master) -> None:
    registration = Registration(RegistrationConfig(view=master))
    output = processor(registration=registration).process(pair_of(infrared_frame(3), rgb_frame(1)))
    assert output.master is getattr(output, master)
    assert output.master.frame_id == master
    assert output.offset_ns == 2 * MS


def test_an_undecodable_frame_is_refused_with_the_camera_and_the_reason() -> None:
    with pytest.raises(PairRefusedError, match=r"pair dropped, RGB frame: the data has 5 bytes") as caught:
        processor().process(pair_of(infrared_frame(), rgb_frame(data=b"12345")))
    assert caught.value.reason == "undecodable"


def test_a_defect_in_a_decoder_is_refused_like_an_undecodable_frame(monkeypatch) -> None:
    def broken(_image):
        raise cv2.error("boom")

    monkeypatch.setattr("segmif_ros.stream.processing.to_rgb", broken)
    with pytest.raises(PairRefusedError, match=r"RGB frame: error: boom") as caught:
        processor().process(pair_of(infrared_frame(), rgb_frame()))
    assert caught.value.reason == "undecodable"


def test_sizes_that_differ_are_refused_in_one_line_with_both_sizes() -> None:
    with pytest.raises(PairRefusedError) as caught:
        processor().process(pair_of(infrared_frame(height=3, width=5), rgb_frame()))
    assert caught.value.reason == "size"
    assert str(caught.value) == (
        "pair dropped: infrared is 5x3 and RGB 6x4; both must have the same size and show the same view, or the "
        "parameter registration must say how they lie on each other"
    )


def test_a_registration_can_bring_both_to_one_size() -> None:
    resize = Registration(RegistrationConfig(mode="resize"))
    output = processor(registration=resize).process(pair_of(infrared_frame(height=2, width=3), rgb_frame()))
    assert output.result.labels.shape == (4, 6)
    assert output.registered.infrared.shape == (4, 6)
    assert "register" in output.stage_ms


def test_confidence_is_lowered_where_only_the_master_camera_sees() -> None:
    shifted = Homography(matrix=[[1, 0, 2], [0, 1, 0], [0, 0, 1]], infrared_size=(6, 4), rgb_size=(6, 4))
    registration = Registration(RegistrationConfig(mode="homography"), RigCalibration(homography=shifted))
    output = processor(registration=registration).process(pair_of(infrared_frame(value=100), rgb_frame()))
    assert output.registered.valid[0].tolist() == [0, 0, 1, 1, 1, 1]
    assert output.result.confidence[0].tolist() == [50, 50, 100, 100, 100, 100]


def test_a_registration_that_waits_for_its_calibration_is_a_reason_of_its_own() -> None:
    waiting = Unregistered(RegistrationConfig(mode="stereo"), "waits for rgb/camera_info")
    with pytest.raises(PairRefusedError, match="pair dropped: waits for rgb/camera_info") as caught:
        processor(registration=waiting).process(pair_of(infrared_frame(), rgb_frame()))
    assert caught.value.reason == "uncalibrated"


def test_what_the_engine_raises_is_refused_in_one_line_with_its_cause() -> None:
    engine = FakeEngine(errors={1: RuntimeError("out of\nmemory")})
    with pytest.raises(PairRefusedError) as caught:
        processor(engine).process(pair_of(infrared_frame(), rgb_frame()))
    assert caught.value.reason == "error"
    assert str(caught.value) == "pair dropped, the engine failed: RuntimeError: out of memory"
    assert isinstance(caught.value.__cause__, RuntimeError)


def test_pseudo_coloured_infrared_is_noticed() -> None:
    notices = []
    frame = infrared_frame(encoding="rgb8")
    coloured = dataclasses.replace(frame, image=dataclasses.replace(frame.image, data=bytes(72)))
    processor(notice=lambda kind, line: notices.append((kind, line))).process(pair_of(coloured, rgb_frame()))
    assert notices[0][0] == "pseudo-colour"
    assert "luminance" in notices[0][1]


def test_an_image_of_too_many_pixels_is_refused_by_its_size() -> None:
    tight = DecodeConfig(max_pixels=23)
    with pytest.raises(PairRefusedError, match=r"infrared frame: it is 6x4, 0.0 million pixels: max_pixels") as caught:
        processor(decoding=tight).process(pair_of(infrared_frame(), rgb_frame()))
    assert caught.value.reason == "size"
    processor(decoding=DecodeConfig(max_pixels=24)).process(pair_of(infrared_frame(), rgb_frame()))


def test_rows_of_telemetry_are_cut_off_before_the_gain_sees_them() -> None:
    engine = FakeEngine()
    counts = np.tile(np.arange(7000, 7006, dtype=np.uint16), (4, 1))
    counts[3] = 60_000
    frames = infrared_frame(data=counts.tobytes(), encoding="mono16"), rgb_frame()
    registration = Registration(RegistrationConfig(mode="resize"))
    cut = DecodeConfig(infrared_crop=Crop.parse("0, 1, 0, 0"))
    processor(engine, decoding=cut, registration=registration).process(pair_of(*frames))
    assert [int(each) for each in (engine.calls[0][0].min(), engine.calls[0][0].max())] == [0, 255]


def test_a_crop_that_leaves_nothing_costs_the_pair_and_says_why() -> None:
    nothing = DecodeConfig(infrared_crop=Crop(2, 2, 0, 0))
    with pytest.raises(PairRefusedError, match="the image is 6x4: nothing is left of it after cutting 2 rows"):
        processor(decoding=nothing).process(pair_of(infrared_frame(), rgb_frame()))


def test_a_picture_that_is_stretched_is_said_once_and_rounding_is_not() -> None:
    said = []
    registration = Registration(RegistrationConfig(mode="resize"))
    table = processor(registration=registration, notice=lambda kind, line: said.append((kind, line)))
    for height in (40, 41, 42):
        frames = infrared_frame(data=bytes(60 * height), height=height, width=60), rgb_frame()
        table.process(pair_of(*frames))
    assert [kind for kind, _ in said] == ["proportions", "proportions"]
    assert said[0][1].startswith("infrared is 60x41 and RGB 6x4, other proportions: registration resize stretches")


def test_a_gain_that_fails_is_not_blamed_on_the_engine() -> None:
    table = processor()
    table.gain.apply = lambda *_: 1 // 0
    with pytest.raises(PairRefusedError, match="pair dropped, the gain failed: ZeroDivisionError"):
        table.process(pair_of(infrared_frame(), rgb_frame()))
