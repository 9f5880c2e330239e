# SPDX-License-Identifier: Apache-2.0
import dataclasses
from pathlib import Path

import numpy as np
import pytest
import torch

from segmif_ros.data.transforms import AugmentConfig, Sample
from segmif_ros.model import SegMiF, SegMiFConfig
from segmif_ros.training.batches import Batch
from segmif_ros.training.config import RoundsConfig
from segmif_ros.training.losses import fusion_loss_first_round, fusion_loss_later_rounds
from segmif_ros.training.phases import Truth
from segmif_ros.training.recipe_file import read_recipe
from segmif_ros.training.rounds import phases_of
from segmif_ros.training.weighting import FixedWeights

PUBLISHED = read_recipe(Path(__file__).parents[2] / "config" / "training" / "paper.yaml")
SMALL = dataclasses.replace(
    PUBLISHED,
    steps=9,
    rounds=RoundsConfig(count=2, first_fusion_steps=3, fusion_steps=2, segmentation_steps=2, segmentation_crop=48),
    model=SegMiFConfig(encoder="mit_b0", fusion_channels=8, growth=4, fusion_scale=4, decoder_channels=8),
    prior="mean",
)


@pytest.fixture
def model():
    torch.manual_seed(0)
    return SegMiF(SMALL.model)


@pytest.fixture
def batch():
    generator = torch.Generator().manual_seed(1)
    counts = {"infrared": 1, "rgb": 3, "prior": 1, "target": 1}
    planes = {name: torch.rand((2, count, 64, 64), generator=generator) for name, count in counts.items()}
    labels = torch.randint(0, 15, (2, 64, 64), generator=generator)
    return Batch(**planes, labels=labels, absent=torch.zeros_like(labels, dtype=torch.uint8), names=("a", "b"))


def taken(phase, model, batch, step=None):
    phase.begin(model)
    return phase.losses(model, batch, phase.first if step is None else step, Truth(total=float(batch.labels.numel())))


def test_the_published_rounds_have_the_published_lengths():
    phases = phases_of(PUBLISHED)
    assert [phase.end - phase.first for phase in phases] == [6000, 10000] + [4000, 10000] * 6
    assert phases[0].first == 0
    assert phases[-1].end == PUBLISHED.steps
    assert [phase.first for phase in phases[1:]] == [phase.end for phase in phases[:-1]]
    assert phases[3].name == "round 2 of 7, segmentation"


def test_steps_that_are_not_those_of_the_rounds_are_refused():
    with pytest.raises(ValueError, match="steps is 5: the rounds come to 100000, write that"):
        dataclasses.replace(PUBLISHED, steps=5)


def test_a_schedule_shorter_than_its_phase_is_refused():
    with pytest.raises(ValueError, match=r"rounds.fusion_schedule_steps is 20: the rate would be zero before the last"):
        RoundsConfig(fusion_schedule_steps=20)


@pytest.mark.parametrize(
    ("number", "place", "expected"), [(1, 0, 1e-8), (1, 1, 9.9995e-5), (1, 5999, 7.0005e-5), (7, 3999, 1.143e-5)]
)
def test_the_fusion_rate_is_the_authors_and_starts_anew_in_each_round(model, number, place, expected):
    phase = phases_of(PUBLISHED)[2 * (number - 1)]
    phase.begin(model)
    (group,) = phase.groups(model)
    assert group["base_lr"] * phase.rate_factor(phase.first + place) == pytest.approx(expected, rel=1e-3)
    assert group["weight_decay"] == 0.01


@pytest.mark.parametrize(("number", "place", "expected"), [(1, 0, 8e-11), (1, 3000, 7.85e-5), (7, 9999, 4.5e-5)])
def test_the_segmentation_rate_is_the_authors_and_goes_on_over_the_rounds(model, number, place, expected):
    phase = phases_of(PUBLISHED)[2 * (number - 1) + 1]
    phase.begin(model)
    groups = {group["name"]: group for group in phase.groups(model)}
    assert set(groups) == {"encoder", "encoder_norm", "decoder"}
    assert groups["encoder"]["base_lr"] * phase.rate_factor(phase.first + place) == pytest.approx(expected, rel=1e-3)


