# SPDX-License-Identifier: Apache-2.0
"""Figures of a grid against the true ground, cell by cell.

A cell is truly *free* if its ground is road or sidewalk and nothing stands on it, *occupied* if something stands on it
between 0.15 and 2 m, and *not free* if it is occupied or its ground is anything else. A grid calls a cell free below
cost 50, and blocked from 50 on.
"""

from __future__ import annotations

from dataclasses import dataclass, field

import cv2
import numpy as np
import numpy.typing as npt

from segmif_ros.arrays import Float32Array, Float64Array, Mask
from segmif_ros.evaluation.report_types import GroundFigures

BANDS_M = ((0.0, 5.0), (5.0, 10.0), (10.0, 20.0))
BLOCKED_FROM = 50
LETHAL_FROM = 95
NEAR_M = 0.25  # blocked cells so near to what is truly not free count as right: two cells and a half
MATCH_M = 2.0  # obstacles farther apart along a bearing are not the same
BEARING_DEG = 0.5
BINS = 10


@dataclass(frozen=True, kw_only=True, eq=False)
class Cells:
    """One moment, all arrays of one shape.

    Attributes:
        cost: int8 of the grid, -1 unknown.
        obstacle: float32 probability of the grid, NaN unknown.
        free: Truly free.
        occupied: Truly occupied.
        seen: Whether the ground of the cell was in view in this frame or one before.
        range_m: Distance from the camera.
        bearing_rad: From the camera's axis.
        in_view: Within the camera's field of view.
        cell_m: Length of a cell's sides.
    """

    cost: npt.NDArray[np.int8]
    obstacle: Float32Array
    free: Mask
    occupied: Mask
    seen: Mask
    range_m: Float32Array
    bearing_rad: Float32Array
    in_view: Mask
    cell_m: float


@dataclass
class BandCounts:
    """Counts of one band of range over all moments."""

    free_both: int = 0
    free_called: int = 0
    free_missed: int = 0
    blocked_right: int = 0
    blocked_wrong: int = 0
    blocked_missed: int = 0
    occupied: int = 0
    occupied_called_free: int = 0
    called_free: int = 0
    called_free_occupied: int = 0
    known: int = 0
    cells: int = 0
    obstacles: int = 0
    obstacles_missed: int = 0
    errors_m: list[float] = field(default_factory=list)

    def figures(self) -> dict[str, float | None]:
        """Return the band's figures; None where there was nothing to judge."""
        errors = np.array(self.errors_m)
        found = bool(len(errors))
        return {
            "iou_free": _share(self.free_both, self.free_called + self.free_missed),
            "iou_occupied": _share(self.blocked_right, self.blocked_right + self.blocked_wrong + self.blocked_missed),
            "false_free": _share(self.occupied_called_free, self.occupied),
            "wrong_of_free": _share(self.called_free_occupied, self.called_free),
            "known": _share(self.known, self.cells),
            "obstacles_missed": _share(self.obstacles_missed, self.obstacles),
            "distance_error_median_m": float(np.median(np.abs(errors))) if found else None,
            "distance_error_p95_m": float(np.percentile(np.abs(errors), 95)) if found else None,
            "distance_bias_m": float(np.median(errors)) if found else None,
        }


