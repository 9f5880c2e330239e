# SPDX-License-Identifier: Apache-2.0
import copy

import pytest
import torch
from torch import nn

from segmif_ros.model import SegMiF, SegMiFConfig
from segmif_ros.training.optimiser import lay_out_like_parameters, parameter_groups, poly_factor, set_learning_rate


@pytest.mark.parametrize(
    ("step", "expected"),
    [(0, 8e-11), (3000, 7.85e-5), (69999, 4.5e-5)],
)
def test_the_segmentation_schedule_gives_the_authors_rates(step, expected):
    factor = poly_factor(step, warm_steps=3000, warm_ratio=1e-6, max_steps=160000)
    assert 8e-5 * factor == pytest.approx(expected, rel=1e-4)


@pytest.mark.parametrize(("step", "expected"), [(0, 1e-8), (1, 9.9995e-5), (5999, 7.0005e-5)])
def test_the_fusion_schedule_warms_up_for_its_first_step_only(step, expected):
    assert 1e-4 * poly_factor(step, warm_steps=3e-5, warm_ratio=1e-4, max_steps=20000) == pytest.approx(expected)


def test_the_rate_ends_at_zero():
    assert poly_factor(99, warm_steps=10, warm_ratio=0.1, max_steps=100) == pytest.approx(0.01)
    assert poly_factor(100, warm_steps=10, warm_ratio=0.1, max_steps=100) == 0.0


@pytest.fixture(scope="module")
def groups():
    with torch.device("meta"):
        model = SegMiF(SegMiFConfig(encoder="mit_b3", num_classes=9))
    made = parameter_groups(model, encoder_lr=8e-5, decoder_lr=8e-4, fusion_lr=1e-4, weight_decay=0.01)
    return {group["name"]: group for group in made}, model


def test_the_groups_have_the_authors_sizes(groups):
    sizes = {name: len(group["params"]) for name, group in groups[0].items()}
    assert sizes["encoder"] == 394
    assert sizes["encoder_norm"] == 178
    assert sizes["decoder"] == 14


def test_only_the_encoders_norms_are_not_decayed(groups):
    assert {name: group["weight_decay"] for name, group in groups[0].items()} == {
        "encoder": 0.01,
        "encoder_norm": 0.0,
        "decoder": 0.01,
        "fusion": 0.01,
    }


def test_every_parameter_is_in_one_group(groups):
    made, model = groups
    grouped = [id(parameter) for group in made.values() for parameter in group["params"]]
    assert sorted(grouped) == sorted(id(parameter) for parameter in model.parameters())


def test_the_factor_scales_each_groups_own_base():
    parameter = torch.nn.Parameter(torch.zeros(1))
    optimiser = torch.optim.AdamW([{"params": [parameter], "lr": 2.0, "base_lr": 2.0}])
    set_learning_rate(optimiser, 0.5)
    set_learning_rate(optimiser, 0.25)
    assert optimiser.param_groups[0]["lr"] == 0.5


def test_a_state_goes_on_with_the_weights_in_another_layout():
    def stepped(layer, state=None):
        optimiser = torch.optim.AdamW(layer.parameters(), lr=0.1, fused=True)
        if state:
            optimiser.load_state_dict(state)
            lay_out_like_parameters(optimiser)
        optimiser.zero_grad()
        (layer(image) * weight).sum().backward()
        optimiser.step()
        return optimiser.state_dict()

    torch.manual_seed(0)
    image, weight = torch.rand(1, 3, 6, 6), torch.rand(1, 4, 4, 4)
    layer = nn.Conv2d(3, 4, 3)
    state = stepped(layer)
    other = copy.deepcopy(layer).to(memory_format=torch.channels_last)
    assert other.weight.stride() != layer.weight.stride()
    stepped(layer, copy.deepcopy(state))
    stepped(other, copy.deepcopy(state))
    assert torch.allclose(layer.weight, other.weight, atol=1e-6)
