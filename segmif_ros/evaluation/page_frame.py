# SPDX-License-Identifier: Apache-2.0
"""The frame of every HTML page: one file that needs nothing else, fit for a phone, light or dark.

From top to bottom: heading, lead, facts, the page's own body, tables, and how it came about.
"""

from __future__ import annotations

import base64
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import jinja2


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


def render_in_frame(
    body: str,
    *,
    title: str,
    lead: str,
    facts: Sequence[tuple[str, str]] = (),
    tables: Sequence[Table] = (),
    notes: Sequence[tuple[str, str]] = (),
    **values: Any,
) -> str:
    """Return a page as HTML text; all values are escaped.

    Args:
        body: A Jinja template that extends "frame" and fills its blocks body and, if it needs them, style and script.
        title: The heading.
        lead: One or two sentences: what was run, and what came of it.
        facts: (label, value) of the few figures that matter most, shown large.
        tables: All figures.
        notes: Facts about the run, as (label, value): versions, weights, settings.
        values: What the body speaks of.
    """
    environment = jinja2.Environment(
        loader=jinja2.DictLoader({"frame": _FRAME}),
        autoescape=True,
        trim_blocks=True,
        lstrip_blocks=True,
        undefined=jinja2.StrictUndefined,
    )
    return environment.from_string(body).render(
        title=title, lead=lead, facts=facts, tables=tables, notes=notes, **values
    )


def data_uri(kind: str, content: bytes) -> str:
    """Return an image of media type image/``kind`` as an address that holds it."""
    return f"data:image/{kind};base64,{base64.b64encode(content).decode('ascii')}"


_FRAME = """\
<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<meta name="color-scheme" content="light dark">
<title>{{ title }}</title>
<link rel="icon" href="data:,">
<style>
:root { --ink: #1c2430; --soft: #5b6675; --ground: #ffffff; --card: #f3f5f8; --line: #d9dee5; --mark: #3f7ab8; }
@media (prefers-color-scheme: dark) {
  :root { --ink: #e8ecf1; --soft: #9aa6b5; --ground: #12161c; --card: #1c222b; --line: #323b47; --mark: #7db1e8; }
}
* { box-sizing: border-box; }
body { margin: 0 auto; padding: 1rem; max-width: 90rem; color: var(--ink); background: var(--ground);
  font: 1rem/1.5 system-ui, sans-serif; }
h1 { font-size: 1.5rem; line-height: 1.2; margin: .5rem 0; overflow-wrap: anywhere; }
h2 { font-size: 1.15rem; margin: 2rem 0 .5rem; }
h3 { font-size: 1rem; margin: 1.5rem 0 .4rem; overflow-wrap: anywhere; }
p { max-width: 45rem; margin: .4rem 0; }
a { color: inherit; }
.soft, th, dt { color: var(--soft); }
.facts { display: grid; gap: .6rem; grid-template-columns: repeat(auto-fit, minmax(8.5rem, 1fr)); margin: 1rem 0; }
.facts div { background: var(--card); border-radius: .5rem; padding: .6rem .8rem; }
.facts dt { font-size: .85rem; }
.facts dd { margin: 0; font-size: 1.3rem; font-variant-numeric: tabular-nums; }
.columns { display: grid; gap: 0 2rem; align-items: start;
  grid-template-columns: repeat(auto-fit, minmax(min(100%, 30rem), 1fr)); }
.columns > section { min-width: 0; }
.scroll { overflow-x: auto; }
.scroll + p { font-size: .9rem; }
table { border-collapse: collapse; width: 100%; font-size: .9rem; }
th, td { text-align: right; padding: .25rem .5rem; border-bottom: 1px solid var(--line); white-space: nowrap;
  font-variant-numeric: tabular-nums; }
th { font-weight: 500; font-size: .85rem; }
:is(th, td):first-child { text-align: left; padding-left: 0; white-space: normal; }
.explained :is(th, td):last-child { text-align: left; white-space: normal; line-height: 1.25; }
.notes { display: grid; grid-template-columns: auto minmax(50%, 1fr); gap: .2rem 1rem; font-size: .9rem; }
.notes :is(dt, dd) { margin: 0; overflow-wrap: anywhere; }
{% block style %}{% endblock %}
</style>
</head>
<body>
<h1>{{ title }}</h1>
<p>{{ lead }}</p>
{% if facts %}
<dl class="facts">
{% for label, value in facts %}
<div><dt>{{ label }}</dt><dd>{{ value }}</dd></div>
{% endfor %}
</dl>
{% endif %}
{% block body %}{% endblock %}
{% if tables %}
<h2>Figures</h2>
<div class="columns">
{% for table in tables %}
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
{% if notes %}
<h2>About this run</h2>
<dl class="notes">
{% for label, value in notes %}
<dt>{{ label }}</dt><dd>{{ value }}</dd>
{% endfor %}
</dl>
{% endif %}
{% block script %}{% endblock %}
</body>
</html>
"""
