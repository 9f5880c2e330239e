# SPDX-License-Identifier: Apache-2.0
from pathlib import Path

import pytest

from segmif_ros.inference.operations import count_work
from segmif_ros.model import SegMiF
from segmif_ros.training.recipe_file import read_recipe

FOLDER = Path(__file__).parents[2] / "config" / "training"


@pytest.mark.parametrize("name", sorted(path.stem for path in FOLDER.glob("*.yaml")))
def test_every_recipe_that_comes_with_the_package_can_be_read(name):
    assert read_recipe(FOLDER / f"{name}.yaml").steps > 0


def test_the_gpus_recipe_trains_the_segmentation_network_that_the_fusion_recipes_take():
    streets = read_recipe(FOLDER / "segmif-streets-gpu.yaml")
    for name in ("segmif-s", "segmif-rt"):
        fusion = read_recipe(FOLDER / f"{name}-fusion.yaml")
        assert fusion.segmentation_init == f"runs/{streets.name}/last.safetensors"
        assert fusion.model.encoder == streets.model.encoder


def test_the_real_time_model_stays_below_12_gflop_at_480x640():
    model = SegMiF(read_recipe(FOLDER / "segmif-rt.yaml").model).eval()
    assert count_work(model, 480, 640).operations < 12e9


@pytest.mark.parametrize(
    ("name", "classes", "figure"),
    [
        ("paper", 15, "54.8 mIoU on FMB's"),
        ("mfnet-paper", 9, "56.1 mIoU on MFNet's"),
        ("msrs", 9, ""),  # no figure of another set
        ("pst900", 5, ""),
    ],
)
def test_the_authors_recipes_say_the_published_figure_of_their_set_and_train_as_they_did(name, classes, figure):
    recipe = read_recipe(FOLDER / f"{name}.yaml")
    assert recipe.model.num_classes == classes
    assert recipe.published.startswith(figure)
    assert bool(recipe.published) == bool(figure)
    assert [source.whole_target for source in recipe.sources] == ["vsm_wls"]
    assert recipe.steps == 100_000
    assert recipe.validation_mode == "authors"
    assert recipe.rounds.red_plane
    assert recipe.rounds.eight_bit
    assert recipe.rounds.helper_in_training_mode
