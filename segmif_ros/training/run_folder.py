# SPDX-License-Identifier: Apache-2.0
"""The files of a run, written so that being killed at any moment leaves a whole one of each."""

from __future__ import annotations

import dataclasses
import json
import math
import os
from pathlib import Path
from typing import Any

import torch

from segmif_ros.labels import label_metadata, label_set
from segmif_ros.training.config import RecipeError, TrainingConfig
from segmif_ros.training.recipe_file import from_mapping

_FORMAT = 2  # of state.pt
# Keys that may change between the start of a run and its continuation. They say how a step is computed and shown, not
# which step it is: with another device the numbers round otherwise.
_FREE_KEYS = (
    "num_threads",
    "checkpoint_minutes",
    "log_every",
    "data_workers",
    "tensorboard",
    "device",
    "channels_last",
    "compile",
)


class RunFolder:
    """A folder with ``recipe.json``, ``state.pt`` and ``log.jsonl``; created.

    Raises RecipeError if a run with another recipe is there.
    """

    def __init__(self, path: Path, config: TrainingConfig) -> None:
        self.path = path
        self._classes = _classes(config)
        require_same_recipe(path, config)
        path.mkdir(parents=True, exist_ok=True)
        now = json.loads(json.dumps(dataclasses.asdict(config)))
        _replace(path / "recipe.json", json.dumps(now, indent=1).encode())

    @property
    def _state(self) -> Path:
        return _state_file(self.path)

    def save_state(self, state: dict[str, Any]) -> None:
        """Replace the state."""
        part = self._state.with_suffix(".part")
        with part.open("wb") as file:
            torch.save({**state, "format": _FORMAT, "classes": self._classes}, file)
            file.flush()
            os.fsync(file.fileno())
        part.replace(self._state)

    def load_state(self) -> dict[str, Any] | None:
        """Return the state, None for a new run; the log loses the lines of steps that will be taken again.

        Raises RecipeError for a state that another version wrote, or that was trained on other classes.
        """
        state = _read_state(self._state, self._classes)
        if state is None:
            return None
        log = self.path / "log.jsonl"
        if log.is_file():
            lines = [line for line in log.read_text(encoding="utf-8").splitlines() if _step_of(line) <= state["step"]]
            _replace(log, "".join(f"{line}\n" for line in lines).encode())
        return state

    def log(self, record: dict[str, Any]) -> None:
        """Add a line to the learning curve."""
        with (self.path / "log.jsonl").open("a", encoding="utf-8") as file:
            file.write(json.dumps(record) + "\n")


def require_same_recipe(path: Path, config: TrainingConfig) -> None:
    """Raise RecipeError if the run in a folder, which need not exist, was started with another recipe."""
    recipe = path / "recipe.json"
    if recipe.is_file() and _state_file(path).is_file():
        changed = [key for key in _changed(recipe, config) if key not in _FREE_KEYS]
        if changed:
            raise RecipeError(
                f"{path}: the run here was started with another {', '.join(changed)};"
                " choose another output folder or the old recipe"
            )


def resumed_step(path: Path, config: TrainingConfig) -> int | None:
    """Return the step at which a recipe would go on in a folder, None for a new run; RecipeError if it is refused."""
    require_same_recipe(path, config)
    state = _read_state(_state_file(path), _classes(config))
    return None if state is None else int(state["step"])


def _read_state(file: Path, classes: dict[str, dict[str, Any]]) -> dict[str, Any] | None:
    if not file.is_file():
        return None
    state: dict[str, Any] = torch.load(file, map_location="cpu", weights_only=True)
    if state.get("format") != _FORMAT:
        raise RecipeError(
            f"{file}: written by another version, which alone can go on with it; choose another output folder, and"
            " 'init' to start from its weights"
        )
    # the recipe has a label set's name or file alone, and the file may have been edited since
    changed = [key for key, now in classes.items() if state.get("classes", classes).get(key) != now]
    if changed:
        raise RecipeError(
            f"{file}: was trained on other classes than the {' and the '.join(changed)} names now; choose another"
            " output folder, or undo the change of the label set"
        )
    return state


def _state_file(path: Path) -> Path:
    return path / "state.pt"


def _classes(config: TrainingConfig) -> dict[str, dict[str, str]]:
    """What the label sets of a recipe are made of, by where the recipe names them."""
    named = {"recipe's label_set": config.label_set}
    for i, source in enumerate(config.sources):
        if source.label_set:
            named[f"label_set of sources[{i}]"] = source.label_set
    sets = {key: label_set(name) for key, name in named.items()}
    return {key: {**label_metadata(each), "aliases": json.dumps(dict(each.aliases))} for key, each in sets.items()}


def _changed(recipe: Path, config: TrainingConfig) -> list[str]:
    """Keys in which a recipe on disk differs; keys that it lacks have their defaults."""
    before = json.loads(recipe.read_text(encoding="utf-8"))
    try:
        old = dataclasses.asdict(from_mapping(TrainingConfig, before, str(recipe)))
    except ValueError:
        old = before  # it has keys that are no longer known
    now = dataclasses.asdict(config)
    return [key for key in now if now[key] != old.get(key)]


def _replace(path: Path, content: bytes) -> None:
    part = path.with_suffix(".part")
    part.write_bytes(content)
    part.replace(path)


def _step_of(line: str) -> float:
    try:
        return float(json.loads(line)["step"])
    except (ValueError, KeyError):
        return math.inf
