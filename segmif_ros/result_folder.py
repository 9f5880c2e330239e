# SPDX-License-Identifier: Apache-2.0
"""Folders that commands write to: made, or used again if the same command made them, for one run at a time.

Nothing of the user's is written over or removed: a folder that holds something and isn't marked as the command's own
is refused. The mark, `.segmif`, names the command and is what a run locks.
"""

from __future__ import annotations

import errno
import fcntl
import os
from collections.abc import Collection
from pathlib import Path
from types import TracebackType

MARK_FILE = ".segmif"
# what systems leave in every folder
_NOTHING = {MARK_FILE, ".DS_Store", "Thumbs.db", "desktop.ini"}


class FolderError(ValueError):
    """A folder or file that can't be written, or must not be; one line."""


class ResultFolder:
    """A folder of results, locked against a second run until `close`.

    Args:
        folder: Made if it isn't there.
        command: Who writes there, such as "segmif evaluate".
        again: Whether a folder that the same command wrote is used again; if not, only an empty one is.
        only: The names that will be written, where the folder may hold other things; None for all names.
        advice: What to do about a folder that can't be taken.

    Raises:
        FolderError: If it can't be made or written, holds something else, or another run is writing to it.
    """

    def __init__(
        self,
        folder: Path,
        command: str,
        *,
        again: bool = True,
        only: Collection[str] | None = None,
        advice: str = "give another folder",
    ) -> None:
        self.folder = folder
        try:
            folder.mkdir(parents=True, exist_ok=True)
            _require_own(folder, command if again else None, only, advice)
            self._mark = os.open(folder / MARK_FILE, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o666)
        except OSError as error:
            raise unwritable(folder, error) from error
        try:
            fcntl.flock(self._mark, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError as error:
            # otherwise a file system without locks: one run at a time is then the user's care
            if error.errno in (errno.EAGAIN, errno.EACCES):
                os.close(self._mark)
                raise FolderError(
                    f"{folder}: another run is writing there: wait for its end, or give another folder"
                ) from None
        try:
            os.ftruncate(self._mark, 0)
            os.pwrite(self._mark, f"{command}\n".encode(), 0)
        except OSError as error:
            self.close()
            raise unwritable(folder, error) from error

    def close(self) -> None:
        """Let another run write there."""
        if self._mark >= 0:
            os.close(self._mark)
            self._mark = -1

    def __enter__(self) -> ResultFolder:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()


def require_known(folder: Path, marks: Collection[str], advice: str = "give another folder") -> None:
    """Refuse a folder that holds something and none of ``marks``, for commands that know their own by other files.

    Args:
        folder: It may be missing or empty.
        marks: Names of files or folders, any of which makes it a known one.
        advice: The end of the message.

    Raises:
        FolderError: Says what it holds.
    """
    if not folder.is_dir():
        return
    there = sorted(path.name for path in folder.iterdir() if path.name not in _NOTHING)
    if there and not set(marks) & set(there):
        raise FolderError(f"{folder}: holds {_listed(there)}: {advice}")


def require_new(path: Path, *, overwrite: bool = False) -> None:
    """Refuse a file that is there already, unless it may be replaced.

    Args:
        path: The file to be written.
        overwrite: Whether a file there may be replaced.

    Raises:
        FolderError: If it is there; states what to do.
    """
    if path.is_dir():
        raise FolderError(f"{path}: is a folder: give a file's name")
    if path.exists() and not overwrite:
        raise FolderError(f"{path}: is there already: give another name, or --overwrite to replace it")


def unwritable(path: Path, error: OSError) -> FolderError:
    """Return the one line for what can't be written.

    Args:
        path: The file or folder.
        error: What the system answered.
    """
    return FolderError(f"{path}: can't be written: {error.strerror or error}")


def _require_own(folder: Path, command: str | None, only: Collection[str] | None, advice: str) -> None:
    names = sorted(path.name for path in folder.iterdir() if path.name not in _NOTHING)
    there = names if only is None else [name for name in names if name in only]
    if not there:
        return
    try:
        owner = (folder / MARK_FILE).read_text(encoding="utf-8").strip()
    except (OSError, UnicodeDecodeError):
        owner = ""
    if command is not None and owner == command:
        return
    raise FolderError(f"{folder}: holds {_listed(there, owner)}: {advice}")


def _listed(there: list[str], owner: str = "") -> str:
    shown = ", ".join(there[:3]) + (f" and {len(there) - 3} more" if len(there) > 3 else "")
    whose = f"which `{owner}` wrote" if owner else "which aren't ours" if len(there) > 1 else "which isn't ours"
    return f"{shown}, {whose}"
