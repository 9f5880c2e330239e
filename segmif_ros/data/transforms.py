# SPDX-License-Identifier: Apache-2.0
"""Seeded augmentations of an infrared + RGB + label sample.

Every function takes the random generator it draws from, so a sample is a pure function of (seed, index): that is what
makes a resumed training see exactly the data of the uninterrupted one. Geometry is drawn once and applied to all
images; labels are never interpolated.

The first group is the published augmentation (scale, flip, colour distortion, padding, class-balanced crop). The
second is what real rigs do to their images: misregistration, darkness, glare, thermal gain and noise, a lost sensor.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any

import cv2
import numpy as np

from segmif_ros.arrays import Float64Array, Image
from segmif_ros.imaging.fusion_target import fusion_target
from segmif_ros.imaging.histogram import byte_counts
from segmif_ros.labels import IGNORE_ID as IGNORE_ID
from segmif_ros.settings import setting

_Change = Callable[[Image], Image]

# what the published training pads images with (RGB means of ImageNet), rounded to bytes
_PAD_RGB = (124, 116, 104)
_PAD_GREY = 124


@dataclass(frozen=True, kw_only=True)
class Sample:
    """One registered pair.

    Attributes:
        infrared: uint8 (H, W).
        rgb: uint8 (H, W, 3), RGB.
        labels: uint8 (H, W); 255 where there is no truth.
        absent: uint8 (H, W), bits of what surely isn't there, see `segmif_ros.data.absence`; None for no such evidence.
        target: Fusion target, uint8 (H, W), where a data set ships one; None to compute it from the pair.
        name: Where the sample comes from, for error messages.
    """

    infrared: Image
    rgb: Image
    labels: Image
    name: str
    target: Image | None = None
    absent: Image | None = None

    def __post_init__(self) -> None:
        size = self.infrared.shape
        maps = {"labels": self.labels, "target": self.target, "absent": self.absent}
        shapes = {name: each.shape for name, each in maps.items() if each is not None}
        if self.rgb.shape != (*size, 3) or any(shape != size for shape in shapes.values()) or len(size) != 2:
            listed = ", ".join(f"{name} {shape}" for name, shape in shapes.items())
            raise ValueError(f"{self.name}: infrared {size}, rgb {self.rgb.shape}, {listed} must be of one size")


def _share(default: float, description: str) -> Any:
    return setting(default, description, minimum=0, maximum=1)


@dataclass(frozen=True, kw_only=True)
class AugmentConfig:
    """Probabilities and ranges of the augmentations; the defaults of the first group are the published ones."""

    crop_height: int = setting(320, "Rows of the crop in pixels.", minimum=1)
    crop_width: int = setting(320, "Columns of the crop in pixels.", minimum=1)
    scale_min: float = setting(0.5, "Smallest resize ratio.", minimum=0.01)
    scale_max: float = setting(2.0, "Largest resize ratio.", minimum=0.01)
    flip: float = _share(0.5, "Probability of a horizontal flip.")
    max_class_share: float = _share(
        0.75, "A crop in which one class has this share or more of the labelled pixels is drawn again."
    )
    rare_crop: float = _share(
        0.0, "Probability that a crop is laid around a pixel of a class drawn from those present, rare ones first."
    )
    colour: float = _share(1.0, "Probability of colour distortion.")
    misregister: float = _share(0.0, "Probability of a shift of the infrared image.")
    misregister_px: float = setting(4.0, "Largest such shift in pixels.", minimum=0)
    dark: float = _share(0.0, "Probability of a night exposure of the RGB image.")
    glare: float = _share(0.0, "Probability of a headlight in the RGB image.")
    fog: float = _share(0.0, "Probability of fog or smoke in the RGB image.")
    thermal_gain: float = _share(0.0, "Probability of another gain and offset of the infrared image.")
    thermal_noise: float = _share(0.0, "Probability of noise and blur in the infrared image.")
    lost_rgb: float = _share(0.0, "Share of samples whose RGB image is black, as the node feeds a missing camera.")
    lost_infrared: float = _share(0.0, "Share of samples whose infrared image is one level, as the node feeds it.")


def augment(sample: Sample, config: AugmentConfig, rng: np.random.Generator) -> Sample:
    """Apply every augmentation of ``config``; the result has the crop's size."""
    if rng.random() < config.misregister:
        sample = misregister(sample, rng, config.misregister_px)
    # the window is cut before it is resized: what isn't in it need not be interpolated
    ratio = rng.uniform(config.scale_min, config.scale_max)
    height, width = (max(1, round(side / ratio)) for side in (config.crop_height, config.crop_width))
    sample = pad(sample, height, width, rng)
    if rng.random() < config.rare_crop:
        sample = crop_around_rare(sample, height, width, rng)
    else:
        sample = crop(sample, height, width, rng, config.max_class_share)
    sample = resize(sample, config.crop_height, config.crop_width)
    if rng.random() < config.flip:
        sample = flip(sample)
    rgb, infrared = sample.rgb, sample.infrared
    if rng.random() < config.colour:
        rgb = distort_colour(rgb, rng)
    if rng.random() < config.dark:
        rgb = darken(rgb, rng)
    if rng.random() < config.glare:
        rgb = add_glare(rgb, rng)
    if config.fog and rng.random() < config.fog:
        rgb = add_fog(rgb, rng)
    if rng.random() < config.thermal_gain:
        infrared = change_thermal_gain(infrared, rng)
    if rng.random() < config.thermal_noise:
        infrared = add_thermal_noise(infrared, rng)
    lost = rng.random()
    if lost < config.lost_rgb:
        rgb = np.zeros_like(rgb)
    elif lost < config.lost_rgb + config.lost_infrared:
        infrared = np.full_like(infrared, rng.integers(0, 256))
    return replace(sample, rgb=rgb, infrared=infrared)


