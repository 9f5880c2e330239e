# SPDX-License-Identifier: Apache-2.0
"""Pairing: what must hold for any two streams, and the traps that other synchronisers fall into."""

from itertools import pairwise

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from segmif_ros.stream.pairing import NearestStampPairer, Pair

MS = 1_000_000
PERIOD = 33_333_333


class Rig:
    """A pairer whose frames are their own stamps, with everything that it gave out."""

    def __init__(self, slop_s=0.02, queue_size=10, time_offset_s=0.0) -> None:
        self.pairer: NearestStampPairer[int] = NearestStampPairer(slop_s, queue_size, time_offset_s)
        self.pairs: list[Pair[int]] = []

    def infrared(self, *stamps_ms) -> "Rig":
        for stamp in stamps_ms:
            self.pairs += self.pairer.add_infrared(round(stamp * MS), stamp)
        return self

    def rgb(self, *stamps_ms) -> "Rig":
        for stamp in stamps_ms:
            self.pairs += self.pairer.add_rgb(round(stamp * MS), stamp)
        return self

    def settle(self, start_ms=0.0, frames=8, offset_ms=1.0, period_ms=100 / 3) -> "Rig":
        """Let both streams show their rhythm, then forget the pairs of it."""
        for i in range(frames):
            self.infrared(start_ms + i * period_ms + offset_ms).rgb(start_ms + i * period_ms)
        self.pairs.clear()
        return self

    @property
    def stamps(self) -> list[tuple[float, float]]:
        return [(pair.infrared, pair.rgb) for pair in self.pairs]


def test_frames_of_one_stamp_pair_at_once() -> None:
    assert Rig().infrared(0).rgb(0).stamps == [(0, 0)]


def test_the_offset_is_infrared_minus_rgb() -> None:
    rig = Rig().settle(offset_ms=-2)
    rig.infrared(300).rgb(302)
    assert rig.pairs[-1].offset_ns == -2 * MS


def test_a_nearer_partner_that_comes_next_wins() -> None:
    # 30 Hz each, infrared 20 ms behind: greedy pairing takes (20, 0), 20 ms apart, though (20, 33) is 13 ms apart
    rig = Rig(slop_s=0.1)
    for i in range(12):
        rig.rgb(i * 100 / 3).infrared(i * 100 / 3 + 20)
    assert rig.pairs
    assert all(abs(pair.offset_ns) < 14 * MS for pair in rig.pairs)


def test_a_partner_is_not_waited_for_once_the_rhythm_says_that_no_nearer_one_can_come() -> None:
    rig = Rig().settle(frames=8, offset_ms=5)
    assert rig.rgb(8 * 100 / 3).stamps == []
    assert len(rig.infrared(8 * 100 / 3 + 5).stamps) == 1


def test_a_slow_thermal_camera_gets_the_nearest_of_many_rgb_frames() -> None:
    rig = Rig()
    for i in range(60):
        rig.rgb(i * 100 / 3)
        if i % 4 == 1:
            rig.infrared(i * 100 / 3 - 6)
    assert len(rig.pairs) == 15
    assert all(pair.offset_ns == pytest.approx(-6 * MS, abs=2) for pair in rig.pairs)


def test_two_frames_that_are_each_others_second_choice_stay_together_if_the_nearer_one_has_a_nearer_partner() -> None:
    # rgb 10 is nearer to infrared 18 than to infrared 0, but infrared 18 goes with rgb 19
    rig = Rig().infrared(0, 18, 36).rgb(10, 19, 36)
    assert rig.stamps == [(0, 10), (18, 19), (36, 36)]


def test_a_frame_is_orphaned_at_once_when_a_nearer_one_comes_before_the_partner() -> None:
    rig = Rig().infrared(0, 8).rgb(10)
    assert rig.pairer.drops["orphan"] == 1
    assert rig.stamps == []  # a third infrared frame could still be nearer


