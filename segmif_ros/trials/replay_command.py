# SPDX-License-Identifier: Apache-2.0
"""`segmif replay`: one or many bags, in one process or several, to output bags and reports."""

from __future__ import annotations

import argparse
import json
import shutil
from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any

import cv2

from segmif_ros.bag.grid_replay import GridReplayConfig, grid_lines
from segmif_ros.bag.node_options import (
    expected_pairs,
    follow_params_file,
    offline_pipeline_config,
    pipeline_config,
    topics_of,
)
from segmif_ros.bag.reading import BagError
from segmif_ros.bag.replay import PROG, ReplayConfig, replay
from segmif_ros.command_line import StoppedError, complain
from segmif_ros.evaluation import engine_options
from segmif_ros.evaluation.engine_options import EngineFactory
from segmif_ros.evaluation.evaluate import summary_lines
from segmif_ros.evaluation.records import PairResult
from segmif_ros.evaluation.report import (
    REPORT_FILE,
    TIMING_FILE,
    ReportInput,
    build_report,
    timing,
)
from segmif_ros.evaluation.report_page import PAGE_FILE, write_results
from segmif_ros.evaluation.report_types import Report
from segmif_ros.labels import LabelSet
from segmif_ros.reporting.errors import RunError
from segmif_ros.reporting.extremes import PICTURES, picture_folder
from segmif_ros.reporting.journal import RECORDS_FILE, disk_error
from segmif_ros.reporting.progress import progress_bar
from segmif_ros.reporting.work import WorkerPool
from segmif_ros.result_folder import FolderError, ResultFolder
from segmif_ros.settings import from_values
from segmif_ros.settings.options import given
from segmif_ros.trials.online import OnlineConfig, replay_online
from segmif_ros.trials.online_figures import facts_of
from segmif_ros.trials.replay_options import add_arguments as add_arguments


@dataclass(frozen=True, kw_only=True)
class BagResult:
    """What became of one bag: its report, or why there is none."""

    bag: Path
    out: Path
    report: Report | None = None
    error: str = ""


class ReplayJob:
    """What a worker does with each bag."""

    def __init__(self, engine: EngineFactory, config: ReplayConfig, *, parallel: bool) -> None:
        self._engine = engine()
        self._config = config
        self._parallel = parallel
        if parallel:
            cv2.setNumThreads(1)

    def __call__(self, item: tuple[Path, Path]) -> BagResult:
        """Replay one bag into its folder; whatever is wrong with it costs this bag."""
        bag, out = item
        try:
            if self._parallel:
                return BagResult(bag=bag, out=out, report=replay(bag, out, self._engine, self._config))
            with progress_bar(bag.name, expected_pairs(bag, self._config.topics)) as advance:
                return BagResult(bag=bag, out=out, report=replay(bag, out, self._engine, self._config, advance))
        except (RunError, FolderError) as error:
            return BagResult(bag=bag, out=out, error=str(error))


def replay_bags(
    bags: list[Path],
    out: Path,
    engine: EngineFactory,
    config: ReplayConfig,
    workers: int = 1,
    tell: Callable[[BagResult], None] = lambda _result: None,
    *,
    scheduler: str = "",
) -> Report | None:
    """Replay bags into folders of their names; with several, a report over all of them lies in ``out``.

    ``workers`` and ``scheduler`` are those of `WorkerPool`.

    Returns:
        The report over all, or the one of the only bag; None if none could be replayed.
    """
    folders = _folders(bags, out)
    if len(bags) == 1:
        return _replay_all(bags, folders, out, engine, config, workers, tell, scheduler)
    with ResultFolder(out, PROG, only=(REPORT_FILE, TIMING_FILE, PAGE_FILE, PICTURES)):
        return _replay_all(bags, folders, out, engine, config, workers, tell, scheduler)


def _replay_all(
    bags: list[Path],
    folders: list[Path],
    out: Path,
    engine: EngineFactory,
    config: ReplayConfig,
    workers: int,
    tell: Callable[[BagResult], None],
    scheduler: str,
) -> Report | None:
    parallel = workers > 1 or bool(scheduler)
    pool = WorkerPool(partial(ReplayJob, engine, config, parallel=parallel), workers, scheduler)
    results = []
    for result in pool.results(list(zip(bags, folders, strict=True))):
        tell(result)
        results.append(result)
    good = sorted((result for result in results if result.report), key=lambda result: bags.index(result.bag))
    if len(bags) == 1 or not good:
        return good[0].report if good else None
    try:
        return _merged(good, results, out, engine().label_set, workers)
    except OSError as error:
        raise disk_error(out, error) from error


