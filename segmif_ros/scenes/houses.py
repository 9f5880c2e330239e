# SPDX-License-Identifier: Apache-2.0
"""Houses: fronts with windows, shops and cornices, end walls, pitched roofs."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from segmif_ros.arrays import Float32Array
from segmif_ros.scenes import classes as c
from segmif_ros.scenes.climate import Climate, Rgb
from segmif_ros.scenes.faces import Faces, scaled, surface, upright
from segmif_ros.scenes.things import Rng, Thing, pick

WALLS: list[Rgb] = [
    (0.42, 0.18, 0.12),
    (0.55, 0.48, 0.38),
    (0.62, 0.60, 0.56),
    (0.34, 0.34, 0.36),
    (0.50, 0.40, 0.22),
    (0.70, 0.66, 0.58),
    (0.26, 0.30, 0.34),
    (0.30, 0.20, 0.15),
]


def building(rng: Rng, climate: Climate, side: int, d: float, s0: float, length: float) -> list[Thing]:
    """A house whose front stands at |d| and runs from s0 over length; side is +1 right, -1 left."""
    look = _facade(rng, climate)
    height, depth = look.floors * look.floor_m + float(rng.uniform(0.4, 1.2)), float(rng.uniform(8, 16))
    front = side * d
    edges = np.linspace(s0, s0 + length, max(1, round(length / 5.0)) + 1).astype(np.float32)
    columns = max(1, int(length / look.pitch_m))
    centres = (s0 + (np.arange(columns) + 0.5) * length / columns).astype(np.float32)

    def wall(
        a: Float32Array, b: Float32Array, low: Float32Array | float, high: Float32Array | float, inset: float
    ) -> Float32Array:
        quads = np.empty((len(a), 4, 3), np.float32)
        quads[..., 0] = front - side * inset
        quads[:, 0, 1], quads[:, 1, 1], quads[:, 2, 1], quads[:, 3, 1] = low, high, high, low
        near, far = (a, b) if side < 0 else (b, a)  # winding: the front must look at the road
        quads[:, 0, 2], quads[:, 1, 2], quads[:, 2, 2], quads[:, 3, 2] = near, near, far, far
        return quads

    a, b = edges[:-1], edges[1:]
    parts = [Faces.same(wall(a, b, -0.3, height, 0.0), look.wall)]
    parts.append(Faces.same(wall(a, b, height - 0.5, height + 0.1, 0.15), look.cornice))
    first_floor = 0
    if look.shop is not None and look.board is not None:
        first_floor = 1
        panes = np.arange(s0 + 0.3, s0 + length - 1.0, float(rng.uniform(1.2, 3.0))).astype(np.float32)
        if len(panes) > 1:
            low = np.where(rng.random(len(panes) - 1) < 0.3, 0.0, 0.45).astype(np.float32)
            glazing = wall(panes[:-1] + np.float32(0.08), panes[1:] - np.float32(0.08), low, 2.3, 0.02)
            parts.append(Faces.same(glazing, look.shop).varied(rng, emission=0.6, heat_k=1.0, tone=0.6))
        parts.append(Faces.same(wall(a + np.float32(0.2), b - np.float32(0.2), 2.5, 3.0, 0.04), look.board))
    if look.floors > first_floor:
        level, at = np.meshgrid(np.arange(first_floor, look.floors), centres, indexing="ij")
        low = (level.ravel() * look.floor_m + 0.9).astype(np.float32)
        half = np.float32(look.window_w / 2)
        quads = wall(at.ravel() - half, at.ravel() + half, low, low + np.float32(look.window_h), 0.03)
        on = rng.random(len(quads)) < look.lit
        parts.append(Faces.same(quads[~on], look.dark_window).varied(rng, emission=0.7, heat_k=0.9, tone=0.8))
        parts.append(Faces.same(quads[on], look.lit_window).varied(rng, emission=0.8, heat_k=0.9))
    if look.band is not None:
        level, at = np.meshgrid(np.arange(1, look.floors + 1) * look.floor_m, np.arange(len(a)), indexing="ij")
        top = level.ravel().astype(np.float32)
        parts.append(Faces.same(wall(a[at.ravel()], b[at.ravel()], top - 0.12, top + 0.12, 0.05), look.band))
    faces = Faces.join(parts)
    # Sorted by the far end of the stretch of wall that a face belongs to: it never hides what stands before the wall.
    stretch = np.searchsorted(edges, faces.xyz[..., 2].mean(axis=1)).clip(1, len(edges) - 1)
    shadows = tuple((front + side * depth / 2, float(x), depth / 2, height) for x in a)
    things = [Thing(faces=faces, s_m=s0, key_m=edges[stretch] - np.float32(s0), shadows=shadows)]
    return things + _gable(rng, climate, look, side, front, s0, length, height, depth)


@dataclass(frozen=True, kw_only=True)
class _Facade:
    """Measures and surfaces of one house, None where it lacks a shop, board or band. lit: share of lit windows."""

    floors: int
    floor_m: float
    window_w: float
    window_h: float
    pitch_m: float
    lit: float
    wall: list[float]
    cornice: list[float]
    dark_window: list[float]
    lit_window: list[float]
    shop: list[float] | None
    board: list[float] | None
    band: list[float] | None


def _facade(rng: Rng, climate: Climate) -> _Facade:
    u = rng.uniform
    floor_m = float(u(2.8, 3.6))
    colour = pick(rng, WALLS, 0.4)
    mirrored = float(u(0.05, 0.6))  # windows mirror the sky, more or less of it
    material = "brick" if rng.random() < 0.5 else "plaster"
    leak, window_k = float(u(0.0, 2.0)) + float(rng.normal(0, 2.0)), float(rng.normal(1.0, 2.0))
    night = climate.lighting != "day"
    lit = float(rng.choice([0.05, 0.15, 0.35, 0.6])) if night else 0.0
    glow = float(u(0.06, 0.35))
    lamp: Rgb = [(1.0, 0.75, 0.42), (1.0, 0.9, 0.72), (0.85, 0.95, 1.0)][int(rng.integers(3))]
    dark_glass = (0.05, 0.07, 0.09)

    def row(
        rgb: Sequence[float], kind: str, inside_k: float, emission: Sequence[float] = (0, 0, 0), *, detail: bool = False
    ) -> list[float]:
        texture = 0.0 if kind == "glass" else 0.08
        return surface(
            climate,
            c.BUILDING,
            rgb,
            kind,
            emission=emission,
            inside_k=inside_k,
            texture=texture,
            cull=True,
            detail=detail,
        )

    shop = board = band = None
    if rng.random() < 0.4:
        shop_glow = glow * float(u(1.0, 3.0)) if night else 0.01
        inside = pick(rng, [(0.3, 0.1, 0.1), (0.1, 0.2, 0.3), (0.2, 0.2, 0.2)])
        shop = row(inside, "glass", window_k + 1.5, scaled(lamp, shop_glow))
        paint = pick(rng, [(0.4, 0.05, 0.05), (0.05, 0.15, 0.4), (0.5, 0.4, 0.1), (0.1, 0.3, 0.12), (0.6, 0.6, 0.6)])
        board = row(paint, "plaster", leak, scaled(paint, float(u(0, 3)) * shop_glow if night else 0.0))
    if rng.random() < 0.35:
        # Floor slabs are bridges for heat: by night they show as warm lines.
        band = row(scaled(colour, float(u(0.7, 1.3))), material, leak + 1.2, detail=True)
    return _Facade(
        floors=int(rng.choice([1, 2, 2, 3, 4, 5, 7, 10])),
        floor_m=floor_m,
        window_w=float(u(0.8, 2.0)),
        window_h=float(u(1.1, min(2.2, floor_m - 0.7))),
        pitch_m=float(u(2.2, 3.6)),
        lit=lit,
        wall=row(colour, material, leak),
        cornice=row(scaled(colour, 0.6), material, leak + 0.6),
        dark_window=row(dark_glass, "glass", window_k, scaled(climate.sky_low_rgb, mirrored), detail=True),
        lit_window=row(dark_glass, "glass", window_k + 1.0, scaled(lamp, glow), detail=True),
        shop=shop,
        board=board,
        band=band,
    )


def _gable(
    rng: Rng,
    climate: Climate,
    look: _Facade,
    side: int,
    front: float,
    s0: float,
    length: float,
    height: float,
    depth: float,
) -> list[Thing]:
    """The end wall that looks at the camera, and a pitched roof on some low houses."""
    x0, x1 = sorted((front, front + side * depth))
    walls, rows = [upright(x0, x1, -0.3, height)], [look.wall]
    things = []
    if look.floors <= 3 and rng.random() < 0.6:
        ridge, middle = height + float(rng.uniform(1.5, 3.5)), (x0 + x1) / 2
        tiles = pick(rng, [(0.25, 0.12, 0.09), (0.14, 0.14, 0.15)])
        roof = surface(climate, c.BUILDING, tiles, "roof", texture=0.15, cull=True)
        walls.append(np.array([[x0, height, 0], [middle, ridge, 0], [x1, height, 0]], np.float32))
        rows.append(look.wall)
        near, far = (0.0, length) if side < 0 else (length, 0.0)
        slope = np.array(
            [[front, height, near], [middle, ridge, near], [middle, ridge, far], [front, height, far]], np.float32
        )
        things.append(Thing(faces=Faces.of([slope], [roof]).placed(0.0, s0), s_m=s0, key_m=length + 0.02))
    across = int(depth // 4)
    for k in range(across):
        for level in range(look.floors):
            x, low = x0 + (k + 0.5) * depth / across, level * look.floor_m + 0.9
            walls.append(upright(x - look.window_w / 2, x + look.window_w / 2, low, low + look.window_h, -0.03))
            rows.append(look.lit_window if rng.random() < look.lit else look.dark_window)
    things.append(Thing(faces=Faces.of(walls, rows).placed(0.0, s0), s_m=s0, key_m=0.01))
    return things
