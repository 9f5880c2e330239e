# SPDX-License-Identifier: Apache-2.0
"""`segmif evaluate-grid`: the planner's grid against the exact ground of synthetic drives."""

from __future__ import annotations

import argparse
from collections.abc import Mapping
from dataclasses import asdict
from pathlib import Path
from typing import Any

from segmif_ros.evaluation.engine_options import add_engine_arguments, engine_factory, engine_settings
from segmif_ros.evaluation.errors import EvaluationError
from segmif_ros.evaluation.ground import ground_page
from segmif_ros.evaluation.ground.drives import CONDITIONS, DriveConfig, Segment, frames_to_do, run_drives
from segmif_ros.files import replace_file, write_json
from segmif_ros.grid.config import GridConfig
from segmif_ros.grid.costs import default_costs_file, read_costs
from segmif_ros.labels import FMB
from segmif_ros.reporting.pictures import write_picture
from segmif_ros.reporting.progress import progress_bar
from segmif_ros.reporting.tables import print_tables, wide_console
from segmif_ros.result_folder import ResultFolder
from segmif_ros.settings import with_values
from segmif_ros.settings.options import add_options, from_options, given

REPORT_FILE, PAGE_FILE, PICTURE_FILE = "grid.json", "grid.html", "grid.jpg"
RANGE_M = 20.0
_OF_THE_GRID = ("cell_m", "pitch_error_deg", "min_confidence", "memory_s", "movable_memory_s")  # options
# on every side of the robot, with what the square moves in steps
SIZE_M = 2 * (RANGE_M + 2)


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the options of `segmif evaluate-grid`."""
    default = DriveConfig()
    parser.add_argument("--out", type=Path, default=Path("out/grid"), help="folder of results (default: %(default)s)")
    parser.add_argument("--drives", type=int, default=len(default.seeds), help="streets (default: %(default)s)")
    parser.add_argument("--seed", type=int, default=default.seeds[0], help="of the first (default: %(default)s)")
    add_options(parser, DriveConfig)
    add_options(parser, GridConfig, _OF_THE_GRID)
    parser.add_argument("--costs", type=Path, help="YAML file of costs (default: the package's)")
    parser.add_argument("--exact-only", action="store_true", help="exact labels only: judge the geometry, no network")
    add_engine_arguments(parser)
    parser.set_defaults(weights="segmif-rt", workers=1)


def run(options: argparse.Namespace) -> int:
    """Run the drives, write JSON, page and picture, and print the tables."""
    config = _drives(options)
    grid = with_values(GridConfig(size_m=SIZE_M, max_range_m=RANGE_M), given(options, GridConfig, _OF_THE_GRID))
    costs = read_costs(options.costs or default_costs_file())
    conditions = tuple(each for each in CONDITIONS if each.exact or not options.exact_only)
    segment: Segment | None = None
    label_set, settings = FMB, {"labels": "exact only"}
    if not options.exact_only:
        from segmif_ros.evaluation.ground.node_labels import NodeLabels  # torch comes with it

        engine = engine_factory(options)()
        label_set = engine.label_set
        settings = {"model": f"{engine.model_name} {engine.model_hash}", **engine_settings(options)}
        segment = NodeLabels(engine)

    with ResultFolder(options.out, "segmif evaluate-grid"):
        with progress_bar("drives", frames_to_do(conditions, config)) as advance:
            outcomes = run_drives(
                conditions, config, grid, costs, segment=segment, label_set=label_set, advance=advance
            )
        results = {each.condition.name: each.scores.figures() for each in outcomes}
        about = {**settings, **_plain(asdict(config)), **_plain(asdict(grid))}
        write_json(options.out / REPORT_FILE, {"kind": "grid", "about": about, "conditions": results})
        text = ground_page.render(outcomes, results, label_set, [(key, str(value)) for key, value in about.items()])
        replace_file(options.out / PAGE_FILE, text)
        shown = next(each for each in reversed(outcomes) if each.condition.lighting == "day" and each.example)
        best = next((each for each in outcomes if each.condition.name == "day"), shown)
        write_picture(options.out / PICTURE_FILE, ground_page.picture(best, label_set))
    print_tables(wide_console(), ground_page.tables(results)[:-1])
    print(f"{options.out / PAGE_FILE}")
    return 0


def _drives(options: argparse.Namespace) -> DriveConfig:
    for name, least in (("drives", 1), ("seed", 0)):
        if getattr(options, name) < least:
            raise EvaluationError(f"--{name} {getattr(options, name)}: give {least} or more")
    return from_options(options, DriveConfig(seeds=tuple(range(options.seed, options.seed + options.drives))))


def _plain(values: Mapping[str, Any]) -> dict[str, Any]:
    return {key: list(value) if isinstance(value, tuple) else value for key, value in values.items()}
