# SPDX-License-Identifier: Apache-2.0
"""One progress bar, on stderr where that is a terminal."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import TypeVar

from rich.console import Console
from rich.progress import BarColumn, Progress, ProgressColumn, TextColumn, TimeElapsedColumn, TimeRemainingColumn

Item = TypeVar("Item")


def bar_columns(*before: ProgressColumn) -> tuple[ProgressColumn, ...]:
    """Return the columns that every bar has, after ``before``."""
    return (
        *before,
        BarColumn(),
        TextColumn("{task.completed:.0f}/{task.total}"),  # rich of Ubuntu 22.04 has no column for it
        TimeElapsedColumn(),
        TextColumn("left"),
        TimeRemainingColumn(),
    )


@contextmanager
def progress_bar(what: str, total: int | None, done: int = 0) -> Iterator[Callable[[int], None]]:
    """Show a bar on stderr where that is a terminal.

    Args:
        what: Beside the bar.
        total: The count at its end; None if it isn't known.
        done: The count at its start.

    Returns:
        The function that advances it by a count.
    """
    if not sys.stderr.isatty():  # rich of Ubuntu 22.04 prints an empty line for a bar that is switched off
        yield lambda _count: None
        return
    with Progress(*bar_columns(TextColumn(what)), console=Console(stderr=True)) as progress:
        task = progress.add_task(what, total=total, completed=done)
        yield lambda count: progress.advance(task, count)


def tracked(items: Sequence[Item], what: str) -> Iterator[Item]:
    """Yield the items, with a bar of how many are done.

    Args:
        items: What is counted.
        what: Beside the bar.
    """
    with progress_bar(what, len(items)) as advance:
        for item in items:
            yield item
            advance(1)
