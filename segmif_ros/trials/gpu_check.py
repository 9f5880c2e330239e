# SPDX-License-Identifier: Apache-2.0
"""`segmif gpu-check`: within minutes, what a GPU gives: parity with the CPU, times, memory; a table and a JSON file.

Needs no ROS. On the CPU it runs too, to see that it works.
"""

from __future__ import annotations

import argparse
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any, TypedDict

import numpy as np
import torch

from segmif_ros.files import write_json
from segmif_ros.inference.backends import BACKENDS, TOLERANCES, lacking
from segmif_ros.inference.backends.device_runtime import device_facts
from segmif_ros.inference.choice import mask_agreement, psnr_db
from segmif_ros.inference.engine import Engine, EngineConfig, EngineResult
from segmif_ros.inference.errors import EngineError, first_line
from segmif_ros.inference.sample_pairs import pattern_pairs
from segmif_ros.inference.weights import parse_weights, resolve_checkpoint
from segmif_ros.model import load_checkpoint
from segmif_ros.reporting.tables import Table, print_tables, wide_console
from segmif_ros.result_folder import ResultFolder
from segmif_ros.settings.options import from_options
from segmif_ros.trials.bench import RANDOM, random_weights
from segmif_ros.trials.gpu_check_options import GpuCheckConfig
from segmif_ros.trials.gpu_check_options import add_arguments as add_arguments

PROG = "segmif gpu-check"
REPORT_FILE = "gpu-check.json"
_BACKENDS = {"cuda": ("torch", "cuda_graph", "compile"), "cpu": ("torch",)}
_PRECISIONS = {"cuda": ("float32", "float16", "bfloat16"), "cpu": ("float32", "bfloat16")}
_WARM_UPS = 5


class GpuCheckError(ValueError):
    """The check can't be run as asked; one line."""


@dataclass(frozen=True, kw_only=True)
class GpuRow:
    """One model by one backend in one precision.

    Attributes:
        model: As it was asked for.
        backend: Name of it.
        precision: Of the arithmetic.
        passed: Within the precision's tolerance of torch in float32 on the CPU; None for random weights.
        mask_agreement: Share of the labels that agree with that.
        fused_psnr_db: Of the fused images, peak 255; None where they are equal.
        first_frame_ms: With all that is compiled or recorded for the size.
        p50_ms: Median frame, uint8 images in and results out.
        p95_ms: 95th percentile.
        frames: Frames timed.
        device_mib: Peak memory of torch's allocator on the device; 0 on the CPU.
        ratio_to_plain: Median of torch in float32 over this one's.
        problem: Why it couldn't run or wasn't run; empty where it did.
    """

    model: str
    backend: str
    precision: str
    passed: bool | None = None
    mask_agreement: float = 0.0
    fused_psnr_db: float | None = None
    first_frame_ms: float = 0.0
    p50_ms: float = 0.0
    p95_ms: float = 0.0
    frames: int = 0
    device_mib: float = 0.0
    ratio_to_plain: float | None = None
    problem: str = ""


class GpuReport(TypedDict):
    """gpu-check.json; `tf32` is of CUDA alone; the cost of the dense blocks by model, see `dense_block_cost`."""

    device: dict[str, str]
    torch: str
    tf32: dict[str, bool]
    size: str
    rows: list[dict[str, Any]]
    dense_blocks_float32: dict[str, dict[str, float]]