class GroundScores:
    """Gathers `Cells` of many moments; `figures` tells what came of them."""

    def __init__(self) -> None:
        self._bands = {band: BandCounts() for band in BANDS_M}
        self._reliability = np.zeros((BINS, 3))  # cells, sum of probability, truly not free

    def add(self, cells: Cells) -> None:
        """Take in one moment."""
        known = cells.cost >= 0
        called_free, called_blocked = known & (cells.cost < BLOCKED_FROM), cells.cost >= BLOCKED_FROM
        not_free = ~cells.free
        nearest_true, nearest_called = _fronts(cells)
        front = _front_cells(cells, nearest_true)
        to_see = front | (cells.seen & not_free & ~cells.occupied)
        near_truth, near_called = _grown(not_free, cells.cell_m), _grown(called_blocked, cells.cell_m)
        for (low, high), counts in self._bands.items():
            here = cells.in_view & (cells.range_m >= low) & (cells.range_m < high)
            counts.free_both += _count(here & called_free & cells.free)
            counts.free_called += _count(here & called_free)
            counts.free_missed += _count(here & ~called_free & cells.free & cells.seen)
            counts.blocked_right += _count(here & called_blocked & near_truth)
            counts.blocked_wrong += _count(here & called_blocked & ~near_truth)
            counts.blocked_missed += _count(here & to_see & ~near_called)
            counts.occupied += _count(here & cells.occupied)
            counts.occupied_called_free += _count(here & cells.occupied & called_free)
            counts.called_free += _count(here & called_free)
            counts.called_free_occupied += _count(here & called_free & cells.occupied)
            counts.known += _count(here & known)
            counts.cells += _count(here)
            there = np.flatnonzero((nearest_true >= low) & (nearest_true < high))
            error = nearest_called[there] - nearest_true[there]
            matched = np.abs(error) <= MATCH_M
            counts.obstacles += len(there)
            counts.obstacles_missed += int(np.count_nonzero(~matched & (nearest_called[there] > nearest_true[there])))
            counts.errors_m += error[matched].tolist()
        judged = known & cells.in_view & (cells.range_m < BANDS_M[-1][1])
        probability = cells.obstacle[judged]
        bins = np.minimum((probability * BINS).astype(int), BINS - 1)
        for column, weights in enumerate((None, probability, not_free[judged])):
            self._reliability[:, column] += np.bincount(bins, weights=weights, minlength=BINS)

    def figures(self) -> GroundFigures:
        """Return all figures as JSON values, shares from 0 to 1, distances in metres."""
        counted = self._reliability[:, 0]
        with np.errstate(invalid="ignore", divide="ignore"):
            stated, true = self._reliability[:, 1] / counted, self._reliability[:, 2] / counted
        filled = counted > 0
        total = counted.sum()
        error = float((counted[filled] * np.abs(stated - true)[filled]).sum() / total) if total else None
        return {
            "bands": {f"{low:g}-{high:g} m": counts.figures() for (low, high), counts in self._bands.items()},
            "reliability": {
                "cells": [int(each) for each in counted],
                "said": [float(each) if there else None for each, there in zip(stated, filled, strict=True)],
                "true": [float(each) if there else None for each, there in zip(true, filled, strict=True)],
                "expected_error": error,
            },
        }


def visible(occupied: Mask, range_m: Float32Array, bearing_rad: npt.NDArray[np.floating]) -> Mask:
    """Return which cells nothing stands before, seen from range 0."""
    index = np.rint((np.degrees(bearing_rad) + 180) / BEARING_DEG).astype(np.intp)
    nearest = np.full(round(360 / BEARING_DEG) + 1, np.inf)
    np.minimum.at(nearest, index[occupied], range_m[occupied])
    return np.asarray(range_m < nearest[index])


def _fronts(cells: Cells) -> tuple[Float64Array, Float64Array]:
    """Return the range of the nearest true and called obstacle of each bearing, infinite where there is none."""
    inside = cells.in_view & (cells.range_m < BANDS_M[-1][1])
    return _nearest(cells, inside & cells.occupied), _nearest(cells, inside & (cells.cost >= LETHAL_FROM))


def _bearing_index(cells: Cells, mask: Mask) -> npt.NDArray[np.intp]:
    return np.rint((np.degrees(cells.bearing_rad[mask]) + 180) / BEARING_DEG).astype(np.intp)


def _nearest(cells: Cells, mask: Mask) -> Float64Array:
    nearest = np.full(round(360 / BEARING_DEG) + 1, np.inf)
    np.minimum.at(nearest, _bearing_index(cells, mask), cells.range_m[mask])
    return nearest


def _front_cells(cells: Cells, nearest: Float64Array) -> Mask:
    """Return which occupied cells are the first on their bearing: the side that shows."""
    front = np.zeros(cells.occupied.shape, bool)
    front[cells.occupied] = cells.range_m[cells.occupied] <= nearest[_bearing_index(cells, cells.occupied)] + NEAR_M
    return front


def _grown(mask: Mask, cell_m: float) -> Mask:
    """Return the mask with all cells nearer than NEAR_M to it."""
    apart = cv2.distanceTransform((~mask).astype(np.uint8), cv2.DIST_L2, 3)
    return np.asarray(apart * cell_m <= NEAR_M)


def _count(mask: Mask) -> int:
    return int(np.count_nonzero(mask))


def _share(part: int, whole: int) -> float | None:
    return part / whole if whole else None
