# SPDX-License-Identifier: Apache-2.0
"""A lens with one number, for images that are registered without knowing their camera.

The division model (Fitzgibbon, 2001): a pixel at radius r from the centre lies at r / (1 + strength * r^2) without the
lens. Both directions are closed forms.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from segmif_ros.arrays import Float64Array, Mask
from segmif_ros.rig.checked_numbers import as_matrix
from segmif_ros.rig.errors import CalibrationError

_STRONGEST = 0.8  # of strength * radius^2 within the image: beyond, the model folds over


@dataclass(frozen=True, kw_only=True, eq=False)
class DivisionLens:
    """Radial distortion about a centre.

    Attributes:
        centre: (2,) pixel.
        radius_px: What counts as radius 1, above 0.
        strength: Below 0 a barrel, as of most lenses; above 0 a pincushion; 0 none.

    Raises:
        CalibrationError: If the numbers are no lens.
    """

    centre: Float64Array
    radius_px: float
    strength: float

    def __post_init__(self) -> None:
        object.__setattr__(self, "centre", as_matrix(self.centre, (2,), "the lens's centre"))
        for name in ("radius_px", "strength"):
            object.__setattr__(self, name, float(as_matrix(getattr(self, name), (), f"the lens's {name}")))
        if self.radius_px <= 0:
            raise CalibrationError(f"the lens's radius_px is {self.radius_px:g}: it must be above 0")

    def check(self, size: tuple[int, int]) -> None:
        """Refuse a lens that folds an image of this (width, height).

        Raises:
            CalibrationError: If it does.
        """
        corners = np.array([(u, v) for u in (-0.5, size[0] - 0.5) for v in (-0.5, size[1] - 0.5)])
        bend = self.strength * float((((corners - self.centre) / self.radius_px) ** 2).sum(axis=1).max())
        if abs(bend) > _STRONGEST:
            raise CalibrationError(
                f"the lens's strength is {self.strength:g}: such a lens folds the image's corners over"
            )

    def undone(self, pixels: Float64Array) -> tuple[Float64Array, Mask]:
        """Return (N, 2) pixels of the image as they were without the lens, and (N,) whether there are such."""
        off = (pixels - self.centre) / self.radius_px
        bent = 1 + self.strength * (off**2).sum(axis=1, keepdims=True)
        known = bent[:, 0] > 0
        return np.asarray(self.centre + self.radius_px * off / np.where(known[:, None], bent, 1.0)), known

    def applied(self, pixels: Float64Array) -> tuple[Float64Array, Mask]:
        """Return (N, 2) pixels of an image without the lens as they are with it, and (N,) whether there are such."""
        off = (pixels - self.centre) / self.radius_px
        root = 1 - 4 * self.strength * (off**2).sum(axis=1, keepdims=True)
        with_lens = self.centre + self.radius_px * off * 2 / (1 + np.sqrt(np.maximum(root, 0.0)))
        return np.asarray(with_lens), root[:, 0] > 0

    def moved(self, into: Float64Array) -> DivisionLens:
        """Return the lens of an image whose pixels are ``into`` @ this one's; (3, 3), a scale and a shift."""
        centre = into[:2, :2] @ self.centre + into[:2, 2]
        radius_px = self.radius_px * float(np.sqrt(np.linalg.det(into[:2, :2])))
        return DivisionLens(centre=centre, radius_px=radius_px, strength=self.strength)
