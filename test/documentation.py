# SPDX-License-Identifier: Apache-2.0
"""The command lines of README and docs, for the tests that run or check them."""

import re
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).parent.parent
PAGES = sorted([ROOT / "README.md", ROOT / "CONTRIBUTING.md", *(ROOT / "docs").rglob("*.md")])
_FENCE = re.compile(r"^(?P<indent> *)```(?P<language>\w*)\n(?P<body>.*?)^(?P=indent)```$", re.DOTALL | re.MULTILINE)
_MENTIONED = re.compile(r"`((?:segmif(?= [a-z])|python -m segmif_ros\.[\w.]+) [^`]+)`")
_INDENTED = re.compile(r"(?:^ {4}\S.*\n)+", re.MULTILINE)
# an indented block has no language: its lines are commands where they start with one of these
_PROGRAM = re.compile(r"(segmif|ros2|make|python3?|pip|docker|colcon|rosdep)\b")


@dataclass(frozen=True)
class Command:
    """One command line of a page: continued lines joined, the comment cut off, single spaces."""

    page: str
    text: str


@dataclass(frozen=True)
class Block:
    """One fenced block of a page."""

    page: str
    language: str
    body: str


def blocks(page: Path) -> list[Block]:
    """Return the fenced blocks of a page."""
    found = _FENCE.finditer(page.read_text())
    return [Block(page.name, each["language"], each["body"]) for each in found]


def commands(page: Path) -> list[Command]:
    """Return the command lines of a page: all lines of `bash` blocks, and the commands of indented blocks."""
    bodies = [each.body for each in blocks(page) if each.language == "bash"]
    rest = _FENCE.sub("", page.read_text())
    bodies += ["\n".join(filter(_PROGRAM.match, _lines(block))) for block in _INDENTED.findall(rest)]
    return [Command(page.name, line) for body in bodies for line in _lines(body)]


def mentioned(page: Path) -> list[Command]:
    """Return the command lines within sentences: inline code of a command with arguments."""
    rest = " ".join(_FENCE.sub("", page.read_text()).split())
    return [Command(page.name, each) for each in _MENTIONED.findall(rest)]


def _lines(body: str) -> list[str]:
    lines = (re.sub(r"(^|\s)#\s.*", "", line) for line in body.replace("\\\n", " ").splitlines())
    return [" ".join(line.split()) for line in lines if line.strip()]
