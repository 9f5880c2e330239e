# SPDX-License-Identifier: Apache-2.0
"""The report as one HTML file that needs nothing else: figures, plots, and frames to swipe through."""

from __future__ import annotations

import base64
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import jinja2
import numpy as np

from segmif_ros.evaluation import plots
from segmif_ros.evaluation.pictures import LAYERS, picture_folder

PAGE_FILE = "report.html"
CAPTIONS = {"infrared": "infrared", "rgb": "RGB", "fused": "fused", "labels": "labels", "truth": "ground truth"}


@dataclass(frozen=True, kw_only=True)
class Layer:
    """One picture of a frame: a name, and the data URI of its file."""

    name: str
    uri: str


@dataclass(frozen=True, kw_only=True)
class Frame:
    """One frame to swipe through."""

    title: str
    layers: tuple[Layer, ...]


@dataclass(frozen=True, kw_only=True)
class Table:
    """The first column holds names, the others figures."""

    title: str
    columns: tuple[str, ...]
    rows: tuple[tuple[str, ...], ...]
    note: str = ""


@dataclass(frozen=True, kw_only=True)
class Plot:
    """A plot as an SVG data URI; a wide one scrolls on a phone instead of shrinking."""

    title: str
    uri: str
    wide: bool = False


def write_page(folder: Path, report: Mapping[str, Any], timing: Mapping[str, Any]) -> Path:
    """Write report.html beside the pictures; OSError if the folder can't be written."""
    path = folder / PAGE_FILE
    partial = path.with_suffix(".partial")
    partial.write_text(render(folder, report, timing), encoding="utf-8")
    partial.replace(path)
    return path


def render(folder: Path, report: Mapping[str, Any], timing: Mapping[str, Any]) -> str:
    """Return the page; ``folder`` holds the pictures of the best and worst frames."""
    environment = jinja2.Environment(
        autoescape=True, trim_blocks=True, lstrip_blocks=True, undefined=jinja2.StrictUndefined
    )
    header, pairs = report["header"], report["pairs"]
    return environment.from_string(_TEMPLATE).render(
        title=f"{report['kind'].capitalize()}: {header['data']['name']} {header['data'].get('split', '')}".strip(),
        lead=f"{pairs['processed']} of {pairs['offered']} pairs processed by {header['model']['name']} on "
        f"{header['model']['device']}.",
        facts=_facts(report, timing),
        tables=_tables(report, timing),
        plots=_plots(report, timing),
        ranked_by=report["frames"]["ranked_by"],
        frames=_frames(folder, report),
        notes=_notes(report),
        failed=pairs["failed"],
        identity=_identity(header),
    )


def _facts(report: Mapping[str, Any], timing: Mapping[str, Any]) -> list[tuple[str, str]]:
    facts = [("pairs", f"{report['pairs']['processed']} of {report['pairs']['offered']}")]
    segmentation = report["segmentation"]
    if segmentation:
        present = segmentation["all"]["miou"]["present"]
        facts.append((f"mIoU, {len(present['classes'])} classes present", _percent(present["value"])))
        fixed = segmentation["all"]["miou"]["fixed"]
        facts.append((f"mIoU, all {len(fixed['classes'])} classes", _percent(fixed["value"])))
        facts.append(("pixel accuracy", _percent(segmentation["all"]["pixel_accuracy"])))
    fusion = report["fusion"]["all"]
    facts += report.get("facts", [])
    facts += [(name, _number(fusion[name]["mean"])) for name in ("Qabf", "VIF", "SSIM") if name in fusion]
    if timing.get("pairs_per_s"):
        facts.append(("pairs a second", f"{timing['pairs_per_s']:.2f}"))
    return facts


def _tables(report: Mapping[str, Any], timing: Mapping[str, Any]) -> list[Table]:
    tables = []
    segmentation = report["segmentation"]
    if segmentation:
        groups = [name for name in ("all", "day", "night") if name in segmentation]
        tables.append(_mean_table(segmentation, groups))
        tables.append(_class_table(segmentation, groups))
    groups = [name for name in ("all", "day", "night") if name in report["fusion"]]
    if report["fusion"]["all"]:
        tables.append(_fusion_table(report["fusion"], groups))
    tables += [
        Table(
            title=section["title"],
            columns=tuple(section["columns"]),
            rows=tuple(tuple(map(str, row)) for row in section["rows"]),
            note=section.get("note", ""),
        )
        for section in report.get("tables", ())
    ]
    stages = timing.get("stage_ms") or {}
    if stages:
        tables.append(
            Table(
                title="Time by stage, ms",
                columns=("stage", "P50", "P95", "P99", "max"),
                rows=tuple(
                    (name, *(_number(each[key]) for key in ("p50", "p95", "p99", "max")))
                    for name, each in stages.items()
                ),
                note=f"Measured on {timing['machine']}, workers: {timing['workers']}.",
            )
        )
    return tables


