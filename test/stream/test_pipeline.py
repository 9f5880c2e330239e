# SPDX-License-Identifier: Apache-2.0
"""The pipeline processes the newest pair, and whatever goes wrong with one pair costs that pair only."""

import queue
import threading
import time

import pytest
from patience import WAIT_S
from stream_fakes import MS, FakeClock, FakeEngine, Harness, infrared_frame, rgb_frame

from segmif_ros.imaging.gain import GainConfig
from segmif_ros.stream.camera_health import Condition
from segmif_ros.stream.pairing import NearestStampPairer
from segmif_ros.stream.pipeline import Pipeline
from segmif_ros.stream.pipeline_config import PipelineConfig
from segmif_ros.stream.processing import Output, PairRefusedError


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
        harness.engine.gate.release()
        assert harness.pipeline.stop(WAIT_S)
        assert harness.output().rgb.stamp_ns == 0
        assert harness.pipeline.snapshot().dropped["superseded"] == 1


def test_a_pair_that_is_not_done_in_time_is_not_delivered_after_the_stop() -> None:
    with Harness(FakeEngine(gated=True)) as harness:
        harness.offer(0)
        assert harness.engine.entered.acquire(timeout=WAIT_S)
        assert not harness.pipeline.stop(0.0), "the pair in work can't be interrupted"
        harness.engine.gate.release()
        harness.pipeline.start()  # waits for the worker before it
        harness.engine.gate.release()
        harness.offer(33)
        assert harness.output().rgb.stamp_ns == 33 * MS
        assert harness.delivered.empty()
        assert harness.pipeline.snapshot().dropped["superseded"] == 1


def test_the_engine_is_never_run_by_two_workers_at_once() -> None:
    with Harness(FakeEngine(gated=True)) as harness:
        harness.offer(0)
        assert harness.engine.entered.acquire(timeout=WAIT_S)
        assert not harness.pipeline.stop(0.0)
        harness.pipeline.start()
        harness.offer(33)
        assert not harness.engine.entered.acquire(timeout=0.05), "the first call has not returned"
        harness.engine.gate.release()
        assert harness.engine.entered.acquire(timeout=WAIT_S)


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


# --- control ---------------------------------------------------------------------------------------------------------


def test_a_disabled_pipeline_counts_frames_and_forms_no_pair_until_it_is_enabled() -> None:
    with Harness() as rig:
        rig.offer(0)
        rig.output()
        rig.pipeline.enable(False)
        rig.offer(33)
        assert not rig.pipeline.enabled
        assert (rig.pipeline.snapshot().frames_rgb, rig.pipeline.snapshot().pairs) == (2, 1)
        rig.pipeline.enable(True)
        rig.offer(66)
        assert rig.output().master.stamp_ns == 66_000_000


def test_a_pair_that_waits_when_the_pipeline_is_disabled_is_not_processed() -> None:
    engine = FakeEngine(gated=True)
    with Harness(engine) as rig:
        rig.offer(0)
        assert engine.entered.acquire(timeout=WAIT_S)
        rig.offer(33)  # waits in the slot
        rig.pipeline.enable(False)
        engine.gate.release()
        rig.output()
        deadline = time.monotonic() + WAIT_S
        while not rig.pipeline.snapshot().dropped["superseded"] and time.monotonic() < deadline:
            time.sleep(0.001)  # until the worker has looked at it
        rig.pipeline.enable(True)
        rig.offer(66)
        engine.gate.release()
        assert rig.output().master.stamp_ns == 66_000_000
        assert rig.pipeline.snapshot().dropped["superseded"] == 1


def test_another_engine_takes_over_with_the_next_pair_and_outputs_say_whose_they_are() -> None:
    first, second = FakeEngine(), FakeEngine()
    with Harness(first) as rig:
        rig.offer(0)
        assert rig.output().engine is first
        rig.pipeline.replace_engine(second)
        rig.offer(33)
        assert rig.output().engine is second
    assert (len(first.calls), len(second.calls)) == (1, 1)


