# SPDX-License-Identifier: Apache-2.0
"""Cross-modal agreement: how well an infrared and a visible image fit at each displacement.

Infrared and visible brightness of a thing have nothing to do with each other, but most of its edges are in both images,
with either sign. So the images are compared by the orientation of their edges: the gradient direction at twice its
angle, as a complex number, weighted by how strong the edge is beside its surroundings. Correlation by FFT gives the
agreement at all displacements at once. Agreements of many frames add up.

A displacement (dx, dy) is where infrared content lies against the same content in the visible image: right and down
are positive, so infrared(x + dx, y + dy) shows what rgb(x, y) shows.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import cv2
import numpy as np
import numpy.typing as npt

from segmif_ros.arrays import Array, Float32Array

Orientations = npt.NDArray[np.complex64]
Surfaces = Float32Array

REACH_PX = 16
_BLUR_PX = 1.5
_SURROUNDINGS_PX = 12.0
_LUMA = np.array([[0.299, 0.587, 0.114]], np.float32)


def edge_orientations(image: Array) -> Orientations:
    """Return the orientation of the edges of an image.

    Args:
        image: (H, W), or (H, W, 3) RGB, of any numeric type and range.

    Returns:
        (H, W) complex64 of magnitude 0..1: the gradient direction at twice its angle, so that its sign doesn't count.
        The mean is taken off, so that the many upright and level edges of a street agree only where they coincide.
    """
    grey = np.asarray(cv2.transform(image, _LUMA) if image.ndim == 3 else image, np.float32)
    grey = np.asarray(cv2.GaussianBlur(grey, (0, 0), _BLUR_PX), np.float32)
    right = np.asarray(cv2.Sobel(grey, cv2.CV_32F, 1, 0), np.float32)
    down = np.asarray(cv2.Sobel(grey, cv2.CV_32F, 0, 1), np.float32)
    strength = right * right + down * down
    around = np.asarray(cv2.GaussianBlur(strength, (0, 0), _SURROUNDINGS_PX), np.float32)
    # a quarter of the image's median keeps the noise of empty areas out; the constant, a flat image
    weight = 1.0 / (strength + around + np.float32(0.25 * float(np.median(strength)) + 1e-3))
    found = np.empty(grey.shape, np.complex64)
    found.real, found.imag = (right * right - down * down) * weight, 2.0 * right * down * weight
    return found - found.mean(dtype=np.complex128).astype(np.complex64)


@dataclass(frozen=True, kw_only=True, eq=False)
class Tile:
    """A rectangle of the view: rows top to bottom, columns left to right, the ends excluded."""

    top: int
    bottom: int
    left: int
    right: int

    @property
    def centre(self) -> tuple[float, float]:
        """(u, v) of its middle."""
        return 0.5 * (self.left + self.right - 1), 0.5 * (self.top + self.bottom - 1)


def make_tiles(width: int, height: int, rows: int, columns: int, margin_px: int = 0) -> list[Tile]:
    """Divide an image less a margin into tiles.

    Args:
        width: Columns of the image.
        height: Its rows.
        rows: Tiles from top to bottom.
        columns: Tiles from left to right.
        margin_px: Left out along each side, pixels.

    Returns:
        The tiles, row by row.
    """
    v = np.linspace(margin_px, height - margin_px, rows + 1).round().astype(int)
    u = np.linspace(margin_px, width - margin_px, columns + 1).round().astype(int)
    return [
        Tile(top=int(v[i]), bottom=int(v[i + 1]), left=int(u[j]), right=int(u[j + 1]))
        for i in range(rows)
        for j in range(columns)
    ]


def agreement(infrared: Orientations, rgb: Orientations, tiles: list[Tile], reach_px: int = REACH_PX) -> Surfaces:
    """Return how well the images agree in each tile at each displacement.

    Args:
        infrared: (H, W), of `edge_orientations`.
        rgb: (H, W), of the same size.
        tiles: Of the RGB image; infrared is looked at beyond them too, and counts as empty outside its image.
        reach_px: Largest displacement, in each direction.

    Returns:
        (T, 2 reach + 1, 2 reach + 1) float32, about -1..1, indexed [tile, dy + reach, dx + reach]. 1 is an image with
        itself. A tile without edges has 0 throughout.
    """
    reach = reach_px
    padded = np.pad(infrared, reach)
    energy = float(np.mean(np.abs(infrared) ** 2))
    found = np.zeros((len(tiles), 2 * reach + 1, 2 * reach + 1), np.float32)
    for surface, tile in zip(found, tiles, strict=True):
        patch = rgb[tile.top : tile.bottom, tile.left : tile.right]
        around = padded[tile.top : tile.bottom + 2 * reach, tile.left : tile.right + 2 * reach]
        norm = np.sqrt(float(np.sum(np.abs(patch) ** 2)) * energy * patch.size)
        if norm < 1e-6:
            continue
        size = tuple(cv2.getOptimalDFTSize(each) for each in around.shape)
        product = np.fft.fft2(around, size) * np.conj(np.fft.fft2(patch, size))
        surface[:] = np.fft.ifft2(product)[: 2 * reach + 1, : 2 * reach + 1].real / norm
    return found


def peak(surface: npt.NDArray[np.floating[Any]]) -> tuple[float, float, float]:
    """Return the (dx, dy) of a surface's highest value, to fractions of a pixel, and that value."""
    reach = surface.shape[0] // 2
    y, x = (int(each) for each in np.unravel_index(int(np.argmax(surface)), surface.shape))
    dx, dy = float(x - reach), float(y - reach)
    if 0 < x < 2 * reach:
        dx += _vertex(*surface[y, x - 1 : x + 2])
    if 0 < y < 2 * reach:
        dy += _vertex(*surface[y - 1 : y + 2, x])
    return dx, dy, float(surface[y, x])


def _vertex(before: float, at: float, after: float) -> float:
    bend = before - 2 * at + after
    return 0.5 * float(before - after) / float(bend) if bend < 0 else 0.0
