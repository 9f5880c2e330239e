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
from segmif_ros.stream.single_camera import Moment
from segmif_ros.stream.temporal import TemporalFilter


def pair_of(infrared, rgb) -> Moment:
    return Moment.of(Pair(infrared=infrared, rgb=rgb, offset_ns=infrared.stamp_ns - rgb.stamp_ns), rgb.stamp_ns)


def alone(*, infrared=None, rgb=None, stamp_ms=5) -> Moment:
    return Moment(infrared=infrared, rgb=rgb, stamp_ns=stamp_ms * MS)


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


def test_rgb_alone_gets_the_trained_substitute_and_is_its_own_fused_image() -> None:
    engine = FakeEngine()
    output = processor(engine, single_confidence={"rgb": 0.5}).process(alone(rgb=rgb_frame(5, value=50)))
    infrared, rgb = engine.calls[0]
    assert (infrared == 128).all()
    assert (rgb == 50).all()
    assert np.array_equal(output.result.fused, rgb)
    assert (output.result.confidence == 64).all()  # of 128, which this engine makes of the substitute
    assert output.infrared is None
    assert (output.master.frame_id, output.master.stamp_ns) == ("rgb", 5 * MS)


def test_infrared_alone_stays_in_the_masters_view_and_frame_with_its_own_stamp() -> None:
    engine = FakeEngine()
    moved = Homography(matrix=[[1, 0, 2], [0, 1, 0], [0, 0, 1]], infrared_size=(6, 4), rgb_size=(6, 4))
    registration = Registration(RegistrationConfig(mode="homography"), RigCalibration(homography=moved))
    made = processor(engine, registration=registration, single_confidence={"infrared": 0.8})
    made.process(pair_of(infrared_frame(), rgb_frame()))
    output = made.process(alone(infrared=infrared_frame(9, value=100), stamp_ms=8))
    infrared, rgb = engine.calls[1]
    assert infrared.shape == (4, 6)
    assert (rgb == 0).all()
    assert (output.master.frame_id, output.master.stamp_ns) == ("rgb", 8 * MS)
    assert output.result.confidence[0].tolist() == [0, 0, 80, 80, 80, 80]  # nothing is known where infrared can't see
    assert output.result.fused.shape == (4, 6, 3)


def test_a_camera_is_shown_in_its_own_view_and_frame_where_the_master_was_never_seen() -> None:
    resize = Registration(RegistrationConfig(mode="resize"))
    made = processor(registration=resize, single_confidence={"infrared": 1.0})
    output = made.process(alone(infrared=infrared_frame(height=2, width=3)))
    assert output.result.labels.shape == (2, 3)
    assert output.master.frame_id == "infrared"


def test_a_living_master_needs_no_calibration() -> None:
    waiting = Unregistered(RegistrationConfig(mode="stereo"), "waits for camera_info")
    made = processor(registration=waiting, single_confidence={"rgb": 1.0})
    assert made.process(alone(rgb=rgb_frame())).result.labels.shape == (4, 6)


def test_the_confidence_of_weights_that_nobody_calibrated_is_halved() -> None:
    engine = FakeEngine()
    engine.model_hash = "unknown"
    output = processor(engine).process(alone(infrared=infrared_frame(value=100)))
    assert (output.result.confidence == 50).all()


def test_labels_can_be_steadied_over_time() -> None:
    engine = FakeEngine()
    engine.model_hash = "fake"
    made = processor(engine, temporal=TemporalFilter())
    for stamp_ms in range(0, 500, 100):
        output = made.process(pair_of(infrared_frame(stamp_ms, value=200), rgb_frame(stamp_ms)))
    odd = made.process(pair_of(infrared_frame(500, value=90), rgb_frame(500)))
    assert (odd.result.labels == output.result.labels).all()
    assert "temporal" in odd.stage_ms
