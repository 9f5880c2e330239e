# SPDX-License-Identifier: Apache-2.0
"""The page of all reports: everything it is given is on it, in order, safely, and nothing is loaded from elsewhere."""

import re
from dataclasses import replace
from html.parser import HTMLParser

import numpy as np
import pytest

from segmif_ros.labels import FMB
from segmif_ros.reporting.page import (
    LegendEntry,
    Page,
    Panels,
    Picture,
    Plot,
    Section,
    Sheet,
    Swipe,
    legend_of,
    render,
)
from segmif_ros.reporting.pictures import picture_uri
from segmif_ros.reporting.tables import Table

VOID = {"meta", "link", "img", "br"}


class _Checker(HTMLParser):
    """Collects addresses and texts, and refuses tags that are not closed in order."""

    def __init__(self) -> None:
        super().__init__()
        self.open: list[str] = []
        self.addresses: list[str] = []
        self.texts: list[str] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        if tag not in VOID:
            self.open.append(tag)
        self.addresses += [value or "" for name, value in attrs if name in ("src", "href")]

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag

    def handle_data(self, data: str) -> None:
        self.texts.append(data)


def _checked(text: str) -> _Checker:
    checker = _Checker()
    checker.feed(text)
    checker.close()
    assert not checker.open
    return checker


ADDRESS = picture_uri(np.zeros((6, 8, 3), np.uint8))
PICTURE = Picture(caption="RGB", uri=ADDRESS)
PAGE = Page(
    title="Demo",
    lead="All went well.",
    facts=(("rate", "9.8 Hz"),),
    remarks=("A quick run.",),
    sections=(
        Section(title="2 failed", lines=("first", "second")),
        Section(title="Plots", items=(Plot(title="IoU", svg="<svg></svg>"),)),
        Section(title="Frames", items=(Swipe(title="worst", layers=(PICTURE, PICTURE)),), legend=legend_of(FMB)),
        Section(
            title="Pictures",
            items=(
                Panels(
                    title="night",
                    panels=(PICTURE,),
                    legend=(LegendEntry(name="road", colour=(1, 2, 3), share=0.256),),
                    link="pictures/01.png",
                ),
            ),
        ),
        Section(title="Sheets", items=(Sheet(title="worst of all", uri=ADDRESS),)),
    ),
    tables=(Table(title="Drops", columns=("reason", "pairs"), rows=(("late", "3"),), note="A note."),),
    notes=(("weights", "segmif-s"),),
)


def test_everything_given_is_on_the_page_in_order() -> None:
    text = " ".join(" ".join(_checked(render(PAGE)).texts).split())
    parts = (
        "Demo|All went well.|9.8 Hz|A quick run.|2 failed|first|second|IoU|Frames|sidewalk|worst|night|full size|RGB|"
    )
    parts += "road 25.6 %|worst of all|Figures|Drops|late|3|A note.|About this run|weights|segmif-s"
    at = text.index("All went well.") - len("Demo ")
    for each in parts.split("|"):
        assert each in text[at:], each
        at = text.index(each, at)


def test_nothing_is_loaded_from_elsewhere() -> None:
    addresses = _checked(render(PAGE)).addresses
    assert all(each.startswith("data:") or each == "pictures/01.png" for each in addresses)
    assert len([each for each in addresses if each.startswith("data:image/")]) == 5


@pytest.mark.parametrize(
    "page",
    [
        replace(PAGE, title="<i>&"),
        replace(PAGE, lead="<i>&"),
        replace(PAGE, remarks=("<i>&",)),
        replace(PAGE, sections=(Section(title="x", lines=("<i>&",)),)),
        replace(PAGE, notes=(("<i>&", "<i>&"),)),
        replace(PAGE, sections=(Section(title="<i>&", items=(Sheet(title="<i>&", uri=ADDRESS),)),)),
    ],
)
def test_every_text_is_escaped(page: Page) -> None:
    text = render(page)
    assert "&lt;i&gt;&amp;" in text
    assert "<i>&" not in text


def test_what_a_page_does_not_have_leaves_no_heading() -> None:
    text = render(Page(title="Empty", lead="Nothing was seen.", sections=(Section(title="Plots"),)))
    _checked(text)
    assert "<h2>" not in text


def test_the_last_column_of_an_explained_table_holds_words() -> None:
    table = Table(title="Drops", columns=("", "", "meaning"), rows=(("late", "3", "too old"),), explained=True)
    assert 'class="explained"' in render(replace(PAGE, tables=(table,)))


def test_a_wide_plot_has_a_row_of_its_own() -> None:
    plots = tuple(Plot(title=title, svg="<svg/>", wide=wide) for title, wide in (("bars", False), ("matrix", True)))
    text = render(Page(title="t", lead="l", sections=(Section(title="Plots", items=plots),)))
    assert re.findall(r"<section( class=\"full\")?>\s*<h3>(\w+)", text) == [("", "bars"), (' class="full"', "matrix")]
