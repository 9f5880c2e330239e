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

from segmif_ros.training.config import RecipeError, TrainingConfig, from_mapping

# keys that may change between the start of a run and its continuation: they don't touch the numbers
_FORMAT = 2  # of state.pt
_FREE_KEYS = ("num_threads", "checkpoint_minutes", "log_every", "data_workers", "tensorboard")


class RunFolder:
    """A folder with ``recipe.json``, ``state.pt`` and ``log.jsonl``; created.

    Raises RecipeError if a run with another recipe is there.
    """

    def __init__(self, path: Path, config: TrainingConfig) -> None:
        self.path = path
        path.mkdir(parents=True, exist_ok=True)
        recipe = path / "recipe.json"
        now = json.loads(json.dumps(dataclasses.asdict(config)))
        if recipe.is_file() and self._state.is_file():
            changed = [key for key in _changed(recipe, config) if key not in _FREE_KEYS]
            if changed:
                raise RecipeError(
                    f"{path}: the run here was started with another {', '.join(changed)};"
                    " choose another output folder or the old recipe"
                )
        _replace(recipe, json.dumps(now, indent=1).encode())

    @property
    def _state(self) -> Path:
        return self.path / "state.pt"

    def save_state(self, state: dict[str, Any]) -> None:
        """Replace the state."""
        part = self._state.with_suffix(".part")
        with part.open("wb") as file:
            torch.save({**state, "format": _FORMAT}, file)
            file.flush()
            os.fsync(file.fileno())
        part.replace(self._state)

    def load_state(self) -> dict[str, Any] | None:
        """Return the state, None for a new run; the log loses the lines of steps that will be taken again.

        Raises RecipeError for a state that another version wrote.
        """
        if not self._state.is_file():
            return None
        state: dict[str, Any] = torch.load(self._state, map_location="cpu", weights_only=True)
        if state.get("format") != _FORMAT:
            raise RecipeError(
                f"{self._state}: written by another version, which alone can go on with it; choose another output"
                " folder, and 'init' to start from its weights"
            )
        log = self.path / "log.jsonl"
        if log.is_file():
            lines = [line for line in log.read_text(encoding="utf-8").splitlines() if _step_of(line) <= state["step"]]
            _replace(log, "".join(f"{line}\n" for line in lines).encode())
        return state

    def log(self, record: dict[str, Any]) -> None:
        """Add a line to the learning curve."""
        with (self.path / "log.jsonl").open("a", encoding="utf-8") as file:
            file.write(json.dumps(record) + "\n")


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
