# SPDX-License-Identifier: Apache-2.0
"""`segmif compare`: two reports side by side, and an exit status for a robot's CI."""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.table import Table

from segmif_ros.evaluation.errors import EvaluationError
from segmif_ros.evaluation.report import FORMAT, TIMING_FILE

DEFAULT_MARGIN = 0.01
# of these less is better: errors, times, losses
_LESS_IS_BETTER = ("_ms", ".MSE", ".MSE_TZ", "wall_s")
_NEITHER = (".EN", ".SD", ".SF", ".AG", ".AG_T", ".pairs", ".pixels", ".frames", ".deviation")
_COUNTED = ("segmentation", "fusion", "pairing", "online", "timing")
_LEFT_OUT = ("confusion", "colours", "truth_pixels", "classes", "series")


@dataclass(frozen=True, kw_only=True)
class Check:
    """One metric that must not get worse by more than ``margin``, in the metric's own unit."""

    metric: str
    margin: float


@dataclass(frozen=True, kw_only=True)
class Verdict:
    """What became of a check: values of both runs, and whether it holds."""

    check: Check
    before: float
    after: float
    holds: bool


def load(path: Path) -> dict[str, Any]:
    """Read a report.json, with the timing.json beside it if there is one; EvaluationError if it is none."""
    try:
        report = json.loads(path.read_text(encoding="utf-8"))
        beside = path.with_name(TIMING_FILE)
        timing = json.loads(beside.read_text(encoding="utf-8")) if beside.is_file() else {}
    except OSError as error:
        raise EvaluationError(f"{path}: {error.strerror or error}") from None
    except ValueError:
        raise EvaluationError(f"{path}: not JSON: give the report.json of a run") from None
    if not isinstance(report, dict) or report.get("format") != FORMAT or "header" not in report:
        raise EvaluationError(f"{path}: not a report of this format ({FORMAT}): give the report.json of a run")
    return {**report, "timing": timing}


def figures(report: Mapping[str, Any]) -> dict[str, float]:
    """Return all figures of a report by dotted name, such as segmentation.all.miou.present or fusion.all.Qabf."""
    found: dict[str, float] = {}
    for section in _COUNTED:
        _flatten(section, report.get(section), found)
    return found


def parse_check(text: str, margin: float) -> Check:
    """Read NAME or NAME:MARGIN; EvaluationError if the margin is no number."""
    metric, separator, own = text.partition(":")
    try:
        value = float(own) if separator else margin
    except ValueError:
        raise EvaluationError(f"--metric {text}: '{own}' is not a number: write NAME or NAME:MARGIN") from None
    if not value >= 0:
        raise EvaluationError(f"--metric {text}: the margin must not be negative")
    return Check(metric=metric, margin=value)


def judge(before: Mapping[str, float], after: Mapping[str, float], checks: Sequence[Check]) -> list[Verdict]:
    """Apply the checks; EvaluationError if a metric isn't in both reports or has no better direction."""
    verdicts = []
    for check in checks:
        name = check.metric
        for which, values in (("first", before), ("second", after)):
            if name not in values:
                near = [each for each in values if name.rsplit(".", 1)[-1] in each][:4] or list(values)[:4]
                raise EvaluationError(f"the {which} report has no figure '{name}': it has {', '.join(near)}")
        if name.endswith(_NEITHER):
            raise EvaluationError(f"'{name}' has no better direction, so it can't be checked")
        worse_by = before[name] - after[name]
        if less_is_better(name):
            worse_by = -worse_by
        # a fall of exactly the margin holds, whatever the last bit of the difference says
        holds = worse_by <= check.margin + 1e-12
        verdicts.append(Verdict(check=check, before=before[name], after=after[name], holds=holds))
    return verdicts


def less_is_better(name: str) -> bool:
    """Whether a smaller value of this figure is the better one."""
    return any(part in name for part in _LESS_IS_BETTER) or ".dropped" in name


def differences(before: Mapping[str, Any], after: Mapping[str, Any]) -> list[str]:
    """Say what the two runs don't share: data, weights, configuration."""
    said = []
    for what, path in (
        ("data", ("data", "sha256")),
        ("weights", ("model", "sha256")),
        ("configuration", ("configuration_sha256",)),
    ):
        values = [_at(report["header"], path) for report in (before, after)]
        if values[0] != values[1]:
            said.append(f"{what} differ: {values[0]} and {values[1]}")
    return said


def _at(values: Mapping[str, Any], path: Sequence[str]) -> Any:
    found: Any = values
    for name in path:
        found = found.get(name) if isinstance(found, Mapping) else None
    return found


def _flatten(name: str, value: Any, found: dict[str, float]) -> None:
    if isinstance(value, bool) or value is None:
        return
    if isinstance(value, int | float):
        found[name] = float(value)
    elif isinstance(value, Mapping):
        for key, each in value.items():
            if key in _LEFT_OUT:
                continue
            # a mean is what one means by the metric's name
            _flatten(name if key in ("value", "mean") and len(value) <= 3 else f"{name}.{key}", each, found)


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the arguments of `segmif compare`."""
    parser.add_argument("before", type=Path, metavar="A.json")
    parser.add_argument("after", type=Path, metavar="B.json")
    parser.add_argument(
        "--metric",
        action="append",
        default=[],
        metavar="NAME[:MARGIN]",
        help="fail if this figure got worse by more than the margin; may be given several times",
    )
    parser.add_argument("--margin", type=float, default=DEFAULT_MARGIN, help="default: %(default)s")
    parser.add_argument("--all", action="store_true", help="show all figures, not only those that differ")


def run(arguments: argparse.Namespace) -> int:
    """Run `segmif compare`: 0 nothing fell, 1 a chosen figure fell, 2 unusable input."""
    checks = [parse_check(text, arguments.margin) for text in arguments.metric]
    reports = [load(arguments.before), load(arguments.after)]
    before, after = (figures(report) for report in reports)
    verdicts = judge(before, after, checks)
    for line in differences(*reports):
        print(line)
    _print_table(before, after, {verdict.check.metric: verdict for verdict in verdicts}, everything=arguments.all)
    fallen = [verdict for verdict in verdicts if not verdict.holds]
    for each in fallen:
        print(
            f"segmif compare: {each.check.metric} went from {each.before:.6g} to {each.after:.6g}, "
            f"more than the margin of {each.check.margin:g}",
            file=sys.stderr,
        )
    return 1 if fallen else 0


def _print_table(
    before: Mapping[str, float], after: Mapping[str, float], verdicts: Mapping[str, Verdict], *, everything: bool
) -> None:
    table = Table("figure", "A", "B", "B - A", "")
    for column in table.columns[1:4]:
        column.justify = "right"
    table.columns[0].no_wrap = True
    for name in dict.fromkeys((*before, *after)):
        a, b = before.get(name), after.get(name)
        if a == b and not everything and name not in verdicts:
            continue
        verdict = verdicts.get(name)
        change = f"{b - a:+.4g}" if a is not None and b is not None else ""
        mark = "" if verdict is None else "holds" if verdict.holds else "FELL"
        table.add_row(name, *("none" if each is None else f"{each:.6g}" for each in (a, b)), change, mark)
    console = Console()
    if table.row_count:
        # in a log file there is no width that should cut names short
        (console if console.is_terminal else Console(width=140)).print(table)
    else:
        print("no figure differs")
