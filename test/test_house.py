# SPDX-License-Identifier: Apache-2.0
"""The house stays one that a stranger finds the way in: one name for one thing, and files of a few screens."""

import ast
from collections import defaultdict
from functools import cache
from pathlib import Path

from segmif_ros.cli import COMMANDS

PACKAGE = Path(__file__).parent.parent / "segmif_ros"
SOURCES = [path for path in sorted(PACKAGE.rglob("*.py")) if path.relative_to(PACKAGE).parts[0] != "msg"]
LARGEST_FILE = 400  # lines


@cache
def _tree(path: Path) -> ast.Module:
    return ast.parse(path.read_text())


def _name(path: Path) -> str:
    return str(path.relative_to(PACKAGE))


def test_no_two_classes_have_one_name() -> None:
    places = defaultdict(list)
    for path in SOURCES:
        for node in ast.walk(_tree(path)):
            if isinstance(node, ast.ClassDef):
                places[node.name].append(_name(path))
    assert not {name: found for name, found in places.items() if len(found) > 1}


def test_a_command_has_no_second_entrance() -> None:
    wired = {cell.cell_contents for _, wire in COMMANDS.values() for cell in wire.__closure__ or ()}
    twice = [
        _name(path)
        for path in SOURCES
        if "segmif_ros." + _name(path).removesuffix(".py").replace("/", ".") in wired
        and any(isinstance(node, ast.FunctionDef) and node.name == "main" for node in _tree(path).body)
    ]
    assert not twice


def test_every_file_fits_a_few_screens() -> None:
    long = {_name(path): count for path in SOURCES if (count := len(path.read_text().splitlines())) > LARGEST_FILE}
    assert not long
