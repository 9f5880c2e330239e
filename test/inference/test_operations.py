# SPDX-License-Identifier: Apache-2.0
"""Counted operations are those that the description of the network states."""

import pytest
import torch

from segmif_ros.inference.operations import count_parameters, count_work, measure_rates
from segmif_ros.model import Rewrites, SegMiF, SegMiFConfig, use_rewrites


@pytest.mark.parametrize(
    ("encoder", "plain_gmac", "rewritten_gmac"), [("mit_b0", 330.5, 307.2), ("mit_b3", 413.6, 356.5)]
)
def test_published_sizes_cost_what_the_description_states(
    encoder: str, plain_gmac: float, rewritten_gmac: float
) -> None:
    model = SegMiF(SegMiFConfig(encoder=encoder, num_classes=9)).eval()
    assert 0.5e-9 * count_work(model, 480, 640).operations == pytest.approx(rewritten_gmac, abs=0.3)
    use_rewrites(model, Rewrites.none())
    assert 0.5e-9 * count_work(model, 480, 640).operations == pytest.approx(plain_gmac, abs=0.3)


def test_bytes_are_those_of_inputs_weights_and_outputs() -> None:
    class Net(torch.nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.conv = torch.nn.Conv2d(3, 7, 3, padding=1)

        def forward(self, infrared: torch.Tensor, rgb: torch.Tensor, prior: torch.Tensor) -> torch.Tensor:
            return torch.relu(self.conv(rgb)) + infrared * prior  # what isn't a matrix operation counts as merged

    work = count_work(Net(), 10, 20)
    assert work.bytes_moved == 4 * (3 * 200 + 7 * 200 + 7 * 3 * 9 + 7)
    assert work.operations == 2 * 7 * 3 * 9 * 200


def test_rates_are_measured_for_each_precision() -> None:
    rates = measure_rates(torch.device("cpu"), ("float32", "bfloat16"), side=64)
    assert set(rates.operations_per_s) == {"float32", "bfloat16"}
    assert min(*rates.operations_per_s.values(), rates.bytes_per_s) > 1e6


def test_parameters_are_all_of_the_checkpoint() -> None:
    assert count_parameters(SegMiF(SegMiFConfig(encoder="mit_b0", num_classes=9))) == 1_028_226 + 3_718_761
