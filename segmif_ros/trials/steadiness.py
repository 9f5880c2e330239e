# SPDX-License-Identifier: Apache-2.0
"""How steady labels are from frame to frame, with the temporal filter and without it, and what that costs.

$ python -m segmif_ros.trials.steadiness --weights segmif-rt --sequence DATA/sequence1

Synthetic drives with exact labels, and sequences of real pairs in FOLDER/infrared and FOLDER/visible in the order of
their names. A change is counted along the flow: a pixel whose class isn't what it was where its surface was one frame
before, by a flow of full resolution that the filter doesn't use. Places where that flow isn't sure, or where the ground
truth has another class, aren't counted. "all changes" are those of pixels at one place of the image, with what really
moves among them. `--eager 1 2 4 8` shows the same frames to filters that believe small classes so many times sooner.
"""

from __future__ import annotations

import argparse
import sys
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TypedDict

import cv2
import numpy as np

from segmif_ros.arrays import Float32Array, Image, Mask
from segmif_ros.command_line import run_module
from segmif_ros.data.label_mapping import LabelMapping
from segmif_ros.data.pair_folder import PairFolder
from segmif_ros.evaluation.segmentation_metrics import ConfusionMatrix
from segmif_ros.files import write_json
from segmif_ros.inference.engine import Engine, EngineConfig, EngineProtocol
from segmif_ros.labels import FMB, IGNORE_ID
from segmif_ros.scenes import RoadScene
from segmif_ros.settings import setting
from segmif_ros.settings.options import add_options, from_options
from segmif_ros.stream.temporal import TemporalConfig, TemporalFilter

Frame = tuple[Image, Image, Image | None]  # infrared, RGB, labels

# apart from all other seeds; see `segmif_ros.evaluation.single_camera_factors`
FIRST_SEED = 6_400_000
LIGHTINGS = ("day", "night")
_SURE_PX = 1.5  # between the flow there and back


@dataclass(frozen=True, kw_only=True)
class SteadinessConfig:
    """What is measured."""

    weights: tuple[str, ...] = setting(("segmif-rt",), "Name, file, or the authors' two files with a comma between.")
    frames: int = setting(14, "Frames of each sequence.", minimum=2)
    scenes: int = setting(2, "Drives of each lighting and rate.", minimum=0)
    width: int = setting(640, "Columns and rows of the images.", minimum=32)
    height: int = setting(480, "Rows of the images.", minimum=32)
    threads: int = setting(0, "Threads of torch and OpenCV; 0: as many as they take.", minimum=0)
    first_seed: int = setting(FIRST_SEED, "Seed of the first drive; thresholds are chosen on others.", minimum=0)


class EffectFigures(TypedDict):
    """Each without the filter, and with it: changes as shares of the pixels, mean IoU; CPU milliseconds a frame."""

    changes: list[float]
    all_changes: list[float]
    miou: list[float | None]
    filter_cpu_ms: float


@dataclass
class FilterEffect:
    """What became of a sequence, without the filter and with it."""

    changes: list[list[float]] = field(default_factory=lambda: [[], []])  # along the flow
    all_changes: list[list[float]] = field(default_factory=lambda: [[], []])
    matrices: list[ConfusionMatrix] = field(default_factory=lambda: [ConfusionMatrix(len(FMB)) for _ in range(2)])
    filter_cpu_ms: list[float] = field(default_factory=list)

    def figures(self) -> EffectFigures:
        """Return shares of the pixels, mean IoU where there is ground truth, and CPU milliseconds of the filter."""
        along, plain = ([float(np.mean(each)) for each in two] for two in (self.changes, self.all_changes))
        miou = [each.mean_iou("present").value if each.counts.any() else None for each in self.matrices]
        return {
            "changes": along,
            "all_changes": plain,
            "miou": miou,
            "filter_cpu_ms": float(np.median(self.filter_cpu_ms)),
        }


