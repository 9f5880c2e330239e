# SPDX-License-Identifier: Apache-2.0
"""From surfaces per pixel to the RGB image: light, haze, wet ground, glare, and the camera that sees it.

Shapes: H, W image size; F32 arrays are float32. Radiance is linear RGB, 1.0 is white in full daylight.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache

import cv2
import numpy as np
import numpy.typing as npt

from segmif_ros.data.scenes.camera import Camera
from segmif_ros.data.scenes.climate import Climate, noise_tile
from segmif_ros.data.scenes.faces import F32

RETRO_GAIN = 10.0


@dataclass(frozen=True, kw_only=True)
class Layers:
    """What the painter left per pixel. first_ground: first image row on which ground can be seen."""

    index: npt.NDArray[np.uint16]  # (H, W) row of the surface table
    is_ground: npt.NDArray[np.bool_]  # (H, W)
    is_sky: npt.NDArray[np.bool_]  # (H, W)
    distance: F32  # (H, W) metres
    texture: F32  # (H, W) deviation 1, faded with distance
    first_ground: int
    ground_d: F32  # (rows, W) metres
    ground_z: F32  # (rows,) metres
    sunlit: F32  # (rows, W) 0 in shadow, 1 in the sun


@lru_cache(maxsize=1)
def grain() -> F32:
    """(512, 1024, 3) sensor grain of deviation 1: mostly fine, partly blotchy, as a denoised and compressed image has it."""
    rng = np.random.default_rng(20240)
    fine = rng.standard_normal((512, 1024, 3)).astype(np.float32)
    fine = 0.55 * fine + 0.45 * fine.mean(axis=2, keepdims=True) * np.float32(3**0.5)
    blotchy = cv2.GaussianBlur(rng.standard_normal((512, 1024, 3)).astype(np.float32), (0, 0), 1.6) * np.float32(5.0)
    mixed: F32 = 0.75 * fine + 0.45 * blotchy
    return mixed / np.float32(mixed.std())


def grain_patch(rng: np.random.Generator, height: int, width: int) -> F32:
    tile = grain()
    y, x = int(rng.integers(0, 512)), int(rng.integers(0, 1024))
    rows, columns = np.arange(y, y + height) % 512, np.arange(x, x + width) % 1024
    return tile[rows[:, None], columns[None, :]]


def lamp_light(d: F32, s: F32, lamps: F32) -> F32:
    """Light of the street lamps (L, 3: d, height, s) on points (d, s), about 1 straight below a lamp."""
    light = np.zeros(np.broadcast_shapes(d.shape, s.shape), np.float32)
    for lamp_d, height, lamp_s in lamps:
        if -12 < lamp_s < 90:
            r2 = ((d - lamp_d) ** 2 + (s - lamp_s) ** 2) * np.float32(1 / (0.9 * height) ** 2)
            light += 1.0 / ((1.0 + r2) * np.sqrt(1.0 + r2))
    return light


def headlight_beam(camera: Camera) -> F32:
    """(H, W) own low beam: broad, bright below the horizon, a tenth above."""
    u = (np.arange(camera.width, dtype=np.float32) - camera.centre_u) / camera.focal_px
    v = (np.arange(camera.height, dtype=np.float32) - camera.horizon_v) / camera.focal_px
    across = np.exp(-0.5 * (u / 0.33) ** 2)
    down = 0.08 + 0.92 / (1.0 + np.exp(-(v - 0.012) / 0.008))
    return (down[:, None] * across[None, :]).astype(np.float32)


def sky_radiance(climate: Climate, camera: Camera, clouds: F32, rows: int) -> tuple[F32, F32]:
    """((rows, W, 3) radiance of the sky, (rows, W) share of cloud 0..1)."""
    elevation = np.maximum(camera.horizon_v - np.arange(rows, dtype=np.float32), 0) / camera.focal_px
    blend = np.exp(-elevation / 0.18)[:, None, None]
    sky = np.float32(climate.sky_top_rgb) * (1 - blend) + np.float32(climate.sky_low_rgb) * blend
    # Clouds lie on a plane overhead: they flatten towards the horizon.
    shift = camera.road.heading(camera.s_m) * camera.focal_px
    columns = np.arange(camera.width, dtype=np.float32)
    reach = 14.0 / (elevation + 0.06)
    map_y = np.repeat((reach * 1.5)[:, None], camera.width, axis=1).astype(np.float32)
    map_x = ((columns - camera.centre_u + shift)[None, :] * (reach / camera.focal_px)[:, None] * 1.5).astype(np.float32)
    noise = cv2.remap(clouds, map_x, map_y, cv2.INTER_LINEAR, borderMode=cv2.BORDER_WRAP)
    share = np.clip((noise + 2.6 * climate.cloud - 1.3) * 0.7, 0, 1)
    white = np.float32(climate.sky_low_rgb) * np.float32(1.12) + np.float32(0.02)
    shade = (1.0 - 0.25 * np.clip(noise, 0, 2))[..., None]
    sky = sky * (1 - 0.85 * share[..., None]) + white * shade * 0.85 * share[..., None]
    return sky.astype(np.float32), share.astype(np.float32)


def wet_reflection(radiance: F32, camera: Camera, layers: Layers, wetness: float) -> None:
    """Mirror what stands over the horizon in the wet ground, in place."""
    first, height = layers.first_ground, camera.height
    rows = np.arange(first, height)
    mirrored = np.clip(np.rint(2 * camera.horizon_v - rows).astype(int) - 2, 0, height - 1)
    image = cv2.blur(radiance[mirrored], (3, max(3, height // 16)))
    graze = (0.12 + 0.45 * np.exp(-(rows - first) / (0.22 * height))).astype(np.float32)
    share = (wetness * graze[:, None] * layers.is_ground[first:])[..., None]
    radiance[first:] = radiance[first:] * (1 - 0.8 * share) + image * share


def glare(radiance: F32, limit: float = 60.0) -> F32:
    """What bright lights spill over their surroundings in the lens, of the image's shape."""
    height, width = radiance.shape[:2]
    small = cv2.resize(np.minimum(radiance, limit), (width // 4, height // 4), interpolation=cv2.INTER_AREA)
    bright = np.maximum(small - 0.9, 0)
    sigma = width / 4 / 80
    spill = 0.22 * cv2.GaussianBlur(bright, (0, 0), sigma) + 0.12 * cv2.GaussianBlur(bright, (0, 0), 4 * sigma)
    streak = cv2.GaussianBlur(bright, (0, 0), sigmaX=6 * sigma, sigmaY=0.4 * sigma)
    return cv2.resize(spill + 0.05 * streak, (width, height), interpolation=cv2.INTER_LINEAR)


@lru_cache(maxsize=4)
def _tone_table(contrast: float) -> npt.NDArray[np.float32]:
    x = np.linspace(0, 8, 8192)
    # A shoulder that keeps lights from clipping hard, then the display's gamma.
    y = x * (1 + x / 16.0) / (1 + x * 0.62)
    y = np.clip(y, 0, 1) ** (1 / 2.2)
    y = y + contrast * (y - 0.5) * y * (1 - y) * 2
    return (np.clip(y, 0, 1) * 255).astype(np.float32)


def expose(radiance: F32, climate: Climate, vignette: F32, rng: np.random.Generator, blur_px: float, contrast: float) -> npt.NDArray[np.uint8]:
    """(H, W, 3) uint8 RGB as a camera delivers it."""
    height, width = radiance.shape[:2]
    image = cv2.GaussianBlur(radiance, (0, 0), blur_px) if blur_px > 0.25 else radiance
    image = image * (np.float32(climate.white_balance) * np.float32(climate.exposure)) * vignette[..., None]
    if abs(climate.saturation - 1) > 0.02:
        luma = image @ np.float32([0.299, 0.587, 0.114])
        image = luma[..., None] + (image - luma[..., None]) * np.float32(climate.saturation)
    level = np.clip(image * np.float32(8191 / 8), 0, 8191).astype(np.uint16)
    shown = np.take(_tone_table(round(contrast, 2)), level)
    # Shot noise: in gamma space dark pixels show more of it.
    amplitude = np.float32(255 * climate.noise) * (1.25 - 0.6 / 255 * shown)
    shown += amplitude * grain_patch(rng, height, width)
    return np.clip(shown + 0.5, 0, 255).astype(np.uint8)


def rain_streaks(rng: np.random.Generator, height: int, width: int) -> F32:
    """(H, W) 0..1."""
    plane = np.zeros((height, width), np.uint8)
    slant = float(rng.normal(0, 0.08))
    for _ in range(int(rng.integers(60, 160))):
        x, y = int(rng.integers(-10, width + 10)), int(rng.integers(-20, height))
        length = int(rng.integers(height // 40 + 2, height // 12 + 3))
        cv2.line(plane, (x, y), (int(x + slant * length), y + length), int(rng.integers(20, 90)), 1)
    return cv2.GaussianBlur(plane, (0, 0), 0.7).astype(np.float32) * np.float32(1 / 255)


@lru_cache(maxsize=1)
def surface_tiles() -> F32:
    """(256, 256, 2): plain surfaces, foliage. They repeat without a seam."""
    leaf = noise_tile(11, 0.45)
    leaf = cv2.GaussianBlur(np.tile(leaf, (3, 3)), (0, 0), 0.9)[256:512, 256:512]
    return np.dstack([noise_tile(7, 0.5), leaf / leaf.std()]).astype(np.float32)


@lru_cache(maxsize=1)
def cloud_tile() -> F32:
    return noise_tile(23, 1.7)
