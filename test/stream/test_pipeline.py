# SPDX-License-Identifier: Apache-2.0
"""The pipeline processes the newest pair, and whatever goes wrong with one pair costs that pair only."""

import threading

import pytest
from stream_fakes import MS, WAIT_S, FakeClock, FakeEngine, Harness, infrared_frame, rgb_frame

from segmif_ros.imaging.gain import GainConfig
from segmif_ros.stream.pipeline import PipelineConfig


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
        assert isinstance(harness.traced.get(timeout=WAIT_S).__cause__, ValueError)


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
            harness.traced.get(timeout=WAIT_S)
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
        assert harness.pipeline.snapshot().pairs == 0
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
