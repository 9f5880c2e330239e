# SPDX-License-Identifier: Apache-2.0
import json
import math

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from segmif_ros.training.weighting import (
    AuthorsDynamicWeight,
    DynamicWeightAverage,
    FixedWeights,
    GradientNorm,
    UncertaintyWeights,
    combined,
)

positive = st.floats(0.01, 100)


def test_fixed_weights_stay():
    weighting = FixedWeights((1.0, 0.5))
    weighting.update((3.0, 9.0))
    assert weighting.weights() == (1.0, 0.5)


def test_the_authors_weights_are_plain_up_to_iteration_ten():
    weighting = AuthorsDynamicWeight((0.2, 0.8))
    for _ in range(11):
        assert weighting.weights() == (0.2, 0.8)
        weighting.update((1.0, 4.0))
    weighting.update((2.0, 1.0))
    assert weighting.weights() != (0.2, 0.8)


def test_the_authors_weights_follow_the_published_formula():
    weighting = AuthorsDynamicWeight((0.4, 0.8))
    for _ in range(10):
        weighting.update((9.0, 9.0))
    weighting.update((1.0, 2.0))
    weighting.update((3.0, 1.0))
    a, b = math.exp(3.0 / 1000), math.exp(0.5 / 1000)
    assert weighting.weights() == pytest.approx((0.4 * 2 * a / (a + b), 0.8 * 2 * b / (a + b)))


def test_the_authors_weights_are_constant_in_practice():
    weighting = AuthorsDynamicWeight((0.4, 0.8))
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


def test_a_window_without_any_label_says_nothing_of_the_trend():
    weighting = DynamicWeightAverage((1.0, 1.0), window=1)
    for losses in ((1.0, 2.0), (1.0, 0.0)):
        weighting.update(losses)
    assert weighting.weights() == pytest.approx((1.0, 1.0))
    weighting.update((1.0, 1.0))
    a, b = math.exp(1.0 / 2), math.exp(0.5 / 2)  # against the window of labels two before
    assert weighting.weights() == pytest.approx((2 * a / (a + b), 2 * b / (a + b)))


@given(st.lists(st.tuples(positive, positive), min_size=4, max_size=12))
def test_equal_base_weights_keep_their_sum(history):
    weighting = DynamicWeightAverage((1.0, 1.0), window=2)
    for losses in history:
        weighting.update(losses)
        assert sum(weighting.weights()) == pytest.approx(2.0)


