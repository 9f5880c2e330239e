# SPDX-License-Identifier: Apache-2.0
"""Fusion metrics on grey images in 0..255, and the conventions in which the toolboxes of the field differ.

Every function takes uint8 (or float in 0..255) arrays of shape (H, W): ``a`` and ``b`` are the sources (infrared
and visible luma), ``f`` the fused luma. The plain names give the textbook value. Three toolboxes are quoted in
papers; where one departs from the textbook its value carries its letter, so that a number can be put beside the
table it is to be compared with:

  C  CDDFuse's Evaluator     T  Evaluation-for-Image-Fusion (MATLAB)     Z  IVIF_ZOO's Metric

SSIM and VIF are written here because they are two window filters, for which a robot should not need torchmetrics.
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import cv2
import numpy as np
import numpy.typing as npt

from segmif_ros.arrays import Float64Array, Image
from segmif_ros.command_line import Parser, finish
from segmif_ros.data.image_files import read_rgb
from segmif_ros.evaluation.better import Better
from segmif_ros.evaluation.feature_information import feature_mutual_information
from segmif_ros.imaging.fusion_rules import FUSION_RULES

Grey = Image | npt.NDArray[np.floating]

_MS_SSIM_WEIGHTS = (0.0448, 0.2856, 0.3001, 0.2363, 0.1333)  # finest scale first
BASELINES = FUSION_RULES  # what a network has to beat


def entropy(f: Grey) -> float:
    """EN: Shannon entropy of the 256-bin histogram, bits."""
    return _entropy_bits(np.bincount(_bytes(f).ravel(), minlength=256))


def standard_deviation(f: Grey) -> float:
    """SD: population standard deviation."""
    return float(np.std(_float(f)))


def spatial_frequency(f: Grey) -> float:
    """SF: square root of mean squared row difference plus mean squared column difference."""
    x = _float(f)
    return float(np.sqrt(np.mean(np.diff(x, axis=1) ** 2) + np.mean(np.diff(x, axis=0) ** 2)))


def average_gradient(f: Grey, divisor: Literal["pixels", "inner"] = "pixels") -> float:
    """AG: mean of sqrt((gx^2 + gy^2) / 2), central differences (one-sided at the border).

    divisor: ``pixels`` divides by H*W (C, Z), ``inner`` by (H-1)(W-1) (T).
    """
    gy, gx = np.gradient(_float(f))
    total = float(np.sum(np.sqrt((gx**2 + gy**2) / 2)))
    height, width = f.shape
    return total / (height * width if divisor == "pixels" else (height - 1) * (width - 1))


def mutual_information(a: Grey, b: Grey, f: Grey) -> float:
    """MI: I(F;A) + I(F;B) from 256x256 joint histograms, bits (T, Z; C gives nats, times ln 2)."""
    return _mutual_bits(f, a) + _mutual_bits(f, b)


def mean_squared_error(a: Grey, b: Grey, f: Grey) -> float:
    """MSE: (MSE(F,A) + MSE(F,B)) / 2 on 0..255 (C; T and Z divide by 255^2)."""
    x = _float(f)
    return float((np.mean((x - _float(a)) ** 2) + np.mean((x - _float(b)) ** 2)) / 2)


def psnr(a: Grey, b: Grey, f: Grey, peak: float = 255.0) -> float:
    """PSNR: 10 log10(peak^2 / MSE), dB; infinite for equal images. C takes max(F) as the peak."""
    mse = mean_squared_error(a, b, f)
    return float("inf") if mse == 0 else float(10 * np.log10(peak**2 / mse)) if peak > 0 else float("-inf")


def correlation(a: Grey, b: Grey, f: Grey) -> float:
    """CC: mean Pearson correlation of F with A and with B; NaN if one image is constant."""
    return (_pearson(_float(a), _float(f)) + _pearson(_float(b), _float(f))) / 2


def sum_of_correlations_of_differences(a: Grey, b: Grey, f: Grey) -> float:
    """SCD: corr(F - B, A) + corr(F - A, B); NaN if a difference or a source is constant."""
    x, y, z = _float(a), _float(b), _float(f)
    return _pearson(z - y, x) + _pearson(z - x, y)


def visual_information_fidelity(a: Grey, b: Grey, f: Grey) -> float:
    """VIF: vifp(A, F) + vifp(B, F), pixel domain, 4 scales, noise variance 2, whole windows only (C, T).

    Z pads with zeros and comes out higher (0.57 where this gives 0.47); it is not offered here.
    """
    return _vifp(_float(a), _float(f)) + _vifp(_float(b), _float(f))


def structural_similarity(x: Grey, y: Grey, data_range: float = 255.0) -> float:
    """SSIM of two images: 11x11 Gaussian window of sigma 1.5, whole windows only, mean of the map."""
    luminance, contrast = _ssim_terms(_float(x), _float(y), _gaussian(11, 1.5), data_range)
    return float(np.mean(luminance * contrast))


def uniform_similarity(x: Grey, y: Grey, data_range: float = 2.0) -> float:
    """SSIM of two images as scikit-image's default has it: 7x7 uniform window, sample (n - 1) covariance.

    ``data_range`` of 2 is what scikit-image takes for floating point images, whatever they hold.
    """
    luminance, contrast = _ssim_terms(_float(x), _float(y), np.full((7, 1), 1 / 7), data_range, unbiased=49 / 48)
    return float(np.mean(luminance * contrast))


def multi_scale_similarity(x: Grey, y: Grey, data_range: float = 255.0) -> float:
    """MS-SSIM of two images (Wang, Simoncelli and Bovik, 2003): 5 scales, each a 2x2 mean of the one before.

    Negative contrast terms count as 0. Images need 161 pixels on the shorter side for whole windows at all scales.
    """
    p, q = _float(x), _float(y)
    result = 1.0
    for scale, weight in enumerate(_MS_SSIM_WEIGHTS):
        if scale:
            p, q = _halved(p), _halved(q)
        luminance, contrast = _ssim_terms(p, q, _gaussian(11, 1.5), data_range)
        last = scale == len(_MS_SSIM_WEIGHTS) - 1
        result *= max(float(np.mean(luminance * contrast if last else contrast)), 0.0) ** weight
    return result


def fusion_multi_scale_ssim(a: Grey, b: Grey, f: Grey) -> float:
    """MS_SSIM: mean of MS-SSIM(F,A) and MS-SSIM(F,B); NaN for images of less than 161 pixels on a side."""
    if min(f.shape) < 161:
        return float("nan")
    return (multi_scale_similarity(a, f) + multi_scale_similarity(b, f)) / 2


def fusion_ssim(a: Grey, b: Grey, f: Grey, data_range: float = 255.0) -> float:
    """SSIM: mean of SSIM(F,A) and SSIM(F,B). T puts range 1 on 0..255 data, Z the same and sums."""
    return (structural_similarity(a, f, data_range) + structural_similarity(b, f, data_range)) / 2


def edge_transfer(a: Grey, b: Grey, f: Grey) -> float:
    """Qabf (Xydeas and Petrovic): how much of the sources' Sobel edges, weighted by strength, F keeps; [0, 1)."""
    (ga, aa), (gb, ab), (gf, af) = (_sobel(_float(image)) for image in (a, b, f))
    qa, qb = _edge_preservation(ga, aa, gf, af), _edge_preservation(gb, ab, gf, af)
    weight = float(np.sum(ga + gb))
    return float(np.sum(qa * ga + qb * gb)) / weight if weight > 0 else float("nan")


