# SPDX-License-Identifier: Apache-2.0
"""Time counts while somebody looks, and no further."""

from stream_fakes import FakeClock

from segmif_ros.stream.watched_time import WatchedTime


def test_with_regular_looks_it_runs_as_fast_as_its_clock() -> None:
    clock = FakeClock()
    watched = WatchedTime(clock, longest_ns=100)
    for _ in range(10):
        clock.now_ns += 50
        watched.look()
    assert watched.now() == 500


def test_a_pause_counts_no_longer_than_what_may_lie_between_two_looks() -> None:
    clock = FakeClock()
    watched = WatchedTime(clock, longest_ns=100)
    clock.now_ns = 5000
    assert watched.now() == 100
    assert watched.look() == 100
    clock.now_ns = 5030
    assert watched.look() == 130


def test_asking_for_the_time_is_no_look() -> None:
    clock = FakeClock()
    watched = WatchedTime(clock, longest_ns=100)
    for now in range(0, 5000, 50):
        clock.now_ns = now
        assert watched.now() <= 100