def test_who_watches_gets_the_next_pair_once_whether_it_was_delivered_or_refused() -> None:
    seen: queue.Queue = queue.Queue()
    with Harness(FakeEngine(errors={2: ValueError("a defect")})) as rig:
        for stamp_ms in (0, 33):
            rig.pipeline.watch_next(lambda pair, outcome: seen.put((pair, outcome)))
            rig.offer(stamp_ms)
            pair, outcome = seen.get(timeout=WAIT_S)
            assert pair.rgb.stamp_ns == stamp_ms * 1_000_000
            assert isinstance(outcome, Output if stamp_ms == 0 else PairRefusedError)
        rig.output()
        rig.offer(66)
        rig.output()
    assert seen.empty()


def test_a_pipeline_pairs_with_whatever_pairer_it_is_given() -> None:
    made = []

    class Never(NearestStampPairer):
        def add_rgb(self, stamp_ns, item):
            return []

    def make(slop_s, queue_size, time_offset_s):
        made.append(Never(slop_s, queue_size, time_offset_s))
        return made[0]

    rig = Harness()
    pipeline = Pipeline(
        PipelineConfig(slop_s=0.5), rig.engine, rig.delivered.put, now_ns=rig.clock, stamp_clock_ns=rig.clock,
        say=rig.said.put, make_pairer=make,
    )  # fmt: skip
    pipeline.offer_infrared(infrared_frame(0))
    pipeline.offer_rgb(rgb_frame(0))
    assert pipeline.snapshot().pairs == 0
    assert made[0].waiting == 1


# --- a defect costs a pair, never the worker -------------------------------------------------------------------------


def _boom(*_args):
    raise ValueError("boom")


@pytest.mark.parametrize("what", ["stamp clock", "say", "trace", "watch"])
def test_an_exception_where_none_is_expected_costs_a_pair_and_not_the_worker(what) -> None:
    unexpected: queue.Queue[Exception] = queue.Queue()
    harness = Harness(FakeEngine(errors={1: RuntimeError("once")}))
    harness.pipeline = Pipeline(
        PipelineConfig(),
        harness.engine,
        harness.delivered.put,
        now_ns=harness.clock,
        stamp_clock_ns=lambda: _boom() if what == "stamp clock" and len(harness.engine.calls) == 2 else 0,
        say=_boom if what == "say" else harness.said.put,
        trace=_boom if what == "trace" else harness.traced.put,
        unexpected=unexpected.put,
    )
    with harness:
        if what == "watch":
            harness.pipeline.watch_next(_boom)
        for number in range(1, 5):
            harness.offer(100 * number)
            assert harness.engine.entered.acquire(timeout=WAIT_S)
        assert harness.pipeline.stop(WAIT_S)
        snapshot = harness.pipeline.snapshot()
        assert snapshot.processed + snapshot.dropped["error"] + snapshot.dropped["superseded"] == 4
        assert snapshot.processed >= 2
    if what != "stamp clock":  # that is part of the delivery, and said as such
        assert str(unexpected.get(timeout=WAIT_S)) == "boom"


def test_progress_tells_a_pair_that_stays_in_work_and_a_worker_that_has_ended() -> None:
    clock = FakeClock()
    with Harness(FakeEngine(gated=True), clock=clock) as harness:
        harness.offer(0)
        assert harness.engine.entered.acquire(timeout=WAIT_S)
        clock.now_ns += 3_000 * MS
        progress = harness.pipeline.progress()
        assert (progress.working, progress.in_work_s, progress.silent_s, progress.pairs) == (True, 3.0, 3.0, 1)
    progress = harness.pipeline.progress()
    assert (progress.working, progress.in_work_s) == (False, 0.0)


def test_a_watch_that_is_set_while_the_worker_takes_the_one_before_is_not_lost() -> None:
    seen: queue.Queue[object] = queue.Queue()
    setters: list[threading.Thread] = []

    class Interleaved(Pipeline):
        """Another thread sets a watch between the worker's look at the present one and its taking it away."""

        @property
        def _watch(self):
            found = self.__dict__["_watch"]
            if threading.current_thread().name == "segmif-worker" and not setters:
                setter = threading.Thread(target=self.watch_next, args=(lambda pair, _: seen.put(pair),))
                setter.start()
                setters.append(setter)  # the test joins it: it must have begun
                setter.join(0.1)
            return found

        @_watch.setter
        def _watch(self, watch):
            self.__dict__["_watch"] = watch

    harness = Harness()
    harness.pipeline = Interleaved(
        PipelineConfig(), harness.engine, harness.delivered.put, now_ns=harness.clock,
        stamp_clock_ns=harness.stamp_clock, say=harness.said.put,
    )  # fmt: skip
    with harness:
        harness.offer(0)
        harness.output()
        while not setters:  # the worker looks for a watch after it has delivered
            time.sleep(0.001)
        setters[0].join(WAIT_S)
        for number in (1, 2):  # the watch may have been set in time for the first of them
            harness.offer(100 * number)
            harness.output()
        assert seen.get(timeout=WAIT_S)


