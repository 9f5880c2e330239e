# SPDX-License-Identifier: Apache-2.0
"""Our metrics beside those of well-kept libraries: `python -m segmif_ros.trials.metric_agreement [IR VIS FUSED]`.

Prints the relative difference of every metric that a library has as well, for three images (cut to multiples of 16
pixels) or a built-in pattern, and of mean IoU and accuracy on random label maps. What isn't installed is left out and
listed; `pip install scikit-image scikit-learn torchmetrics piq sewar` brings all of it. No library has SF, AG, Qabf,
Nabf and FMI: the tests compare them with loops that follow the published formulas.
"""

from __future__ import annotations

import argparse
import importlib
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np

from segmif_ros.arrays import Array, Image
from segmif_ros.command_line import run_module
from segmif_ros.data.image_files import read_rgb
from segmif_ros.evaluation.fusion_metrics import fusion_metrics, luma
from segmif_ros.evaluation.segmentation_metrics import ConfusionMatrix
from segmif_ros.reporting.errors import RunError
from segmif_ros.reporting.tables import Table, print_tables, wide_console

Triple = tuple[Image, Image, Image]
_LARGEST = {"default": 1e-6, "MI": 1e-6, "SSIM torchmetrics": 5e-2, "MS_SSIM torchmetrics": 1e-1}
# by import name, the names that pip knows
_PACKAGES = {
    "skimage": "scikit-image",
    "sklearn": "scikit-learn",
    **{name: name for name in ("torchmetrics", "piq", "sewar")},
}
_WHOLE = 16  # sides are cut to multiples of this


def pattern() -> Triple:
    """Return infrared, visible and fused, uint8 (176, 192): smooth waves without any randomness."""
    y, x = np.mgrid[0:176, 0:192]
    infrared = 120 + 70 * np.sin(x / 9 + y / 23) + 40 * np.cos(x * y / 900)
    visible = 130 + 60 * np.cos(x / 13 - y / 7) + 50 * np.sin(x / 3 + y / 31)
    fused = 0.6 * infrared + 0.45 * visible - 8 + 6 * np.sin(x / 2)
    found = [np.clip(np.rint(image), 0, 255).astype(np.uint8) for image in (infrared, visible, fused)]
    return found[0], found[1], found[2]


