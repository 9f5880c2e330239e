# SPDX-License-Identifier: Apache-2.0
"""`segmif weights-report`: the parts of a model card measured, and written as figures, page and sheets."""

from __future__ import annotations

import argparse
import json
import re
import sys
from collections.abc import Callable, Iterator, Sequence
from dataclasses import asdict, replace
from functools import partial
from pathlib import Path
from typing import Protocol, TypeVar

from rich.console import Console

from segmif_ros.data.camvid import CamVid
from segmif_ros.data.mixture import PairSource
from segmif_ros.data.object_truth import ObjectFolder, object_table
from segmif_ros.evaluation.card import flicker as weights_flicker
from segmif_ros.evaluation.card.camvid_part import report_camvid
from segmif_ros.evaluation.card.card_options import PARTS
from segmif_ros.evaluation.card.card_options import add_arguments as add_arguments
from segmif_ros.evaluation.card.card_page import render_page
from segmif_ros.evaluation.card.card_tables import report_tables
from segmif_ros.evaluation.card.card_types import CamVidFigures, CardReport, PairFigures, StreetFigures
from segmif_ros.evaluation.card.flicker import report_flicker
from segmif_ros.evaluation.card.fusion_ranks import report_pairs
from segmif_ros.evaluation.card.learning_curve import curve_plots, read_curve
from segmif_ros.evaluation.card.measured_data import (
    HELD_OUT_SPLIT,
    KNOWN_SEQUENCES,
    KNOWN_STREETS,
    QUICK,
    Amounts,
    Data,
    find_data,
)
from segmif_ros.evaluation.card.night_loss import load_reference
from segmif_ros.evaluation.card.scenes_part import report_scenes
from segmif_ros.evaluation.card.sequences_part import Frames, open_sequences, report_sequence
from segmif_ros.evaluation.card.sheets import Gallery
from segmif_ros.evaluation.card.street_part import report_street
from segmif_ros.evaluation.engine_options import runtime_config
from segmif_ros.evaluation.errors import EvaluationError
from segmif_ros.files import replace_file
from segmif_ros.inference.engine import Engine, EngineProtocol
from segmif_ros.inference.models import ModelFacts, describe
from segmif_ros.inference.weights import (
    DEFAULT_WEIGHTS,
    curve_file,
    packaged_weights,
    parse_weights,
    resolve_weights,
)
from segmif_ros.labels import CAMVID, FMB, LabelSet
from segmif_ros.reporting.progress import progress_bar
from segmif_ros.reporting.tables import print_tables, wide_console
from segmif_ros.result_folder import ResultFolder
from segmif_ros.scenes import LIGHTINGS

FORMAT = 4
REPORT_FILE, PAGE_FILE = "report.json", "report.html"
# a table that goes to a file or pipe

Advance = Callable[[int], None]
Figures = TypeVar("Figures")


class Run(Protocol):
    """What is measured, how many, of what, and the work; returns its figures."""

    def __call__(self, what: str, count: int, unit: str, work: Callable[[Advance], Figures]) -> Figures:
        """Do the work with a progress bar."""


