# SPDX-License-Identifier: Apache-2.0
"""The designs that the cascade is compared with: shapes, checkpoints, and what each camera can change."""

import dataclasses
from pathlib import Path

import pytest
import safetensors.torch
import torch

from segmif_ros.model import CheckpointError, SegMiF, SegMiFConfig, load_checkpoint, save_checkpoint
from segmif_ros.model.checkpoint import load_network
from segmif_ros.model.designs import OnePass, build

SMALL = SegMiFConfig(encoder="mit_b0", num_classes=4, fusion_channels=8, decoder_channels=16, design="early")
DESIGNS = ("early", "two_branch")


def made(design: str) -> OnePass:
    torch.manual_seed(3)
    network = build(dataclasses.replace(SMALL, design=design))
    assert isinstance(network, OnePass)
    return network.eval()


def pair(height: int = 45, width: int = 66) -> tuple[torch.Tensor, torch.Tensor]:
    generator = torch.Generator().manual_seed(1)
    return torch.rand(1, 1, height, width, generator=generator), torch.rand(1, 3, height, width, generator=generator)


@pytest.mark.parametrize("design", DESIGNS)
def test_a_pair_of_any_size_gives_a_fused_image_and_logits_as_the_cascade_does(design: str) -> None:
    output = made(design)(*pair())
    assert output.fused_luma.shape == (1, 1, 45, 66)
    assert output.fused_rgb.shape == (1, 3, 45, 66)
    assert output.logits.shape == (1, 4, 12, 17)
    assert 0 <= output.fused_rgb.min() <= output.fused_rgb.max() <= 1


@pytest.mark.parametrize("design", DESIGNS)
def test_both_cameras_reach_both_results(design: str) -> None:
    network, (infrared, rgb) = made(design), pair()
    whole = network(infrared, rgb)
    for changed in (network(infrared.flip(-1), rgb), network(infrared, rgb.flip(-1))):
        assert not torch.equal(changed.logits, whole.logits)
        assert not torch.equal(changed.fused_luma, whole.fused_luma)


def test_early_fusion_is_a_first_convolution_of_four_channels() -> None:
    network, (infrared, rgb) = made("early"), pair()
    parts = network.segmentation
    embedding = parts.denoise_net.encoder.patch_embed1
    image = torch.cat(((255 * rgb - parts.mean) / parts.std, 4 * infrared - 2), dim=1)
    weight = torch.cat((embedding.proj.weight, parts.thermal.weight), dim=1)
    convolved = torch.nn.functional.conv2d(image, weight, embedding.proj.bias, stride=4, padding=3)
    tokens, height, width = embedding.normalised(convolved)
    expected = parts.denoise_net.encoder.finished(1, tokens, height, width)
    torch.testing.assert_close(parts.stages(infrared, rgb)[0], expected)


@pytest.mark.parametrize("design", DESIGNS)
def test_a_checkpoint_says_its_design_and_gives_the_same_results(design: str, tmp_path: Path) -> None:
    network = made(design)
    save_checkpoint(network, tmp_path / "a.safetensors", {"name": "mine"})
    again = load_network(tmp_path / "a.safetensors")
    assert isinstance(again, OnePass)
    assert (again.config.design, again.metadata["name"]) == (design, "mine")
    assert torch.equal(again(*pair()).logits, network(*pair()).logits)


def test_where_a_cascade_is_needed_another_design_is_refused_with_what_to_do(tmp_path: Path) -> None:
    save_checkpoint(made("early"), tmp_path / "a.safetensors")
    with pytest.raises(CheckpointError, match="design 'early': write it as a model folder \\(segmif export"):
        load_checkpoint(tmp_path / "a.safetensors")


def test_a_design_that_is_not_known_is_refused(tmp_path: Path) -> None:
    save_checkpoint(made("early"), tmp_path / "a.safetensors")
    tensors = safetensors.torch.load_file(tmp_path / "a.safetensors")
    safetensors.torch.save_file(tensors, tmp_path / "b.safetensors", {"design": "late"})
    with pytest.raises(CheckpointError, match="design is late: this software knows cascade, early, two_branch"):
        load_network(tmp_path / "b.safetensors")


def test_the_authors_mode_is_of_the_cascade_alone() -> None:
    with pytest.raises(ValueError, match="has no mode but 'robot'"):
        made("early")(*pair(), mode="authors")


def test_the_cascade_is_built_as_before() -> None:
    assert isinstance(build(SegMiFConfig(encoder="mit_b0", fusion_channels=8, growth=4)), SegMiF)