def fusion_artefacts(a: Grey, b: Grey, f: Grey) -> float:
    """Nabf (Kumar's modified fusion artefacts): edges of F that are stronger than both sources', 0 (none) or more.

    Its Sobel filter is divided by 8, on which scale its threshold of 2 is, and its border is mirrored.
    T's driver passes its arguments in the wrong order, so its tables hold another quantity under this name.
    """
    mirrored = cv2.BORDER_REFLECT_101
    (ga, aa), (gb, ab), (gf, af) = (_sobel(_float(image) / 8, mirrored) for image in (a, b, f))
    new = (gf > ga) & (gf > gb)
    lost_a = 1 - _kumar_preservation(ga, aa, gf, af)
    lost_b = 1 - _kumar_preservation(gb, ab, gf, af)
    wa, wb = (np.where(g >= 2, g**1.5, 0.001) for g in (ga, gb))
    return float(np.sum(new * (lost_a * wa + lost_b * wb)) / np.sum(wa + wb))


@dataclass(frozen=True)
class FusionMetric:
    """One metric of a fused image.

    Attributes:
        compute: From infrared, visible and fused grey images, (H, W) in 0..255, to the value.
        better: Which values are the better ones; `segmif compare` goes by it.
        group: "textbook"; "toolbox", a toolbox's convention beside the textbook's; or "fmi", which takes a second for
            640x480 where the others take milliseconds. All but the first are computed only on request.
    """

    compute: Callable[[Grey, Grey, Grey], float]
    better: Better
    group: Literal["textbook", "toolbox", "fmi"] = "textbook"


