# SPDX-License-Identifier: Apache-2.0
"""`segmif compare`: reports side by side: which run is better in what, and an exit status for a robot's CI."""

from __future__ import annotations

import argparse
import difflib
import json
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from segmif_ros.command_line import complain
from segmif_ros.evaluation.better import Better
from segmif_ros.evaluation.directions import advantage, direction
from segmif_ros.evaluation.errors import EvaluationError
from segmif_ros.evaluation.report import FORMAT, REPORT_FILE, TIMING_FILE
from segmif_ros.reporting.tables import Table, print_tables, wide_console

DEFAULT_MARGIN = 0.01
FORMATS = ("table", "csv", "latex")
_COUNTED = ("segmentation", "fusion", "pairing", "online", "timing")
_LEFT_OUT = ("confusion", "colours", "truth_pixels", "classes", "series", "diagnostics")
# what is compared where nothing else is asked for
_MAIN = re.compile(
    r"segmentation\.\w+\.miou\.(truth|present|fixed)|segmentation\.all\.pixel_accuracy|fusion\.all\.\w+"
    r"|online\.(share|rate_hz|cpu_percent|age_ms\.p50|age_ms\.p95|memory_mib\.max)|pairing\.dropped\.\w+"
)


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
    """Read a report.json, or the one in a folder, with the timing.json beside it if there is one.

    Raises:
        EvaluationError: If it is none.
    """
    path = path / REPORT_FILE if path.is_dir() else path
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
    """Apply the checks; EvaluationError if a metric isn't in both reports or isn't known to have a better direction."""
    verdicts = []
    for check in checks:
        name = check.metric
        for which, values in (("first", before), ("second", after)):
            if name not in values:
                raise EvaluationError(f"the {which} report has no figure '{name}': {_near(name, values)}")
        better = direction(name)
        if better is Better.NEITHER:
            raise EvaluationError(f"'{name}' has no better direction, so it can't be checked")
        gained = advantage(name, before[name], after[name])
        if gained is None:
            raise EvaluationError(f"'{name}': whether more or less of it is better isn't known, so it can't be checked")
        # a fall of exactly the margin holds, whatever the last bit of the difference is
        holds = -gained <= check.margin + 1e-12
        verdicts.append(Verdict(check=check, before=before[name], after=after[name], holds=holds))
    return verdicts


def differences(before: Mapping[str, Any], after: Mapping[str, Any]) -> list[str]:
    """List what the two runs don't share: data, weights, configuration."""
    lines = []
    for what, path in (
        ("data", ("data", "sha256")),
        ("weights", ("model", "sha256")),
        ("configuration", ("configuration_sha256",)),
    ):
        values = [_at(report["header"], path) for report in (before, after)]
        if values[0] != values[1]:
            lines.append(f"{what} differ: {values[0]} and {values[1]}")
    return lines


def run_names(reports: Sequence[Mapping[str, Any]], paths: Sequence[Path]) -> list[str]:
    """Return a name for each report: its model's; where two have the same, the folder's too; at last a letter."""
    models = [str(_at(report["header"], ("model", "name")) or "?") for report in reports]
    folders = [(path if path.is_dir() else path.parent).resolve().name for path in paths]
    for names in (models, folders, [f"{model} {folder}" for model, folder in zip(models, folders, strict=True)]):
        if len(set(names)) == len(names):
            return names
    return [f"{model} ({chr(ord('A') + i)})" for i, model in enumerate(models)]


def winner(names: Sequence[str], before: Mapping[str, float], after: Mapping[str, float], chosen: Sequence[str]) -> str:
    """Return which of two runs is better, in how many of the chosen figures, and by how much."""
    gains = {name: advantage(name, before[name], after[name]) for name in chosen if name in before and name in after}
    known = {name: gain for name, gain in gains.items() if gain is not None}
    wins = [sum(gain < 0 for gain in known.values()), sum(gain > 0 for gain in known.values())]
    if not known:
        return "no figure that both runs have shows which is better"
    if wins[0] == wins[1]:
        return f"neither wins: each is better in {wins[0]} of {len(known)} figures"
    best = int(wins[1] > wins[0])
    first = next(name for name, gain in known.items() if (gain > 0) == bool(best) and gain != 0)
    values = (after, before) if best else (before, after)
    return (
        f"{names[best]} wins: better in {wins[best]} of {len(known)} figures, worse in {wins[1 - best]} "
        f"({first} {values[0][first]:.4g} against {values[1][first]:.4g})"
    )


