# SPDX-License-Identifier: Apache-2.0
"""The pipeline processes the newest pair, and whatever goes wrong with one pair costs that pair only."""

import dataclasses
import threading

import cv2
import numpy as np
import pytest
from stream_fakes import MS, WAIT_S, FakeClock, FakeEngine, Harness, infrared_frame, rgb_frame

from segmif_ros.imaging.gain import GainConfig, ThermalGain
from segmif_ros.stream.pairing import Pair
from segmif_ros.stream.pipeline import PairProcessor, PairRefusedError, PipelineConfig


def pair_of(infrared, rgb) -> Pair:
    return Pair(infrared=infrared, rgb=rgb, offset_ns=infrared.stamp_ns - rgb.stamp_ns)


def processor(engine=None, **options) -> PairProcessor:
    return PairProcessor(engine or FakeEngine(), gain=ThermalGain(), now_ns=FakeClock(), **options)


# --- one pair --------------------------------------------------------------------------------------------------------


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
def test_the_output_names_the_master_frame(master) -> None:
    output = processor().process(pair_of(infrared_frame(3), rgb_frame(1)), master=master)
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

    monkeypatch.setattr("segmif_ros.stream.pipeline.to_rgb", broken)
    with pytest.raises(PairRefusedError, match=r"RGB frame: error: boom") as caught:
        processor().process(pair_of(infrared_frame(), rgb_frame()))
    assert caught.value.reason == "undecodable"


def test_sizes_that_differ_are_refused_in_one_line_with_both_sizes() -> None:
    with pytest.raises(PairRefusedError) as caught:
        processor().process(pair_of(infrared_frame(height=3, width=5), rgb_frame()))
    assert caught.value.reason == "size"
    assert str(caught.value) == (
        "pair dropped: infrared is 5x3 and RGB 6x4; both must have the same size and show the same view"
    )


def test_another_registration_can_bring_both_to_one_size() -> None:
    def enlarge(infrared, rgb):
        return cv2.resize(infrared, rgb.shape[1::-1]), rgb

    output = processor(register=enlarge).process(pair_of(infrared_frame(height=2, width=3), rgb_frame()))
    assert output.result.labels.shape == (4, 6)


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


# --- the running pipeline --------------------------------------------------------------------------------------------


def test_a_pair_in_comes_out_once() -> None:
    with Harness() as harness:
        harness.offer(0)
        output = harness.output()
        assert output.rgb.stamp_ns == 0
        assert harness.delivered.empty()