def measured(
    engine: EngineProtocol,
    frames: Iterator[Frame],
    rate_hz: float,
    filters: Sequence[TemporalConfig] = (TemporalConfig(),),
) -> list[FilterEffect]:
    """Run a sequence through the network once, and through each filter; return what each of them did."""
    found, steady = [FilterEffect() for _ in filters], [TemporalFilter(each) for each in filters]
    to_fmb = LabelMapping(engine.label_set, FMB)
    before: tuple[Image, list[Image], Image | None] | None = None
    for number, (infrared, rgb, truth) in enumerate(frames):
        result = engine.infer(infrared, rgb)
        luma = np.asarray(cv2.cvtColor(result.fused, cv2.COLOR_RGB2GRAY), np.uint8)
        variants = [result.labels]  # without a filter, and with each
        for effect, each in zip(found, steady, strict=True):
            started = time.process_time()  # of all threads: a busy machine makes it no longer
            stamp_ns = round((number + 1) * 1e9 / rate_hz)
            variants.append(each.apply(result.labels, result.confidence, result.fused, stamp_ns)[0])
            effect.filter_cpu_ms.append(1e3 * (time.process_time() - started))
        if truth is not None:
            judged = [_counted(to_fmb.apply(each, "prediction"), truth) for each in variants]
            for effect, steadied in zip(found, judged[1:], strict=True):
                effect.matrices[0].update(truth, judged[0])
                effect.matrices[1].update(truth, steadied)
        if before is not None:
            place, sure = _flow(luma, before[0])
            if truth is not None and before[2] is not None:
                sure &= _moved(before[2], place) == truth
            shares = [_changes(now, then, place, sure) for now, then in zip(variants, before[1], strict=True)]
            for effect, steadied_shares in zip(found, shares[1:], strict=True):
                for i, (along, everything) in enumerate((shares[0], steadied_shares)):
                    effect.changes[i].append(along)
                    effect.all_changes[i].append(everything)
        before = luma, variants, truth
    return found


def _changes(now: Image, then: Image, place: Float32Array, sure: Mask) -> tuple[float, float]:
    """Return the shares of pixels that changed their class: along the flow where that is sure, and at one place."""
    along = float(np.mean(now[sure] != _moved(then, place)[sure])) if sure.any() else 0.0
    return along, float(np.mean(now != then))


def scene_frames(seed: int, lighting: str, count: int, rate_hz: float, size: tuple[int, int]) -> Iterator[Frame]:
    """Yield a synthetic drive, ``size`` being (width, height)."""
    scene = RoadScene(seed, size[1], size[0], lighting=lighting)
    for number in range(count):
        frame = scene.frame(number / rate_hz)
        yield frame.infrared8, frame.rgb, frame.labels


def folder_frames(folder: Path, count: int, size: tuple[int, int]) -> Iterator[Frame]:
    """Yield the pairs of a folder in the order of their names, at ``size`` (width, height)."""
    pairs = PairFolder(folder)
    for number in range(min(count, len(pairs))):
        pair = pairs.load(number)
        infrared, rgb = (cv2.resize(each, size, interpolation=cv2.INTER_AREA) for each in (pair.infrared, pair.rgb))
        yield np.asarray(infrared, np.uint8), np.asarray(rgb, np.uint8), None


def _counted(labels: Image, truth: Image) -> Image:
    # a class that FMB doesn't have is wrong, not left out
    return np.where((labels == IGNORE_ID) & (truth != IGNORE_ID), np.uint8(0), labels)


def _flow(now: Image, then: Image) -> tuple[Float32Array, Mask]:
    """Return where each pixel was in ``then`` (H, W, 2), and whether that is sure (H, W)."""
    dense = cv2.DISOpticalFlow.create(cv2.DISOPTICAL_FLOW_PRESET_MEDIUM)
    zero = np.zeros((*now.shape, 2), np.float32)
    flow, back = dense.calc(now, then, zero.copy()), dense.calc(then, now, zero.copy())
    x, y = np.meshgrid(*(np.arange(side, dtype=np.float32) for side in now.shape[::-1]))
    place = np.dstack([x, y]) + flow
    astray = np.abs(flow + cv2.remap(back, place, np.zeros(0, np.float32), cv2.INTER_LINEAR)).sum(axis=2)
    inside = (place >= 0).all(axis=2) & (place <= np.array(now.shape[::-1], np.float32) - 1).all(axis=2)
    return place, (astray < _SURE_PX) & inside


