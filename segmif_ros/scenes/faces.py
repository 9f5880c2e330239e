# SPDX-License-Identifier: Apache-2.0
"""Flat faces in road coordinates, with what light and heat need to know about each.

A face is a convex polygon of up to eight corners (fewer corners are repeated) in metres: d to the right of the road's
centre line, y up from the road, s forward along the road. Its attributes are one row of floats, so that a whole world
is two arrays and a frame's pixels look their surface up by one index.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from segmif_ros.arrays import Float32Array
from segmif_ros.scenes.climate import Climate, Rgb

CORNERS = 8
LABEL, RED, GREEN, BLUE, EMIT_R, EMIT_G, EMIT_B = range(7)
SHADE_C, SUN_K, TEX, TEX_K, LEAF, RETRO, CULL, DETAIL = range(7, 15)
NUM_ATTRIBUTES = 15
CROWN = 2.0  # value of LEAF for the crowns of trees, which have gaps; other foliage has 1


def scaled(colour: Sequence[float], gain: float) -> Rgb:
    """The colour times a gain."""
    return (gain * colour[0], gain * colour[1], gain * colour[2])


def surface(
    climate: Climate,
    label: int,
    colour: Rgb | Sequence[float],
    material: str,
    *,
    emission: Sequence[float] = (0.0, 0.0, 0.0),
    inside_k: float = 0.0,
    fixed_c: float | None = None,
    texture: float = 0.08,
    leaf: float = 0.0,
    retro: float = 0.0,
    cull: bool = False,
    detail: bool = False,
) -> list[float]:
    """One attribute row.

    leaf: 1 for foliage, CROWN where sky shines through it. fixed_c sets the apparent temperature whatever the climate
    (skin, a glowing lamp).
    """
    shade_c, sun_k, texture_k = climate.temperature(material, inside_k=inside_k)
    if fixed_c is not None:
        shade_c, sun_k = fixed_c, 0.0
    return [
        float(label),
        *(float(c) for c in colour),
        *(float(e) for e in emission),
        shade_c,
        sun_k,
        texture,
        texture_k,
        float(leaf),
        retro,
        float(cull),
        float(detail),
    ]


@dataclass(frozen=True, kw_only=True)
class Faces:
    """xyz float32 (F, 8, 3) as (d, y, s) in metres; attributes float32 (F, NUM_ATTRIBUTES). Drawn in this order."""

    xyz: Float32Array
    attributes: Float32Array

    @staticmethod
    def of(xyz: Sequence[npt.NDArray[np.floating]], rows: Sequence[Sequence[float]]) -> Faces:
        """One row of attributes for each polygon (n_i, 3)."""
        corners = np.empty((len(xyz), CORNERS, 3), np.float32)
        for i, polygon in enumerate(xyz):
            n = len(polygon)
            corners[i, :n] = polygon
            corners[i, n:] = polygon[n - 1]
        return Faces(xyz=corners, attributes=np.asarray(rows, np.float32).reshape(-1, NUM_ATTRIBUTES))

    @staticmethod
    def same(xyz: npt.NDArray[np.floating], row: Sequence[float]) -> Faces:
        """Many polygons (F, n, 3) of one surface."""
        n = xyz.shape[1]
        corners = np.empty((len(xyz), CORNERS, 3), np.float32)
        corners[:, :n] = xyz
        corners[:, n:] = xyz[:, n - 1 : n]
        attributes = np.broadcast_to(np.asarray(row, np.float32), (len(xyz), NUM_ATTRIBUTES))
        return Faces(xyz=corners, attributes=attributes)

    @staticmethod
    def join(parts: Sequence[Faces]) -> Faces:
        """All faces of all parts, in order."""
        return Faces(
            xyz=np.concatenate([p.xyz for p in parts]),
            attributes=np.concatenate([p.attributes for p in parts]),
        )

    def varied(
        self, rng: np.random.Generator, *, emission: float = 0.0, heat_k: float = 0.0, tone: float = 0.0
    ) -> Faces:
        """Each face a little different: emission and albedo by a factor, temperature by a normal offset in K."""
        attributes, n = self.attributes.copy(), len(self.attributes)
        attributes[:, EMIT_R : EMIT_B + 1] *= rng.uniform(1 - emission, 1 + emission, (n, 1))
        attributes[:, RED : BLUE + 1] *= rng.uniform(1 - tone, 1 + tone, (n, 1))
        attributes[:, SHADE_C] += heat_k * rng.standard_normal(n)
        return Faces(xyz=self.xyz, attributes=attributes)

    def placed(self, d: float, s: float, *, y: float = 0.0, yaw: float = 0.0) -> Faces:
        """Turned by yaw (rad, about the vertical, positive turns forward to the right) and moved."""
        xyz = self.xyz
        if yaw:
            sin, cos = np.float32(np.sin(yaw)), np.float32(np.cos(yaw))
            x, z = xyz[..., 0], xyz[..., 2]
            xyz = np.stack([cos * x + sin * z, xyz[..., 1], cos * z - sin * x], axis=-1)
        return Faces(xyz=xyz + np.array([d, y, s], np.float32), attributes=self.attributes)

    def lambert(self, direction: tuple[float, float, float]) -> Float32Array:
        """(F,) cosine between each face's normal and a direction, 0 where the face looks away."""
        p = self.xyz
        q = np.roll(p, -1, axis=1)
        normal = np.stack(
            [
                ((p[..., 1] - q[..., 1]) * (p[..., 2] + q[..., 2])).sum(1),
                ((p[..., 2] - q[..., 2]) * (p[..., 0] + q[..., 0])).sum(1),
                ((p[..., 0] - q[..., 0]) * (p[..., 1] + q[..., 1])).sum(1),
            ],
            axis=1,
        )
        normal /= np.linalg.norm(normal, axis=1, keepdims=True) + 1e-9
        cosine: Float32Array = normal @ np.asarray(direction, np.float32)
        return np.maximum(cosine, 0.0)