@pytest.mark.parametrize(
    "fresh",
    [lambda: DynamicWeightAverage((1.0, 0.7), window=3), lambda: AuthorsDynamicWeight((0.1, 0.8))],
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


def scalars(*values):
    return tuple(torch.tensor(value, requires_grad=True) for value in values)


def test_a_weighted_sum_passes_each_loss_its_weight():
    losses = scalars(3.0, 5.0)
    total = combined(FixedWeights((2.0, 0.5)), losses, known=(True, True), share=1.0)
    total.backward()
    assert total.item() == 8.5
    assert [loss.grad.item() for loss in losses] == [2.0, 0.5]


def test_learned_weights_follow_the_published_formula():
    weighting = UncertaintyWeights((2.0, 0.5))
    weighting.restore({"log_variances": [1.0, -2.0]})
    losses = scalars(3.0, 5.0)
    total = combined(weighting, losses, known=(True, True), share=1.0)
    assert total.item() == pytest.approx(2 * math.exp(-1) * 3 + 0.5 + 0.5 * math.exp(2) * 5 - 1)
    total.backward()
    assert losses[0].grad.item() == pytest.approx(2 * math.exp(-1))
    assert weighting.weights() == pytest.approx((2 * math.exp(-1), 0.5 * math.exp(2)))


def test_learned_weights_rest_where_all_losses_count_one_half():
    weighting = UncertaintyWeights((1.0, 0.3))
    optimiser = torch.optim.SGD([weighting.log_variances], lr=0.5)
    for _ in range(40):
        optimiser.zero_grad()
        combined(weighting, scalars(4.0, 0.1), known=(True, True), share=1.0).backward()
        optimiser.step()
    assert weighting.weights() == pytest.approx((0.5 / 4.0, 0.5 / 0.1), rel=1e-3)


def test_a_loss_without_truth_leaves_its_learned_weight_alone():
    weighting = UncertaintyWeights((1.0, 1.0))
    losses = scalars(4.0, 0.0)
    combined(weighting, losses, known=(True, False), share=1.0).backward()
    first, second = weighting.log_variances.grad.tolist()
    assert first == pytest.approx(0.5 - 4.0)
    assert second == 0.0


def test_the_parts_of_a_batch_add_up_to_the_whole_with_learned_weights():
    weighting = UncertaintyWeights((1.0, 1.0))
    weighting.restore({"log_variances": [0.3, 0.2]})
    whole = combined(weighting, scalars(4.0, 2.0), known=(True, True), share=1.0)
    parts = [combined(weighting, scalars(2.0, 1.0), known=(True, True), share=0.5) for _ in range(2)]
    assert sum(parts).item() == pytest.approx(whole.item())


def test_restored_learned_weights_are_equal_to_the_bit():
    first, second = UncertaintyWeights((1.0, 1.0)), UncertaintyWeights((1.0, 1.0))
    first.restore({"log_variances": [0.1, 1 / 3]})
    second.restore(json.loads(json.dumps(first.state())))
    assert torch.equal(first.log_variances, second.log_variances)


def shown(weighting, losses, norms):
    """One step: what its weighted gradients measured, then its losses."""
    weighting.observe(norms)
    weighting.update(losses)
    return weighting.weights()


def test_gradient_norm_follows_the_published_formula():
    weighting = GradientNorm((2.0, 0.5), rate=0.1, asymmetry=1.5)
    assert weighting.weights() == (2.0, 0.5)
    # nothing has fallen yet: both targets are the mean norm, 2; down by 0.1 x 3, up by 0.1 x 1, the mean back to 1
    first = shown(weighting, (4.0, 1.0), (3.0, 1.0))
    a, b = 1 - 0.3, 1 + 0.1
    mean = (a + b) / 2
    assert first == pytest.approx((2 * a / mean, 0.5 * b / mean))
    # left are 1/4 and 1 of the losses, their mean 0.625: targets 2 (0.4 ** 1.5) and 2 (1.6 ** 1.5)
    a, b = a / mean, b / mean
    second = shown(weighting, (1.0, 1.0), (1.0, 3.0))
    a, b = a - 0.1 * 1.0 / a, b + 0.1 * 3.0 / b
    mean = (a + b) / 2
    assert second == pytest.approx((2 * a / mean, 0.5 * b / mean))


def test_gradient_norm_without_asymmetry_makes_the_gradients_equal():
    weighting = GradientNorm((1.0, 1.0), rate=0.01, asymmetry=0.0)
    for _ in range(500):
        first, second = weighting.weights()
        shown(weighting, (1.0, 5.0), (3.0 * first, 1.0 * second))
    first, second = weighting.weights()
    assert 3.0 * first == pytest.approx(second, rel=0.1)
    assert first + second == pytest.approx(2.0)


def test_gradient_norm_keeps_its_factors_in_a_batch_without_labels():
    weighting = GradientNorm((1.0, 1.0), rate=0.1)
    assert shown(weighting, (1.0, 0.0), (1.0, 0.0)) == (1.0, 1.0)
    before = shown(weighting, (1.0, 2.0), (3.0, 1.0))
    assert before != (1.0, 1.0)
    assert shown(weighting, (1.0, 0.0), (3.0, 0.0)) == before


def test_gradient_norm_never_turns_a_loss_off():
    weighting = GradientNorm((1.0, 1.0), rate=100.0)
    assert all(weight > 0 for weight in shown(weighting, (1.0, 1.0), (3.0, 1.0)))


def test_restored_gradient_norm_goes_on_exactly():
    whole, second = GradientNorm((1.0, 0.7)), GradientNorm((1.0, 0.7))
    shown(whole, (3.0, 2.0), (2.0, 1.0))
    second.restore(json.loads(json.dumps(whole.state())))
    assert shown(second, (1.0, 2.0), (1.0, 4.0)) == shown(whole, (1.0, 2.0), (1.0, 4.0))
