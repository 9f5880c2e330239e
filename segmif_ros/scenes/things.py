# SPDX-License-Identifier: Apache-2.0
"""What a street is furnished with: faces at a place."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from segmif_ros.arrays import Float32Array
from segmif_ros.scenes.climate import Rgb
from segmif_ros.scenes.faces import Faces, scaled

Rng = np.random.Generator


@dataclass(frozen=True, kw_only=True)
class Thing:
    """Faces placed in the world, and where they belong along the road (s_m).

    key_m: what is sorted on, relative to s_m, one for all faces or one for each (F,); shadows: what throws a shadow on
    the ground, each as (d, s, half width, height) in metres.
    """

    faces: Faces
    s_m: float
    key_m: float | Float32Array = 0.0
    shadows: tuple[tuple[float, float, float, float], ...] = ()


def pick(rng: Rng, options: list[Rgb], spread: float = 0.25) -> Rgb:
    """One of the colours, a little lighter or darker."""
    return scaled(options[int(rng.integers(len(options)))], float(rng.uniform(1 - spread, 1 + spread)))
