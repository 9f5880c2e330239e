# SPDX-License-Identifier: Apache-2.0
"""Bags for the tests of this folder."""

from collections.abc import Callable
from pathlib import Path

import pytest
from fake_bag import Recording, write


@pytest.fixture
def make_bag(tmp_path: Path) -> Callable[..., Path]:
    def make(name: str = "drive", **changes: object) -> Path:
        return write(tmp_path / "bags" / name, Recording(**changes))  # type: ignore[arg-type]

    return make
