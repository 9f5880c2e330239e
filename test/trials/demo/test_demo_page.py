# SPDX-License-Identifier: Apache-2.0
"""The HTML page: everything it is given is on it, safely, and nothing is loaded from elsewhere."""

import base64
import re
from html.parser import HTMLParser

import cv2
import numpy as np
import pytest

from segmif_ros.evaluation.page_frame import Table
from segmif_ros.trials.demo.page import LegendEntry, Page, Panel, Sample, render_page

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


def _page(**changes: object) -> Page:
    image = np.zeros((6, 8, 3), np.uint8)
    image[..., 0] = 250
    fields: dict = {
        "title": "Demo",
        "lead": "All went well.",
        "facts": (("rate", "9.8 Hz"),),
        "tables": (Table(title="Drops", columns=("reason", "pairs"), rows=(("late", "3"),), note="A note."),),
        "samples": (
            Sample(
                title="night",
                panels=(Panel(caption="RGB", image=image), Panel(caption="labels", image=image, flat=True)),
                legend=(LegendEntry(name="road", colour=(1, 2, 3), share=0.256),),
                link="pictures/01.png",
            ),
        ),
        "notes": (("weights", "segmif-s"),),
    }
    return Page(**(fields | changes))


def test_everything_given_is_on_the_page() -> None:
    text = " ".join(" ".join(_checked(render_page(_page())).texts).split())
    for each in ("Demo", "All went well.", "9.8 Hz", "late", "3", "A note.", "night", "road 25.6 %", "segmif-s"):
        assert each in text


def test_nothing_is_loaded_from_elsewhere() -> None:
    addresses = _checked(render_page(_page())).addresses
    assert all(each.startswith("data:") or each == "pictures/01.png" for each in addresses)
    assert len([each for each in addresses if each.startswith("data:image/")]) == 2


def test_texts_are_escaped() -> None:
    text = render_page(_page(title="<script>alert(1)</script>"))
    assert "<script" not in text
    assert "<script>alert(1)</script>" in _checked(text).texts


def test_label_maps_are_embedded_without_loss_and_in_the_right_colour_order() -> None:
    text = render_page(_page())
    data = base64.b64decode(re.search(r"data:image/png;base64,([^\"]+)", text)[1])
    decoded = cv2.imdecode(np.frombuffer(data, np.uint8), cv2.IMREAD_COLOR)
    assert (decoded == (0, 0, 250)).all()  # BGR


@pytest.mark.parametrize("flat", [True, False])
def test_wide_pictures_are_scaled_down(flat: bool) -> None:
    panel = Panel(caption="infrared", image=np.full((100, 400), 7, np.uint8), flat=flat)
    text = render_page(_page(samples=(Sample(title="day", panels=(panel,)),)), panel_width=100)
    data = base64.b64decode(re.search(r"data:image/\w+;base64,([^\"]+)", text)[1])
    assert cv2.imdecode(np.frombuffer(data, np.uint8), cv2.IMREAD_UNCHANGED).shape == (25, 100)


def test_a_page_without_pictures_and_tables_is_a_page() -> None:
    _checked(render_page(Page(title="Empty", lead="Nothing was seen.")))
