# SPDX-License-Identifier: Apache-2.0
"""From surfaces per pixel to the RGB image: light, haze, wet ground, glare, and the camera that sees it.

Shapes: H, W image size; F32 arrays are float32. Radiance is linear RGB, 1.0 is white in full daylight.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache

import cv2
import numpy as np

from segmif_ros.arrays import Float32Array, Image
from segmif_ros.scenes.car_camera import Camera
from segmif_ros.scenes.climate import Climate, noise_tile
from segmif_ros.scenes.faces import BLUE, EMIT_B, EMIT_R, RED, RETRO, TEX
from segmif_ros.scenes.layers import Layers

RETRO_GAIN = 10.0


@dataclass(frozen=True, kw_only=True)
class ColourCamera:
    """The RGB camera: fall-off to the corners (H, W), its blur in pixels, contrast of its tone curve, compression."""

    vignette: Float32Array
    blur_px: float
    contrast: float
    jpeg_quality: int  # 0: not compressed


def make_colour_camera(rng: np.random.Generator, height: int, width: int) -> ColourCamera:
    """Draw a camera."""
    y, x = np.linspace(-1, 1, height)[:, None], np.linspace(-1, 1, width)[None, :]
    return ColourCamera(
        vignette=(1 - float(rng.uniform(0.05, 0.3)) * (x * x + y * y) / 2).astype(np.float32),
        blur_px=float(rng.choice([0.5, 0.7, 1.2]) * rng.uniform(0.7, 1.1)) * (width / 320) ** 0.4,
        contrast=float(rng.uniform(-0.3, 0.9)),
        jpeg_quality=int(rng.integers(30, 90)) if rng.random() < 0.35 else 0,
    )


def render_rgb(
    layers: Layers, climate: Climate, optics: ColourCamera, rng: np.random.Generator
) -> tuple[Image, Float32Array]:
    """((H, W, 3) uint8 RGB, (rows, W) share of cloud over the first rows)."""
    camera, table, index, first = layers.camera, layers.table, layers.index, layers.first_row
    # Ground pixels get their light from their own place, all others from their face.
    radiance = np.take(_light_on_faces(layers, climate), index, axis=0)
    np.copyto(radiance[first:], _light_on_ground(layers, climate), where=layers.is_ground[first:, :, None])
    if climate.headlights:
        beam = headlight_beam(camera) * np.float32(climate.headlights)
        reach = np.where(layers.is_ground, 7.0 / layers.distance, (11.0 / layers.distance) ** 1.5)
        gain = np.take(1.0 + np.float32(RETRO_GAIN) * table[:, RETRO], index)
        own = beam * np.minimum(reach, 1.6) * gain * np.float32(0.5)
        radiance += own[..., None] * np.array([1.0, 0.96, 0.86], np.float32)
    albedo = table[:, RED : BLUE + 1].copy()
    if climate.wetness:
        albedo[1 : layers.first_face - 1] *= np.float32(1 - 0.35 * climate.wetness)
    emission = table[:, EMIT_R : EMIT_B + 1].copy()
    emission[layers.first_face :] *= layers.painted.coverage[:, None]
    radiance *= np.take(albedo, index, axis=0)
    radiance *= np.maximum(1.0 + np.take(table[:, TEX], index) * layers.texture, 0.15)[..., None]
    radiance += np.take(emission, index, axis=0)

    air = np.array(climate.sky_low_rgb, np.float32) * np.float32(0.9)
    clear = np.exp(-np.float32(climate.haze_per_m) * layers.distance)[..., None]
    radiance *= clear
    radiance += (1 - clear) * air
    sky, cloud = sky_radiance(climate, camera, cloud_tile(), first)
    if climate.weather == "fog":
        sky = 0.25 * sky + 0.75 * air
    np.copyto(radiance[:first], sky, where=layers.shows_sky()[..., None])
    if climate.wetness:
        wet_reflection(radiance, layers, climate.wetness)
    if climate.lighting != "day":
        radiance += glare(radiance * np.float32(climate.exposure)) * np.float32(climate.bloom / climate.exposure)
    if climate.veil:
        radiance += np.float32(climate.veil)
    if climate.weather == "rain":
        level = 0.5 * (float(np.mean(climate.sky_low_rgb)) + 0.01)
        radiance += rain_streaks(rng, camera.height, camera.width)[..., None] * np.float32(level)
    return expose(radiance, climate, optics, rng), cloud


def _lamp_rgb(climate: Climate) -> Float32Array:
    return np.array(climate.lamp_rgb, np.float32) * np.float32(0.22 if climate.lighting == "night" else 0.12)


def _light_on_faces(layers: Layers, climate: Climate) -> Float32Array:
    """(surfaces, 3) light on each surface of the table, but for the own headlights."""
    moment, faces = layers.moment, layers.painted.faces
    ambient = np.array(climate.ambient_rgb, np.float32)
    light = np.tile(ambient, (len(layers.table), 1))
    sun = np.array(climate.sun_rgb, np.float32) * np.float32(climate.sun)
    light[layers.first_face :] = ambient * np.float32(0.8) + moment.lambert[faces, None] * sun
    if climate.lamps_on:
        centre = moment.faces.xyz[faces].mean(axis=1)
        light[layers.first_face :] += lamp_light(centre[:, 0], centre[:, 2], moment.lamps)[:, None] * _lamp_rgb(climate)
    return light


def _light_on_ground(layers: Layers, climate: Climate) -> Float32Array:
    """(rows, W, 3) light on the ground, but for the own headlights."""
    rows, width = layers.ground_d.shape
    light = np.empty((rows, width, 3), np.float32)
    light[:] = np.array(climate.ambient_rgb, np.float32)
    if climate.sun > 0.02:
        upward = np.array(climate.sun_rgb, np.float32) * np.float32(climate.sun * climate.sun_direction[1])
        light += layers.sunlit[..., None] * upward
    if climate.lamps_on and rows:
        # Pools of light are smooth: a third of the pixels will do.
        coarse = lamp_light(layers.ground_d[::3, ::3], layers.ground_s[::3, None], layers.moment.lamps)
        light += cv2.resize(coarse, (width, rows), interpolation=cv2.INTER_LINEAR)[..., None] * _lamp_rgb(climate)
    return light


@lru_cache(maxsize=1)
def grain() -> Float32Array:
    """(512, 1024, 3) sensor grain of deviation 1: mostly fine, partly blotchy, as compressed images have it."""
    rng = np.random.default_rng(20240)
    fine = rng.standard_normal((512, 1024, 3)).astype(np.float32)
    fine = 0.55 * fine + 0.45 * fine.mean(axis=2, keepdims=True) * np.float32(3**0.5)
    blotchy = cv2.GaussianBlur(rng.standard_normal((512, 1024, 3)).astype(np.float32), (0, 0), 1.6) * np.float32(5.0)
    mixed: Float32Array = 0.75 * fine + 0.45 * blotchy
    return mixed / np.float32(mixed.std())


def grain_patch(rng: np.random.Generator, height: int, width: int) -> Float32Array:
    """(height, width, 3) of the grain, from a random place."""
    tile = grain()
    y, x = int(rng.integers(0, 512)), int(rng.integers(0, 1024))
    rows, columns = np.arange(y, y + height) % 512, np.arange(x, x + width) % 1024
    return tile[rows[:, None], columns[None, :]]


def lamp_light(d: Float32Array, s: Float32Array, lamps: Float32Array) -> Float32Array:
    """Light of the street lamps (L, 3: d, height, s) on points (d, s), about 1 straight below a lamp."""
    light = np.zeros(np.broadcast_shapes(d.shape, s.shape), np.float32)
    for lamp_d, height, lamp_s in lamps:
        if -12 < lamp_s < 90:
            r2 = ((d - lamp_d) ** 2 + (s - lamp_s) ** 2) * np.float32(1 / (0.9 * height) ** 2)
            light += 1.0 / ((1.0 + r2) * np.sqrt(1.0 + r2))
    return light


def headlight_beam(camera: Camera) -> Float32Array:
    """(H, W) own low beam: broad, bright below the horizon, a tenth above."""
    u = (np.arange(camera.width, dtype=np.float32) - camera.centre_u) / camera.focal_px
    v = (np.arange(camera.height, dtype=np.float32) - camera.horizon_v) / camera.focal_px
    across = np.exp(-0.5 * (u / 0.33) ** 2)
    down = 0.08 + 0.92 / (1.0 + np.exp(np.minimum(-(v - 0.012) / 0.008, 60)))
    return (down[:, None] * across[None, :]).astype(np.float32)


def sky_radiance(
    climate: Climate, camera: Camera, clouds: Float32Array, rows: int
) -> tuple[Float32Array, Float32Array]:
    """((rows, W, 3) radiance of the sky, (rows, W) share of cloud 0..1)."""
    elevation = np.maximum(camera.horizon_v - np.arange(rows, dtype=np.float32), 0) / camera.focal_px
    blend = np.exp(-elevation / 0.18)[:, None, None]
    sky = np.array(climate.sky_top_rgb, np.float32) * (1 - blend) + np.array(climate.sky_low_rgb, np.float32) * blend
    # Clouds lie on a plane overhead: they flatten towards the horizon.
    shift = camera.road.heading(camera.s_m) * camera.focal_px
    columns = np.arange(camera.width, dtype=np.float32)
    reach = 14.0 / (elevation + 0.06)
    map_y = np.repeat((reach * 1.5)[:, None], camera.width, axis=1).astype(np.float32)
    map_x = ((columns - camera.centre_u + shift)[None, :] * (reach / camera.focal_px)[:, None] * 1.5).astype(np.float32)
    noise = cv2.remap(clouds, map_x, map_y, cv2.INTER_LINEAR, borderMode=cv2.BORDER_WRAP)
    share = np.clip((noise + 2.6 * climate.cloud - 1.3) * 0.7, 0, 1)
    white = np.array(climate.sky_low_rgb, np.float32) * np.float32(1.12) + np.float32(0.02)
    shade = (1.0 - 0.25 * np.clip(noise, 0, 2))[..., None]
    sky = sky * (1 - 0.85 * share[..., None]) + white * shade * 0.85 * share[..., None]
    return sky.astype(np.float32), share.astype(np.float32)


def wet_reflection(radiance: Float32Array, layers: Layers, wetness: float) -> None:
    """Mirror what stands over the horizon in the wet ground, in place; rough asphalt draws it out downwards."""
    camera, first = layers.camera, layers.first_row
    height, width = camera.height, camera.width
    rows = np.arange(first, height)
    mirrored = np.clip(np.rint(2 * camera.horizon_v - rows).astype(int) - 2, 0, height - 1)
    small = cv2.resize(
        np.minimum(radiance[mirrored], 8.0), (width // 2, max(1, len(rows) // 4)), interpolation=cv2.INTER_AREA
    )
    image = cv2.GaussianBlur(small, (0, 0), sigmaX=0.8, sigmaY=height / 120)
    image = cv2.resize(image, (width, len(rows)), interpolation=cv2.INTER_LINEAR)
    graze = (0.10 + 0.40 * np.exp(-(rows - first) / (0.22 * height))).astype(np.float32)
    share = (wetness * graze[:, None] * layers.is_ground[first:])[..., None]
    radiance[first:] = radiance[first:] * (1 - 0.8 * share) + image * share


def glare(radiance: Float32Array, limit: float = 60.0) -> Float32Array:
    """What bright lights spill over their surroundings in the lens, of the image's shape."""
    height, width = radiance.shape[:2]
    small = cv2.resize(np.minimum(radiance, limit), (width // 4, height // 4), interpolation=cv2.INTER_AREA)
    bright = np.maximum(small - 0.9, 0)
    sigma = width / 4 / 80
    spill = 0.22 * cv2.GaussianBlur(bright, (0, 0), sigma) + 0.12 * cv2.GaussianBlur(bright, (0, 0), 4 * sigma)
    streak = cv2.GaussianBlur(bright, (0, 0), sigmaX=6 * sigma, sigmaY=0.4 * sigma)
    return cv2.resize(spill + 0.05 * streak, (width, height), interpolation=cv2.INTER_LINEAR)


@lru_cache(maxsize=4)
def _tone_table(contrast: float) -> Float32Array:
    x = np.linspace(0, 8, 8192)
    # A shoulder that keeps lights from clipping hard, then the display's gamma.
    y = x * (1 + x / 16.0) / (1 + x * 0.62)
    y = np.clip(y, 0, 1) ** (1 / 2.2)
    y = y + contrast * (y - 0.5) * y * (1 - y) * 2
    return (np.clip(y, 0, 1) * 255).astype(np.float32)


def expose(radiance: Float32Array, climate: Climate, optics: ColourCamera, rng: np.random.Generator) -> Image:
    """(H, W, 3) uint8 RGB as a camera delivers it."""
    height, width = radiance.shape[:2]
    image = cv2.GaussianBlur(radiance, (0, 0), optics.blur_px)
    image = (
        image
        * (np.array(climate.white_balance, np.float32) * np.float32(climate.exposure))
        * optics.vignette[..., None]
    )
    if abs(climate.saturation - 1) > 0.02:
        luma = image @ np.array([0.299, 0.587, 0.114], np.float32)
        image = luma[..., None] + (image - luma[..., None]) * np.float32(climate.saturation)
    level = np.clip(image * np.float32(8191 / 8), 0, 8191).astype(np.uint16)
    shown = np.take(_tone_table(round(optics.contrast, 2)), level)
    # Shot noise: in gamma space dark pixels show more of it.
    amplitude = np.float32(255 * climate.noise) * (1.25 - 0.6 / 255 * shown)
    shown += amplitude * grain_patch(rng, height, width)
    finished = np.clip(shown + 0.5, 0, 255).astype(np.uint8)
    if optics.jpeg_quality:
        _, packed = cv2.imencode(".jpg", finished, [cv2.IMWRITE_JPEG_QUALITY, optics.jpeg_quality])
        finished = np.asarray(cv2.imdecode(packed, cv2.IMREAD_COLOR), np.uint8)
    return finished


def rain_streaks(rng: np.random.Generator, height: int, width: int) -> Float32Array:
    """(H, W) 0..1."""
    plane = np.zeros((height, width), np.uint8)
    slant = float(rng.normal(0, 0.08))
    for _ in range(int(rng.integers(60, 160))):
        x, y = int(rng.integers(-10, width + 10)), int(rng.integers(-20, height))
        length = int(rng.integers(height // 40 + 2, height // 12 + 3))
        cv2.line(plane, (x, y), (int(x + slant * length), y + length), int(rng.integers(20, 90)), 1)
    return cv2.GaussianBlur(plane, (0, 0), 0.7).astype(np.float32) * np.float32(1 / 255)


@lru_cache(maxsize=1)
def cloud_tile() -> Float32Array:
    """(256, 256) soft noise."""
    return noise_tile(23, 1.7)
