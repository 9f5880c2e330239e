# SPDX-License-Identifier: Apache-2.0
import json
from pathlib import Path

import pytest
import yaml
from module_command import command_of

from segmif_ros.training import compare
from segmif_ros.training.compare import read_variants, table
from segmif_ros.training.config import RecipeError

main = command_of(compare)


PACKAGED = Path(__file__).parents[2] / "config" / "training" / "compare" / "methods.yaml"


def written(path, **changes):
    base = {
        "name": "base",
        "steps": 2,
        "batch_size": 1,
        "model": {"encoder": "mit_b0", "fusion_channels": 8, "growth": 4, "fusion_scale": 4, "decoder_channels": 8},
        "sources": [
            {"kind": "scenes", "count": 1, "height": 64, "width": 64, "augment": {"crop_height": 32, "crop_width": 32}}
        ],
        "validation": [{"kind": "scenes", "first_seed": 9, "count": 1, "height": 64, "width": 64}],
        "num_threads": 1,
        "device": "cpu",
    }
    variants = {
        "joint": None,
        "rounds": {
            "method": "alternating",
            "rounds": {"count": 1, "first_fusion_steps": 1, "segmentation_steps": 1},
            "model": {"growth": 8},
        },
    }
    path.write_text(yaml.safe_dump({"base": base, "variants": variants, **changes}))
    return path


def log(folder, *records):
    folder.mkdir()
    (folder / "log.jsonl").write_text("".join(json.dumps(each) + "\n" for each in records))
    return folder


def test_a_variant_changes_what_it_names_and_keeps_the_rest(tmp_path):
    recipes = read_variants(written(tmp_path / "v.yaml"))
    assert {name: recipe.name for name, recipe in recipes.items()} == {"joint": "joint", "rounds": "rounds"}
    assert (recipes["joint"].method, recipes["rounds"].method) == ("joint", "alternating")
    assert recipes["rounds"].model.growth == 8
    assert recipes["rounds"].model.decoder_channels == 8


def test_the_packaged_variants_have_equal_steps_batches_seeds_and_data():
    recipes = list(read_variants(PACKAGED).values())
    assert {recipe.method for recipe in recipes} == {"joint", "alternating"}
    assert {recipe.weighting for recipe in recipes} == {"fixed", "authors", "dynamic", "uncertainty"}
    for key in ("steps", "batch_size", "seed", "sources", "validation", "model", "optimiser"):
        assert len({repr(getattr(recipe, key)) for recipe in recipes}) == 1, key


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"variants": {"a": {"stepz": 1}}}, "a has unknown keys stepz"),
        ({"variants": []}, "must be mappings"),
        ({"more": 1}, "needs the keys base and variants"),
    ],
)
def test_a_wrong_file_is_refused_with_the_variant_named(tmp_path, changes, message):
    with pytest.raises(RecipeError, match=message):
        read_variants(written(tmp_path / "v.yaml", **changes))


def test_the_table_has_the_last_validation_of_each_run(tmp_path):
    runs = [
        log(
            tmp_path / "a",
            {"step": 5, "loss": 1.0, "seconds": 2.0},
            {"step": 5, "seconds": 2.0, "validation": {"scenes": {"miou": 0.1}}},
            {"step": 10, "seconds": 4.4, "validation": {"scenes": {"miou": 0.25, "EN": 7.0}, "pairs": {"EN": 6.5}}},
        ),
        log(tmp_path / "b", {"step": 10, "seconds": 9.0, "validation": {"scenes": {"miou": 0.5, "EN": 6.0}}}),
    ]
    assert table(runs).splitlines() == [
        "| run | validation | steps | miou | EN | training, s |",
        "|---|---|---:|---:|---:|---:|",
        "| a | scenes | 10 | 0.250 | 7.000 | 4 |",
        "| a | pairs | 10 |  | 6.500 | 4 |",
        "| b | scenes | 10 | 0.500 | 6.000 | 9 |",
    ]


def test_a_run_that_was_not_validated_is_named(tmp_path):
    with pytest.raises(RecipeError, match="has not been validated"):
        table([log(tmp_path / "a", {"step": 5, "loss": 1.0})])
    with pytest.raises(RecipeError, match="no run here"):
        table([tmp_path / "none"])


def test_the_command_trains_all_variants_and_writes_the_table(tmp_path, capsys):
    arguments = [str(written(tmp_path / "v.yaml")), "--out", str(tmp_path / "out")]
    assert main(arguments) == 0
    text = (tmp_path / "out/table.md").read_text()
    assert text in capsys.readouterr().out
    assert [line.split(" | ")[0] for line in text.splitlines()[2:]] == ["| joint", "| rounds"]
    assert main([*arguments, "--only", "nothing"]) == 2
    assert "no variants nothing; choose of joint, rounds" in capsys.readouterr().err
