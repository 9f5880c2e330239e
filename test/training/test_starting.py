# SPDX-License-Identifier: Apache-2.0
import dataclasses

import pytest
import torch

from segmif_ros.labels import CAMVID, FMB, label_metadata
from segmif_ros.model import SegMiF, SegMiFConfig, save_checkpoint
from segmif_ros.model.designs import build
from segmif_ros.training.config import RecipeError, SourceConfig, TrainingConfig
from segmif_ros.training.starting import start, start_from

SMALL = SegMiFConfig(
    encoder="mit_b0", fusion_channels=8, growth=4, fusion_scale=2, fusion_output="blend", decoder_channels=16
)
PREDICTION = "segmentation.denoise_net.decoder.linear_pred.weight"


def model(seed, **changes):
    torch.manual_seed(seed)
    return SegMiF(dataclasses.replace(SMALL, **changes))


@pytest.fixture
def saved(tmp_path):
    """Weights for CamVid's twelve classes, and their file."""
    path = tmp_path / "camvid.safetensors"
    made = model(1, num_classes=12)
    save_checkpoint(made, path, label_metadata(CAMVID))
    return made.state_dict(), str(path)


def test_weights_of_the_same_sizes_and_classes_are_taken_whole(tmp_path):
    source, target = model(1), model(2)
    save_checkpoint(source, tmp_path / "a.safetensors", label_metadata(FMB))
    found = start_from(target, str(tmp_path / "a.safetensors"), FMB)
    assert found.left == found.new_classes == ()
    assert all(torch.equal(tensor, source.state_dict()[name]) for name, tensor in target.state_dict().items())


def test_rows_of_classes_are_taken_by_name_and_the_rest_stays_random(saved):
    source, path = saved
    target = model(2)
    before = target.state_dict()[PREDICTION].clone()
    found = start_from(target, path, FMB)
    after = target.state_dict()[PREDICTION]
    for ours, theirs in (("road", "road"), ("sidewalk", "pavement"), ("bicycle", "bicyclist")):
        assert found.classes[ours] == theirs
        assert torch.equal(after[FMB.id_of(ours)], source[PREDICTION][CAMVID.id_of(theirs)])
    for ours in ("truck", "unlabelled"):
        assert ours in found.new_classes
        assert torch.equal(after[FMB.id_of(ours)], before[FMB.id_of(ours)])


def test_a_part_of_another_size_stays_random(saved):
    source, path = saved
    target = model(2, num_classes=12, fusion_channels=16)
    before = target.state_dict()["fusion.conv1_ir.weight"].clone()
    found = start_from(target, path, CAMVID)
    assert "fusion.conv1_ir.weight" in found.left
    assert torch.equal(target.state_dict()["fusion.conv1_ir.weight"], before)
    assert torch.equal(target.state_dict()[PREDICTION], source[PREDICTION])


def test_the_summary_says_what_was_taken_mapped_and_left_random(saved):
    lines = start_from(model(2, fusion_channels=16), saved[1], FMB).summary().splitlines()
    assert "million values taken; random: fusion.DRDB1" in lines[0]
    assert "sidewalk from pavement" in lines[1]
    assert "random: unlabelled, lamp, truck" in lines[1]


def test_weights_that_share_nothing_are_refused(saved):
    with pytest.raises(RecipeError, match=r"camvid\.safetensors: shares no weights with the recipe's model"):
        start_from(SegMiF(SegMiFConfig(encoder="mit_b1", fusion_channels=16)), saved[1], FMB)


def test_weights_can_be_named_as_everywhere_else():
    expected = "init segmif-xxl: weights 'segmif-xxl': no such name; there is segmif-free, segmif-rt, segmif-s"
    with pytest.raises(RecipeError, match=expected):
        start_from(model(2), "segmif-xxl", FMB)


def test_an_encoder_can_come_from_a_file_of_its_own(saved):
    config = TrainingConfig(
        name="a", steps=1, model=SMALL, sources=(SourceConfig(kind="scenes"),), encoder_init=saved[1]
    )
    target = model(2)
    assert start(target, config) == [f"encoder_init {saved[1]}: mit_b0, original layout"]
    mine = target.state_dict()
    assert all(torch.equal(mine[name], given) for name, given in saved[0].items() if ".encoder." in name)
    assert not torch.equal(mine["fusion.conv1_ir.weight"], saved[0]["fusion.conv1_ir.weight"])


def test_the_segmentation_network_can_come_from_another_file(tmp_path):
    sources = {name: model(seed, fusion_scale=scale) for name, seed, scale in (("fusion", 1, 2), ("other", 2, 4))}
    for name, source in sources.items():
        save_checkpoint(source, tmp_path / f"{name}.safetensors", label_metadata(FMB))
    recipe = TrainingConfig(
        name="two",
        steps=1,
        model=SMALL,
        init=str(tmp_path / "fusion.safetensors"),
        segmentation_init=str(tmp_path / "other.safetensors"),
        sources=(SourceConfig(kind="scenes"),),
    )
    target = model(3)
    start(target, recipe)
    for name, tensor in target.state_dict().items():
        source = sources["other" if name.startswith("segmentation.") else "fusion"]
        assert torch.equal(tensor, source.state_dict()[name])


def recipe(**changes):
    base = TrainingConfig(name="x", steps=1, model=SMALL, sources=(SourceConfig(kind="scenes", count=1),))
    return dataclasses.replace(base, **changes)


def test_a_training_whose_encoder_starts_from_random_weights_says_so_and_what_to_give():
    said = " ".join(start(model(1), recipe()))
    assert said.startswith("WARNING: the encoder mit_b0 starts from random weights")
    assert "encoder_init: mit_b0.pth" in said


def test_a_recipe_with_a_published_figure_says_it_before_the_warning():
    first, warning, *_ = start(model(1), recipe(published="56.1 mIoU"))
    assert first == "published: 56.1 mIoU"
    assert warning.startswith("WARNING")


def test_weights_to_start_from_are_no_reason_to_warn(saved):
    assert not any("WARNING" in line for line in start(model(1), recipe(init=saved[1])))


def test_a_network_of_another_design_takes_the_encoder_and_head_of_a_cascade(saved):
    source, path = saved
    target = build(dataclasses.replace(SMALL, design="two_branch"))
    found = start_from(target, path, FMB, part="segmentation.")
    key = "segmentation.denoise_net.encoder.block1.0.mlp.fc1.weight"
    assert torch.equal(target.state_dict()[key], source[key])
    assert any("thermal" in name for name in found.left)
