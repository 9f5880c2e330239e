# SPDX-License-Identifier: Apache-2.0
"""The learning curve that lies beside packaged weights.

``python -m segmif_ros.evaluation.card.learning_curve RUN/log.jsonl NAME.curve.json`` makes it of a run's log. The file
is ``{"format": 1, "points": [...]}``, and a point is a line of the log: ``{"step": 500, "loss": 1.2, ...}`` for the
losses (means over windows of steps, so that the file stays small), or
``{"step": 500, "validation": {source: {metric: value}}}`` for the scores.
"""

from __future__ import annotations

import argparse
import json
import math
import sys
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

from segmif_ros.command_line import run_module
from segmif_ros.evaluation.errors import EvaluationError
from segmif_ros.files import replace_file
from segmif_ros.reporting import plots

FORMAT = 1
WINDOWS = 100

Point = dict[str, Any]


def read_curve(path: Path) -> list[Point]:
    """Read a curve file, or the log of a run (lines of JSON); points in the order of steps.

    Raises:
        EvaluationError: If it is neither; names the file and what is wrong with it.
    """
    try:
        text = path.read_text(encoding="utf-8")
        records: Any
        if path.suffix == ".jsonl":
            records = [json.loads(line) for line in text.splitlines() if line.strip()]
        else:
            whole = json.loads(text)
            if not isinstance(whole, Mapping) or whole.get("format") != FORMAT:
                raise EvaluationError(f"{path}: is no learning curve of format {FORMAT}")
            records = whole.get("points")
    except (OSError, UnicodeDecodeError, json.JSONDecodeError) as error:
        raise EvaluationError(f"{path}: can't be read as a learning curve ({error})") from error
    return parse_points(records, str(path))


def parse_points(records: Any, source: str) -> list[Point]:
    """Check points and return them by step, losses before the validation of the same step.

    What is not a finite number, as the name of a phase, is left out.

    Raises:
        EvaluationError: If one is no point; names ``source`` and its place.
    """
    if not isinstance(records, list):
        raise EvaluationError(f"{source}: no list of points")
    points = [_point(record, f"{source}: point {number}") for number, record in enumerate(records, 1)]
    return sorted(points, key=lambda each: (each["step"], "validation" in each))


def _point(record: Any, where: str) -> Point:
    if not isinstance(record, Mapping) or not _is_number(record.get("step")) or record["step"] < 0:
        raise EvaluationError(f"{where}: has no step of 0 or more")
    if "validation" not in record:
        return {name: value for name, value in record.items() if _is_number(value)}
    scores = record["validation"]
    if not isinstance(scores, Mapping) or not all(isinstance(each, Mapping) for each in scores.values()):
        raise EvaluationError(f"{where}: its validation is no table of figures by source")
    numbers = {
        name: {metric: value for metric, value in values.items() if _is_number(value)}
        for name, values in scores.items()
    }
    return {"step": record["step"], "validation": numbers}


def _is_number(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool) and math.isfinite(value)


def thin(points: Sequence[Point], windows: int = WINDOWS) -> list[Point]:
    """Average the losses over at most ``windows`` windows of equally many steps; validations stay as they are.

    A window's point has its last step, and the values that all its points have.
    """
    losses = [point for point in points if "validation" not in point]
    last = max((point["step"] for point in losses), default=0)
    grouped: dict[int, list[Point]] = {}
    for point in losses:
        grouped.setdefault(min(windows - 1, int(windows * point["step"] / (last + 1))), []).append(point)
    means = []
    for group in grouped.values():
        names = [name for name in group[0] if name != "step" and all(name in point for point in group)]
        mean = {name: round(sum(point[name] for point in group) / len(group), 6) for name in names}
        means.append({"step": group[-1]["step"], **mean})
    return parse_points([*means, *(point for point in points if "validation" in point)], "curve")


def score_series(points: Iterable[Point], metric: str = "miou") -> dict[str, tuple[list[float], list[float]]]:
    """Return (steps, values) of a metric by validation source; sources that never have it are left out."""
    series: dict[str, tuple[list[float], list[float]]] = {}
    for point in points:
        for source, values in point.get("validation", {}).items():
            if metric in values:
                steps, found = series.setdefault(source, ([], []))
                steps.append(point["step"])
                found.append(values[metric])
    return series


def loss_series(points: Iterable[Point]) -> dict[str, tuple[list[float], list[float]]]:
    """Return (steps, values) of the loss and its parts."""
    series: dict[str, tuple[list[float], list[float]]] = {}
    for point in points:
        for name in ("loss", "fusion", "segmentation"):
            if name in point:
                steps, found = series.setdefault(name, ([], []))
                steps.append(point["step"])
                found.append(point[name])
    return series


def curve_plots(points: Sequence[Point]) -> dict[str, str]:
    """Return SVG text by title, for what the curve has."""
    found = {}
    scores = {name: (x, [100 * value for value in y]) for name, (x, y) in score_series(points).items()}
    if scores:
        found["Learning curve: mIoU on validation samples"] = plots.curves(scores, "step", "mIoU, %")
    losses = loss_series(points)
    if losses:
        found["Learning curve: losses"] = plots.curves(losses, "step", "loss")
    return found


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the logs and the file."""
    parser.add_argument("log", type=Path, nargs="+", help="log.jsonl of a run; of a run's stages in their order")
    parser.add_argument("curve", type=Path, help="the file to write, NAME.curve.json")


def run(options: argparse.Namespace) -> int:
    """Make a curve file of logs."""
    points = join_stages([read_curve(log) for log in options.log])
    kept = thin(points)
    replace_file(options.curve, json.dumps({"format": FORMAT, "points": kept}) + "\n")
    print(f"{options.curve}: {len(kept)} of {len(points)} points")
    return 0


def join_stages(stages: Sequence[Sequence[Point]]) -> list[Point]:
    """Put the curves of consecutive stages after one another: each counts its steps on from the last one's end."""
    joined: list[Point] = []
    offset = 0
    for points in stages:
        joined += [{**point, "step": point["step"] + offset} for point in points]
        offset = max((point["step"] for point in joined), default=0)
    return joined


if __name__ == "__main__":
    sys.exit(run_module("segmif_ros.evaluation.card.learning_curve", __doc__, add_arguments, run))