def resize(sample: Sample, height: int, width: int) -> Sample:
    """Resize to (height, width): images with antialiasing, labels by the nearest pixel."""

    def resized(image: Image, method: int) -> Image:
        return np.asarray(cv2.resize(image, (width, height), interpolation=method), dtype=np.uint8)

    method = cv2.INTER_AREA if height < sample.labels.shape[0] else cv2.INTER_LINEAR
    return replace(
        sample,
        infrared=resized(sample.infrared, method),
        rgb=resized(sample.rgb, method),
        labels=resized(sample.labels, cv2.INTER_NEAREST_EXACT),
        target=None if sample.target is None else resized(sample.target, method),
        absent=None if sample.absent is None else resized(sample.absent, cv2.INTER_NEAREST_EXACT),
    )


def flip(sample: Sample) -> Sample:
    """Mirror left and right."""
    return _each_plane(sample, lambda image: np.ascontiguousarray(image[:, ::-1]))


def pad(sample: Sample, height: int, width: int, rng: np.random.Generator) -> Sample:
    """Pad to at least (height, width) at a random offset: images with the mean colour, labels with 255."""
    have_height, have_width = sample.labels.shape
    more_y, more_x = max(0, height - have_height), max(0, width - have_width)
    top, left = int(rng.integers(0, more_y + 1)), int(rng.integers(0, more_x + 1))
    if more_y == 0 and more_x == 0:
        return sample
    border = (top, more_y - top, left, more_x - left)

    def padded(image: Image, value: int | tuple[int, int, int]) -> Image:
        values = (value, 0, 0, 0) if isinstance(value, int) else (*value, 0)
        return np.asarray(cv2.copyMakeBorder(image, *border, cv2.BORDER_CONSTANT, value=values), dtype=np.uint8)

    return replace(
        sample,
        infrared=padded(sample.infrared, _PAD_GREY),
        rgb=padded(sample.rgb, _PAD_RGB),
        labels=padded(sample.labels, IGNORE_ID),
        target=None if sample.target is None else padded(sample.target, _PAD_GREY),
        absent=None if sample.absent is None else padded(sample.absent, 0),
    )


def crop(
    sample: Sample, height: int, width: int, rng: np.random.Generator, max_class_share: float = 0.75, tries: int = 10
) -> Sample:
    """Cut a random (height, width) window; drawn up to ``tries`` times until no class has max_class_share of it."""
    have_height, have_width = sample.labels.shape
    if have_height < height or have_width < width:
        raise ValueError(f"{sample.name}: {have_height}x{have_width} is smaller than the crop {height}x{width}")
    top = left = 0
    for _ in range(tries):
        top = int(rng.integers(0, have_height - height + 1))
        left = int(rng.integers(0, have_width - width + 1))
        counts = _label_counts(sample.labels[top : top + height, left : left + width])
        if counts.sum() == 0 or counts.max() < max_class_share * counts.sum():
            break
    return _each_plane(sample, lambda image: np.ascontiguousarray(image[top : top + height, left : left + width]))


