# SPDX-License-Identifier: Apache-2.0
"""One table for page, terminal and Markdown."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from rich import box
from rich.console import Console
from rich.table import Table as RichTable

_LOG_COLUMNS = 160  # where there is no terminal whose width should cut names short


@dataclass(frozen=True, kw_only=True)
class Table:
    """A table.

    Attributes:
        title: Above it.
        columns: Their headings.
        rows: The first column holds the rows' names, the others figures.
        note: Below it.
        explained: The last column holds words.
    """

    title: str
    columns: tuple[str, ...]
    rows: tuple[tuple[str, ...], ...]
    note: str = ""
    explained: bool = False


def wide_console() -> Console:
    """Return a console of the terminal's width, or wide enough for a log file."""
    console = Console()
    return console if console.is_terminal else Console(width=_LOG_COLUMNS)


def print_tables(console: Console, tables: Iterable[Table]) -> None:
    """Print tables to a terminal.

    Args:
        console: As `wide_console` makes it.
        tables: In their order.
    """
    for table in tables:
        shown = RichTable(box=box.SIMPLE_HEAD, show_edge=False)
        for i, column in enumerate(table.columns):
            words = i == 0 or (table.explained and i == len(table.columns) - 1)
            shown.add_column(column, justify="left" if words else "right", no_wrap=i == 0, overflow="fold")
        for row in table.rows:
            shown.add_row(*row)
        # not the table's own title and caption: these are broken to its width
        if table.title:
            console.print(f"\n{table.title}\n", markup=False, highlight=False, style="bold")
        console.print(shown, markup=False, highlight=False)
        if table.note:
            console.print(f"\n{table.note}", markup=False, highlight=False)


def markdown(table: Table, words: int | None = None) -> str:
    """Return a table as Markdown, without its title.

    Args:
        table: The table.
        words: Columns that are aligned to the left, from the first on; None for all.
    """
    lines = ["| " + " | ".join(row) + " |" for row in (table.columns, *table.rows)]
    figures = 0 if words is None else len(table.columns) - words
    lines.insert(1, "|" + "---|" * (len(table.columns) - figures) + "---:|" * figures)
    return "\n".join([*lines, *(["", table.note] if table.note else [])])