def fusion_references() -> Iterator[tuple[str, str, Callable[[Image, Image, Image], float]]]:
    """Yield (metric, library, its value) for every library that is installed."""
    if measure := _module("skimage.measure"):
        yield "EN", "scikit-image", lambda a, b, f: float(measure.shannon_entropy(f))
    if metrics := _module("skimage.metrics"):
        gaussian = {"gaussian_weights": True, "sigma": 1.5, "use_sample_covariance": False}

        def ssim(x: Image, y: Image, data_range: float = 255) -> float:
            _, full = metrics.structural_similarity(x, y, full=True, data_range=data_range, **gaussian)
            return float(full[5:-5, 5:-5].mean())

        def of_c(a: Image, b: Image, f: Image) -> float:
            floats = [each.astype(float) for each in (a, b)]
            return sum(float(metrics.structural_similarity(f.astype(float), x, data_range=2)) for x in floats)

        def mse(a: Array, b: Array, f: Array) -> float:
            return float(metrics.mean_squared_error(a, f) + metrics.mean_squared_error(b, f)) / 2

        def of_range_1(a: Image, b: Image, f: Image) -> float:
            return ssim(a, f, data_range=1) + ssim(b, f, data_range=1)

        yield "SSIM", "scikit-image", lambda a, b, f: (ssim(a, f) + ssim(b, f)) / 2
        yield "SSIM_C", "scikit-image", of_c
        yield "SSIM_T", "scikit-image", lambda a, b, f: of_range_1(a, b, f) / 2
        yield "SSIM_Z", "scikit-image", of_range_1
        yield "MSE", "scikit-image", mse
        yield "PSNR", "scikit-image", lambda a, b, f: float(10 * np.log10(255**2 / mse(a, b, f)))
        yield "MSE_TZ", "scikit-image", lambda a, b, f: mse(a / 255, b / 255, f / 255)
        yield "PSNR_C", "scikit-image", lambda a, b, f: float(10 * np.log10(float(f.max()) ** 2 / mse(a, b, f)))
        yield "PSNR_TZ", "scikit-image", lambda a, b, f: float(10 * np.log10(255**2 / mse(a / 255, b / 255, f / 255)))
    if score := _module("sklearn.metrics"):

        def mutual(a: Image, b: Image, f: Image) -> float:
            return float(sum(score.mutual_info_score(f.ravel(), each.ravel()) for each in (a, b)) / np.log(2))

        yield "MI", "scikit-learn", mutual
        yield "MI_C", "scikit-learn", lambda a, b, f: mutual(a, b, f) * float(np.log(2))
    if stats := _module("scipy.stats"):
        yield "CC", "scipy", lambda a, b, f: _mean(lambda x: float(stats.pearsonr(x.ravel(), f.ravel())[0]), a, b)
        yield (
            "SCD",
            "scipy",
            lambda a, b, f: float(
                stats.pearsonr((f.astype(float) - b).ravel(), a.ravel())[0]
                + stats.pearsonr((f.astype(float) - a).ravel(), b.ravel())[0]
            ),
        )
    if ndimage := _module("scipy.ndimage"):
        yield "SD", "scipy", lambda a, b, f: float(ndimage.standard_deviation(f))
    if image := _module("torchmetrics.functional.image"):
        yield (
            "VIF",
            "torchmetrics",
            lambda a, b, f: 2 * _mean(lambda x: float(image.visual_information_fidelity(_plane(f), _plane(x))), a, b),
        )
        yield (
            "SSIM",
            "torchmetrics",
            lambda a, b, f: _mean(
                lambda x: float(image.structural_similarity_index_measure(_plane(f), _plane(x), data_range=255.0)), a, b
            ),
        )
        yield (
            "MS_SSIM",
            "torchmetrics",
            lambda a, b, f: _mean(
                lambda x: float(
                    image.multiscale_structural_similarity_index_measure(
                        _plane(f), _plane(x), data_range=255.0, normalize="relu"
                    )
                ),
                a,
                b,
            ),
        )
    if piq := _module("piq"):
        yield (
            "VIF",
            "piq",
            lambda a, b, f: 2 * _mean(lambda x: float(piq.vif_p(_plane(f), _plane(x), data_range=255.0)), a, b),
        )
        yield (
            "SSIM",
            "piq",
            lambda a, b, f: _mean(
                lambda x: float(piq.ssim(_plane(f), _plane(x), data_range=255.0, downsample=False)), a, b
            ),
        )
        yield (
            "MS_SSIM",
            "piq",
            lambda a, b, f: _mean(lambda x: float(piq.multi_scale_ssim(_plane(f), _plane(x), data_range=255.0)), a, b),
        )
    if sewar := _module("sewar.full_ref"):
        yield "VIF", "sewar", lambda a, b, f: 2 * _mean(lambda x: float(sewar.vifp(x, f)), a, b)


