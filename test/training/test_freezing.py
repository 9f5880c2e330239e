# SPDX-License-Identifier: Apache-2.0
import pytest

from segmif_ros.model import SegMiF, SegMiFConfig
from segmif_ros.training.freezing import FROZEN_PARTS, freeze, hold_still, require_known

NET = "segmentation.denoise_net."


@pytest.fixture(scope="module")
def sizes():
    return SegMiFConfig(
        encoder="mit_b0", fusion_channels=8, growth=4, fusion_scale=2, fusion_output="blend", decoder_channels=16
    )


def moving(model):
    return {name for name, each in model.named_parameters() if each.requires_grad}


@pytest.mark.parametrize("part", FROZEN_PARTS)
def test_every_part_holds_parameters(sizes, part):
    model = SegMiF(sizes)
    every = moving(model)
    freeze(model, [part])
    assert moving(model) < every


def test_a_stage_of_the_encoder_is_frozen_alone(sizes):
    model = SegMiF(sizes)
    every = moving(model)
    freeze(model, ["encoder.stages.1"])
    stopped = every - moving(model)
    assert f"{NET}encoder.norm1.weight" in stopped
    assert all(
        name.startswith(tuple(f"{NET}encoder.{part}1." for part in ("patch_embed", "block", "norm")))
        for name in stopped
    )


def test_the_stages_are_all_of_the_encoder(sizes):
    one, four = SegMiF(sizes), SegMiF(sizes)
    freeze(one, ["encoder"])
    freeze(four, [f"encoder.stages.{stage}" for stage in range(1, 5)])
    assert moving(one) == moving(four)


def test_with_the_decoders_body_frozen_the_classes_still_move(sizes):
    model = SegMiF(sizes)
    freeze(model, ["decoder.body"])
    assert {name for name in moving(model) if ".decoder." in name} == {
        f"{NET}decoder.linear_pred.weight",
        f"{NET}decoder.linear_pred.bias",
    }


def test_a_frozen_part_keeps_its_statistics(sizes):
    model = SegMiF(sizes).train()
    hold_still(model, ["decoder"])
    assert not model.segmentation.denoise_net.decoder.linear_fuse.bn.training
    assert model.segmentation.denoise_net.encoder.training


def test_a_part_that_does_not_exist_is_refused_with_those_that_do():
    with pytest.raises(ValueError, match="freeze names backbone: choose from fusion, segmentation, encoder"):
        require_known(["backbone"], "joint")


@pytest.mark.parametrize(
    ("names", "method"),
    [
        (["fusion", "segmentation"], "joint"),
        (["fusion", "encoder", "decoder"], "joint"),
        (["encoder", "decoder"], "segmentation"),
        (["fusion"], "alternating"),
    ],
)
def test_freezing_all_that_is_trained_is_refused(names, method):
    with pytest.raises(ValueError, match="leaves nothing"):
        require_known(names, method)