def check(
    models: Sequence[str],
    device: str,
    size: tuple[int, int],
    *,
    frames: int,
    until_s: float,
    scratch: Path,
    say: Callable[[str], None] = lambda _line: None,
    keep: Callable[[GpuReport], None] = lambda _report: None,
    clock: Callable[[], float] = time.monotonic,
) -> GpuReport:
    """Run every model by every backend in every precision, as far as the time goes.

    Args:
        models: Weights, or "random:ENCODER,CLASSES".
        device: "cuda", "cuda:N" or "cpu".
        size: Rows and columns.
        frames: Timed frames of each.
        until_s: Time on ``clock`` after which nothing new is begun; what is left out has a row with the reason.
        scratch: Folder for random weights.
        say: Takes a line before each row.
        keep: Takes the report so far after each row: compiling one takes minutes, and the machine may be gone by then.
        clock: Seconds.

    Returns:
        The report, JSON values only.
    """
    kind = torch.device(device).type
    rows: list[GpuRow] = []
    dense: dict[str, dict[str, float]] = {}
    pair = pattern_pairs(*size, count=1)[0]
    chosen = {
        model: (str(random_weights(model, scratch)),) if model.startswith(RANDOM) else parse_weights(model)
        for model in models
    }
    expected: dict[str, EngineResult] = {}
    plain: dict[str, float] = {}

    def report() -> GpuReport:
        by_model = sorted(rows, key=lambda row: list(models).index(row.model))
        return {
            "device": device_facts(torch.device(device)),
            "torch": torch.__version__,
            "tf32": _tf32() if kind == "cuda" else {},
            "size": f"{size[1]}x{size[0]}",
            "rows": [asdict(row) for row in by_model],
            "dense_blocks_float32": dense,
        }

    # backend by backend: what takes minutes to compile comes last, where the time may be up
    for backend in _BACKENDS[kind]:
        for model, weights in chosen.items():
            if model not in expected:
                say(f"{model}: reference on the CPU")
                expected[model] = Engine(EngineConfig(weights=weights, device="cpu", backend="torch")).infer(*pair)
            for precision in _PRECISIONS[kind]:
                name: dict[str, Any] = {"model": model, "backend": backend, "precision": precision}
                if clock() >= until_s:
                    rows.append(GpuRow(**name, problem="left out: the time was up"))
                    continue
                say(f"{model}, {backend}, {precision}")
                row = _row(name, weights, device, pair, expected[model], frames, plain.get(model))
                if (backend, precision) == ("torch", "float32") and not row.problem:
                    plain[model] = row.p50_ms
                rows.append(row)
                keep(report())
            if model not in dense and clock() < until_s:
                dense[model] = dense_block_cost(weights, torch.device(device), size)
    return report()


def _tf32() -> dict[str, bool]:
    return {
        "matmul": torch.backends.cuda.matmul.allow_tf32,
        "convolutions": torch.backends.cudnn.allow_tf32,
    }


def _row(
    name: dict[str, Any],
    weights: tuple[str, ...],
    device: str,
    pair: tuple[Any, Any],
    expected: EngineResult,
    frames: int,
    plain_ms: float | None,
) -> GpuRow:
    backend, precision = name["backend"], name["precision"]
    cuda = torch.device(device).type == "cuda"
    if line := lacking(backend):
        return GpuRow(**name, problem=line)
    if precision not in BACKENDS[backend].precisions:
        return GpuRow(**name, problem=f"{backend} doesn't compute in {precision}")
    try:
        if cuda:
            torch.cuda.empty_cache()
            torch.cuda.reset_peak_memory_stats()
        engine = Engine(EngineConfig(weights=weights, device=device, backend=backend, precision=precision))
        began = time.perf_counter()
        found = engine.infer(*pair)
        first_ms = 1e3 * (time.perf_counter() - began)
        times = []
        for index in range(_WARM_UPS + frames):
            began = time.perf_counter()
            engine.infer(*pair)
            if index >= _WARM_UPS:
                times.append(1e3 * (time.perf_counter() - began))
    except (EngineError, RuntimeError, ImportError) as error:  # what this row can't do costs this row
        return GpuRow(**name, problem=first_line(error))
    agreement, psnr = mask_agreement(found.labels, expected.labels), psnr_db(found.fused, expected.fused)
    tolerance = TOLERANCES[precision]
    near = agreement >= tolerance.mask_agreement and (psnr is None or psnr >= tolerance.fused_psnr_db)
    median = float(np.median(times))
    reference = plain_ms if (backend, precision) != ("torch", "float32") else median
    return GpuRow(
        **name,
        passed=None if name["model"].startswith(RANDOM) else near,
        mask_agreement=agreement,
        fused_psnr_db=psnr,
        first_frame_ms=first_ms,
        p50_ms=median,
        p95_ms=float(np.percentile(times, 95)),
        frames=len(times),
        device_mib=torch.cuda.max_memory_allocated() / 2**20 if cuda else 0.0,
        ratio_to_plain=None if reference is None else reference / median,
    )


