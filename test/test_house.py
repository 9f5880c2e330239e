# SPDX-License-Identifier: Apache-2.0
"""The house stays one that a stranger finds the way in: one name for one thing, and a node that reaches few files."""

import ast
from collections import defaultdict
from collections.abc import Iterator
from functools import cache
from pathlib import Path

from segmif_ros.cli import COMMANDS

PACKAGE = Path(__file__).parent.parent / "segmif_ros"
SOURCES = [path for path in sorted(PACKAGE.rglob("*.py")) if path.relative_to(PACKAGE).parts[0] != "msg"]
LARGEST_FILE = 400  # lines
NODE_REACHES = 90  # files, of what its modules import when they are imported


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


def _module_imports(body: list[ast.stmt]) -> Iterator[str]:
    """Yield what is imported when a module is, without what only type checkers read."""
    for node in body:
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            yield from (f"{node.module}.{alias.name}" for alias in node.names)
        elif isinstance(node, ast.If) and "TYPE_CHECKING" not in ast.unparse(node.test):
            yield from _module_imports([*node.body, *node.orelse])
        elif isinstance(node, ast.Try):
            yield from _module_imports([*node.body, *(each for handler in node.handlers for each in handler.body)])


def _file_of(name: str) -> Path | None:
    parts = name.split(".")[1:]
    for end in (len(parts), len(parts) - 1):
        for path in (PACKAGE.joinpath(*parts[:end]).with_suffix(".py"), PACKAGE.joinpath(*parts[:end], "__init__.py")):
            if end and path.is_file() and path in SOURCES:
                return path
    return None


def test_the_node_reaches_few_files() -> None:
    seen: set[Path] = set()
    todo = [PACKAGE / "ros" / "segmif_node.py"]
    while todo:
        path = todo.pop()
        if path not in seen:
            seen.add(path)
            names = (name for name in _module_imports(_tree(path).body) if name.startswith("segmif_ros."))
            todo += [found for name in names if (found := _file_of(name))]
    rooms = {_name(path).split("/")[0] for path in seen}
    assert not rooms & {"reporting", "evaluation", "bag", "training", "trials", "data", "scenes"}
    assert len(seen) <= NODE_REACHES


def test_every_file_fits_a_few_screens() -> None:
    long = {_name(path): count for path in SOURCES if (count := len(path.read_text().splitlines())) > LARGEST_FILE}
    assert not long