def test_a_camera_that_stops_does_not_keep_its_last_frame_from_its_partner() -> None:
    rig = Rig(queue_size=3).infrared(0).rgb(5, 38, 71)
    assert rig.stamps == []  # an infrared frame nearer to 5 could still come
    assert rig.rgb(104).stamps == [(0, 5)]
    assert rig.pairer.waiting == 3


def test_frames_farther_apart_than_the_slop_never_pair() -> None:
    rig = Rig(slop_s=0.02).infrared(0, 100, 200).rgb(21, 121, 221)
    assert rig.stamps == []
    assert rig.pairer.drops["orphan"] == 5


def test_the_distance_of_what_did_not_pair_is_told() -> None:
    rig = Rig(slop_s=0.01)
    for i in range(10):
        rig.rgb(i * 100).infrared(i * 100 + 30)
    assert rig.stamps == []
    assert rig.pairer.misses.mean_ns == pytest.approx(30 * MS)
    assert rig.pairer.misses.deviation_ns == pytest.approx(0)


def test_a_pair_ends_what_is_told_about_frames_that_did_not_pair() -> None:
    rig = Rig().rgb(0, 100).infrared(50, 150, 250)
    assert rig.pairer.misses.count == 3
    rig.rgb(250)
    assert rig.pairer.misses.count == 0


def test_the_time_offset_is_taken_off_the_infrared_stamps() -> None:
    rig = Rig(time_offset_s=0.045).rgb(0, 100).infrared(45, 145)
    assert rig.stamps == [(45, 0), (145, 100)]
    assert [pair.offset_ns for pair in rig.pairs] == [0, 0]


def test_a_queue_that_is_full_gives_up_its_oldest_frame_and_stays_bounded() -> None:
    rig = Rig(queue_size=4).rgb(*range(0, 1000, 33))
    assert rig.pairer.waiting == 4
    assert rig.pairer.drops == {"late": 0, "orphan": 27, "surplus": 0}


def test_a_frame_whose_partner_was_given_up_is_late() -> None:
    rig = Rig(queue_size=2).rgb(0, 33, 66, 99, 132)
    rig.infrared(0, 33)
    assert rig.stamps == []
    assert rig.pairer.drops["late"] == 2


def test_a_frame_that_comes_after_its_partner_was_given_up_tells_how_late_it_came_and_no_distance_of_stamps() -> None:
    rig = Rig(queue_size=2).rgb(0, 33, 66, 99, 132)
    rig.infrared(0, 33)
    assert (rig.pairer.delays.count, rig.pairer.delays.max_ns) == (2, 132 * MS)
    assert rig.pairer.delays.mean_ns == pytest.approx(115.5 * MS), "infrared comes later: positive"
    assert rig.pairer.misses.count == 0
    rig.infrared(132).rgb(165)
    assert rig.pairer.delays.count == 0, "a pair ends it"


def test_frames_of_the_faster_camera_that_can_not_have_a_partner_are_surplus_and_no_orphans() -> None:
    rig = Rig(slop_s=0.005)
    for i in range(30):
        rig.infrared(33 * i)
        if i % 3 == 0:
            rig.rgb(33 * i)
    assert rig.pairer.drops["surplus"] > 10
    assert rig.pairer.drops["orphan"] <= 6, "before the periods are known"


def test_a_frame_that_gets_lost_at_equal_rates_leaves_an_orphan() -> None:
    rig = Rig()
    for i in range(20):
        rig.infrared(33 * i)
        if i != 10:
            rig.rgb(33 * i)
    assert rig.pairer.drops == {"late": 0, "orphan": 1, "surplus": 0}


