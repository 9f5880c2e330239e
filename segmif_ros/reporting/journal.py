# SPDX-License-Identifier: Apache-2.0
"""Results on disk as they come, one JSON line each, so that a stopped run can be resumed."""

from __future__ import annotations

import errno
import json
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any, Generic, TypeVar, cast

from segmif_ros.files import replace_file
from segmif_ros.reporting.errors import RunError

RUN_FILE = "run.json"
FULL = (errno.ENOSPC, errno.EDQUOT)
RECORDS_FILE = "records.jsonl"


Entry = TypeVar("Entry", bound=Mapping[str, Any])


class Journal(Generic[Entry]):
    """The records of one run in one folder.

    A line that was cut off (a crash, a full disk) is removed when the folder is opened again. A record of a pair that
    failed counts as not done, so the pair is tried again.

    Args:
        folder: Made if it isn't there.
        identity: What the records depend on: data, weights, configuration. JSON values only.
        fresh: Forget what the folder holds.

    Attributes:
        records: By key, in the order of arrival.

    Raises:
        RunError: If the folder holds another run, or can't be written.
    """

    def __init__(self, folder: Path, identity: Mapping[str, Any], *, fresh: bool = False) -> None:
        self.folder = folder
        self.records: dict[str, Entry] = {}
        self._path = folder / RECORDS_FILE
        run = folder / RUN_FILE
        text = json.dumps(identity, indent=1, sort_keys=True) + "\n"
        try:
            folder.mkdir(parents=True, exist_ok=True)
            if run.is_file() and not fresh:
                _require_same(run, identity)
                self._take_up()
            else:
                self._path.write_bytes(b"")
                replace_file(run, text)
            self._stream = self._path.open("ab")
        except OSError as error:
            raise disk_error(folder, error) from error

    @property
    def done(self) -> set[str]:
        """Keys of the pairs that need not be processed again."""
        return {key for key, record in self.records.items() if "error" not in record}

    def add(self, record: Entry) -> None:
        """Keep a record; it is on disk when this returns."""
        line = json.dumps(record, separators=(",", ":"), allow_nan=False) + "\n"
        try:
            self._stream.write(line.encode())
            self._stream.flush()
        except OSError as error:
            raise disk_error(self.folder, error) from error
        self.records[record["key"]] = record

    def close(self) -> None:
        """Close the file."""
        # the error was raised when the record was added, and closing would try again
        with suppress(OSError):
            self._stream.close()

    def _take_up(self) -> None:
        self.records = {record["key"]: cast("Entry", record) for record in resumed_lines(self._path)}


def resumed_lines(path: Path, key: str = "key") -> list[dict[str, Any]]:
    """Return the records of a file of JSON lines, and let new ones be appended after the last good one.

    A file that isn't there is empty. A line that was cut off, or that has no ``key``, is removed with what follows it.

    Args:
        path: The file.
        key: What each record has.

    Raises:
        OSError: If the file can't be read, or shortened.
    """
    records: list[dict[str, Any]] = []
    content = path.read_bytes() if path.is_file() else b""
    good = 0
    for line in content.splitlines(keepends=True):
        try:
            record = json.loads(line)
            if not line.endswith(b"\n") or key not in record:
                break
        except (ValueError, TypeError):
            break
        records.append(record)
        good += len(line)
    if good < len(content):
        with path.open("r+b") as stream:
            stream.truncate(good)
    return records


def disk_error(folder: Path, error: OSError) -> RunError:
    """Return the one line for a folder that can't be written (any more).

    Args:
        folder: Of the run.
        error: What the system answered.
    """
    if error.errno not in FULL:
        return RunError(f"{folder}: can't be written: {error.strerror or error}")
    return RunError(
        f"{folder}: {error.strerror or error}; what was done so far is kept there: the same command resumes it"
    )


def _require_same(run: Path, identity: Mapping[str, Any]) -> None:
    try:
        before = json.loads(run.read_text(encoding="utf-8"))
        different = _different(before, identity)
    except (ValueError, TypeError):
        raise RunError(f"{run}: not readable as JSON: give another folder, or --fresh to start again") from None
    if different:
        raise RunError(
            f"{run.parent} holds another run ({'; '.join(different)}): give another folder, or --fresh to start again"
        )


def _different(before: Mapping[str, Any], now: Mapping[str, Any], within: str = "") -> list[str]:
    """List what two identities don't share, with the values where they are short."""
    lines = []
    for name in sorted({*before, *now}):
        old, new = before.get(name), now.get(name)
        if isinstance(old, dict) and isinstance(new, dict):
            lines += _different(old, new, f"{within}{name}.")
        elif old != new:
            short = all(isinstance(each, str | int | float | None) for each in (old, new))
            lines.append(f"{within}{name} was {old}, is {new}" if short else f"{within}{name} differ")
    return lines