@pytest.mark.parametrize(("index", "moving"), [(0, "fusion."), (1, "segmentation."), (2, "fusion.")])
def test_a_phase_moves_its_own_network_alone(model, batch, index, moving):
    fusion, segmentation = taken(phases_of(SMALL)[index], model, batch)
    (fusion + segmentation).backward()
    graded = {name for name, each in model.named_parameters() if each.grad is not None}
    assert graded
    assert all(name.startswith(moving) for name in graded)


def test_round_one_knows_the_first_rounds_fusion_loss_alone(model, batch):
    phase = phases_of(SMALL)[0]
    fusion, segmentation = taken(phase, model, batch)
    fused = model.fuse(batch.infrared, _luma(batch.rgb), batch.prior)
    assert fusion.item() == pytest.approx(fusion_loss_first_round(fused, batch.target).item())
    assert segmentation.item() == 0
    assert phase.weighting(torch.device("cpu")).weights() == (1.0, 0.0)


def test_later_rounds_balance_the_later_fusion_loss_with_the_frozen_networks_answer(model, batch):
    phase = phases_of(SMALL)[2]
    fusion, segmentation = taken(phase, model, batch)
    fused = model.fuse(batch.infrared, _luma(batch.rgb), batch.prior)
    assert fusion.item() == pytest.approx(fusion_loss_later_rounds(fused, batch.target).item())
    assert segmentation.item() > 0
    assert phase.weighting(torch.device("cpu")).weights() == (0.2, 0.8)
    segmentation.backward()
    assert model.fusion.conv22.weight.grad.abs().sum() > 0  # through the frozen network


@pytest.mark.parametrize("training", [False, True])
def test_the_helper_keeps_its_statistics_in_either_mode(model, batch, training):
    config = dataclasses.replace(SMALL, rounds=dataclasses.replace(SMALL.rounds, helper_in_training_mode=training))
    phase = phases_of(config)[2]
    norm = model.segmentation.denoise_net.decoder.linear_fuse.bn
    before = norm.running_mean.clone(), norm.momentum
    first, second = (taken(phase, model, batch)[1].item() for _ in range(2))
    assert norm.training == training
    assert (first != second) == training  # dropout
    assert torch.equal(norm.running_mean, before[0])
    assert norm.momentum == before[1]


@pytest.mark.parametrize("eight_bit", [False, True])
def test_the_segmentation_phase_sees_the_fused_image_as_it_will_be_shown(model, batch, eight_bit):
    config = dataclasses.replace(SMALL, rounds=dataclasses.replace(SMALL.rounds, eight_bit=eight_bit))
    seen = []
    model.segmentation.register_forward_pre_hook(lambda _, given: seen.append(given[0]))
    taken(phases_of(config)[1], model, batch)
    (image,) = seen
    assert 0 <= float(image.min()) <= float(image.max()) <= 1
    steps = image * 255
    assert torch.allclose(steps, steps.round(), atol=1e-3) == eight_bit
    assert not image.requires_grad


@pytest.mark.parametrize("red_plane", [False, True])
def test_the_segmentation_phase_fuses_the_plane_that_the_recipe_names(model, batch, red_plane):
    config = dataclasses.replace(SMALL, rounds=dataclasses.replace(SMALL.rounds, red_plane=red_plane))
    seen = []
    model.fusion.register_forward_pre_hook(lambda _, given: seen.append(given[1]))
    taken(phases_of(config)[1], model, batch)
    assert torch.equal(seen[0], batch.rgb[:, :1] if red_plane else _luma(batch.rgb))


def test_the_segmentation_phase_can_settle_its_normalisation_after_some_steps(model, batch):
    rounds = dataclasses.replace(SMALL.rounds, segmentation_training_mode_steps=1)
    phase = phases_of(dataclasses.replace(SMALL, rounds=rounds))[1]
    norm = model.segmentation.denoise_net.decoder.linear_fuse.bn
    taken(phase, model, batch, phase.first)
    assert norm.training
    taken(phase, model, batch, phase.first + 1)
    assert not norm.training


def test_the_segmentation_loss_of_a_phase_is_divided_by_the_whole_batchs_labels(model, batch):
    phase = phases_of(SMALL)[1]
    phase.begin(model)
    found = []
    for total in (1000.0, 500.0):
        torch.manual_seed(5)  # dropout
        found.append(phase.losses(model, batch, phase.first, Truth(total=total))[1].item())
    assert found[1] == pytest.approx(2 * found[0])


