# SPDX-License-Identifier: Apache-2.0
"""`segmif bench`: model x backend x precision x size on this machine, interleaved, as table, JSON and plot."""

from __future__ import annotations

import argparse
from dataclasses import asdict, replace
from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np
import torch
from rich.console import Console

from segmif_ros.arrays import Float64Array, Image
from segmif_ros.command_line import parse_size
from segmif_ros.files import write_json
from segmif_ros.inference.backends import BACKENDS, TOLERANCES, available_backends, lacking
from segmif_ros.inference.choice import mask_agreement, psnr_db
from segmif_ros.inference.config import EngineConfig
from segmif_ros.inference.networks import default_backend, runnable_backends
from segmif_ros.inference.operations import Rates, measure_rates
from segmif_ros.inference.sample_pairs import pattern_pairs, read_pairs
from segmif_ros.model import SegMiF, SegMiFConfig, save_checkpoint
from segmif_ros.reporting import plots
from segmif_ros.reporting.numbers import percentiles
from segmif_ros.reporting.tables import print_tables, wide_console
from segmif_ros.result_folder import ResultFolder
from segmif_ros.settings import from_values
from segmif_ros.settings.options import given
from segmif_ros.trials.bench_options import OF_THE_ENGINE
from segmif_ros.trials.bench_options import add_arguments as add_arguments
from segmif_ros.trials.bench_rows import Row, groups, machine, table
from segmif_ros.trials.bench_worker import PLAIN, PLAIN_UNTUNED, Ready, Runner, RunnerError, RunnerSpec

Pairs = list[tuple[Image, Image]]

RANDOM = "random:"
_BYTES_SAVED = {"float32": 1, "int8": 4}


class BenchError(ValueError):
    """The benchmark can't do what was asked; one line."""


def run(arguments: argparse.Namespace) -> int:
    """Run the benchmark; 0 when all agree with torch in float32, 1 when one doesn't."""
    console = wide_console()
    # before minutes of measuring, not after them
    results = None if arguments.out is None else ResultFolder(arguments.out, "segmif bench")
    skipped = [f"skipped: {line}" for name in arguments.backend or () if (line := lacking(name))]
    for line in skipped:
        console.print(line, markup=False)
    with TemporaryDirectory(prefix="segmif_bench_") as folder:
        rows, failures = bench(arguments, console, Path(folder))
    report = {"machine": machine(), "rows": [asdict(row) for row in rows], "failures": failures, "skipped": skipped}
    for group in groups(rows):
        print_tables(console, [table(group)])
    for line in failures:
        console.print(line, markup=False)
    if results is not None:
        write_json(results.folder / "bench.json", report)
        plots.write_times(
            results.folder / "bench.png",
            [f"{row.model} {row.width}x{row.height}, {row.backend}, {row.precision}" for row in rows],
            [(row.p50_ms, row.p95_ms) for row in rows],
        )
        console.print(f"wrote {results.folder / 'bench.json'} and bench.png", markup=False)
        results.close()
    return 0 if not failures and all(row.passed for row in rows) else 1


def bench(arguments: argparse.Namespace, console: Console, scratch: Path) -> tuple[list[Row], list[str]]:
    """Time every combination; return the rows, and one line for each that could not run.

    Args:
        arguments: The command line's.
        console: To say on what is done.
        scratch: Folder for random weights.
    """
    if arguments.frames < 1 or arguments.warm_up < 0:
        raise BenchError(f"{arguments.frames} frames after {arguments.warm_up}: time at least one")
    sizes = [parse_size(text)[::-1] for text in arguments.size]
    rows: list[Row] = []
    failures: list[str] = []
    engine = from_values(EngineConfig, given(arguments, EngineConfig, OF_THE_ENGINE))
    for weights in arguments.weights:
        if weights.startswith(RANDOM):
            files = (str(random_weights(weights, scratch)),)
            console.print(f"{weights}: times only: agreement of random weights proves nothing", markup=False)
        else:
            files = tuple(weights.split(","))
        for height, width in sizes:
            first = RunnerSpec(
                weights=files,
                backend=default_backend(files),
                precision="float32",
                height=height,
                width=width,
                device=engine.device,
                num_threads=engine.num_threads,
                calibration_pairs=engine.calibration_pairs,
            )
            specs = [first]
            for precision in arguments.precision:
                for backend in _backends(arguments, precision, files):
                    spec = replace(first, backend=backend, precision=precision)
                    if spec not in specs:
                        specs.append(spec)
            if arguments.against:
                other = tuple(arguments.against.split(","))
                specs += [replace(spec, weights=other) for spec in specs if spec.backend in runnable_backends(other)]
            if arguments.baseline == "plain":
                specs += [replace(first, backend=PLAIN), replace(first, backend=PLAIN_UNTUNED)]
            images = read_pairs(arguments.pairs, height, width) if arguments.pairs else pattern_pairs(height, width)
            group_rows, group_failures = _group(specs, images, arguments.frames, arguments.warm_up, console)
            rows += group_rows
            failures += group_failures
    return rows, failures


def _backends(arguments: argparse.Namespace, precision: str, weights: tuple[str, ...]) -> list[str]:
    """Return what is to be timed in a precision: of those that were named, else of those that `fastest` tries."""
    if arguments.backend:
        return [name for name in arguments.backend if precision in BACKENDS[name].precisions and not lacking(name)]
    device = (arguments.device or EngineConfig.device).partition(":")[0]
    if device == "auto":
        device = "cuda" if torch.cuda.is_available() else "cpu"
    there = runnable_backends(weights)
    return [name for name in available_backends(device, precision) if BACKENDS[name].on_trial and name in there]


