# SPDX-License-Identifier: Apache-2.0
"""Write the tables of a recipe's keys, from their declarations, into the page about recipes.

$ python -m segmif_ros.training.recipe_page
"""

from __future__ import annotations

import argparse
import dataclasses
import sys
from pathlib import Path

from segmif_ros.command_line import run_module
from segmif_ros.data.transforms import AugmentConfig
from segmif_ros.model import SegMiFConfig
from segmif_ros.reporting.tables import Table, markdown
from segmif_ros.settings import Setting, settings_of
from segmif_ros.training.config import OptimiserConfig, RoundsConfig, SourceConfig, TrainingConfig

PAGE = Path("docs/training_recipes.md")
# by what stands before each table
TABLES: dict[str, type] = {
    "recipe": TrainingConfig,
    "model": SegMiFConfig,
    "optimiser": OptimiserConfig,
    "rounds": RoundsConfig,
    "source": SourceConfig,
    "augment": AugmentConfig,
}
_END = "<!-- end of keys -->"


def markdown_table(kind: type) -> str:
    """Return a row for each key: its default, what is allowed, and its meaning."""
    rows = tuple((f"`{each.name}`", _default(each), _allowed(each), each.description) for each in settings_of(kind))
    return markdown(Table(title="", columns=("key", "default", "allowed", "meaning"), rows=rows)) + "\n"


def with_tables(text: str) -> str:
    """Return the page's text with the tables of now between their marks; ValueError if a mark is missing."""
    for name, kind in TABLES.items():
        begin = f"<!-- keys of {name}: written by `make params` -->"
        before, begins, rest = text.partition(begin)
        _, ends, after = rest.partition(_END)
        if not (begins and ends):
            raise ValueError(f"no lines '{begin}' and '{_END}' to put the table between")
        text = f"{before}{begin}\n{markdown_table(kind)}{_END}{after}"
    return text


def _default(setting: Setting) -> str:
    if setting.default is dataclasses.MISSING:
        return "needed"
    shown = str(setting.default).lower() if setting.type is bool else str(setting.default)
    return shown if setting.type in (bool, int, float, str) else ""


def _allowed(setting: Setting) -> str:
    if setting.choices:
        return ", ".join(f"`{each}`" for each in setting.choices if each)
    kinds = {bool: "true, false", int: "integer", float: "number", str: "list of text" if setting.listed else "text"}
    return setting.allowed or kinds.get(setting.type, "")


def add_arguments(_parser: argparse.ArgumentParser) -> None:
    """There are no options."""


def run(_options: argparse.Namespace) -> int:
    """Write the page of the sources in this folder."""
    PAGE.write_text(with_tables(PAGE.read_text()))
    return 0


if __name__ == "__main__":
    sys.exit(run_module("segmif_ros.training.recipe_page", __doc__, add_arguments, run))
