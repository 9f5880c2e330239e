# SPDX-License-Identifier: Apache-2.0
"""From apparent temperature per pixel to an infrared camera's counts and to its 8-bit rendering."""

from __future__ import annotations

from dataclasses import dataclass

import cv2
import numpy as np
import numpy.typing as npt

from segmif_ros.arrays import Float32Array, Image
from segmif_ros.scenes.car_camera import Camera
from segmif_ros.scenes.climate import Climate
from segmif_ros.scenes.faces import SHADE_C, SUN_K, TEX_K
from segmif_ros.scenes.layers import Layers

MAX_COUNT = 16383


@dataclass(frozen=True, kw_only=True)
class ThermalCamera:
    """counts = offset + gain * (temperature - 20 C) + noise, and how the 8-bit image is made of them.

    low_c, high_c: its range; knee: the grey at low_c, below which the cold sky fades into black; detail: share of local
    equalisation, and its clip_limit; overshoot: how much edges are sharpened.
    """

    offset: float
    gain_per_k: float
    blur_px: float
    noise_k: float
    column_k: Float32Array  # (W,) fixed pattern
    shading_k: Float32Array  # (H, W) slow fall-off of the lens
    low_c: float
    high_c: float
    detail: float
    clip_limit: float
    overshoot: float
    knee: float

    def counts(self, temperature_c: Float32Array, rng: np.random.Generator) -> npt.NDArray[np.uint16]:
        """(H, W) uint16 of 14 bits."""
        image = cv2.GaussianBlur(temperature_c, (0, 0), self.blur_px)
        height, width = image.shape
        noise = rng.standard_normal(size=(height, width), dtype=np.float32)
        image = image + np.float32(self.noise_k) * noise + self.column_k + self.shading_k
        raw = np.float32(self.offset) + np.float32(self.gain_per_k) * (image - np.float32(20.0))
        return np.clip(raw + 0.5, 0, MAX_COUNT).astype(np.uint16)

    def render8(self, counts: npt.NDArray[np.uint16]) -> Image:
        """(H, W) uint8: a fixed range of the scene, so that it does not flicker, with some local equalisation."""
        low = self.offset + self.gain_per_k * (self.low_c - 20.0)
        high = self.offset + self.gain_per_k * (self.high_c - 20.0)
        scale = 255.0 / max(high - low, 1.0)
        # Below the knee: steady and rising in slope and value, as in the histogram-driven gains of real cameras.
        levels = (np.arange(MAX_COUNT + 1, dtype=np.float32) - np.float32(low)) * np.float32(scale)
        if self.knee:
            slope = (255.0 - self.knee) / 255.0
            cold = self.knee * np.exp(np.clip(levels * (0.35 / self.knee), -50, 0))
            levels = np.where(levels > 0, self.knee + slope * levels, cold)
        plain = np.take(np.clip(levels, 0, 255).astype(np.uint8), counts)
        if self.detail:
            local = cv2.createCLAHE(clipLimit=self.clip_limit, tileGridSize=(6, 8)).apply(plain)
            plain = cv2.addWeighted(plain, 1.0 - self.detail, local, self.detail, 0.0)
        if self.overshoot:
            soft = cv2.GaussianBlur(plain, (0, 0), 2.0 * self.blur_px)
            plain = cv2.addWeighted(plain, 1.0 + self.overshoot, soft, -self.overshoot, 0.0)
        return np.asarray(plain, np.uint8)


def make_thermal_camera(rng: np.random.Generator, climate: Climate, height: int, width: int) -> ThermalCamera:
    """Draw a camera."""
    u = rng.uniform
    y = np.linspace(-1, 1, height, dtype=np.float32)[:, None]
    x = np.linspace(-1, 1, width, dtype=np.float32)[None, :]
    hottest = max(34.0, climate.air_c + 14.0 * climate.sun * climate.sun_heat + 8.0) + float(u(-4, 2))
    lowest = climate.air_c - float(u(-1, 14))
    style = rng.random()
    if style < 0.35:  # a gain that also shows the sky and its clouds
        lowest = climate.sky_c + float(u(0.0, 0.7)) * (climate.air_c - climate.sky_c)
    elif style < 0.65:  # one that the ground and the houses fill, where people clip
        hottest = climate.air_c + 12.0 * climate.sun * climate.sun_heat + float(u(3, 9))
    return ThermalCamera(
        offset=float(u(5500, 8500)),
        gain_per_k=float(u(35, 75)),
        blur_px=float(u(0.7, 1.5)) * (width / 320) ** 0.4,
        noise_k=float(u(0.04, 0.22)),
        column_k=(rng.standard_normal(width) * u(0.01, 0.09)).astype(np.float32),
        shading_k=(float(u(-0.5, 0.5)) * (x * x + y * y)).astype(np.float32),
        low_c=lowest,
        high_c=hottest,
        detail=float(rng.choice([0.0, 0.0, 0.3, 0.6, 0.9])),
        clip_limit=float(u(1.5, 4.0)),
        knee=float(rng.choice([0.0, 30.0, 50.0, 80.0]) * u(0.7, 1.2)),
        overshoot=float(rng.choice([0.0, 0.0, 0.5, 1.0])),
    )


def render_counts(
    layers: Layers, climate: Climate, camera: ThermalCamera, cloud: Float32Array, rng: np.random.Generator
) -> npt.NDArray[np.uint16]:
    """(H, W) uint16 counts of a moment; cloud as render_rgb gives it."""
    table, index, first = layers.table, layers.index, layers.first_row
    sunned = np.zeros(len(table), np.float32)
    sunned[layers.first_face - 1] = 0.4  # the skyline
    sunned[layers.first_face :] = layers.moment.lambert[layers.painted.faces]
    temperature = np.take(table[:, SHADE_C] + table[:, SUN_K] * sunned, index)
    if climate.sun > 0.02:
        # Shadows cool the ground slowly: a part of the sun's heat stays.
        shaded = np.float32(climate.sun_direction[1]) * (np.float32(0.35) + np.float32(0.65) * layers.sunlit)
        warmed = np.take(table[:, SHADE_C], index[first:]) + np.take(table[:, SUN_K], index[first:]) * shaded
        np.copyto(temperature[first:], warmed, where=layers.is_ground[first:])
    temperature += np.take(table[:, TEX_K], index) * layers.texture
    clear = np.exp(-np.float32(climate.infrared_haze_per_m) * layers.distance)
    temperature = temperature * clear + np.float32(climate.air_c) * (1 - clear)
    sky = sky_temperature(climate, layers.camera, cloud)
    np.copyto(temperature[:first], sky, where=layers.shows_sky())
    return camera.counts(temperature, rng)


def sky_temperature(climate: Climate, camera: Camera, cloud: Float32Array) -> Float32Array:
    """(rows, W) apparent temperature of the sky; cloud as sky_radiance gives it."""
    rows = len(cloud)
    elevation = np.maximum(camera.horizon_v - np.arange(rows, dtype=np.float32), 0) / camera.focal_px
    clear = climate.sky_c + (climate.air_c - 6.0 - climate.sky_c) * np.exp(-elevation / 0.22)
    base = climate.air_c - 7.0
    return (clear[:, None] + (np.maximum(base, clear) - clear)[:, None] * (0.75 * cloud)).astype(np.float32)
