# SPDX-License-Identifier: Apache-2.0
from hypothesis import given
from hypothesis import strategies as st

from segmif_ros.data.sampling import spread


@given(st.integers(0, 200), st.integers(1, 200))
def test_a_spread_choice_has_the_wanted_number_from_end_to_end(count: int, wanted: int) -> None:
    chosen = spread(count, wanted)
    assert len(chosen) == min(count, wanted)
    assert chosen == sorted(set(chosen))
    if wanted > 1 and count:
        assert (chosen[0], chosen[-1]) == (0, count - 1)
