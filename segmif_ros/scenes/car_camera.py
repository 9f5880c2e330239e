# SPDX-License-Identifier: Apache-2.0
"""The camera on its car, the bends of its road, and the painting of faces into an index image."""

from __future__ import annotations

from dataclasses import dataclass

import cv2
import numpy as np
import numpy.typing as npt

from segmif_ros.arrays import Float32Array
from segmif_ros.scenes.faces import CULL, DETAIL, Faces

NEAR_M, FAR_M = 0.35, 150.0
SUBPIXEL_BITS = 4


@dataclass(frozen=True, kw_only=True)
class Road:
    """Bends of the centre line: curvature and crest (vertical) in 1/m, a sinusoidal swing in m over a period."""

    curvature: float
    swing_m: float
    swing_period_m: float
    swing_phase: float
    crest: float

    def offset(self, s_from: float, ahead_m: Float32Array) -> Float32Array:
        """Lateral offset (m) of the centre line ahead_m before a camera at s_from that looks along the road."""
        k = 2 * np.pi / self.swing_period_m
        a = k * s_from + self.swing_phase
        swing = self.swing_m * (np.sin(k * ahead_m + a) - np.sin(a) - k * np.cos(a) * ahead_m)
        return (0.5 * self.curvature * ahead_m * ahead_m + swing).astype(np.float32)

    def heading(self, s: float) -> float:
        """Direction (rad) of the road at s, for what lies at infinity."""
        k = 2 * np.pi / self.swing_period_m
        return self.curvature * s + self.swing_m * k * float(np.cos(k * s + self.swing_phase))

    def rise(self, ahead_m: Float32Array) -> Float32Array:
        """Height (m) of the road ahead_m before the camera."""
        return (0.5 * self.crest * ahead_m * ahead_m).astype(np.float32)


@dataclass(frozen=True, kw_only=True)
class Camera:
    """A pinhole camera at one moment. focal_px, centre in pixels; position in road coordinates, metres."""

    height: int
    width: int
    focal_px: float
    centre_u: float
    horizon_v: float
    mount_m: float  # height over the road
    d_m: float
    s_m: float
    road: Road

    def project(self, xyz: Float32Array) -> tuple[Float32Array, Float32Array, Float32Array]:
        """(u, v, z) of points (..., 3) whose s already is relative to the camera; z is clamped at NEAR_M."""
        z = np.maximum(xyz[..., 2], np.float32(NEAR_M))
        scale = np.float32(self.focal_px) / z
        x = xyz[..., 0] + self.road.offset(self.s_m, z) - np.float32(self.d_m)
        y = xyz[..., 1] + self.road.rise(z) - np.float32(self.mount_m)
        u = x * scale + np.float32(self.centre_u)
        v = np.float32(self.horizon_v) - y * scale
        return u.astype(np.float32, copy=False), v.astype(np.float32, copy=False), z

    def row_distances(self) -> tuple[int, Float32Array]:
        """(first ground row, its and the following rows' distance in metres (rows,))."""
        z = np.geomspace(NEAR_M, 1.5 * FAR_M, 400).astype(np.float32)
        v = self.horizon_v + (self.mount_m - self.road.rise(z)) * self.focal_px / z
        v = np.minimum.accumulate(v)
        first = int(np.clip(np.ceil(v[-1]), 0, self.height))
        rows = np.arange(first, self.height, dtype=np.float32)
        return first, np.interp(rows, v[::-1], z[::-1]).astype(np.float32)


@dataclass(frozen=True, kw_only=True)
class Painted:
    """What paint() drew, in index order: rows of the faces, mean distance, anchor, share of a pixel that they cover."""

    faces: npt.NDArray[np.intp]
    distance: Float32Array
    anchor_u: Float32Array
    anchor_v: Float32Array
    coverage: Float32Array


def paint(
    index: npt.NDArray[np.uint16], first_index: int, faces: Faces, sort_key: Float32Array, camera: Camera
) -> Painted:
    """Paint faces (s relative to the camera) from far to near; face k of the result is written as first_index + k."""
    xyz = faces.xyz
    furthest, nearest = xyz[..., 2].max(1), xyz[..., 2].min(1)
    near = np.flatnonzero((furthest > NEAR_M) & (nearest < FAR_M))
    u, v, z = camera.project(xyz[near])
    un, vn = np.roll(u, -1, axis=1), np.roll(v, -1, axis=1)
    area = 0.5 * (u * vn - un * v).sum(1)
    left, right, top, bottom = u.min(1), u.max(1), v.min(1), v.max(1)
    on_screen = (right > -1) & (left < camera.width) & (bottom > -1) & (top < camera.height)
    attributes = faces.attributes[near]
    facing = (attributes[:, CULL] == 0) | (area > 0)
    big = (np.abs(area) > 0.4) | (attributes[:, DETAIL] == 0)
    keep = np.flatnonzero(on_screen & facing & big)
    keep = keep[np.argsort(-sort_key[near[keep]], kind="stable")]
    scale = 1 << SUBPIXEL_BITS
    points = np.stack([u[keep], v[keep]], axis=-1)
    fixed = np.rint(np.clip(points, -20000, 20000) * scale).astype(np.int32)
    fill = cv2.fillConvexPoly
    for i, polygon in enumerate(fixed, first_index):
        fill(index, polygon, i, cv2.LINE_8, SUBPIXEL_BITS)
    return Painted(
        faces=near[keep],
        distance=z[keep].mean(1),
        anchor_u=u[keep, 0],
        anchor_v=v[keep, 0],
        coverage=np.minimum(np.abs(area[keep]), 1.0),
    )
