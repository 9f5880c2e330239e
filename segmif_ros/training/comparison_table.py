# SPDX-License-Identifier: Apache-2.0
"""The figures of compared trainings: means and spreads over seeds, how far the task weights moved, costs of a frame."""

from __future__ import annotations

import json
import statistics
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, TypedDict, cast

from segmif_ros.inference.operations import count_work
from segmif_ros.model.designs import build
from segmif_ros.reporting import tables
from segmif_ros.training.config import RecipeError, TrainingConfig
from segmif_ros.training.frame_times import FrameTime


class Spread(TypedDict):
    """A figure over seeds."""

    mean: float
    low: float
    high: float
    each: list[float]


class Score(Spread, total=False):
    """A metric; of mean IoU also its difference to the first variant, over the seeds that both have."""

    difference: Spread


class Timed(TypedDict, total=False):
    """What a frame takes, where it was timed."""

    frame: FrameTime


class VariantFigures(Timed):
    """One variant: seeds that are finished, mean seconds, `gmac` of a 640x480 frame, and scores by source and metric.

    Attributes:
        weights: See `weights_moved`.
    """

    seeds: int
    steps: int
    seconds: float
    gmac: float
    weights: dict[str, float]
    validation: dict[str, dict[str, Score]]


HEIGHT, WIDTH = 480, 640
_MEASURE = "miou"  # what the differences to the first variant are taken of


def compared(recipes: Mapping[str, TrainingConfig], runs: Mapping[str, Sequence[Path]]) -> dict[str, VariantFigures]:
    """Collect the last validations of finished runs.

    Args:
        recipes: By variant; the first is what the others are compared with.
        runs: Their folders, seed by seed in one order.

    Returns:
        By variant.

    Raises:
        RecipeError: No run is finished.
    """
    finished = {
        name: {i: record for i, run in enumerate(runs[name]) if (record := _final(run, recipe.steps))}
        for name, recipe in recipes.items()
    }
    if not any(finished.values()):
        raise RecipeError(f"{next(iter(runs.values()))[0].parent}: no run here is finished")
    reference = finished[next(iter(recipes))]
    return {
        name: {
            "seeds": len(records),
            "steps": recipes[name].steps,
            "seconds": statistics.fmean(record["seconds"] for record in records.values()),
            "gmac": gmac(recipes[name]),
            "weights": weights_moved(recipes[name], [runs[name][i] for i in records]),
            "validation": _scores(records, reference if records is not reference else {}),
        }
        for name, records in finished.items()
        if records
    }


def weights_moved(recipe: TrainingConfig, runs: Sequence[Path]) -> dict[str, float]:
    """Say how far the task weights went from their base, of all logged steps with both losses.

    Returns:
        ``fusion``, ``segmentation``: largest change of each, as a share of its base weight. A phase that moves one
        network on one loss doesn't count.
    """
    bases = {"fusion": recipe.fusion_weight, "segmentation": recipe.segmentation_weight}
    moved = dict.fromkeys(bases, 0.0)
    for run in runs:
        for record in _records(run):
            if "loss" in record and record["fusion"] and record["segmentation"] and recipe.method == "joint":
                for name, base in bases.items():
                    moved[name] = max(moved[name], abs(record[f"{name}_weight"] / base - 1))
    return moved


def markdown(figures: Mapping[str, VariantFigures]) -> str:
    """Return a table: one row for each variant and validation source; spreads are the lowest and highest seed's.

    Args:
        figures: By variant; where each was timed, there are columns for that.
    """
    rows = [(name, source, run) for name, run in figures.items() for source in run["validation"]]
    metrics = list(dict.fromkeys(metric for _, source, run in rows for metric in run["validation"][source]))
    first = next(iter(figures))
    titles = ["variant", "validation", "seeds", *metrics, f"mIoU - {first}'s", "weights moved", "GMAC"]
    timed = any("frame" in run for run in figures.values())
    titles += [*(["ms a frame", "CPU ms", f"x {first}'s"] if timed else []), "training, s"]
    lines = []
    for name, source, run in rows:
        scores = run["validation"][source]
        values = [_spread(scores[metric]) if metric in scores else "" for metric in metrics]
        difference = scores[_MEASURE].get("difference") if _MEASURE in scores else None
        cells = (
            *(name, source, str(run["seeds"]), *values),
            "" if difference is None else _spread(difference, "+.3f"),
            " / ".join(f"{100 * share:.3g} %" for share in run["weights"].values()),
            f"{run['gmac']:.2f}",
            *(_frame(run["frame"]) if timed else []),
            f"{run['seconds']:.0f}",
        )
        lines.append(cells)
    return tables.markdown(tables.Table(title="", columns=tuple(titles), rows=tuple(lines)), words=2)


def _spread(value: Spread, form: str = ".3f") -> str:
    mean, low, high = (format(each, form) for each in (value["mean"], value["low"], value["high"]))
    return mean if low == high else f"{mean} ({low} to {high})"


def _frame(times: FrameTime) -> list[str]:
    return [f"{times['p50']:.1f}", f"{times['cpu_p50']:.1f}", f"{times['share']:.2f}"]


def _scores(records: Mapping[int, Any], reference: Mapping[int, Any]) -> dict[str, dict[str, Score]]:
    """Figures by source and metric over the seeds."""
    scores: dict[str, dict[str, Score]] = {}
    for source in dict.fromkeys(source for record in records.values() for source in record["validation"]):
        by_seed = {i: record["validation"].get(source, {}) for i, record in records.items()}
        scores[source] = {}
        for metric in dict.fromkeys(metric for values in by_seed.values() for metric in values):
            spread = _summary([values[metric] for values in by_seed.values() if metric in values])
            theirs = {i: record["validation"].get(source, {}).get(metric) for i, record in reference.items()}
            differences = [
                values[metric] - theirs[i]
                for i, values in by_seed.items()
                if metric in values and theirs.get(i) is not None
            ]
            if metric == _MEASURE and differences:
                scores[source][metric] = {**spread, "difference": _summary(differences)}
            else:
                scores[source][metric] = cast("Score", spread)
    return scores


def _summary(values: Sequence[float]) -> Spread:
    return {"mean": statistics.fmean(values), "low": min(values), "high": max(values), "each": list(values)}


def gmac(recipe: TrainingConfig) -> float:
    """Return the multiply-adds of a 640x480 frame in 1e9."""
    model = build(recipe.model).eval().requires_grad_(False)
    return count_work(model, HEIGHT, WIDTH).operations / 2e9


def _final(run: Path, steps: int) -> dict[str, Any] | None:
    """The validation of the last step; None where the run hasn't come to it."""
    records = [record for record in _records(run) if "validation" in record and record["step"] == steps]
    return records[-1] if records else None


def _records(run: Path) -> list[dict[str, Any]]:
    try:
        lines = (run / "log.jsonl").read_text(encoding="utf-8").splitlines()
    except FileNotFoundError:
        return []
    except OSError as error:
        raise RecipeError(f"{run}: can't be read ({error.strerror})") from error
    return [json.loads(line) for line in lines]
