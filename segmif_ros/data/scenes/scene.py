# SPDX-License-Identifier: Apache-2.0
"""RoadScene: one seed's world, seen through a colour and an infrared camera that share their view."""

from __future__ import annotations

from dataclasses import dataclass

import cv2
import numpy as np
import numpy.typing as npt

from segmif_ros.data.scenes import classes as c
from segmif_ros.data.scenes import faces as f
from segmif_ros.data.scenes import shading, thermal
from segmif_ros.data.scenes.camera import Camera, Painted, paint
from segmif_ros.data.scenes.climate import LIGHTINGS, WEATHERS, make_climate
from segmif_ros.data.scenes.world import Moment, View, World

MIN_SIZE = 32
TEXTURE_PX_PER_M = 26.0
SKY_INDEX = 0


class SceneError(ValueError):
    """A scene that cannot be made from these arguments; the message is one line for the user."""


@dataclass(frozen=True, kw_only=True)
class SceneFrame:
    """One moment. All arrays share (H, W) and, unless a misregistration was asked for, their view.

    rgb uint8 (H, W, 3) RGB; infrared uint16 (H, W), 14-bit counts; infrared8 uint8 (H, W), the same image as a camera
    with automatic gain shows it, hot is bright; labels uint8 (H, W), FMB ids in the view of the RGB image.
    """

    rgb: npt.NDArray[np.uint8]
    infrared: npt.NDArray[np.uint16]
    infrared8: npt.NDArray[np.uint8]
    labels: npt.NDArray[np.uint8]


