# SPDX-License-Identifier: Apache-2.0
"""The files of a run, written so that being killed at any moment leaves a whole one of each."""

from __future__ import annotations

import dataclasses
import errno
import fcntl
import json
import math
import os
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any, BinaryIO

import torch

from segmif_ros.files import replace_file, write_file
from segmif_ros.labels import label_metadata, label_set
from segmif_ros.settings.mapping import from_mapping
from segmif_ros.training.config import RecipeError, TrainingConfig

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
    """A folder with ``recipe.json``, ``state.pt`` and ``log.jsonl``; created, and locked while this process lives.

    ``state.previous.pt`` is the state before the last one, for a disk that lost the last one.

    Raises RecipeError if a run with another recipe is there, another process trains in it, or a file is damaged.
    """

    def __init__(self, path: Path, config: TrainingConfig) -> None:
        self.path = path
        self._classes = _classes(config)
        require_same_recipe(path, config)
        path.mkdir(parents=True, exist_ok=True)
        self._lock = _locked(path)
        for stale in path.glob(".*.part"):  # of a process that was killed while it wrote
            stale.unlink(missing_ok=True)
        now = json.loads(json.dumps(dataclasses.asdict(config)))
        replace_file(path / "recipe.json", json.dumps(now, indent=1).encode())

    @property
    def _state(self) -> Path:
        return _state_file(self.path)

    def save_state(self, state: dict[str, Any]) -> None:
        """Replace the state, and keep the one before; OSError with the file's name, also for a full disk."""
        self._sync_log()

        def write(file: BinaryIO) -> None:
            opened: Any = _ReportingFile(file)
            try:
                torch.save({**state, "format": _FORMAT, "classes": self._classes}, opened)
            except RuntimeError:
                # torch's writer has its own words for a disk that is full
                if opened.error is None:
                    raise
                raise opened.error from None

        write_file(self._state, write, keep=_previous_file(self.path))

    def load_state(self) -> dict[str, Any] | None:
        """Return the state, None for a new run; the log loses the lines of steps that will be taken again.

        Raises RecipeError for a state that another version wrote, or that was trained on other classes, or if both
        states are damaged.
        """
        state = _read_state(self.path, self._classes, print)
        if state is None:
            return None
        log = self.path / "log.jsonl"
        if log.is_file():
            text = log.read_text(encoding="utf-8", errors="replace")
            lines = [line for line in text.splitlines() if _step_of(line) <= state["step"]]
            replace_file(log, "".join(f"{line}\n" for line in lines).encode())
        return state

    def log(self, record: dict[str, Any]) -> None:
        """Add a line to the learning curve."""
        with (self.path / "log.jsonl").open("a", encoding="utf-8") as file:
            file.write(json.dumps(record) + "\n")

    def _sync_log(self) -> None:
        """Have the log on the disk before a state that counts on it."""
        log = self.path / "log.jsonl"
        if log.is_file():
            with log.open("ab") as file:
                os.fsync(file.fileno())


class _ReportingFile:
    """A file that remembers why it couldn't be written."""

    def __init__(self, file: BinaryIO) -> None:
        self._file = file
        self.error: OSError | None = None

    def write(self, data: Any) -> int:
        try:
            return self._file.write(data)
        except OSError as error:
            self.error = error
            raise

    def flush(self) -> None:
        self._file.flush()


