# SPDX-License-Identifier: Apache-2.0
"""The evidence of one label map about cells of the ground: where ground was seen, and where something stands.

Shapes: H, W label map; N cells along a side of the grid; C classes; M observations.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from functools import lru_cache

import cv2
import numpy as np
import numpy.typing as npt

from segmif_ros.arrays import Float32Array, Float64Array, Image, Mask
from segmif_ros.grid.config import GridConfig
from segmif_ros.grid.costs import EITHER, GROUND, OBJECT, ClassTable
from segmif_ros.grid.ground_view import OUTSIDE, GroundView
from segmif_ros.grid.masks import GroundMasks, feet, look_up, split_ground

_MAX_MARGIN_PX = 15
_FOOT_ROWS = 5  # the confidence of an object is looked up over so many rows: it drops at edges
_NEAR_M = 0.05
_MAX_SAMPLES = 41
_STEPS = 1 << 12  # of log odds, where the larger of two is kept as a whole number
_SURE = 0.98  # no confidence counts for more
_HIDDEN = 254  # in place of a label: what moves is before it
_MARGIN = 2.0  # standard deviations of the pitch within which all pixels must be ground
_TAIL = 2.0  # how fast what stands gets less likely along its ray, up to one standard deviation away


@dataclass(frozen=True, kw_only=True)
class Square:
    """Which part of the odometry plane the cells cover.

    Attributes:
        x_m: Of the corner of cell (0, 0), metres.
        y_m: Of the same.
        cell_m: Length of a cell's sides.
        cells: N; row j of a grid lies at y, column i at x, as in nav_msgs/OccupancyGrid.
    """

    x_m: float
    y_m: float
    cell_m: float
    cells: int

    def centres(self) -> tuple[Float32Array, Float32Array]:
        """Return (N,) x and (N,) y of the cells' centres."""
        steps = (np.arange(self.cells, dtype=np.float32) + np.float32(0.5)) * np.float32(self.cell_m)
        return steps + np.float32(self.x_m), steps + np.float32(self.y_m)

    def matrix(self) -> Float64Array:
        """Return (3, 3) that takes cell indices (i, j, 1) to their centres (x, y, 1)."""
        half = 0.5 * self.cell_m
        return np.array([[self.cell_m, 0, self.x_m + half], [0, self.cell_m, self.y_m + half], [0, 0, 1]])

    def flat_index(self, x: npt.NDArray, y: npt.NDArray) -> npt.NDArray[np.int64]:
        """Return index j * N + i of the cells that points lie in, -1 outside (and for NaN).

        Args:
            x: Metres in the grid's frame, of any shape.
            y: Likewise.
        """
        with np.errstate(invalid="ignore"):
            i, j = np.floor((x - self.x_m) / self.cell_m), np.floor((y - self.y_m) / self.cell_m)
            inside = (i >= 0) & (i < self.cells) & (j >= 0) & (j < self.cells)
        return np.where(inside, np.where(inside, j, 0) * self.cells + np.where(inside, i, 0), -1).astype(np.int64)


@dataclass(frozen=True, kw_only=True, eq=False)
class Evidence:
    """Observations of one frame; each cell has one at most.

    Attributes:
        cells: (M,) flat index.
        classes: (M,) class ids.
        log_odds: (M,) float32, over 0.
        hidden: (K,) flat index of cells that something movable hides: it may have moved there, so what was seen free
            before isn't free any more.
    """

    cells: npt.NDArray[np.int64]
    classes: Image
    log_odds: Float32Array
    hidden: npt.NDArray[np.int64] = field(default_factory=lambda: np.zeros(0, np.int64))


@lru_cache(maxsize=8)
def log_odds_table(classes: int, gain: float) -> Float32Array:
    """Return (256,) by how much a confidence of 0..255 makes its class likelier than another one, times ``gain``.

    A classifier that is right with probability p errs to each of the other C - 1 classes with (1 - p) / (C - 1).

    Args:
        classes: C, how many classes the network has.
        gain: Factor on all of them.
    """
    p = np.clip(np.arange(256) / 255, 1 / max(classes, 2), _SURE)
    return (gain * np.log(p * max(classes - 1, 1) / (1 - p))).astype(np.float32)


