# SPDX-License-Identifier: Apache-2.0
"""One table, on a terminal and as Markdown."""

from rich.console import Console

from segmif_ros.reporting.tables import Table, markdown, print_tables

TABLE = Table(title="Drops", columns=("reason", "pairs"), rows=(("late [3]", "3"), ("orphan", "12")), note="A note.")


def test_a_terminal_shows_title_rows_and_note() -> None:
    console = Console(width=60, record=True)
    print_tables(console, [TABLE])
    lines = [line.strip() for line in console.export_text().splitlines() if line.strip()]
    assert lines[0] == "Drops"
    assert lines[-1] == "A note."
    assert [line.split() for line in lines if "late" in line or "orphan" in line] == [
        ["late", "[3]", "3"],
        ["orphan", "12"],
    ]


def test_markdown_has_a_rule_below_the_heading() -> None:
    assert markdown(TABLE).splitlines() == [
        "| reason | pairs |",
        "|---|---|",
        "| late [3] | 3 |",
        "| orphan | 12 |",
        "",
        "A note.",
    ]
