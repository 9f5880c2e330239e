# SPDX-License-Identifier: Apache-2.0
"""The benchmark runs, and tells each stage."""

from segmif_ros.grid.bench import measure, street
from segmif_ros.grid.config import GridConfig
from segmif_ros.labels import FMB


def test_each_stage_is_measured() -> None:
    found = measure(3, 96, 128, GridConfig(size_m=8, cell_m=0.4))
    assert set(found) == {
        *("grid_ms_p50", "grid_ms_p95", "take_in_ms_p50", "read_out_ms_p50", "points_ms_p50", "memory_growth_kib")
    }
    assert all(value >= 0 for value in found.values())


def test_the_street_has_what_costs_time() -> None:
    shown = {FMB.names[each] for each in set(street(480, 640).ravel().tolist())}
    assert shown >= {"road", "vegetation", "car", "person"}
