# SPDX-License-Identifier: Apache-2.0
import json
from pathlib import Path

import pytest
import yaml
from module_command import command_of

from segmif_ros.training import compare, comparison_table
from segmif_ros.training.compare import read_variants
from segmif_ros.training.comparison_table import compared, markdown
from segmif_ros.training.config import RecipeError

main = command_of(compare)

PACKAGED = Path(__file__).parents[2] / "config" / "training" / "compare"


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
    recipes, seeds = read_variants(written(tmp_path / "v.yaml", seeds=[3, 4]))
    assert seeds == (3, 4)
    assert {name: recipe.name for name, recipe in recipes.items()} == {"joint": "joint", "rounds": "rounds"}
    assert (recipes["joint"].method, recipes["rounds"].method) == ("joint", "alternating")
    assert recipes["rounds"].model.growth == 8
    assert recipes["rounds"].model.decoder_channels == 8


def test_the_packaged_variants_have_equal_steps_batches_seeds_and_data():
    recipes = list(read_variants(PACKAGED / "methods.yaml")[0].values())
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
        ({"seeds": [1, 1]}, r"seeds is \[1, 1\]: give a list of different whole numbers"),
        ({"seeds": "1"}, "seeds is '1'"),
    ],
)
def test_a_wrong_file_is_refused_with_the_variant_named(tmp_path, changes, message):
    with pytest.raises(RecipeError, match=message):
        read_variants(written(tmp_path / "v.yaml", **changes))


@pytest.mark.parametrize("name", ["weighting-scenes.yaml", "weighting-real.yaml"])
def test_the_packaged_weightings_differ_in_nothing_else_and_have_three_seeds(name):
    recipes, seeds = read_variants(PACKAGED / name)
    assert len(seeds) >= 3
    assert next(iter(recipes)) == "fixed"
    assert {each.weighting for each in recipes.values()} == {
        "fixed", "authors", "dynamic", "uncertainty", "gradient_norm"
    }  # fmt: skip
    for key in ("method", "steps", "batch_size", "sources", "validation", "model", "optimiser", "init"):
        assert len({repr(getattr(each, key)) for each in recipes.values()}) == 1, key


@pytest.mark.parametrize("name", ["designs.yaml", "designs-random.yaml"])
def test_the_packaged_designs_have_equal_data_and_steps_and_operations_within_a_fiftieth(meta_gmac, name):
    recipes, seeds = read_variants(PACKAGED / name)
    assert len(seeds) >= 3
    assert [each.model.design for each in recipes.values()] == ["cascade", "early", "two_branch"]
    for key in (
        "method",
        "steps",
        "batch_size",
        "sources",
        "validation",
        "weighting",
        "optimiser",
        "segmentation_init",
    ):
        assert len({repr(getattr(each, key)) for each in recipes.values()}) == 1, key
    assert all(each.augment.lost_rgb > 0 < each.augment.lost_infrared for each in recipes["cascade"].sources)
    gmac = [meta_gmac(each) for each in recipes.values()]
    assert max(gmac) < 1.02 * min(gmac)


@pytest.fixture
def meta_gmac():
    return comparison_table.gmac


@pytest.fixture
def recipes(tmp_path, monkeypatch):
    monkeypatch.setattr(comparison_table, "gmac", lambda _recipe: 1.5)
    return read_variants(
        written(tmp_path / "v.yaml", variants={"one": {"fusion_weight": 2.0, "steps": 10}, "two": {"steps": 10}})
    )[0]


def finished(folder, miou, *, weights=(2.0, 1.0), step=10):
    return log(
        folder,
        {"step": 5, "loss": 1.0, "fusion": 0.1, "segmentation": 0.2, "seconds": 2.0,
         "fusion_weight": weights[0], "segmentation_weight": weights[1]},
        {"step": 5, "seconds": 2.0, "validation": {"scenes": {"miou": 0.9}}},
        {"step": step, "seconds": 4.4, "validation": {"scenes": {"miou": miou, "EN": 7.0}, "pairs": {"EN": 6.5}}},
    )  # fmt: skip


