# SPDX-License-Identifier: Apache-2.0
"""From records to the report: every figure of it as plain values, and report.json.

report.json holds nothing that two runs of the same thing could differ in; what was measured with a clock is apart, in
timing.json.
"""

from __future__ import annotations

import hashlib
import json
import math
import platform
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from importlib import metadata
from typing import TYPE_CHECKING, Any, cast

import cv2
import numpy as np
import numpy.typing as npt

from segmif_ros.evaluation.records import RANKED_BY_WITHOUT_TRUTH, PairResult, finite, matrix_of
from segmif_ros.evaluation.report_types import (
    FailedPair,
    LightScores,
    MeanScore,
    MetricScore,
    MoreSections,
    Report,
    SegmentationSection,
    Timing,
)
from segmif_ros.evaluation.segmentation_metrics import CONVENTIONS, ClassMean, ConfusionMatrix, MeanConvention
from segmif_ros.labels import LabelSet
from segmif_ros.reporting.extremes import Extremes
from segmif_ros.reporting.numbers import percentiles

if TYPE_CHECKING:  # torch would come with it
    from segmif_ros.inference.engine import EngineProtocol

REPORT_FILE = "report.json"
TIMING_FILE = "timing.json"
FORMAT = 1
EXTREMES = 3


@dataclass(frozen=True, kw_only=True)
class ReportInput:
    """What a report is made of.

    Attributes:
        kind: "evaluate" or "replay".
        data: Name, split and so on of what was evaluated; the hash of the data is added.
        model: As `model_facts` returns it.
        configuration: All settings that the figures depend on.
        label_set: The classes; None where nothing is segmented.
        records: In any order.
        judged: Ids of the classes that the means are taken over; None for all.
        notes: What a reader should know.
        extra: More sections, by their names in `Report`.
    """

    kind: str
    data: Mapping[str, Any]
    model: Mapping[str, Any]
    configuration: Mapping[str, Any]
    label_set: LabelSet
    records: Sequence[PairResult]
    judged: Sequence[int] | None = None
    notes: Sequence[str] = ()
    extra: MoreSections | None = None


def build_report(source: ReportInput) -> Report:
    """Return the report; it depends on the set of records alone, not on their order."""
    ordered = sorted(source.records, key=lambda record: record["key"])
    good = [record for record in ordered if "error" not in record]
    failed: list[FailedPair] = [
        {"key": record["key"], "error": record["error"]} for record in ordered if "error" in record
    ]
    labelled = [record for record in good if record["confusion"] is not None]
    lightings = sorted({record.get("lighting") or "" for record in good} - {""})
    extremes = Extremes(EXTREMES)
    for record in good:
        extremes.offer(record["key"], record["score"])
    report: Report = {
        "format": FORMAT,
        "kind": source.kind,
        "header": {
            "data": {**source.data, "sha256": data_hash(good)},
            "model": dict(source.model),
            "configuration": dict(source.configuration),
            "configuration_sha256": canonical_hash(source.configuration),
            "software": software(),
        },
        "pairs": {"offered": len(ordered), "processed": len(good), "failed": failed},
        "segmentation": _segmentation(labelled, source.label_set, lightings, source.judged) if labelled else None,
        "fusion": {name: _fusion(group) for name, group in _groups(good, lightings)},
        "frames": {
            "ranked_by": _ranking(source.judged) if labelled else RANKED_BY_WITHOUT_TRUTH,
            "best": [{"key": key, "score": score} for score, key in extremes.best()],
            "worst": [{"key": key, "score": score} for score, key in extremes.worst()],
        },
        "notes": list(source.notes),
    }
    return {**report, **source.extra} if source.extra else report


def _ranking(judged: Sequence[int] | None) -> str:
    return "mean IoU of the classes present" + ("" if judged is None else " that the model has")


def timing(records: Iterable[PairResult], wall_s: float, processed: int, workers: int) -> Timing:
    """Sum up what was measured with a clock: this run's rate, and each stage's percentiles over all records."""
    stages: dict[str, list[float]] = {}
    for record in records:
        for stage, value_ms in (record.get("stage_ms") or {}).items():
            stages.setdefault(stage, []).append(value_ms)
    return {
        "wall_s": wall_s,
        "processed_in_this_run": processed,
        "pairs_per_s": processed / wall_s if processed and wall_s > 0 else None,
        "workers": workers,
        "machine": f"{platform.system()} {platform.machine()}",
        "stage_ms": {stage: percentiles(values) for stage, values in sorted(stages.items())},
    }


def model_facts(engine: EngineProtocol) -> dict[str, str]:
    """Return what made the figures."""
    return {
        "name": engine.model_name,
        "sha256": engine.model_hash,
        "device": engine.device_name,
        "label_set": engine.label_set.name,
    }