def dense_block_cost(weights: Sequence[str], device: torch.device, size: tuple[int, int]) -> dict[str, float]:
    """Return milliseconds of one forward pass in float32, and of its dense blocks, with waits around each."""
    model = load_checkpoint(resolve_checkpoint(weights)).to(device).requires_grad_(False)
    spent: list[float] = []
    began: list[float] = []

    def now() -> float:
        if device.type == "cuda":
            torch.cuda.synchronize(device)
        return time.perf_counter()

    blocks = [module for name, module in model.fusion.named_children() if name.startswith("DRDB")]
    hooks = [each.register_forward_pre_hook(lambda *_: began.append(now())) for each in blocks]
    hooks += [each.register_forward_hook(lambda *_: spent.append(now() - began.pop())) for each in blocks]
    planes = torch.full((1, 5, *size), 0.5, device=device)
    with torch.inference_mode(), _removed(hooks):
        for _ in range(2):  # the first one compiles and allocates
            spent.clear()
            start = now()
            model(planes[:, :1], planes[:, 1:4], planes[:, 4:])
            total = now() - start
    return {"forward_ms": 1e3 * total, "dense_blocks_ms": 1e3 * sum(spent), "blocks": float(len(spent))}


@contextmanager
def _removed(hooks: Sequence[Any]) -> Iterator[None]:
    try:
        yield
    finally:
        for hook in hooks:
            hook.remove()


def table(report: GpuReport) -> Table:
    """Return the rows of a report."""
    tf32 = ", ".join(f"{name} {'on' if on else 'off'}" for name, on in report["tf32"].items())
    title = f"{report['device']['device']}, torch {report['torch']}, {report['size']}"
    return Table(
        title=f"{title}; TF32 in float32: {tf32}" if tf32 else title,
        columns=(
            *("model", "backend", "precision", "P50 ms", "P95 ms", "1/s", "x plain", "first s", "MiB", "labels %"),
            *("PSNR dB", ""),
        ),
        rows=tuple(map(_cells, report["rows"])),
    )


def _cells(row: dict[str, Any]) -> tuple[str, ...]:
    names = (row["model"], row["backend"], row["precision"])
    if row["problem"]:
        return (*names, *["-"] * 8, row["problem"])
    return (
        *names,
        *(f"{row[name]:.2f}" for name in ("p50_ms", "p95_ms")),
        f"{1e3 / row['p50_ms']:.0f}",
        "-" if row["ratio_to_plain"] is None else f"{row['ratio_to_plain']:.2f}",
        f"{1e-3 * row['first_frame_ms']:.1f}",
        f"{row['device_mib']:.0f}",
        f"{100 * row['mask_agreement']:.2f}",
        "equal" if row["fused_psnr_db"] is None else f"{row['fused_psnr_db']:.1f}",
        {True: "pass", False: "FAIL", None: "times only"}[row["passed"]],
    )


def run(options: argparse.Namespace) -> int:
    """Run the check."""
    config = from_options(options, GpuCheckConfig())
    if config.device.partition(":")[0] not in _BACKENDS:
        raise GpuCheckError(f"--device {config.device}: cuda, cuda:N or cpu")
    if config.device != "cpu" and not torch.cuda.is_available():
        raise GpuCheckError(f"torch {torch.__version__} sees no CUDA device here: --device cpu shows that it works")
    # before minutes of measuring, not after them
    for each in options.weights:
        if not each.startswith(RANDOM):
            resolve_checkpoint(parse_weights(each))
    with ResultFolder(options.out, PROG) as results, TemporaryDirectory(prefix="segmif_gpu_") as scratch:
        path = results.folder / REPORT_FILE
        report = check(
            options.weights,
            config.device,
            (config.height, config.width),
            frames=config.frames,
            until_s=time.monotonic() + 60 * config.minutes,
            scratch=Path(scratch),
            say=lambda line: print(line, file=sys.stderr),
            keep=lambda so_far: write_json(path, so_far),
        )
        print_tables(wide_console(), [table(report)])
        for model, cost in report["dense_blocks_float32"].items():
            share = 100 * cost["dense_blocks_ms"] / cost["forward_ms"]
            print(f"{model}: {cost['blocks']:.0f} dense blocks take {cost['dense_blocks_ms']:.1f} of "
                  f"{cost['forward_ms']:.1f} ms of a forward pass ({share:.0f} %)")  # fmt: skip
        write_json(path, report)
        print(f"written: {path}")
    return 1 if any(row["passed"] is False for row in report["rows"]) else 0
