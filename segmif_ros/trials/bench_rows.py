# SPDX-License-Identifier: Apache-2.0
"""What `segmif bench` found: a row for each runner, as table; and the machine that the figures belong to."""

from __future__ import annotations

import os
import platform
from dataclasses import dataclass
from typing import Any

from segmif_ros.inference.choice import package_version, processor_name
from segmif_ros.reporting.tables import Table

_PACKAGES = ("torch", "openvino", "onnxruntime", "onnxruntime-gpu", "numpy", "opencv-python-headless")


@dataclass(frozen=True, kw_only=True)
class Row:
    """Results of one runner.

    Attributes:
        model: Name of the weights.
        model_hash: Of their files.
        backend: Or "plain", or "plain, untuned allocator".
        precision: Of the arithmetic.
        height: Rows.
        width: Columns.
        device: Where it ran.
        gflop: Operations of a frame in 1e9; a multiply-add counts two. None for a model folder, as are both floors and
            the parameters.
        operations_floor_ms: These at the rate of a large matrix product in the same precision on this device.
        bytes_floor_ms: What they read and write, at the rate of a large copy; half of float32's in 16 bit, a quarter in
            int8, as if all of the network were in it.
        parameters: Of the network.
        load_ms: Loading the weights and making the backend.
        first_frame_ms: The first frame with everything that is compiled for its size.
        p50_ms: Median time of a frame, uint8 images in and uint8 results out.
        p95_ms: 95th percentile.
        p99_ms: 99th percentile.
        network_p50_ms: Median of the frame without the prior image.
        frames_per_s: 1000 / mean time.
        peak_mib: Peak resident memory of its process.
        mask_agreement: Share of pixels with the label of torch in float32, over all images.
        fused_psnr_db: Of the fused images against torch in float32, peak 255; None where they are equal.
        passed: Within the tolerance of its precision.
        ratio_to_plain: Time of the plain forward in float32 over this one's, medians of ratios round by round.
        ratio_to_untuned: The same for the plain forward with the allocator as it comes.
        share_of_other: This one's time over that of `--against` by the same backend and precision, median of the ratios
            round by round.
        frames: Frames timed.
    """

    model: str
    model_hash: str
    backend: str
    precision: str
    height: int
    width: int
    device: str
    gflop: float | None
    operations_floor_ms: float | None
    bytes_floor_ms: float | None
    parameters: int | None
    load_ms: float
    first_frame_ms: float
    p50_ms: float
    p95_ms: float
    p99_ms: float
    network_p50_ms: float
    frames_per_s: float
    peak_mib: float
    mask_agreement: float
    fused_psnr_db: float | None
    passed: bool
    ratio_to_plain: float | None
    ratio_to_untuned: float | None
    share_of_other: float | None
    frames: int


def machine() -> dict[str, Any]:
    """What the figures belong to."""
    return {
        "processor": processor_name() or platform.machine(),
        "cores": len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count(),
        "load_average_1min": round(os.getloadavg()[0], 2),
        "python": platform.python_version(),
        **{name: found for name in _PACKAGES if (found := package_version(name))},
    }


def table(rows: list[Row]) -> Table:
    """Return the rows of one model and size."""
    host, first = machine(), rows[0]
    counted = "" if first.parameters is None else f"{1e-6 * first.parameters:.1f} M parameters, "
    return Table(
        title=f"{first.model} ({first.model_hash}), {first.width}x{first.height}, {counted}"
        f"on {host['processor']}, {host['cores']} cores, load {host['load_average_1min']}",
        columns=(
            *("backend", "precision", "GFLOP", "floors ms", "first s", "P50 ms", "P95 ms", "P99 ms", "1/s", "MiB"),
            *("masks %", "PSNR dB", "x plain", "x untuned", "share", ""),
        ),
        rows=tuple(map(_cells, rows)),
        note="ms a frame with everything; floors: operations at the rate of a large matrix product + bytes at that "
        "of a copy; x plain: times faster than the plain float32 forward, allocator tuned; "
        "x untuned: than the same with the allocator as it comes; share: time over that of --against",
    )


def _cells(row: Row) -> tuple[str, ...]:
    return (
        row.backend,
        row.precision,
        "-" if row.gflop is None else f"{row.gflop:.1f}",
        "-" if row.bytes_floor_ms is None else f"{row.operations_floor_ms:.0f} + {row.bytes_floor_ms:.0f}",
        f"{1e-3 * row.first_frame_ms:.1f}",
        *(f"{value:.1f}" for value in (row.p50_ms, row.p95_ms, row.p99_ms, row.frames_per_s)),
        f"{row.peak_mib:.0f}",
        f"{100 * row.mask_agreement:.2f}",
        "equal" if row.fused_psnr_db is None else f"{row.fused_psnr_db:.1f}",
        *(
            "-" if ratio is None else f"{ratio:.2f}"
            for ratio in (row.ratio_to_plain, row.ratio_to_untuned, row.share_of_other)
        ),
        "pass" if row.passed else "FAIL",
    )


def groups(rows: list[Row]) -> list[list[Row]]:
    """Return the rows of each model and size."""
    by_case: dict[tuple[str, str, int, int], list[Row]] = {}
    for row in rows:
        by_case.setdefault((row.model, row.model_hash, row.height, row.width), []).append(row)
    return list(by_case.values())
