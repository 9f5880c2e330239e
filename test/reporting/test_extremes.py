# SPDX-License-Identifier: Apache-2.0
"""Which frames are the best and the worst."""

from hypothesis import given, settings
from hypothesis import strategies as st

from segmif_ros.reporting.extremes import Extremes

SCORES = st.lists(st.tuples(st.integers(0, 5), st.integers(0, 99)), unique_by=lambda each: each[1], max_size=30)


@settings(deadline=None)
@given(SCORES, st.randoms())
def test_the_extremes_do_not_depend_on_the_order(scores: list[tuple[int, int]], random: object) -> None:
    extremes = Extremes(3)
    random.shuffle(scores)  # type: ignore[attr-defined]
    for score, number in scores:
        extremes.offer(f"{number:03d}", float(score))
    ordered = sorted((float(score), f"{number:03d}") for score, number in scores)
    assert extremes.worst() == ordered[:3]
    assert extremes.best() == ordered[-3:][::-1]


@settings(deadline=None)
@given(SCORES)
def test_what_was_wanted_and_not_given_up_are_the_extremes(scores: list[tuple[int, int]]) -> None:
    extremes = Extremes(2)
    kept: set[str] = set()
    for score, number in scores:
        wanted, gone = extremes.offer(f"{number:03d}", float(score))
        kept |= {f"{number:03d}"} if wanted else set()
        kept -= {gone} if gone else set()
    assert kept == extremes.keys()


def test_a_frame_without_a_score_is_none() -> None:
    assert Extremes(3).offer("a", None) == (False, None)