# a new metric is a row here; EN, SD, SF and AG only describe, as noise raises them, too
FUSION_METRICS: dict[str, FusionMetric] = {
    "EN": FusionMetric(lambda a, b, f: entropy(f), Better.NEITHER),
    "SD": FusionMetric(lambda a, b, f: standard_deviation(f), Better.NEITHER),
    "SF": FusionMetric(lambda a, b, f: spatial_frequency(f), Better.NEITHER),
    "AG": FusionMetric(lambda a, b, f: average_gradient(f), Better.NEITHER),
    "MI": FusionMetric(mutual_information, Better.MORE),
    "SCD": FusionMetric(sum_of_correlations_of_differences, Better.MORE),
    "VIF": FusionMetric(visual_information_fidelity, Better.MORE),
    "Qabf": FusionMetric(edge_transfer, Better.MORE),
    "Nabf": FusionMetric(fusion_artefacts, Better.LESS),
    "SSIM": FusionMetric(fusion_ssim, Better.MORE),
    "CC": FusionMetric(correlation, Better.MORE),
    "MSE": FusionMetric(mean_squared_error, Better.LESS),
    "PSNR": FusionMetric(psnr, Better.MORE),
    "MS_SSIM": FusionMetric(fusion_multi_scale_ssim, Better.MORE, group="toolbox"),
    "AG_T": FusionMetric(lambda a, b, f: average_gradient(f, divisor="inner"), Better.NEITHER, group="toolbox"),
    "MI_C": FusionMetric(lambda a, b, f: mutual_information(a, b, f) * float(np.log(2)), Better.MORE, group="toolbox"),
    "MSE_TZ": FusionMetric(lambda a, b, f: mean_squared_error(a, b, f) / 255.0**2, Better.LESS, group="toolbox"),
    "PSNR_C": FusionMetric(lambda a, b, f: psnr(a, b, f, peak=float(np.max(f))), Better.MORE, group="toolbox"),
    "PSNR_TZ": FusionMetric(lambda a, b, f: psnr(a, b, f, peak=255.0**2), Better.MORE, group="toolbox"),
    "SSIM_C": FusionMetric(
        lambda a, b, f: uniform_similarity(a, f) + uniform_similarity(b, f), Better.MORE, group="toolbox"
    ),
    "SSIM_T": FusionMetric(lambda a, b, f: fusion_ssim(a, b, f, data_range=1.0), Better.MORE, group="toolbox"),
    "SSIM_Z": FusionMetric(lambda a, b, f: 2 * fusion_ssim(a, b, f, data_range=1.0), Better.MORE, group="toolbox"),
    "FMI_pixel": FusionMetric(lambda a, b, f: feature_mutual_information(a, b, f, "pixel"), Better.MORE, group="fmi"),
    "FMI_dct": FusionMetric(lambda a, b, f: feature_mutual_information(a, b, f, "dct"), Better.MORE, group="fmi"),
    "FMI_w": FusionMetric(lambda a, b, f: feature_mutual_information(a, b, f, "wavelet"), Better.MORE, group="fmi"),
}


def _of_group(group: str) -> tuple[str, ...]:
    return tuple(name for name, each in FUSION_METRICS.items() if each.group == group)


TEXTBOOK_METRICS = _of_group("textbook")
TOOLBOX_METRICS = _of_group("toolbox")
FEATURE_METRICS = _of_group("fmi")
METRIC_GROUPS: dict[str, tuple[str, ...]] = {
    "textbook": TEXTBOOK_METRICS,
    "all": TEXTBOOK_METRICS + TOOLBOX_METRICS,
    "fmi": FEATURE_METRICS,
    "none": (),
}


_VIF_LEAST = 41  # at its coarsest scale a window of 3 pixels then fits