def evidence_of_labels(
    labels: Image, confidence: Image, view: GroundView, square: Square, table: ClassTable, config: GridConfig
) -> Evidence:
    """Return the evidence of a label map about the cells, by the ground plane.

    A cell is seen as ground if the pixel that its centre falls on, and all pixels within the error of the pitch, are
    ground. Something stands where the foot of an object meets the ground, within the error along the ray; what it
    hides gets no observation.

    Args:
        labels: (H, W) uint8 without distortion; `OUTSIDE` where the camera doesn't look.
        confidence: (H, W) uint8.
        view: The camera over the plane.
        square: The cells.
        table: Of the labels' classes.
        config: The grid's.
    """
    masks = split_ground(labels, view, table)
    first = masks.first_row
    labels, confidence = masks.labels, confidence[first:]
    if labels.shape[0] < 2:
        return nothing_seen()
    best = _standing(labels, confidence, masks, view, square, table, config)
    seen = _sure_ground(labels, confidence, masks.ground, view, config)
    moves = look_up(np.where(table.hides, 255, 0).astype(np.uint8), labels)
    seen[(moves | masks.doubt) > 0] = _HIDDEN

    # cell (i, j) -> pixel, all cells by one homography
    matrix = np.array([[1, 0, 0], [0, 1, -first], [0, 0, 1]]) @ view.image_from_ground @ square.matrix()
    size = (square.cells, square.cells)
    flags = cv2.INTER_NEAREST | cv2.WARP_INVERSE_MAP
    there = cv2.warpPerspective(seen, matrix, size, flags=flags, borderValue=OUTSIDE)
    x, y = square.centres()
    range2 = np.square(x - np.float32(view.at[0]))[None, :] + np.square(y - np.float32(view.at[1]))[:, None]
    steps = np.arange(square.cells)
    depth = (matrix[2, 0] * steps)[None, :] + (matrix[2, 1] * steps + matrix[2, 2])[:, None]
    before = (depth > _NEAR_M) & (range2 < config.max_range_m**2)
    usable = (there < _HIDDEN) & before & (best.reshape(before.shape) == 0)
    cells = np.flatnonzero(usable)
    classes = there.reshape(-1)[cells]
    sure = np.asarray(cv2.warpPerspective(confidence, matrix, size, flags=flags), np.uint8).reshape(-1)[cells]
    error = view.radial_error_m(range2.reshape(-1)[cells], np.radians(config.pitch_error_deg)).astype(np.float32)
    log_odds = np.take(log_odds_table(len(table.names), config.gain), sure) / (1 + np.square(error))

    hidden = (there == _HIDDEN) & before
    if moves[-1].any():
        hidden |= before & _below_image(matrix, depth, moves)
    standing = np.flatnonzero(best)
    found = best[standing]
    return Evidence(
        cells=np.concatenate([cells, standing]),
        classes=np.concatenate([classes, (found & 0xFF).astype(np.uint8)]),
        log_odds=np.concatenate([log_odds, (found >> 8).astype(np.float32) / np.float32(_STEPS)]),
        hidden=np.flatnonzero(hidden),
    )


def evidence_of_points(
    points: npt.NDArray,
    classes: Image,
    confidence: Image,
    *,
    square: Square,
    table: ClassTable,
    config: GridConfig,
    at: npt.ArrayLike,
    depth_error: float = 0.005,
) -> Evidence:
    """Return what points with classes say about the cells, as a depth camera or a lidar gives them.

    Ground is what is of a ground class and lies on the ground; an obstacle is what is of another class, or stands
    higher, up to the clearance. A ground class in the air is no evidence.

    Args:
        points: (M, 3) in the odometry frame but with z over the ground, metres; NaN where nothing is known.
        classes: (M,) ids.
        confidence: (M,) 0..255.
        square: The cells.
        table: Of the classes.
        config: The grid's.
        at: (2,) where the sensor is.
        depth_error: Standard deviation of a point at one metre; it grows with the square of the distance.
    """
    points = np.asarray(points, np.float32).reshape(-1, 3)
    cells = square.flat_index(points[:, 0], points[:, 1])
    range2 = np.square(points[:, :2] - np.asarray(at, np.float32)).sum(axis=1)
    z = points[:, 2]
    kind = table.kinds[classes]
    inside = (cells >= 0) & (range2 < config.max_range_m**2)
    on_ground = np.abs(z) < config.step_m
    standing = (
        inside
        & (z > -config.step_m)
        & (z < config.clearance_m)
        & ((kind == OBJECT) | (((kind != GROUND) & (kind != 0)) & ~on_ground))
    )
    is_ground = inside & on_ground & ((kind == GROUND) | (kind == EITHER))
    is_ground &= confidence >= config.min_confidence * 255
    error2 = np.square(depth_error * range2)
    blocked, ground = (
        _largest(
            square,
            cells[which],
            classes[which],
            np.take(log_odds_table(len(table.names), gain), confidence[which]) / (1 + error2[which] / config.cell_m),
        )
        for which, gain in ((standing, config.object_gain), (is_ground, config.gain))
    )
    best = np.where(blocked > 0, blocked, ground)
    found = np.flatnonzero(best)
    return Evidence(
        cells=found,
        classes=(best[found] & 0xFF).astype(np.uint8),
        log_odds=(best[found] >> 8).astype(np.float32) / np.float32(_STEPS),
    )


def nothing_seen() -> Evidence:
    """Return the evidence of a frame that shows no ground."""
    return Evidence(cells=np.zeros(0, np.int64), classes=np.zeros(0, np.uint8), log_odds=np.zeros(0, np.float32))