def test_with_one_camera_silent_the_other_ones_frames_are_processed() -> None:
    clock = FakeClock()
    config = PipelineConfig(single_camera="continue", rgb_alone_confidence=0.5)
    with Harness(config=config, clock=clock) as harness:
        for number in range(5):
            clock.now_ns = 100 * MS * number
            harness.offer(100 * number)
            assert harness.output().infrared is not None
        for number in range(5, 15):
            clock.now_ns = 100 * MS * number
            harness.pipeline.offer_rgb(rgb_frame(100 * number))
        output = harness.output()
        assert output.infrared is None
        assert output.cameras.conditions["infrared"] is Condition.SILENT
        assert harness.pipeline.cameras.single == "rgb"
        assert harness.pipeline.snapshot().single_rgb > 0


def test_a_timer_lets_the_newest_frame_pass_when_the_time_of_the_other_camera_has_run_out() -> None:
    clock = FakeClock()
    config = PipelineConfig(single_camera="continue", rgb_alone_confidence=0.5)
    with Harness(config=config, clock=clock) as harness:
        harness.offer(0)
        harness.output()
        clock.now_ns = 100 * MS
        harness.pipeline.offer_rgb(rgb_frame(100))
        harness.pipeline.advance()
        assert harness.delivered.empty()
        for now_ms in range(150, 550, 50):
            clock.now_ns = now_ms * MS
            harness.pipeline.advance()
        assert harness.delivered.empty()
        clock.now_ns = 550 * MS
        harness.pipeline.offer_rgb(rgb_frame(550))
        harness.pipeline.advance()
        assert harness.output().master.stamp_ns == 550 * MS


def test_time_in_which_the_process_stood_still_makes_no_camera_silent() -> None:
    clock = FakeClock()
    with Harness(config=PipelineConfig(single_camera="continue"), clock=clock) as harness:
        for number in range(5):
            clock.now_ns = 100 * MS * number
            harness.offer(100 * number)
            harness.output()
        clock.now_ns = 5_000 * MS
        harness.pipeline.advance()  # timers come before the frames that were queued
        assert Condition.SILENT not in harness.pipeline.cameras.conditions.values()
        for number in range(46, 50):
            harness.offer(100 * number)  # all at once
            assert harness.output().cameras.used == ("infrared", "rgb")


def test_a_camera_that_dies_while_the_process_stands_still_is_found_after_that() -> None:
    clock = FakeClock()
    config = PipelineConfig(single_camera="continue", rgb_alone_confidence=0.5)
    with Harness(config=config, clock=clock) as harness:
        for number in range(5):
            clock.now_ns = 100 * MS * number
            harness.offer(100 * number)
            harness.output()
        for now_ms in range(5_000, 5_700, 100):
            clock.now_ns = now_ms * MS
            harness.pipeline.offer_rgb(rgb_frame(now_ms))
        assert harness.pipeline.cameras.single == "rgb"


def test_nobody_looks_at_frames_where_that_is_not_asked_for() -> None:
    with Harness() as harness:
        harness.offer(0)
        harness.output()
        assert "health" not in harness.pipeline.snapshot().stage_ms


def test_proportions_that_differ_are_a_condition_that_lasts_and_goes() -> None:
    """The node reports it in /diagnostics; a line here would say it twice."""
    with Harness(config=PipelineConfig(registration="resize")) as harness:
        harness.offer(0, width=12, height=4)
        harness.output()
        assert harness.pipeline.stretched.startswith("infrared is 6x4 and RGB 12x4, other proportions")
        harness.offer(33)
        harness.output()
        assert harness.pipeline.stretched is None
        assert harness.said.empty()
