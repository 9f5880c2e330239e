# SPDX-License-Identifier: Apache-2.0
"""What lies in each pixel of a moment: the surface table, the index image into it, distances, texture and shadow."""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache

import cv2
import numpy as np
import numpy.typing as npt

from segmif_ros.arrays import Float32Array, Image, Mask
from segmif_ros.scenes import classes as c
from segmif_ros.scenes.car_camera import Camera, Painted, paint
from segmif_ros.scenes.climate import Climate, noise_tile
from segmif_ros.scenes.faces import CROWN, LABEL, LEAF, surface
from segmif_ros.scenes.world import World, WorldMoment

TEXTURE_PX_PER_M = 26.0
SKY_INDEX = 0
GAP = 1.35  # where the texture of a crown exceeds this, there is no leaf


@dataclass(frozen=True, kw_only=True)
class Layers:
    """One moment's pixels. rows: image rows from the first on which ground can be seen."""

    camera: Camera
    moment: WorldMoment
    painted: Painted
    table: Float32Array  # (surfaces, NUM_ATTRIBUTES): sky, ground, skyline, then the painted faces from first_face on
    first_face: int
    index: npt.NDArray[np.uint16]  # (H, W) row of the table
    is_ground: Mask  # (H, W)
    is_sky: Mask  # (H, W)
    distance: Float32Array  # (H, W) metres
    texture: Float32Array  # (H, W) deviation 1, faded with distance
    first_row: int
    ground_d: Float32Array  # (rows, W) metres
    ground_s: Float32Array  # (rows,) metres from the camera
    sunlit: Float32Array  # (rows, W) 0 in shadow, 1 in the sun

    def shows_sky(self) -> Mask:
        """(first_row, W) the sky itself, and the gaps in the crowns of trees through which it shines."""
        rows = slice(0, self.first_row)
        gaps = np.take(self.table[:, LEAF] > CROWN - 0.5, self.index[rows]) & (self.texture[rows] > GAP)
        return gaps | self.is_sky[rows]

    def labels(self) -> Image:
        """uint8 (H, W) FMB ids."""
        return np.take(self.table[:, LABEL].astype(np.uint8), self.index)

    def depth(self) -> Float32Array:
        """(H, W) exact distance along the optical axis, metres; infinite for the sky and what lies at the horizon.

        `distance` has one value for a whole face. Here each face is the plane through its corners, and one over the
        depth of a plane is linear in the pixel.
        """
        camera = self.camera
        u, v, z = camera.project(self.moment.faces.xyz[self.painted.faces])
        near = 1.0 / z.astype(np.float64)
        here = np.stack([u - camera.centre_u, v - camera.horizon_v], axis=-1).astype(np.float64) / camera.focal_px
        # least squares about the corners' middle: a face seen edge-on is a line, and keeps its mean
        middle, mean = here.mean(axis=1, keepdims=True), near.mean(axis=1)
        off = here - middle
        normal = np.einsum("fci,fcj->fij", off, off) + 1e-12 * np.eye(2)
        slope = np.linalg.solve(normal, np.einsum("fci,fc->fi", off, near - mean[:, None])[..., None])[..., 0]
        table = np.zeros((5, len(self.table)), np.float32)
        faces = slice(self.first_face, None)
        table[0, faces] = mean - np.einsum("fi,fi->f", slope, middle[:, 0])
        table[1:3, faces] = slope.T
        table[3, faces], table[4, faces] = near.min(axis=1), near.max(axis=1)
        columns = (np.arange(camera.width, dtype=np.float32) - camera.centre_u) / camera.focal_px
        rows = (np.arange(camera.height, dtype=np.float32)[:, None] - camera.horizon_v) / camera.focal_px
        at, right, down, least, most = (np.take(each, self.index) for each in table)
        nearness = np.clip(at + right * columns + down * rows, least, most)
        first = self.first_row
        np.copyto(nearness[first:], 1.0 / self.ground_s[:, None], where=self.is_ground[first:])
        with np.errstate(divide="ignore"):
            return np.asarray(1.0 / nearness, np.float32)


