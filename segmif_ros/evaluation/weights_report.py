# SPDX-License-Identifier: Apache-2.0
"""The figures of a model card: one command, held-out data, fixed seeds.

``python -m segmif_ros.evaluation.weights_report [--weights NAME] [--camvid DIR] [--pairs DIR]`` runs the engine, as the
node does, and prints and writes as JSON

- on synthetic scenes by lighting: mIoU of both inputs together, of RGB alone (infrared constant) and of infrared alone
  (RGB black), IoU by class, and fusion metrics beside the average and the maximum of the pair;
- with ``--camvid``: mIoU over CamVid's classes with RGB as is and darkened to night by a fixed rule, without infrared
  and with infrared invented from the labels (so that one tells what a thermal camera of that kind would add);
- with ``--pairs``: fusion metrics on real pairs, by default those that training holds out.
"""

from __future__ import annotations

import argparse
import json
import math
import sys
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import numpy.typing as npt

from segmif_ros.data.camvid import CamVid, camvid_to_fmb
from segmif_ros.data.images import DatasetError
from segmif_ros.data.mixture import PairSource, SceneSource
from segmif_ros.data.transforms import Sample
from segmif_ros.evaluation.fusion import BASELINES, fusion_metrics, luma, structural_similarity
from segmif_ros.evaluation.segmentation import ConfusionMatrix
from segmif_ros.inference.engine import Engine, EngineConfig, EngineError, EngineProtocol
from segmif_ros.inference.weights import DEFAULT_WEIGHTS, WeightsError
from segmif_ros.labels import FMB, LabelSet
from segmif_ros.model import CheckpointError

Image = npt.NDArray[np.uint8]
Pair = tuple[Image, Image]

# far from the seeds of training (0 ..) and of its validation (900000 ..)
FIRST_SEED = 5_000_000
SCENE_HEIGHT, SCENE_WIDTH = 288, 384
METRICS = ("EN", "SD", "SF", "AG", "MI", "SCD", "VIF", "Qabf", "SSIM")

INPUTS: dict[str, Callable[[Image, Image], Pair]] = {
    "fused": lambda infrared, rgb: (infrared, rgb),
    "RGB alone": lambda infrared, rgb: (np.full_like(infrared, 128), rgb),
    "infrared alone": lambda infrared, rgb: (infrared, np.zeros_like(rgb)),
}


class FusionMeans:
    """Means of fusion metrics over pairs, of the model and of the baselines."""

    def __init__(self) -> None:
        self._sums: dict[str, dict[str, list[float]]] = {}

    def add(self, infrared: Image, rgb: Image, fused: Image) -> None:
        """Measure one pair: infrared (H, W), rgb and fused (H, W, 3), uint8."""
        visible = luma(rgb)
        images = {"model": luma(fused), **{name: rule(infrared, visible) for name, rule in BASELINES.items()}}
        for name, image in images.items():
            values = fusion_metrics(infrared, visible, image, METRICS)
            values["SSIM infrared"] = structural_similarity(infrared, image)
            values["SSIM RGB"] = structural_similarity(visible, image)
            row = self._sums.setdefault(name, {})
            for metric, value in values.items():
                # a constant image has no correlation; it is left out of that mean
                if math.isfinite(value):
                    row.setdefault(metric, []).append(value)

    def means(self) -> dict[str, dict[str, float]]:
        """Return metric by name, for "model" and each baseline."""
        return {name: {m: float(np.mean(v)) for m, v in row.items()} for name, row in self._sums.items()}


def segmentation_figures(matrix: ConfusionMatrix, labels: LabelSet, classes: Sequence[int]) -> dict[str, Any]:
    """MIoU over ``classes`` under both conventions, with the classes each was taken over, and IoU by class."""
    present, fixed = matrix.mean_iou("present", classes), matrix.mean_iou("fixed", classes)
    iou = matrix.iou()
    return {
        "miou_present": present.value,
        "classes_present": [labels.names[c] for c in present.classes],
        "miou_fixed": fixed.value,
        "classes_fixed": [labels.names[c] for c in fixed.classes],
        "pixel_accuracy": matrix.pixel_accuracy(),
        "iou": {labels.names[c]: None if np.isnan(iou[c]) else float(iou[c]) for c in classes},
    }


