# SPDX-License-Identifier: Apache-2.0
"""Frames that got lost on the way, from the numbers of messages."""

import pytest

from segmif_ros.stream.lost_frames import LossWatch


def watch(*numbers, publisher="camera") -> LossWatch:
    found = LossWatch()
    for each in numbers:
        found.see(each, publisher)
    return found


def test_numbers_without_a_gap_mean_that_nothing_got_lost() -> None:
    assert watch(*range(20)).share == 0.0


def test_each_number_that_is_missing_is_a_lost_frame() -> None:
    assert watch(*range(0, 40, 4)).share == 0.0  # too few to judge
    assert watch(*range(0, 80, 4)).share == pytest.approx(0.75)


def test_without_numbers_nothing_is_known() -> None:
    assert watch(*[None] * 40).share is None


def test_a_publisher_that_starts_again_lost_nothing() -> None:
    found = watch(*range(1000, 1020))
    for number in range(1, 20):
        found.see(number, "camera")
    assert found.share == 0.0


def test_another_publisher_counts_on_its_own() -> None:
    found = watch(*range(20))
    found.see(9000, "another")
    assert found.share == 0.0
    for number in range(9001, 9020):
        found.see(number, "another")
    assert found.share == 0.0


def test_what_got_lost_long_ago_is_forgotten() -> None:
    assert watch(*range(0, 400, 10), *range(400, 440)).share == 0.0
