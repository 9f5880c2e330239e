# SPDX-License-Identifier: Apache-2.0
"""The frames of the scene method at the size that they are compared at, and how they agree under a model."""

from __future__ import annotations

import copy
from collections.abc import Sequence

import cv2
import numpy as np

from segmif_ros.arrays import Array, Float32Array, Float64Array, Image, Mask
from segmif_ros.rig.agreement import Surfaces, Tile, agreement, edge_orientations, make_tiles, peak
from segmif_ros.rig.calibrating.scene_models import HomographyModel, SceneModel
from segmif_ros.rig.drift import sharpness_of
from segmif_ros.rig.errors import CalibrationError

FINE_PX = 320
_COARSE_PX = 160
_COARSE_FRAMES = 12
_SCALES = np.geomspace(0.5, 1.6, 25)
_ROLLS = np.radians(np.arange(-6.0, 6.01, 1.5))
_EDGE_PX = 7  # nothing is to agree with the border of the infrared image
_COVERED = 0.6  # of a tile, from which on it is compared
_WHOLE: tuple[int, int, int] = (4, 5, 14)  # rows, columns and reach that whole frames are compared with
_HERE_PX, _ELSEWHERE_PX = 3, 5  # displacements up to and from which a frame's agreement is here, and elsewhere

Pair = tuple[Array, Array]


