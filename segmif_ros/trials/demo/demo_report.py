# SPDX-License-Identifier: Apache-2.0
"""From a record to what people read: tables, pictures and the page."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import cv2
import numpy as np

from segmif_ros.arrays import Image
from segmif_ros.files import replace_file, write_json
from segmif_ros.imaging.overlay import draw_confidence
from segmif_ros.reporting.numbers import milliseconds
from segmif_ros.reporting.page import LegendEntry, Page, Panels, Picture, Section, plots_section, render
from segmif_ros.reporting.pictures import picture_uri, write_picture
from segmif_ros.reporting.sheet import draw_sheet
from segmif_ros.reporting.tables import Table
from segmif_ros.trials.demo.timeline import TimelinePoint, plots
from segmif_ros.trials.live import NodeWork
from segmif_ros.trials.samples import SampleEntry, TopicFigures, WatchRecord

_MIN_SHARE = 0.001  # classes with less of the picture are left out of legends
_PANEL_WIDTH = 480  # of what is embedded in the page, pixels
_PAGE_SAMPLES = 12  # embedded in the page; all of them are in pictures/
_LABELS = "labels"
_REASONS = {
    "late": "frames older than what was paired already",
    "orphan": "frames without a partner within the slop",
    "surplus": "frames of the faster camera that have no partner",
    "blind": "frames that show nothing: a covered, frozen or black camera",
    "uncalibrated": "pairs that came before the calibration was complete",
    "superseded": "pairs replaced by a newer one before the worker was free",
    "undecodable": "pairs with an image that can't be decoded",
    "size": "pairs of images that don't fit each other",
    "error": "pairs on which the engine failed",
}


@dataclass(frozen=True, kw_only=True)
class Figures:
    """What the run came to, in numbers.

    Attributes:
        pairs: Pairs that the node formed, and frames that took the place of one where a camera was missing.
        processed: Pairs that it finished.
        dropped: Counts by reason.
        rate_hz: Fused images per second of streaming, seen from outside.
        age_ms: p50, p95, p99, max from the RGB image's stamp to the arrival of the fused image; empty if none came.
        stage_ms: p50, p95, p99 by stage, in the order of the work.
        topics: frames, rate_hz, matched (outputs) and age_ms by topic.
    """

    pairs: int
    processed: int
    dropped: Mapping[str, int]
    rate_hz: float
    age_ms: Mapping[str, float | None]
    stage_ms: Mapping[str, Mapping[str, float]]
    topics: Mapping[str, TopicFigures]


def figures(record: WatchRecord) -> Figures:
    """Return the figures of a record.json; counts of the node are those since the recorder's start."""
    work = NodeWork(first=record["diagnostics_first"], latest=record["diagnostics"])
    fused = record["outputs"]["fused/image"]
    return Figures(
        pairs=sum(map(work.count, ("pairs", "single_infrared", "single_rgb"))),
        processed=work.count("processed"),
        dropped=work.dropped(),
        rate_hz=fused["rate_hz"],
        age_ms=fused["age_ms"],
        stage_ms=work.stage_ms(),
        topics={**record["inputs"], **record["outputs"]},
    )


def tables(found: Figures) -> tuple[Table, ...]:
    """Return the figures as tables."""
    dropped = [(reason, str(count), _REASONS.get(reason, "")) for reason, count in found.dropped.items()]
    percentiles = ("p50", "p95", "p99")
    stages = [
        (stage, *(milliseconds(values.get(each)) for each in percentiles)) for stage, values in found.stage_ms.items()
    ]
    topics = [
        (
            topic,
            str(seen["frames"]),
            str(seen.get("matched", "")),
            f"{seen['rate_hz']:.1f}",
            *(milliseconds(seen["age_ms"].get(each)) for each in (*percentiles, "max")),
        )
        for topic, seen in found.topics.items()
    ]
    return (
        Table(
            title="Pairs",
            explained=True,
            columns=("", "count", ""),
            rows=(
                ("in", str(found.pairs), "infrared and RGB images put together by stamp"),
                ("processed", str(found.processed), "fused and segmented"),
                *((f"dropped: {reason}", count, meaning) for reason, count, meaning in dropped),
            ),
        ),
        Table(
            title="Stages",
            columns=("ms", "P50", "P95", "P99"),
            rows=tuple(stages),
            note="Of the node's latest pairs. wait: in the slot for the worker; total: pairing to last output.",
        ),
        Table(
            title="Topics",
            columns=("", "count", "match", "Hz", "age P50", "P95", "P99", "max"),
            rows=tuple(topics),
            note="Seen by a third process. Age: milliseconds from the image's stamp to the arrival of the message. "
            "match: outputs whose RGB image was seen too.",
        ),
    )