def test_while_one_pair_is_in_work_only_the_newest_of_the_others_is_kept() -> None:
    with Harness(FakeEngine(gated=True)) as harness:
        harness.offer(0)
        assert harness.engine.entered.acquire(timeout=WAIT_S)
        for stamp_ms in (33, 66, 99):
            harness.offer(stamp_ms)
        harness.engine.gate.release()
        harness.engine.gate.release()
        assert [harness.output().rgb.stamp_ns // MS for _ in range(2)] == [0, 99]
        assert harness.pipeline.snapshot().dropped["superseded"] == 2


def test_an_exception_in_the_engine_costs_one_pair_and_is_said_and_traced() -> None:
    with Harness(FakeEngine(errors={2: ValueError("bad weights")})) as harness:
        harness.offer(0)
        harness.output()
        harness.offer(33)
        assert harness.line() == "pair dropped, the engine failed: ValueError: bad weights"
        harness.offer(66)
        assert harness.output().rgb.stamp_ns == 66 * MS
        assert harness.pipeline.snapshot().dropped["error"] == 1
        assert [type(each.__cause__) for each in harness.traced] == [ValueError]


def test_an_exception_in_the_delivery_costs_one_pair() -> None:
    done = threading.Event()

    def deliver(output):
        if output.rgb.stamp_ns == 0:
            raise RuntimeError("publisher gone")
        done.set()

    with Harness(deliver=deliver) as harness:
        harness.offer(0)
        assert harness.line() == "pair dropped, its outputs failed: RuntimeError: publisher gone"
        harness.offer(33)
        assert done.wait(WAIT_S)
        snapshot = harness.pipeline.snapshot()
        assert snapshot.dropped["error"] == 1


@pytest.mark.parametrize(
    ("bad", "reason"),
    [({"data": b"123"}, "undecodable"), ({"height": 5}, "size"), ({"encoding": "16UC1"}, "undecodable")],
)
def test_a_bad_frame_costs_one_pair(bad, reason) -> None:
    with Harness() as harness:
        harness.offer(0, **bad)
        assert harness.line().startswith("pair dropped")
        harness.offer(33)
        assert harness.output().rgb.stamp_ns == 33 * MS
        snapshot = harness.pipeline.snapshot()
        assert snapshot.dropped[reason] == 1
        assert sum(snapshot.dropped.values()) == 1
        assert (snapshot.pairs, snapshot.frames_infrared, snapshot.frames_rgb) == (2, 2, 2)


def test_cameras_may_change_their_size_in_flight() -> None:
    with Harness() as harness:
        for stamp_ms, (height, width) in enumerate([(4, 6), (8, 10), (3, 3)]):
            harness.pipeline.offer_infrared(infrared_frame(stamp_ms, height=height, width=width))
            harness.pipeline.offer_rgb(rgb_frame(stamp_ms, height=height, width=width))
            assert harness.output().result.labels.shape == (height, width)


def test_a_failure_that_repeats_is_said_once_a_period_with_the_number_left_out() -> None:
    errors = {i: RuntimeError(f"no {i}") for i in range(1, 5)}
    with Harness(FakeEngine(errors=errors)) as harness:
        for i in range(3):
            harness.offer(33 * i)
            assert harness.engine.entered.acquire(timeout=WAIT_S)
        while harness.pipeline.snapshot().dropped["error"] < 3:
            pass
        assert harness.line().endswith("no 1")
        harness.clock.now_ns += 11_000 * MS
        harness.offer(200)
        assert harness.line().endswith("RuntimeError: no 4 (2 more like this since the last line)")
        assert harness.said.empty()


def test_stop_finishes_the_pair_in_work_and_drops_the_one_that_waits() -> None:
    with Harness(FakeEngine(gated=True)) as harness:
        harness.offer(0)
        assert harness.engine.entered.acquire(timeout=WAIT_S)
        harness.offer(33)
        assert not harness.pipeline.stop(0.0), "the pair in work can't be interrupted"
        harness.engine.gate.release()
        assert harness.pipeline.stop(WAIT_S)
        assert harness.output().rgb.stamp_ns == 0
        assert harness.pipeline.snapshot().dropped["superseded"] == 1


def test_a_stopped_pipeline_can_start_again_and_forgets_what_waited() -> None:
    with Harness() as harness:
        harness.pipeline.offer_rgb(rgb_frame(0))
        assert harness.pipeline.stop(WAIT_S)
        harness.pipeline.start()
        harness.pipeline.offer_infrared(infrared_frame(0))
        harness.offer(33)
        assert harness.output().rgb.stamp_ns == 33 * MS


def test_frames_offered_after_stop_are_no_error() -> None:
    harness = Harness()
    with harness:
        pass
    harness.offer(0)
    assert harness.delivered.empty()


def test_settings_change_from_the_next_pair_on() -> None:
    with Harness() as harness:
        harness.offer(0)
        assert harness.output().master.frame_id == "rgb"
        harness.pipeline.configure(
            PipelineConfig(master="infrared", time_offset_s=0.01, gain=GainConfig(policy="fixed", fixed_high=65535))
        )
        harness.pipeline.offer_rgb(rgb_frame(33))
        harness.pipeline.offer_infrared(infrared_frame(43, encoding="mono16", value=128))
        output = harness.output()
        assert output.master.frame_id == "infrared"
        assert output.offset_ns == 0
        assert output.result.labels[0, 0] == 128


def test_stages_and_age_are_measured_with_the_clocks_passed_in() -> None:
    clock = FakeClock()
    harness = Harness(FakeEngine(gated=True, takes_ns=5 * MS, clock=clock), clock=clock)
    harness.stamp_clock.now_ns = 250 * MS
    with harness:
        harness.offer(200)
        assert harness.engine.entered.acquire(timeout=WAIT_S)
        harness.offer(233)
        clock.now_ns += 10 * MS  # the first pair computes, the second waits
        harness.engine.gate.release()
        harness.output()
        assert harness.engine.entered.acquire(timeout=WAIT_S)
        harness.engine.gate.release()
        harness.output()
    snapshot = harness.pipeline.snapshot()
    assert snapshot.age_ms.max == 50
    assert snapshot.age_ms.p50 == pytest.approx((50 + 17) / 2)
    assert snapshot.stage_ms["wait"].max == 15
    assert snapshot.stage_ms["total"].max == 20
    assert snapshot.stage_ms["network"].p99 == 7
    assert set(snapshot.stage_ms) == {"wait", "decode", "gain", "network", "publish", "total"}
