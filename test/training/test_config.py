# SPDX-License-Identifier: Apache-2.0
from pathlib import Path

import pytest
import yaml

from segmif_ros.training.config import RecipeError
from segmif_ros.training.recipe_file import read_recipe

RECIPES = sorted((Path(__file__).parents[2] / "config" / "training").glob("*.yaml"))

SMALL = {
    "name": "tiny",
    "steps": 3,
    "model": {"encoder": "mit_b0"},
    "sources": [{"kind": "scenes", "count": 2, "height": 64, "width": 64}],
}


def written(tmp_path, **changes):
    path = tmp_path / "recipe.yaml"
    path.write_text(yaml.safe_dump({**SMALL, **changes}))
    return path


def test_a_small_recipe_is_read_with_the_defaults(tmp_path):
    config = read_recipe(written(tmp_path))
    assert (config.name, config.steps, config.model.encoder) == ("tiny", 3, "mit_b0")
    assert config.optimiser.encoder_lr == 8e-5
    assert config.sources[0].augment.crop_width == 320


@pytest.mark.parametrize("path", RECIPES, ids=lambda path: path.stem)
def test_a_packaged_recipe_is_valid(path):
    assert read_recipe(path).name == path.stem.removesuffix("-polish").removesuffix("-fusion")


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"stepz": 3}, r"unknown keys stepz; known: name, seed, method, segmentation_input, label_stride"),
        ({"steps": 0}, "steps is 0: allowed is 1 or more"),
        ({"steps": "many"}, "recipe.steps is 'many': a int is needed"),
        ({"steps": True}, "recipe.steps is True"),
        ({"sources": {}}, r"recipe\.sources must be a list"),
        ({"sources": [{"kind": "video"}]}, r"recipe\.sources\[0\]\.kind is 'video': choose one of scenes, camvid"),
        ({"model": {"num_classes": 9}}, "label set 'fmb' has 15 classes"),
        ({"model": {"encoder": "resnet"}}, "resnet"),
        ({"optimiser": {"encoder_lr": "fast"}}, r"line \d: recipe\.optimiser\.encoder_lr is 'fast': a float"),
        ({"weighting": "gradient_norm", "freeze": ["fusion"]}, "needs the fusion network's gradients: don't freeze it"),
        ({"weighting": "gradient_norm", "first_round_steps": 2}, "first_round_steps is 2: gradient_norm measures"),
        ({"weighting": "gradient_norm", "weighting_lr": 0.0}, "weighting_lr is 0.0, weighting_asymmetry 1.0"),
        ({"sources": [{**SMALL["sources"][0], "names": "*N"}]}, "names chooses among pairs alone"),
        ({"sources": [{**SMALL["sources"][0], "lost": "rgb"}]}, "lost is for validation"),
        ({"model": {"design": "late"}}, "design is 'late': choose one of cascade, early, two_branch"),
        ({"model": {"design": "early"}, "method": "fusion"}, "model.design is early: it is trained by method 'joint'"),
        ({"overlap_weight": -0.5}, "overlap_weight is -0.5: allowed is 0 or more"),
        ({"overlap_weight": float("inf")}, "overlap_weight is inf: allowed is 0 or more"),
        ({"facts": {"licence": 4}}, "facts.licence is 4: a str is needed"),
    ],
)
def test_a_wrong_recipe_is_refused_with_file_and_key_named(tmp_path, changes, message):
    with pytest.raises(RecipeError, match=message) as refused:
        read_recipe(written(tmp_path, **changes))
    assert str(refused.value).startswith(str(tmp_path / "recipe.yaml"))


def test_a_recipe_without_steps_says_so(tmp_path):
    path = tmp_path / "recipe.yaml"
    path.write_text(yaml.safe_dump({key: value for key, value in SMALL.items() if key != "steps"}))
    with pytest.raises(RecipeError, match="recipe lacks steps"):
        read_recipe(path)


def test_sources_with_different_crops_are_refused(tmp_path):
    first = SMALL["sources"][0]
    with pytest.raises(RecipeError, match="same crop size"):
        read_recipe(written(tmp_path, sources=[first, {**first, "augment": {"crop_width": 64}}]))


def test_a_file_that_is_no_yaml_is_named(tmp_path):
    path = tmp_path / "recipe.yaml"
    path.write_text("a: [1")
    with pytest.raises(RecipeError, match=r"recipe\.yaml: line 1: not YAML"):
        read_recipe(path)


def test_a_frozen_fusion_network_is_not_trained_first(tmp_path):
    with pytest.raises(RecipeError, match="fusion_first_steps trains the fusion network alone, and freeze keeps it"):
        read_recipe(written(tmp_path, fusion_first_steps=1, freeze=["fusion"]))


