# SPDX-License-Identifier: Apache-2.0
"""The demo's page: figures, and pictures of some moments side by side."""

from __future__ import annotations

from dataclasses import dataclass

import cv2
import numpy as np
import numpy.typing as npt
from markupsafe import Markup

from segmif_ros.evaluation.page_frame import Table, data_uri, render_in_frame

UInt8Image = npt.NDArray[np.uint8]


@dataclass(frozen=True, kw_only=True, eq=False)
class Panel:
    """One picture of a sample.

    Attributes:
        caption: For example "fused".
        image: (H, W) grey or (H, W, 3) RGB, uint8.
        flat: True for label maps: few colours and hard edges, so they are embedded without loss.
    """

    caption: str
    image: UInt8Image
    flat: bool = False


@dataclass(frozen=True, kw_only=True)
class LegendEntry:
    """One class that is present in a sample: its name, colour (RGB, 0..255) and share of the pixels (0..1)."""

    name: str
    colour: tuple[int, int, int]
    share: float


@dataclass(frozen=True, kw_only=True, eq=False)
class Sample:
    """Pictures of one moment, side by side where there is room.

    Attributes:
        title: For example "night, 12.3 s".
        panels: In reading order.
        legend: The classes present, largest first.
        link: Relative path of a larger version beside the page, empty for none.
    """

    title: str
    panels: tuple[Panel, ...]
    legend: tuple[LegendEntry, ...] = ()
    link: str = ""


@dataclass(frozen=True, kw_only=True, eq=False)
class Page:
    """What the page says, from top to bottom.

    Attributes:
        title: Its heading.
        lead: One or two sentences: what was run, and what came of it.
        facts: (label, value) of the few figures that matter most, shown large.
        tables: All figures.
        samples: All pictures.
        notes: Facts about the run: versions, weights, settings, as (label, value).
        plots: (caption, SVG) of what happened over time.
    """

    title: str
    lead: str
    facts: tuple[tuple[str, str], ...] = ()
    tables: tuple[Table, ...] = ()
    samples: tuple[Sample, ...] = ()
    notes: tuple[tuple[str, str], ...] = ()
    plots: tuple[tuple[str, str], ...] = ()


def render_page(page: Page, *, panel_width: int = 480) -> str:
    """Return the page as HTML text.

    Args:
        page: What it says; all texts are escaped.
        panel_width: Pictures wider than this many pixels are embedded scaled down to it.
    """
    samples = [(sample, [(panel, _embedded(panel, panel_width)) for panel in sample.panels]) for sample in page.samples]
    return render_in_frame(
        _BODY,
        title=page.title,
        lead=page.lead,
        facts=page.facts,
        tables=page.tables,
        notes=page.notes,
        samples=samples,
        plots=[(caption, Markup(svg)) for caption, svg in page.plots],  # noqa: S704  drawn by ourselves
    )


def _embedded(panel: Panel, width: int) -> str:
    image = panel.image
    if image.shape[1] > width:
        size = (width, max(1, round(image.shape[0] * width / image.shape[1])))
        image = cv2.resize(image, size, interpolation=cv2.INTER_NEAREST if panel.flat else cv2.INTER_AREA)  # type: ignore[assignment]
    if image.ndim == 3:
        image = cv2.cvtColor(image, cv2.COLOR_RGB2BGR)  # type: ignore[assignment]
    suffix, kind, options = (".png", "png", []) if panel.flat else (".jpg", "jpeg", [cv2.IMWRITE_JPEG_QUALITY, 85])
    done, data = cv2.imencode(suffix, image, options)
    if not done:
        raise ValueError(f"panel '{panel.caption}' of shape {panel.image.shape} can't be written as {kind}")
    return data_uri(kind, data.tobytes())


_BODY = """\
{% extends "frame" %}
{% block style %}
.panels { display: grid; gap: .5rem; grid-template-columns: repeat(auto-fit, minmax(min(48%, 15rem), 1fr)); }
figure { margin: 0; }
figure img { width: 100%; height: auto; display: block; border-radius: .25rem; background: #000; }
.plot svg { width: 100%; height: auto; background: #fff; border-radius: .25rem; }
figcaption { color: var(--soft); font-size: .85rem; }
.legend { display: flex; flex-wrap: wrap; gap: .2rem 1rem; margin: .4rem 0 0; padding: 0; list-style: none;
  font-size: .9rem; }
.legend i { display: inline-block; width: .9em; height: .9em; margin-right: .35em; border-radius: .2em;
  vertical-align: -.1em; border: 1px solid var(--line); }
{% endblock %}
{% block body %}
{% for caption, svg in plots %}
<figure class="plot">{{ svg }}<figcaption>{{ caption }}</figcaption></figure>
{% endfor %}
{% if samples %}
<h2>Pictures</h2>
{% for sample, panels in samples %}
<section>
<h3>{{ sample.title }}{% if sample.link %} <a class="soft" href="{{ sample.link }}">full size</a>{% endif %}</h3>
<div class="panels">
{% for panel, address in panels %}
<figure>
<img src="{{ address }}" alt="{{ panel.caption }}, {{ sample.title }}"
 width="{{ panel.image.shape[1] }}" height="{{ panel.image.shape[0] }}">
<figcaption>{{ panel.caption }}</figcaption>
</figure>
{% endfor %}
</div>
{% if sample.legend %}
<ul class="legend">
{% for entry in sample.legend %}
<li><i style="background: rgb{{ entry.colour }}"></i>{{ entry.name }} {{ "%.1f" | format(100 * entry.share) }} %</li>
{% endfor %}
</ul>
{% endif %}
</section>
{% endfor %}
{% endif %}
{% endblock %}
"""
