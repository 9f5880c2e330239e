# SPDX-License-Identifier: Apache-2.0
"""What weights find on real streets: persons, cars and bicycles by day and night, and when a camera fails.

Each pair is shown as it is, without either camera, and with noise on both. Figures of failing cameras follow the
robustness benchmark of Liao et al. (CVPR workshops, 2025) for two cameras, of which one always works.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, field

import numpy as np
import numpy.typing as npt

from segmif_ros.arrays import Image
from segmif_ros.data.object_truth import OBJECTS, ObjectFolder, ObjectPair, object_table
from segmif_ros.data.sampling import spread
from segmif_ros.evaluation.card.card_types import ObjectFigures, StreetFigures
from segmif_ros.evaluation.card.conditions import INPUTS, Pair, Purpose, generator, noisy
from segmif_ros.evaluation.card.scenes_part import Advance
from segmif_ros.evaluation.card.sheets import Gallery, SheetRow
from segmif_ros.inference.engine import EngineProtocol, EngineResult
from segmif_ros.labels import LabelSet

NOISY, DROPPED = "both, noisy", "a camera drops out at random"
# a person's box counts as found where this share of its pixels is called person
FOUND_SHARE = 0.25
# that a camera fails, in the expected mean IoU
FAILURE_CHANCE = 0.1
SHOWN = 6


@dataclass(kw_only=True)
class ObjectCounts:
    """Pixels and boxes counted over pairs: hits, false ones and misses of each of `OBJECTS`."""

    pixels: npt.NDArray[np.int64] = field(default_factory=lambda: np.zeros((len(OBJECTS), 3), np.int64))
    found: int = 0
    boxes: int = 0
    pairs: int = 0

    def add(self, pair: ObjectPair, predicted: Image) -> None:
        """Count a prediction, uint8 (H, W) of 0 for none and i + 1 for object i."""
        for i in range(len(OBJECTS)):
            there, predicted_one = pair.objects == i + 1, predicted == i + 1
            self.pixels[i] += (
                np.count_nonzero(there & predicted_one),
                np.count_nonzero(predicted_one & ~there & pair.counted[i]),
                np.count_nonzero(there & ~predicted_one),
            )
        self.boxes += len(pair.person_boxes)
        self.found += sum(float((predicted[box] == 1).mean()) >= FOUND_SHARE for box in pair.person_boxes)
        self.pairs += 1

    def figures(self) -> ObjectFigures:
        """Return IoU, precision and recall by object (None where there is nothing to count), their mean, and boxes."""
        hits, false, missed = self.pixels.T
        iou = dict(zip(OBJECTS, map(_share, hits, hits + false + missed), strict=True))
        known = [value for value in iou.values() if value is not None]
        return {
            "pairs": self.pairs,
            "iou": iou,
            "miou": float(np.mean(known)) if known else None,
            "precision": dict(zip(OBJECTS, map(_share, hits, hits + false), strict=True)),
            "recall": dict(zip(OBJECTS, map(_share, hits, hits + missed), strict=True)),
            "persons_found": self.found,
            "person_boxes": self.boxes,
        }


def report_street(
    engine: EngineProtocol, data: ObjectFolder, most: int | None, sheet: str, gallery: Gallery, advance: Advance
) -> StreetFigures:
    """Measure the pairs of a folder.

    Args:
        engine: The weights; of any label set that has one of the classes.
        data: What to look at.
        most: Pairs, spread evenly; None for all.
        sheet: Names the sheets: SHEET-day and SHEET-night with examples, SHEET-worst by the pair's mean IoU.
        gallery: Takes them.
        advance: Called after every pair.

    Returns:
        By light ("day", "night", "all", as far as there are pairs) and input the figures of `ObjectCounts`, and by
        light those of failing cameras.
    """
    table = object_table(engine.label_set)
    counts: dict[str, dict[str, ObjectCounts]] = {}
    shown: dict[str, int] = {}
    for index in spread(len(data), len(data) if most is None else most):
        pair = data.pair(index)
        results = {name: engine.infer(*each) for name, each in _inputs(pair, index).items()}
        predicted = {name: table[result.labels] for name, result in results.items()}
        dropped = generator(Purpose.DROPPED_CAMERA, index).choice(list(INPUTS))
        predicted[DROPPED] = predicted[str(dropped)]
        for name, each in predicted.items():
            for light in (pair.light, "all"):
                counts.setdefault(light, {}).setdefault(name, ObjectCounts()).add(pair, each)
        _show(pair, results["fused"], predicted["fused"], engine.label_set, sheet, gallery, shown)
        advance(1)
    figures: dict[str, dict[str, ObjectFigures]] = {
        light: {name: each.figures() for name, each in counts[light].items()}
        for light in ("day", "night", "all") if light in counts
    }  # fmt: skip
    return {
        "pairs": counts["all"]["fused"].pairs,
        "found_share": FOUND_SHARE,
        "objects": figures,
        "failing_cameras": {light: failing_cameras(each) for light, each in figures.items()},
    }


def failing_cameras(figures: dict[str, ObjectFigures]) -> dict[str, float | None]:
    """Return mean IoU over the states of the cameras, from the figures by input.

    "EMM": a camera is missing throughout, mean over both, RGB alone and infrared alone; "EMM expected": the same,
    weighted by their chances where each camera fails with a chance of 0.1 and not both; "RMM": for each pair, none,
    RGB or infrared is missing; "NM": noise on both images.
    """
    both, rgb, infrared = (figures[name]["miou"] for name in INPUTS)
    values: dict[str, float | None] = {"RMM": figures[DROPPED]["miou"], "NM": figures[NOISY]["miou"]}
    if both is None or rgb is None or infrared is None:
        return {"EMM": None, "EMM expected": None, **values}
    works, fails = 1 - FAILURE_CHANCE, FAILURE_CHANCE
    expected = (works * both + fails * rgb + fails * infrared) / (works + 2 * fails)
    return {"EMM": (both + rgb + infrared) / 3, "EMM expected": expected, **values}


def _inputs(pair: ObjectPair, index: int) -> dict[str, Pair]:
    inputs = {name: choose(pair.infrared, pair.rgb) for name, choose in INPUTS.items()}
    return {**inputs, NOISY: noisy(pair.infrared, pair.rgb, index)}


def _show(
    pair: ObjectPair,
    result: EngineResult,
    predicted: Image,
    labels: LabelSet,
    sheet: str,
    gallery: Gallery,
    shown: dict[str, int],
) -> None:
    one = ObjectCounts()
    one.add(pair, predicted)
    figures = one.figures()
    score = math.nan if figures["miou"] is None else figures["miou"]
    found = f", {one.found} of {one.boxes} persons" if one.boxes else ""
    row = SheetRow(
        caption=f"{pair.name}, mIoU {'-' if math.isnan(score) else round(100 * score)}{found}",
        infrared=pair.infrared,
        rgb=pair.rgb,
        fused=result.fused,
        labels=result.labels,
        truth=_drawn_truth(pair, labels),
    )
    gallery.offer(f"{sheet}-worst", score, row)
    if shown.get(pair.light, 0) < SHOWN:
        shown[pair.light] = shown.get(pair.light, 0) + 1
        gallery.show(f"{sheet}-{pair.light}", row)


def _drawn_truth(pair: ObjectPair, labels: LabelSet) -> Image:
    """Return the truth in the classes of the weights: the first of each object, an id outside the set elsewhere."""
    table = object_table(labels)
    drawn = np.full(pair.objects.shape, 255, np.uint8)
    for i in range(len(OBJECTS)):
        ids = np.flatnonzero(table == i + 1)
        if ids.size:
            drawn[pair.objects == i + 1] = ids[0]
    return drawn


def _share(part: np.int64, whole: np.int64) -> float | None:
    return float(part / whole) if whole else None
