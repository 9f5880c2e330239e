# SPDX-License-Identifier: Apache-2.0
"""Counts are totals, summaries are over the latest samples, and a rate falls when events stop."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from segmif_ros.stream.statistics import DROP_REASONS, RateMeter, SampleWindow, Statistics, Summary

S = 1_000_000_000


@given(st.lists(st.floats(-1e6, 1e6), min_size=1, max_size=40))
def test_a_window_sums_up_as_numpy_does(samples) -> None:
    window = SampleWindow()
    for each in samples:
        window.add(each)
    summary = window.summary()
    expected = np.percentile(samples, [50, 95, 99])
    assert (summary.p50, summary.p95, summary.p99) == pytest.approx(tuple(expected))
    assert summary.max == max(samples)


def test_a_window_forgets_its_oldest_samples() -> None:
    window = SampleWindow(size=3)
    for each in (1000, 1, 2, 3):
        window.add(each)
    assert window.summary().max == 3


def test_an_empty_window_is_all_zero() -> None:
    assert SampleWindow().summary() == Summary()


def test_a_steady_rate_is_told_exactly_at_any_moment_between_two_events() -> None:
    rate = RateMeter()
    for i in range(300):
        rate.tick(i * S // 30)
    for late_ns in (0, S // 100, S // 31):
        assert rate.hz(299 * S // 30 + late_ns) == pytest.approx(30, rel=1e-3)


def test_the_rate_falls_to_zero_when_events_stop() -> None:
    rate = RateMeter()
    for i in range(61):
        rate.tick(i * S // 30)
    assert rate.hz(2 * S) == pytest.approx(30)
    assert rate.hz(4 * S) == pytest.approx(15)
    assert rate.hz(8 * S) == 0


def test_one_event_is_no_rate() -> None:
    rate = RateMeter()
    assert rate.hz(0) == 0
    rate.tick(0)
    assert rate.hz(0) == 0


def test_a_snapshot_holds_everything_that_was_counted() -> None:
    statistics = Statistics()
    statistics.frame("infrared")
    statistics.frame("rgb")
    statistics.frame("rgb")
    statistics.pair(0)
    statistics.pair(0)
    statistics.drop("size")
    statistics.done(age_ms=40.0, stage_ms={"network": 30.0}, now_ns=S)
    snapshot = statistics.snapshot(S, {"late": 3, "orphan": 4})
    assert (snapshot.frames_infrared, snapshot.frames_rgb, snapshot.pairs, snapshot.processed) == (1, 2, 2, 1)
    assert snapshot.dropped == {
        "late": 3, "orphan": 4, "surplus": 0, "blind": 0, "superseded": 0, "undecodable": 0, "uncalibrated": 0,
        "size": 1,
        "error": 0,
    }  # fmt: skip
    assert tuple(snapshot.dropped) == DROP_REASONS
    assert snapshot.age_ms.p50 == 40
    assert snapshot.stage_ms["network"].max == 30


def test_progress_counts_what_happened_since_the_last_delivery() -> None:
    statistics = Statistics()
    statistics.begin(S)
    statistics.pair(S)
    statistics.refuse("size", "5x8 on 6x8")
    progress = statistics.progress(4 * S, working=True, in_work_s=0.0)
    assert (progress.silent_s, progress.pairs, progress.refused, progress.refusal) == (3.0, 1, 1, "5x8 on 6x8")
    statistics.done(age_ms=40.0, stage_ms={"total": 30.0}, now_ns=5 * S)
    progress = statistics.progress(7 * S, working=True, in_work_s=0.0)
    assert (progress.silent_s, progress.pairs, progress.refused) == (2.0, 0, 0)
    assert progress.usual_s == pytest.approx(0.03)


def test_a_reason_that_does_not_exist_is_an_error_and_no_new_count() -> None:
    with pytest.raises(KeyError):
        Statistics().drop("bad luck")
