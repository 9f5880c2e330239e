# SPDX-License-Identifier: Apache-2.0
"""What every vehicle has: quads on its body, wheels, lights, and a paint."""

from __future__ import annotations

import numpy as np

from segmif_ros.arrays import Float32Array
from segmif_ros.scenes.climate import Climate, Rgb
from segmif_ros.scenes.faces import scaled, surface, upright

Rng = np.random.Generator

LOW_BEAM = 60.0
PAINTS: list[Rgb] = [
    (0.65, 0.65, 0.64),
    (0.80, 0.80, 0.80),
    (0.02, 0.02, 0.025),
    (0.10, 0.11, 0.12),
    (0.30, 0.31, 0.33),
    (0.35, 0.02, 0.02),
    (0.03, 0.07, 0.25),
    (0.05, 0.12, 0.08),
    (0.45, 0.36, 0.22),
    (0.55, 0.35, 0.03),
]


OUTWARDS = {
    "left": np.array([-0.02, 0, 0], np.float32),
    "right": np.array([0.02, 0, 0], np.float32),
    "back": np.array([0, 0, -0.02], np.float32),
}


def part(quad: Float32Array, u0: float, u1: float, v0: float, v1: float) -> Float32Array:
    """(4, 3) what lies between the shares u of the width and v of the height of a quad from box() or prism()."""
    share = np.array([[u0, v0], [u0, v1], [u1, v1], [u1, v0]], np.float32)
    u, v = share[:, :1], share[:, 1:]
    return np.asarray((1 - v) * ((1 - u) * quad[0] + u * quad[3]) + v * ((1 - u) * quad[1] + u * quad[2]), np.float32)


def wheels(
    half_width: float, radius: float, axles: list[float], *, arch: float = 1.0
) -> tuple[list[Float32Array], list[Float32Array]]:
    """(tyres, hubs) as octagons in both side planes, wound outwards; arch widens them about the same axle."""
    a = np.arange(8) * (np.pi / 4) + np.pi / 8
    tyres: list[Float32Array] = []
    hubs: list[Float32Array] = []
    for z in axles:
        for sign in (-1.0, 1.0):
            for r, store in ((arch * radius, tyres), (0.55 * radius, hubs)):
                x = np.full(8, sign * (half_width + 0.02))
                store.append(
                    np.stack([x, radius + r * np.sin(a), z + sign * r * np.cos(a)], axis=1).astype(np.float32)[::-1]
                )
    return tyres, hubs


def lights(
    climate: Climate,
    label: int,
    half_width: float,
    y: float,
    half_length: float,
    size: tuple[float, float],
    *,
    running: bool,
    braking: bool,
) -> tuple[list[Float32Array], list[list[float]]]:
    """(quads, surface rows) of tail lights and head lights on both sides, at height y; lit in the dark or in rain."""
    dark = climate.lighting != "day" or climate.weather != "clear"
    on = running and dark
    tail = (2.2 if braking else 0.5) if on else (0.5 if braking and running else 0.0)
    tail_row = surface(
        climate,
        label,
        (0.30, 0.02, 0.02),
        "car_glass",
        emission=(tail, 0.04 * tail, 0.03 * tail),
        inside_k=2.5 if on else 0.0,
        texture=0.0,
        retro=0.8,
        cull=True,
    )
    head = (LOW_BEAM if climate.lighting == "night" else 9.0) if on else 0.0
    head_row = surface(
        climate,
        label,
        (0.6, 0.6, 0.6),
        "car_glass",
        emission=(head, 0.95 * head, 0.85 * head),
        inside_k=12.0 if on else 0.0,
        texture=0.0,
        cull=True,
    )
    w, h = size
    polygons, rows = [], []
    for sign in (-1, 1):
        x0, x1 = sorted((sign * (half_width - 0.06), sign * (half_width - 0.06 - w)))
        polygons.append(upright(x0, x1, y, y + h, -half_length - 0.02))
        rows.append(tail_row)
        polygons.append(upright(x0, x1, y - 0.12, y + h - 0.12, half_length + 0.02)[::-1])
        rows.append(head_row)
    return polygons, rows


def a_paint(rng: Rng) -> Rgb:
    """The colour of a body: mostly one of the usual ones, now and then any."""
    if rng.random() < 0.25:
        r, g, b = (float(x) for x in rng.uniform(0.02, 0.6, 3) ** 1.3)
        return (r, g, b)
    return scaled(PAINTS[int(rng.integers(len(PAINTS)))], float(rng.uniform(0.7, 1.2)))
