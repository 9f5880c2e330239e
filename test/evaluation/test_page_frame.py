# SPDX-License-Identifier: Apache-2.0
"""The frame of all pages: what every page gets, and where its own parts go."""

import jinja2
import pytest

from segmif_ros.evaluation.page_frame import Table, data_uri, render_in_frame

BODY = '{% extends "frame" %}{% block style %}b { x: 1 }{% endblock %}{% block body %}<b>{{ word }}</b>{% endblock %}'


def test_a_body_comes_after_the_facts_and_before_the_tables() -> None:
    table = Table(title="Drops", columns=("reason", "pairs"), rows=(("late", "3"),))
    text = render_in_frame(BODY, title="Run", lead="Done.", facts=[("rate", "9 Hz")], tables=[table], word="here")
    order = [text.index(each) for each in ("<h1>Run", "Done.", "9 Hz", "<b>here</b>", "Drops", "</body>")]
    assert order == sorted(order)
    assert text.index("b { x: 1 }") < text.index("</style>")


def test_what_a_page_does_not_have_leaves_no_heading() -> None:
    assert "<h2>" not in render_in_frame(BODY, title="Run", lead="Done.", word="")


@pytest.mark.parametrize("place", ["title", "lead", "word"])
def test_every_value_is_escaped(place: str) -> None:
    values = {"title": "Run", "lead": "Done.", "word": "here"} | {place: "<i>&"}
    assert "<i>" not in render_in_frame(BODY, **values)


def test_a_value_that_a_body_lacks_is_an_error() -> None:
    with pytest.raises(jinja2.UndefinedError, match="word"):
        render_in_frame(BODY, title="Run", lead="Done.")


def test_an_image_becomes_an_address_that_holds_it() -> None:
    assert data_uri("png", b"abc") == "data:image/png;base64,YWJj"
