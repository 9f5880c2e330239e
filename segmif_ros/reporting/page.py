# SPDX-License-Identifier: Apache-2.0
"""One HTML page for every report: one file that needs nothing else, fit for a phone, light or dark.

From top to bottom: heading, lead, facts, remarks, the page's own sections, tables, and how it came about. Template and
style are files in templates/.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any, ClassVar

import jinja2
from markupsafe import Markup

from segmif_ros.labels import LabelSet
from segmif_ros.reporting.pictures import data_uri
from segmif_ros.reporting.tables import Table

# an absolute path of at least two names: its first folder, and its last name
_PATH = re.compile(r"(?<![\w./:-])/([^\s/:;,'\"()]+)(?:/[^\s/:;,'\"()]+)*/([^\s/:;,'\"()]+)/?")


@dataclass(frozen=True, kw_only=True)
class LegendEntry:
    """One class: its name, colour (RGB, 0..255) and, where that is known, share of the pixels (0..1)."""

    name: str
    colour: tuple[int, int, int]
    share: float | None = None


@dataclass(frozen=True, kw_only=True)
class Picture:
    """One picture: what it is, and the address that holds it."""

    caption: str
    uri: str


@dataclass(frozen=True, kw_only=True)
class Plot:
    """A plot as SVG text; a wide one has a row of its own, and scrolls on a phone instead of shrinking."""

    kind: ClassVar[str] = "plot"
    title: str
    svg: str
    wide: bool = False

    @property
    def uri(self) -> str:
        """The address that holds it."""
        return data_uri("svg+xml", self.svg.encode())


@dataclass(frozen=True, kw_only=True)
class Swipe:
    """Pictures of one frame, of which two at a time are swiped across.

    Attributes:
        layers: The pictures.
        switch: Captions of some of them, each shown whole by a button of its own; the page opens with the first two
            of them against each other. Those without a picture are left out, and one alone makes no switch.
    """

    kind: ClassVar[str] = "swipe"
    title: str
    layers: tuple[Picture, ...]
    switch: tuple[str, ...] = ()

    @property
    def shown_switch(self) -> tuple[str, ...]:
        """The captions of the switch that there are pictures of; none if there are less than two."""
        there = [layer.caption for layer in self.layers]
        found = tuple(each for each in self.switch if each in there)
        return found if len(found) > 1 else ()


@dataclass(frozen=True, kw_only=True)
class Panels:
    """Pictures of one moment, side by side where there is room.

    Attributes:
        title: For example "night, 12.3 s".
        panels: In reading order.
        legend: The classes present, largest first.
        link: Relative path of a larger version beside the page, empty for none.
    """

    kind: ClassVar[str] = "panels"
    title: str
    panels: tuple[Picture, ...]
    legend: tuple[LegendEntry, ...] = ()
    link: str = ""


@dataclass(frozen=True, kw_only=True)
class Sheet:
    """One wide picture."""

    kind: ClassVar[str] = "sheet"
    title: str
    uri: str


@dataclass(frozen=True, kw_only=True)
class Section:
    """A part of a page.

    Attributes:
        title: Its heading.
        text: What to know before looking at it.
        lines: A list.
        items: Plots and swipes come in columns, panels and sheets one below the other.
        legend: Colours of the classes that the items show.
    """

    title: str
    text: str = ""
    lines: tuple[str, ...] = ()
    items: tuple[Plot | Swipe | Panels | Sheet, ...] = ()
    legend: tuple[LegendEntry, ...] = ()


@dataclass(frozen=True, kw_only=True)
class Page:
    """A page; all texts are escaped.

    Attributes:
        title: The heading.
        lead: One or two sentences: what was run, and what came of it.
        facts: (label, value) of the few figures that matter most, shown large.
        remarks: What to know when reading the page.
        sections: The page's own parts; empty ones are left out.
        tables: All figures.
        notes: (label, value) about the run: versions, weights, settings.
    """

    title: str
    lead: str
    facts: Sequence[tuple[str, str]] = ()
    remarks: Sequence[str] = ()
    sections: Sequence[Section] = ()
    tables: Sequence[Table] = ()
    notes: Sequence[tuple[str, str]] = ()


def render(page: Page) -> str:
    """Return a page as HTML text."""
    return _environment().get_template("page.html.j2").render(page=page)


def plots_section(drawn: Iterable[Plot]) -> Section:
    """Return the section of a page's plots."""
    return Section(title="Plots", items=tuple(drawn))


def legend_of(label_set: LabelSet) -> tuple[LegendEntry, ...]:
    """Return the colours of all classes of a label set."""
    return tuple(
        LegendEntry(name=name, colour=(red, green, blue))
        for name, (red, green, blue) in zip(label_set.names, label_set.palette.tolist(), strict=True)
    )


def _without_folders(value: Any) -> Any:
    """Return a text with each path of this machine cut to its last name: a page is for passing on.

    Names of topics look alike, so a path counts as one where its first folder is there.
    """
    if not isinstance(value, str) or isinstance(value, Markup) or value.startswith("data:"):
        return value
    return _PATH.sub(lambda found: found[2] if Path("/", found[1]).is_dir() else found[0], value)


@cache
def _environment() -> jinja2.Environment:
    return jinja2.Environment(
        loader=jinja2.PackageLoader("segmif_ros.reporting"),
        autoescape=True,
        trim_blocks=True,
        lstrip_blocks=True,
        undefined=jinja2.StrictUndefined,
        finalize=_without_folders,
    )


def style() -> str:
    """Return the style sheet of the pages, for one that isn't made of sections."""
    return (Path(__file__).parent / "templates" / "page.css").read_text(encoding="utf-8")
