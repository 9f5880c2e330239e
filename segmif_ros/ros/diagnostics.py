# SPDX-License-Identifier: Apache-2.0
"""The node's message on /diagnostics."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

from builtin_interfaces.msg import Time
from diagnostic_msgs.msg import DiagnosticArray, DiagnosticStatus, KeyValue

from segmif_ros.stream.pairing import OffsetSummary
from segmif_ros.stream.statistics import Snapshot

if TYPE_CHECKING:  # torch would come with it
    from segmif_ros.inference.engine import EngineProtocol


def pipeline_values(snapshot: Snapshot, offsets: OffsetSummary) -> dict[str, str]:
    """Return the statistics as the keys and values of a diagnostic status.

    Args:
        snapshot: The statistics.
        offsets: Of the latest pairs' stamps.
    """
    values = {
        "frames_infrared": str(snapshot.frames_infrared),
        "frames_rgb": str(snapshot.frames_rgb),
        "pairs": str(snapshot.pairs),
        "single_infrared": str(snapshot.single_infrared),
        "single_rgb": str(snapshot.single_rgb),
        "processed": str(snapshot.processed),
        "rate_hz": f"{snapshot.rate_hz:.2f}",
    }
    values |= {f"dropped_{reason}": str(count) for reason, count in snapshot.dropped.items()}
    age = snapshot.age_ms
    values |= {
        "age_ms_p50": f"{age.p50:.2f}",
        "age_ms_p95": f"{age.p95:.2f}",
        "age_ms_p99": f"{age.p99:.2f}",
        "age_ms_max": f"{age.max:.2f}",
    }
    for stage, summary in snapshot.stage_ms.items():
        values |= {
            f"stage_{stage}_ms_p50": f"{summary.p50:.3f}",
            f"stage_{stage}_ms_p95": f"{summary.p95:.3f}",
            f"stage_{stage}_ms_p99": f"{summary.p99:.3f}",
        }
    values["pair_offset_ms_mean"] = f"{1e-6 * offsets.mean_ns:.3f}"
    values["pair_offset_ms_max"] = f"{1e-6 * offsets.max_ns:.3f}"
    return values


def engine_values(engine: EngineProtocol) -> dict[str, str]:
    """Return what computes, in force now."""
    return {
        "model": f"{engine.model_name} {engine.model_hash}",
        "device": engine.device_name,
        "backend": engine.backend_name,
        "precision": engine.precision,
    }


def gpu_values(device_name: str) -> dict[str, str]:
    """Return the memory of the GPU that the model runs on, all processes together; nothing for a CPU."""
    if not device_name.startswith("cuda"):
        return {}
    import torch  # loaded with the model already, and not needed without one

    free, total = torch.cuda.mem_get_info(device_name)
    return {"gpu_memory_used_mib": f"{(total - free) / 2**20:.0f}", "gpu_memory_total_mib": f"{total / 2**20:.0f}"}


def diagnostic_array(
    stamp: Time,
    node_name: str,
    *,
    state: str,
    problems: Sequence[str],
    values: Mapping[str, str],
    hardware_id: str,
    part: str = "pipeline",
    error: bool = False,
) -> DiagnosticArray:
    """Return the message with one status, "<node name>: <part>".

    Args:
        stamp: Now.
        node_name: With its namespace, without the leading slash.
        state: Of the lifecycle, for example "active".
        problems: Lines; any makes the level WARN.
        error: Whether the level is ERROR.
        values: Keys and values.
        hardware_id: The device that computes.
        part: Of the node.
    """
    status = DiagnosticStatus(
        name=f"{node_name}: {part}",
        level=DiagnosticStatus.ERROR if error else DiagnosticStatus.WARN if problems else DiagnosticStatus.OK,
        message="; ".join(problems) or state,
        hardware_id=hardware_id,
        values=[KeyValue(key=key, value=value) for key, value in values.items()],
    )
    message = DiagnosticArray(status=[status])
    message.header.stamp = stamp
    return message