def report_scenes(engine: EngineProtocol, count: int, sheet: Path | None = None) -> dict[str, Any]:
    """Measure ``count`` scenes of each lighting; the unlabelled class is not in the means."""
    source = SceneSource(first_seed=FIRST_SEED, count=3 * count, height=SCENE_HEIGHT, width=SCENE_WIDTH)
    classes = [c for c in range(len(FMB)) if FMB.names[c] != "unlabelled"]
    matrices: dict[tuple[str, str], ConfusionMatrix] = {}
    fusion = FusionMeans()
    rows = []
    for index in range(len(source)):
        sample = source.sample(index, np.random.default_rng(0))
        lighting = source.lighting(index)
        for name, choose in INPUTS.items():
            result = engine.infer(*choose(sample.infrared, sample.rgb))
            for key in ((lighting, name), ("all", name)):
                matrices.setdefault(key, ConfusionMatrix(len(FMB))).update(sample.labels, result.labels, sample.name)
            if name == "fused":
                fusion.add(sample.infrared, sample.rgb, result.fused)
                rows.append((sample, result.fused, result.labels))
    if sheet is not None:
        write_sheet(sheet, rows[:12])
    figures: dict[str, Any] = {"first_seed": FIRST_SEED, "scenes_per_lighting": count}
    figures["segmentation"] = {
        lighting: {name: segmentation_figures(matrices[lighting, name], FMB, classes) for name in INPUTS}
        for lighting in dict.fromkeys(key[0] for key in matrices)
    }
    figures["fusion"] = fusion.means()
    return figures


def night(rgb: Image) -> Image:
    """RGB at a fixed night exposure: 6 % of the light, sensor noise of fixed seed, gain 1.5."""
    rng = np.random.default_rng(0)
    linear = (rgb.astype(np.float32) / 255) ** 2.2 * np.float32(0.06)
    linear = linear + rng.standard_normal(rgb.shape, dtype=np.float32) * np.sqrt(0.002 * linear + 0.003**2)
    return np.rint(255 * np.clip(1.5 * linear, 0, 1) ** (1 / 2.2)).astype(np.uint8)


