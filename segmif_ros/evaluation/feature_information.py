# SPDX-License-Identifier: Apache-2.0
"""FMI, feature mutual information: how much of the sources' local features a fused image holds.

After Haghighat, Aghagolzadeh and Seyedarabi (Computers and Electrical Engineering 37(5), 2011) in the fast form of
Haghighat and Razian (AICT 2014), whose program the tables of the field are made with. In each 3x3 window of a feature
map the values, brought to 0..1 and divided by their sum, are taken as a distribution over the nine positions. Two such
distributions have no joint one, so it is made after Nelsen (1987): a mixture of independence and of the Frechet bound
on the side of the correlation of the two windows, weighted with that correlation over the bound's own. The mutual
information of it, over the mean of both entropies, is averaged over all windows and both sources.

What the papers leave open is as in that program: positions are counted down the columns, a window of one value is a
uniform distribution, a weight above 1 isn't cut, and equal windows count as 1. The program gives 0 instead where a
window of one value equals the second source's, but not the first's: here both are alike.
"""

from __future__ import annotations

import importlib
from collections.abc import Iterator
from typing import Any, Literal

import numpy as np
import numpy.typing as npt

from segmif_ros.arrays import Float64Array

Feature = Literal["pixel", "dct", "wavelet"]

WINDOW = 3
_CHUNK = 2048  # windows at a time: 81 values each, so that they stay in the cache


class MissingLibraryError(ValueError):
    """A metric needs a library that isn't installed; one line states which."""


def feature_mutual_information(
    a: npt.NDArray[np.number], b: npt.NDArray[np.number], f: npt.NDArray[np.number], feature: Feature
) -> float:
    """Return FMI of one fused image, at most 1 for a fused image that equals both sources.

    Args:
        a: Infrared, (H, W) grey, 0..255.
        b: Visible, (H, W) grey, 0..255.
        f: Fused, (H, W) grey, 0..255.
        feature: ``pixel`` takes the images themselves, ``dct`` the orthonormal two-dimensional cosine transform of
            the whole image, ``wavelet`` one level of the discrete Meyer transform with half-sample symmetric border,
            its four bands side by side.

    Raises:
        MissingLibraryError: For ``wavelet`` without PyWavelets.
    """
    maps = [_FEATURES[feature](np.asarray(image, dtype=np.float64)) for image in (a, b, f)]
    return (_mean_information(maps[0], maps[2]) + _mean_information(maps[1], maps[2])) / 2


def require_library(feature: Feature) -> None:
    """Raise MissingLibraryError if a feature needs what isn't installed."""
    if feature == "wavelet":
        _pywt()


def _mean_information(source: Float64Array, fused: Float64Array) -> float:
    total = count = 0.0
    for s, f in zip(_windows(source), _windows(fused), strict=True):
        total += float(np.sum(_information(s, f)))
        count += s.shape[1]
    return total / count


def _windows(image: Float64Array) -> Iterator[Float64Array]:
    """Yield the windows of an image as (9, N): each a column, its pixels in the order down the image's columns."""
    height, width = (side - WINDOW + 1 for side in image.shape)
    shifted = [image[y : y + height, x : x + width] for x in range(WINDOW) for y in range(WINDOW)]
    flat = np.stack([each.ravel() for each in shifted])
    for start in range(0, flat.shape[1], _CHUNK):
        yield flat[:, start : start + _CHUNK]


def _information(s: Float64Array, f: Float64Array) -> Float64Array:
    """Return the normalised mutual information of each of N windows of source and fused, both (9, N)."""
    p, q = _distribution(s), _distribution(f)
    c = _correlation(p, q)
    bound, weight = _frechet(p, q, c)
    joint = weight * bound + (1 - weight) * (p[:, None] * q[None])
    entropies = _entropy(p) + _entropy(q)
    shared = entropies - _entropy(joint.reshape(-1, p.shape[1]))
    found = 2 * shared / np.where(entropies > 0, entropies, 1)
    return np.where(np.all(s == f, axis=0), 1.0, found)