def _moved(labels: Image, place: Float32Array) -> Image:
    return np.asarray(cv2.remap(labels, place, np.zeros(0, np.float32), cv2.INTER_NEAREST), np.uint8)


def row(name: str, figures: EffectFigures) -> str:
    """Return one line of the table."""
    (along, steady), (plain, kept), (miou, miou_then) = figures["changes"], figures["all_changes"], figures["miou"]
    scores = "" if miou is None or miou_then is None else f"{100 * miou:.1f} -> {100 * miou_then:.1f}"
    changes = f"{100 * along:.2f} -> {100 * steady:.2f} ({steady / max(along, 1e-9):.2f})"
    everything = f"{100 * plain:.2f} -> {100 * kept:.2f} ({kept / max(plain, 1e-9):.2f})"
    return f"{name:24s}{changes:>24s}{everything:>24s}{scores:>16s}{figures['filter_cpu_ms']:8.1f}"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare what is measured."""
    add_options(parser, SteadinessConfig)
    parser.add_argument("--rates", type=float, nargs="*", default=[30.0, 10.0], help="Hz (default: 30 10)")
    parser.add_argument("--eager", type=float, nargs="*", default=[], metavar="TIMES", help="compare filters by these")
    parser.add_argument("--sequence", type=Path, action="append", default=[], metavar="FOLDER", help="of real pairs")
    parser.add_argument("--json", type=Path, metavar="FILE", help="write the figures")


def run(options: argparse.Namespace) -> int:
    """Measure and print."""
    config = from_options(options, SteadinessConfig())
    if config.threads:
        cv2.setNumThreads(config.threads)
    engine = Engine(EngineConfig(weights=config.weights, num_threads=config.threads))
    size = config.width, config.height
    print(f"{engine.model_name} {engine.model_hash}, {size[0]}x{size[1]}, {config.frames} frames a sequence")
    print(f"{'':24s}{'changes, %':>24s}{'all changes, %':>24s}{'mIoU, %':>16s}{'CPU ms':>8s}")
    filters = {f", eager {each:g}": TemporalConfig(eager=each) for each in options.eager} or {"": TemporalConfig()}
    report = {}

    def show(name: str, effects: Sequence[FilterEffect]) -> None:
        for suffix, effect in zip(filters, effects, strict=True):
            report[name + suffix] = effect.figures()
            print(row(name + suffix, report[name + suffix]), flush=True)

    for rate_hz in options.rates:
        for lighting in LIGHTINGS:
            totals = [FilterEffect() for _ in filters]
            for seed in range(config.scenes):
                frames = scene_frames(config.first_seed + seed, lighting, config.frames, rate_hz, size)
                for total, one in zip(totals, measured(engine, frames, rate_hz, tuple(filters.values())), strict=True):
                    _add(total, one)
            if config.scenes:
                show(f"{lighting}, {rate_hz:g} Hz", totals)
    for folder in options.sequence:
        frames = folder_frames(folder, config.frames, size)
        show(folder.name, measured(engine, frames, 30.0, tuple(filters.values())))
    if options.json:
        write_json(options.json, report)
    return 0


def _add(total: FilterEffect, part: FilterEffect) -> None:
    for i in range(2):
        total.changes[i] += part.changes[i]
        total.all_changes[i] += part.all_changes[i]
        total.matrices[i].counts += part.matrices[i].counts
    total.filter_cpu_ms += part.filter_cpu_ms


if __name__ == "__main__":
    sys.exit(run_module("segmif_ros.trials.steadiness", __doc__, add_arguments, run))
