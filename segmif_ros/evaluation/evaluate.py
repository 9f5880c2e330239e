# SPDX-License-Identifier: Apache-2.0
"""`segmif evaluate`: a published data set through the engine, to a report."""

from __future__ import annotations

import argparse
import time
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from functools import partial
from pathlib import Path

import cv2

from segmif_ros.command_line import StoppedError, complain
from segmif_ros.data.published import DATASETS, PairItem, PublishedDataset, open_dataset, read_pair
from segmif_ros.evaluation import options, pictures
from segmif_ros.evaluation.contents import MEMORY_FILE, contents_hash
from segmif_ros.evaluation.errors import EvaluationError
from segmif_ros.evaluation.fusion import TEXTBOOK_METRICS
from segmif_ros.evaluation.journal import Journal, disk_error
from segmif_ros.evaluation.options import EngineFactory
from segmif_ros.evaluation.records import Record, measure
from segmif_ros.evaluation.report import (
    EXTREMES,
    REPORT_FILE,
    TIMING_FILE,
    Report,
    ReportInput,
    build_report,
    model_facts,
    timing,
    write_json,
)
from segmif_ros.evaluation.report_page import PAGE_FILE, write_page
from segmif_ros.evaluation.workers import WorkerPool, progress_bar
from segmif_ros.inference.engine import EngineError
from segmif_ros.labels import LabelSet
from segmif_ros.result_folder import ResultFolder

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
        workers: Processes.
        scheduler: Address of a Dask scheduler whose workers are used instead; empty for none.
        fresh: Forget what ``out`` holds.
    """

    dataset: PublishedDataset
    out: Path
    engine: EngineFactory
    settings: dict[str, str] = field(default_factory=dict)
    metrics: tuple[str, ...] = TEXTBOOK_METRICS
    with_truth: bool = True
    unlabelled: str = "count"
    workers: int = 1
    scheduler: str = ""
    fresh: bool = False


def evaluate(config: EvaluationConfig, advance: Callable[[int], None] = lambda _count: None) -> Report:
    """Evaluate, and write report.json, timing.json and report.html.

    A pair that can't be read or processed costs itself and is named in the report. What is done is kept in
    ``config.out``; the same call goes on with it.

    Args:
        config: What and where.
        advance: Called with the number of pairs that were just finished.

    Raises:
        EvaluationError: If the label sets don't fit, the folder holds another run or can't be written.
    """
    dataset = config.dataset
    engine = config.engine()
    model, label_set = model_facts(engine), engine.label_set
    if config.with_truth:
        _require_same_classes(dataset, label_set)
    del engine  # each worker makes its own
    with ResultFolder(config.out, PROG):
        try:
            return _evaluate(config, model, label_set, advance)
        except OSError as error:
            raise disk_error(config.out, error) from error


def _evaluate(
    config: EvaluationConfig, model: dict[str, str], label_set: LabelSet, advance: Callable[[int], None]
) -> Report:
    dataset = config.dataset
    configuration = {
        **config.settings,
        "fusion_metrics": list(config.metrics),
        "with_truth": config.with_truth,
        "unlabelled": config.unlabelled,
    }
    data = {"name": dataset.name, "folder": dataset.root.name, "split": dataset.split}
    keys = [item.key for item in dataset.items]
    files = [path for item in dataset.items for path in item.files(with_labels=config.with_truth)]
    identity = {
        "kind": "evaluate",
        "data": {**data, "root": str(dataset.root), "contents": contents_hash(files, config.out / MEMORY_FILE)},
        "keys": keys,
        "model": {**model, "classes": list(label_set.names), "ignore_id": label_set.ignore_id},
        "configuration": configuration,
    }
    journal = Journal(config.out, identity, fresh=config.fresh)
    todo = [item for item in dataset.items if item.key not in journal.done]
    advance(len(keys) - len(todo))
    extremes = pictures.Extremes(EXTREMES)
    for record in journal.records.values():
        extremes.offer(record["key"], record.get("score"))
    started_s = time.monotonic()
    pool = WorkerPool(partial(_Job, config, label_set), config.workers, config.scheduler)
    try:
        for record, files_of_record in pool.results(todo):
            wanted, gone = extremes.offer(record["key"], record.get("score"))
            if wanted and files_of_record:
                pictures.keep(config.out, record["key"], files_of_record)
            pictures.drop(config.out, filter(None, [gone]))
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
            label_set=label_set,
            records=[journal.records[key] for key in keys],
            notes=dataset.notes,
        )
    )
    measured = timing(journal.records.values(), time.monotonic() - started_s, len(todo), config.workers)
    write_json(config.out / REPORT_FILE, report)
    write_json(config.out / TIMING_FILE, measured)
    write_page(config.out, report, measured)
    return report


class _Job:
    """What a worker does with each pair."""

    def __init__(self, config: EvaluationConfig, label_set: LabelSet) -> None:
        if config.workers > 1:
            cv2.setNumThreads(1)
        self._config = config
        self._label_set = label_set
        self._engine = config.engine()
        self._extremes = pictures.Extremes(EXTREMES)

    def __call__(self, item: PairItem) -> tuple[Record, pictures.Encoded]:
        """Return the record of one pair, and its pictures if it may be among the extremes."""
        try:
            return self._measured(item)
        except Exception as error:  # noqa: BLE001  # whatever is wrong with one pair costs that pair; the cause is kept
            said = str(error) if isinstance(error, ValueError | EngineError) else f"{type(error).__name__}: {error}"
            return {"key": item.key, "lighting": item.lighting, "error": " ".join(said.split())}, {}

    def _measured(self, item: PairItem) -> tuple[Record, pictures.Encoded]:
        config = self._config
        sample = read_pair(item if config.with_truth else replace(item, labels=None), config.dataset.label_set)
        truth = sample.labels
        result = self._engine.infer(sample.infrared, sample.rgb)
        record = measure(
            key=item.key,
            infrared=sample.infrared,
            rgb=sample.rgb,
            result=result,
            truth=truth,
            label_set=self._label_set,
            metrics=config.metrics,
            unlabelled_id=0 if config.unlabelled == "ignore" else None,
        )
        record |= {"lighting": item.lighting, "sha256": sample.sha256, "stage_ms": dict(result.stage_ms)}
        wanted, _ = self._extremes.offer(item.key, record["score"])
        if not wanted:
            return record, {}
        return record, pictures.encode(
            infrared=sample.infrared,
            rgb=sample.rgb,
            fused=result.fused,
            labels=result.labels,
            truth=truth,
            label_set=self._label_set,
        )


def _require_same_classes(dataset: PublishedDataset, label_set: LabelSet) -> None:
    truth = dataset.label_set
    if truth is not None and truth.names != label_set.names:
        raise EvaluationError(
            f"the truth has {truth.name}'s {len(truth)} classes and the model {label_set.name}'s {len(label_set)}: "
            "take weights for these classes, or --fusion-only"
        )


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the arguments of `segmif evaluate`."""
    parser.add_argument("root", type=Path, metavar="ROOT", help="folder of the data set, as its authors publish it")
    parser.add_argument("--dataset", required=True, type=str.lower, choices=DATASETS)
    parser.add_argument("--split", default="", help="default: test; for pairs a subfolder of each folder")
    parser.add_argument("--fusion-only", action="store_true", help="leave the truth aside")
    parser.add_argument(
        "--unlabelled",
        default="count",
        choices=("count", "ignore"),
        help="truth pixels of id 0: a class like any other, or not counted (default: %(default)s)",
    )
    options.add_engine_arguments(parser)
    options.add_run_arguments(parser, "out/evaluate")


