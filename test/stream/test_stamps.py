# SPDX-License-Identifier: Apache-2.0
"""What the stamps of one camera show."""

import pytest

from segmif_ros.stream.stamps import Rhythm, StampWatch

MS = 1_000_000


def rhythm(*stamps_ms) -> Rhythm:
    watch = StampWatch()
    for each in stamps_ms:
        watch.see(each * MS)
    return watch.rhythm()


def test_a_camera_that_keeps_time_has_its_period_and_no_variation() -> None:
    found = rhythm(*range(0, 1000, 40))
    assert found == Rhythm(intervals=24, period_s=0.04)


def test_frames_that_get_lost_show_as_variation() -> None:
    assert rhythm(*(40 * each for each in (0, 7, 9, 22, 23, 31, 50, 52, 70))).variation > 0.4


def test_a_camera_that_changes_its_rate_has_little_variation() -> None:
    # what a longer exposure makes of 30 Hz
    assert rhythm(*range(0, 495, 33), *range(495, 3000, 150)).variation < 0.15


def test_stamps_that_stand_still_or_go_back_are_counted() -> None:
    found = rhythm(0, 0, 0, 1000, 1000, 500, 1500)
    assert (found.intervals, found.repeated, found.backward) == (6, 3, 1)


@pytest.mark.parametrize("stamps_ms", [(), (5,)])
def test_without_an_interval_there_is_nothing_to_tell(stamps_ms) -> None:
    assert rhythm(*stamps_ms) == Rhythm()


def test_only_the_latest_frames_count() -> None:
    assert rhythm(*[0] * 100, *range(1, 40)).repeated == 0