def make_layers(world: World, climate: Climate, camera: Camera, t_s: float, skyline: Skyline) -> Layers:
    """Paint a moment: sky, what lies at the horizon, ground, and everything on it from far to near."""
    moment, ground = world.at(camera.s_m, t_s), world.ground
    index = np.zeros((camera.height, camera.width), np.uint16)
    first, ground_s = camera.row_distances()
    u = np.arange(camera.width, dtype=np.float32) - np.float32(camera.centre_u)
    bend = world.road.offset(camera.s_m, ground_s)
    ground_d = u[None, :] * (ground_s / np.float32(camera.focal_px))[:, None] + (camera.d_m - bend)[:, None]
    far_index = 1 + len(ground.rows)
    index[:first][np.arange(first)[:, None] >= skyline.top(camera)[None, :]] = far_index
    index[first:] = ground.surfaces(ground_d, ground_s + np.float32(camera.s_m)) + np.uint16(1)
    painted = paint(index, far_index + 1, moment.faces, moment.sort_key, camera)
    sky = surface(climate, c.SKY, (0, 0, 0), "glass", texture=0.0)
    table = np.concatenate(
        [
            np.array([sky], np.float32),
            ground.rows,
            np.array([skyline.surface(climate)], np.float32),
            moment.faces.attributes[painted.faces],
        ]
    )
    # Patches, manholes and the dark under a car lie on the ground: they take light and distance from their own place.
    on_ground = table[:, LABEL] == c.ROAD
    on_ground[1:far_index] = True
    is_ground = np.take(on_ground, index)
    is_ground[:first] = False
    distance, texture = _distance_and_texture(
        index, is_ground, table, far_index + 1, painted, camera, ground_d, ground_s
    )
    return Layers(
        camera=camera,
        moment=moment,
        painted=painted,
        table=table,
        first_face=far_index + 1,
        index=index,
        is_ground=is_ground,
        is_sky=index == SKY_INDEX,
        distance=distance,
        texture=texture,
        first_row=first,
        ground_d=ground_d,
        ground_s=ground_s,
        sunlit=_sunlit(moment, climate, camera, first),
    )


@dataclass(frozen=True, kw_only=True)
class Skyline:
    """(1024,) height (rad) of what lies at the horizon, all round; houses or woods."""

    height_rad: Float32Array
    town: bool

    def top(self, camera: Camera) -> npt.NDArray[np.intp]:
        """(W,) image row where it begins."""
        angle = (np.arange(camera.width) - camera.centre_u) / camera.focal_px + camera.road.heading(camera.s_m)
        at = np.floor(angle * (len(self.height_rad) / (2 * np.pi))).astype(int) % len(self.height_rad)
        return np.rint(camera.horizon_v - self.height_rad[at] * camera.focal_px).astype(int)

    def surface(self, climate: Climate) -> list[float]:
        """Its row of the surface table."""
        if self.town:
            return surface(climate, c.BUILDING, (0.25, 0.24, 0.24), "plaster", texture=0.1)
        return surface(climate, c.VEGETATION, (0.07, 0.11, 0.05), "foliage", texture=0.3, leaf=1.0)


def make_skyline(rng: np.random.Generator) -> Skyline:
    """Draw a skyline."""
    steps = np.repeat(rng.random(128) ** 2, 8)
    turn = np.linspace(0, 2 * np.pi, 1024)
    waves = sum(rng.uniform(0, 1) / k * np.sin(k * turn + rng.uniform(0, 6)) for k in range(2, 24))
    height = np.maximum(0, 0.02 + 0.06 * steps + 0.012 * waves + 0.003 * rng.random(1024))
    return Skyline(height_rad=height.astype(np.float32), town=bool(rng.random() < 0.5))


@lru_cache(maxsize=1)
def surface_tiles() -> Float32Array:
    """(256, 256, 2): noise for plain surfaces and for foliage; it repeats without a seam."""
    leaf = noise_tile(11, 0.45)
    leaf = np.asarray(cv2.GaussianBlur(np.tile(leaf, (3, 3)), (0, 0), 0.9), np.float32)[256:512, 256:512]
    return np.dstack([noise_tile(7, 0.5), leaf / leaf.std()]).astype(np.float32)


