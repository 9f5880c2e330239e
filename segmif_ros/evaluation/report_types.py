# SPDX-License-Identifier: Apache-2.0
"""What report.json and timing.json hold."""

from __future__ import annotations

from typing import Any, TypedDict

from segmif_ros.reporting.numbers import Percentiles


class Header(TypedDict):
    """What the figures belong to.

    Attributes:
        data: Name, split and so on; sha256 is that of all pairs.
        model: As `segmif_ros.evaluation.report.model_facts` returns it.
        configuration: All settings that the figures depend on.
        configuration_sha256: Of these.
        software: Versions by name.
    """

    data: dict[str, Any]
    model: dict[str, Any]
    configuration: dict[str, Any]
    configuration_sha256: str
    software: dict[str, str]


class FailedPair(TypedDict):
    """A pair that could not be processed, and why."""

    key: str
    error: str


class PairCounts(TypedDict):
    """How many pairs there were."""

    offered: int
    processed: int
    failed: list[FailedPair]


class ScoredFrame(TypedDict):
    """A frame, and what it is ranked by."""

    key: str
    score: float


class RankedFrames(TypedDict):
    """The frames whose pictures are kept."""

    ranked_by: str
    best: list[ScoredFrame]
    worst: list[ScoredFrame]


class _ReportTable(TypedDict):
    title: str
    columns: list[str]
    rows: list[list[Any]]


class ReportTable(_ReportTable, total=False):
    """A table of a section, ready to be shown."""

    note: str


class _Report(TypedDict):
    format: int
    kind: str
    header: Header
    pairs: PairCounts
    segmentation: dict[str, Any] | None
    fusion: dict[str, dict[str, dict[str, Any]]]
    frames: RankedFrames
    notes: list[str]


class Report(_Report, total=False):
    """report.json. It holds nothing that two runs of the same thing could differ in.

    Attributes:
        segmentation: Classes, confusion and scores by light; None without labels.
        fusion: Mean, deviation and pairs by metric, by light.
        tables: More tables of the page.
        facts: More (name, value) that the page shows large.
        pairing: Counts, drops and offsets of a replay.
        online: Rates, ages and resources of an online replay.
        grid: Figures of the planner's grid.
    """

    tables: list[ReportTable]
    facts: list[tuple[str, str]]
    pairing: dict[str, Any]
    online: dict[str, Any]
    grid: dict[str, Any]


class _Series(TypedDict):
    title: str
    label: str
    times_s: list[float]
    values: list[float]


class Series(_Series, total=False):
    """One quantity over time, to be plotted; with percentiles also as a histogram."""

    percentiles: Percentiles


class _Timing(TypedDict):
    machine: str
    workers: int
    stage_ms: dict[str, Percentiles]


class Timing(_Timing, total=False):
    """timing.json: what was measured with a clock."""

    wall_s: float
    processed_in_this_run: int
    pairs_per_s: float | None
    series: list[Series]
