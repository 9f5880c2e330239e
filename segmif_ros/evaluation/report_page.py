# SPDX-License-Identifier: Apache-2.0
"""The files of a report: report.json, timing.json, and the page with figures, plots and frames to swipe through."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np

from segmif_ros.evaluation.report import REPORT_FILE, TIMING_FILE, by_light
from segmif_ros.evaluation.report_types import FusionSection, Header, Report, SegmentationSection, Timing
from segmif_ros.files import replace_file, write_json
from segmif_ros.labels import LabelSet
from segmif_ros.reporting import page, plots
from segmif_ros.reporting.extremes import LAYERS, picture_folder
from segmif_ros.reporting.numbers import significant
from segmif_ros.reporting.pictures import file_uri
from segmif_ros.reporting.tables import Table

PAGE_FILE = "report.html"
_FAILED_SHOWN = 50
CAPTIONS = {"infrared": "infrared", "rgb": "RGB", "fused": "fused", "labels": "labels", "truth": "ground truth"}
CAPTIONS |= {"difference": "difference", "confidence": "confidence"}
_ON_TRUTH = " Difference shows wrong pixels in red and those that aren't judged, mostly without ground truth, in blue."
_SWITCH = ("labels", "ground truth", "difference")


def write_results(folder: Path, report: Report, timing: Timing, label_set: LabelSet | None = None) -> None:
    """Write report.json, timing.json and report.html.

    Args:
        folder: Exists; it holds the pictures of the best and worst frames.
        report: As `segmif_ros.evaluation.report.build_report` returns it.
        timing: What was measured with a clock.
        label_set: Of the pictures, for their legend; None where there are none.

    Raises:
        OSError: If the folder can't be written.
    """
    write_json(folder / REPORT_FILE, report)
    write_json(folder / TIMING_FILE, timing)
    replace_file(folder / PAGE_FILE, render(folder, report, timing, label_set))


def render(folder: Path, report: Report, timing: Timing, label_set: LabelSet | None = None) -> str:
    """Return the page; ``folder`` holds the pictures of the best and worst frames."""
    header, pairs, failed = report["header"], report["pairs"], report["pairs"]["failed"]
    lines = [f"{each['key']}: {each['error']}" for each in failed[:_FAILED_SHOWN]]
    if len(failed) > _FAILED_SHOWN:
        lines.append(f"and {len(failed) - _FAILED_SHOWN} more, in report.json")
    return page.render(
        page.Page(
            title=f"{report['kind'].capitalize()}: {header['data']['name']} {header['data'].get('split', '')}".strip(),
            lead=f"{pairs['processed']} of {pairs['offered']} pairs processed by {header['model']['name']} on "
            f"{header['model']['device']}.",
            facts=_facts(report, timing),
            remarks=_remarks(report),
            sections=(
                page.Section(title=f"{len(failed)} failed", lines=tuple(lines)),
                page.Section(
                    title="Worst and best frames",
                    text=f"By {report['frames']['ranked_by']}. Drag across a picture, or choose what to lay side by "
                    f"side.{_ON_TRUTH if report['segmentation'] else ''}",
                    items=tuple(_frames(folder, report)),
                    legend=page.legend_of(label_set) if label_set else (),
                ),
                page.plots_section(_plots(report, timing)),
            ),
            tables=_tables(report, timing),
            notes=_identity(header),
        )
    )


def _facts(report: Report, timing: Timing) -> list[tuple[str, str]]:
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
    facts += [(name, significant(fusion[name]["mean"])) for name in ("Qabf", "VIF", "SSIM") if name in fusion]
    if timing.get("pairs_per_s"):
        facts.append(("pairs a second", f"{timing['pairs_per_s']:.2f}"))
    return facts


def _tables(report: Report, timing: Timing) -> list[Table]:
    tables = []
    segmentation = report["segmentation"]
    if segmentation:
        tables.append(_mean_table(segmentation))
        tables.append(_class_table(segmentation))
    if report["fusion"]["all"]:
        tables.append(_fusion_table(report["fusion"]))
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
                    (name, *(significant(each[key]) for key in ("p50", "p95", "p99", "max")))
                    for name, each in stages.items()
                ),
                note=f"Measured on {timing['machine']}, workers: {timing['workers']}.",
            )
        )
    return tables


def _mean_table(segmentation: SegmentationSection) -> Table:
    scores = by_light(segmentation)
    titles = {
        "present": "classes that occur",
        "truth": "classes that the truth holds",
        "fixed": "all classes, absent ones as 0",
        "present_without_0": "classes that occur, without id 0",
        "truth_without_0": "classes that the truth holds, without id 0",
        "fixed_without_0": "all classes but id 0, absent ones as 0",
    }
    rows = [
        (title, *(_percent(each["miou"][key]["value"]) for each in scores.values())) for key, title in titles.items()
    ]
    rows.append(("pixel accuracy", *(_percent(each["pixel_accuracy"]) for each in scores.values())))
    rows += [
        (f"mean accuracy, {titles[key]}", *(_percent(each["macc"][key]["value"]) for each in scores.values()))
        for key in ("present", "truth", "fixed")
    ]
    rows.append(("frames", *(str(each["frames"]) for each in scores.values())))
    counted = ", ".join(segmentation["all"]["miou"]["present"]["classes"]) or "none"
    missing = ", ".join(segmentation["classes_without_truth"])
    note = f"Classes that occur (in truth or prediction, all frames): {counted}."
    if missing:
        note += f" The truth holds no pixel of: {missing}."
    return Table(title="Mean IoU by convention", columns=("mean over", *scores), rows=tuple(rows), note=note)


def _class_table(segmentation: SegmentationSection) -> Table:
    rows = []
    scores = by_light(segmentation)
    for i, name in enumerate(segmentation["classes"]):
        cells = [_percent(each["iou"][name]) for each in scores.values()]
        cells += [_percent(each["accuracy"][name]) for each in scores.values()]
        rows.append((name, *cells, f"{segmentation['truth_pixels'][i]:,}"))
    columns = ("class", *(f"IoU {each}" for each in scores), *(f"accuracy {each}" for each in scores), "truth pixels")
    return Table(
        title="By class", columns=columns, rows=tuple(rows), note="Accuracy is the share of truth pixels found."
    )


def _fusion_table(fusion: FusionSection) -> Table:
    rows = []
    groups = [name for name in ("all", "day", "night") if name in fusion]
    for name, whole in fusion["all"].items():
        cells = [significant(fusion[group][name]["mean"] if name in fusion[group] else None) for group in groups]
        rows.append((name, *cells, significant(whole["deviation"]), str(whole["pairs"])))
    return Table(
        title="Fusion metrics, mean over pairs",
        columns=("metric", *groups, "deviation", "pairs"),
        rows=tuple(rows),
        note="Textbook values on grey images in 0..255; a letter after a name is a toolbox's convention "
        "(C CDDFuse, T Evaluation-for-Image-Fusion, Z IVIF_ZOO).",
    )


def _plots(report: Report, timing: Timing) -> list[page.Plot]:
    found = []
    segmentation = report["segmentation"]
    if segmentation:
        names = segmentation["classes"]
        scores = by_light(segmentation)
        shown = list(scores)[1:] if len(scores) > 2 else ["all"]
        bars = {group: [scores[group]["iou"][name] for name in names] for group in shown}
        found.append(page.Plot(title="IoU by class", svg=plots.iou_bars(names, bars)))
        counts = np.asarray(segmentation["confusion"], np.int64)
        if counts.sum():
            svg = plots.confusion_matrix(names, counts)
            found.append(page.Plot(title="Confusion matrix", svg=svg, wide=True))
    for series in timing.get("series", ()):
        if series.get("percentiles"):
            marks = {name.upper(): series["percentiles"][name] or 0.0 for name in ("p50", "p95", "p99")}
            svg = plots.histogram(series["values"], series["label"], marks=marks)
            found.append(page.Plot(title=f"{series['title']}, histogram", svg=svg))
        svg = plots.timeline(series["times_s"], series["values"], series["label"])
        found.append(page.Plot(title=f"{series['title']} over time", svg=svg))
    return found


def _frames(folder: Path, report: Report) -> list[page.Swipe]:
    frames = []
    seen = set()
    ranked = report["frames"]
    for side, entries in (("worst", ranked["worst"]), ("best", ranked["best"])):
        for entry in entries:
            if entry["key"] in seen:
                continue
            seen.add(entry["key"])
            source = picture_folder(folder, entry["key"])
            layers = [
                page.Picture(caption=CAPTIONS[path.stem], uri=file_uri(path))
                for name in LAYERS
                for path in (source / f"{name}.jpg", source / f"{name}.png")
                if path.is_file()
            ]
            if layers:
                title = f"{side}: {entry['key']} ({significant(entry['score'])})"
                frames.append(page.Swipe(title=title, layers=tuple(layers), switch=_SWITCH))
    return frames


def _remarks(report: Report) -> list[str]:
    remarks = list(report["notes"])
    segmentation = report["segmentation"]
    if segmentation and segmentation["classes_without_truth"]:
        gaps = ", ".join(segmentation["classes_without_truth"])
        remarks.append(f"The truth holds no pixel of {gaps}: nothing is known about how well that is found.")
    if segmentation and segmentation["frames_without_truth"]:
        remarks.append(f"{len(segmentation['frames_without_truth'])} frames have no labelled pixel at all.")
    return remarks


def _identity(header: Header) -> list[tuple[str, str]]:
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
