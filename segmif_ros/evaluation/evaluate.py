# SPDX-License-Identifier: Apache-2.0
"""A published data set through the engine, or beside the results of one's own method, to a report."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import partial
from pathlib import Path
from typing import Any

import cv2
import numpy as np

from segmif_ros.arrays import Array, Image
from segmif_ros.data.published import PairItem, PairSample, PublishedDataset, read_pair
from segmif_ros.evaluation.by_name import ByName
from segmif_ros.evaluation.contents import MEMORY_FILE, contents_hash
from segmif_ros.evaluation.engine_options import EngineFactory
from segmif_ros.evaluation.errors import EvaluationError
from segmif_ros.evaluation.fusion_metrics import TEXTBOOK_METRICS
from segmif_ros.evaluation.own_method import OwnMethod
from segmif_ros.evaluation.records import PairResult, measure
from segmif_ros.evaluation.report import (
    EXTREMES,
    ReportInput,
    build_report,
    by_light,
    model_facts,
    timing,
)
from segmif_ros.evaluation.report_page import write_results
from segmif_ros.evaluation.report_types import Report
from segmif_ros.evaluation.sequences import SequenceFilter
from segmif_ros.inference.engine import EngineError, EngineResult
from segmif_ros.labels import IGNORE_ID, LabelSet
from segmif_ros.reporting.extremes import Encoded, Extremes, drop_pictures, encode_layers, keep_pictures
from segmif_ros.reporting.journal import Journal, disk_error
from segmif_ros.reporting.work import WorkerPool
from segmif_ros.result_folder import ResultFolder
from segmif_ros.rig.preparation import Preparation
from segmif_ros.rig.preparation_config import PreparationConfig

PROG = "segmif evaluate"


@dataclass(frozen=True, kw_only=True)
class EvaluationConfig:
    """What to evaluate and where the results go.

    Attributes:
        dataset: As `open_dataset` returns it.
        out: Folder of the results.
        engine: Makes the engine.
        settings: The engine's settings, for the report.
        metrics: Fusion metrics.
        with_truth: Whether to compare labels with the truth.
        unlabelled: "count" truth pixels of id 0 as a class, or "ignore" them.
        truth_set: What the ids of `pairs`' label maps mean; None for the model's own classes.
        preparation: How raw infrared and images of two sizes are made ready; None takes only pairs that are.
        own: Results of one's own method to judge instead of an engine's.
        name: What the report calls the method; empty for the engine's name.
        temporal: "filter" takes the pairs of a folder for frames and steadies their labels over time, as the node does;
            then there is one worker, and it resumes by looking at the frames before again.
        workers: Processes.
        scheduler: Address of a Dask scheduler whose workers are used instead; empty for none.
        fresh: Forget what ``out`` holds.
    """

    dataset: PublishedDataset
    out: Path
    engine: EngineFactory | None = None
    settings: dict[str, str] = field(default_factory=dict)
    metrics: tuple[str, ...] = TEXTBOOK_METRICS
    with_truth: bool = True
    unlabelled: str = "count"
    truth_set: LabelSet | None = None
    preparation: PreparationConfig | None = None
    own: OwnMethod | None = None
    name: str = ""
    temporal: str = "none"
    workers: int = 1
    scheduler: str = ""
    fresh: bool = False


def evaluate(config: EvaluationConfig, advance: Callable[[int], None] = lambda _count: None) -> Report:
    """Evaluate, and write report.json, timing.json and report.html.

    A pair that can't be read or processed costs itself and is named in the report. What is done is kept in
    ``config.out``; the same call resumes it.

    Args:
        config: What and where.
        advance: Called with the number of pairs that were just finished.

    Raises:
        EvaluationError: If the label sets don't fit, the folder holds another run or can't be written.
    """
    model, predicted = _method(config)
    truth = config.dataset.label_set or config.truth_set or predicted
    by_name = ByName(predicted, truth) if config.with_truth and truth.names != predicted.names else None
    with ResultFolder(config.out, PROG):
        try:
            return _evaluate(config, model, _Classes(predicted=predicted, truth=truth, by_name=by_name), advance)
        except OSError as error:
            raise disk_error(config.out, error) from error


def _method(config: EvaluationConfig) -> tuple[dict[str, str], LabelSet]:
    """Return what makes the results, and the classes of the predictions."""
    if config.own is not None:
        label_set = config.own.label_set
        model = {"name": config.name or "own method", "sha256": "none", "device": "files", "label_set": label_set.name}
        return model, label_set
    if config.engine is None:
        raise EvaluationError("nothing to evaluate: an engine or the files of a method are needed")
    engine = config.engine()  # each worker makes its own
    found = model_facts(engine)
    return found | ({"name": config.name} if config.name else {}), engine.label_set


def _evaluate(
    config: EvaluationConfig, model: dict[str, str], classes: _Classes, advance: Callable[[int], None]
) -> Report:
    dataset = config.dataset
    keys = [item.key for item in dataset.items]
    memory = config.out / MEMORY_FILE
    notes = dataset.notes
    if config.own is not None:
        notes += config.own.notes(keys)
        model = {**model, "sha256": contents_hash(config.own.files(keys), memory.with_name(f"own-{memory.name}"))}
    if classes.by_name is not None:
        notes += classes.by_name.notes()
    configuration = {
        **config.settings,
        **(config.preparation.as_values() if config.preparation else {}),
        "fusion_metrics": list(config.metrics),
        "with_truth": config.with_truth,
        "unlabelled": config.unlabelled,
        "truth_set": classes.truth.name if config.with_truth else "",
        **({} if config.temporal == "none" else {"temporal": config.temporal}),
    }
    data = {"name": dataset.name, "folder": dataset.root.name, "split": dataset.split}
    files = [path for item in dataset.items for path in item.files(with_labels=config.with_truth)]
    identity = {
        "kind": "evaluate",
        "data": {**data, "root": str(dataset.root), "contents": contents_hash(files, memory)},
        "keys": keys,
        "model": {**model, "classes": list(classes.predicted.names), "ignore_id": classes.predicted.ignore_id},
        "configuration": configuration,
    }
    journal: Journal[PairResult] = Journal(config.out, identity, fresh=config.fresh)
    done = journal.done
    todo = [item for item in dataset.items if item.key not in done]
    advance(len(keys) - len(todo))
    extremes = Extremes(EXTREMES)
    for record in journal.records.values():
        extremes.offer(record["key"], record.get("score"))
    started_s = time.monotonic()
    pool = WorkerPool(partial(_Job, config, classes), config.workers, config.scheduler)
    try:
        for record, files_of_record in pool.results(_shown(config, todo)):
            if record["key"] in done:
                continue  # only the filter had to see it again
            wanted, gone = extremes.offer(record["key"], record.get("score"))
            if wanted and files_of_record:
                keep_pictures(config.out, record["key"], files_of_record)
            drop_pictures(config.out, filter(None, [gone]))
            journal.add(record)
            advance(1)
    finally:
        journal.close()
    report = build_report(
        ReportInput(
            kind="evaluate",
            data=data,
            model=model,
            configuration=configuration,
            label_set=classes.truth,
            judged=classes.by_name.judged if classes.by_name else None,
            records=[journal.records[key] for key in keys],
            notes=(*notes, *_swap_notes(journal.records.values())),
        )
    )
    measured = timing(journal.records.values(), time.monotonic() - started_s, len(todo), config.workers)
    shown = classes.truth if config.with_truth else classes.predicted
    write_results(config.out, report, measured, shown)
    return report


def _shown(config: EvaluationConfig, todo: list[PairItem]) -> Sequence[PairItem]:
    """Return the pairs to process: those to do, and with a filter over time also all before the last of them."""
    items = config.dataset.items
    return todo if config.temporal == "none" or not todo else items[: items.index(todo[-1]) + 1]


@dataclass(frozen=True, kw_only=True, eq=False)
class _Classes:
    """What the predictions' ids mean, what the truth's do, and how to judge if these differ."""

    predicted: LabelSet
    truth: LabelSet
    by_name: ByName | None


class _Job:
    """What a worker does with each pair."""

    def __init__(self, config: EvaluationConfig, classes: _Classes) -> None:
        if config.workers > 1:
            cv2.setNumThreads(1)
        self._config = config
        self._classes = classes
        self._engine = config.engine() if config.engine and config.own is None else None
        self._preparation = Preparation(config.preparation) if config.preparation else None
        steadied = self._engine and config.temporal != "none"
        self._filter = SequenceFilter(config.dataset.items, config.temporal) if steadied else None
        self._extremes = Extremes(EXTREMES)

    def __call__(self, item: PairItem) -> tuple[PairResult, Encoded]:
        """Return the record of one pair, and its pictures if it may be among the extremes."""
        try:
            return self._measured(item)
        except Exception as error:  # noqa: BLE001  # whatever is wrong with one pair costs that pair; the cause is kept
            cause = str(error) if isinstance(error, ValueError | EngineError) else f"{type(error).__name__}: {error}"
            return {"key": item.key, "lighting": item.lighting, "error": " ".join(cause.split())}, {}

    def _measured(self, item: PairItem) -> tuple[PairResult, Encoded]:
        config, classes = self._config, self._classes
        item = item if config.with_truth else replace(item, labels=None)
        sample = read_pair(item, classes.truth, self._prepared if self._preparation else None)
        result, truth = self._result(item, sample), sample.labels
        if classes.by_name is not None and truth is not None:
            result = replace(result, labels=classes.by_name.predictions[result.labels])
            truth = classes.by_name.truth[truth]
        if truth is not None and config.unlabelled == "ignore":
            truth = np.where(truth == 0, np.uint8(IGNORE_ID), truth)
        record = measure(
            key=item.key,
            infrared=sample.infrared,
            rgb=sample.rgb,
            result=result,
            truth=truth,
            label_set=classes.truth,
            metrics=config.metrics,
            judged=classes.by_name.judged if classes.by_name else None,
        )
        record |= {"looks_swapped": sample.looks_swapped} if sample.looks_swapped else {}
        record |= {"lighting": item.lighting, "sha256": sample.sha256, "stage_ms": dict(result.stage_ms)}
        wanted, _ = self._extremes.offer(item.key, record["score"])
        if not wanted:
            return record, {}
        return record, encode_layers(
            infrared=sample.infrared,
            rgb=sample.rgb,
            fused=result.fused,
            labels=result.labels,
            truth=truth,
            label_set=classes.truth if truth is not None else classes.predicted,
            confidence=result.confidence,
            unjudged=classes.by_name.unjudged(truth, result.labels) if classes.by_name and truth is not None else None,
        )

    def _prepared(self, infrared: Array, rgb: Image) -> tuple[Image, Image]:
        assert self._preparation is not None
        registered = self._preparation.apply(infrared, rgb)
        return registered.infrared, registered.rgb

    def _result(self, item: PairItem, sample: PairSample) -> EngineResult:
        if self._config.own is not None:
            return self._config.own.result(item.key, sample.rgb)
        assert self._engine is not None
        result = self._engine.infer(sample.infrared, sample.rgb)
        return self._filter.apply(item, result) if self._filter else result


def _swap_notes(records: Iterable[PairResult]) -> tuple[str, ...]:
    """Return the question whether the folders are swapped, if all pairs that were read look like that."""
    read = [record for record in records if "error" not in record]
    if not read or not all(record.get("looks_swapped") for record in read):
        return ()
    return ("All infrared images are coloured and all RGB images are grey: are the folders swapped?",)


def summary_lines(report: Report) -> list[str]:
    """Return the figures that matter most, as lines for a terminal."""
    pairs, header = report["pairs"], report["header"]
    model = f"{header['model']['name']} ({header['model']['sha256']})"
    lines = [f"{pairs['processed']} of {pairs['offered']} pairs with {model}, data {header['data']['sha256']}"]
    segmentation = report["segmentation"]
    if segmentation:
        scores = by_light(segmentation)
        for group, each in scores.items():
            lines += _mean_lines(group, each["miou"])
        for group, each in scores.items():
            found = [f"{name} {100 * value:.1f}" for name, value in each["iou"].items() if value is not None]
            if found:
                lines.append(f"IoU {group}, %: {', '.join(found)}")
        if segmentation["classes_without_truth"]:
            lines.append(f"no truth for: {', '.join(segmentation['classes_without_truth'])}")
    means = ((name, values["mean"]) for name, values in report["fusion"]["all"].items())
    fusion = [f"{name} {mean:.4g}" for name, mean in means if mean is not None]
    if fusion:
        lines.append(f"fusion: {', '.join(fusion)}")
    lines += [f"note: {note}" for note in report["notes"]]
    return lines


def _mean_lines(group: str, means: Mapping[str, Any]) -> list[str]:
    """Return the mean IoU under each convention with its number of classes: one line with id 0, one without."""
    lines = []
    for suffix, title in (("", "mIoU"), ("_without_0", "mIoU without id 0")):
        listed = [
            f"{name.removesuffix(suffix)} "
            + ("nothing counted" if mean["value"] is None else f"{100 * mean['value']:.2f} % ({len(mean['classes'])})")
            for name, mean in means.items()
            if name.endswith("_without_0") == bool(suffix)
        ]
        if listed:
            lines.append(f"{title}, {group} (classes): {', '.join(listed)}")
    return lines
