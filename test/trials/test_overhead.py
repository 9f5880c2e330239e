# SPDX-License-Identifier: Apache-2.0
"""The measurement of the node's overhead: its arithmetic, and one short run."""

import subprocess
import sys

import pytest
from hypothesis import given
from hypothesis import strategies as st
from patience import WAIT_S

from segmif_ros.trials.overhead import figures, ideal


@pytest.mark.parametrize(
    ("infer_ms", "rate_hz", "p50_ms"),
    [(0, 30, 0), (20, 30, 20), (33, 30, 33), (50, 20, 66.7), (100, 10, 100)],
)
def test_the_best_that_is_possible_is_the_newest_pair_whenever_the_engine_is_free(infer_ms, rate_hz, p50_ms) -> None:
    best = ideal(30.0, infer_ms, 100.0)
    assert best.rate_hz == pytest.approx(rate_hz, rel=0.01)
    assert best.age_ms[0] == pytest.approx(p50_ms, abs=0.5)


@given(st.floats(0, 300), st.floats(5, 60))
def test_no_age_is_below_the_engines_time_nor_above_that_and_a_period_and_one_more_run(infer_ms, rate_hz) -> None:
    best = ideal(rate_hz, infer_ms, 20.0)
    assert all(infer_ms - 1e-3 <= each <= 2 * infer_ms + 1e-3 for each in best.age_ms)
    assert best.rate_hz <= rate_hz + 0.1


def test_figures_are_rate_and_percentiles() -> None:
    found = figures([1_000_000 * each for each in range(101)], 10.0)
    assert found.rate_hz == pytest.approx(10.1)
    assert found.age_ms == pytest.approx((50.0, 95.0, 99.0))
    assert figures([], 1.0).rate_hz == 0


def test_the_command_prints_a_row_beside_the_ideal() -> None:
    pytest.importorskip("rclpy", reason="no ROS 2 here")
    command = [sys.executable, "-m", "segmif_ros.trials.overhead", "--infer-ms", "5", "--seconds", "1"]
    size = ["--width", "96", "--height", "64", "--single-camera", "none"]
    done = subprocess.run([*command, *size], capture_output=True, text=True, timeout=2 * WAIT_S)
    assert done.returncode == 0, done
    lines = done.stdout.splitlines()
    assert lines[0].startswith("96x64 at 30 Hz")
    assert len(lines) == 3, done
    # how many pairs a busy machine keeps is not the command's doing; it waits for the first one
    assert 0 <= float(lines[2].split()[1]) < 40, done
