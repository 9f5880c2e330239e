# SPDX-License-Identifier: Apache-2.0
"""The figures of an online replay: from what the player and the watch of resources saw to rates, ages and tables."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise

import numpy as np

from segmif_ros.evaluation.report_types import OnlineSection, ReportTable, Series
from segmif_ros.reporting.numbers import percentiles, significant
from segmif_ros.trials.live import NodeWork
from segmif_ros.trials.player import Measured


def summarise(
    measured: Measured, resources: Sequence[tuple[float, float, float]], offered: int
) -> tuple[OnlineSection, list[Series]]:
    """Return the figures of a measurement, and the series that are plotted.

    Args:
        measured: As segmif_ros.trials.player writes it.
        resources: (steady time s, CPU seconds, MiB), as `ResourceWatch` takes them.
        offered: Pairs that were offered.
    """
    outputs = measured["outputs"]
    matched = [each for each in outputs if each[2] >= 0]
    arrivals_s = 1e-9 * np.asarray([each[0] for each in matched], np.float64)
    ages_ms = [1e-6 * each[2] for each in matched]
    # the pause between two passes is not the node's
    same_pass = np.asarray([b[3] == a[3] for a, b in pairwise(matched)], bool)
    gaps_ms = 1000 * np.diff(arrivals_s)[same_pass] if len(matched) > 1 else np.zeros(0)
    last = measured["diagnostics_last"]
    work = NodeWork(first=measured["diagnostics_first"], latest=last)
    offsets = [f"pair_offset_ms_{end}" for end in ("mean", "max")]
    masters = measured["masters"]
    loops = sorted({loop for _, _, loop in masters})
    begin_s = 1e-9 * masters[0][1] if masters else 0.0
    cpu_percent, memory_mib = _resources(resources, begin_s, float(arrivals_s[-1]) if matched else begin_s)
    online: OnlineSection = {
        "offered": offered,
        "processed": len(matched),
        "share": len(matched) / offered if offered else None,
        "unmatched_outputs": len(outputs) - len(matched),
        "dropped": work.dropped(),
        "rate_hz": float(1000 / gaps_ms.mean()) if gaps_ms.size else None,
        "age_ms": percentiles(ages_ms),
        "interval_ms": percentiles(gaps_ms.tolist()),
        "jitter_ms": float(gaps_ms.std()) if gaps_ms.size else None,
        "time_to_first_output_ms": 1000 * (float(arrivals_s[0]) - begin_s) if matched else None,
        "stage_ms": work.stage_ms(),
        "pair_offset_ms": {name.rpartition("_")[2]: float(last[name]) for name in offsets if name in last},
        "player_lateness_ms": percentiles([1e-6 * each for each in measured["lateness_ns"]]),
        "loops": [
            {
                "offered_masters": sum(each[2] == loop for each in masters),
                "processed": sum(each[3] == loop for each in matched),
            }
            for loop in loops
        ],
        "cpu_percent": cpu_percent,
        "memory_mib": memory_mib,
        "diagnostics": {key: value for key, value in last.items() if "gpu" in key},
    }
    series: list[Series] = []
    if ages_ms:
        series.append(
            {
                "title": "Age of outputs",
                "label": "age, ms",
                "times_s": (arrivals_s - begin_s).tolist(),
                "values": ages_ms,
                "percentiles": online["age_ms"],
            }
        )
    if resources:
        memory = [each[2] for each in resources]
        series.append(
            {
                "title": "Memory of the node",
                "label": "resident, MiB",
                "times_s": [each[0] - begin_s for each in resources],
                "values": memory,
            }
        )
    return online, series


def _resources(
    samples: Sequence[tuple[float, float, float]], begin_s: float, end_s: float
) -> tuple[float | None, dict[str, float | None]]:
    """Return CPU in percent of one core, and memory in MiB, while images came."""
    during = [each for each in samples if begin_s <= each[0] <= end_s]
    if len(during) < 2:
        return None, {"first": None, "last": None, "max": None}
    spent = 100 * (during[-1][1] - during[0][1]) / (during[-1][0] - during[0][0])
    memory = [each[2] for each in during]
    return spent, {"first": memory[0], "last": memory[-1], "max": max(memory)}


def remarks_on(online: OnlineSection) -> list[str]:
    """Return what a reader should know."""
    remarks = []
    lost = online["offered"] - online["processed"]
    drops = ", ".join(f"{reason} {count}" for reason, count in online["dropped"].items() if count) or "none"
    remarks.append(f"{lost} of {online['offered']} pairs gave no output; drops that the node counted: {drops}.")
    silent = [str(i + 1) for i, each in enumerate(online["loops"]) if not each["processed"]]
    if silent:
        remarks.append(f"No output at all came in pass {', '.join(silent)}.")
    late_ms = online["player_lateness_ms"]["p95"]
    if late_ms is not None and late_ms > 10:
        remarks.append(f"The player itself was {late_ms:.0f} ms late (P95): this machine is too busy to judge a node.")
    return remarks


def facts_of(online: OnlineSection) -> list[tuple[str, str]]:
    """Return the few figures that matter most, as (name, value)."""
    age = online["age_ms"]
    return [
        ("rate, Hz", significant(online["rate_hz"])),
        ("age P50, ms", significant(age["p50"])),
        ("age P95, ms", significant(age["p95"])),
        ("first output after, ms", significant(online["time_to_first_output_ms"])),
        ("CPU, % of a core", significant(online["cpu_percent"])),
        ("memory, MiB", significant(online["memory_mib"]["max"])),
    ]


def tables_of(online: OnlineSection) -> list[ReportTable]:
    """Return all figures as tables of the report."""
    ends = ("p50", "p95", "p99", "max")
    timed = {"age": online["age_ms"], "interval of outputs": online["interval_ms"]}
    timed["lateness of the player"] = online["player_lateness_ms"]
    times = [[name, *(significant(values[end]) for end in ends)] for name, values in timed.items()]
    times += [
        [f"stage {name}", *(significant(values.get(end)) for end in ends)]
        for name, values in online["stage_ms"].items()
    ]
    counts = [["pairs offered", online["offered"]], ["processed", online["processed"]]]
    counts += [[f"dropped, {reason}", count] for reason, count in online["dropped"].items()]
    counts += [["jitter of intervals, ms", significant(online["jitter_ms"])]]
    counts += [[f"pair offset {end}, ms", significant(value)] for end, value in online["pair_offset_ms"].items()]
    counts += [[f"memory {end}, MiB", significant(value)] for end, value in online["memory_mib"].items()]
    loops = [[str(i + 1), each["offered_masters"], each["processed"]] for i, each in enumerate(online["loops"])]
    stage_note = "Age is measured outside of the node; stages are the node's own figures on /diagnostics."
    return [
        {"title": "Counts", "columns": ["", "run"], "rows": counts},
        {"title": "Times, ms", "columns": ["", "P50", "P95", "P99", "max"], "rows": times, "note": stage_note},
        {"title": "Passes", "columns": ["pass", "master images", "outputs"], "rows": loops},
    ]
