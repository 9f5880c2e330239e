# SPDX-License-Identifier: Apache-2.0
"""The memory of the ground: log odds of each class in each cell, in a square that follows the robot."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from segmif_ros.grid.config import GridConfig
from segmif_ros.grid.costs import GROUND, LETHAL, ClassTable
from segmif_ros.grid.evidence import Evidence, Square

UNKNOWN = -1
# Log odds that a class can gather: what changes is believed soon, and an obstacle at once.
_GROUND_CAP, _CAP = 3.5, 6.0
_HIDDEN_KEPT = 0.3  # of the log odds of what moves
_RECENTRE_M = 1.0  # the square moves in steps of that


@dataclass(frozen=True, kw_only=True, eq=False)
class GridMap:
    """The grid at one moment. Arrays are (N, N): row j at y, column i at x of the odometry frame.

    Attributes:
        stamp_ns: Of the frame that it includes last.
        square: Where the cells lie.
        cost: int8, 0 (free) to 100 (lethal), -1 unknown.
        classes: int8 id of the likeliest class, -1 unknown.
        confidence: int8, its probability in percent, -1 unknown.
        obstacle: float32 probability that something stands there, NaN unknown.
    """

    stamp_ns: int
    square: Square
    cost: npt.NDArray[np.int8]
    classes: npt.NDArray[np.int8]
    confidence: npt.NDArray[np.int8]
    obstacle: npt.NDArray[np.float32]


class RollingGrid:
    """Cells around the robot.

    Args:
        config: Size and memory.
        table: The classes; at most 127, as OccupancyGrid's cells are int8.
    """

    def __init__(self, config: GridConfig, table: ClassTable) -> None:
        self._config, self._table = config, table
        self._cells = config.cells
        # a cell's classes lie side by side in memory
        self._odds = np.zeros((self._cells * self._cells, len(table.names)), np.float32)
        self._corner: tuple[int, int] | None = None  # in cells
        self._stamp_ns: int | None = None
        self._weights = _weights(table)
        ground = table.kinds[: len(table.names)] == GROUND
        self._caps = np.where(ground, _GROUND_CAP, _CAP).astype(np.float32)
        # what moves and hides a cell may have come into it, or have left it
        self._if_hidden = np.where(ground, 0, np.where(table.movable, _HIDDEN_KEPT, 1)).astype(np.float32)

    @property
    def square(self) -> Square:
        """Where the cells lie now."""
        corner = self._corner or (0, 0)
        cell = self._config.cell_m
        return Square(x_m=corner[0] * cell, y_m=corner[1] * cell, cell_m=cell, cells=self._cells)

    def clear(self) -> None:
        """Forget everything: all cells are unknown."""
        self._odds[:] = 0
        self._corner = self._stamp_ns = None

    def centre_on(self, x_m: float, y_m: float) -> None:
        """Move the square so that a point is near its middle; what leaves it is forgotten, what enters is unknown.

        Args:
            x_m: In the grid's frame, metres.
            y_m: Likewise.
        """
        cell, n = self._config.cell_m, self._cells
        wanted = round(x_m / cell - n / 2), round(y_m / cell - n / 2)
        if self._corner is None:
            self._corner = wanted
            return
        move = wanted[0] - self._corner[0], wanted[1] - self._corner[1]
        slack = max(1, round(_RECENTRE_M / cell))
        if max(map(abs, move)) < slack:
            return
        self._corner = wanted
        if max(map(abs, move)) >= n:
            self._odds[:] = 0
            return
        field = self._odds.reshape(n, n, -1)
        moved = np.zeros_like(field)
        (to_i, from_i), (to_j, from_j) = (_overlap(each, n) for each in move)
        moved[to_j, to_i] = field[from_j, from_i]
        self._odds = moved.reshape(n * n, -1)

    def add(self, evidence: Evidence, stamp_ns: int) -> None:
        """Let time pass until ``stamp_ns``, then take in what was seen. A stamp before the last one passes no time.

        Args:
            evidence: Cells, their classes and how sure they are.
            stamp_ns: When it was seen.
        """
        if self._stamp_ns is not None and stamp_ns > self._stamp_ns:
            self._fade(1e-9 * (stamp_ns - self._stamp_ns))
        self._stamp_ns = stamp_ns if self._stamp_ns is None else max(stamp_ns, self._stamp_ns)
        if len(evidence.hidden):
            self._odds[evidence.hidden] *= self._if_hidden
        cells, classes = evidence.cells, evidence.classes.astype(np.intp)
        flat = self._odds.reshape(-1)
        at = cells * self._odds.shape[1] + classes
        gathered, cap = flat[at] + evidence.log_odds, self._caps[classes]
        flat[at] = np.minimum(gathered, cap)
        # beyond the cap the others go down instead: only differences mean something
        over = np.flatnonzero(gathered > cap)
        if len(over):
            rows = cells[over]
            others = self._odds[rows]
            others -= (gathered[over] - cap[over])[:, None]
            np.maximum(others, 0, out=others)
            others[np.arange(len(over)), classes[over]] = cap[over]
            self._odds[rows] = others

    def known(self) -> npt.NDArray[np.intp]:
        """Return the flat indices of the cells that enough has been seen of."""
        evidence = self._odds @ np.ones(self._odds.shape[1], np.float32)
        return np.flatnonzero(evidence >= self._config.min_evidence)

    def map(self) -> GridMap:
        """Return the grid as it is believed now.

        Cells that nothing was seen of are unknown. So are those where a never_free class is still likely although
        nothing speaks for it: too little was seen to call them free.
        """
        n, table = self._cells, self._table
        known = self.known()
        decided = self._odds[known] @ table.never_free.astype(np.float32) >= self._config.min_evidence
        odds = np.exp(self._odds[known])
        undecided = ~decided & (odds @ self._weights[:, 2] > table.likely * (odds @ self._weights[:, 0]))
        known, odds = known[~undecided], odds[~undecided]
        total, standing, risky, risk, cost = (odds @ self._weights).T
        mean = cost / total
        likely = risky > table.likely * total
        mean[likely] = np.maximum(mean[likely], (risk[likely] / risky[likely]))
        prior = self._weights[:, 0]
        weighted = odds * prior
        classes = weighted.argmax(axis=1)
        shown = weighted[np.arange(len(known)), classes] / total

        def whole(values: npt.NDArray, dtype: type, empty: float) -> npt.NDArray:
            made: npt.NDArray = np.full(n * n, empty, dtype)
            made[known] = values
            return made.reshape(n, n)

        return GridMap(
            stamp_ns=self._stamp_ns or 0,
            square=self.square,
            cost=whole(np.clip(np.rint(mean), 0, LETHAL), np.int8, UNKNOWN),
            classes=whole(classes, np.int8, UNKNOWN),
            confidence=whole(np.rint(100 * shown), np.int8, UNKNOWN),
            obstacle=whole(standing / total, np.float32, np.nan),
        )

    def _fade(self, passed_s: float) -> None:
        config, table = self._config, self._table
        memory = np.where(table.movable, config.movable_memory_s, config.memory_s)
        keep = np.exp(-passed_s / memory).astype(np.float32)
        rows = self._odds.reshape(self._cells, -1)
        rows *= np.tile(keep, self._cells)


def _weights(table: ClassTable) -> npt.NDArray[np.float32]:
    """Return (C, 5): prior of each class, and with it that it stands, is never free, and the costs of both.

    Before anything is seen a cell is as likely ground as not.
    """
    is_ground = table.kinds[: len(table.names)] == GROUND
    prior = np.ones(len(table.names))
    if is_ground.any() and not is_ground.all():
        prior = np.where(is_ground, 0.5 / is_ground.sum(), 0.5 / (~is_ground).sum())
    columns = [
        prior,
        prior * table.stands,
        prior * table.never_free,
        prior * table.never_free * table.costs,
        prior * table.costs,
    ]
    return np.stack(columns, axis=1).astype(np.float32)


def _overlap(move: int, n: int) -> tuple[slice, slice]:
    """Return where what stays goes to, and where it comes from, along one side that moves by so many cells."""
    return (slice(0, n - move), slice(move, n)) if move >= 0 else (slice(-move, n), slice(0, n + move))
