# SPDX-License-Identifier: Apache-2.0
"""`segmif single-camera`: by how much the confidence is to be lowered while one camera is missing.

With one camera a network errs more, and may not know it. The factor is what brings its mean confidence down to the
share of pixels that it gets right, over held-out synthetic scenes by day, dusk and night and over labelled pairs
given with --pairs, the lowest of these; never above 1. It is then checked on other scenes and pairs. Pixels that
are not labelled are left out.
"""

from __future__ import annotations

import argparse
import json
from collections.abc import Callable
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from segmif_ros.data.label_mapping import LabelMapping
from segmif_ros.data.mixture import SceneSource
from segmif_ros.data.pair_folder import PairFolder
from segmif_ros.data.transforms import Sample
from segmif_ros.evaluation.card.conditions import INPUTS, SCENE_HEIGHT, SCENE_WIDTH
from segmif_ros.evaluation.engine_options import add_engine_arguments, engine_factory
from segmif_ros.evaluation.errors import EvaluationError
from segmif_ros.inference.single_confidence import TABLE
from segmif_ros.labels import FMB, IGNORE_ID
from segmif_ros.reporting.progress import progress_bar
from segmif_ros.reporting.tables import Table, print_tables, wide_console
from segmif_ros.scenes import LIGHTINGS

if TYPE_CHECKING:  # torch would come with it
    from segmif_ros.inference.engine import EngineProtocol

# far from the seeds of training (0 ..), its validation (900000 ..) and the model cards (5000000 ..)
CALIBRATION_SEED = 6_200_000
CHECK_SEED = 6_300_000
CASES = {"both": "fused", "rgb": "RGB alone", "infrared": "infrared alone"}  # what is used, and its name in `INPUTS`
_BINS = 15
_STEP = 3  # every third pixel in each direction: neighbours say the same


@dataclass
class Reliability:
    """Counts of pixels, and of those that are right, by confidence (0..255)."""

    pixels: npt.NDArray[np.int64] = field(default_factory=lambda: np.zeros(256, np.int64))
    right: npt.NDArray[np.int64] = field(default_factory=lambda: np.zeros(256, np.int64))

    def add(self, truth: npt.NDArray[Any], labels: npt.NDArray[Any], confidence: npt.NDArray[Any]) -> None:
        """Count a label map: truth and labels in ids of one label set, truth 255 isn't counted; all (H, W) uint8."""
        counted = truth != IGNORE_ID
        self.pixels += np.bincount(confidence[counted], minlength=256)
        self.right += np.bincount(confidence[counted & (truth == labels)], minlength=256)

    @property
    def accuracy(self) -> float:
        """Share of the pixels that are right; NaN without any."""
        return float(self.right.sum() / self.pixels.sum()) if self.pixels.any() else float("nan")

    @property
    def confidence(self) -> float:
        """Mean confidence, 0..1."""
        return float(np.average(np.arange(256), weights=self.pixels) / 255) if self.pixels.any() else float("nan")

    def factor(self) -> float:
        """Return what brings the mean confidence down to the accuracy, at most 1."""
        return min(1.0, self.accuracy / self.confidence) if self.confidence else 1.0

    def error(self, factor: float = 1.0) -> float:
        """Return the expected calibration error over 15 bins, the confidence multiplied by ``factor``."""
        confidence = np.arange(256) / 255 * factor
        bins = np.minimum((confidence * _BINS).astype(int), _BINS - 1)
        total = 0.0
        for each in range(_BINS):
            here = bins == each
            total += abs(float((confidence[here] * self.pixels[here]).sum() - self.right[here].sum()))
        return total / float(self.pixels.sum())


def measure(
    engine: EngineProtocol, samples: list[Callable[[], Sample]], advance: Callable[[int], None]
) -> dict[str, Reliability]:
    """Show samples with both cameras and with each alone; return the reliability by what was used (`CASES`)."""
    mapping = LabelMapping(engine.label_set, FMB)
    found = {case: Reliability() for case in CASES}
    unlabelled = FMB.names.index("unlabelled") if "unlabelled" in FMB.names else IGNORE_ID
    for make in samples:
        sample = make()
        truth = np.where(sample.labels == unlabelled, IGNORE_ID, sample.labels)[::_STEP, ::_STEP]
        for case, name in CASES.items():
            result = engine.infer(*INPUTS[name](sample.infrared, sample.rgb))
            labels = mapping.apply(result.labels, sample.name)[::_STEP, ::_STEP]
            found[case].add(truth, labels, result.confidence[::_STEP, ::_STEP])
        advance(1)
    return found