def _near(name: str, values: Mapping[str, float]) -> str:
    """Return the question about the figures that are spelt alike, or some that there are."""
    by_end = {each.rsplit(".", 1)[-1].lower(): each for each in reversed(list(values))} | {
        each.lower(): each for each in values
    }
    wanted = name.lower()
    near = [by_end[each] for each in difflib.get_close_matches(wanted, by_end, n=3)]
    near += [each for each in values if wanted.rsplit(".", 1)[-1] in each.lower()]
    if near:
        return f"did you mean {' or '.join(dict.fromkeys(near[:3]))}?"
    return f"it has {', '.join(list(values)[:4]) or 'no figures'}"


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
    parser.add_argument("reports", type=Path, nargs="+", metavar="REPORT", help="report.json of a run, or its folder")
    parser.add_argument(
        "--metric",
        action="append",
        default=[],
        metavar="NAME[:MARGIN]",
        help="show this figure, and fail if a later report has it worse than the first by more than the margin; may be "
        "given several times",
    )
    parser.add_argument("--margin", type=float, default=DEFAULT_MARGIN, help="default: %(default)s")
    parser.add_argument("--all", action="store_true", help="show all figures that differ, not only the main ones")
    parser.add_argument("--format", default="table", choices=FORMATS, help="what to print (default: %(default)s)")


def run(arguments: argparse.Namespace) -> int:
    """Run `segmif compare`; 1 if a chosen figure fell."""
    if len(arguments.reports) < 2:
        raise EvaluationError("one report can't be compared: give two or more")
    checks = [parse_check(text, arguments.margin) for text in arguments.metric]
    reports = [load(path) for path in arguments.reports]
    values = [figures(report) for report in reports]
    names = run_names(reports, arguments.reports)
    verdicts = [judge(values[0], each, checks) for each in values[1:]]
    chosen = [check.metric for check in checks] or _main_figures(values)
    if arguments.format == "csv":
        print("\n".join(csv_lines(names, values, chosen)))
    elif arguments.format == "latex":
        print("\n".join(latex_lines(names, values, chosen)))
    else:
        for i, report in enumerate(reports[1:], start=1):
            for line in differences(reports[0], report):
                print(line if len(reports) == 2 else f"{names[0]} and {names[i]}: {line}")
        if len(reports) == 2:
            print(winner(names, values[0], values[1], chosen))
            _print_two(names, values[0], values[1], verdicts[0], _differing(values) if arguments.all else chosen)
        else:
            _print_many(names, values, chosen)
    fallen = [(name, each) for name, run in zip(names[1:], verdicts, strict=True) for each in run if not each.holds]
    for name, each in fallen:
        of = f" in {name}" if len(reports) > 2 else ""
        complain(
            "segmif compare",
            f"{each.check.metric} went from {each.before:.6g} to {each.after:.6g}{of}, more than the margin of "
            f"{each.check.margin:g}",
        )
    return 1 if fallen else 0


def _main_figures(values: Sequence[Mapping[str, float]]) -> list[str]:
    names = dict.fromkeys(name for each in values for name in each if _MAIN.fullmatch(name))
    return [name for name in names if all(name in each for each in values)]


def _differing(values: Sequence[Mapping[str, float]]) -> list[str]:
    names = dict.fromkeys(name for each in values for name in each)
    return [name for name in names if len({each.get(name) for each in values}) > 1]


def best_of(name: str, values: Sequence[float | None]) -> set[int]:
    """Return which of the values are the best ones of a figure; none where it has no better direction."""
    there = [each for each in values if each is not None]
    better = direction(name)
    if len(there) < 2 or better not in (Better.MORE, Better.LESS):
        return set()
    best = max(there) if better is Better.MORE else min(there)
    return {i for i, each in enumerate(values) if each == best}


