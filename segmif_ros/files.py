# SPDX-License-Identifier: Apache-2.0
"""Write files in one step: a reader, and a machine that loses its power, has the old one or the new one."""

from __future__ import annotations

import json
import os
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, BinaryIO


def write_file(path: Path, write: Callable[[BinaryIO], object], keep: Path | None = None) -> None:
    """Write a file in one step.

    Args:
        path: Where it will be; its folder exists.
        write: Writes it, into a file that is beside it until then.
        keep: Where the old one goes, if there is one; between the two steps it is only there.

    Raises:
        OSError: With the file's name, also of a full disk.
    """
    part = path.with_name(f".{path.name}.{os.getpid()}.part")
    try:
        with part.open("wb") as file:
            write(file)
            file.flush()
            os.fsync(file.fileno())
        if keep is not None and path.exists():
            path.replace(keep)
        part.replace(path)
        _fsync_folder(path.parent)
    except OSError as error:
        raise OSError(error.errno, error.strerror or str(error), str(path)) from error
    finally:
        part.unlink(missing_ok=True)


def replace_file(path: Path, content: bytes | str) -> None:
    """Write bytes, or text as UTF-8, in one step.

    Args:
        path: The file; its folder exists.
        content: All that it is to hold.

    Raises:
        OSError: As `write_file`.
    """
    data = content.encode() if isinstance(content, str) else content
    write_file(path, lambda file: file.write(data))


def write_json(path: Path, values: Mapping[str, Any]) -> None:
    """Write values as JSON in one step.

    Args:
        path: The file; its folder exists.
        values: What JSON holds.

    Raises:
        OSError: As `write_file`.
        ValueError: If a number is NaN or infinite.
    """
    replace_file(path, json.dumps(values, indent=1, allow_nan=False) + "\n")


def _fsync_folder(folder: Path) -> None:
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
