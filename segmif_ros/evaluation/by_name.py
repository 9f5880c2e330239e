# SPDX-License-Identifier: Apache-2.0
"""Judging a model by truth of other classes: the classes that both have, by their names."""

from __future__ import annotations

import numpy as np

from segmif_ros.arrays import Image, Mask
from segmif_ros.evaluation.errors import EvaluationError
from segmif_ros.labels import LabelSet, common_name, counterparts, rest_of

# Where a set doesn't tell them apart, they are this: MFNet's truth calls trucks cars.
_BROADER = {"truck": "car", "bus": "car", "van": "car", "motorcycle": "bicycle", "rider": "person"}


class ByName:
    """Predictions of one label set and truth of another, both in ids of the truth's set.

    What the model calls by a name that the truth doesn't have counts as the truth's rest (unlabelled, background).

    Args:
        model: Classes of the predictions.
        truth: Classes of the truth.

    Attributes:
        judged: Ids of the truth that are in the means: the classes that the model has, too, and the rest.
        rest: Id of the truth's class for all that it doesn't name.

    Raises:
        EvaluationError: If the two have no class in common, or the truth's set has no rest.
    """

    def __init__(self, model: LabelSet, truth: LabelSet) -> None:
        self._model, self._truth = model, truth
        rest = rest_of(truth)
        if rest is None:
            raise EvaluationError(
                f"label set '{truth.name}' of the truth has no class for all that it doesn't name, so a model of "
                f"{model.name}'s classes can't be judged by it: take weights for these classes, or --fusion-only"
            )
        self.rest = rest
        self._merged: dict[str, list[str]] = {}
        self._rest: list[str] = []
        self.predictions = np.full(256, rest, np.uint8)
        hit = {rest}
        for i, j in counterparts(model, truth).items():
            wider = self._broader(model.names[i]) if j is None else None
            if j is None and wider is None:
                if i != rest_of(model):
                    self._rest.append(model.names[i])
                continue
            target = wider if j is None else j
            assert target is not None
            if wider is not None:
                self._merged.setdefault(truth.names[target], []).append(model.names[i])
            self.predictions[i] = target
            hit.add(target)
        if len(hit) < 2:
            raise EvaluationError(
                f"the truth has {truth.name}'s {len(truth)} classes and the model {model.name}'s {len(model)}, none of "
                "one name: take weights for these classes, or --fusion-only"
            )
        self.truth = np.arange(256, dtype=np.uint8)
        for i, name in enumerate(truth.names):
            wider = None if i in hit else self._broader(name)
            if wider is not None and wider in hit:
                self.truth[i] = wider
                self._merged.setdefault(truth.names[wider], []).append(f"the truth's {name}")
        self.judged = tuple(sorted(hit))

    def unjudged(self, truth: Image, labels: Image) -> Mask:
        """Return where nothing can be judged, (H, W): the model lacks the class, and names none in its place.

        Args:
            truth: (H, W) ids of the truth's set.
            labels: (H, W) predictions in ids of the truth's set.
        """
        return np.asarray(~np.isin(truth, self.judged) & (labels == self.rest))

    def _broader(self, name: str) -> int | None:
        wider = _BROADER.get(common_name(name))
        names = [common_name(each) for each in self._truth.names]
        return names.index(wider) if wider in names else None

    def notes(self) -> tuple[str, ...]:
        """Return the line that a reader of the figures needs."""
        merged = "; ".join(
            f"{' and '.join(names)} {'count' if len(names) > 1 else 'counts'} as {target}"
            for target, names in self._merged.items()
        )
        rest = self._truth.names[self.rest]
        lacking = [name for i, name in enumerate(self._truth.names) if i not in self.judged and int(self.truth[i]) == i]
        note = f"Judged by name: the model has {self._model.name}'s classes, the truth {self._truth.name}'s."
        note += f" {merged}." if merged else ""
        note += f" {', '.join(self._rest)} count as {rest}." if self._rest else ""
        note += f" The model has no class for {', '.join(lacking)}: they are in no mean." if lacking else ""
        return (note,)