def fusion_metrics(
    infrared: Grey, visible: Grey, fused: Grey, names: Sequence[str] = TEXTBOOK_METRICS
) -> dict[str, float]:
    """The named metrics of one fused image.

    infrared, visible, fused: (H, W) grey, 0..255, one size of at least 41x41 for VIF (its coarsest scale needs
    whole windows); names: any of FUSION_METRICS.
    Raises ValueError for sizes that differ, colour images or unknown names.
    """
    for label, image in (("infrared", infrared), ("visible", visible), ("fused", fused)):
        if image.ndim != 2 or image.shape != infrared.shape:
            raise ValueError(f"{label} image is {image.shape}; three grey images of {infrared.shape} are needed")
    unknown = [name for name in names if name not in FUSION_METRICS]
    if unknown:
        raise ValueError(f"unknown fusion metrics {unknown}; known: {', '.join(FUSION_METRICS)}")
    if "VIF" in names and min(infrared.shape) < _VIF_LEAST:
        size = f"{infrared.shape[1]}x{infrared.shape[0]}"
        raise ValueError(f"{size} is too small for VIF, which needs {_VIF_LEAST} pixels a side: name other metrics")
    return {name: FUSION_METRICS[name].compute(infrared, visible, fused) for name in names}


def luma(rgb: Image) -> Image:
    """(H, W, 3) RGB uint8 to (H, W) grey uint8 (0.299, 0.587, 0.114, rounded)."""
    return np.asarray(cv2.cvtColor(rgb, cv2.COLOR_RGB2GRAY), dtype=np.uint8)


def _float(image: Grey) -> Float64Array:
    return np.asarray(image, dtype=np.float64)


def _bytes(image: Grey) -> Image:
    return np.clip(np.rint(image), 0, 255).astype(np.uint8)


def _entropy_bits(histogram: npt.NDArray[np.integer]) -> float:
    p = histogram[histogram > 0] / histogram.sum()
    return float(-np.sum(p * np.log2(p))) + 0.0


def _mutual_bits(x: Grey, y: Grey) -> float:
    joint = np.bincount(_bytes(x).ravel().astype(np.int64) * 256 + _bytes(y).ravel(), minlength=65536)
    table = joint.reshape(256, 256)
    return _entropy_bits(table.sum(axis=1)) + _entropy_bits(table.sum(axis=0)) - _entropy_bits(joint)


def _pearson(x: Float64Array, y: Float64Array) -> float:
    dx, dy = x - x.mean(), y - y.mean()
    scale = float(np.sqrt(np.sum(dx * dx) * np.sum(dy * dy)))
    return float(np.sum(dx * dy)) / scale if scale > 0 else float("nan")


def _gaussian(size: int, sigma: float) -> Float64Array:
    return np.asarray(cv2.getGaussianKernel(size, sigma), dtype=np.float64)


def _filter(image: Float64Array, window: Float64Array) -> Float64Array:
    """Separable filter, whole windows only."""
    half = window.shape[0] // 2
    if min(image.shape) < window.shape[0]:
        raise ValueError(f"an image of {image.shape} is smaller than the {window.shape[0]}-pixel window")
    out = cv2.sepFilter2D(image, cv2.CV_64F, window, window, borderType=cv2.BORDER_CONSTANT)
    return np.asarray(out, dtype=np.float64)[half : image.shape[0] - half, half : image.shape[1] - half]


def _ssim_terms(
    p: Float64Array, q: Float64Array, window: Float64Array, data_range: float, unbiased: float = 1.0
) -> tuple[Float64Array, Float64Array]:
    """Return SSIM's two maps, luminance and contrast with structure; ``unbiased`` scales the variances."""
    c1, c2 = (0.01 * data_range) ** 2, (0.03 * data_range) ** 2
    mp, mq = _filter(p, window), _filter(q, window)
    vp = unbiased * (_filter(p * p, window) - mp * mp)
    vq = unbiased * (_filter(q * q, window) - mq * mq)
    vpq = unbiased * (_filter(p * q, window) - mp * mq)
    return (2 * mp * mq + c1) / (mp * mp + mq * mq + c1), (2 * vpq + c2) / (vp + vq + c2)


