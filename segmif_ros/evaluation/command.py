# SPDX-License-Identifier: Apache-2.0
"""`segmif evaluate`: what is evaluated, how, and what a terminal shows of it."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import TYPE_CHECKING

from segmif_ros.command_line import StoppedError, complain
from segmif_ros.data.published import PublishedDataset, dataset_names, open_dataset
from segmif_ros.evaluation import engine_options
from segmif_ros.evaluation.errors import EvaluationError
from segmif_ros.evaluation.report_page import PAGE_FILE
from segmif_ros.inference.weights import DEFAULT_WEIGHTS
from segmif_ros.labels import FMB, LabelSet, label_set
from segmif_ros.reporting.progress import progress_bar
from segmif_ros.rig.preparation import Preparation, add_preparation_arguments, preparation_config
from segmif_ros.settings import from_values
from segmif_ros.settings.options import add_options, given
from segmif_ros.stream.pipeline_config import PipelineConfig

if TYPE_CHECKING:  # torch would come with it
    from segmif_ros.evaluation.own_method import OwnMethod

_OUT = Path("out/evaluate")

def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the arguments of `segmif evaluate`."""
    parser.add_argument("root", type=Path, metavar="ROOT", help="folder of the data set, as its authors publish it")
    parser.add_argument("--dataset", required=True, type=str.lower, choices=dataset_names())
    parser.add_argument("--split", default="", help="default: test; for pairs a subfolder, or a list SPLIT.txt")
    parser.add_argument("--fusion-only", action="store_true", help="ignore the labels; none need be there")
    parser.add_argument(
        "--truth-set", default="", metavar="SET", help="classes of `pairs`' labels, a name or a .yaml (the model's own)"
    )
    parser.add_argument(
        "--unlabelled",
        default="count",
        choices=("count", "ignore"),
        help="truth pixels of id 0: a class like any other, or not counted (default: %(default)s)",
    )
    add_options(
        parser.add_argument_group("sequences: the pairs of one folder are frames, in the order of their names"),
        PipelineConfig,
        ("temporal",),
    )
    own = parser.add_argument_group("your own method, instead of an engine")
    own.add_argument("--fused", type=Path, metavar="FOLDER", help="its fused images, called as the pairs")
    own.add_argument("--labels", type=Path, metavar="FOLDER", help="its label maps, ids of the truth or of --label-set")
    own.add_argument("--name", default="", help="what the report and `segmif compare` call it")
    add_preparation_arguments(parser.add_argument_group("raw infrared, and images of two sizes: as the node"))
    engine_options.add_engine_arguments(parser)
    engine_options.add_run_arguments(parser, str(_OUT), "the names of ROOT and of what is judged")


def _default_out(arguments: argparse.Namespace) -> Path:
    """Return a folder that other data, weights or methods don't share."""
    files = arguments.fused or arguments.labels or arguments.weights or DEFAULT_WEIGHTS
    judged = arguments.name or arguments.baseline or "-".join(Path(each).stem for each in str(files).split(","))
    return _OUT / f"{arguments.root.resolve().name}-{judged}"


def run(arguments: argparse.Namespace) -> int:
    """Run `segmif evaluate`; 1 if some pairs failed."""
    from segmif_ros.evaluation.evaluate import PROG, EvaluationConfig, evaluate, summary_lines
    from segmif_ros.evaluation.sequences import require_one_worker

    arguments.out = arguments.out or _default_out(arguments)
    is_own = arguments.fused is not None or arguments.labels is not None
    temporal = from_values(PipelineConfig, given(arguments, PipelineConfig, ("temporal",))).temporal
    require_one_worker(
        temporal,
        workers=arguments.workers,
        scheduler=arguments.scheduler,
        has_engine=not (is_own or arguments.baseline),
    )
    without_labels = arguments.labels is None if is_own else bool(arguments.baseline)
    with_truth = not (arguments.fusion_only or without_labels)
    preparation = preparation_config(arguments)
    Preparation(preparation)  # a calibration that isn't enough shall not cost every pair
    metrics = engine_options.metric_names(arguments.fusion_metrics)
    try:
        dataset = open_dataset(arguments.dataset, arguments.root, arguments.split, with_labels=with_truth)
        truth_set = _truth_set(arguments, dataset)
        own = _own_method(arguments, dataset.label_set or truth_set) if is_own else None
        config = EvaluationConfig(
            dataset=dataset,
            out=arguments.out,
            engine=None if own else engine_options.engine_factory(arguments),
            settings=_settings(arguments, is_own=is_own),
            metrics=() if own and own.fused is None else metrics,
            with_truth=with_truth,
            unlabelled=arguments.unlabelled,
            truth_set=truth_set,
            preparation=preparation,
            own=own,
            name=arguments.name,
            temporal=temporal,
            workers=arguments.workers,
            scheduler=arguments.scheduler,
            fresh=arguments.fresh,
        )
        with progress_bar(f"{dataset.name} {dataset.split}".strip(), len(dataset.items)) as advance:
            report = evaluate(config, advance)
    except KeyboardInterrupt:
        raise StoppedError(f"stopped; the same command resumes what {arguments.out} holds") from None
    print("\n".join(summary_lines(report)))
    print(f"report: {arguments.out / PAGE_FILE}")
    for each in report["pairs"]["failed"][:5]:
        complain(PROG, f"{each['key']} failed: {each['error']}")
    return 1 if report["pairs"]["failed"] else 0


def _settings(arguments: argparse.Namespace, *, is_own: bool) -> dict[str, str]:
    return (
        {"method": "files", **engine_options.palette_settings(arguments)}
        if is_own
        else engine_options.engine_settings(arguments)
    )


def _truth_set(arguments: argparse.Namespace, dataset: PublishedDataset) -> LabelSet | None:
    if not arguments.truth_set:
        return None
    if dataset.label_set is not None:
        raise EvaluationError(f"--truth-set is for pairs: {dataset.name}'s labels are known")
    return label_set(arguments.truth_set)


def _own_method(arguments: argparse.Namespace, truth: LabelSet | None) -> OwnMethod:
    from segmif_ros.evaluation.own_method import OwnMethod

    if arguments.baseline:
        raise EvaluationError("--baseline and files of your own: give one of them")
    predicted = label_set(arguments.label_set) if arguments.label_set not in (None, "auto") else truth or FMB
    drawn = predicted.with_palette(engine_options.network_config(arguments).engine.palette)
    return OwnMethod(fused=arguments.fused, labels=arguments.labels, label_set=drawn)