@pytest.mark.parametrize(
    ("infrared_ms", "rgb_ms", "slop_s"), [(33, 33, 0.0165), (110, 33, 0.02475), (200, 200, 0.05), (16, 33, 0.012)]
)
def test_a_slop_of_0_follows_the_frame_periods(infrared_ms, rgb_ms, slop_s) -> None:
    rig = Rig(slop_s=0.0)
    assert rig.pairer.slop_s == 0.02, "before they are known"
    for ms in range(3000):
        if ms % infrared_ms == 0:
            rig.infrared(ms)
        if ms % rgb_ms == 0:
            rig.rgb(ms)
    assert rig.pairer.slop_s == pytest.approx(slop_s)
    assert rig.pairer.periods_s == (infrared_ms / 1000, rgb_ms / 1000)


def test_a_slop_that_is_set_stays_as_it_is() -> None:
    rig = Rig(slop_s=0.02)
    for i in range(20):
        rig.infrared(100 * i).rgb(100 * i)
    assert rig.pairer.slop_s == 0.02


def test_a_frame_out_of_order_or_twice_is_late() -> None:
    rig = Rig().infrared(100, 90, 100)
    assert rig.pairer.drops == {"late": 2, "orphan": 0, "surplus": 0}
    assert rig.rgb(100).stamps == [(100, 100)]


def test_one_stream_alone_ends_no_pair_and_a_stream_that_comes_back_pairs_again() -> None:
    rig = Rig().settle()
    rig.rgb(*[300 + i * 33 for i in range(30)])
    assert rig.stamps == []
    rig.rgb(1300).infrared(1300)
    assert rig.stamps == [(1300, 1300)]


def test_a_bag_that_loops_keeps_pairing() -> None:
    rig = Rig()
    for _ in range(3):
        for i in range(100):
            rig.infrared(i * 100 / 3 + 2).rgb(i * 100 / 3)
    assert len(rig.pairs) >= 3 * 100 - 3 * 4
    assert rig.pairer.resets == 2


def test_a_bag_that_loops_with_full_queues_keeps_pairing() -> None:
    rig = Rig()
    for _ in range(2):
        rig.pairs.clear()
        rig.rgb(*[i * 33 for i in range(50)])
        for i in range(50, 100):
            rig.rgb(i * 33).infrared(i * 33)
    assert len(rig.pairs) == 50


def test_an_rgb_camera_that_jumps_back_before_the_infrared_one_costs_a_few_frames_only() -> None:
    rig = Rig().settle(frames=30)
    rig.rgb(0, 33).infrared(1000).rgb(66).infrared(1033).rgb(100)
    rig.pairs.clear()
    for i in range(4, 24):
        rig.infrared(i * 33).rgb(i * 33)
    assert len(rig.pairs) == 20


def test_a_jump_forward_pairs_on() -> None:
    rig = Rig().settle()
    rig.infrared(3_600_000).rgb(3_600_000)
    assert rig.stamps == [(3_600_000, 3_600_000)]


def test_another_time_offset_starts_pairing_anew() -> None:
    rig = Rig().infrared(0)
    rig.pairer.configure(0.02, 10, 0.01)
    assert rig.pairer.waiting == 0
    assert rig.rgb(90).infrared(100).stamps == [(100, 90)]


def test_the_offsets_are_summed_up() -> None:
    rig = Rig().infrared(0, 100).rgb(0, 100)
    summary = rig.pairer.offsets
    assert (summary.count, summary.mean_ns, summary.max_ns, summary.deviation_ns) == (2, 0, 0, 0)


def test_impossible_settings_are_refused() -> None:
    with pytest.raises(ValueError, match="slop_s -1"):
        NearestStampPairer(-1.0, 10)
    with pytest.raises(ValueError, match="queue_size 0"):
        NearestStampPairer(0.1, 0)


# An arrival is (camera, step to that camera's last stamp); steps back stay below what counts as a jump.
ARRIVALS = st.lists(
    st.tuples(st.booleans(), st.integers(-50 * MS, 120 * MS)), max_size=120
)