def _mean_table(segmentation: Mapping[str, Any], groups: list[str]) -> Table:
    titles = {
        "present": "classes that occur",
        "fixed": "all classes, absent ones as 0",
        "present_without_0": "classes that occur, without id 0",
        "fixed_without_0": "all classes but id 0, absent ones as 0",
    }
    rows = [
        (title, *(_percent(segmentation[group]["miou"][key]["value"]) for group in groups))
        for key, title in titles.items()
    ]
    rows.append(("pixel accuracy", *(_percent(segmentation[group]["pixel_accuracy"]) for group in groups)))
    rows.append(("mean class accuracy", *(_percent(segmentation[group]["mean_accuracy"]) for group in groups)))
    rows.append(("frames", *(str(segmentation[group]["frames"]) for group in groups)))
    counted = ", ".join(segmentation["all"]["miou"]["present"]["classes"]) or "none"
    missing = ", ".join(segmentation["classes_without_truth"])
    note = f"Classes that occur (in truth or prediction, all frames): {counted}."
    if missing:
        note += f" The truth holds no pixel of: {missing}."
    return Table(title="Mean IoU by convention", columns=("mean over", *groups), rows=tuple(rows), note=note)


def _class_table(segmentation: Mapping[str, Any], groups: list[str]) -> Table:
    rows = []
    for i, name in enumerate(segmentation["classes"]):
        cells = [_percent(segmentation[group]["iou"][name]) for group in groups]
        cells += [_percent(segmentation[group]["accuracy"][name]) for group in groups]
        rows.append((name, *cells, f"{segmentation['truth_pixels'][i]:,}"))
    columns = ("class", *(f"IoU {each}" for each in groups), *(f"accuracy {each}" for each in groups), "truth pixels")
    return Table(
        title="By class", columns=columns, rows=tuple(rows), note="Accuracy is the share of truth pixels found."
    )


def _fusion_table(fusion: Mapping[str, Any], groups: list[str]) -> Table:
    rows = []
    for name, whole in fusion["all"].items():
        cells = [_number(fusion[group].get(name, {}).get("mean")) for group in groups]
        rows.append((name, *cells, _number(whole["deviation"]), str(whole["pairs"])))
    return Table(
        title="Fusion metrics, mean over pairs",
        columns=("metric", *groups, "deviation", "pairs"),
        rows=tuple(rows),
        note="Textbook values on grey images in 0..255; a letter after a name is a toolbox's convention "
        "(C CDDFuse, T Evaluation-for-Image-Fusion, Z IVIF_ZOO).",
    )


def _plots(report: Mapping[str, Any], timing: Mapping[str, Any]) -> list[Plot]:
    found = []
    segmentation = report["segmentation"]
    if segmentation:
        names = segmentation["classes"]
        groups = [name for name in ("all", "day", "night") if name in segmentation]
        shown = groups[1:] if len(groups) > 2 else groups[:1]
        bars = {group: [segmentation[group]["iou"][name] for name in names] for group in shown}
        found.append(Plot(title="IoU by class", uri=_svg_uri(plots.iou_bars(names, bars))))
        counts = np.asarray(segmentation["confusion"], np.int64)
        if counts.sum():
            svg = plots.confusion_matrix(names, counts)
            found.append(Plot(title="Confusion matrix", uri=_svg_uri(svg), wide=True))
    for series in timing.get("series", ()):
        if series.get("percentiles"):
            marks = {name.upper(): series["percentiles"][name] for name in ("p50", "p95", "p99")}
            svg = plots.histogram(series["values"], series["label"], marks=marks)
            found.append(Plot(title=f"{series['title']}, histogram", uri=_svg_uri(svg)))
        found.append(
            Plot(
                title=f"{series['title']} over time",
                uri=_svg_uri(plots.timeline(series["times_s"], series["values"], series["label"])),
            )
        )
    return found


