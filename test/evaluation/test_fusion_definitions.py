# SPDX-License-Identifier: Apache-2.0
"""Fusion metrics that no library has, and the toolboxes' conventions, beside loops from the published formulas."""

import math
from itertools import pairwise

import numpy as np
import pytest

from segmif_ros.evaluation.fusion_metrics import TEXTBOOK_METRICS, TOOLBOX_METRICS, fusion_metrics

# held elsewhere: EN, MI, CC, SCD, MSE, PSNR, SSIM, Nabf in test_fusion_metrics.py; VIF, SSIM_C, MS_SSIM by libraries
ELSEWHERE = {"EN", "MI", "CC", "SCD", "MSE", "PSNR", "SSIM", "Nabf", "VIF", "SSIM_C", "MS_SSIM"}


@pytest.fixture(scope="module")
def images():
    """Infrared, visible and fused, uint8, 15x13, none of whose edges are equally strong in source and fused image."""
    rng = np.random.default_rng(23)
    infrared, visible = rng.integers(0, 256, (2, 15, 13))
    fused = np.clip(0.6 * infrared + 0.3 * visible + rng.normal(0, 9, infrared.shape), 0, 250)
    return tuple(image.astype(np.uint8) for image in (infrared, visible, fused))


def rows(image):
    return [[float(v) for v in line] for line in image]


def flat(image):
    return [v for line in rows(image) for v in line]


def deviation(_a, _b, f):
    values = flat(f)
    mean = math.fsum(values) / len(values)
    return math.sqrt(math.fsum((v - mean) ** 2 for v in values) / len(values))


def spatial_frequency(_a, _b, f):
    def mean_square(lines):
        steps = [(y - x) ** 2 for line in lines for x, y in pairwise(line)]
        return math.fsum(steps) / len(steps)

    return math.sqrt(mean_square(rows(f)) + mean_square(zip(*rows(f), strict=True)))


def gradient_sum(f):
    def slope(line, at):
        low, high = max(at - 1, 0), min(at + 1, len(line) - 1)
        return (line[high] - line[low]) / (high - low)

    lines, columns = rows(f), list(zip(*rows(f), strict=True))
    return math.fsum(
        math.sqrt((slope(lines[y], x) ** 2 + slope(columns[x], y) ** 2) / 2) for y, x in np.ndindex(f.shape)
    )


def qabf(a, b, f):
    def edges(image):
        wide = [[0.0] * (image.shape[1] + 2), *([0.0, *line, 0.0] for line in rows(image))]
        wide.append(wide[0])
        found = {}
        for y, x in np.ndindex(image.shape):
            part = [line[x : x + 3] for line in wide[y : y + 3]]
            right = sum(w * (line[2] - line[0]) for w, line in zip((1, 2, 1), part, strict=True))
            up = sum(w * (part[0][i] - part[2][i]) for i, w in enumerate((1, 2, 1)))
            found[y, x] = math.hypot(right, up), math.atan(up / right) if right else math.pi / 2
        return found

    fused, kept, weights = edges(f), 0.0, 0.0
    for source in (edges(a), edges(b)):
        for at, (strength, angle) in source.items():
            other, turned = fused[at]
            relative = min(strength, other) / max(strength, other) if max(strength, other) else 0.0
            alike = 1 - abs(angle - turned) / (math.pi / 2)
            q = 0.9994 / (1 + math.exp(-15 * (relative - 0.5))) * 0.9879 / (1 + math.exp(-22 * (alike - 0.8)))
            kept += q * strength
            weights += strength
    return kept / weights


def mean_square_error(a, b, f):
    return math.fsum((x - y) ** 2 for other in (a, b) for x, y in zip(flat(f), flat(other), strict=True)) / (2 * f.size)


def mutual_nats(a, b, f):
    total = 0.0
    for other in (a, b):
        pairs = list(zip(flat(f), flat(other), strict=True))
        for x, y in set(pairs):
            joint = pairs.count((x, y)) / len(pairs)
            alone = flat(f).count(x) / len(pairs) * flat(other).count(y) / len(pairs)
            total += joint * math.log(joint / alone)
    return total


def ssim_of_range_1(a, b, f):
    """The sum of both, 11x11 Gaussian of 1.5, whole windows, constants of a range of 1."""
    line = [math.exp(-((i - 5) ** 2) / 4.5) for i in range(11)]
    window = np.outer(line, line) / math.fsum(line) ** 2
    total = 0.0
    for other in (a, b):
        values = []
        for y, x in np.ndindex(f.shape[0] - 10, f.shape[1] - 10):
            p, q = (image[y : y + 11, x : x + 11].astype(float) for image in (f, other))
            mp, mq = float(np.sum(window * p)), float(np.sum(window * q))
            vp, vq = float(np.sum(window * (p - mp) ** 2)), float(np.sum(window * (q - mq) ** 2))
            both = float(np.sum(window * (p - mp) * (q - mq)))
            c1, c2 = 0.01**2, 0.03**2
            values.append((2 * mp * mq + c1) * (2 * both + c2) / ((mp**2 + mq**2 + c1) * (vp + vq + c2)))
        total += math.fsum(values) / len(values)
    return total


DEFINITIONS = {
    "SD": deviation,
    "SF": spatial_frequency,
    "AG": lambda a, b, f: gradient_sum(f) / (15 * 13),
    "AG_T": lambda a, b, f: gradient_sum(f) / (14 * 12),
    "Qabf": qabf,
    "MI_C": mutual_nats,
    "MSE_TZ": lambda a, b, f: mean_square_error(a, b, f) / 255**2,
    # 255 over a mean square error that was taken on 0..1
    "PSNR_TZ": lambda a, b, f: 10 * math.log10(255**2 / (mean_square_error(a, b, f) / 255**2)),
    "PSNR_C": lambda a, b, f: 10 * math.log10(max(flat(f)) ** 2 / mean_square_error(a, b, f)),
    "SSIM_T": lambda a, b, f: ssim_of_range_1(a, b, f) / 2,
    "SSIM_Z": ssim_of_range_1,
}


@pytest.mark.parametrize("name", DEFINITIONS)
def test_a_metric_is_that_of_its_published_formula(images, name):
    expected = DEFINITIONS[name](*images)
    assert fusion_metrics(*images, names=(name,))[name] == pytest.approx(expected, rel=1e-9)


def test_every_metric_is_held_by_something_that_is_not_ours():
    assert DEFINITIONS.keys() | ELSEWHERE == {*TEXTBOOK_METRICS, *TOOLBOX_METRICS}
