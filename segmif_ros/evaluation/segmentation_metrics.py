# SPDX-License-Identifier: Apache-2.0
"""Segmentation metrics from a confusion matrix.

Rows are the truth, columns the prediction. Sums of integers, so the counts of parts of a data set (several processes,
several machines) add up to exactly those of the whole.

Published evaluators disagree about classes that never occur, so the mean IoU always names its convention and the
classes it was taken over.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np
import numpy.typing as npt

from segmif_ros.labels import IGNORE_ID

MeanConvention = Literal["present", "truth", "fixed"]
CONVENTIONS: tuple[MeanConvention, ...] = ("present", "truth", "fixed")


class LabelRangeError(ValueError):
    """A label map holds an id that the class list does not have."""


@dataclass(frozen=True, kw_only=True)
class ClassMean:
    """A mean over classes, of IoU or accuracy, and what it was taken over.

    value: in [0, 1]; NaN if no class was counted, or nothing of the wanted classes occurs anywhere.
    classes: the class ids in the mean, ascending.
    convention: ``present`` leaves out classes that neither truth nor prediction holds; ``truth`` those that the truth
        doesn't hold, as the SegMiF authors' evaluator does; ``fixed`` counts absent classes as 0.
    """

    value: float
    classes: tuple[int, ...]
    convention: MeanConvention


class ConfusionMatrix:
    """Counts of (truth, prediction) pairs for ``num_classes`` classes; truth ``ignore_id`` or 255 is not counted."""

    def __init__(self, num_classes: int, ignore_id: int = IGNORE_ID) -> None:
        if num_classes < 1:
            raise ValueError(f"num_classes is {num_classes}; at least one class is needed")
        self.num_classes = num_classes
        self.ignore_id = ignore_id
        self.counts: npt.NDArray[np.int64] = np.zeros((num_classes, num_classes), dtype=np.int64)

    def update(self, truth: npt.NDArray[np.integer], prediction: npt.NDArray[np.integer], source: str = "") -> None:
        """Add one label map.

        truth, prediction: integer arrays of one shape; truth in 0..num_classes-1, ignore_id or 255, prediction in
        0..num_classes-1 wherever the truth counts.
        source: a file name or frame id for the error message.
        Raises LabelRangeError for other ids, ValueError for shapes that differ.
        """
        where = f"{source}: " if source else ""
        if truth.shape != prediction.shape:
            raise ValueError(f"{where}truth is {truth.shape} but prediction is {prediction.shape}")
        counted = (truth != self.ignore_id) & (truth != IGNORE_ID)
        rows = truth[counted].astype(np.int64)
        columns = prediction[counted].astype(np.int64)
        for name, ids in (("truth", rows), ("prediction", columns)):
            if ids.size and (int(ids.min()) < 0 or int(ids.max()) >= self.num_classes):
                bad = sorted({int(i) for i in np.unique(ids) if not 0 <= i < self.num_classes})
                raise LabelRangeError(
                    f"{where}{name} holds label ids {bad}, outside 0..{self.num_classes - 1} and not {self.ignore_id}"
                )
        flat = np.bincount(rows * self.num_classes + columns, minlength=self.num_classes**2)
        self.counts += flat.reshape(self.num_classes, self.num_classes)

    def iou(self) -> npt.NDArray[np.float64]:
        """Intersection over union per class, (num_classes,), NaN where truth and prediction both lack the class."""
        hits = np.diag(self.counts)
        return _divide(hits, self.counts.sum(axis=1) + self.counts.sum(axis=0) - hits)

    def recall(self) -> npt.NDArray[np.float64]:
        """Per-class accuracy TP / truth pixels, (num_classes,), NaN where the truth lacks the class."""
        return _divide(np.diag(self.counts), self.counts.sum(axis=1))

    def pixel_accuracy(self, classes: Sequence[int] | None = None) -> float:
        """Correct pixels / counted pixels whose truth is of ``classes`` (default: all), NaN if there are none."""
        wanted = list(range(self.num_classes) if classes is None else classes)
        hits = np.diag(self.counts)[wanted].sum()
        return float(_divide(hits[None], self.counts[wanted].sum()[None])[0])

    def mean_iou(self, convention: MeanConvention = "present", classes: Sequence[int] | None = None) -> ClassMean:
        """Mean IoU over ``classes`` (default: all) under a named convention; see ClassMean."""
        return self._mean(self.iou(), convention, classes)

    def mean_accuracy(self, convention: MeanConvention = "truth", classes: Sequence[int] | None = None) -> ClassMean:
        """Mean of `recall` over ``classes`` (default: all); classes counted but not in the truth are 0."""
        return self._mean(self.recall(), convention, classes)

    def _mean(
        self, values: npt.NDArray[np.float64], convention: MeanConvention, classes: Sequence[int] | None
    ) -> ClassMean:
        wanted = tuple(range(self.num_classes)) if classes is None else tuple(sorted(set(classes)))
        outside = [c for c in wanted if not 0 <= c < self.num_classes]
        if outside:
            raise LabelRangeError(f"mean over class ids {outside}, outside 0..{self.num_classes - 1}")
        if convention not in CONVENTIONS:
            raise ValueError(f"mean convention {convention!r}; choose from {', '.join(CONVENTIONS)}")
        truth = self.counts.sum(axis=1) > 0
        occurs = truth | (self.counts.sum(axis=0) > 0)
        held = {"present": occurs, "truth": truth, "fixed": np.ones_like(truth)}[convention]
        counted = tuple(c for c in wanted if held[c])
        if not any(occurs[c] for c in wanted) or not counted:
            return ClassMean(value=float("nan"), classes=(), convention=convention)
        value = float(np.mean(np.nan_to_num(values[list(counted)], nan=0.0)))
        return ClassMean(value=value, classes=counted, convention=convention)


def _divide(numerator: npt.NDArray[np.int64], denominator: npt.NDArray[np.int64]) -> npt.NDArray[np.float64]:
    out = np.full(numerator.shape, np.nan)
    np.divide(numerator, denominator, out=out, where=denominator > 0)
    return out