def _frames(folder: Path, report: Mapping[str, Any]) -> list[Frame]:
    frames = []
    seen = set()
    for side in ("worst", "best"):
        for entry in report["frames"][side]:
            if entry["key"] in seen:
                continue
            seen.add(entry["key"])
            source = picture_folder(folder, entry["key"])
            layers = [
                Layer(name=CAPTIONS[path.stem], uri=_picture_uri(path))
                for name in LAYERS
                for path in (source / f"{name}.jpg", source / f"{name}.png")
                if path.is_file()
            ]
            if layers:
                title = f"{side}: {entry['key']} ({_number(entry['score'])})"
                frames.append(Frame(title=title, layers=tuple(layers)))
    return frames


def _notes(report: Mapping[str, Any]) -> list[str]:
    notes = list(report["notes"])
    segmentation = report["segmentation"]
    if segmentation and segmentation["classes_without_truth"]:
        gaps = ", ".join(segmentation["classes_without_truth"])
        notes.append(f"The truth holds no pixel of {gaps}: nothing is known about how well that is found.")
    if segmentation and segmentation["frames_without_truth"]:
        notes.append(f"{len(segmentation['frames_without_truth'])} frames have no labelled pixel at all.")
    return notes


def _identity(header: Mapping[str, Any]) -> list[tuple[str, str]]:
    rows = [(f"data: {name}", str(value)) for name, value in header["data"].items() if value != ""]
    rows += [(f"model: {name}", str(value)) for name, value in header["model"].items()]
    rows.append(("configuration: sha256", header["configuration_sha256"]))
    rows += [(f"configuration: {name}", _said(value)) for name, value in header["configuration"].items()]
    rows += [(f"software: {name}", value) for name, value in header["software"].items()]
    return rows


def _said(value: Any) -> str:
    return ", ".join(map(str, value)) if isinstance(value, list | tuple) else str(value)


def _percent(value: float | None) -> str:
    return "none" if value is None else f"{100 * value:.2f} %"


def _number(value: float | None) -> str:
    return "none" if value is None else f"{value:.4g}"


def _svg_uri(svg: str) -> str:
    return f"data:image/svg+xml;base64,{base64.b64encode(svg.encode()).decode('ascii')}"


def _picture_uri(path: Path) -> str:
    kind = "png" if path.suffix == ".png" else "jpeg"
    return f"data:image/{kind};base64,{base64.b64encode(path.read_bytes()).decode('ascii')}"


