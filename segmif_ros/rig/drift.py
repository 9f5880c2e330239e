# SPDX-License-Identifier: Apache-2.0
"""Drift watch: whether the cameras still sit as they did when they were calibrated, judged from registered pairs alone.

Each pair's cross-modal agreement (`segmif_ros.rig.agreement`) is added up over views that differ. One view can mislead:
a hedge, a fence, something near that parallax displaces. So there is no estimate before several views agree, and none
where their halves contradict each other. What parallax alone can do is tolerated.
"""

from __future__ import annotations

import math
from collections import deque
from dataclasses import dataclass

import cv2
import numpy as np

from segmif_ros.arrays import Array, Float32Array
from segmif_ros.rig.agreement import (
    Orientations,
    Surfaces,
    Tile,
    agreement,
    edge_orientations,
    make_tiles,
    peak,
)

WIDTH_PX = 320  # that images are compared at, at most
REACH_PX = 16  # at that width
MIN_VIEWS = 6
MAX_VIEWS = 40  # older ones are forgotten
MIN_SHARPNESS = 4.0  # deviations of the surface that its peak stands out by
MAX_SPREAD_PX = 1.5  # between the estimates of both halves of the views, at the width compared
LIMIT_PX = 3.0
CONFIRMATIONS = 3

_TILES = (2, 3)
_ROLLS_DEG = np.arange(-3.0, 3.01, 0.5)
_ZOOMS = np.arange(-0.06, 0.061, 0.01)
_GAIN = 1.06  # a roll or a zoom must raise the peak by this before it is believed
_SAME_VIEW = 0.6  # correlation of two views' edges above which they are one
_RELEASE = 0.6  # of the limit, below which the cameras count as back in place

Shift = tuple[float, float]


@dataclass(frozen=True, kw_only=True)
class DriftEstimate:
    """How the registered images lie on each other.

    Attributes:
        shift_px: (dx, dy) by which infrared is displaced against RGB in the middle of the view, pixels of the view.
        roll_deg: By how much infrared is turned clockwise about the middle.
        zoom: By which share infrared is larger than it should be, as after a lens was focused again.
        moved_px: Largest displacement in the middle half of the view, less what parallax may explain.
        sharpness: How far the agreement's peak stands out, in deviations of the surface.
        spread_px: By how much the estimates of both halves of the views differ.
        views: How many different views speak.
    """

    shift_px: Shift
    roll_deg: float
    zoom: float
    moved_px: float
    sharpness: float
    spread_px: float
    views: int


class DriftWatch:
    """Collects registered pairs and judges whether the cameras moved; not thread-safe.

    Args:
        limit_px: Displacement in pixels of the view from which on they did.
        parallax: ((dx, dy), (dx, dy)): displacements in pixels of the view at the ends of the range of distances that
            are seen; what lies between them is no drift. Both 0 where cameras share their place.

    Attributes:
        reason: Why the last `estimate` gave none; empty if it gave one.
        moved: Whether the cameras moved: after `CONFIRMATIONS` estimates above the limit in a row, until as many are
            below 0.6 of it. An estimate that can't be had changes nothing.
    """

    def __init__(self, *, limit_px: float = LIMIT_PX, parallax: tuple[Shift, Shift] = ((0.0, 0.0), (0.0, 0.0))) -> None:
        self._limit_px = limit_px
        self._parallax = parallax
        self.moved = False
        self.reset()

    def reset(self) -> None:
        """Forget the views, as after another registration; `moved` stays until views say otherwise."""
        self._views: deque[Surfaces] = deque(maxlen=MAX_VIEWS)
        self._last: Orientations | None = None
        self._size = (0, 0)
        self._scale = 1.0
        self._in_a_row = 0
        self.reason = "no views yet"

    def add(self, infrared: Array, rgb: Array) -> bool:
        """Take a registered pair.

        Args:
            infrared: (H, W), any type.
            rgb: (H, W, 3) RGB, or (H, W).

        Returns:
            Whether it shows another view than the last one that was taken; if not, it is no new evidence.
        """
        size = rgb.shape[1], rgb.shape[0]
        if size != self._size:
            self.reset()
            self._size, self._scale = size, max(1.0, size[0] / WIDTH_PX)
        small = round(size[0] / self._scale), round(size[1] / self._scale)
        seen = edge_orientations(_shrunk(rgb, small))
        if self._last is not None and _likeness(seen, self._last) > _SAME_VIEW:
            self.reason = self.reason or "the view doesn't change"
            return False
        self._last = seen
        self._views.append(agreement(edge_orientations(_shrunk(infrared, small)), seen, self._tiles(), REACH_PX))
        return True

    def estimate(self) -> DriftEstimate | None:
        """Return the estimate from all views, or None if they can't tell; see `reason`."""
        found = self._estimate()
        self.reason = found if isinstance(found, str) else ""
        if isinstance(found, str):
            return None
        self._judge(found.moved_px)
        return found

    def _estimate(self) -> DriftEstimate | str:
        if len(self._views) < MIN_VIEWS:
            return f"{len(self._views)} different views so far: {MIN_VIEWS} are needed"
        surfaces, tiles = np.stack(self._views), self._tiles()
        found = _fit(surfaces.mean(axis=0), tiles)
        sharpness = sharpness_of(found.surface)
        if sharpness < MIN_SHARPNESS:
            return f"the images have too little in common (peak {sharpness:.1f} deviations high)"
        if max(abs(each) for each in found.shift) >= REACH_PX:
            return f"they are displaced by {REACH_PX * self._scale:.0f} px or more, or have nothing in common"
        halves = [_fit(surfaces[part::2].mean(axis=0), tiles).shift for part in (0, 1)]
        spread = math.dist(*halves)
        if spread > MAX_SPREAD_PX:
            return f"the views contradict each other by {spread * self._scale:.1f} px"
        shift = found.shift[0] * self._scale, found.shift[1] * self._scale
        return DriftEstimate(
            shift_px=shift,
            roll_deg=found.roll_deg,
            zoom=found.zoom,
            moved_px=self._moved(shift, found.roll_deg, found.zoom),
            sharpness=sharpness,
            spread_px=spread * self._scale,
            views=len(self._views),
        )

    def _tiles(self) -> list[Tile]:
        small = round(self._size[0] / self._scale), round(self._size[1] / self._scale)
        return make_tiles(*small, *_TILES, margin_px=REACH_PX)

    def _moved(self, shift: Shift, roll_deg: float, zoom: float) -> float:
        a, b = (np.array(end) for end in self._parallax)
        along = b - a
        length2 = float(along @ along)
        share = float(np.clip((np.array(shift) - a) @ along / length2, 0, 1)) if length2 else 0.0
        beyond = np.array(shift) - a - share * along
        corner = _turned(0.25 * self._size[0], 0.25 * self._size[1], roll_deg, zoom)
        return float(np.hypot(*beyond) + np.hypot(*corner))

    def _judge(self, moved_px: float) -> None:
        against = moved_px < _RELEASE * self._limit_px if self.moved else moved_px > self._limit_px
        self._in_a_row = self._in_a_row + 1 if against else 0
        if self._in_a_row >= CONFIRMATIONS:
            self.moved, self._in_a_row = not self.moved, 0