def measure(
    engine: EngineProtocol,
    facts: ModelFacts,
    data: Data,
    amounts: Amounts,
    parts: Sequence[str],
    gallery: Gallery,
    say: Callable[[str], None],
) -> CardReport:
    """Measure every part that can be; "left_out" gives the reason for each other part.

    Args:
        engine: The weights.
        facts: What they are.
        data: What to measure on.
        amounts: How much.
        parts: Names of `PARTS`.
        gallery: Takes the pictures.
        say: Takes a line at the start of every part.

    Raises:
        DatasetError: For data that can't be read.
        EvaluationError: For a curve that can't be read.
    """
    left_out: dict[str, str] = {}
    report: CardReport = {
        "format": FORMAT,
        "model": asdict(facts),
        "device": engine.device_name,
        "backend": engine.backend_name,
        "precision": engine.precision,
    }

    def run(what: str, count: int, unit: str, work: Callable[[Advance], Figures]) -> Figures:
        say(f"{facts.name}: {what}, {count} {unit}")
        with progress_bar(f"{facts.name} {what}", count) as advance:
            return work(advance)

    for part in parts:
        why = _why_not(part, engine, data, facts)
        if why:
            left_out[part] = why
        elif part == "camvid":
            report["camvid"] = _measure_camvid(engine, data, amounts, gallery, run)
            report["camvid"]["held_out"] = facts.packaged and data.split == HELD_OUT_SPLIT
        elif part == "scenes":
            work = partial(report_scenes, engine, amounts.scenes, gallery)
            report["scenes"] = run(part, len(LIGHTINGS) * amounts.scenes, "scenes", work)
            report["scenes"]["held_out"] = facts.packaged
        elif part == "pairs":
            report["pairs"] = _measure_pairs(engine, data, amounts, gallery, run)
            for name, (_, every) in data.pairs.items():
                report["pairs"][name]["held_out"] = facts.packaged and (every > 0 or name in data.untouched)
        elif part == "streets":
            report["streets"] = _measure_streets(engine, data, amounts, gallery, run)
            for name in data.streets:
                report["streets"][name]["held_out"] = facts.packaged and name in data.untouched
        elif part == "sequences":
            report["sequences"] = {
                name: run(name, count, "frames", partial(report_sequence, engine, frames, count, name, gallery))
                for name, frames, count in _opened_sequences(data, amounts)
            }
        elif part == "flicker":
            count = amounts.frames * len(weights_flicker.SEQUENCES) * len(weights_flicker.LIGHTINGS)
            report["flicker"] = run(part, count, "frames", partial(report_flicker, engine, amounts.frames))
        else:
            curve = curve_file([Path(file) for file in facts.files])
            assert curve is not None
            report["curve"] = read_curve(curve)
    report["left_out"] = left_out
    return report


def _measure_camvid(engine: EngineProtocol, data: Data, amounts: Amounts, gallery: Gallery, run: Run) -> CamVidFigures:
    assert data.camvid is not None
    # weights for CamVid's own classes are measured over these
    own = (CAMVID.name,) if engine.label_set.name == CAMVID.name else ()
    camvid = CamVid(data.camvid, data.split, *own)
    count = min(len(camvid), amounts.images or len(camvid))
    work = partial(report_camvid, engine, camvid, amounts.images, gallery, reference=data.rgb_reference)
    return {"split": data.split, **run("camvid", count, "images", work)}


def _measure_pairs(
    engine: EngineProtocol, data: Data, amounts: Amounts, gallery: Gallery, run: Run
) -> dict[str, PairFigures]:
    report: dict[str, PairFigures] = {}
    for name, (folder, every) in data.pairs.items():
        pairs = PairSource(folder, hold_out_every=every, held_out=every > 0)
        count = min(len(pairs), amounts.pairs or len(pairs))
        found = run(name, count, "pairs", partial(report_pairs, engine, pairs, amounts.pairs, name, gallery))
        report[name] = {"hold_out_every": every, **found}
    return report


def _measure_streets(
    engine: EngineProtocol, data: Data, amounts: Amounts, gallery: Gallery, run: Run
) -> dict[str, StreetFigures]:
    report: dict[str, StreetFigures] = {}
    for name, folder in data.streets.items():
        pairs = ObjectFolder(folder)
        count = min(len(pairs), amounts.pairs or len(pairs))
        work = partial(report_street, engine, pairs, amounts.pairs, f"street-{name}", gallery)
        report[name] = run(f"street {name}", count, "pairs", work)
    return report


def _opened_sequences(data: Data, amounts: Amounts) -> Iterator[tuple[str, Frames, int]]:
    for name, folder in data.sequences.items():
        for each in open_sequences(folder):
            title = name if each.name == folder.resolve().name else f"{name}-{each.name}"
            yield title, each, min(len(each), amounts.sequence_frames)