_TEMPLATE = """\
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
p, ul.plain { max-width: 45rem; margin: .4rem 0; }
ul.plain { padding-left: 1.2rem; }
.soft, th { color: var(--soft); }
.facts { display: grid; gap: .6rem; grid-template-columns: repeat(auto-fit, minmax(8.5rem, 1fr)); margin: 1rem 0; }
.facts div { background: var(--card); border-radius: .5rem; padding: .6rem .8rem; }
.facts dt { color: var(--soft); font-size: .85rem; }
.facts dd { margin: 0; font-size: 1.3rem; font-variant-numeric: tabular-nums; }
.columns { display: grid; gap: 0 2rem; align-items: start;
  grid-template-columns: repeat(auto-fit, minmax(min(100%, 26rem), 1fr)); }
.columns > section { min-width: 0; }
.scroll { overflow-x: auto; }
table { border-collapse: collapse; width: 100%; }
th, td { text-align: right; padding: .25rem .5rem; border-bottom: 1px solid var(--line); white-space: nowrap;
  font-variant-numeric: tabular-nums; }
th { font-weight: 500; font-size: .85rem; }
th:first-child, td:first-child { text-align: left; padding-left: 0; white-space: normal; }
.plot { display: block; width: 100%; max-width: 38rem; height: auto; background: #fff; border-radius: .25rem; }
.plot.wide { min-width: 30rem; }
.stage { position: relative; background: #000; border-radius: .25rem; overflow: hidden; touch-action: pan-y;
  cursor: ew-resize; }
.stage img { display: block; width: 100%; height: auto; user-select: none; -webkit-user-drag: none; }
.live .stage img { position: absolute; inset: 0; height: 100%; visibility: hidden; }
.live .stage img:first-child { position: relative; height: auto; }
.live .stage img.on { visibility: visible; }
.live .stage img.over { z-index: 1; }
.line { position: absolute; z-index: 2; top: 0; bottom: 0; width: 2px; margin-left: -1px; background: #fff;
  box-shadow: 0 0 3px #000; pointer-events: none; }
.swipe input[type=range] { width: 100%; height: 1.8rem; margin: 0; accent-color: var(--mark); }
.pick { display: flex; justify-content: space-between; gap: 1rem; }
select { font: inherit; font-size: .9rem; padding: .3rem; color: inherit; background: var(--card);
  border: 1px solid var(--line); border-radius: .3rem; }
.notes { display: grid; grid-template-columns: minmax(7rem, auto) 1fr; gap: .2rem 1rem; font-size: .9rem; }
.notes dt { color: var(--soft); }
.notes dd { margin: 0; overflow-wrap: anywhere; }
</style>
</head>
<body>
<h1>{{ title }}</h1>
<p>{{ lead }}</p>
<dl class="facts">
{% for label, value in facts %}
<div><dt>{{ label }}</dt><dd>{{ value }}</dd></div>
{% endfor %}
</dl>
{% if notes %}
<h2>What to know when reading this</h2>
<ul class="plain">
{% for note in notes %}
<li>{{ note }}</li>
{% endfor %}
</ul>
{% endif %}
{% if failed %}
<h2>{{ failed | length }} failed</h2>
<ul class="plain">
{% for each in failed[:50] %}
<li>{{ each.key }}: {{ each.error }}</li>
{% endfor %}
{% if failed | length > 50 %}<li>and {{ failed | length - 50 }} more, in report.json</li>{% endif %}
</ul>
{% endif %}
{% if frames %}
<h2>Worst and best frames</h2>
<p class="soft">By {{ ranked_by }}. Drag across a picture, or choose what to lay side by side.</p>
<div class="columns">
{% for frame in frames %}
<section class="swipe">
<h3>{{ frame.title }}</h3>
<div class="stage">
{% for layer in frame.layers %}
<img src="{{ layer.uri }}" alt="{{ layer.name }}" title="{{ layer.name }}" draggable="false">
{% endfor %}
</div>
</section>
{% endfor %}
</div>
{% endif %}
{% if plots %}
<h2>Plots</h2>
<div class="columns">
{% for plot in plots %}
<section>
<h3>{{ plot.title }}</h3>
<div class="scroll"><img class="plot{{ " wide" if plot.wide }}" src="{{ plot.uri }}" alt="{{ plot.title }}"></div>
</section>
{% endfor %}
</div>
{% endif %}
<h2>Figures</h2>
<div class="columns">
{% for table in tables %}
<section>
<h3>{{ table.title }}</h3>
<div class="scroll"><table>
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
<h2>About this run</h2>
<dl class="notes">
{% for label, value in identity %}
<dt>{{ label }}</dt><dd>{{ value }}</dd>
{% endfor %}
</dl>
<script>
for (const swipe of document.querySelectorAll(".swipe")) {
  const stage = swipe.querySelector(".stage"), layers = [...stage.querySelectorAll("img")];
  if (layers.length < 2) continue;
  swipe.classList.add("live");
  const line = stage.appendChild(Object.assign(document.createElement("div"), { className: "line" }));
  const range = Object.assign(document.createElement("input"),
    { type: "range", min: 0, max: 100, value: 50, ariaLabel: "how much of the left picture shows" });
  const pick = Object.assign(document.createElement("div"), { className: "pick" });
  const choice = (label, first) => {
    const select = Object.assign(document.createElement("select"), { ariaLabel: label });
    layers.forEach((layer, i) => select.add(new Option(layer.alt, i, i === first, i === first)));
    select.oninput = show;
    return pick.appendChild(select);
  };
  const left = choice("left picture", 1), right = choice("right picture", layers.length > 2 ? 2 : 0);
  swipe.append(range, pick);
  function show() {
    layers.forEach((layer, i) => {
      const over = i === +left.value && left.value !== right.value;
      layer.classList.toggle("on", i === +left.value || i === +right.value);
      layer.classList.toggle("over", over);
      layer.style.clipPath = over ? `inset(0 ${100 - range.value}% 0 0)` : "none";
    });
    line.style.left = `${range.value}%`;
  }
  range.oninput = show;
  const drag = (event) => {
    const box = stage.getBoundingClientRect();
    range.value = Math.round(100 * (event.clientX - box.left) / box.width);
    show();
  };
  stage.onpointerdown = (event) => { stage.setPointerCapture(event.pointerId); drag(event); };
  stage.onpointermove = (event) => { if (event.buttons) drag(event); };
  show();
}
</script>
</body>
</html>
"""
