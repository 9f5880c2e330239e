# SPDX-License-Identifier: Apache-2.0
"""A line that would come at camera rate is said once a period, with the number left out."""

from stream_fakes import FakeClock

from segmif_ros.stream.notices import NS_PER_S, Notices


def made(period_s=10.0) -> tuple[Notices, list[str], FakeClock]:
    said: list[str] = []
    clock = FakeClock()
    return Notices(said.append, clock, period_s), said, clock


def test_the_first_line_of_a_kind_is_said_at_once() -> None:
    notices, said, _ = made()
    notices("size", "sizes differ")
    notices("error", "engine failed")
    assert said == ["sizes differ", "engine failed"]


def test_further_lines_of_a_kind_wait_for_the_period_and_are_counted() -> None:
    notices, said, clock = made()
    for i in range(4):
        notices("size", f"line {i}")
    clock.now_ns += 10 * NS_PER_S
    notices("size", "line 4")
    assert said == ["line 0", "line 4 (3 more like this since the last line)"]


def test_a_line_after_a_quiet_period_has_nothing_to_count() -> None:
    notices, said, clock = made()
    notices("size", "a")
    clock.now_ns += 60 * NS_PER_S
    notices("size", "b")
    assert said == ["a", "b"]


def test_a_line_said_once_is_never_said_again() -> None:
    notices, said, clock = made()
    notices.once("pseudo-colour", "palette")
    clock.now_ns += 3600 * NS_PER_S
    notices.once("pseudo-colour", "palette")
    assert said == ["palette"]