def _merged(good: list[BagResult], results: list[BagResult], out: Path, label_set: LabelSet, workers: int) -> Report:
    """Write the report over all bags, from their records."""
    records: list[PairResult] = []
    for result in good:
        prefix = result.out.name
        lines = (result.out / RECORDS_FILE).read_text(encoding="utf-8").splitlines()
        of_bag: list[PairResult] = [json.loads(line) for line in lines]
        records += [{**each, "key": f"{prefix}/{each['key']}"} for each in of_bag]
    failed = [{"key": str(each.bag), "error": each.error} for each in results if each.error]
    first: Any = good[0].report
    rows = [_row(result) for result in good]
    report = build_report(
        ReportInput(
            kind="replay",
            data={"name": f"{len(good)} bags", "bags": ", ".join(result.bag.name for result in good)},
            model=first["header"]["model"],
            configuration=first["header"]["configuration"],
            label_set=label_set,
            records=records,
            notes=[f"{each['key']} could not be replayed: {each['error']}" for each in sorted(failed, key=str)],
            extra={"tables": [{"title": "Bags", "columns": ["bag", "pairs", "failed", "mIoU"], "rows": rows}]},
        )
    )
    for entry in (*report["frames"]["best"], *report["frames"]["worst"]):
        folder, key = entry["key"].split("/")
        # the extremes of all bags are among the extremes of each
        shutil.copytree(picture_folder(out / folder, key), picture_folder(out, entry["key"]), dirs_exist_ok=True)
    measured = timing(records, 0.0, 0, workers)
    write_results(out, report, measured, label_set)
    return report


def _row(result: BagResult) -> list[str]:
    report: Any = result.report
    segmentation = report["segmentation"]
    value = segmentation["all"]["miou"]["present"]["value"] if segmentation else None
    return [
        result.out.name,
        str(report["pairs"]["processed"]),
        str(len(report["pairs"]["failed"])),
        "none" if value is None else f"{100 * value:.2f} %",
    ]


def _folders(bags: list[Path], out: Path) -> list[Path]:
    names = [bag.stem if bag.is_file() else bag.resolve().name for bag in bags]
    if len(set(names)) < len(names):
        twice = next(name for name in names if names.count(name) > 1)
        raise BagError(f"two bags are called {twice}: give them with separate --out, or rename one")
    return [out / name for name in names]


def run(arguments: argparse.Namespace) -> int:
    """Run `segmif replay`: 0 done, 1 a bag or a pair failed, 2 nothing could be done, 130 interrupted."""
    if arguments.online or arguments.running_node or arguments.attach is not None:
        return _run_online(arguments)
    failures: list[str] = []
    lost: list[Path] = []

    def tell(result: BagResult) -> None:
        if result.error:
            complain(PROG, result.error)
            lost.append(result.bag)
            return
        assert result.report is not None
        print("\n".join([*summary_lines(result.report), *grid_lines(result.report)]))
        print(f"report: {result.out / PAGE_FILE}")
        failures.extend(f"{each['key']}: {each['error']}" for each in result.report["pairs"]["failed"])
        failures.extend(note for note in result.report["notes"] if note.startswith("The bag is damaged"))

    try:
        values = follow_params_file(arguments)
        config = ReplayConfig(
            topics=topics_of(arguments),
            pipeline=offline_pipeline_config(values),
            overlay_alpha=values.get("overlay_alpha", ReplayConfig.overlay_alpha),
            metrics=engine_options.metric_names(arguments.fusion_metrics),
            settings=engine_options.engine_settings(arguments),
            outputs=not arguments.no_outputs,
            fresh=arguments.fresh,
            grid=_grid_config(arguments),
        )
        report = replay_bags(
            arguments.bags,
            arguments.out,
            engine_options.engine_factory(arguments),
            config,
            arguments.workers,
            tell,
            scheduler=arguments.scheduler,
        )
    except KeyboardInterrupt:
        raise StoppedError(f"stopped; the same command resumes what {arguments.out} holds") from None
    if report is None:
        return 2
    for line in failures[:5]:
        complain(PROG, line)
    return 1 if failures or lost else 0


def _grid_config(arguments: argparse.Namespace) -> GridReplayConfig | None:
    if not arguments.grid:
        return None
    if arguments.no_outputs:
        raise BagError("--grid writes into the bag of outputs: leave --no-outputs out")
    config = from_values(GridReplayConfig, given(arguments, GridReplayConfig))
    return replace(config, odom_topic=arguments.odom_topic, costs=arguments.costs)


def _run_online(arguments: argparse.Namespace) -> int:
    values = follow_params_file(arguments)
    own_node = not arguments.running_node and arguments.attach is None
    if len(arguments.bags) != 1:
        raise BagError("--online plays one bag: give one")
    config = OnlineConfig(
        topics=topics_of(arguments),
        pipeline=pipeline_config(values),
        rate=arguments.rate,
        loops=arguments.loop,
        clock=arguments.clock,
        attach_s=arguments.attach,
        own_node=own_node,
        domain_id=arguments.domain_id,
        node_parameters=values if own_node else {},
        pid=arguments.pid,
    )
    [bag] = arguments.bags
    report = replay_online(bag, arguments.out, config)
    online = report["online"]
    print(f"{online['processed']} of {online['offered']} pairs gave outputs")
    print(", ".join(f"{name} {value}" for name, value in facts_of(online)))
    print("\n".join(report["notes"]))
    print(f"report: {arguments.out / PAGE_FILE}")
    return 0 if online["processed"] else 1