def _sure_ground(labels: Image, confidence: Image, ground: Image, view: GroundView, config: GridConfig) -> Image:
    """Return the class of pixels that are ground even if the pitch errs a little, `OUTSIDE` elsewhere."""
    margin = int(np.ceil(_MARGIN * np.radians(config.pitch_error_deg) * view.focal_px))
    rows = 1 + 2 * min(margin, _MAX_MARGIN_PX)
    sure = cv2.erode(ground, np.ones((rows, 3), np.uint8))
    enough = look_up(np.where(np.arange(256) >= 255 * config.min_confidence, 255, 0).astype(np.uint8), confidence)
    # other pixels become OUTSIDE: label | ~mask
    return np.asarray(cv2.bitwise_or(labels, cv2.bitwise_not(cv2.bitwise_and(sure, enough))), np.uint8)


def _below_image(matrix: Float64Array, depth: Float64Array, moves: Image) -> Mask:
    """Return (N, N) which cells lie below what moves and leaves the image below: nearer, in the same columns.

    Args:
        matrix: (3, 3) cell (i, j, 1) to pixel, times depth.
        depth: (N, N) of the cells.
        moves: (H, W) 255 where something movable is.
    """
    height, width = moves.shape
    steps = np.arange(len(depth))
    with np.errstate(divide="ignore", invalid="ignore"):
        v = ((matrix[1, 0] * steps)[None, :] + (matrix[1, 1] * steps + matrix[1, 2])[:, None]) / depth
        j, i = np.nonzero((depth > _NEAR_M) & (v > height - 0.5))
    u = np.rint((matrix[0, 0] * i + matrix[0, 1] * j + matrix[0, 2]) / depth[j, i]).astype(np.intp)
    inside = (u >= 0) & (u < width)
    found = np.zeros(depth.shape, bool)
    found[j[inside], i[inside]] = moves[-1, u[inside]] > 0
    return found


def _standing(
    labels: Image,
    confidence: Image,
    masks: GroundMasks,
    view: GroundView,
    square: Square,
    table: ClassTable,
    config: GridConfig,
) -> npt.NDArray[np.int32]:
    """Return (N * N,) log odds and class of what stands in each cell, packed; 0 where nothing does."""
    found = feet(masks, config.min_object_px)
    u, v = found[:, 0], found[:, 1]
    # between the object's last row and the ground's first
    ground, meets = view.on_ground(np.column_stack([u, v + (masks.first_row + 0.5)]))
    from_camera = ground - view.at
    distance = np.hypot(from_camera[:, 0], from_camera[:, 1])
    near = meets & (distance < config.max_range_m)
    u, v, ground, from_camera, distance = u[near], v[near], ground[near], from_camera[near], distance[near]
    if not len(u):
        return np.zeros(square.cells**2, np.int32)
    column = np.ones((_FOOT_ROWS, 1), np.uint8)
    sure = np.asarray(cv2.dilate(confidence, column, anchor=(0, _FOOT_ROWS - 1)), np.uint8)[v, u]
    classes = labels[v, u]
    error = np.maximum(view.radial_error_m(distance**2, float(np.radians(config.pitch_error_deg))), 1e-3)
    # along the ray: from one standard deviation before what hangs over to one behind the foot
    over = table.overhang_m[classes]
    samples = min(_MAX_SAMPLES, 1 + 2 * int(np.ceil(error.max() / square.cell_m)))
    between = int(np.ceil(over.max() / square.cell_m))
    share = np.linspace(-1, 1, samples)
    hangs = -np.linspace(0, 1, between + 1)[1:]
    along = np.concatenate(
        [share * error[:, None] - np.where(share < 0, over[:, None], 0), hangs * over[:, None]], axis=1
    )
    unit = from_camera / np.maximum(distance, 1e-6)[:, None]
    places = ground[:, None, :] + np.maximum(along, -distance[:, None])[..., None] * unit[:, None, :]
    odds = np.take(log_odds_table(len(table.names), config.object_gain), sure) / (1 + np.square(error) / 4)
    trust = odds[:, None] * np.concatenate([np.exp(-_TAIL * share**2), np.ones(between)])[None, :]
    cells = square.flat_index(places[..., 0].ravel(), places[..., 1].ravel())
    return _largest(square, cells, np.repeat(classes, samples + between), trust.astype(np.float32).ravel())


def _largest(
    square: Square, cells: npt.NDArray[np.int64], classes: Image, log_odds: Float32Array
) -> npt.NDArray[np.int32]:
    """Return (N * N,) the largest log odds in each cell with its class: odds * _STEPS * 256 + id, 0 where none."""
    best = np.zeros(square.cells**2 + 1, np.int32)  # index -1, outside, falls on the last
    packed = (np.maximum(log_odds, 1 / _STEPS) * _STEPS).astype(np.int32) << 8 | classes.astype(np.int32)
    np.maximum.at(best, cells, packed)
    return best[:-1]