def scene_samples(first_seed: int, count: int) -> list[Callable[[], Sample]]:
    """Return what makes ``count`` scenes of each lighting."""
    source = SceneSource(first_seed=first_seed, count=len(LIGHTINGS) * count, height=SCENE_HEIGHT, width=SCENE_WIDTH)
    return [partial(source.sample, index, np.random.default_rng(0)) for index in range(len(source))]


def folder_samples(folder: Path) -> list[Callable[[], Sample]]:
    """Return what reads the labelled pairs of a folder; EvaluationError if it has none."""
    pairs = PairFolder(folder)
    indices = [index for index, files in enumerate(pairs.files) if files.labels is not None]
    if not indices:
        raise EvaluationError(f"{folder}: no labels/ beside infrared/ and visible/, in ids of FMB, 255 for none")

    def read(index: int) -> Sample:
        pair = pairs.load(index)
        assert pair.labels is not None
        if pair.infrared.dtype != np.uint8:
            raise EvaluationError(f"{folder}: {pair.name} has raw thermal values: 8 bits are needed")
        return Sample(name=pair.name, infrared=np.asarray(pair.infrared, np.uint8), rgb=pair.rgb, labels=pair.labels)

    return [partial(read, index) for index in indices]


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the options of `segmif single-camera`."""
    parser.description = __doc__
    parser.formatter_class = argparse.RawDescriptionHelpFormatter
    parser.add_argument("--scenes", type=int, default=20, help="of each lighting, to calibrate on (%(default)s)")
    parser.add_argument("--check-scenes", type=int, default=10, help="of each lighting, to check (%(default)s)")
    parser.add_argument(
        "--pairs",
        type=Path,
        action="append",
        default=[],
        metavar="FOLDER",
        help="calibrate on labelled pairs that no training has seen, too (infrared/, visible/, labels/ in FMB's ids)",
    )
    parser.add_argument(
        "--check-pairs", type=Path, action="append", default=[], metavar="FOLDER", help="check on such pairs, too"
    )
    parser.add_argument("--write", action="store_true", help="store the factors with the packaged weights")
    add_engine_arguments(parser)
    parser.set_defaults(workers=1)


def run(arguments: argparse.Namespace) -> int:
    """Run `segmif single-camera`."""
    if arguments.scenes < 1 or arguments.check_scenes < 0:
        raise EvaluationError("--scenes must be at least 1 and --check-scenes not negative")
    engine = engine_factory(arguments)()
    used = {"scenes": scene_samples(CALIBRATION_SEED, arguments.scenes)}
    used |= {folder.name: folder_samples(folder) for folder in arguments.pairs}
    checks = {"check: scenes": scene_samples(CHECK_SEED, arguments.check_scenes)} if arguments.check_scenes else {}
    checks |= {f"check: {folder.name}": folder_samples(folder) for folder in arguments.check_pairs}
    sets = used | checks
    with progress_bar("measuring", sum(map(len, sets.values()))) as advance:
        measured = {name: measure(engine, samples, advance) for name, samples in sets.items()}
    factors = {case: min(measured[name][case].factor() for name in used) for case in CASES if case != "both"}
    print(f"{engine.model_name} {engine.model_hash}")
    rows = []
    for name, cases in measured.items():
        for case, each in cases.items():
            factor = factors.get(case, 1.0)
            shares = f"{100 * each.accuracy:.1f}%", f"{100 * each.confidence:.1f}%"
            errors = f"{each.error():.3f}", f"{factor:.3f}", f"{each.error(factor):.3f}"
            rows.append((f"{name}, {case}", *shares, *errors))
    columns = ("pairs, cameras used", "right", "confidence", "error", "factor", "error then")
    print_tables(wide_console(), [Table(title="", columns=columns, rows=tuple(rows))])
    given = " ".join(f"{camera}_alone_confidence:={factor:.3f}" for camera, factor in factors.items())
    print(f"as parameters of segmif_node: {given}")
    if arguments.write:
        write_factors(engine, factors, [f"{len(samples)} of {name}" for name, samples in used.items()])
        print(f"written: {TABLE}")
    return 0


def write_factors(
    engine: EngineProtocol, factors: dict[str, float], measured_on: list[str], table: Path = TABLE
) -> None:
    """Store the factors of an engine's weights; those of other weights of this name are replaced."""
    known = json.loads(table.read_text(encoding="utf-8")) if table.is_file() else {}
    kept = {model_hash: row for model_hash, row in known.items() if row.get("name") != engine.model_name}
    kept[engine.model_hash] = {
        "name": engine.model_name,
        **{camera: round(factor, 3) for camera, factor in factors.items()},
        "measured_on": measured_on,
    }
    rows = dict(sorted(kept.items(), key=lambda each: str(each[1]["name"])))
    table.write_text(json.dumps(rows, indent=2) + "\n", encoding="utf-8")