class RoadScene:
    """A street that a camera drives along. Fully determined by its arguments and the time.

    seed: any non-negative integer. lighting: "day", "dusk", "night" or "any"; weather: "clear", "rain", "fog" or "any"; "any"
    draws by the seed. infrared_shift_px: (right, down) by which the infrared image is displaced against the RGB one;
    infrared_homography: (3, 3), takes registered infrared pixel coordinates to displaced ones. The border is replicated.
    Raises SceneError on arguments that make no scene.
    """

    def __init__(
        self,
        seed: int,
        height: int = 240,
        width: int = 320,
        *,
        lighting: str = "day",
        weather: str = "clear",
        infrared_shift_px: tuple[float, float] = (0.0, 0.0),
        infrared_homography: npt.ArrayLike | None = None,
    ) -> None:
        if height < MIN_SIZE or width < MIN_SIZE:
            raise SceneError(f"a scene of {width}x{height} pixels is too small: give at least {MIN_SIZE}x{MIN_SIZE}")
        if seed < 0:
            raise SceneError(f"seed {seed} is negative: give 0 or more")
        for value, allowed, what in ((lighting, LIGHTINGS, "lighting"), (weather, WEATHERS, "weather")):
            if value not in (*allowed, "any"):
                raise SceneError(f"unknown {what} '{value}': choose one of {', '.join(allowed)}, any")
        self.seed, self.height, self.width = seed, height, width
        rng = np.random.default_rng([seed, 0x5EED])
        drawn_lighting, drawn_weather = LIGHTINGS[int(rng.integers(3))], str(rng.choice(WEATHERS, p=[0.7, 0.17, 0.13]))
        self.lighting = drawn_lighting if lighting == "any" else lighting
        self.weather = drawn_weather if weather == "any" else weather
        self._warp = _warp_matrix(infrared_shift_px, infrared_homography)
        self._climate = make_climate(rng, self.lighting, self.weather)
        self._world = World(rng, self._climate)
        u = rng.uniform
        self._view = View(
            focal=float(u(0.72, 1.15)),
            horizon=float(u(0.36, 0.56)),
            centre_u=float(u(0.47, 0.53)),
            mount_m=float(u(1.2, 1.75)),
            d_m=float(rng.normal(0, 0.25)),
            bob_px=float(u(0, 0.004)) * height,
            phase=float(u(0, 6)),
        )
        self._thermal = thermal.make_thermal_camera(rng, self._climate, height, width)
        y, x = np.linspace(-1, 1, height, dtype=np.float32)[:, None], np.linspace(-1, 1, width, dtype=np.float32)[None, :]
        self._vignette = (1 - float(u(0.05, 0.3)) * (x * x + y * y) / 2).astype(np.float32)
        self._blur_px, self._contrast = float(u(0.35, 0.75)) * width / 320, float(u(0.0, 0.7))
        self._skyline = _skyline(rng)
        self._skyline_is_town = rng.random() < 0.5

    @property
    def focal_px(self) -> float:
        """Focal length of both cameras in pixels."""
        return self._view.focal * self.width

    def frame(self, t_s: float) -> SceneFrame:
        """The scene at t_s seconds, 0 or more."""
        rng = np.random.default_rng([self.seed, 1 + round(t_s * 1e6)])
        world, climate = self._world, self._climate
        camera = world.camera_at(t_s, self.height, self.width, self._view)
        moment = world.at(camera.s_m, t_s)
        ground = world.ground

        index = np.zeros((self.height, self.width), np.uint16)
        first, ground_z = camera.row_distances()
        u = np.arange(self.width, dtype=np.float32) - np.float32(camera.centre_u)
        bend = world.road.offset(camera.s_m, ground_z)
        ground_d = u[None, :] * (ground_z / np.float32(camera.focal_px))[:, None] + (np.float32(camera.d_m) - bend)[:, None]
        far_index = 1 + len(ground.rows)
        self._paint_skyline(index, first, camera, far_index)
        index[first:] = ground.surfaces(ground_d, ground_z + np.float32(camera.s_m)) + np.uint16(1)
        painted = paint(index, far_index + 1, moment.faces, moment.sort_key, camera)

        table = self._table(moment, painted)
        layers = self._layers(index, table, painted, camera, first, ground_d, ground_z, moment)
        rgb, cloud = self._render_rgb(table, layers, painted, moment, camera, rng)
        counts = self._render_infrared(table, layers, moment, painted, camera, cloud, rng)
        labels = np.take(table[:, f.LABEL].astype(np.uint8), index)
        if self._warp is not None:
            counts = cv2.warpPerspective(
                counts, self._warp, (self.width, self.height), flags=cv2.INTER_LINEAR, borderMode=cv2.BORDER_REPLICATE
            )
        return SceneFrame(rgb=rgb, infrared=counts, infrared8=self._thermal.render8(counts), labels=labels)

    def _paint_skyline(self, index: npt.NDArray[np.uint16], first: int, camera: Camera, far_index: int) -> None:
        angle = (np.arange(self.width) - camera.centre_u) / camera.focal_px + camera.road.heading(camera.s_m)
        at = (angle * (len(self._skyline) / (2 * np.pi))).astype(int) % len(self._skyline)
        top = np.rint(camera.horizon_v - self._skyline[at] * camera.focal_px).astype(int)
        rows = np.arange(first)[:, None]
        index[:first][rows >= top[None, :]] = far_index

    def _table(self, moment: Moment, painted: Painted) -> f.F32:
        """(rows, NUM_ATTRIBUTES) by index: sky, ground, skyline, painted faces."""
        sky = f.surface(self._climate, c.SKY, (0, 0, 0), "glass", texture=0.0)
        if self._skyline_is_town:
            far = f.surface(self._climate, c.BUILDING, (0.25, 0.24, 0.24), "plaster", texture=0.1)
        else:
            far = f.surface(self._climate, c.VEGETATION, (0.07, 0.11, 0.05), "foliage", texture=0.3, leaf=True)
        return np.concatenate(
            [np.float32([sky]), self._world.ground.rows, np.float32([far]), moment.faces.attributes[painted.faces]]
        )

    def _layers(
        self,
        index: npt.NDArray[np.uint16],
        table: f.F32,
        painted: Painted,
        camera: Camera,
        first: int,
        ground_d: f.F32,
        ground_z: f.F32,
        moment: Moment,
    ) -> shading.Layers:
        count = len(self._world.ground.rows)
        is_ground = (index >= 1) & (index <= count)
        is_sky = index == SKY_INDEX
        head = count + 2
        distance = np.full(len(table), 400.0, np.float32)
        distance[head:] = painted.distance
        per_px = distance * np.float32(TEXTURE_PX_PER_M / camera.focal_px)
        start = np.zeros((2, len(table)), np.float32)
        scatter = painted.faces.astype(np.float32)
        start[0, head:] = np.mod(scatter * 37.0, 256) - painted.anchor_u * per_px[head:]
        start[1, head:] = np.mod(scatter * 91.0, 256) - painted.anchor_v * per_px[head:]
        scale_px = np.take(per_px, index)
        map_x = np.arange(self.width, dtype=np.float32)[None, :] * scale_px + np.take(start[0], index)
        map_y = np.arange(self.height, dtype=np.float32)[:, None] * scale_px + np.take(start[1], index)
        z_plane = np.take(distance, index)
        mask = is_ground[first:]
        tile_s = np.mod((ground_z + np.float32(camera.s_m % 1000)) * np.float32(TEXTURE_PX_PER_M), 256)
        np.copyto(map_x[first:], ground_d * np.float32(TEXTURE_PX_PER_M), where=mask)
        np.copyto(map_y[first:], np.broadcast_to(tile_s[:, None], mask.shape), where=mask)
        np.copyto(z_plane[first:], np.broadcast_to(ground_z[:, None], mask.shape), where=mask)
        tiles = cv2.remap(shading.surface_tiles(), map_x, map_y, cv2.INTER_LINEAR, borderMode=cv2.BORDER_WRAP)
        texture = np.where(np.take(table[:, f.LEAF], index) > 0, tiles[..., 1], tiles[..., 0])
        texture *= np.minimum(1.0, 18.0 / z_plane)
        return shading.Layers(
            index=index,
            is_ground=is_ground,
            is_sky=is_sky,
            distance=z_plane,
            texture=texture,
            first_ground=first,
            ground_d=ground_d,
            ground_z=ground_z,
            sunlit=self._sunlit(moment, camera, first),
        )

    def _sunlit(self, moment: Moment, camera: Camera, first: int) -> f.F32:
        shade = np.zeros((self.height - first, self.width), np.uint8)
        if self._climate.sun > 0.1:
            sx, sy, sz = self._climate.sun_direction
            near = moment.shadows[(moment.shadows[:, 1] > -8) & (moment.shadows[:, 1] < 90)]
            d, s, w, h = near.T
            h = np.minimum(h, 14.0)
            tip_d, tip_s = d - h * sx / sy, s - h * sz / sy
            quads = np.stack(
                [np.stack([d - w, s], 1), np.stack([d + w, s], 1), np.stack([tip_d + w, tip_s], 1), np.stack([tip_d - w, tip_s], 1)], axis=1
            )
            a = np.arange(8) * (np.pi / 4)
            crown_d, crown_s, r = d + 0.65 * (tip_d - d), s + 0.65 * (tip_s - s), np.maximum(w, 0.1)
            discs = np.stack([crown_d[:, None] + r[:, None] * np.cos(a), crown_s[:, None] + r[:, None] * np.sin(a)], axis=2)
            for group in (quads, discs):
                xyz = np.stack([group[..., 0], np.zeros(group.shape[:2]), group[..., 1]], axis=-1).astype(np.float32)
                pu, pv, _ = camera.project(xyz)
                points = np.rint(np.clip(np.stack([pu, pv - first], axis=-1), -20000, 20000)).astype(np.int32)
                for polygon in points[(xyz[..., 2].max(1) > 0.4)]:
                    cv2.fillConvexPoly(shade, polygon, 255)
            shade = cv2.blur(shade, (3, 3))
        return 1.0 - shade.astype(np.float32) * np.float32(1 / 255)

    def _render_rgb(
        self,
        table: f.F32,
        layers: shading.Layers,
        painted: Painted,
        moment: Moment,
        camera: Camera,
        rng: np.random.Generator,
    ) -> tuple[npt.NDArray[np.uint8], f.F32]:
        climate, index, first = self._climate, layers.index, layers.first_ground
        head = len(table) - len(painted.faces)
        ambient, sun = np.float32(climate.ambient_rgb), np.float32(climate.sun_rgb) * np.float32(climate.sun)
        lamp_rgb = np.float32(climate.lamp_rgb) * np.float32(0.22 if climate.lighting == "night" else 0.12)
        dark = climate.lamps_on

        light = np.empty((len(table), 3), np.float32)
        light[:] = ambient
        centre = moment.faces.xyz[painted.faces].mean(axis=1)
        light[head:] = ambient * 0.8 + moment.lambert[painted.faces, None] * sun
        if dark:
            light[head:] += shading.lamp_light(centre[:, 0], centre[:, 2], moment.lamps)[:, None] * lamp_rgb
        albedo = table[:, f.RED : f.BLUE + 1]
        if climate.wetness:
            albedo = albedo.copy()
            albedo[1 : head - 1] *= np.float32(1 - 0.35 * climate.wetness)
        emission = table[:, f.EMIT_R : f.EMIT_B + 1].copy()
        emission[head:] *= painted.coverage[:, None]

        # Ground pixels get their light from their own place, all others from their face.
        radiance = np.take(light, index, axis=0)
        ground_light = np.empty((self.height - first, self.width, 3), np.float32)
        ground_light[:] = ambient
        if climate.sun > 0.02:
            ground_light += layers.sunlit[..., None] * (sun * np.float32(climate.sun_direction[1]))
        if dark:
            coarse = shading.lamp_light(layers.ground_d[::3, ::3], layers.ground_z[::3, None], moment.lamps)
            pools = cv2.resize(coarse, (self.width, self.height - first), interpolation=cv2.INTER_LINEAR)
            ground_light += pools[..., None] * lamp_rgb
        np.copyto(radiance[first:], ground_light, where=layers.is_ground[first:, :, None])
        if climate.headlights:
            beam = shading.headlight_beam(camera) * np.float32(climate.headlights)
            reach = np.where(layers.is_ground, 7.0 / layers.distance, (11.0 / layers.distance) ** 1.5)
            gain = np.take(1.0 + np.float32(shading.RETRO_GAIN) * table[:, f.RETRO], index)
            own = beam * np.minimum(reach, 1.6) * gain * np.float32(0.5)
            radiance += own[..., None] * np.float32([1.0, 0.96, 0.86])
        radiance *= np.take(albedo, index, axis=0)
        radiance *= np.maximum(1.0 + np.take(table[:, f.TEX], index) * layers.texture, 0.15)[..., None]
        radiance += np.take(emission, index, axis=0)

        clear = np.exp(-np.float32(climate.haze_per_m) * layers.distance)[..., None]
        radiance *= clear
        radiance += (1 - clear) * (np.float32(climate.sky_low_rgb) * np.float32(0.9))
        sky, cloud = shading.sky_radiance(climate, camera, shading.cloud_tile(), first)
        if climate.weather == "fog":
            sky = 0.25 * sky + 0.75 * np.float32(climate.sky_low_rgb) * np.float32(0.9)
        np.copyto(radiance[:first], sky, where=layers.is_sky[:first, :, None])
        if climate.wetness:
            shading.wet_reflection(radiance, camera, layers, climate.wetness)
        if climate.lighting != "day":
            radiance += shading.glare(radiance * np.float32(climate.exposure)) / np.float32(climate.exposure)
        if climate.weather == "rain":
            level = float(np.mean(climate.sky_low_rgb)) + 0.01
            radiance += shading.rain_streaks(rng, self.height, self.width)[..., None] * np.float32(0.5 * level)
        return shading.expose(radiance, climate, self._vignette, rng, self._blur_px, self._contrast), cloud

    def _render_infrared(
        self,
        table: f.F32,
        layers: shading.Layers,
        moment: Moment,
        painted: Painted,
        camera: Camera,
        cloud: f.F32,
        rng: np.random.Generator,
    ) -> npt.NDArray[np.uint16]:
        climate, index, first = self._climate, layers.index, layers.first_ground
        head = len(table) - len(painted.faces)
        sun_share = np.zeros(len(table), np.float32)
        sun_share[head - 1] = 0.4
        sun_share[head:] = moment.lambert[painted.faces]
        temperature = np.take(table[:, f.SHADE_C] + table[:, f.SUN_K] * sun_share, index)
        if climate.sun > 0.02:
            heat = np.take(table[:, f.SUN_K], index[first:])
            warmed = heat * (climate.sun_direction[1] * (0.35 + 0.65 * layers.sunlit))
            temperature[first:] += np.where(layers.is_ground[first:], warmed, 0)
        temperature += np.take(table[:, f.TEX_K], index) * layers.texture
        clear = np.exp(-np.float32(climate.infrared_haze_per_m) * layers.distance)
        temperature = temperature * clear + np.float32(climate.air_c) * (1 - clear)
        sky = thermal.sky_temperature(climate, camera, cloud)
        np.copyto(temperature[:first], sky, where=layers.is_sky[:first])
        return self._thermal.counts(temperature, rng)


