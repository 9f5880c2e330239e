# SPDX-License-Identifier: Apache-2.0
"""Paths as people write them."""

from __future__ import annotations

import errno
import functools
import logging
import os
import re
import tempfile
from pathlib import Path

_LOGGER = logging.getLogger(__name__)
# What a terminal obeys instead of showing it, and what stands for bytes that are no UTF-8.
CONTROL = re.compile("[\x00-\x1f\x7f-\x9f\ud800-\udfff]")


def one_line(text: str, limit: int = 400) -> str:
    """Return a text for a message: in one line, whatever is in it, and not longer than ``limit`` characters.

    Args:
        text: Whatever it holds.
        limit: Characters at most.
    """
    line = " ".join(CONTROL.sub(" ", text).split())
    return line if len(line) <= limit else f"{line[: limit - 100]} ... {line[-90:]}"


def user_path(path: str | Path) -> Path:
    """Return a path with ``~`` and ``~user`` replaced by the home folder.

    Raises:
        FileNotFoundError: If there is no such user, nobody knows this user's home folder (no HOME in a container), or
            there is a zero byte in the path, which Python itself takes for another kind of error.
    """
    if "\0" in str(path):
        raise FileNotFoundError(errno.ENOENT, "a path can't hold a zero byte", str(path))
    try:
        return Path(path).expanduser()
    except RuntimeError:
        user = one_line(Path(path).parts[0].removeprefix("~"), 200)
        reason = f"there is no user '{user}' (for your own home folder write ~/)" if user else "HOME is not set"
        raise FileNotFoundError(errno.ENOENT, reason, str(path)) from None


def cache_folder() -> Path:
    """Return the project's folder for what can be made again, as in the XDG base directory specification.

    Where nobody knows this user's home folder, as in a container without HOME, it is a folder of this process, which
    goes with it: everything works, and nothing is remembered for the next start.
    """
    base = os.environ.get("XDG_CACHE_HOME")
    if base and Path(base).is_absolute():
        return Path(base) / "segmif_ros"
    try:
        return user_path("~/.cache") / "segmif_ros"
    except FileNotFoundError:
        return Path(_own_folder().name)


@functools.cache
def _own_folder() -> tempfile.TemporaryDirectory[str]:
    _LOGGER.warning("HOME is not set: compiled networks aren't kept for the next start; set HOME or XDG_CACHE_HOME")
    return tempfile.TemporaryDirectory(prefix="segmif_ros-")
