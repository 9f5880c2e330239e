# SPDX-License-Identifier: Apache-2.0
"""FMI beside its definition, computed window by window with nothing of ours."""

import math
import sys

import numpy as np
import pytest

pytest.importorskip("pywt", reason="PyWavelets is not installed")

import pywt

from segmif_ros.evaluation import engine_options
from segmif_ros.evaluation.feature_information import MissingLibraryError, feature_mutual_information
from segmif_ros.evaluation.fusion_metrics import fusion_metrics


@pytest.fixture(scope="module")
def images():
    """Infrared, visible and fused, 12x11, with flat and equal windows in them."""
    rng = np.random.default_rng(11)
    infrared, visible = rng.integers(0, 256, (2, 12, 11))
    fused = (infrared + visible) // 2
    fused[:4, :4] = infrared[:4, :4]
    infrared[7:, 7:] = 90
    visible[4:8, :3] = fused[4:8, :3]
    return infrared.astype(np.uint8), visible.astype(np.uint8), fused.astype(np.uint8)


def bits(values):
    return -sum(v * math.log2(abs(v)) for v in np.ravel(values) if v)


def of_a_window(source, fused):
    """The papers' definition, with cumulative distributions: H = w * (Frechet bound) + (1 - w) * F * G."""
    if np.array_equal(source, fused):
        return 1.0
    distributions = []
    for window in (source, fused):
        values = [float(v) for column in window.T for v in column]
        low, high = min(values), max(values)
        values = [1.0 if low == high else (v - low) / (high - low) for v in values]
        distributions.append([v / math.fsum(values) for v in values])
    p, q = distributions
    cumulative = [[math.fsum(d[:n]) for n in range(10)] for d in distributions]
    varied = len(set(p)) > 1 and len(set(q)) > 1
    correlation = float(np.corrcoef(p, q)[0, 1]) if varied else 0.0
    deviations = 1.0
    for d in distributions:
        mean = sum(n * v for n, v in enumerate(d))
        deviations *= math.sqrt(sum((n - mean) ** 2 * v for n, v in enumerate(d)))
    independent = np.outer(*cumulative)
    if correlation < 0:
        bound = np.array([[max(x + y - 1, 0) for y in cumulative[1]] for x in cumulative[0]])
    else:
        bound = np.array([[min(x, y) for y in cumulative[1]] for x in cumulative[0]])
    weight = 0.0
    if correlation and deviations > 1e-12:  # Hoeffding: the covariance is the integral of H - F G
        weight = correlation * deviations / float(np.sum(bound - independent))
    joint = np.diff(np.diff(weight * bound + (1 - weight) * independent, axis=0), axis=1)
    entropies = bits(p) + bits(q)
    return 2 * (entropies - bits(joint)) / entropies if entropies else 0.0


def by_definition(a, b, f):
    found = []
    for source in (a, b):
        for row, column in np.ndindex(a.shape[0] - 2, a.shape[1] - 2):
            part = slice(row, row + 3), slice(column, column + 3)
            found.append(of_a_window(source[part], f[part]))
    return float(np.mean(found))


def cosine(image):
    """The orthonormal DCT-II, coefficient by coefficient."""
    height, width = image.shape
    out = np.zeros(image.shape)
    for u, v in np.ndindex(height, width):
        total = sum(
            image[y, x]
            * math.cos(math.pi * (2 * y + 1) * u / (2 * height))
            * math.cos(math.pi * (2 * x + 1) * v / (2 * width))
            for y, x in np.ndindex(height, width)
        )
        out[u, v] = total * math.sqrt((2 if u else 1) / height) * math.sqrt((2 if v else 1) / width)
    return out


def meyer(image):
    """One level of the transform by its definition: mirrored borders, the filters of the library, every second."""
    filters = [np.array(pywt.Wavelet("dmey").filter_bank[i]) for i in (0, 1)]

    def filtered(lines, taps):
        wide = np.pad(lines, ((0, 0), (len(taps) - 1, len(taps) - 1)), mode="symmetric")
        return np.array([np.convolve(line, taps, mode="valid")[1::2] for line in wide])

    def both(taps_down, taps_across):
        return filtered(filtered(image.astype(float), taps_across).T, taps_down).T

    low, high = filters
    return np.block([[both(low, low), both(high, low)], [both(low, high), both(high, high)]])


@pytest.mark.parametrize(("name", "feature"), [("FMI_pixel", np.asarray), ("FMI_dct", cosine), ("FMI_w", meyer)])
def test_fmi_is_that_of_the_definition(images, name, feature):
    expected = by_definition(*(feature(image.astype(float)) for image in images))
    assert fusion_metrics(*images, names=(name,))[name] == pytest.approx(expected, rel=1e-9)


def test_a_fused_image_that_is_both_sources_has_all_of_their_features(images):
    flat = np.full((9, 9), 70, np.uint8)
    assert feature_mutual_information(images[0], images[0], images[0], "pixel") == 1
    assert feature_mutual_information(flat, flat, flat, "pixel") == 1


def test_a_flat_source_tells_nothing_of_an_image_that_varies():
    flat, ramp = np.full((3, 3), 70, np.uint8), np.arange(9, dtype=np.uint8).reshape(3, 3)
    assert feature_mutual_information(flat, flat, ramp, "pixel") == pytest.approx(0, abs=1e-12)


def test_a_negative_correlation_counts_as_information():
    ramp = np.arange(9.0).reshape(3, 3)
    assert feature_mutual_information(ramp, ramp, 8 - ramp, "pixel") > 0.3


def test_without_the_wavelet_library_the_line_names_it(monkeypatch):
    monkeypatch.setitem(sys.modules, "pywt", None)
    with pytest.raises(MissingLibraryError, match="PyWavelets: pip install PyWavelets"):
        engine_options.metric_names("fmi")


def test_groups_and_names_of_metrics_are_listed_together():
    assert engine_options.metric_names("textbook, FMI_dct,EN")[-1] == "FMI_dct"
    assert engine_options.metric_names("none") == ()
    with pytest.raises(ValueError, match=r"unknown fusion metrics FMI: choose from .*FMI_pixel"):
        engine_options.metric_names("FMI")