def _distance_and_texture(
    index: npt.NDArray[np.uint16],
    is_ground: Mask,
    table: Float32Array,
    first_face: int,
    painted: Painted,
    camera: Camera,
    ground_d: Float32Array,
    ground_s: Float32Array,
) -> tuple[Float32Array, Float32Array]:
    """Both (H, W). The texture sticks to its surface: it is looked up in metres from a face's corner."""
    first = camera.height - len(ground_s)
    distance = np.full(len(table), 400.0, np.float32)
    distance[first_face:] = painted.distance
    per_px = distance * np.float32(TEXTURE_PX_PER_M / camera.focal_px)
    start = np.zeros((2, len(table)), np.float32)
    scatter = painted.faces.astype(np.float32)
    start[0, first_face:] = np.mod(scatter * 37.0, 256) - painted.anchor_u * per_px[first_face:]
    start[1, first_face:] = np.mod(scatter * 91.0, 256) - painted.anchor_v * per_px[first_face:]
    scale = np.take(per_px, index)
    map_x = np.arange(camera.width, dtype=np.float32)[None, :] * scale + np.take(start[0], index)
    map_y = np.arange(camera.height, dtype=np.float32)[:, None] * scale + np.take(start[1], index)
    depth = np.take(distance, index)
    mask = is_ground[first:]
    # In float64, because hours of driving leave too few digits in float32; the tile repeats every 256 texels.
    tile_s = np.mod((ground_s.astype(np.float64) + camera.s_m) * TEXTURE_PX_PER_M, 256).astype(np.float32)
    np.copyto(map_x[first:], ground_d * np.float32(TEXTURE_PX_PER_M), where=mask)
    np.copyto(map_y[first:], tile_s[:, None], where=mask)
    np.copyto(depth[first:], ground_s[:, None], where=mask)
    tiles = cv2.remap(surface_tiles(), map_x, map_y, cv2.INTER_LINEAR, borderMode=cv2.BORDER_WRAP)
    texture = np.where(np.take(table[:, LEAF], index) > 0, tiles[..., 1], tiles[..., 0])
    texture *= np.minimum(1.0, 18.0 / depth)
    return depth, texture


def _sunlit(moment: WorldMoment, climate: Climate, camera: Camera, first: int) -> Float32Array:
    """(rows, W): 0 where something throws its shadow on the ground, 1 in the sun."""
    shade = np.zeros((camera.height - first, camera.width), np.uint8)
    if climate.sun > 0.1:
        sx, sy, sz = climate.sun_direction
        near = moment.shadows[(moment.shadows[:, 1] > -8) & (moment.shadows[:, 1] < 90)]
        d, s, w, h = near.T
        h = np.minimum(h, 14.0)
        tip_d, tip_s = d - h * sx / sy, s - h * sz / sy
        corners = [(d - w, s), (d + w, s), (tip_d + w, tip_s), (tip_d - w, tip_s)]
        quads = np.stack([np.stack(corner, axis=1) for corner in corners], axis=1)
        angle = np.arange(8) * (np.pi / 4)
        crown_d, crown_s, r = d + 0.65 * (tip_d - d), s + 0.65 * (tip_s - s), np.maximum(w, 0.1)
        discs = np.stack(
            [crown_d[:, None] + r[:, None] * np.cos(angle), crown_s[:, None] + r[:, None] * np.sin(angle)], axis=2
        )
        for group in (quads, discs):
            xyz = np.stack([group[..., 0], np.zeros(group.shape[:2]), group[..., 1]], axis=-1).astype(np.float32)
            u, v, _ = camera.project(xyz)
            points = np.rint(np.clip(np.stack([u, v - first], axis=-1), -20000, 20000)).astype(np.int32)
            for polygon in points[xyz[..., 2].max(axis=1) > 0.4]:
                cv2.fillConvexPoly(shade, polygon, 255)
        if len(shade):
            shade = np.asarray(cv2.blur(shade, (3, 3)), np.uint8)
    return 1.0 - shade.astype(np.float32) * np.float32(1 / 255)