def crop_around_rare(sample: Sample, height: int, width: int, rng: np.random.Generator) -> Sample:
    """Cut a (height, width) window that holds a pixel of a class drawn with a probability like 1 / sqrt(its pixels).

    A sample without labels is cropped anywhere.
    """
    have_height, have_width = sample.labels.shape
    if have_height < height or have_width < width:
        raise ValueError(f"{sample.name}: {have_height}x{have_width} is smaller than the crop {height}x{width}")
    counts = _label_counts(sample.labels)
    present = np.flatnonzero(counts)
    if not present.size:
        return crop(sample, height, width, rng)
    chances = 1 / np.sqrt(counts[present])
    chosen = rng.choice(present, p=chances / chances.sum())
    y, x = divmod(int(rng.choice(np.flatnonzero(sample.labels == chosen))), have_width)
    top = int(np.clip(y - rng.integers(0, height), 0, have_height - height))
    left = int(np.clip(x - rng.integers(0, width), 0, have_width - width))
    return _each_plane(sample, lambda image: np.ascontiguousarray(image[top : top + height, left : left + width]))


def _label_counts(labels: Image) -> Float64Array:
    """Pixels of each id, (256,), 0 for those without truth."""
    counts = byte_counts(labels).astype(np.float64)
    counts[IGNORE_ID] = 0
    return counts


def blend_luma(sample: Sample, rng: np.random.Generator) -> Image:
    """RGB image uint8 (H, W, 3) whose luma stands in for a fused one.

    It is RGB's own, the brighter of both, a random mix, or what a fusion network may learn from ('detail' of
    `fusion_target`).

    What a segmentation network learns from before there is a fusion network: it must read them all.
    """
    kind = rng.random()
    if kind < 0.25:
        return sample.rgb
    luma = np.asarray(cv2.cvtColor(sample.rgb, cv2.COLOR_RGB2GRAY), dtype=np.float32)
    if kind < 0.4:
        change = np.maximum(sample.infrared - luma, 0)
    elif kind < 0.7:
        change = fusion_target(sample.infrared, sample.rgb, "detail") - luma
    else:
        change = np.float32(rng.uniform(0.2, 1.0)) * (sample.infrared - luma)
    # equal steps of all three channels change the luma alone
    return np.clip(np.rint(sample.rgb + change[..., None]), 0, 255).astype(np.uint8)


def distort_colour(rgb: Image, rng: np.random.Generator) -> Image:
    """Brightness +-32, contrast and saturation 0.5 to 1.5, hue +-18 degrees of 180; each with probability 1/2.

    Contrast comes either before or after saturation and hue. (The published code truncates the saturation to 0 or 1
    when neither brightness nor contrast was drawn; that is not reproduced.)
    """
    image = rgb
    if rng.random() < 0.5:
        image = _linear(image, 1.0, rng.uniform(-32, 32))
    contrast_first = rng.random() < 0.5
    if contrast_first and rng.random() < 0.5:
        image = _linear(image, rng.uniform(0.5, 1.5), 0.0)
    saturate, turn = rng.random() < 0.5, rng.random() < 0.5
    if saturate or turn:
        hsv = cv2.cvtColor(image, cv2.COLOR_RGB2HSV).astype(np.int16)
        if saturate:
            hsv[..., 1] = np.clip(hsv[..., 1] * rng.uniform(0.5, 1.5), 0, 255)
        if turn:
            hsv[..., 0] = (hsv[..., 0] + rng.integers(-18, 18)) % 180
        image = np.asarray(cv2.cvtColor(hsv.astype(np.uint8), cv2.COLOR_HSV2RGB), dtype=np.uint8)
    if not contrast_first and rng.random() < 0.5:
        image = _linear(image, rng.uniform(0.5, 1.5), 0.0)
    return image


def misregister(sample: Sample, rng: np.random.Generator, largest_px: float) -> Sample:
    """Shift, turn and stretch the infrared image a little against RGB and labels (at most about largest_px)."""
    height, width = sample.labels.shape
    reach = max(height, width) / 2
    angle, stretch = rng.uniform(-0.3, 0.3) * largest_px / reach, 1 + rng.uniform(-0.3, 0.3) * largest_px / reach
    centre = (width / 2, height / 2)
    matrix = np.asarray(cv2.getRotationMatrix2D(centre, float(np.degrees(angle)), stretch), dtype=np.float64)
    matrix[:, 2] += rng.uniform(-0.6, 0.6, 2) * largest_px
    moved = cv2.warpAffine(
        sample.infrared, matrix, (width, height), flags=cv2.INTER_LINEAR, borderMode=cv2.BORDER_REPLICATE
    )
    return replace(sample, infrared=np.asarray(moved, dtype=np.uint8))