def _why_not(part: str, engine: EngineProtocol, data: Data, facts: ModelFacts) -> str | None:
    """Return why a part can't be measured, None if it can."""
    labels = engine.label_set.name
    if part == "camvid":
        if data.camvid is None:
            return "no --camvid or --data with a folder camvid"
        return None if labels in (FMB.name, CAMVID.name) else f"the weights' classes are '{labels}'"
    if part == "scenes":
        return None if labels == FMB.name else f"the weights' classes are '{labels}', the scenes' are FMB's"
    if part == "streets":
        known = object_table(engine.label_set).any()
        if not known:
            return f"the weights' classes, '{labels}', have no person, car or bicycle"
        return None if data.streets else f"no --streets or --data with a folder {KNOWN_STREETS}"
    if part == "sequences":
        return None if data.sequences else f"no --sequences or --data with a folder {KNOWN_SEQUENCES}"
    if part == "pairs":
        return None if data.pairs else "no --pairs, --all-pairs or --data with folders of pairs"
    if part == "curve":
        return None if curve_file([Path(file) for file in facts.files]) else "no curve lies beside the weights"
    return None


def write_report(folder: Path, report: CardReport, gallery: Gallery, label_set: LabelSet) -> None:
    """Write report.json, report.html, the sheets and the curves' plots to ``folder``; it is made."""
    folder.mkdir(parents=True, exist_ok=True)
    sheets = gallery.write(folder)
    for i, svg in enumerate(curve_plots(report.get("curve", [])).values()):
        replace_file(folder / ("curve.svg" if i == 0 else f"curve-{i + 1}.svg"), svg)
    replace_file(folder / REPORT_FILE, json.dumps(report, indent=1) + "\n")  # a figure may be NaN
    replace_file(folder / PAGE_FILE, render_page(report, sheets, label_set))


def run(options: argparse.Namespace) -> int:
    """Measure, print and write."""
    console = wide_console()
    amounts = _amounts(options)
    data = find_data(options)
    models = [parse_weights(each) for each in options.weights or list(packaged_weights()) or [DEFAULT_WEIGHTS]]
    reference = [parse_weights(options.rgb_reference)] if options.rgb_reference else []
    for weights in models + reference:
        resolve_weights(weights)  # a wrong name among several shall not wait for the others' figures
    folders = [_one(weights, data, amounts, options, console) for weights in models]
    for folder in folders:
        print(f"written: {folder / PAGE_FILE}, {REPORT_FILE} and sheets beside it")
    return 0


def _one(weights: tuple[str, ...], data: Data, amounts: Amounts, options: argparse.Namespace, console: Console) -> Path:
    facts = describe(weights)
    name = facts.name if facts.packaged else f"{facts.name}-{facts.sha256}"
    folder: Path = options.out / re.sub(r"[^\w.-]", "_", name)
    with ResultFolder(folder, "segmif weights-report"):
        return _measured(weights, facts, folder, data, amounts, options, console)


def _measured(
    weights: tuple[str, ...],
    facts: ModelFacts,
    folder: Path,
    data: Data,
    amounts: Amounts,
    options: argparse.Namespace,
    console: Console,
) -> Path:
    engine = Engine(replace(runtime_config(options), weights=weights))
    if options.rgb_reference:
        data = replace(data, rgb_reference=load_reference(options.rgb_reference, engine.device_name))
    gallery = Gallery(engine.label_set)
    report = measure(
        engine, facts, data, amounts, options.only or PARTS, gallery, lambda line: print(line, file=sys.stderr)
    )
    if options.only and report["left_out"]:
        part, why = next(iter(report["left_out"].items()))
        raise EvaluationError(f"{facts.name}: {part} can't be measured: {why}")
    report["quick"] = options.quick
    if engine.precision == "int8":
        report["calibration"] = options.calibration_pairs or "built-in patterns"
    write_report(folder, report, gallery, engine.label_set)
    by = f"on {engine.device_name} by {engine.backend_name} in {engine.precision}"
    console.print(f"weights {facts.name} ({facts.sha256}) {by}", markup=False, highlight=False)
    print_tables(console, report_tables(report))
    for part, why in report["left_out"].items():
        console.print(f"not measured: {part} ({why})", markup=False, highlight=False)
    return folder


def _amounts(options: argparse.Namespace) -> Amounts:
    amounts = QUICK if options.quick else Amounts()
    if options.scenes is None:
        return amounts
    if options.scenes < 1:
        raise EvaluationError(f"--scenes is {options.scenes}: it must be at least 1")
    return replace(amounts, scenes=options.scenes)