def upright(x0: float, x1: float, y0: float, y1: float, z: float = 0.0) -> Float32Array:
    """(4, 3) rectangle that faces the camera (its normal is -s)."""
    return np.array([[x0, y0, z], [x0, y1, z], [x1, y1, z], [x1, y0, z]], np.float32)


def flat(x0: float, x1: float, z0: float, z1: float, y: float = 0.0) -> Float32Array:
    """(4, 3) rectangle that faces up."""
    return np.array([[x0, y, z0], [x0, y, z1], [x1, y, z1], [x1, y, z0]], np.float32)


def disc(x: float, y: float, radius: float, *, radius_y: float | None = None, z: float = 0.0) -> Float32Array:
    """(8, 3) octagon that faces the camera."""
    a = np.arange(8) * (np.pi / 4) + np.pi / 8
    ry = radius if radius_y is None else radius_y
    return np.stack([x - radius * np.cos(a), y + ry * np.sin(a), np.full(8, z)], axis=1).astype(np.float32)


def bar(
    a: tuple[float, float], b: tuple[float, float], width: float, *, end_width: float | None = None
) -> Float32Array:
    """(4, 3) bar from a to b (x, y) in the plane that faces the camera."""
    dx, dy = b[0] - a[0], b[1] - a[1]
    length = max(float(np.hypot(dx, dy)), 1e-6)
    nx, ny = -dy / length / 2, dx / length / 2
    e = width if end_width is None else end_width
    return np.array(
        [
            [a[0] + nx * width, a[1] + ny * width, 0],
            [b[0] + nx * e, b[1] + ny * e, 0],
            [b[0] - nx * e, b[1] - ny * e, 0],
            [a[0] - nx * width, a[1] - ny * width, 0],
        ],
        np.float32,
    )


def box(x0: float, x1: float, y0: float, y1: float, z0: float, z1: float) -> dict[str, Float32Array]:
    """The six outer faces of a box by name, each (4, 3), wound so that its normal looks outwards."""
    return prism((x0, x1, z0, z1), y0, (x0, x1, z0, z1), y1)


def prism(
    low: tuple[float, float, float, float], y0: float, high: tuple[float, float, float, float], y1: float
) -> dict[str, Float32Array]:
    """A frustum between level rectangles (x0, x1, z0, z1): back (towards the camera), front, left, right, top."""
    a = [[low[0], y0, low[2]], [low[1], y0, low[2]], [low[1], y0, low[3]], [low[0], y0, low[3]]]
    b = [[high[0], y1, high[2]], [high[1], y1, high[2]], [high[1], y1, high[3]], [high[0], y1, high[3]]]

    def quad(*points: list[float]) -> Float32Array:
        return np.array(points, np.float32)

    return {
        "back": quad(a[0], b[0], b[1], a[1]),
        "front": quad(a[2], b[2], b[3], a[3]),
        "left": quad(a[3], b[3], b[0], a[0]),
        "right": quad(a[1], b[1], b[2], a[2]),
        "top": quad(b[0], b[3], b[2], b[1]),
    }
