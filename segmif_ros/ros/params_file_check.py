# SPDX-License-Identifier: Apache-2.0
"""Params files as a node's command line names them, looked at before rcl does.

rcl reports what is wrong with a file in lines of its own that name no remedy, and nothing about a section that names
another node. Here a file that can't be used is one line, and so is one of which nothing applies.
"""

from __future__ import annotations

import re
import sys
from collections.abc import Iterator, Sequence
from itertools import pairwise
from typing import Any

from segmif_ros.yaml_file import read_yaml

_PARAMETERS = "ros__parameters"


def given_files(arguments: Sequence[str] | None = None) -> list[str]:
    """Return the params files that a command line names, in order; None takes this process's own."""
    given = list(sys.argv[1:] if arguments is None else arguments)
    found, ours = [], False
    for word, following in pairwise([*given, ""]):
        if word in ("--ros-args", "--"):
            ours = word == "--ros-args"
        elif ours and word == "--params-file":
            found.append(following)
    return found


def check_files(arguments: Sequence[str] | None = None) -> None:
    """Read every params file of a command line.

    Raises:
        ValueError: One line that states which file can't be used, where, and why.
    """
    for path in given_files(arguments):
        content = read_yaml(path)
        if content is None or not any(True for _ in sections(content)):
            raise ValueError(
                f"{path}: no {_PARAMETERS} in it: write '/**:' in the first line, '  {_PARAMETERS}:' in the second, "
                "and the parameters below with four spaces"
            )


def files_for_others(name: str, arguments: Sequence[str] | None = None) -> list[str]:
    """Return a line for each params file of which no section is for a node.

    Args:
        name: The node's full name, for example "/front/segmif_node".
        arguments: The command line; None takes this process's own.
    """
    lines = []
    for path in given_files(arguments):
        found = list(sections(read_yaml(path)))
        if not any(matches(each, name) for each in found):
            others = ", ".join(f"'{each}'" for each in found)
            lines.append(
                f"{path}: nothing of it applies, it is for {others} and this node is '{name}': "
                "'/**' as the section's name is for any node"
            )
    return lines


def sections(content: Any, before: str = "") -> Iterator[str]:
    """Yield the names of the nodes that a file has parameters for, as rcl puts them together: "/front/segmif_node".

    Args:
        content: The file's values.
        before: The names above, in a recursion.
    """
    for key, value in content.items() if isinstance(content, dict) else ():
        if not isinstance(value, dict):
            continue
        name = f"{before}/{str(key).strip('/')}"
        if _PARAMETERS in value:
            yield name
        yield from sections({each: below for each, below in value.items() if each != _PARAMETERS}, name)


def matches(section: str, name: str) -> bool:
    """Return whether a section of a params file is for a node.

    Args:
        section: A section's name, with ``*`` for a word and ``**`` for any number of words.
        name: A node's full name.
    """
    pattern = "".join(
        "(/[^/]+)*" if word == "**" else "/" + re.escape(word).replace(r"\*", "[^/]*")
        for word in section.strip("/").split("/")
    )
    return re.fullmatch(pattern, name) is not None
