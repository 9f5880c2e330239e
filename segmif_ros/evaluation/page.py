# SPDX-License-Identifier: Apache-2.0
"""One self-contained HTML page of figures and pictures: no script, nothing loaded from elsewhere, fit for a phone."""

from __future__ import annotations

import base64
from dataclasses import dataclass

import cv2
import jinja2
import numpy as np
import numpy.typing as npt

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
    """

    title: str
    lead: str
    facts: tuple[tuple[str, str], ...] = ()
    tables: tuple[Table, ...] = ()
    samples: tuple[Sample, ...] = ()
    notes: tuple[tuple[str, str], ...] = ()


def render_page(page: Page, *, panel_width: int = 480) -> str:
    """Return the page as HTML text.

    Args:
        page: What it says; all texts are escaped.
        panel_width: Pictures wider than this many pixels are embedded scaled down to it.
    """
    environment = jinja2.Environment(
        autoescape=True, trim_blocks=True, lstrip_blocks=True, undefined=jinja2.StrictUndefined
    )
    environment.filters["embedded"] = lambda panel: _data_uri(panel, panel_width)
    return environment.from_string(_TEMPLATE).render(page=page)


def _data_uri(panel: Panel, width: int) -> str:
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
    return f"data:image/{kind};base64,{base64.b64encode(data.tobytes()).decode('ascii')}"


_TEMPLATE = """\
<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<meta name="color-scheme" content="light dark">
<title>{{ page.title }}</title>
<link rel="icon" href="data:,">
<style>
:root { --ink: #1c2430; --soft: #5b6675; --ground: #ffffff; --card: #f3f5f8; --line: #d9dee5; }
@media (prefers-color-scheme: dark) {
  :root { --ink: #e8ecf1; --soft: #9aa6b5; --ground: #12161c; --card: #1c222b; --line: #323b47; }
}
* { box-sizing: border-box; }
body { margin: 0 auto; padding: 1rem; max-width: 90rem; color: var(--ink); background: var(--ground);
  font: 1rem/1.5 system-ui, sans-serif; }
h1 { font-size: 1.5rem; line-height: 1.2; margin: .5rem 0; }
h2 { font-size: 1.15rem; margin: 2rem 0 .5rem; }
h3 { font-size: 1rem; margin: 1.5rem 0 .4rem; }
p { max-width: 45rem; margin: .4rem 0; }
.soft, figcaption, th { color: var(--soft); }
.facts { display: grid; gap: .6rem; grid-template-columns: repeat(auto-fit, minmax(8.5rem, 1fr)); margin: 1rem 0; }
.facts div { background: var(--card); border-radius: .5rem; padding: .6rem .8rem; }
.facts dt { color: var(--soft); font-size: .85rem; }
.facts dd { margin: 0; font-size: 1.3rem; font-variant-numeric: tabular-nums; }
.tables { display: grid; gap: 0 2rem; align-items: start;
  grid-template-columns: repeat(auto-fit, minmax(min(100%, 36rem), 1fr)); }
.scroll { overflow-x: auto; }
table { border-collapse: collapse; width: 100%; font-size: .9rem; }
th, td { text-align: right; padding: .25rem .5rem; border-bottom: 1px solid var(--line); white-space: nowrap;
  font-variant-numeric: tabular-nums; }
th { font-weight: 500; font-size: .85rem; }
th:first-child, td:first-child { text-align: left; padding-left: 0; }
.explained :is(th, td):last-child { text-align: left; white-space: normal; line-height: 1.25; }
.panels { display: grid; gap: .5rem; grid-template-columns: repeat(auto-fit, minmax(min(48%, 15rem), 1fr)); }
figure { margin: 0; }
figure img { width: 100%; height: auto; display: block; border-radius: .25rem; background: #000; }
figcaption { font-size: .85rem; }
.legend { display: flex; flex-wrap: wrap; gap: .2rem 1rem; margin: .4rem 0 0; padding: 0; list-style: none;
  font-size: .9rem; }
.legend i { display: inline-block; width: .9em; height: .9em; margin-right: .35em; border-radius: .2em;
  vertical-align: -.1em; border: 1px solid var(--line); }
.notes { display: grid; grid-template-columns: auto 1fr; gap: .2rem 1rem; font-size: .9rem; }
.notes dt { color: var(--soft); }
.notes dd { margin: 0; overflow-wrap: anywhere; }
a { color: inherit; }
</style>
</head>
<body>
<h1>{{ page.title }}</h1>
<p>{{ page.lead }}</p>
{% if page.facts %}
<dl class="facts">
{% for label, value in page.facts %}
<div><dt>{{ label }}</dt><dd>{{ value }}</dd></div>
{% endfor %}
</dl>
{% endif %}
{% if page.samples %}
<h2>Pictures</h2>
{% for sample in page.samples %}
<section>
<h3>{{ sample.title }}{% if sample.link %} <a class="soft" href="{{ sample.link }}">full size</a>{% endif %}</h3>
<div class="panels">
{% for panel in sample.panels %}
<figure>
<img src="{{ panel | embedded }}" alt="{{ panel.caption }}, {{ sample.title }}"
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
{% if page.tables %}
<h2>Figures</h2>
<div class="tables">
{% for table in page.tables %}
<section>
<h3>{{ table.title }}</h3>
<div class="scroll"><table{% if table.explained %} class="explained"{% endif %}>
<thead><tr>{% for column in table.columns %}<th scope="col">{{ column }}</th>{% endfor %}</tr></thead>
<tbody>
{% for row in table.rows %}
<tr>{% for cell in row %}<td>{{ cell }}</td>{% endfor %}</tr>
{% endfor %}
</tbody>
</table></div>
{% if table.note %}
<p class="soft">{{ table.note }}</p>
{% endif %}
</section>
{% endfor %}
</div>
{% endif %}
{% if page.notes %}
<h2>About this run</h2>
<dl class="notes">
{% for label, value in page.notes %}
<dt>{{ label }}</dt><dd>{{ value }}</dd>
{% endfor %}
</dl>
{% endif %}
</body>
</html>
"""
