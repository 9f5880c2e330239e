# SPDX-License-Identifier: Apache-2.0
"""The list of executables that CMake and pip install from: each row leads to a function."""

import importlib
import re
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent
ROWS = [line for line in (ROOT / "cmake" / "executables.txt").read_text().splitlines() if line and line[0] != "#"]


@pytest.mark.parametrize("row", ROWS)
def test_an_executable_leads_to_a_function(row: str) -> None:
    matched = re.fullmatch(r"([a-z_]+) = ([a-z_.]+):([a-z_]+)", row)  # the pattern of CMakeLists.txt
    assert matched
    assert callable(getattr(importlib.import_module(matched[2]), matched[3]))


def test_the_command_line_is_among_them() -> None:
    assert any(row.startswith("segmif = ") for row in ROWS)


def test_cmake_and_setup_read_the_list() -> None:
    assert "cmake/executables.txt" in (ROOT / "CMakeLists.txt").read_text()
    assert '"executables.txt"' in (ROOT / "setup.py").read_text()
