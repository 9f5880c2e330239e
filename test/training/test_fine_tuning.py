# SPDX-License-Identifier: Apache-2.0
"""The way from a folder as `segmif export-dataset` writes it, with some labels added, to weights that run."""

from pathlib import Path

import cv2
import numpy as np
import pytest
import torch
import yaml
from module_command import command_of

from segmif_ros.cli import main as segmif
from segmif_ros.inference.engine import Engine, EngineConfig
from segmif_ros.labels import FMB, label_metadata, label_set
from segmif_ros.model import SegMiF, load_checkpoint, save_checkpoint
from segmif_ros.settings.mapping import from_mapping
from segmif_ros.training import __main__ as training
from segmif_ros.training.recipe_file import read_recipe
from segmif_ros.training.starting import start_from

train = command_of(training)


RECIPE = Path(__file__).parents[2] / "config/training/fine-tune.yaml"
FIRST_STAGE = "segmentation.denoise_net.encoder.patch_embed1.proj.weight"


@pytest.fixture
def exported(tmp_path):
    """Six pairs in train/ and two in test/, 64x96; one in train/ and those in test/ are labelled with yard's ids."""
    root = tmp_path / "own"
    rng = np.random.default_rng(0)
    for number in range(1, 9):
        folder = root / ("test" if number > 6 else "train")
        images = {
            "Infrared": rng.integers(0, 255, (64, 96), dtype=np.uint8),
            "Visible": rng.integers(0, 255, (64, 96, 3), dtype=np.uint8),
        }
        if number == 1 or number > 6:
            images["Label"] = np.repeat(np.array([3, 1, 0, 4], np.uint8), 16)[:, None] * np.ones((1, 96), np.uint8)
        for name, image in images.items():
            (folder / name).mkdir(parents=True, exist_ok=True)
            cv2.imwrite(str(folder / name / f"{number:05d}.png"), image)
    return root


@pytest.fixture
def recipe(tmp_path):
    """The packaged recipe with a tiny network, two steps and weights of FMB's classes to start from."""
    content = yaml.safe_load(RECIPE.read_text())
    small = {"fusion_channels": 8, "growth": 4, "decoder_channels": 16}
    content["model"].update(small)
    (tmp_path / "label_sets").mkdir()
    (tmp_path / "training").mkdir()
    (tmp_path / "label_sets/yard.yaml").write_text((RECIPE.parents[1] / "label_sets/yard.yaml").read_text())
    sizes = from_mapping(type(read_recipe(RECIPE).model), {**content["model"], "num_classes": 15}, "model")
    torch.manual_seed(0)
    save_checkpoint(SegMiF(sizes), tmp_path / "start.safetensors", label_metadata(FMB))
    for source in content["sources"]:
        source["augment"].update(crop_height=64, crop_width=64)
    content.update(
        steps=2, batch_size=2, validate_every=2, validation_samples=1, num_threads=1, ema_decay=0.0,
        init=str(tmp_path / "start.safetensors"),
    )  # fmt: skip
    path = tmp_path / "training/fine-tune.yaml"
    path.write_text(yaml.safe_dump(content))
    return path


def test_an_exported_folder_with_a_few_labels_becomes_weights_that_know_their_classes(
    exported, recipe, tmp_path, capsys
):
    run = tmp_path / "run"
    assert train([str(recipe), "--data", str(exported), "--out", str(run)]) == 0
    assert "ground from road" in capsys.readouterr().out

    weights = run / "last.safetensors"
    before, after = load_checkpoint(tmp_path / "start.safetensors"), load_checkpoint(weights)
    assert torch.equal(before.state_dict()[FIRST_STAGE], after.state_dict()[FIRST_STAGE])
    assert not torch.equal(before.fusion.conv22.weight, after.fusion.conv22.weight)

    yard = label_set(str(recipe.parents[1] / "label_sets/yard.yaml"))
    engine = Engine(EngineConfig(weights=(str(weights),), device="cpu"))
    assert engine.label_set.names == yard.names
    assert np.array_equal(engine.label_set.palette, yard.palette)

    out = tmp_path / "evaluation"
    arguments = [str(exported / "test"), "--dataset", "pairs", "--weights", str(weights), "--out", str(out)]
    assert segmif(["evaluate", *arguments, "--device", "cpu"]) == 0
    assert "pallet" in (out / "report.json").read_text()


def test_the_packaged_recipe_takes_all_of_its_weights_but_the_new_classes():
    config = read_recipe(RECIPE)
    start = start_from(SegMiF(config.model), config.init, label_set(config.label_set))
    assert start.left == ()
    assert start.new_classes == ("pallet",)