def software() -> dict[str, str]:
    """Return the versions that figures may depend on."""
    return {
        "python": platform.python_version(),
        "numpy": np.__version__,
        "opencv": cv2.__version__,
        "torch": _installed("torch"),
        "segmif_ros": _installed("segmif_ros"),
    }


def _installed(name: str) -> str:
    try:
        return metadata.version(name)
    except metadata.PackageNotFoundError:
        return "not installed"


def canonical_hash(values: Mapping[str, Any]) -> str:
    """Return the first 12 hex digits of the SHA-256 over the values as JSON."""
    return hashlib.sha256(json.dumps(values, sort_keys=True).encode()).hexdigest()[:12]


def data_hash(records: Iterable[PairResult]) -> str:
    """Return the first 12 hex digits of the SHA-256 over keys and contents of all pairs, in the order of keys."""
    digest = hashlib.sha256()
    for record in sorted(records, key=lambda each: each["key"]):
        digest.update(f"{record['key']} {record.get('sha256', '')}\n".encode())
    return digest.hexdigest()[:12]


def _groups(records: Sequence[PairResult], lightings: Sequence[str]) -> list[tuple[str, list[PairResult]]]:
    parts = [(name, [record for record in records if record.get("lighting") == name]) for name in lightings]
    return [("all", list(records)), *parts]


def _segmentation(
    records: Sequence[PairResult], label_set: LabelSet, lightings: Sequence[str], judged: Sequence[int] | None
) -> SegmentationSection:
    groups = _groups(records, lightings)
    matrices = {name: matrix_of(group, len(label_set)) for name, group in groups}
    whole = matrices["all"]
    truth_pixels = whole.counts.sum(axis=1)
    scores = {name: _scores(matrices[name], label_set, len(group), judged) for name, group in groups}
    section: SegmentationSection = {
        "label_set": label_set.name,
        "classes": list(label_set.names),
        "colours": label_set.palette.tolist(),
        "confusion": whole.counts.tolist(),
        "truth_pixels": truth_pixels.tolist(),
        "classes_without_truth": [label_set.names[i] for i in np.flatnonzero(truth_pixels == 0)],
        "frames_without_truth": [record["key"] for record in records if not record["confusion"]],
        "all": scores.pop("all"),
    }
    return cast("SegmentationSection", {**section, **scores})


def by_light(section: SegmentationSection) -> dict[str, LightScores]:
    """Return the scores of all frames, and of those by day and by night where there are any."""
    found = {"all": section["all"]}
    if "day" in section:
        found["day"] = section["day"]
    if "night" in section:
        found["night"] = section["night"]
    return found


def _scores(matrix: ConfusionMatrix, label_set: LabelSet, frames: int, judged: Sequence[int] | None) -> LightScores:
    every = range(len(label_set)) if judged is None else judged
    return {
        "frames": frames,
        "pixels": int(matrix.counts.sum()),
        "pixel_accuracy": finite(matrix.pixel_accuracy(every)),
        "mean_accuracy": finite(matrix.mean_accuracy("truth", every).value),
        "miou": _means(matrix.mean_iou, label_set, every),
        "macc": _means(matrix.mean_accuracy, label_set, every),
        "iou": _by_name(matrix.iou(), label_set, every),
        "accuracy": _by_name(matrix.recall(), label_set, every),
    }


def _means(
    mean: Callable[[MeanConvention, Sequence[int]], ClassMean], label_set: LabelSet, every: Sequence[int]
) -> dict[str, MeanScore]:
    """Return a mean under each convention, with and without id 0, each with the classes that it was taken over."""
    found: dict[str, MeanScore] = {}
    for suffix, classes in (("", every), ("_without_0", [i for i in every if i != 0])):
        for convention in CONVENTIONS:
            value = mean(convention, classes)
            names = [label_set.names[i] for i in value.classes]
            found[convention + suffix] = {"value": finite(value.value), "classes": names}
    return found


def _by_name(values: npt.NDArray[np.float64], label_set: LabelSet, judged: Sequence[int]) -> dict[str, float | None]:
    return {name: finite(float(values[i])) if i in judged else None for i, name in enumerate(label_set.names)}


def _fusion(records: Sequence[PairResult]) -> dict[str, MetricScore]:
    """Mean and population standard deviation by metric, over the pairs where it has a value."""
    names = dict.fromkeys(name for record in records for name in record["fusion"])
    table: dict[str, MetricScore] = {}
    for name in names:
        values = [value for record in records if (value := record["fusion"].get(name)) is not None]
        mean = math.fsum(values) / len(values) if values else None
        spread = math.sqrt(math.fsum((v - mean) ** 2 for v in values) / len(values)) if mean is not None else None
        table[name] = {"mean": mean, "deviation": spread, "pairs": len(values)}
    return table
