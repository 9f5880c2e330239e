# SPDX-License-Identifier: Apache-2.0
"""The page of a weights report: figures, plots and sheets in one file."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from segmif_ros.evaluation.card.card_tables import night_line, report_tables
from segmif_ros.evaluation.card.card_types import CardReport, PairFigures
from segmif_ros.evaluation.card.fusion_ranks import MODEL
from segmif_ros.evaluation.card.learning_curve import curve_plots
from segmif_ros.labels import LabelSet
from segmif_ros.reporting import plots
from segmif_ros.reporting.numbers import percent
from segmif_ros.reporting.page import Page, Plot, Section, Sheet, legend_of, plots_section, render
from segmif_ros.reporting.pictures import file_uri


def render_page(report: CardReport, sheets: Mapping[str, Path], label_set: LabelSet) -> str:
    """Return the page as HTML text; ``sheets`` are JPEG files by name, in the colours of ``label_set``."""
    model = report["model"]
    pictures = tuple(Sheet(title=name.replace("-", " "), uri=file_uri(path)) for name, path in sheets.items())
    drawn = [Plot(title=title, svg=svg) for title, svg in plot_texts(report).items()]
    return render(
        Page(
            title=f"Weights: {model['name']}",
            lead=f"{model['description']}. {_measured_on(report)}",
            facts=_facts(report),
            remarks=_remarks(report),
            sections=(
                plots_section(drawn),
                Section(
                    title="Sheets",
                    text="Worst: of all that were measured, the lowest mean IoU (scenes, CamVid) or Qabf (pairs).",
                    items=pictures,
                    legend=legend_of(label_set),
                ),
            ),
            tables=report_tables(report),
            notes=_notes(report),
        )
    )


def plot_texts(report: CardReport) -> dict[str, str]:
    """Return SVG text by title, of what the report holds."""
    found = {}
    if "camvid" in report:
        figures = report["camvid"]["segmentation"]
        groups = {"day": figures["RGB"]["iou"], "night": figures["night RGB"]["iou"]}
        found["CamVid, RGB as is and darkened: IoU by class"] = _bars(groups)
    if "scenes" in report:
        segmentation = report["scenes"]["segmentation"]
        groups = {group: segmentation[group]["fused"]["iou"] for group in ("day", "night")}
        found["Synthetic scenes, fused: IoU by class"] = _bars(groups)
        moved = report["scenes"]["misregistration"]
        series = {
            group: ([float(shift) for shift in moved], [100 * each[group] for each in moved.values()])
            for group in segmentation
        }
        found["Synthetic scenes, infrared moved"] = plots.curves(series, "misregistration, pixels", "mean IoU, %")
    return found | curve_plots(report.get("curve", []))


def _bars(groups: Mapping[str, Mapping[str, float | None]]) -> str:
    names = list(next(iter(groups.values())))
    return plots.iou_bars(names, {group: [iou[name] for name in names] for group, iou in groups.items()})


def _measured_on(report: CardReport) -> str:
    held_out = [each["held_out"] for _, each in _pairs(report)]
    held_out += [report["camvid"]["held_out"]] if "camvid" in report else []
    held_out += [report["scenes"]["held_out"]] if "scenes" in report else []
    if held_out and all(held_out):
        return "Measured on what this package's recipes never train on."
    return "Measured on data as given: what of it these weights were trained on is not known here."


def _facts(report: CardReport) -> list[tuple[str, str]]:
    facts = []
    if report["model"]["parameters"] is not None:  # of a model folder they aren't counted
        facts.append(("parameters", f"{1e-6 * report['model']['parameters']:.2f} M"))
        facts.append(("GFLOP at 640x480", f"{report['model']['gflop']:.1f}"))
    if "camvid" in report:
        figures = report["camvid"]["segmentation"]
        facts += [(f"CamVid, {name}", f"{percent(figures[name]['miou_fixed'])} %") for name in ("RGB", "night RGB")]
    if "scenes" in report:
        all_ = report["scenes"]["segmentation"]["all"]
        facts += [(f"scenes, {name}", f"{percent(all_[name]['miou_present'])} %") for name in all_]
    facts += [(f"mean rank, {name}", f"{each['ranks'][MODEL]['mean']:.2f}") for name, each in _pairs(report)]
    return facts


def _pairs(report: CardReport) -> list[tuple[str, PairFigures]]:
    return list(report.get("pairs", {}).items())


def _remarks(report: CardReport) -> list[str]:
    remarks = []
    if report["quick"]:
        remarks.append("A quick run on a few samples: its figures are no measurement.")
    if report["model"]["licence"]:
        remarks.append(f"Licence of the weights: {report['model']['licence']}.")
    if "camvid" in report:
        remarks.append(night_line(report["camvid"]))
    for name, each in _pairs(report):
        ahead = "better" if each["ahead_of_every_baseline"] else "not better"
        remarks.append(f"On {name} fusion is {ahead} than every baseline by mean rank over MI, VIF, Qabf and SCD.")
    return remarks + [f"Not measured: {part} ({why})." for part, why in report["left_out"].items()]


def _notes(report: CardReport) -> list[tuple[str, str]]:
    model = report["model"]
    notes = [("weights", model["name"]), ("sha256", model["sha256"]), ("files", ", ".join(model["files"]))]
    notes += [("label set", f"{model['label_set']}, {len(model['classes'])} classes"), ("prior", model["prior"])]
    notes += [(f"metadata: {name}", value) for name, value in sorted(model["metadata"].items())]
    notes += [("device", report["device"]), ("backend", report["backend"]), ("precision", report["precision"])]
    return [*notes, ("calibration", report["calibration"])] if "calibration" in report else notes  # of int8 alone
