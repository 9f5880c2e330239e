# SPDX-License-Identifier: Apache-2.0
"""The page about recipes is written from the keys' declarations."""

import dataclasses
from pathlib import Path

import pytest

from segmif_ros.settings import settings_of
from segmif_ros.training.recipe_page import TABLES, markdown_table, with_tables

PAGE = Path(__file__).parents[2] / "docs" / "training_recipes.md"


def test_the_page_has_the_keys_of_now():
    assert with_tables(PAGE.read_text()) == PAGE.read_text(), "run `make params`"


@pytest.mark.parametrize("kind", TABLES.values(), ids=TABLES)
def test_every_key_of_a_recipe_is_declared_with_a_description(kind):
    declared = {each.name: each.description for each in settings_of(kind)}
    assert declared.keys() == {each.name for each in dataclasses.fields(kind)}
    assert all(each.endswith((".", "...")) for each in declared.values())


def test_a_row_has_default_choices_and_meaning():
    assert "| `lost_rgb` | 0.0 | 0 to 1 | Share of samples" in markdown_table(TABLES["augment"])
    assert "| `lost` |  | `rgb`, `infrared` | Of a validation source" in markdown_table(TABLES["source"])
    assert "| `name` | needed | text |" in markdown_table(TABLES["recipe"])