@dataclass(frozen=True, kw_only=True, eq=False)
class ShownMoment:
    """One sample, read from disk and ready to be drawn: its images by caption, in reading order."""

    title: str
    file: str
    panels: dict[str, Image]
    legend: tuple[LegendEntry, ...]


def read_picture(folder: Path, sample: SampleEntry, number: int, title: str) -> ShownMoment:
    """Read the parts of one sample of ``folder``/record.json; OSError if a file is gone.

    Without a class table (no semantic map was recorded) the labels are shown as grey levels and there is no legend.
    """
    images = {part: _read(folder / file) for part, file in sample["files"].items()}
    classes = sample["classes"]
    table = np.zeros((256, 3), np.uint8)
    for each in classes:
        table[each["id"]] = each["colour"]
    labels = table[images["labels"]] if classes else images["labels"]
    pixels = images["labels"].size
    present = [each for each in classes if each["pixels"] >= _MIN_SHARE * pixels]
    legend = [
        LegendEntry(name=each["name"], colour=_rgb(each["colour"]), share=each["pixels"] / pixels) for each in present
    ]
    slug = "".join(letter if letter.isalnum() else "_" for letter in title).strip("_")
    return ShownMoment(
        title=title,
        file=f"{number:03d}_{slug}.png",
        panels={
            "infrared": images["infrared"],
            "RGB": images["rgb"],
            "fused": images["fused"],
            _LABELS: labels,
            "overlay": images["overlay"],
            "confidence: dark is unsure": draw_confidence(images["confidence"]),
        },
        legend=tuple(sorted(legend, key=lambda each: -(each.share or 0))),
    )


def _rgb(values: Sequence[int]) -> tuple[int, int, int]:
    red, green, blue = values  # JSON has lists
    return red, green, blue


def write_report(
    folder: Path,
    found: Figures,
    pictures: Sequence[ShownMoment],
    *,
    title: str,
    lead: str,
    notes: Sequence[tuple[str, str]],
    facts: Mapping[str, Any],
    timeline: Sequence[TimelinePoint] = (),
) -> None:
    """Write pictures/, report.json and index.html below ``folder``.

    Args:
        folder: Exists; pictures of an earlier run are removed.
        found: The figures.
        pictures: All of them become files, some of them are shown on the page.
        title: Of the page.
        lead: What was run and what came of it.
        notes: (label, value) about the run, for the page.
        facts: About the run, for report.json.
        timeline: Cameras and counts over time, for both; see `segmif_ros.trials.demo.timeline`.
    """
    sheets = folder / "pictures"
    sheets.mkdir(exist_ok=True)
    for old in sheets.glob("[0-9][0-9][0-9]_*.png"):
        old.unlink()
    for picture in pictures:
        sheet = draw_sheet(
            list(picture.panels.items()),
            [(f"{each.name} {100 * (each.share or 0):.1f} %", each.colour) for each in picture.legend],
        )
        write_picture(sheets / picture.file, sheet)
    report = {
        **facts,
        **asdict(found),
        **({"timeline": list(timeline)} if timeline else {}),
        "pictures": [
            {"file": f"pictures/{each.file}", "title": each.title, "classes": {c.name: c.share for c in each.legend}}
            for each in pictures
        ],
    }
    write_json(folder / "report.json", report)
    page = Page(
        title=title,
        lead=lead,
        facts=(
            ("pairs processed", f"{found.processed} of {found.pairs}"),
            ("rate", f"{found.rate_hz:.1f} Hz"),
            *((f"age {each.upper()}", f"{milliseconds(found.age_ms.get(each))} ms") for each in ("p50", "p95", "p99")),
        ),
        tables=tables(found),
        sections=(
            plots_section(plots(timeline)),
            Section(title="Pictures", items=tuple(_panels(each) for each in _spread(pictures, _PAGE_SAMPLES))),
        ),
        notes=(*notes, ("pictures", f"{len(pictures)} in pictures/")),
    )
    replace_file(folder / "index.html", render(page))


def _panels(moment: ShownMoment) -> Panels:
    panels = tuple(
        Picture(caption=caption, uri=picture_uri(image, flat=caption == _LABELS, width=_PANEL_WIDTH))
        for caption, image in moment.panels.items()
    )
    return Panels(title=moment.title, panels=panels, legend=moment.legend, link=f"pictures/{moment.file}")


def _spread(items: Sequence[ShownMoment], count: int) -> list[ShownMoment]:
    if len(items) <= count:
        return list(items)
    return [items[i * len(items) // count] for i in range(count)]


def _read(path: Path) -> Image:
    image = cv2.imread(str(path), cv2.IMREAD_UNCHANGED)
    if image is None:
        raise OSError(f"{path} can't be read")
    return cv2.cvtColor(image, cv2.COLOR_BGR2RGB) if image.ndim == 3 else image  # type: ignore[return-value]