def test_the_table_has_means_and_spreads_of_the_last_validations_and_what_the_first_variant_is_beaten_by(
    tmp_path, recipes
):
    runs = {
        "one": [finished(tmp_path / "one-1", 0.25), finished(tmp_path / "one-2", 0.35)],
        "two": [finished(tmp_path / "two-1", 0.5, weights=(1.0, 1.2)), finished(tmp_path / "two-2", 0.5)],
    }
    assert markdown(compared(recipes, runs)).splitlines() == [
        "| variant | validation | seeds | miou | EN | mIoU - one's | weights moved | GMAC | training, s |",
        "|---|---|---:|---:|---:|---:|---:|---:|---:|",
        "| one | scenes | 2 | 0.300 (0.250 to 0.350) | 7.000 |  | 0 % / 0 % | 1.50 | 4 |",
        "| one | pairs | 2 |  | 6.500 |  | 0 % / 0 % | 1.50 | 4 |",
        "| two | scenes | 2 | 0.500 | 7.000 | +0.200 (+0.150 to +0.250) | 100 % / 20 % | 1.50 | 4 |",
        "| two | pairs | 2 |  | 6.500 |  | 100 % / 20 % | 1.50 | 4 |",
    ]


def test_the_table_says_what_a_frame_takes_where_it_was_timed(tmp_path, recipes):
    figures = compared(
        recipes, {"one": [finished(tmp_path / "one-1", 0.25)], "two": [finished(tmp_path / "two-1", 0.5)]}
    )
    assert "ms a frame" not in markdown(figures)
    figures["one"]["frame"] = {"p50": 40.0, "cpu_p50": 38.0, "share": 1.0}
    figures["two"]["frame"] = {"p50": 20.0, "cpu_p50": 19.0, "share": 0.52}
    lines = markdown(figures).splitlines()
    assert lines[0].endswith("| GMAC | ms a frame | CPU ms | x one's | training, s |")
    assert lines[-1].endswith("| 1.50 | 20.0 | 19.0 | 0.52 | 4 |")


def test_a_run_that_is_not_finished_is_left_out_and_its_seed_not_compared(tmp_path, recipes):
    runs = {
        "one": [finished(tmp_path / "one-1", 0.25), finished(tmp_path / "one-2", 0.35, step=8)],
        "two": [finished(tmp_path / "two-1", 0.5), finished(tmp_path / "two-2", 0.1)],
    }
    figures = compared(recipes, runs)
    assert (figures["one"]["seeds"], figures["two"]["seeds"]) == (1, 2)
    assert figures["two"]["validation"]["scenes"]["miou"]["difference"]["each"] == [0.25]


def test_without_a_finished_run_there_is_no_table(tmp_path, recipes):
    with pytest.raises(RecipeError, match="no run here is finished"):
        compared(recipes, {"one": [log(tmp_path / "a", {"step": 5, "loss": 1.0})], "two": [tmp_path / "none"]})


def test_the_command_trains_all_variants_and_writes_the_table(tmp_path, capsys):
    arguments = [str(written(tmp_path / "v.yaml")), "--out", str(tmp_path / "out")]
    assert main(arguments) == 0
    text = (tmp_path / "out/table.md").read_text()
    assert text in capsys.readouterr().out
    assert [line.split(" | ")[0] for line in text.splitlines()[2:]] == ["| joint", "| rounds"]
    assert set(json.loads((tmp_path / "out/table.json").read_text())) == {"joint", "rounds"}
    assert main([*arguments, "--table", "--only", "rounds"]) == 0
    assert main([*arguments, "--table", "--frames", "1"]) == 0
    assert "ms a frame" in capsys.readouterr().out
    assert main([*arguments, "--table", "--frames", "-1"]) == 2
    assert "--frames is -1" in capsys.readouterr().err
    assert main([*arguments, "--only", "nothing"]) == 2
    assert "no variants nothing; choose of joint, rounds" in capsys.readouterr().err
