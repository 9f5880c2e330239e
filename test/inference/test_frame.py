# SPDX-License-Identifier: Apache-2.0
import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch.nn import functional as F

from segmif_ros.inference.frame import labels_and_confidence


@settings(max_examples=40, deadline=None)
@given(
    classes=st.integers(1, 20),
    sides=st.tuples(st.integers(1, 6), st.integers(1, 6)),
    enlarged=st.integers(1, 4),
    coarse=st.booleans(),
    seed=st.integers(0, 2**16),
)
def test_labels_are_the_first_class_of_the_highest_score_and_confidence_its_softmax(
    classes, sides, enlarged, coarse, seed
):
    logits = 3 * torch.randn(1, classes, *sides, generator=torch.Generator().manual_seed(seed))
    logits = logits.round() if coarse else logits  # ties
    before = logits.clone()
    height, width = (enlarged * side for side in sides)
    labels, confidence = (each.numpy() for each in labels_and_confidence(logits, height, width))
    full = F.interpolate(logits, size=(height, width), mode="bilinear", align_corners=False)[0].numpy()
    np.testing.assert_array_equal(labels, full.argmax(axis=0))
    exponents = np.exp(full - full.max(axis=0))
    np.testing.assert_allclose(confidence, 255 * (exponents / exponents.sum(axis=0)).max(axis=0), atol=0.501)
    assert torch.equal(logits, before)


def test_a_traced_graph_has_one_maximum_and_gives_the_same():
    logits = torch.randn(1, 5, 6, 8, generator=torch.Generator().manual_seed(1))
    traced = torch.jit.trace(lambda scores: labels_and_confidence(scores, 24, 32), logits)
    assert str(traced.graph).count("aten::max") == 1
    for ours, theirs in zip(labels_and_confidence(logits, 24, 32), traced(logits), strict=True):
        assert torch.equal(ours, theirs)


@pytest.mark.parametrize("shape", [(1, 4, 3, 3)])
def test_results_are_bytes_of_the_asked_size(shape):
    labels, confidence = labels_and_confidence(torch.zeros(shape), 5, 7)
    assert (labels.shape, labels.dtype) == ((5, 7), torch.uint8)
    assert (confidence == 64).all()
