# SPDX-License-Identifier: Apache-2.0
"""Nearness from the two cameras alone: where along its epipolar line each part of the view agrees best.

A plane sweep across modalities. The infrared image is warped for some distances; at each, the orientation of edges is
compared (`segmif_ros.rig.agreement`) and summed over a window. Semi-global matching (Hirschmueller, 2008) on small
tiles keeps neighbours together, and the frames before weigh in.

Most of a street tells nothing: bare road, sky, walls. So a coarse shape is fitted to all frames first: a ground that
comes nearer towards the bottom of the view, and one distance for what lies beyond. It has three numbers and the whole
view speaks for it. Single tiles leave it only where their own agreement is clear.
"""

from __future__ import annotations

from dataclasses import dataclass

import cv2
import numpy as np

from segmif_ros.arrays import Float32Array, Image
from segmif_ros.rig.agreement import edge_orientations
from segmif_ros.rig.nearness import NearnessMaps

WIDTH_PX = 192  # that images are compared at, at most
TILE_PX = 4  # of that image
_LONG = 200  # frames that the coarse shape is fitted to
_RELEARN = 50  # frames between two fits, once there are many


@dataclass(frozen=True, kw_only=True)
class AdaptiveConfig:
    """How distances are chosen.

    Attributes:
        nearest_m: Nearest distance that is tried.
        levels: How many are, from infinity on in even steps of nearness.
        window_px: Over which agreement is summed, pixels of the compared image.
        near_step, far_step: What it costs two neighbouring tiles to differ by one level, and by more.
        plane_gain: Agreement that a tile gains by staying with the coarse shape.
        memory: Weight of the frames before, 0 to 1.
    """

    nearest_m: float = 2.0
    levels: int = 20
    window_px: int = 31
    near_step: float = 0.015
    far_step: float = 0.06
    plane_gain: float = 0.03
    memory: float = 0.6