def run(arguments: argparse.Namespace) -> int:
    """Run `segmif evaluate`; 1 if some pairs failed."""
    with_truth = not (arguments.fusion_only or arguments.baseline)
    try:
        dataset = open_dataset(
            arguments.dataset, arguments.root, arguments.split, with_labels=with_truth
        )
        config = EvaluationConfig(
            dataset=dataset,
            out=arguments.out,
            engine=options.engine_factory(arguments),
            settings=options.engine_settings(arguments),
            metrics=options.metric_names(arguments.fusion_metrics),
            with_truth=with_truth,
            unlabelled=arguments.unlabelled,
            workers=arguments.workers,
            scheduler=arguments.scheduler,
            fresh=arguments.fresh,
        )
        with progress_bar(f"{dataset.name} {dataset.split}".strip(), len(dataset.items)) as advance:
            report = evaluate(config, advance)
    except KeyboardInterrupt:
        raise StoppedError(f"stopped; the same command goes on with what {arguments.out} holds") from None
    print("\n".join(summary_lines(report)))
    print(f"report: {arguments.out / PAGE_FILE}")
    for each in report["pairs"]["failed"][:5]:
        complain(PROG, f"{each['key']} failed: {each['error']}")
    return 1 if report["pairs"]["failed"] else 0


def summary_lines(report: Report) -> list[str]:
    """Return the figures that matter most, as lines for a terminal."""
    pairs, header = report["pairs"], report["header"]
    model = f"{header['model']['name']} ({header['model']['sha256']})"
    lines = [f"{pairs['processed']} of {pairs['offered']} pairs with {model}, data {header['data']['sha256']}"]
    segmentation = report["segmentation"]
    if segmentation:
        for group in ("all", "day", "night"):
            for convention, mean in segmentation.get(group, {}).get("miou", {}).items():
                if mean["value"] is None:
                    lines.append(f"mIoU {group} {convention}: nothing counted")
                    continue
                lines.append(
                    f"mIoU {group} {convention}: {100 * mean['value']:.2f} % over {', '.join(mean['classes'])}"
                )
        if segmentation["classes_without_truth"]:
            lines.append(f"no truth for: {', '.join(segmentation['classes_without_truth'])}")
    means = ((name, values["mean"]) for name, values in report["fusion"]["all"].items())
    fusion = [f"{name} {mean:.4g}" for name, mean in means if mean is not None]
    if fusion:
        lines.append(f"fusion: {', '.join(fusion)}")
    lines += [f"note: {note}" for note in report["notes"]]
    return lines