def segmentation_rows(seed: int = 0) -> Iterator[tuple[str, str, float, float]]:
    """Yield (figure, library, ours, theirs) on random label maps with a class that the prediction lacks."""
    rng = np.random.default_rng(seed)
    truth, prediction = rng.integers(0, 9, 50_000), rng.integers(0, 8, 50_000)
    prediction = np.where(rng.random(50_000) < 0.6, np.minimum(truth, 7), prediction)
    ignored = rng.random(50_000) < 0.2
    matrix = ConfusionMatrix(9)
    matrix.update(np.where(ignored, 255, truth), prediction)
    kept = ~ignored
    if score := _module("sklearn.metrics"):
        theirs = float(score.jaccard_score(truth[kept], prediction[kept], average="macro", labels=range(9)))
        yield "mIoU", "scikit-learn", matrix.mean_iou("present").value, theirs
        accuracy = float(score.accuracy_score(truth[kept], prediction[kept]))
        yield "pixel accuracy", "scikit-learn", matrix.pixel_accuracy(), accuracy
        balanced = float(score.balanced_accuracy_score(truth[kept], prediction[kept]))
        yield "mean accuracy", "scikit-learn", matrix.mean_accuracy("truth").value, balanced
    if functional := _module("torchmetrics.functional.classification"):
        import torch

        tensors = torch.from_numpy(prediction), torch.from_numpy(np.where(ignored, 255, truth))
        options: dict[str, Any] = {"num_classes": 9, "ignore_index": 255}
        theirs = float(functional.multiclass_jaccard_index(*tensors, **options))
        yield "mIoU", "torchmetrics", matrix.mean_iou("present").value, theirs
        accuracy = float(functional.multiclass_accuracy(*tensors, average="micro", **options))
        yield "pixel accuracy", "torchmetrics", matrix.pixel_accuracy(), accuracy
        balanced = float(functional.multiclass_accuracy(*tensors, average="macro", **options))
        yield "mean accuracy", "torchmetrics", matrix.mean_accuracy("present").value, balanced


def rows(triple: Triple) -> Iterator[tuple[str, str, float, float]]:
    """Yield (metric, library, ours, theirs) of all that is installed."""
    for name, library, theirs in fusion_references():
        yield name, library, fusion_metrics(*triple, names=(name,))[name], theirs(*triple)
    yield from segmentation_rows()


def run(options: argparse.Namespace) -> int:
    """Print the table; 1 if a figure differs by more than its definition allows."""
    if len(options.images) not in (0, 3):
        raise RunError("give three images, infrared, visible and fused, or none")
    if options.images:
        infrared, visible, fused = (luma(read_rgb(path)) for path in options.images)
        # libraries halve odd sizes for MS_SSIM in different ways
        rows_kept, columns_kept = (side - side % _WHOLE for side in infrared.shape)
        infrared, visible, fused = (each[:rows_kept, :columns_kept] for each in (infrared, visible, fused))
        triple = infrared, visible, fused
    else:
        triple = pattern()
    found, failed = [], 0
    for name, library, ours, theirs in rows(triple):
        difference = abs(ours - theirs) / max(abs(theirs), 1e-300)
        # torchmetrics counts windows over the border, too
        largest = _LARGEST.get(f"{name} {library}", _LARGEST.get(name, _LARGEST["default"]))
        failed += not difference <= largest
        mark = "" if difference <= largest else "DIFFERS"
        found.append((name, library, f"{ours:.9g}", f"{theirs:.9g}", f"{difference:.1g}", mark))
    columns = ("metric", "against", "ours", "theirs", "relative difference", "")
    print_tables(wide_console(), [Table(title="", columns=columns, rows=tuple(found))])
    absent = [name for name in _PACKAGES if _module(name) is None]
    if absent:
        packages = " ".join(_PACKAGES[each] for each in absent)
        print(f"can't be imported, so not compared: {', '.join(absent)} (pip install {packages})")
    return 1 if failed else 0


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the images."""
    parser.add_argument("images", type=Path, nargs="*", metavar="IMAGE", help="infrared, visible and fused; or none")


def _module(name: str) -> Any:
    try:
        return importlib.import_module(name)
    except (ImportError, RuntimeError):  # RuntimeError: a torchvision beside piq that was built for another torch
        return None


def _mean(value: Callable[[Image], float], a: Image, b: Image) -> float:
    return (value(a) + value(b)) / 2


def _plane(image: Image) -> Any:
    import torch

    return torch.from_numpy(image.astype(np.float64))[None, None]


if __name__ == "__main__":
    sys.exit(run_module("segmif_ros.trials.metric_agreement", __doc__, add_arguments, run))
