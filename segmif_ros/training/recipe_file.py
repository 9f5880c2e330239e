# SPDX-License-Identifier: Apache-2.0
"""Recipes read from YAML files into the dataclasses of `config`."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from segmif_ros.paths import user_path
from segmif_ros.settings.mapping import from_mapping
from segmif_ros.training.config import RecipeError, TrainingConfig
from segmif_ros.yaml_file import YamlError, YamlMapping, located, read_yaml, shown


def read_recipe(path: Path) -> TrainingConfig:
    """Read a YAML recipe; RecipeError names file and key for anything that doesn't fit.

    Beside the fields of `TrainingConfig` a recipe may have two keys: ``extends``, a recipe that it takes all from that
    it doesn't say itself (mappings key by key, lists as a whole), relative to its own folder; and ``augment``, what the
    sources' own ``augment`` leave out.
    """
    content = _read_extended(path, ())
    path = user_path(path)
    try:
        config = from_mapping(TrainingConfig, _with_shared_augmentation(content), "recipe")
    except ValueError as error:
        raise RecipeError(located(path, error)) from error
    assert isinstance(config, TrainingConfig)
    return config


def _read_extended(path: Path, below: tuple[Path, ...]) -> Any:
    """Return a recipe's content with what it extends; ``below`` are the files that extend this one."""
    try:
        content = read_yaml(path)
    except YamlError as error:
        raise RecipeError(str(error)) from None
    path = user_path(path)
    content = _with_label_files(content, path.parent)
    if not isinstance(content, dict) or "extends" not in content:
        return content
    base = content.pop("extends")
    if not isinstance(base, str):
        raise RecipeError(f"{path}: extends is {shown(base)}: it must name one recipe")
    if (path.parent / base).resolve() in (*below, path.resolve()):
        raise RecipeError(f"{path}: extends {base}, which extends this one")
    # lines of another file would mislead
    return _merged(_without_lines(_read_extended(path.parent / base, (*below, path.resolve()))), content)


def _merged(base: Any, changes: Any) -> Any:
    """Return ``base`` with ``changes`` put over it, key by key; lines of keys are those that ``changes`` knows."""
    if not isinstance(base, dict) or not isinstance(changes, dict):
        return changes
    merged = YamlMapping(base)
    merged.update({key: _merged(base.get(key), value) for key, value in changes.items()})
    merged.lines = {**getattr(base, "lines", {}), **getattr(changes, "lines", {})}
    return merged


def _without_lines(content: Any) -> Any:
    if isinstance(content, dict):
        return {key: _without_lines(value) for key, value in content.items()}
    return [_without_lines(each) for each in content] if isinstance(content, list) else content


def _with_shared_augmentation(content: Any) -> Any:
    """Return a recipe's content with its ``augment`` put below that of every source; changed in place."""
    if not isinstance(content, dict) or "augment" not in content:
        return content
    shared, sources = content["augment"], content.get("sources")
    if not isinstance(shared, dict) or not isinstance(sources, list):
        raise ValueError("recipe.augment must be a mapping beside a list of sources")
    del content["augment"]
    for each in sources:
        if isinstance(each, dict):
            each["augment"] = _merged(shared, each.get("augment", {}))
    return content


def _with_label_files(content: Any, folder: Path) -> Any:
    """Return ``content`` with label set files looked for in the recipe's folder; changed in place."""
    if isinstance(content, dict):
        for value in content.values():
            _with_label_files(value, folder)
        named = content.get("label_set")
        if isinstance(named, str) and named.endswith((".yaml", ".yml")):
            content["label_set"] = str(folder / named)
    elif isinstance(content, list):
        for each in content:
            _with_label_files(each, folder)
    return content
