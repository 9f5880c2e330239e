# SPDX-License-Identifier: Apache-2.0
"""Paths as people write them."""

from __future__ import annotations

import errno
from pathlib import Path


def one_line(text: str, limit: int = 400) -> str:
    """Return a text for a message: in one line, whatever is in it, and not longer than ``limit`` characters."""
    line = " ".join(text.split())
    return line if len(line) <= limit else f"{line[: limit - 100]} ... {line[-90:]}"


def user_path(path: str | Path) -> Path:
    """Return a path with ``~`` and ``~user`` replaced by the home folder.

    Raises:
        FileNotFoundError: If there is no such user, or nobody knows this user's home folder (no HOME in a container).
    """
    try:
        return Path(path).expanduser()
    except RuntimeError:
        user = one_line(Path(path).parts[0].removeprefix("~"), 200)
        reason = f"there is no user '{user}' (for your own home folder write ~/)" if user else "HOME is not set"
        raise FileNotFoundError(errno.ENOENT, reason, str(path)) from None