class AdaptiveNearness:
    """Estimates nearness frame by frame; not thread-safe.

    Args:
        maps: From the view to the other image, both at the size that is compared; `compared_size`.
        plane: (H, W) nearness of the reference plane at that size, or one for all.
        config: How.
    """

    def __init__(self, maps: NearnessMaps, plane: Float32Array | float, config: AdaptiveConfig | None = None) -> None:
        self.config = config or AdaptiveConfig()
        width, height = maps.view_size
        self._grid = max(1, -(-width // TILE_PX)), max(1, -(-height // TILE_PX))
        self._levels = np.linspace(0, 1.0 / self.config.nearest_m, self.config.levels, dtype=np.float32)
        self._maps = maps
        self._warps = []
        seen = []
        for level in self._levels:
            u, v = maps.at(float(level))
            inside = maps.inside(u, v)
            self._warps.append(cv2.convertMaps(u, v, cv2.CV_16SC2))
            seen.append(cv2.erode(inside.astype(np.uint8), np.ones((7, 7), np.uint8), borderValue=1).astype(np.float32))
        self._seen = seen
        full = np.broadcast_to(np.asarray(plane, np.float32), (height, width))
        tiles = cv2.resize(np.ascontiguousarray(full), self._grid, interpolation=cv2.INTER_AREA)
        self._plane = np.clip(tiles, 0, float(self._levels[-1]))
        self._bonus = self._plane_bonus()
        self._before: Float32Array | None = None
        self._mean: Float32Array | None = None
        self._frames = 0

    def reset(self) -> None:
        """Forget the frames before."""
        self._before = self._mean = None
        self._frames = 0

    def forget_last(self) -> None:
        """Forget the last frame, but not what was learned of the rig, as where the view is another one now."""
        self._before = None

    def estimate(self, view: Image, other: Image) -> Float32Array:
        """Return (H, W) nearness at the compared size.

        Args:
            view: (H, W) or (H, W, 3) image of the view's camera at that size.
            other: (H', W') or (H', W', 3) of the other camera.
        """
        config = self.config
        here = edge_orientations(view)
        agreement = np.empty((config.levels, self._grid[1], self._grid[0]), np.float32)
        window = config.window_px, config.window_px
        for k, (warp, seen) in enumerate(zip(self._warps, self._seen, strict=True)):
            there = edge_orientations(
                cv2.remap(other, warp[0], warp[1], cv2.INTER_LINEAR, borderMode=cv2.BORDER_REPLICATE)
            )
            product = (here.real * there.real + here.imag * there.imag) * seen
            summed = cv2.blur(product, window)
            agreement[k] = cv2.resize(summed, self._grid, interpolation=cv2.INTER_AREA)
        volume = np.moveaxis(agreement, 0, -1)
        if self._before is not None:
            volume = np.asarray((1 - config.memory) * volume + config.memory * self._before, np.float32)
        self._before = volume
        self._learn(np.moveaxis(agreement, 0, -1))
        cost = -(volume + self._bonus)
        best = _smoothed(cost, config.near_step, config.far_step)
        nearness = _between(best, self._levels)
        width, height = self._maps.view_size
        return np.asarray(cv2.resize(nearness, (width, height), interpolation=cv2.INTER_LINEAR), np.float32)

    def _learn(self, volume: Float32Array) -> None:
        """Fit the coarse shape to all frames so far, now and then."""
        share = np.float32(1.0 / min(self._frames + 1, _LONG))
        mean = volume if self._mean is None else np.asarray(self._mean + (volume - self._mean) * share, np.float32)
        self._mean = mean
        self._frames += 1
        if self._frames & (self._frames - 1) == 0 or self._frames % _RELEARN == 0:
            self._plane = _coarse_shape(mean, self._levels)
            self._bonus = self._plane_bonus()

    def _plane_bonus(self) -> Float32Array:
        step = float(self._levels[1] - self._levels[0])
        off = np.abs(self._plane[..., None] - self._levels) / step
        return (self.config.plane_gain * np.maximum(0.0, 1.0 - off)).astype(np.float32)


def compared_size(size: tuple[int, int]) -> tuple[int, int]:
    """Return the (width, height) that a view of this size is compared at."""
    shrink = max(1.0, size[0] / WIDTH_PX)
    return max(1, round(size[0] / shrink)), max(1, round(size[1] / shrink))


def _coarse_shape(volume: Float32Array, levels: Float32Array) -> Float32Array:
    """Return the (rows, columns) nearness of the ground and what lies beyond it that agree best with a volume."""
    rows, columns, count = volume.shape
    by_row = volume.sum(axis=1)  # the shape is the same in all columns
    v = np.arange(rows, dtype=np.float32)[:, None, None, None]
    horizon = np.linspace(0.2, 0.75, 12, dtype=np.float32)[:, None, None] * rows
    bottom = np.geomspace(0.04, 1.5, 16, dtype=np.float32)[None, :, None] * levels[-1]  # nearness in the last row
    beyond = np.linspace(0.0, 0.25, 6, dtype=np.float32)[None, None, :] * levels[-1]
    ground = bottom * (v - horizon) / (rows - horizon)
    shape = np.clip(np.maximum(ground, beyond), 0, levels[-1])
    place = shape / (levels[1] - levels[0])
    low = np.minimum(place.astype(np.int32), count - 2)
    share = place - low
    flat = low + np.arange(rows, dtype=np.int32)[:, None, None, None] * count
    score = ((1 - share) * np.take(by_row, flat) + share * np.take(by_row, flat + 1)).sum(axis=0)
    best = np.unravel_index(int(score.argmax()), score.shape)
    return np.repeat(shape[(slice(None), *best)][:, None], columns, axis=1).astype(np.float32)


def _smoothed(cost: Float32Array, near_step: float, far_step: float) -> Float32Array:
    """Return the (rows, columns, levels) cost with that of the best paths from four sides added."""
    total = np.zeros_like(cost)
    for axis in (0, 1):
        for backwards in (False, True):
            lines = np.moveaxis(cost, axis, 0)
            sums = np.moveaxis(total, axis, 0)
            if backwards:
                lines, sums = lines[::-1], sums[::-1]
            path = lines[0].copy()
            sums[0] += path
            for line, summed in zip(lines[1:], sums[1:], strict=True):
                least = path.min(axis=-1, keepdims=True)
                reached = np.minimum(path, least + np.float32(far_step))
                np.minimum(reached[..., 1:], path[..., :-1] + np.float32(near_step), out=reached[..., 1:])
                np.minimum(reached[..., :-1], path[..., 1:] + np.float32(near_step), out=reached[..., :-1])
                path = line + reached - least
                summed += path
    return total


def _between(cost: Float32Array, levels: Float32Array) -> Float32Array:
    """Return (rows, columns) nearness of the least cost, between levels by a parabola."""
    best = cost.argmin(axis=-1)
    inner = np.clip(best, 1, cost.shape[-1] - 2)
    before, at, after = (np.take_along_axis(cost, (inner + k)[..., None], axis=-1)[..., 0] for k in (-1, 0, 1))
    bend = before - 2 * at + after
    shift = np.where((bend > 1e-9) & (inner == best), 0.5 * (before - after) / np.maximum(bend, 1e-9), 0.0)
    return ((best + np.clip(shift, -0.5, 0.5)) * (levels[1] - levels[0])).astype(np.float32)