def darken(rgb: Image, rng: np.random.Generator) -> Image:
    """Night exposure: less light, a coloured lamp's cast, photon and read noise, the camera's gain turned up."""
    light = rng.uniform(0.03, 0.35) * rng.uniform(0.8, 1.2, 3)
    linear = (rgb.astype(np.float32) / 255) ** 2.2 * light.astype(np.float32)
    noise = rng.standard_normal(rgb.shape, dtype=np.float32)
    linear = linear + noise * np.sqrt(linear * np.float32(0.002) + np.float32(rng.uniform(0.001, 0.006) ** 2))
    gain = np.float32(rng.uniform(1.0, 2.5))
    return np.rint(255 * np.clip(linear * gain, 0, 1) ** (1 / 2.2)).astype(np.uint8)


def add_glare(rgb: Image, rng: np.random.Generator) -> Image:
    """One to three headlights: saturated cores with wide halos."""
    height, width = rgb.shape[:2]
    y, x = np.mgrid[0:height, 0:width].astype(np.float32)
    light = np.zeros((height, width), np.float32)
    for _ in range(int(rng.integers(1, 4))):
        distance = (x - rng.uniform(0, width)) ** 2 + (y - rng.uniform(0.2, 0.9) * height) ** 2
        core, halo = rng.uniform(0.01, 0.04) * width, rng.uniform(0.08, 0.3) * width
        light += 400 * np.exp(-distance / (2 * core**2)) + rng.uniform(40, 160) * np.exp(-distance / (2 * halo**2))
    tint = np.array([1.0, 0.97, rng.uniform(0.8, 1.0)], np.float32)
    return np.clip(rgb + light[..., None] * tint, 0, 255).astype(np.uint8)


def add_fog(rgb: Image, rng: np.random.Generator) -> Image:
    """Fog, smoke or a dirty lens: a grey veil of uneven density (0.3 to 0.95 on the whole), and a little defocus."""
    height, width = rgb.shape[:2]
    uneven = cv2.resize(rng.uniform(-0.25, 0.25, (3, 4)).astype(np.float32), (width, height))
    density = np.clip(np.float32(rng.uniform(0.3, 0.95)) + uneven, 0, 1)[..., None]
    soft = np.asarray(cv2.GaussianBlur(rgb, (0, 0), rng.uniform(0.3, 2.0)), np.float32)
    return np.rint(soft + density * (np.float32(rng.uniform(60, 230)) - soft)).astype(np.uint8)


def change_thermal_gain(infrared: Image, rng: np.random.Generator) -> Image:
    """Another automatic gain: contrast 0.5 to 1.6 about the mean, offset +-40."""
    mean = float(infrared.mean())
    contrast = rng.uniform(0.5, 1.6)
    return _linear(infrared, contrast, mean * (1 - contrast) + rng.uniform(-40, 40))


def add_thermal_noise(infrared: Image, rng: np.random.Generator) -> Image:
    """Defocus, temporal noise and the column pattern of an uncooled sensor."""
    image = infrared.astype(np.float32)
    if rng.random() < 0.5:
        image = np.asarray(cv2.GaussianBlur(image, (0, 0), rng.uniform(0.5, 1.5)), dtype=np.float32)
    image = image + rng.uniform(0, 8) * rng.standard_normal(infrared.shape, dtype=np.float32)
    columns = rng.uniform(0, 3) * rng.standard_normal(infrared.shape[1], dtype=np.float32)
    return np.clip(np.rint(image + columns), 0, 255).astype(np.uint8)


def _linear(image: Image, factor: float, offset: float) -> Image:
    table = np.clip(np.rint(np.arange(256) * factor + offset), 0, 255).astype(np.uint8)
    return table[image]


def _each_plane(sample: Sample, change: _Change) -> Sample:
    return replace(
        sample,
        infrared=change(sample.infrared),
        rgb=change(sample.rgb),
        labels=change(sample.labels),
        target=None if sample.target is None else change(sample.target),
        absent=None if sample.absent is None else change(sample.absent),
    )
