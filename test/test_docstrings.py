# SPDX-License-Identifier: Apache-2.0
"""Docstrings of public functions have one form: what is done, Args, Returns, Raises."""

import ast
import re
from collections.abc import Iterator
from pathlib import Path

import pytest

PACKAGE = Path(__file__).parent.parent / "segmif_ros"
# rooms whose docstrings are complete; the list only grows
COMPLETE = ("grid", "imaging", "inference", "predict", "reporting", "rig", "ros", "settings", "stream")
SOURCES = [
    *(path for room in COMPLETE for path in sorted((PACKAGE / room).rglob("*.py"))),
    *sorted(PACKAGE.glob("*.py")),
]


def _functions(body: list[ast.stmt], within: str = "") -> Iterator[tuple[str, ast.FunctionDef, list[str]]]:
    """Yield name, definition and parameters (without self) of each public function and method."""
    for node in body:
        if isinstance(node, ast.ClassDef) and not node.name.startswith("_"):
            yield from _functions(node.body, f"{node.name}.")
        if isinstance(node, ast.FunctionDef) and not node.name.startswith("_"):
            names = [each.arg for each in (*node.args.posonlyargs, *node.args.args, *node.args.kwonlyargs)]
            yield within + node.name, node, [each for each in names if each not in ("self", "cls")]


def _lacking(node: ast.FunctionDef, parameters: list[str]) -> Iterator[str]:
    """Yield what a docstring doesn't say, and another function's docstring that it names doesn't say either."""
    text = ast.get_docstring(node) or ""
    if not text or re.search(r"\b[Ss]ee `[\w.]+`|\b[Aa]s `[\w.]+`", text):
        return  # methods of a protocol are described in its class
    _, _, described = text.partition("Args:\n")
    if len(parameters) > 1:
        yield from (each for each in parameters if not re.search(rf"^    \*{{0,2}}{each}: \S", described, re.M))
    returns = ast.unparse(node.returns) if node.returns else "None"
    told = re.search(r"\b([Rr]eturns?|[Yy]ields?|Whether|True if|False if|None if|exit status)\b", text)
    named = any(ast.unparse(each).endswith("property") for each in node.decorator_list)
    if returns not in ("None", "NoReturn", "TransitionCallbackReturn") and not told and not named:
        yield "Returns"


@pytest.mark.parametrize("path", SOURCES, ids=lambda path: str(path.relative_to(PACKAGE)))
def test_a_docstring_describes_each_of_several_parameters_and_what_is_returned(path: Path) -> None:
    functions = _functions(ast.parse(path.read_text()).body)
    lacking = {name: found for name, node, parameters in functions if (found := list(_lacking(node, parameters)))}
    assert not lacking