@settings(max_examples=300)
@given(ARRIVALS, st.sampled_from([0.001, 0.005, 0.02, 0.1]), st.integers(1, 12))
def test_pairs_are_in_order_within_the_slop_bounded_and_use_each_frame_once(arrivals, slop_s, queue_size) -> None:
    pairer: NearestStampPairer[int] = NearestStampPairer(slop_s, queue_size)
    newest = [0, 0]
    pairs = []
    for is_rgb, step in arrivals:
        newest[is_rgb] += step
        add = pairer.add_rgb if is_rgb else pairer.add_infrared
        pairs += add(newest[is_rgb], newest[is_rgb])
        assert pairer.waiting <= 2 * queue_size
    assert all(abs(pair.infrared - pair.rgb) <= slop_s * 1e9 for pair in pairs)
    assert all(pair.offset_ns == pair.infrared - pair.rgb for pair in pairs)
    if not pairer.resets:
        for one, two in pairwise(pairs):
            assert one.infrared < two.infrared
            assert one.rgb < two.rgb
    assert 2 * len(pairs) + sum(pairer.drops.values()) + pairer.waiting == len(arrivals)


@settings(max_examples=200)
@given(
    st.lists(st.integers(-3 * MS, 3 * MS), min_size=2, max_size=40),
    st.integers(-9 * MS, 9 * MS),
    st.integers(0, 60 * MS),
)
def test_two_cameras_of_one_rate_lose_no_pair_whatever_jitter_offset_and_delay(jitter, offset, delay) -> None:
    """Each infrared frame is nearest to its own RGB frame, and all come out, however late one stream arrives."""
    events = []
    for i, each in enumerate(jitter):
        events.append((i * PERIOD, False, i, i * PERIOD))
        events.append((i * PERIOD + offset + each + delay, True, i, i * PERIOD + offset + each))
    pairer: NearestStampPairer[int] = NearestStampPairer(0.02, 10)
    pairs = []
    for _, is_rgb, item, stamp in sorted(events):
        pairs += (pairer.add_rgb if is_rgb else pairer.add_infrared)(stamp, item)
    # one more frame each, so that the last pair is decided
    end = len(jitter) * PERIOD
    pairs += pairer.add_infrared(end, -1)
    pairs += pairer.add_rgb(end, -1)
    assert [(pair.infrared, pair.rgb) for pair in pairs] == [(i, i) for i in (*range(len(jitter)), -1)]


def _mutually_nearest(infrared, rgb, slop):
    """Every pair of stamps that are each other's strictly nearest, the slow and obvious way."""
    found = set()
    for a in infrared:
        b = min(rgb, key=lambda other: abs(other - a))
        nearest_back = min(infrared, key=lambda other: abs(other - b))
        ties = [other for other in infrared if other != a and abs(other - b) == abs(a - b)]
        ties += [other for other in rgb if other != b and abs(other - a) == abs(a - b)]
        if nearest_back == a and abs(a - b) <= slop and not ties:
            found.add((a, b))
    return found


STAMPS = st.lists(st.integers(0, 400), min_size=1, max_size=25, unique=True).map(sorted)


@settings(max_examples=300)
@given(STAMPS, STAMPS)
def test_mutually_nearest_frames_pair_when_the_slop_rules_out_any_other_choice(infrared, rgb) -> None:
    """All frames of one camera first, then the other's: nothing is unknown when a decision is made."""
    pairer: NearestStampPairer[int] = NearestStampPairer(20e-3, 100)
    pairs = []
    for stamp in infrared:
        pairs += pairer.add_infrared(stamp * MS, stamp)
    for stamp in [*rgb, 10_000]:
        pairs += pairer.add_rgb(stamp * MS, stamp)
    pairs += pairer.add_infrared(10_000 * MS, 10_000)
    made = {(pair.infrared, pair.rgb) for pair in pairs}
    # with a rival in reach another choice can be right; without one there is none
    for a, b in _mutually_nearest(infrared, rgb, 20):
        rivals = [x for x in infrared if x != a and abs(x - b) <= 40] + [x for x in rgb if x != b and abs(x - a) <= 40]
        if not rivals:
            assert (a, b) in made
