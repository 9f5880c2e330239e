# SPDX-License-Identifier: Apache-2.0
"""Launch arguments made from the parameter tables, and the checks that `ros2 launch` leaves out.

Launch itself takes any name on its command line and ignores those that no file declares. Nothing here imports launch.
"""

from __future__ import annotations

import difflib
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from segmif_ros.settings import Setting, SettingError, settings_of

BOOLEAN = ("true", "false")
# An included file sees the launch configurations of the file that includes it: only a slip of the pen is refused there.
_SLIP = 0.85
_SLIP_LETTERS = 2


@dataclass(frozen=True)
class LaunchArgument:
    """One argument of a launch file.

    Attributes:
        name: As on the command line.
        default: Its text if nobody gives it.
        description: One sentence for ``--show-args``.
        choices: The texts allowed; empty for any.
    """

    name: str
    default: str
    description: str
    choices: tuple[str, ...] = ()


def parameter_arguments(config: type[Any], prefix: str = "", source: str = "params_file") -> list[LaunchArgument]:
    """Return a launch argument for each parameter of a table.

    Args:
        config: The table of parameters.
        prefix: Before each argument's name.
        source: What an empty argument leaves the parameter to.
    """
    return [
        LaunchArgument(prefix + row.name, "", f"{row.description} ({_allowed(row)}; empty: as in {source})")
        for row in settings_of(config)
    ]


def parameter_values(config: type[Any], values: Mapping[str, str], prefix: str = "") -> dict[str, Any]:
    """Return the parameters that launch arguments give, by the parameter's own name and in its type.

    Args:
        config: The table.
        values: Launch configurations by name, as text.
        prefix: What the arguments' names begin with.

    Raises:
        SettingError: One line that names the argument and what is allowed.
    """
    given = {}
    for row in settings_of(config):
        if text := values.get(prefix + row.name, ""):
            try:
                given[row.name] = row.parse(text)
            except SettingError as reason:
                raise SettingError(f"{prefix}{row.name}:={text}: {reason}") from None
    return given


def command_line_names(command_line: Iterable[str]) -> list[str]:
    """Return the names of ``name:=value`` words."""
    return [word.partition(":=")[0] for word in command_line if ":=" in word and not word.startswith("-")]


def is_top(file: str | Path, command_line: Sequence[str]) -> bool:
    """Return whether a command line starts this launch file itself, rather than one that includes it.

    Args:
        file: This launch file.
        command_line: Its words.
    """
    return any(Path(word).name == Path(file).name for word in command_line)


def unknown_argument(names: Collection[str], known: Collection[str], *, top: bool) -> str | None:
    """Return one line about the first name that no argument has, or None.

    Args:
        names: Names that were given.
        known: Names of the declared arguments.
        top: Whether all names were meant for this file; otherwise only names that resemble an argument are reported.
    """
    for name in sorted(set(names) - set(known)):
        close = difflib.get_close_matches(name, known, n=2, cutoff=0.6)
        slip = (
            close
            and difflib.SequenceMatcher(None, name, close[0]).ratio() >= _SLIP
            and abs(len(name) - len(close[0])) <= _SLIP_LETTERS
        )
        if top or slip:
            likely = " or ".join(f"'{each}'" for each in close)
            hint = f"did you mean {likely}?" if close else "--show-args lists the arguments"
            return f"there is no launch argument '{name}': {hint}"
    return None


def _allowed(row: Setting) -> str:
    return row.allowed or {bool: "true or false", int: "integer", float: "number", str: "text"}[row.type]
