# SPDX-License-Identifier: Apache-2.0
"""What is wrong at a moment, and the log of what began and what ended."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True)
class Problem:
    """Something to tell.

    Attributes:
        kind: The same for as long as it is the same problem.
        line: In words, with numbers that may change meanwhile.
        error: Whether the node doesn't do its work because of it: level ERROR instead of WARN.
    """

    kind: str
    line: str
    error: bool = False


class Conditions:
    """The problems that hold now, and which began or ended since the last look."""

    def __init__(self) -> None:
        self._problems: dict[str, Problem] = {}

    @property
    def lines(self) -> list[str]:
        """What holds now."""
        return [each.line for each in self._problems.values()]

    @property
    def error(self) -> bool:
        """Whether any of it is an error."""
        return any(each.error for each in self._problems.values())

    def tell(self, problems: Iterable[Problem], log: Any) -> None:
        """Log the problems that began and those that ended.

        Args:
            problems: All of this moment.
            log: A logger of rclpy.
        """
        began, ended = self.update(problems)
        for problem in began:
            # two places: rclpy remembers with which level a place in the code logs, and refuses another one
            log.error(problem.line) if problem.error else log.warning(problem.line)
        for line in ended:
            log.info(f"solved (was: {line})")

    def update(self, problems: Iterable[Problem]) -> tuple[list[Problem], list[str]]:
        """Take the problems of this moment.

        Returns:
            Those that began, or became an error, and the lines of those that ended.
        """
        found = {each.kind: each for each in problems}
        before = self._problems
        began = [each for kind, each in found.items() if kind not in before or (each.error and not before[kind].error)]
        ended = [each.line for kind, each in before.items() if kind not in found]
        self._problems = found
        return began, ended