@pytest.mark.parametrize("changes", [{"method": "segmentation"}, {"method": "joint", "fusion_first_steps": 2}])
def test_a_phase_with_one_loss_balances_nothing(changes):
    phase = phases_of(dataclasses.replace(SMALL, weighting="uncertainty", **changes))[0]
    weighting = phase.weighting(torch.device("cpu"))
    assert isinstance(weighting, FixedWeights)
    assert 0.0 in weighting.weights()


class OneColour:
    """A source of one grey image, larger than any crop."""

    def __len__(self):
        return 1

    def files(self):
        return []

    def sample(self, index, rng):
        rgb = np.full((64, 64, 3), 100, np.uint8)
        return Sample(infrared=rgb[..., 0], rgb=rgb, labels=np.zeros((64, 64), np.uint8), name="grey")


def test_the_segmentation_phase_has_its_own_crops_and_colours():
    augment = AugmentConfig(crop_height=32, crop_width=40, scale_min=1.0, scale_max=1.0)
    config = dataclasses.replace(SMALL, rounds=dataclasses.replace(SMALL.rounds, segmentation_colour=False))
    fusion, segmentation = (
        [phase.samples([(OneColour(), 1.0, augment)])[number]["rgb"] for number in range(4)]
        for phase in phases_of(config)[:2]
    )
    assert {tuple(each.shape) for each in fusion} == {(3, 32, 40)}
    assert {tuple(each.shape) for each in segmentation} == {(3, 48, 48)}
    assert any(not torch.allclose(each, torch.tensor(100 / 255)) for each in fusion)
    assert all(torch.allclose(each, torch.tensor(100 / 255)) for each in segmentation)


def _luma(rgb):
    return 0.299 * rgb[:, :1] + 0.587 * rgb[:, 1:2] + 0.114 * rgb[:, 2:]


def test_joint_training_can_begin_with_the_fusion_network_alone(model, batch):
    first, then = phases_of(
        dataclasses.replace(SMALL, method="joint", steps=5, fusion_first_steps=2, first_round_steps=1)
    )
    assert [(each.first, each.end) for each in (first, then)] == [(0, 2), (2, 5)]
    fusion, segmentation = taken(first, model, batch, step=1)
    assert segmentation.item() == 0.0
    torch.autograd.backward(fusion)
    assert model.fusion.conv2.weight.grad.abs().sum() > 0
    assert all(parameter.grad is None for parameter in model.segmentation.parameters())


@pytest.mark.parametrize("changes", [{"fusion_first_steps": 9}, {"fusion_first_steps": 2, "method": "segmentation"}])
def test_fusion_steps_that_leave_nothing_to_train_jointly_are_refused(changes):
    with pytest.raises(ValueError, match=r"fusion_first_steps is \d: it must be from 0 to steps - 1"):
        dataclasses.replace(SMALL, **{"method": "joint", **changes})


def test_on_a_cpu_the_fusion_network_stays_in_float32(batch):
    gradients = []
    for precision in ("float32", "bfloat16"):
        torch.manual_seed(0)
        model = SegMiF(dataclasses.replace(SMALL.model, fusion_channels=16, growth=8))
        config = dataclasses.replace(SMALL, method="joint", steps=5, fusion_first_steps=2, precision=precision)
        loss, _ = taken(phases_of(config)[0], model, batch)
        torch.autograd.backward(loss)
        gradients.append(model.fusion.DRDB3.Dcov2.weight.grad)
    assert gradients[1].isfinite().all()
    torch.testing.assert_close(gradients[1], gradients[0], rtol=0.05, atol=1e-5)  # the prior's features are rounded


def test_the_fusion_network_can_be_trained_alone(model, batch):
    (only,) = phases_of(dataclasses.replace(SMALL, method="fusion", steps=5))
    fusion, segmentation = taken(only, model, batch)
    assert (only.first, only.end) == (0, 5)
    assert segmentation.item() == 0.0
    torch.autograd.backward(fusion)
    assert all(parameter.grad is None for parameter in model.segmentation.parameters())
