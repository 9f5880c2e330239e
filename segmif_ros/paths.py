# SPDX-License-Identifier: Apache-2.0
"""Paths as people write them."""

from __future__ import annotations

import errno
from pathlib import Path


def user_path(path: str | Path) -> Path:
    """Return a path with ``~`` and ``~user`` replaced by the home folder.

    Raises:
        FileNotFoundError: If there is no such user, or nobody knows this user's home folder (no HOME in a container).
    """
    try:
        return Path(path).expanduser()
    except RuntimeError:
        user = Path(path).parts[0].removeprefix("~")
        reason = f"there is no user '{user}' (for your own home folder write ~/)" if user else "HOME is not set"
        raise FileNotFoundError(errno.ENOENT, reason, str(path)) from None
