# SPDX-License-Identifier: Apache-2.0
"""What the data of a run held when its steps were taken: a run is resumed with the same contents alone."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path

from segmif_ros.data.mixture import Source
from segmif_ros.evaluation.contents import MEMORY_FILE, contents_hashes
from segmif_ros.files import write_json
from segmif_ros.reporting.progress import progress_bar
from segmif_ros.training.config import RecipeError, TrainingConfig

DATA_FILE = "data.json"


def named_sources(
    config: TrainingConfig, sources: Sequence[Source], held_out: Sequence[Source]
) -> list[tuple[str, Source]]:
    """Return each opened source with what a line calls it, such as "sources[0] (pairs mine)"."""
    rows = [("sources", config.sources, sources), ("validation", config.validation, held_out)]
    return [
        (f"{key}[{i}] ({' '.join(filter(None, (each.kind, each.path)))})", source)
        for key, configs, opened in rows
        for i, (each, source) in enumerate(zip(configs, opened, strict=True))
    ]


def keep_data_identity(folder: Path, named: Sequence[tuple[str, Source]], *, resumed: bool) -> None:
    """Write what the files of a run's sources hold to its folder; a run that is resumed must have the same.

    A file is read once: its hash is remembered in the folder with its size and its time of change. A run from before
    this was written takes today's contents for its own.

    Args:
        folder: The run's folder.
        named: Its sources, see `named_sources`.
        resumed: Whether steps have been taken already.

    Raises:
        RecipeError: A source holds other files, or other contents, than when the steps were taken.
    """
    now = _hashes(named, folder / MEMORY_FILE)
    if resumed:
        _require_same(folder, now)
    write_json(folder / DATA_FILE, now)


def require_same_data(folder: Path, named: Sequence[tuple[str, Source]]) -> None:
    """Refuse a folder as `keep_data_identity` would for a run that is resumed, and write nothing."""
    if (folder / DATA_FILE).is_file():
        _require_same(folder, _hashes(named, None))


def _hashes(named: Sequence[tuple[str, Source]], memory: Path | None) -> dict[str, str]:
    groups = {name: files for name, source in named if (files := source.files())}
    with progress_bar("looking at the data", sum(map(len, groups.values()))) as advance:
        return contents_hashes(groups, memory, advance)


def _require_same(folder: Path, now: dict[str, str]) -> None:
    before = _read(folder / DATA_FILE)
    if before is None:
        return
    if changed := sorted(name for name in {*before, *now} if before.get(name) != now.get(name)):
        raise RecipeError(
            f"{folder}: its steps were taken with other contents of {', '.join(changed)}: put the files back, or give"
            " another --out, and 'init' to start from the run's weights"
        )


def _read(path: Path) -> dict[str, str] | None:
    try:
        found = json.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        return None
    except (OSError, ValueError, RecursionError) as error:
        raise RecipeError(f"{path}: not readable: delete it if the data is the same ({type(error).__name__})") from None
    if not isinstance(found, dict):
        raise RecipeError(f"{path}: not readable: delete it if the data is the same")
    return found