def single_view_score(infrared: Array, rgb: Array) -> float:
    """Return how much better the pair would agree if it were moved: about 0 if it is registered, larger if it isn't.

    What one view alone tells; for figures. `DriftWatch` waits for several.

    Args:
        infrared: (H, W), any type.
        rgb: (H, W, 3) RGB, or (H, W).
    """
    height, width = rgb.shape[:2]
    tiles = make_tiles(width, height, *_TILES, margin_px=REACH_PX)
    surfaces = agreement(edge_orientations(infrared), edge_orientations(rgb), tiles, REACH_PX)
    return float(_fit(surfaces, tiles).surface.max() - surfaces.mean(axis=0)[REACH_PX, REACH_PX])


def sharpness_of(surface: Float32Array) -> float:
    """Return how far a surface's peak stands above what is 4 px or more away from it, in deviations of that."""
    y, x = np.unravel_index(int(np.argmax(surface)), surface.shape)
    v, u = np.indices(surface.shape)
    away = surface[np.hypot(v - y, u - x) >= 4]
    return float((surface.max() - away.mean()) / max(float(away.std()), 1e-9))


@dataclass(frozen=True, kw_only=True, eq=False)
class _Found:
    """What agrees best: the shift at the width compared, the roll, the zoom, and all tiles' surface at both."""

    shift: Shift
    roll_deg: float
    zoom: float
    surface: Float32Array


def _fit(surfaces: Surfaces, tiles: list[Tile]) -> _Found:
    """Return what agrees best; a roll, and then a zoom, must be worth it."""
    straight = _together(surfaces, tiles, 0.0, 0.0)
    best, roll, zoom = straight, 0.0, 0.0
    for angle in _ROLLS_DEG:
        turned = _together(surfaces, tiles, float(angle), 0.0)
        if turned.max() > max(best.max(), _GAIN * straight.max()):
            best, roll = turned, float(angle)
    rolled = best.max()
    for by in _ZOOMS:
        grown = _together(surfaces, tiles, roll, float(by))
        if grown.max() > max(best.max(), _GAIN * rolled):
            best, zoom = grown, float(by)
    dx, dy, _ = peak(best)
    return _Found(shift=(dx, dy), roll_deg=roll, zoom=zoom, surface=best)


def _together(surfaces: Surfaces, tiles: list[Tile], roll_deg: float, zoom: float) -> Float32Array:
    """Return the mean of the tiles' surfaces, each moved back by what roll and zoom do at its middle."""
    if not roll_deg and not zoom:
        return np.asarray(surfaces.mean(axis=0), np.float32)
    middle = np.mean([each.centre for each in tiles], axis=0)
    total = np.zeros(surfaces.shape[1:], np.float32)
    for surface, tile in zip(surfaces, tiles, strict=True):
        dx, dy = _turned(tile.centre[0] - middle[0], tile.centre[1] - middle[1], roll_deg, zoom)
        move = np.array([[1, 0, -dx], [0, 1, -dy]])
        total += cv2.warpAffine(surface, move, surface.shape[::-1], borderMode=cv2.BORDER_REPLICATE)
    return np.asarray(total / len(tiles), np.float32)


def _turned(u: float, v: float, roll_deg: float, zoom: float = 0.0) -> Shift:
    """Return by how much a point (u, v) from the middle moves in a clockwise turn and a zoom; v points down."""
    c, s = (1 + zoom) * math.cos(math.radians(roll_deg)), (1 + zoom) * math.sin(math.radians(roll_deg))
    return c * u - s * v - u, s * u + c * v - v


def _likeness(a: Orientations, b: Orientations) -> float:
    if a.shape != b.shape:
        return 0.0
    norm = float(np.sum(np.abs(a) ** 2) * np.sum(np.abs(b) ** 2)) ** 0.5
    return float(np.sum((a * np.conj(b)).real)) / norm if norm else 1.0


def _shrunk(image: Array, size: tuple[int, int]) -> Array:
    if (image.shape[1], image.shape[0]) == size:
        return image
    return np.asarray(cv2.resize(image, size, interpolation=cv2.INTER_AREA))
