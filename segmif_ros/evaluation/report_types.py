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


class MeanScore(TypedDict):
    """A mean over classes, and these; None without one."""

    value: float | None
    classes: list[str]


class LightScores(TypedDict):
    """Scores of the frames of one light; by class None where a class isn't judged or doesn't occur."""

    frames: int
    pixels: int
    pixel_accuracy: float | None
    mean_accuracy: float | None
    miou: dict[str, MeanScore]
    macc: dict[str, MeanScore]
    iou: dict[str, float | None]
    accuracy: dict[str, float | None]


class _SegmentationSection(TypedDict):
    label_set: str
    classes: list[str]
    colours: list[list[int]]
    confusion: list[list[int]]
    truth_pixels: list[int]
    classes_without_truth: list[str]
    frames_without_truth: list[str]
    all: LightScores


class SegmentationSection(_SegmentationSection, total=False):
    """Classes, confusion (rows: ground truth) and scores by light."""

    day: LightScores
    night: LightScores


class MetricScore(TypedDict):
    """Mean and population standard deviation of a fusion metric over the pairs where it has a value."""

    mean: float | None
    deviation: float | None
    pairs: int


# light -> metric -> score
FusionSection = dict[str, dict[str, MetricScore]]


class PairingSection(TypedDict):
    """Counts, drops and offsets of a replay; an offset is the infrared stamp minus the RGB stamp."""

    frames_infrared: int
    frames_rgb: int
    pairs: int
    alone: dict[str, int]
    dropped: dict[str, int]
    offset_ms: dict[str, float]
    span_s: float


class ReliabilityCurve(TypedDict):
    """How sure a grid is and should be, by probability of an obstacle.

    Attributes:
        cells: Counted cells of each bin.
        said: Mean probability of each bin; None where it is empty.
        true: Share of its cells that aren't free.
        expected_error: Mean difference of both over all cells.
    """

    cells: list[int]
    said: list[float | None]
    true: list[float | None]
    expected_error: float | None


class GroundFigures(TypedDict):
    """Figures of grids against exact ground truth, shares from 0 to 1, distances in metres, by band of range."""

    bands: dict[str, dict[str, float | None]]
    reliability: ReliabilityCurve


class GridSection(TypedDict):
    """Grids of a replay: how many, why maps were left out, and figures against ground truth where there is one."""

    grids: int
    left_out: dict[str, int]
    judged: int
    figures: GroundFigures | None


class OnlineSection(TypedDict):
    """Rates, ages and resources of an online replay, see `segmif_ros.trials.online_figures`."""

    offered: int
    processed: int
    share: float | None
    unmatched_outputs: int
    dropped: dict[str, int]
    rate_hz: float | None
    age_ms: Percentiles
    interval_ms: Percentiles
    jitter_ms: float | None
    time_to_first_output_ms: float | None
    stage_ms: dict[str, dict[str, float]]
    pair_offset_ms: dict[str, float]
    player_lateness_ms: Percentiles
    loops: list[dict[str, int]]
    cpu_percent: float | None
    memory_mib: dict[str, float | None]
    diagnostics: dict[str, str]


class _Report(TypedDict):
    format: int
    kind: str
    header: Header
    pairs: PairCounts
    segmentation: SegmentationSection | None
    fusion: FusionSection
    frames: RankedFrames
    notes: list[str]


class MoreSections(TypedDict, total=False):
    """Sections that some kinds of report have.

    Attributes:
        tables: More tables of the page.
        facts: More (name, value) that the page shows large.
        pairing: Counts, drops and offsets of a replay.
        online: Rates, ages and resources of an online replay.
        grid: Figures of the planner's grid.
    """

    tables: list[ReportTable]
    facts: list[tuple[str, str]]
    pairing: PairingSection
    online: OnlineSection
    grid: GridSection


class Report(_Report, MoreSections):
    """report.json. It holds nothing that two runs of the same thing could differ in.

    Attributes:
        segmentation: Classes, confusion and scores by light; None without labels.
        fusion: Mean, deviation and pairs by metric, by light.
    """


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
