# SPDX-License-Identifier: Apache-2.0
"""The prior image against the method written out pixel by pixel in float64, and its edges."""

import math

import numpy as np
import pytest

from segmif_ros.imaging.prior import prior_image


def _pair(seed: int, height: int, width: int) -> tuple[np.ndarray, np.ndarray]:
    """Blocks with noise, so that bases, details and saliency all differ."""
    rng = np.random.default_rng(seed)
    infrared = np.kron(rng.integers(0, 200, (-(-height // 4), -(-width // 4))), np.ones((4, 4), int))[:height, :width]
    rgb = np.kron(rng.integers(0, 200, (-(-height // 5), -(-width // 5), 1)), np.ones((5, 5, 3), int))[:height, :width]
    noisy = infrared + rng.integers(0, 30, infrared.shape), rgb + rng.integers(0, 55, rgb.shape)
    return noisy[0].astype(np.uint8), noisy[1].astype(np.uint8)


@pytest.mark.parametrize(("seed", "height", "width"), [(1, 13, 17), (2, 20, 11)])
def test_vsm_wls_equals_the_method_written_out_pixel_by_pixel(seed: int, height: int, width: int) -> None:
    infrared, rgb = _pair(seed, height, width)
    prior = prior_image(infrared, rgb)
    visible = prior_image(infrared, rgb, "visible")
    slow = _slow_vsm_wls(visible.astype(np.float64) / 255, infrared.astype(np.float64) / 255)
    assert np.abs(prior - 255 * slow.clip(0, 1)).max() < 0.51


def test_exchanged_roles_give_another_image() -> None:
    infrared, rgb = _pair(3, 13, 17)
    visible = prior_image(infrared, rgb, "visible")
    exchanged = _slow_vsm_wls(infrared.astype(np.float64) / 255, visible.astype(np.float64) / 255)
    assert np.abs(prior_image(infrared, rgb) - 255 * exchanged.clip(0, 1)).max() > 2


def test_two_equal_images_are_their_own_prior() -> None:
    grey = _pair(4, 30, 40)[0]
    prior = prior_image(grey, np.stack([grey] * 3, axis=-1))
    assert np.abs(prior.astype(int) - grey).max() <= 1


def test_something_hot_that_rgb_does_not_see_shows_in_the_prior() -> None:
    infrared, rgb = np.full((40, 40), 60, np.uint8), np.full((40, 40, 3), 60, np.uint8)
    infrared[15:25, 15:25] = 250
    prior = prior_image(infrared, rgb)
    assert prior[20, 20] > prior[2, 2] + 60


@pytest.mark.parametrize("level", [0, 128, 255])
def test_constant_images_stay_constant(level: int) -> None:
    prior = prior_image(np.full((9, 7), level, np.uint8), np.full((9, 7, 3), level, np.uint8))
    assert np.unique(prior).tolist() == [level]


def test_visible_is_the_luma_and_mean_is_half_way_to_infrared() -> None:
    infrared, rgb = _pair(5, 10, 12)
    luma = rgb @ np.array([0.299, 0.587, 0.114])
    assert np.abs(prior_image(infrared, rgb, "visible") - luma).max() <= 0.51
    assert np.abs(prior_image(infrared, rgb, "mean") - (luma + infrared) / 2).max() <= 1.01


@pytest.mark.parametrize("method", ["vsm_wls", "visible", "mean"])
def test_views_that_are_not_contiguous_give_the_same_prior(method: str) -> None:
    infrared, rgb = _pair(6, 12, 16)
    expected = prior_image(infrared, rgb, method)
    views = prior_image(infrared[:, ::-1].copy()[:, ::-1], rgb[..., ::-1].copy()[..., ::-1], method)
    assert np.array_equal(views, expected)


@pytest.mark.parametrize(
    ("infrared", "rgb", "method", "words"),
    [
        (np.zeros((4, 5), np.uint16), np.zeros((4, 5, 3), np.uint8), "mean", "infrared is uint16"),
        (np.zeros((4, 5, 1), np.uint8), np.zeros((4, 5, 3), np.uint8), "mean", "infrared is uint8 (4, 5, 1)"),
        (np.zeros((4, 5), np.uint8), np.zeros((5, 4, 3), np.uint8), "mean", "rgb is uint8 (5, 4, 3)"),
        (np.zeros((4, 5), np.uint8), np.zeros((4, 5, 3), np.float32), "mean", "rgb is float32"),
        (np.zeros((4, 5), np.uint8), np.zeros((4, 5, 3), np.uint8), "vsm", "prior is 'vsm'"),
    ],
)
def test_a_wrong_input_is_refused_by_name(infrared: np.ndarray, rgb: np.ndarray, method: str, words: str) -> None:
    with pytest.raises(ValueError) as refusal:
        prior_image(infrared, rgb, method)
    assert words in str(refusal.value)


# The method once more, from its description, in plain loops.


def _slow_vsm_wls(image1: np.ndarray, image2: np.ndarray) -> np.ndarray:
    pyramids = []
    for image in (image1, image2):
        levels = [image]
        for sigma in (2, 4, 8):
            current = _slow_gaussian(levels[-1], 3 * sigma, sigma, _clamped)
            for _ in range(4):
                current = _slow_guided(current, levels[-1], sigma)
            levels.append(current)
        levels.append(_slow_gaussian(levels[-1], 6, 2, _clamped))
        pyramids.append(levels)
    v1, v2 = _slow_saliency(image1), _slow_saliency(image2)
    fused = (0.5 + 0.5 * (v1 - v2)) * pyramids[0][4] + (0.5 + 0.5 * (v2 - v1)) * pyramids[1][4]
    for level in range(4):
        l1, l2 = (pyramid[level] - pyramid[level + 1] for pyramid in pyramids)
        choice = (np.abs(l1) > np.abs(l2)).astype(float)
        if level > 0:
            choice = _slow_gaussian(choice, 6, 2, _mirrored)
        stronger = choice * l1 + (1 - choice) * l2
        if level > 0:
            a = 1 / (np.abs(_slow_mean(l2, 3, cut=False)) + 1e-6)
            stronger = (stronger + 0.01 * a * l1) / (1 + 0.01 * a)
        fused = fused + stronger
    return fused


def _clamped(index: int, size: int) -> int:
    return min(max(index, 0), size - 1)


def _mirrored(index: int, size: int) -> int:
    return -index - 1 if index < 0 else 2 * size - 1 - index if index >= size else index


def _slow_gaussian(image: np.ndarray, radius: int, sigma: float, border) -> np.ndarray:  # type: ignore[no-untyped-def]
    line = [math.exp(-(offset**2) / (2 * sigma**2)) for offset in range(-radius, radius + 1)]
    line = [value / sum(line) for value in line]

    def along(values: np.ndarray) -> np.ndarray:
        size = len(values)
        indices = [[border(i + offset, size) for offset in range(-radius, radius + 1)] for i in range(size)]
        return np.array([sum(w * values[j] for w, j in zip(line, row, strict=True)) for row in indices])

    return along(along(image).T).T


def _slow_mean(image: np.ndarray, radius: int, *, cut: bool = True) -> np.ndarray:
    height, width = image.shape
    result = np.empty_like(image)
    for y in range(height):
        for x in range(width):
            window = [
                image[_clamped(j, height), _clamped(i, width)]
                for j in range(y - radius, y + radius + 1)
                for i in range(x - radius, x + radius + 1)
                if not cut or (0 <= j < height and 0 <= i < width)
            ]
            result[y, x] = sum(window) / len(window)
    return result


def _slow_guided(guide: np.ndarray, image: np.ndarray, radius: int) -> np.ndarray:
    mean_g, mean_i = _slow_mean(guide, radius), _slow_mean(image, radius)
    covariance = _slow_mean(guide * image, radius) - mean_g * mean_i
    slope = covariance / (_slow_mean(guide * guide, radius) - mean_g**2 + 0.05**2)
    return _slow_mean(slope, radius) * guide + _slow_mean(mean_i - slope * mean_g, radius)


def _slow_saliency(image: np.ndarray) -> np.ndarray:
    levels = np.rint(255 * image)
    distances = np.array([[np.abs(levels - value).sum() for value in row] for row in levels])
    return (distances - distances.min()) / (distances.max() - distances.min())
