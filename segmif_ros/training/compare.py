# SPDX-License-Identifier: Apache-2.0
"""Compare recipes: ``python -m segmif_ros.training.compare FILE --out DIR``.

FILE is a YAML with a recipe as ``base`` and ``variants``, each a name and what it changes of the base, and where wanted
``seeds``, a list. Every variant is trained in ``DIR/<name>``, with seeds in ``DIR/<name>-<seed>`` (one that is finished
is not trained again, an interrupted one is resumed), then a table of the last validations is printed and written to
``DIR/table.md``, its figures to ``DIR/table.json``. All have the scenes of one cache, as many steps and samples, and
where there are seeds each has all of them. ``--table`` prints what is finished and trains nothing. ``--frames N`` times
N frames of 640x480 of every variant, in turn, and adds what a frame takes.
"""

from __future__ import annotations

import argparse
import dataclasses
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch

from segmif_ros.command_line import StoppedError, run_module
from segmif_ros.data.mixture import SceneSource
from segmif_ros.files import replace_file, write_json
from segmif_ros.inference.backends import BACKENDS, TOLERANCES, BackendOptions
from segmif_ros.model.checkpoint import load_network
from segmif_ros.model.designs import build
from segmif_ros.settings.mapping import from_mapping
from segmif_ros.training.batches import open_source
from segmif_ros.training.comparison_table import HEIGHT, WIDTH, compared, markdown
from segmif_ros.training.config import RecipeError, TrainingConfig
from segmif_ros.training.frame_times import FrameTime, frame_times
from segmif_ros.training.stopping import TrainingStopped
from segmif_ros.training.trainer import run_training
from segmif_ros.yaml_file import YamlError, located, read_yaml

LAST = "last.safetensors"  # a run's weights


def read_variants(path: Path) -> tuple[dict[str, TrainingConfig], tuple[int, ...]]:
    """Recipes by name, and the seeds (none: each recipe's own); RecipeError names what doesn't fit."""
    try:
        content = read_yaml(path)
    except YamlError as error:
        raise RecipeError(str(error)) from None
    if not isinstance(content, dict) or set(content) - {"seeds"} != {"base", "variants"}:
        raise RecipeError(f"{path}: needs the keys base and variants, may have seeds, and no others")
    seeds = content.get("seeds", [])
    if not isinstance(seeds, list) or not all(type(each) is int for each in seeds) or len(set(seeds)) < len(seeds):
        raise RecipeError(f"{path}: seeds is {seeds!r}: give a list of different whole numbers")
    if not all(isinstance(content[each], dict) and content[each] for each in ("base", "variants")):
        raise RecipeError(f"{path}: base and variants must be mappings with something in them")
    if not all(changes is None or isinstance(changes, dict) for changes in content["variants"].values()):
        raise RecipeError(f"{path}: each variant must be a mapping of what it changes")
    try:
        recipes = {
            name: from_mapping(TrainingConfig, _merged(content["base"], {**(changes or {}), "name": name}), name)
            for name, changes in content["variants"].items()
        }
    except ValueError as error:
        raise RecipeError(located(path, error)) from error
    return recipes, tuple(seeds)


def _make_scenes(config: TrainingConfig, data_root: Path, cache: Path) -> None:
    """Render what is not in the cache yet, or the first variant's time would have all of it."""
    for each in (*config.sources, *config.validation):
        source = open_source(each, data_root, cache, held_out=False, labels=config.label_set)
        if isinstance(source, SceneSource):
            for index in range(len(source)):
                if not source.is_kept(index):
                    source.sample(index, np.random.default_rng())


def _merged(base: Mapping[str, Any], changes: Mapping[str, Any]) -> dict[str, Any]:
    """Mappings are merged key by key, everything else is replaced."""
    result = dict(base)
    for key, value in changes.items():
        both = isinstance(value, dict) and isinstance(result.get(key), dict)
        result[key] = _merged(result[key], value) if both else value
    return result


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare what is compared."""
    parser.add_argument("variants", type=Path, help="YAML file, such as config/training/compare/methods.yaml")
    parser.add_argument("--data", type=Path, default=Path(), help="folder that the recipes' paths are relative to")
    parser.add_argument("--out", type=Path, required=True, help="folder for the runs, table.md and table.json")
    parser.add_argument("--only", nargs="+", metavar="NAME", help="these variants alone")
    parser.add_argument("--table", action="store_true", help="print what is finished, and train nothing")
    parser.add_argument(
        "--frames", type=int, default=0, metavar="N", help="time N frames of each variant in turn (default: none)"
    )
    parser.add_argument("--backend", choices=tuple(BACKENDS), default="torch", help="that times them (default: torch)")
    parser.add_argument(
        "--precision", choices=tuple(TOLERANCES), default="float32", help="of the timed frames (default: float32)"
    )


def run(options: argparse.Namespace) -> int:
    """Train all variants and print the table."""
    if options.frames < 0:
        raise RecipeError(f"--frames is {options.frames}: give how many frames of each variant to time, or 0")
    recipes, seeds = read_variants(options.variants)
    unknown = sorted(set(options.only or ()) - set(recipes))
    if unknown:
        raise RecipeError(f"no variants {', '.join(unknown)}; choose of {', '.join(recipes)}")
    chosen = {name: recipes[name] for name in options.only or recipes}
    # all variants of a seed before the next seed: a comparison that is stopped is one of fewer seeds
    runs = {(name, seed): _run_folder(options.out, name, seed) for seed in seeds or (None,) for name in chosen}
    scenes = options.out / "scenes"
    try:
        for (name, seed), run in ({} if options.table else runs).items():
            recipe = chosen[name] if seed is None else dataclasses.replace(chosen[name], seed=seed)
            print(f"{run.name}:", flush=True)
            _make_scenes(recipe, options.data, scenes)
            run_training(recipe, data_root=options.data, output=run, scene_cache=scenes)
    except TrainingStopped as stopped:
        raise StoppedError(f"{stopped}; the same command resumes it", stopped.status) from None
    folders = {name: [run for (of, _), run in runs.items() if of == name] for name in chosen}
    figures = compared(chosen, folders)
    if options.frames:
        times = _timed({name: chosen[name] for name in figures}, folders, options)
        for name, variant in figures.items():
            variant["frame"] = times[name]
    text = markdown(figures)
    replace_file(options.out / "table.md", text + "\n")
    write_json(options.out / "table.json", figures)
    print(text)
    return 0


def _timed(
    recipes: Mapping[str, TrainingConfig], folders: Mapping[str, Sequence[Path]], options: argparse.Namespace
) -> dict[str, FrameTime]:
    """What a frame takes of each variant; with the trained weights, as random ones may be slower."""
    networks = {}
    for name, recipe in recipes.items():
        files = [run / LAST for run in folders[name] if (run / LAST).is_file()]
        network = load_network(files[0]) if files else build(recipe.model)
        networks[name] = network, recipe.prior if recipe.model.design == "cascade" else None
    threads = next(iter(recipes.values())).num_threads
    if threads > 0:
        torch.set_num_threads(threads)
    settings = BackendOptions(device=torch.device("cpu"), precision=options.precision, num_threads=threads)
    return frame_times(networks, (HEIGHT, WIDTH), frames=options.frames, backend=options.backend, options=settings)


def _run_folder(output: Path, name: str, seed: int | None) -> Path:
    return output / (name if seed is None else f"{name}-{seed}")


if __name__ == "__main__":
    sys.exit(run_module("segmif_ros.training.compare", __doc__, add_arguments, run))