def csv_lines(names: Sequence[str], values: Sequence[Mapping[str, float]], chosen: Sequence[str]) -> list[str]:
    """Return a table of methods by metrics as CSV, a method a line."""
    head = ",".join(["method", *chosen])
    rows = [
        [_quoted(name), *(f"{each[m]:.9g}" if m in each else "" for m in chosen)]
        for name, each in zip(names, values, strict=True)
    ]
    return [head, *(",".join(row) for row in rows)]


def latex_lines(names: Sequence[str], values: Sequence[Mapping[str, float]], chosen: Sequence[str]) -> list[str]:
    """Return the same as a LaTeX tabular, the best of each metric in bold; an arrow shows which direction is better."""
    arrows = {Better.MORE: r" $\uparrow$", Better.LESS: r" $\downarrow$"}
    head = [_tex(_short(name, chosen)) + arrows.get(direction(name) or Better.NEITHER, "") for name in chosen]
    best = [best_of(metric, [each.get(metric) for each in values]) for metric in chosen]
    rows = []
    for i, (name, each) in enumerate(zip(names, values, strict=True)):
        cells = [f"{each[metric]:.4g}" if metric in each else "--" for metric in chosen]
        cells = [rf"\textbf{{{cell}}}" if i in best[k] else cell for k, cell in enumerate(cells)]
        rows.append(" & ".join([_tex(name), *cells]) + r" \\")
    begin = rf"\begin{{tabular}}{{l{'r' * len(chosen)}}}"
    return [begin, r"\hline", " & ".join(["method", *head]) + r" \\", r"\hline", *rows, r"\hline", r"\end{tabular}"]


def _short(name: str, among: Sequence[str]) -> str:
    """Return a figure's name without what all names begin with, or the last part where that is enough."""
    ends = [each.rsplit(".", 1)[-1] for each in among]
    end = name.rsplit(".", 1)[-1]
    return end if ends.count(end) == 1 and not name.startswith("segmentation.") else name.split(".", 1)[-1]


def _quoted(text: str) -> str:
    return f'"{text.replace(chr(34), chr(34) * 2)}"' if re.search(r'[",\n]', text) else text


def _tex(text: str) -> str:
    return re.sub(r"([_%&#$])", r"\\\1", text)


def _print_two(
    names: Sequence[str],
    before: Mapping[str, float],
    after: Mapping[str, float],
    verdicts: Sequence[Verdict],
    shown: Sequence[str],
) -> None:
    checked = {verdict.check.metric: verdict for verdict in verdicts}
    rows = []
    for name in dict.fromkeys((*checked, *shown)):
        a, b = before.get(name), after.get(name)
        gained = advantage(name, a, b) if a is not None and b is not None else None
        better = "" if gained is None else "equal" if gained == 0 else names[int(gained > 0)]
        verdict = checked.get(name)
        values = ["none" if each is None else f"{each:.6g}" for each in (a, b)]
        difference = f"{b - a:+.4g}" if a is not None and b is not None else ""
        check = [("holds" if verdict.holds else "FELL") if verdict else ""] if checked else []
        rows.append((name, *values, difference, better, *check))
    _print_table(("figure", *names, "difference", "better", *(["check"] if checked else [])), rows, "no figure differs")


def _print_many(names: Sequence[str], values: Sequence[Mapping[str, float]], chosen: Sequence[str]) -> None:
    """Print methods by metrics; with many metrics they become the rows, for a terminal's width."""
    rows = []
    for metric in chosen:
        row = [each.get(metric) for each in values]
        best = best_of(metric, row)
        cells = ["none" if each is None else f"{each:.4g}" + ("*" if i in best else "") for i, each in enumerate(row)]
        rows.append((metric, *cells))
    _print_table(("figure (* best)", *names), rows, "the reports have no figure in common")


def _print_table(columns: tuple[str, ...], rows: Sequence[tuple[str, ...]], empty: str) -> None:
    if rows:
        print_tables(wide_console(), [Table(title="", columns=columns, rows=tuple(rows))])
    else:
        print(empty)