def _group(
    specs: list[RunnerSpec], images: Pairs, frames: int, warm_up: int, console: Console
) -> tuple[list[Row], list[str]]:
    """Run one model at one size: all runners live at once and take turns."""
    runners: list[Runner] = []
    failures = []
    try:
        for spec in specs:
            with console.status(f"preparing {_title(spec)}"):
                try:
                    runners.append(Runner(spec, images))
                except RunnerError as error:
                    if spec is specs[0]:
                        raise  # the reference: nothing can be compared
                    failures.append(f"{_title(spec)}: {error}")
        times: list[list[dict[str, float]]] = [[] for _ in runners]
        with console.status("timing") as status:
            for index in range(warm_up + frames):
                status.update(f"timing: frame {index + 1} of {warm_up + frames}")
                for runner, own in zip(runners, times, strict=True):
                    taken = runner.frame(index)
                    if index >= warm_up:
                        own.append(taken)
        peaks = [runner.close() for runner in runners]
    finally:
        for runner in runners:
            runner.kill()
    others = {
        replace(runner.spec, weights=()): _totals(own)
        for runner, own in zip(runners, times, strict=True)
        if runner.spec.weights != specs[0].weights
    }
    plain = {
        runner.spec.backend: _totals(own)
        for runner, own in zip(runners, times, strict=True)
        if runner.spec.backend in (PLAIN, PLAIN_UNTUNED)
    }
    reference = runners[0].ready
    precisions = tuple(sorted({runner.spec.precision for runner in runners}))
    rates = measure_rates(torch.device(reference.device), precisions)
    rows = [
        _row(runner.spec, runner.ready, own, peak, reference, plain, rates, others)
        for runner, own, peak in zip(runners, times, peaks, strict=True)
    ]
    return rows, failures


def _row(
    spec: RunnerSpec,
    ready: Ready,
    times: list[dict[str, float]],
    peak_mib: float,
    reference: Ready,
    plain: dict[str, Float64Array],
    rates: Rates,
    others: dict[RunnerSpec, Float64Array],
) -> Row:
    total = _totals(times)
    agreement = mask_agreement(ready.labels, reference.labels)
    psnr = psnr_db(ready.fused, reference.fused)
    tolerance = TOLERANCES[spec.precision]
    operations, moved = ready.operations, ready.bytes_moved
    operations_per_s, bytes_per_s = rates.operations_per_s[spec.precision], rates.bytes_per_s
    bytes_per_s *= _BYTES_SAVED.get(spec.precision, 2)
    other = others.get(replace(spec, weights=()))
    spread = percentiles(total.tolist())
    return Row(
        model=ready.model_name,
        model_hash=ready.model_hash,
        backend=spec.backend,
        precision=spec.precision,
        height=spec.height,
        width=spec.width,
        device=ready.device,
        gflop=None if operations is None else 1e-9 * operations,
        operations_floor_ms=None if operations is None else 1e3 * operations / operations_per_s,
        bytes_floor_ms=None if moved is None else 1e3 * moved / bytes_per_s,
        parameters=ready.parameters,
        load_ms=ready.load_ms,
        first_frame_ms=ready.first_frame_ms,
        p50_ms=spread["p50"] or 0.0,
        p95_ms=spread["p95"] or 0.0,
        p99_ms=spread["p99"] or 0.0,
        network_p50_ms=float(np.median([each["network"] for each in times])),
        frames_per_s=1e3 / float(total.mean()),
        peak_mib=peak_mib,
        mask_agreement=agreement,
        fused_psnr_db=psnr,
        passed=agreement >= tolerance.mask_agreement and (psnr is None or psnr >= tolerance.fused_psnr_db),
        # round by round: a disturbance of the machine hits both sides of a quotient
        ratio_to_plain=float(np.median(plain[PLAIN] / total)) if PLAIN in plain else None,
        ratio_to_untuned=float(np.median(plain[PLAIN_UNTUNED] / total)) if PLAIN_UNTUNED in plain else None,
        share_of_other=None if other is None else float(np.median(total / other)),
        frames=len(times),
    )


def random_weights(text: str, folder: Path) -> Path:
    """Write weights as they are before training, for "random:ENCODER,CLASSES"; the same at every call.

    Raises:
        BenchError: It is written in another way, or there is no such encoder.
    """
    encoder, _, classes = text.removeprefix(RANDOM).partition(",")
    if not classes.isascii() or not classes.isdigit() or not 1 <= int(classes) <= 255:
        raise BenchError(f"weights '{text}': say {RANDOM}ENCODER,CLASSES, like {RANDOM}mit_b3,9")
    try:
        config = SegMiFConfig(encoder=encoder, num_classes=int(classes))
    except ValueError as error:
        raise BenchError(f"weights '{text}': {error}") from None
    path = folder / f"random_{encoder}_{classes}.safetensors"
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        save_checkpoint(SegMiF(config), path, {"name": text, "prior": "mean"})
    return path


def _totals(times: list[dict[str, float]]) -> Float64Array:
    return np.array([each["total"] for each in times])


def _title(spec: RunnerSpec) -> str:
    return f"{'+'.join(spec.weights)}, {spec.backend}, {spec.precision}, {spec.width}x{spec.height}"
