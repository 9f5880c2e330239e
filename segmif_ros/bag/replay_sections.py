# SPDX-License-Identifier: Apache-2.0
"""What a replay's report holds besides what every evaluation has: pairing, and the time that pairs took."""

from __future__ import annotations

from typing import Any

import numpy as np

from segmif_ros.bag.recorded_pairs import PairingFacts
from segmif_ros.evaluation.records import PairResult
from segmif_ros.evaluation.report_types import MoreSections, PairingSection, Series
from segmif_ros.reporting.numbers import percentiles
from segmif_ros.stream.camera_health import SPOKEN


def pairing_section(facts: PairingFacts, records: list[PairResult]) -> MoreSections:
    """Return the report's sections on pairing."""
    dropped = dict(facts.dropped)
    for record in records:
        if "error" in record:
            dropped[record["reason"]] = dropped.get(record["reason"], 0) + 1
    offsets_ms = 1e-6 * np.asarray(facts.offsets_ns or [0], np.float64)
    pairing: PairingSection = {
        "frames_infrared": facts.frames["infrared"],
        "frames_rgb": facts.frames["rgb"],
        "pairs": facts.pairs,
        "alone": facts.alone,
        "dropped": dropped,
        "offset_ms": {
            "mean": float(offsets_ms.mean()),
            "max": float(np.abs(offsets_ms).max()),
            "deviation": float(offsets_ms.std()),
        },
        "span_s": 1e-9 * (records[-1]["stamp_ns"] - records[0]["stamp_ns"]),
    }
    rows: list[list[Any]] = [
        ["infrared frames", facts.frames["infrared"]],
        ["RGB frames", facts.frames["rgb"]],
        ["pairs", facts.pairs],
        *([f"{SPOKEN[camera]} alone, frames", count] for camera, count in facts.alone.items() if count),
        *([f"dropped, {reason}", count] for reason, count in dropped.items()),
        ["offset, mean, ms", f"{pairing['offset_ms']['mean']:.3f}"],
        ["offset, largest, ms", f"{pairing['offset_ms']['max']:.3f}"],
        ["offset, deviation, ms", f"{pairing['offset_ms']['deviation']:.3f}"],
    ]
    note = "Offset is the infrared stamp minus the RGB stamp. Late and orphan are frames, the other drops pairs."
    return {"pairing": pairing, "tables": [{"title": "Pairing", "columns": ["", "bag"], "rows": rows, "note": note}]}


def time_series(records: list[PairResult]) -> list[Series]:
    """Return the time that each pair took, over the bag's time."""
    timed = [record for record in records if record.get("stage_ms")]
    values = [sum(record["stage_ms"].values()) for record in timed]
    if not values:
        return []
    first_ns = records[0]["stamp_ns"]
    return [
        {
            "title": "Processing time",
            "label": "ms a pair",
            "times_s": [1e-9 * (record["stamp_ns"] - first_ns) for record in timed],
            "values": values,
            "percentiles": percentiles(values),
        }
    ]


def joined(pairing: MoreSections, grid: MoreSections) -> MoreSections:
    """Return both sections as one, with the tables of both."""
    return {**pairing, **grid, "tables": [*pairing["tables"], *grid.get("tables", ())]}