def report_camvid(engine: EngineProtocol, root: Path, split: str, sheet: Path | None = None) -> dict[str, Any]:
    """Measure CamVid's RGB by day and darkened, without and with invented infrared, over its 10 mapped classes."""
    data = CamVid(root, split)
    classes = [int(c) for c in np.unique(camvid_to_fmb(np.arange(12, dtype=np.uint8)[None])) if c != FMB.ignore_id]
    matrices: dict[str, ConfusionMatrix] = {}
    rows = []
    for index in range(len(data)):
        sample = data.sample(index, np.random.default_rng((FIRST_SEED, index)))
        none = np.full_like(sample.infrared, 128)
        inputs = {
            "RGB": (none, sample.rgb),
            "RGB with invented infrared": (sample.infrared, sample.rgb),
            "night RGB": (none, night(sample.rgb)),
            "night RGB with invented infrared": (sample.infrared, night(sample.rgb)),
        }
        for name, pair in inputs.items():
            result = engine.infer(*pair)
            matrices.setdefault(name, ConfusionMatrix(len(FMB))).update(sample.labels, result.labels, sample.name)
            if name == "RGB" and index % max(1, len(data) // 8) == 0:
                rows.append((sample, result.fused, result.labels))
    if sheet is not None:
        write_sheet(sheet, rows)
    figures = {name: segmentation_figures(matrix, FMB, classes) for name, matrix in matrices.items()}
    return {"split": split, "images": len(data), "segmentation": figures}


def report_pairs(engine: EngineProtocol, root: Path, hold_out_every: int, sheet: Path | None = None) -> dict[str, Any]:
    """Measure the fusion of real pairs; with hold_out_every = 0 of all, else of those that training holds out."""
    source = PairSource(root, hold_out_every=hold_out_every, held_out=hold_out_every > 0)
    fusion = FusionMeans()
    rows = []
    for index in range(len(source)):
        sample = source.sample(index, np.random.default_rng(0))
        result = engine.infer(sample.infrared, sample.rgb)
        fusion.add(sample.infrared, sample.rgb, result.fused)
        if index % max(1, len(source) // 10) == 0:
            rows.append((sample, result.fused, result.labels))
    if sheet is not None:
        write_sheet(sheet, rows)
    return {"pairs": len(source), "hold_out_every": hold_out_every, "fusion": fusion.means()}


def write_sheet(path: Path, rows: Iterable[tuple[Sample, Image, Image]], width: int = 320) -> None:
    """Write infrared, RGB, fused, labels and, where there is truth, truth side by side, one row a sample."""
    lines = []
    for sample, fused, labels in rows:
        truth = FMB.colourise(sample.labels)
        images = [np.dstack([sample.infrared] * 3), sample.rgb, fused, FMB.colourise(labels), truth]
        height = round(width * labels.shape[0] / labels.shape[1])
        lines.append(np.hstack([cv2.resize(each, (width, height), interpolation=cv2.INTER_AREA) for each in images]))
    if lines:
        cv2.imwrite(str(path), cv2.cvtColor(np.vstack(lines), cv2.COLOR_RGB2BGR))


def format_report(report: dict[str, Any]) -> str:
    """Return the report as text tables; IoU and mIoU in percent."""
    lines = [f"weights {report['weights']} ({report['hash']}) on {report['device']}"]
    scenes = report["scenes"]
    count, seed = scenes["scenes_per_lighting"], scenes["first_seed"]
    segmentation = scenes["segmentation"]
    lines += ["", f"synthetic scenes, {count} of each lighting from seed {seed}: mIoU % (classes present; fixed 14)"]
    lines.append(f"{'':8s}" + "".join(f"{name:>20s}" for name in INPUTS))
    for lighting, figures in segmentation.items():
        cells = [f"{100 * figures[n]['miou_present']:.1f}; {100 * figures[n]['miou_fixed']:.1f}" for n in INPUTS]
        lines.append(f"{lighting:8s}" + "".join(f"{cell:>20s}" for cell in cells))
    lines += ["", "IoU % by class, all lightings", f"{'':12s}" + "".join(f"{name:>20s}" for name in INPUTS)]
    for name in segmentation["all"]["fused"]["iou"]:
        cells = [_percent(segmentation["all"][each]["iou"][name]) for each in INPUTS]
        lines.append(f"{name:12s}" + "".join(f"{cell:>20s}" for cell in cells))
    lines += ["", "fusion on the synthetic scenes", *_fusion_lines(scenes["fusion"])]
    if "camvid" in report:
        camvid = report["camvid"]
        lines += ["", f"CamVid {camvid['split']}, {camvid['images']} images: mIoU % over its 10 mapped classes"]
        for name, figures in camvid["segmentation"].items():
            lines.append(f"{name:34s} {100 * figures['miou_fixed']:.1f}")
        first = camvid["segmentation"]["RGB"]["iou"]
        lines.append("RGB by class: " + ", ".join(f"{name} {_percent(value)}" for name, value in first.items()))
    for name, pairs in report.get("pairs", {}).items():
        which = f"every {pairs['hold_out_every']}th, held out" if pairs["hold_out_every"] else "all"
        lines += ["", f"fusion on {pairs['pairs']} pairs of {name} ({which})", *_fusion_lines(pairs["fusion"])]
    return "\n".join(lines)


def _fusion_lines(fusion: dict[str, dict[str, float]]) -> list[str]:
    metrics = list(next(iter(fusion.values())))
    head = f"{'':8s}" + "".join(f"{metric:>15s}" if " " in metric else f"{metric:>8s}" for metric in metrics)
    rows = [head]
    for name, values in fusion.items():
        cells = (f"{values[m]:>15.3f}" if " " in m else f"{values[m]:>8.3f}" for m in metrics)
        rows.append(f"{name:8s}" + "".join(cells))
    return rows


def _percent(value: float | None) -> str:
    return "-" if value is None else f"{100 * value:.1f}"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the arguments of the command."""
    parser.add_argument("--weights", action="append", help=f"a packaged name or a file (default: {DEFAULT_WEIGHTS})")
    parser.add_argument("--scenes", type=int, default=20, help="synthetic scenes of each lighting (default: 20)")
    parser.add_argument("--camvid", type=Path, help="CamVid's folder, to measure its val split")
    parser.add_argument("--camvid-split", default="val", help="split of CamVid (default: val)")
    parser.add_argument("--pairs", type=Path, action="append", default=[], help="a folder with infrared/ and visible/")
    parser.add_argument("--all-pairs", action="store_true", help="measure all pairs, not only every 4th (held out)")
    parser.add_argument("--out", type=Path, default=Path("out/weights"), help="folder for report.json and sheets")


def run(options: argparse.Namespace) -> int:
    """Measure, print and write; errors are one line."""
    try:
        if options.scenes < 1:
            raise EngineError(f"--scenes is {options.scenes}: it must be at least 1")
        engine = Engine(EngineConfig(weights=tuple(options.weights or (DEFAULT_WEIGHTS,))))
        if engine.label_set.name != FMB.name:
            raise EngineError(f"weights for label set '{engine.label_set.name}': this report measures FMB's classes")
        options.out.mkdir(parents=True, exist_ok=True)
        report: dict[str, Any] = {
            "weights": engine.model_name,
            "hash": engine.model_hash,
            "device": engine.device_name,
            "scenes": report_scenes(engine, options.scenes, options.out / "scenes.png"),
        }
        if options.camvid:
            sheet = options.out / "camvid.png"
            report["camvid"] = report_camvid(engine, options.camvid, options.camvid_split, sheet)
        every = 0 if options.all_pairs else 4
        for folder in options.pairs:
            figures = report_pairs(engine, folder, every, options.out / f"{folder.name}.png")
            report.setdefault("pairs", {})[folder.name] = figures
    except (EngineError, WeightsError, CheckpointError, DatasetError, OSError) as error:
        print(f"error: {error}", file=sys.stderr)
        return 2
    (options.out / "report.json").write_text(json.dumps(report, indent=1) + "\n", encoding="utf-8")
    print(format_report(report))
    print(f"\nwritten: {options.out / 'report.json'} and sheets beside it")
    return 0


def main(arguments: Sequence[str] | None = None) -> int:
    """Parse the command line and measure."""
    parser = argparse.ArgumentParser(prog="python -m segmif_ros.evaluation.weights_report", description=__doc__)
    parser.formatter_class = argparse.RawDescriptionHelpFormatter
    add_arguments(parser)
    return run(parser.parse_args(arguments))


if __name__ == "__main__":
    sys.exit(main())
