# SPDX-License-Identifier: Apache-2.0
"""How weights fuse real pairs, beside what needs no network, and how they rank."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from typing import Protocol

import numpy as np

from segmif_ros.arrays import Image
from segmif_ros.data.sampling import spread
from segmif_ros.data.transforms import Sample
from segmif_ros.evaluation.card.card_types import Means, PairFigures
from segmif_ros.evaluation.card.sheets import Gallery, SheetRow
from segmif_ros.evaluation.fusion_metrics import BASELINES, fusion_metrics, luma, structural_similarity
from segmif_ros.inference.engine import EngineProtocol

METRICS = ("EN", "SD", "SF", "AG", "MI", "SCD", "VIF", "Qabf", "SSIM")
RANKED = ("MI", "VIF", "Qabf", "SCD")
MODEL = "model"
SHOWN = 10


class Pairs(Protocol):
    """Registered pairs, as `data.mixture.PairSource` gives them."""

    @property
    def names(self) -> tuple[str, ...]:
        """Names of the pairs."""

    def __len__(self) -> int: ...

    def sample(self, index: int, rng: np.random.Generator) -> Sample:
        """Return one pair."""


class FusionMeans:
    """Means of fusion metrics over pairs, of the model and of the baselines."""

    def __init__(self) -> None:
        self._values: dict[str, dict[str, list[float]]] = {}

    def add(self, infrared: Image, rgb: Image, fused: Image) -> dict[str, float]:
        """Measure one pair: infrared (H, W), rgb and fused (H, W, 3), uint8; return the model's figures."""
        visible = luma(rgb)
        images = {MODEL: luma(fused), **{name: rule(infrared, visible) for name, rule in BASELINES.items()}}
        figures = {}
        for name, image in images.items():
            values = fusion_metrics(infrared, visible, image, METRICS)
            values["SSIM infrared"] = structural_similarity(infrared, image)
            values["SSIM RGB"] = structural_similarity(visible, image)
            row = self._values.setdefault(name, {})
            for metric, value in values.items():
                # a constant image has no correlation; it is left out of that mean
                if math.isfinite(value):
                    row.setdefault(metric, []).append(value)
            figures[name] = values
        return figures[MODEL]

    def means(self) -> Means:
        """Return metric by name, for "model" and each baseline."""
        return {name: {m: float(np.mean(v)) for m, v in row.items()} for name, row in self._values.items()}


def ranks(values: Mapping[str, float]) -> dict[str, float]:
    """Rank by value, the highest first (1); equal ones share the mean of their places; NaN comes last."""

    def key(name: str) -> float:
        return -math.inf if math.isnan(values[name]) else values[name]

    return {
        name: 1 + sum(key(other) > key(name) for other in values) + (sum(key(o) == key(name) for o in values) - 1) / 2
        for name in values
    }


def rank_table(means: Means, metrics: Sequence[str] = RANKED) -> Means:
    """Rank every row of ``means`` by each metric (the more, the better); "mean" is the mean of its ranks.

    A row that lacks a metric is last in it.
    """
    by_metric = {m: ranks({name: row.get(m, math.nan) for name, row in means.items()}) for m in metrics}
    table = {name: {m: by_metric[m][name] for m in metrics} for name in means}
    return {name: {**row, "mean": float(np.mean(list(row.values())))} for name, row in table.items()}


def report_pairs(
    engine: EngineProtocol,
    pairs: Pairs,
    most: int | None,
    sheet: str,
    gallery: Gallery,
    advance: Callable[[int], None],
) -> PairFigures:
    """Measure the fusion of real pairs.

    Args:
        engine: The weights.
        pairs: What to fuse.
        most: Pairs, spread evenly; None for all.
        sheet: Names the sheets: SHEET with examples and SHEET-worst by Qabf.
        gallery: Takes them.
        advance: Called after every pair.
    """
    indices = spread(len(pairs), len(pairs) if most is None else most)
    shown = {indices[i] for i in spread(len(indices), SHOWN)}
    fusion = FusionMeans()
    for index in indices:
        sample = pairs.sample(index, np.random.default_rng(0))
        result = engine.infer(sample.infrared, sample.rgb)
        values = fusion.add(sample.infrared, sample.rgb, result.fused)
        row = SheetRow(
            caption=f"{pairs.names[index]}, Qabf {values['Qabf']:.2f}",
            infrared=sample.infrared,
            rgb=sample.rgb,
            fused=result.fused,
            labels=result.labels,
        )
        gallery.offer(f"{sheet}-worst", values["Qabf"], row)
        if index in shown:
            gallery.show(sheet, row)
        advance(1)
    means = fusion.means()
    table = rank_table(means)
    best_baseline = min(row["mean"] for name, row in table.items() if name != MODEL)
    return {
        "pairs": len(indices),
        "fusion": means,
        "ranks": table,
        "ahead_of_every_baseline": table[MODEL]["mean"] < best_baseline,
    }
