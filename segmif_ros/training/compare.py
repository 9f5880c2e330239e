# SPDX-License-Identifier: Apache-2.0
"""Compare recipes: ``python -m segmif_ros.training.compare FILE --out DIR``.

FILE is a YAML with a recipe as ``base`` and ``variants``, each a name and what it changes of the base. Every variant is
trained in ``DIR/<name>`` (one that is finished is not trained again), then a Markdown table of the last validations is
printed and written to ``DIR/table.md``. All have the scenes of one cache, the seed, and as many steps and samples.
"""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from segmif_ros.command_line import StoppedError, run_module
from segmif_ros.data.mixture import SceneSource
from segmif_ros.files import replace_file
from segmif_ros.settings import from_mapping
from segmif_ros.training.batches import open_source
from segmif_ros.training.config import RecipeError, TrainingConfig
from segmif_ros.training.stopping import TrainingStopped
from segmif_ros.training.trainer import run_training
from segmif_ros.yaml_file import YamlError, located, read_yaml


def read_variants(path: Path) -> dict[str, TrainingConfig]:
    """Recipes by name; RecipeError names file and key for anything that doesn't fit."""
    try:
        content = read_yaml(path)
    except YamlError as error:
        raise RecipeError(str(error)) from None
    if not isinstance(content, dict) or set(content) != {"base", "variants"}:
        raise RecipeError(f"{path}: needs the keys base and variants, and no others")
    if not all(isinstance(each, dict) and each for each in content.values()):
        raise RecipeError(f"{path}: base and variants must be mappings with something in them")
    if not all(changes is None or isinstance(changes, dict) for changes in content["variants"].values()):
        raise RecipeError(f"{path}: each variant must be a mapping of what it changes")
    try:
        return {
            name: from_mapping(TrainingConfig, _merged(content["base"], {**(changes or {}), "name": name}), name)
            for name, changes in content["variants"].items()
        }
    except ValueError as error:
        raise RecipeError(located(path, error)) from error


def table(runs: Sequence[Path]) -> str:
    """Markdown table of the last validation of runs; one row for each run and validation source.

    Raises RecipeError for a folder without a validation.
    """
    rows = []
    for run in runs:
        record = _last_validation(run)
        for source, scores in record["validation"].items():
            rows.append((run.name, source, record, scores))
    names = list(dict.fromkeys(name for *_, scores in rows for name in scores))
    lines = [
        " | ".join(["| run", "validation", "steps", *names, "training, s |"]),
        "|---|---|" + "---:|" * (len(names) + 2),
    ]
    for run_name, source, record, scores in rows:
        figures = [f"{scores[name]:.3f}" if name in scores else "" for name in names]
        lines.append(" | ".join([f"| {run_name}", source, str(record["step"]), *figures, f"{record['seconds']:.0f} |"]))
    return "\n".join(lines)


def _make_scenes(config: TrainingConfig, data_root: Path, cache: Path) -> None:
    """Render what is not in the cache yet, or the first variant's time would have all of it."""
    for each in (*config.sources, *config.validation):
        source = open_source(each, data_root, cache, held_out=False, labels=config.label_set)
        if isinstance(source, SceneSource):
            for index in range(len(source)):
                if not source.is_kept(index):
                    source.sample(index, np.random.default_rng())


def _last_validation(run: Path) -> dict[str, Any]:
    try:
        lines = (run / "log.jsonl").read_text(encoding="utf-8").splitlines()
    except OSError as error:
        raise RecipeError(f"{run}: no run here ({error.strerror})") from error
    records = [record for record in map(json.loads, lines) if "validation" in record]
    if not records:
        raise RecipeError(f"{run}: the run has not been validated yet")
    return dict(records[-1])


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
    parser.add_argument("--out", type=Path, required=True, help="folder for the runs and table.md")
    parser.add_argument("--only", nargs="+", metavar="NAME", help="these variants alone")


def run(options: argparse.Namespace) -> int:
    """Train all variants and print the table."""
    recipes = read_variants(options.variants)
    unknown = sorted(set(options.only or ()) - set(recipes))
    if unknown:
        raise RecipeError(f"no variants {', '.join(unknown)}; choose of {', '.join(recipes)}")
    runs, scenes = [], options.out / "scenes"
    try:
        for name in options.only or recipes:
            runs.append(options.out / name)
            print(f"{name}:", flush=True)
            _make_scenes(recipes[name], options.data, scenes)
            run_training(recipes[name], data_root=options.data, output=runs[-1], scene_cache=scenes)
    except TrainingStopped as stopped:
        raise StoppedError(f"{stopped}; the same command resumes it", stopped.status) from None
    text = table(runs)
    replace_file(options.out / "table.md", text + "\n")
    print(text)
    return 0


if __name__ == "__main__":
    sys.exit(run_module("segmif_ros.training.compare", __doc__, add_arguments, run))
