# SPDX-License-Identifier: Apache-2.0
import json
import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from segmif_ros.training.weighting import AuthorsDynamicWeight, DynamicWeightAverage, FixedWeights

positive = st.floats(0.01, 100)


def test_fixed_weights_stay():
    weighting = FixedWeights((1.0, 0.5))
    weighting.update((3.0, 9.0))
    assert weighting.weights() == (1.0, 0.5)


def test_the_authors_weights_are_plain_up_to_iteration_ten():
    weighting = AuthorsDynamicWeight.for_round(2)
    for _ in range(11):
        assert weighting.weights() == (0.2, 0.8)
        weighting.update((1.0, 4.0))
    weighting.update((2.0, 1.0))
    assert weighting.weights() != (0.2, 0.8)


def test_the_authors_weights_follow_the_published_formula():
    weighting = AuthorsDynamicWeight.for_round(1)
    for _ in range(10):
        weighting.update((9.0, 9.0))
    weighting.update((1.0, 2.0))
    weighting.update((3.0, 1.0))
    a, b = math.exp(3.0 / 1000), math.exp(0.5 / 1000)
    assert weighting.weights() == pytest.approx((0.4 * 2 * a / (a + b), 0.8 * 2 * b / (a + b)))


def test_the_authors_weights_are_constant_in_practice():
    weighting = AuthorsDynamicWeight.for_round(1)
    for _ in range(11):
        weighting.update((1.0, 1.0))
    weighting.update((2.0, 1.0))
    assert weighting.weights() == pytest.approx((0.4, 0.8), rel=1e-3)


def test_the_dynamic_average_gives_more_weight_to_the_loss_that_falls_more_slowly():
    weighting = DynamicWeightAverage((1.0, 1.0), temperature=2.0, window=2)
    for losses in ((1.0, 1.0), (3.0, 3.0), (1.0, 2.0), (1.0, 2.0)):
        assert weighting.weights() == (1.0, 1.0)
        weighting.update(losses)
    # window means 2, 2 then 1, 2: ratios 0.5 and 1
    a, b = math.exp(0.5 / 2), math.exp(1.0 / 2)
    assert weighting.weights() == pytest.approx((2 * a / (a + b), 2 * b / (a + b)))


def test_a_batch_without_labels_does_not_pull_the_window_down():
    weighting = DynamicWeightAverage((1.0, 1.0), window=2)
    for losses in ((1.0, 2.0), (1.0, 0.0), (1.0, 2.0), (1.0, 2.0)):
        weighting.update(losses)
    assert weighting.weights() == pytest.approx((1.0, 1.0))


@given(st.lists(st.tuples(positive, positive), min_size=4, max_size=12))
def test_equal_base_weights_keep_their_sum(history):
    weighting = DynamicWeightAverage((1.0, 1.0), window=2)
    for losses in history:
        weighting.update(losses)
        assert sum(weighting.weights()) == pytest.approx(2.0)


@pytest.mark.parametrize(
    "fresh",
    [lambda: DynamicWeightAverage((1.0, 0.7), window=3), lambda: AuthorsDynamicWeight.for_round(3)],
    ids=["average", "authors"],
)
@given(history=st.lists(st.tuples(positive, positive), min_size=2, max_size=20), cut=st.integers(0, 20))
def test_a_restored_weighting_goes_on_exactly(fresh, history, cut):
    whole, first, second = fresh(), fresh(), fresh()
    for losses in history:
        whole.update(losses)
    for losses in history[:cut]:
        first.update(losses)
    second.restore(json.loads(json.dumps(first.state())))
    for losses in history[cut:]:
        second.update(losses)
    assert second.weights() == whole.weights()
