# SPDX-License-Identifier: Apache-2.0
"""The page of a report: figures, plots, and frames to swipe through."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from segmif_ros.evaluation import plots
from segmif_ros.evaluation.page_frame import Table, data_uri, render_in_frame
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
    header, pairs = report["header"], report["pairs"]
    return render_in_frame(
        _BODY,
        title=f"{report['kind'].capitalize()}: {header['data']['name']} {header['data'].get('split', '')}".strip(),
        lead=f"{pairs['processed']} of {pairs['offered']} pairs processed by {header['model']['name']} on "
        f"{header['model']['device']}.",
        facts=_facts(report, timing),
        tables=_tables(report, timing),
        notes=_identity(header),
        remarks=_remarks(report),
        failed=pairs["failed"],
        frames=_frames(folder, report),
        ranked_by=report["frames"]["ranked_by"],
        plots=_plots(report, timing),
    )


def _facts(report: Mapping[str, Any], timing: Mapping[str, Any]) -> list[tuple[str, str]]:
    facts = [("pairs", f"{report['pairs']['processed']} of {report['pairs']['offered']}")]
    segmentation = report["segmentation"]
    if segmentation:
        truth = segmentation["all"]["miou"]["truth"]
        facts.append((f"mIoU, {len(truth['classes'])} classes of the truth", _percent(truth["value"])))
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
        "truth": "classes that the truth holds",
        "fixed": "all classes, absent ones as 0",
        "present_without_0": "classes that occur, without id 0",
        "truth_without_0": "classes that the truth holds, without id 0",
        "fixed_without_0": "all classes but id 0, absent ones as 0",
    }
    rows = [
        (title, *(_percent(segmentation[group]["miou"][key]["value"]) for group in groups))
        for key, title in titles.items()
    ]
    rows.append(("pixel accuracy", *(_percent(segmentation[group]["pixel_accuracy"]) for group in groups)))
    rows += [
        (f"mean accuracy, {titles[key]}", *(_percent(segmentation[group]["macc"][key]["value"]) for group in groups))
        for key in ("present", "truth", "fixed")
    ]
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


def _remarks(report: Mapping[str, Any]) -> list[str]:
    remarks = list(report["notes"])
    segmentation = report["segmentation"]
    if segmentation and segmentation["classes_without_truth"]:
        gaps = ", ".join(segmentation["classes_without_truth"])
        remarks.append(f"The truth holds no pixel of {gaps}: nothing is known about how well that is found.")
    if segmentation and segmentation["frames_without_truth"]:
        remarks.append(f"{len(segmentation['frames_without_truth'])} frames have no labelled pixel at all.")
    return remarks


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
    return "nothing counted" if value is None else f"{100 * value:.2f} %"


def _number(value: float | None) -> str:
    return "none" if value is None else f"{value:.4g}"


def _svg_uri(svg: str) -> str:
    return data_uri("svg+xml", svg.encode())


def _picture_uri(path: Path) -> str:
    return data_uri("png" if path.suffix == ".png" else "jpeg", path.read_bytes())


_BODY = """\
{% extends "frame" %}
{% block style %}
ul.plain { max-width: 45rem; margin: .4rem 0; padding-left: 1.2rem; }
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
{% endblock %}
{% block body %}
{% if remarks %}
<h2>What to know when reading this</h2>
<ul class="plain">
{% for remark in remarks %}
<li>{{ remark }}</li>
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
{% endblock %}
{% block script %}
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
{% endblock %}
"""
