# SPDX-License-Identifier: Apache-2.0
"""Counted operations are those that the description of the network states."""

import pytest

from segmif_ros.inference.operations import count_operations, count_parameters
from segmif_ros.inference.plain import PlainSegMiF
from segmif_ros.model import SegMiF, SegMiFConfig


@pytest.mark.parametrize(
    ("encoder", "plain_gmac", "rewritten_gmac"), [("mit_b0", 330.5, 307.2), ("mit_b3", 413.6, 356.5)]
)
def test_published_sizes_cost_what_the_description_states(
    encoder: str, plain_gmac: float, rewritten_gmac: float
) -> None:
    model = SegMiF(SegMiFConfig(encoder=encoder, num_classes=9)).eval()
    assert 0.5e-9 * count_operations(PlainSegMiF(model), 480, 640) == pytest.approx(plain_gmac, abs=0.3)
    assert 0.5e-9 * count_operations(model, 480, 640) == pytest.approx(rewritten_gmac, abs=0.3)


def test_parameters_are_all_of_the_checkpoint() -> None:
    assert count_parameters(SegMiF(SegMiFConfig(encoder="mit_b0", num_classes=9))) == 1_028_226 + 3_718_761