def _warp_matrix(shift_px: tuple[float, float], homography: npt.ArrayLike | None) -> npt.NDArray[np.float64] | None:
    if homography is None:
        if shift_px == (0.0, 0.0):
            return None
        return np.array([[1, 0, shift_px[0]], [0, 1, shift_px[1]], [0, 0, 1]], np.float64)
    matrix = np.asarray(homography, np.float64)
    if matrix.shape != (3, 3) or not np.isfinite(matrix).all() or abs(np.linalg.det(matrix)) < 1e-12:
        raise SceneError("infrared_homography must be an invertible matrix of 3x3 finite numbers")
    if shift_px != (0.0, 0.0):
        raise SceneError("give infrared_shift_px or infrared_homography, not both")
    return matrix


def _skyline(rng: np.random.Generator) -> f.F32:
    """(1024,) height (rad) of what lies at the horizon, all round."""
    steps = np.repeat(rng.random(128) ** 2, 8)
    waves = sum(rng.uniform(0, 1) / k * np.sin(k * np.linspace(0, 2 * np.pi, 1024) + rng.uniform(0, 6)) for k in range(2, 24))
    rough = rng.random(1024) * 0.15
    return np.maximum(0, 0.02 + 0.06 * steps + 0.012 * waves + 0.02 * rough).astype(np.float32)