def _halved(image: Float64Array) -> Float64Array:
    """Return means of 2x2 pixels; an odd last row or column is left out."""
    height, width = (2 * (side // 2) for side in image.shape)
    return np.asarray(image[:height, :width].reshape(height // 2, 2, width // 2, 2).mean(axis=(1, 3)))


def _vifp(reference: Float64Array, distorted: Float64Array, noise: float = 2.0) -> float:
    """Pixel-domain VIF (Sheikh and Bovik) of one pair; windows of 17, 9, 5, 3 with sigma = size / 5."""
    eps = 1e-10
    kept = carried = 0.0
    for scale in range(4):
        size = 2 ** (4 - scale) + 1
        window = _gaussian(size, size / 5)
        if scale > 0:
            reference = _filter(reference, window)[::2, ::2]
            distorted = _filter(distorted, window)[::2, ::2]
        mr, md = _filter(reference, window), _filter(distorted, window)
        vr = np.maximum(_filter(reference * reference, window) - mr * mr, 0)
        vd = np.maximum(_filter(distorted * distorted, window) - md * md, 0)
        cov = _filter(reference * distorted, window) - mr * md
        gain = cov / (vr + eps)
        residual = vd - gain * cov
        gain[vr < eps], residual[vr < eps], vr[vr < eps] = 0, vd[vr < eps], 0
        gain[vd < eps], residual[vd < eps] = 0, 0
        residual[gain < 0], gain[gain < 0] = vd[gain < 0], 0
        residual = np.maximum(residual, eps)
        kept += float(np.sum(np.log10(1 + gain * gain * vr / (residual + noise))))
        carried += float(np.sum(np.log10(1 + vr / noise)))
    return kept / carried if carried > 0 else float("nan")


def _sobel(image: Float64Array, border: int = cv2.BORDER_CONSTANT) -> tuple[Float64Array, Float64Array]:
    """Sobel strength and orientation, zero padding by default; y points up, which decides the sign where gx is 0."""
    smooth, step = np.array([1.0, 2.0, 1.0]), np.array([-1.0, 0.0, 1.0])
    gx = cv2.sepFilter2D(image, cv2.CV_64F, step, smooth, borderType=border)
    gy = cv2.sepFilter2D(image, cv2.CV_64F, smooth, -step, borderType=border)
    angle = np.where(gx == 0, np.pi / 2, np.arctan(gy / np.where(gx == 0, 1, gx)))
    return np.hypot(gx, gy), angle


def _edge_preservation(
    gs: Float64Array, angle_s: Float64Array, gf: Float64Array, angle_f: Float64Array
) -> Float64Array:
    """Strength and orientation preservation of a source in the fused image, with the paper's constants."""
    low, high = np.minimum(gs, gf), np.maximum(gs, gf)
    # equal strengths (also 0 and 0) count with the fused strength itself in the published formula
    ratio = np.where(gs == gf, gf, low / np.where(high == 0, 1, high))
    orientation = 1 - np.abs(angle_s - angle_f) / (np.pi / 2)
    strength = 0.9994 / (1 + np.exp(-15 * (ratio - 0.5)))
    direction = 0.9879 / (1 + np.exp(-22 * (orientation - 0.8)))
    return np.asarray(strength * direction)


def _kumar_preservation(
    gs: Float64Array, angle_s: Float64Array, gf: Float64Array, angle_f: Float64Array
) -> Float64Array:
    """As `_edge_preservation`, with Kumar's constants, measure of direction and geometric mean of both."""
    low, high = np.minimum(gs, gf), np.maximum(gs, gf)
    ratio = low / np.where(high == 0, 1, high)
    orientation = np.abs(np.abs(angle_s - angle_f) - np.pi / 2) / (np.pi / 2)
    strength = 0.9999 / (1 + np.exp(-19 * (ratio - 0.5)))
    direction = 0.9995 / (1 + np.exp(-22 * (orientation - 0.5)))
    return np.asarray(np.sqrt(strength * direction))


def main(arguments: Sequence[str] | None = None) -> int:
    """Print every metric of one fused image (``FUSED`` may be a rule of `BASELINES` for the pair)."""
    parser = Parser(prog="python -m segmif_ros.evaluation.fusion_metrics", description="Fusion metrics of one image")
    parser.add_argument("infrared", type=Path, metavar="IR")
    parser.add_argument("visible", type=Path, metavar="VIS")
    parser.add_argument("fused", metavar="FUSED", help=f"an image file, or a rule: {', '.join(BASELINES)}")
    parser.add_argument(
        "--metrics", default="all", choices=[name for name in METRIC_GROUPS if name != "none"], help="default: all"
    )
    options = parser.parse_args(arguments)

    def run() -> int:
        infrared, visible = luma(read_rgb(options.infrared)), luma(read_rgb(options.visible))
        if options.fused in BASELINES and infrared.shape == visible.shape:
            fused = BASELINES[options.fused](infrared, visible)
        else:
            fused = luma(read_rgb(Path(options.fused)))
        for name, value in fusion_metrics(infrared, visible, fused, METRIC_GROUPS[options.metrics]).items():
            print(f"{name:9s} {value:.6g}")
        return 0

    return finish(parser.prog, run)


if __name__ == "__main__":
    sys.exit(main())