def test_a_label_set_file_is_looked_for_beside_the_recipe(tmp_path):
    (tmp_path / "own.yaml").write_text("name: own\nclasses: [{name: road}, {name: person}]\n")
    path = written(tmp_path, label_set="own.yaml", model={"encoder": "mit_b0", "num_classes": 2})
    assert read_recipe(path).label_set == str(tmp_path / "own.yaml")


def test_a_label_set_file_that_is_missing_is_named(tmp_path):
    with pytest.raises(RecipeError, match=r"own\.yaml: No such file"):
        read_recipe(written(tmp_path, label_set="own.yaml"))


@pytest.mark.parametrize("every", [0, 3])
def test_pairs_that_are_trained_on_are_not_validated_on(tmp_path, every):
    sources = [{"kind": "pairs", "path": "own", "hold_out_every": 4}]
    validation = [{"kind": "pairs", "path": "own/", "hold_out_every": every}]
    with pytest.raises(RecipeError, match="pairs own/ are trained on and validated on"):
        read_recipe(written(tmp_path, sources=sources, validation=validation))


@pytest.mark.parametrize("kind", ["camvid", "rgb_labels", "fmb", "mfnet"])
def test_a_split_that_is_trained_on_is_not_validated_on(tmp_path, kind):
    source = {"kind": kind, "path": "own", "split": "train"}
    with pytest.raises(RecipeError, match=f"{kind} own are trained on and validated on: give validation another split"):
        read_recipe(written(tmp_path, sources=[source], validation=[source]))
    assert read_recipe(written(tmp_path, sources=[source], validation=[{**source, "split": "test"}])).validation


def test_scenes_that_are_trained_on_are_not_validated_on(tmp_path):
    sources = [{"kind": "scenes", "first_seed": 10, "count": 5, "height": 64, "width": 64}]
    with pytest.raises(RecipeError, match="scenes of seeds 14 to 15 are validated on, and some of them are trained on"):
        read_recipe(written(tmp_path, sources=sources, validation=[{**sources[0], "first_seed": 14, "count": 2}]))
    after = {**sources[0], "first_seed": 15}
    assert read_recipe(written(tmp_path, sources=sources, validation=[after])).validation == (
        read_recipe(written(tmp_path, sources=[after])).sources
    )


def test_a_recipe_takes_from_the_one_it_extends_what_it_does_not_say(tmp_path):
    written(tmp_path, optimiser={"encoder_lr": 0.1, "fusion_lr": 0.2})
    (tmp_path / "larger").mkdir()
    path = tmp_path / "larger" / "more.yaml"
    path.write_text(yaml.safe_dump({"extends": "../recipe.yaml", "steps": 9, "optimiser": {"fusion_lr": 0.3}}))
    config = read_recipe(path)
    assert (config.name, config.steps) == ("tiny", 9)
    assert (config.optimiser.encoder_lr, config.optimiser.fusion_lr) == (0.1, 0.3)


def test_a_label_set_file_is_looked_for_beside_the_recipe_that_names_it(tmp_path):
    classes = {"name": "two", "classes": [{"name": "ground"}, {"name": "person"}]}
    (tmp_path / "two.yaml").write_text(yaml.safe_dump(classes))
    written(tmp_path, label_set="two.yaml", model={"encoder": "mit_b0", "num_classes": 2})
    (tmp_path / "below").mkdir()
    path = tmp_path / "below" / "more.yaml"
    path.write_text(yaml.safe_dump({"extends": "../recipe.yaml"}))
    assert Path(read_recipe(path).label_set).resolve() == tmp_path / "two.yaml"


def test_a_shared_augmentation_goes_below_that_of_each_source(tmp_path):
    scenes = SMALL["sources"][0]
    sources = [{**scenes, "augment": {"dark": 0.5}}, {**scenes, "first_seed": 9}]
    config = read_recipe(written(tmp_path, sources=sources, augment={"crop_width": 64, "dark": 0.1}))
    assert [(each.augment.crop_width, each.augment.dark) for each in config.sources] == [(64, 0.5), (64, 0.1)]


@pytest.mark.parametrize(
    ("base", "message"),
    [
        ("recipe.yaml", "which extends this one"),
        ("none.yaml", "none.yaml: No such file"),
        (3, "extends is 3: it must name"),
    ],
)
def test_a_recipe_that_cannot_be_extended_is_one_line(tmp_path, base, message):
    with pytest.raises(RecipeError, match=message):
        read_recipe(written(tmp_path, extends=base))


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"absence_weight": -1}, "absence_weight is -1: allowed is 0 or more"),
        ({"label_stride": 2}, "label_stride is 2: it is of method 'segmentation' alone"),
        ({"augment": {"crop_width": 64}, "sources": {}}, "recipe.augment must be a mapping beside a list of sources"),
    ],
)
def test_evidence_and_augmentation_out_of_range_are_refused(tmp_path, changes, message):
    with pytest.raises(RecipeError, match=message):
        read_recipe(written(tmp_path, **changes))
