# SPDX-License-Identifier: Apache-2.0
"""What the files of a data set hold, as one hash: results of other contents must not be taken for theirs.

A file is read once: its hash is remembered with its size and its time of change.
"""

from __future__ import annotations

import hashlib
import json
import time
from collections.abc import Callable, Iterable, Mapping
from contextlib import suppress
from pathlib import Path

from segmif_ros.files import replace_file

MEMORY_FILE = "contents.json"
_BLOCK = 1 << 20
# a file that was written this recently may be written again within the resolution of its time stamp
_SETTLED_S = 2.0


def contents_hash(
    files: Iterable[Path], memory: Path | None, advance: Callable[[int], None] = lambda _count: None
) -> str:
    """Return the first 12 hex digits of the SHA-256 over names and contents of files, in the order given.

    A file that can't be read counts as such, and is left to its reader.

    Args:
        files: Paths.
        memory: JSON file with what is known from earlier calls; rewritten. None remembers nothing.
        advance: Called with 1 for each file.

    Raises:
        OSError: If ``memory`` can't be written.
    """
    return contents_hashes({"": files}, memory, advance)[""]


def contents_hashes(
    groups: Mapping[str, Iterable[Path]], memory: Path | None, advance: Callable[[int], None] = lambda _count: None
) -> dict[str, str]:
    """Return `contents_hash` of each of several groups of files that share a memory."""
    known: dict[str, list[int | str]] = {}
    if memory is not None:
        with suppress(OSError, ValueError):
            found = json.loads(memory.read_text(encoding="utf-8"))
            known = found if isinstance(found, dict) else {}
    remembered: dict[str, list[int | str]] = {}
    hashes: dict[str, str] = {}
    for name, files in groups.items():
        whole = hashlib.sha256()
        for path in files:
            key = str(path.absolute())
            entry = remembered.get(key) or _entry(path, known)
            whole.update(f"{path.name} {entry[2] if entry else 'unreadable'}\n".encode())
            if entry and time.time() - 1e-9 * int(entry[1]) > _SETTLED_S:
                remembered[key] = entry
            advance(1)
        hashes[name] = whole.hexdigest()[:12]
    if memory is not None:
        replace_file(memory, json.dumps(remembered, separators=(",", ":")) + "\n")
    return hashes


def _entry(path: Path, known: dict[str, list[int | str]]) -> list[int | str] | None:
    """Return size, time of change in nanoseconds and SHA-256 of a file; None if it can't be read."""
    try:
        facts = path.stat()
        before = known.get(str(path.absolute()))
        if isinstance(before, list) and len(before) == 3 and before[:2] == [facts.st_size, facts.st_mtime_ns]:
            return before
        digest = hashlib.sha256()
        with path.open("rb") as stream:
            while block := stream.read(_BLOCK):
                digest.update(block)
    except OSError:
        return None
    return [facts.st_size, facts.st_mtime_ns, digest.hexdigest()]