def _locked(path: Path) -> BinaryIO:
    """Return the open lock of a folder; RecipeError if another process has it."""
    lock = (path / "lock").open("ab")
    try:
        # of the process and not of the file: data workers that are forked don't hold it when this process has died
        fcntl.lockf(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError as error:
        lock.close()
        if error.errno not in (errno.EACCES, errno.EAGAIN):
            raise
        raise RecipeError(
            f"{path}: another training works in this folder; wait for it, or give another --out"
        ) from None
    return lock


def require_same_recipe(path: Path, config: TrainingConfig) -> None:
    """Raise RecipeError if the run in a folder, which need not exist, was started with another recipe."""
    recipe = path / "recipe.json"
    if recipe.is_file() and (_state_file(path).is_file() or _previous_file(path).is_file()):
        changed = [key for key in _changed(recipe, config) if key not in _FREE_KEYS]
        if changed:
            raise RecipeError(
                f"{path}: the run here was started with another {', '.join(changed)};"
                " choose another output folder or the old recipe"
            )


def resumed_step(path: Path, config: TrainingConfig) -> int | None:
    """Return the step at which a recipe would go on in a folder, None for a new run; RecipeError if it is refused."""
    require_same_recipe(path, config)
    state = _read_state(path, _classes(config), lambda _line: None)
    return None if state is None else int(state["step"])


def _read_state(path: Path, classes: dict[str, dict[str, Any]], say: Callable[[str], None]) -> dict[str, Any] | None:
    """Return the last state that is whole, None if there is none at all."""
    files = [file for file in (_state_file(path), _previous_file(path)) if file.is_file()]
    damage: RecipeError | None = None
    for file in files:
        try:
            state = _opened(file)
        except RecipeError as error:
            damage = damage or error
            continue
        _require_same_format(file, state, classes)
        if damage is not None:
            say(f"{damage}; the state before it is used")
        return state
    if damage is not None:
        raise RecipeError(f"{damage}: delete it to begin again, or choose another output folder")
    return None


def _opened(file: Path) -> dict[str, Any]:
    """Return what is in a state's file; RecipeError if it is damaged."""
    try:
        with zipfile.ZipFile(file) as archive:
            broken = archive.testzip()  # torch doesn't look at the checksums
        if broken is not None:
            raise RecipeError(f"{file}: is damaged (checksum)")
        state = torch.load(file, map_location="cpu", weights_only=True)
    except OSError as error:
        raise RecipeError(f"{file}: {error.strerror or error}") from error
    except RecipeError:
        raise
    except Exception as error:  # damaged bytes raise anything in there; the cause is kept
        raise RecipeError(f"{file}: is damaged ({type(error).__name__})") from error
    if not isinstance(state, dict) or type(state.get("step")) is not int:
        raise RecipeError(f"{file}: is no state of a training")
    return state


def _require_same_format(file: Path, state: dict[str, Any], classes: dict[str, dict[str, Any]]) -> None:
    if state.get("format") != _FORMAT:
        raise RecipeError(
            f"{file}: written by another version, which alone can resume it; choose another output folder, and"
            " 'init' to start from its weights"
        )
    # the recipe has a label set's name or file alone, and the file may have been edited since
    changed = [key for key, now in classes.items() if state.get("classes", classes).get(key) != now]
    if changed:
        raise RecipeError(
            f"{file}: was trained on other classes than the {' and the '.join(changed)} names now; choose another"
            " output folder, or undo the change of the label set"
        )


def _state_file(path: Path) -> Path:
    return path / "state.pt"


def _previous_file(path: Path) -> Path:
    return path / "state.previous.pt"


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
    try:
        before = json.loads(recipe.read_text(encoding="utf-8"))
    except OSError as error:
        raise RecipeError(f"{recipe}: {error.strerror or error}") from error
    except (ValueError, RecursionError):
        before = None
    if not isinstance(before, dict):
        raise RecipeError(f"{recipe}: is damaged: choose another output folder, or delete it if the recipe is the same")
    try:
        old = dataclasses.asdict(from_mapping(TrainingConfig, before, str(recipe)))
    except (ValueError, TypeError, OverflowError):
        old = before  # it has keys that are no longer known
    now = dataclasses.asdict(config)
    return [key for key in now if now[key] != old.get(key)]


def _step_of(line: str) -> float:
    try:
        return float(json.loads(line)["step"])
    except (ValueError, KeyError, TypeError, RecursionError):
        return math.inf