class ComparedPairs:
    """Pairs at the fine size.

    Args:
        pairs: (H, W) infrared of any type and (H', W', 3) RGB or (H', W').

    Raises:
        CalibrationError: If their sizes change.
    """

    def __init__(self, pairs: Sequence[Pair]) -> None:
        infrared, rgb = pairs[0]
        for other_infrared, other_rgb in pairs:
            if other_infrared.shape != infrared.shape or other_rgb.shape != rgb.shape:
                raise CalibrationError("the images change their size: calibrate with images of one size")
        self.infrared_size = infrared.shape[1], infrared.shape[0]
        self.rgb_size = rgb.shape[1], rgb.shape[0]
        self.scale = self.rgb_size[0] / FINE_PX
        self.size = FINE_PX, round(self.rgb_size[1] / self.scale)
        share = min(1.0, FINE_PX / self.infrared_size[0])
        self.compared_infrared = round(share * self.infrared_size[0]), round(share * self.infrared_size[1])
        self.infrared = [_to(np.asarray(each, np.float32), self.compared_infrared) for each, _ in pairs]
        self.rgb = [_to(_grey(each), self.size) for _, each in pairs]
        self._edges = [edge_orientations(each) for each in self.rgb]
        u, v = np.meshgrid(np.arange(self.size[0], dtype=np.float64), np.arange(self.size[1], dtype=np.float64))
        self._pixels = np.stack([u.ravel(), v.ravel()], axis=1)

    def __len__(self) -> int:
        """Return how many there are."""
        return len(self.rgb)

    def part(self, chosen: Mask) -> ComparedPairs:
        """Return the pairs that are chosen, a (F,) mask."""
        found = copy.copy(self)
        found.infrared, found.rgb, found._edges = (
            [each for each, kept in zip(images, chosen, strict=True) if kept]
            for images in (self.infrared, self.rgb, self._edges)
        )
        return found

    def mirrored(self) -> ComparedPairs:
        """Return the pairs with left and right exchanged in the infrared images."""
        found = copy.copy(self)
        found.infrared = [np.ascontiguousarray(each[:, ::-1]) for each in self.infrared]
        return found

    def agreeing(self, model: SceneModel, parameters: Float64Array) -> Mask:
        """Return (F,) whether a frame as a whole agrees better as the model has it than displaced.

        Args:
            model: How the images lie on each other.
            parameters: (P,), of the model.
        """
        rows, columns, reach = _WHOLE
        surfaces, used = self.surfaces(model, parameters, make_tiles(*self.size, rows, columns), reach)
        whole = surfaces[:, used].mean(axis=1)
        v, u = np.mgrid[-reach : reach + 1, -reach : reach + 1]
        off = np.hypot(v, u)
        here, elsewhere = (whole[:, where].max(axis=1) for where in (off <= _HERE_PX, off >= _ELSEWHERE_PX))
        return np.asarray(here > elsewhere)

    def surfaces(
        self, model: SceneModel, parameters: Float64Array, tiles: list[Tile], reach_px: int
    ) -> tuple[Surfaces, Mask]:
        """Return (F, T, S, S) agreements of all frames under the model, and (T,) which tiles infrared covers.

        Args:
            model: How the images lie on each other.
            parameters: (P,), of the model.
            tiles: T parts of the view.
            reach_px: How far shifts are tried, pixels of the view.
        """
        at, inside = self._lookup(model, parameters, self._pixels, self.size)
        used = np.array([inside[t.top : t.bottom, t.left : t.right].mean() > _COVERED for t in tiles])
        found = []
        for infrared, rgb in zip(self.infrared, self._edges, strict=True):
            surfaces = agreement(edge_orientations(_looked_up(infrared, at)) * inside, rgb, tiles, reach_px)
            surfaces[~used] = 0
            found.append(surfaces)
        return np.stack(found), used

    def similarity(self, model: HomographyModel, fov_ratio: float | None) -> tuple[float, Float64Array]:
        """Return how far the best scale, roll and shift stand out, and their parameters.

        Args:
            model: It makes parameters of scale and roll.
            fov_ratio: Infrared's field of view over RGB's; None if it isn't known.
        """
        shrink = _COARSE_PX / self.size[0]
        size = _COARSE_PX, round(self.size[1] * shrink)
        u, v = np.meshgrid(np.arange(size[0], dtype=np.float64), np.arange(size[1], dtype=np.float64))
        pixels = (np.stack([u.ravel(), v.ravel()], axis=1) + 0.5) / shrink - 0.5
        chosen = range(0, len(self.rgb), max(1, len(self.rgb) // _COARSE_FRAMES))
        edges = [edge_orientations(_to(self.rgb[k], size)) for k in chosen]
        # what a coarse pixel can't show would alias
        soft = [cv2.GaussianBlur(self.infrared[k], (0, 0), 0.4 * self.compared_infrared[0] / size[0]) for k in chosen]
        reach = _COARSE_PX // 5
        tiles = make_tiles(*size, 1, 1)

        def tried(parameters: Float64Array) -> tuple[float, Float64Array]:
            at, inside = self._lookup(model, parameters, pixels, size)
            total = np.zeros((2 * reach + 1, 2 * reach + 1), np.float32)
            for infrared, rgb in zip(soft, edges, strict=True):
                seen = edge_orientations(_looked_up(np.asarray(infrared), at)) * inside
                total += agreement(seen, rgb, tiles, reach)[0]
            right, down, _ = peak(total)
            return sharpness_of(total), model.shifted(parameters, right / shrink, down / shrink)

        def best(candidates: Sequence[tuple[float, float]]) -> tuple[float, float, float, Float64Array]:
            found = [(*tried(model.similarity(scale, roll)), scale, roll) for scale, roll in candidates]
            sharpness, parameters, scale, roll = max(found, key=lambda each: each[0])
            return sharpness, scale, roll, parameters

        scales = _SCALES if fov_ratio is None else fov_ratio * np.geomspace(0.85, 1.18, 9)
        _, scale, _, _ = best([(float(each), 0.0) for each in scales])
        _, scale, roll, _ = best(
            [(scale * by, float(each)) for each in _ROLLS for by in ((0.96, 1.0, 1.04) if not each else (1.0,))]
        )
        sharpness, _, _, parameters = best(
            [(scale * by, roll + turn) for by in (0.97, 0.985, 1.0, 1.015, 1.03) for turn in (-0.013, 0.0, 0.013)]
        )
        return sharpness, parameters

    def _lookup(
        self, model: SceneModel, parameters: Float64Array, pixels: Float64Array, size: tuple[int, int]
    ) -> tuple[Float32Array, Image]:
        at = model.pixels(parameters, pixels).astype(np.float32).reshape(size[1], size[0], 2)
        inside = np.asarray(((at >= 0) & (at <= np.array(self.compared_infrared) - 1)).all(axis=-1), np.uint8)
        return at, np.asarray(cv2.erode(inside, np.ones((_EDGE_PX, _EDGE_PX), np.uint8), borderValue=0), np.uint8)


def _grey(image: Array) -> Array:
    return np.asarray(cv2.cvtColor(image, cv2.COLOR_RGB2GRAY) if image.ndim == 3 else image, np.float32)


def _to(image: Array, size: tuple[int, int]) -> Array:
    if (image.shape[1], image.shape[0]) == size:
        return image
    return np.asarray(cv2.resize(image, size, interpolation=cv2.INTER_AREA))


def _looked_up(image: Array, at: Float32Array) -> Array:
    return np.asarray(cv2.remap(image, at, np.zeros(0, np.float32), cv2.INTER_LINEAR, borderMode=cv2.BORDER_REPLICATE))