def _distribution(windows: Float64Array) -> Float64Array:
    low, high = windows.min(axis=0), windows.max(axis=0)
    flat = high == low
    scaled = np.where(flat, 1.0, (windows - low) / np.where(flat, 1.0, high - low))
    return np.asarray(scaled / scaled.sum(axis=0))


def _correlation(p: Float64Array, q: Float64Array) -> Float64Array:
    """Return Pearson's correlation of the nine values of each window; 0 where one has no variation."""
    dp, dq = p - p.mean(axis=0), q - q.mean(axis=0)
    flat = (np.ptp(p, axis=0) == 0) | (np.ptp(q, axis=0) == 0)
    scale = np.sqrt(np.sum(dp * dp, axis=0) * np.sum(dq * dq, axis=0))
    return np.asarray(np.where(flat, 0.0, np.sum(dp * dq, axis=0) / np.where(flat, 1.0, scale)))


def _frechet(p: Float64Array, q: Float64Array, c: Float64Array) -> tuple[Float64Array, Float64Array]:
    """Return the bound (9, 9, N) on the side of the correlation, and its weight (N,).

    A Frechet bound couples both variables through one uniform variable: position i takes an interval of 0..1 as long
    as its probability. The upper bound runs through both in the same sense, the lower one through the second
    backwards; the probability of (i, j) is the length that their intervals share.
    """
    p1, q1 = np.cumsum(p, axis=0), np.cumsum(q, axis=0)
    p0, q0 = p1 - p, q1 - q
    q0, q1 = np.where(c < 0, 1 - q1, q0), np.where(c < 0, 1 - q0, q1)
    shared = np.minimum(p1[:, None], q1[None]) - np.maximum(p0[:, None], q0[None])
    np.maximum(shared, 0, out=shared)
    place = np.arange(1.0, 1 + len(p))
    mean_p, mean_q = place @ p, place @ q
    deviations = np.sqrt(np.maximum((place**2 @ p - mean_p**2) * (place**2 @ q - mean_q**2), 0))
    covariance = np.tensordot(np.outer(place, place), shared, axes=2) - mean_p * mean_q
    usable = (c != 0) & (deviations > 1e-12) & (covariance != 0)
    weight = np.where(usable, c * deviations / np.where(usable, covariance, 1.0), 0.0)
    return shared, weight


def _entropy(p: Float64Array) -> Float64Array:
    """Return -sum p log2 |p| over the first axis; a weight above 1 leaves values below 0."""
    return np.asarray(-np.sum(p * np.log2(np.where(p == 0, 1.0, np.abs(p))), axis=0))


def _cosine_transform(image: Float64Array) -> Float64Array:
    down, across = (_cosines(size) for size in image.shape)
    return np.asarray(down @ image @ across.T)


def _cosines(size: int) -> Float64Array:
    """Return the matrix of the orthonormal DCT-II."""
    k, n = np.mgrid[0:size, 0:size]
    matrix = np.sqrt(2 / size) * np.cos(np.pi * (2 * n + 1) * k / (2 * size))
    matrix[0] /= np.sqrt(2)
    return np.asarray(matrix)


def _wavelet_transform(image: Float64Array) -> Float64Array:
    average, (horizontal, vertical, diagonal) = _pywt().dwt2(image, "dmey", mode="symmetric")
    return np.asarray(np.block([[average, horizontal], [vertical, diagonal]]), dtype=np.float64)


def _pywt() -> Any:
    try:
        return importlib.import_module("pywt")
    except ImportError:
        raise MissingLibraryError("FMI_w needs PyWavelets: pip install PyWavelets") from None


_FEATURES = {"pixel": lambda image: image, "dct": _cosine_transform, "wavelet": _wavelet_transform}
