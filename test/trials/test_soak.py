# SPDX-License-Identifier: Apache-2.0
"""The soak's judgement, and one short run with real processes."""

import subprocess
import sys
import types

import pytest
from patience import WAIT_S

from segmif_ros.trials.mishaps import refused
from segmif_ros.trials.soak import LifetimeCount, MemorySample, slope_mib_per_hour, verdict


def samples(memory, processed=None) -> list[MemorySample]:
    processed = processed or range(100, 100 * len(memory) + 100, 100)
    return [
        MemorySample(elapsed_s=10.0 * i, memory_mib=each, processed=count)
        for i, (each, count) in enumerate(zip(memory, processed, strict=True))
    ]


def test_the_slope_is_that_of_the_line_that_fits_best() -> None:
    assert slope_mib_per_hour(samples([100, 101, 102, 103])) == pytest.approx(360)
    assert slope_mib_per_hour(samples([100, 102, 98, 100, 100])) == pytest.approx(-72)
    assert slope_mib_per_hour(samples([100, 200])) == 0.0


def test_flat_memory_passes_whatever_was_loaded_in_the_beginning() -> None:
    passed, line = verdict(samples([50, 300, 400, 400.1, 400, 400.1, 400]), 30)
    assert passed, line
    assert line.startswith("PASS: memory is flat: 400.1 to 400.0 MiB")
    assert line.endswith("700 pairs processed")


def test_memory_that_grows_fails_with_the_figures() -> None:
    passed, line = verdict(samples([400 + i for i in range(10)]), 30)
    assert not passed
    assert "405.0 to 409.0 MiB in the second half, +360.0 MiB/h, the limit is 30" in line


def test_a_node_that_stops_working_fails() -> None:
    passed, line = verdict(samples([400] * 7, [1, 2, 3, 3, 4, 5, 6]), 30)
    assert (passed, line) == (False, "FAIL: no pair was processed in the interval that ended after 30 s")


def test_too_short_a_run_is_no_pass() -> None:
    assert not verdict(samples([400, 400, 400]), 30)[0]
    assert not verdict([], 30)[0]


def test_pairs_are_counted_on_when_the_node_is_configured_anew() -> None:
    work = LifetimeCount()
    for count in (3, 10, 0, 4):
        work.see(count)
    assert work.processed == 14


@pytest.mark.parametrize(
    ("successful", "reason", "said"),
    [(False, "is too large", ""), (True, "", "took max_pixels '0'"), (False, "a\nb", "refused max_pixels '0' in")],
)
def test_a_hostile_value_has_to_be_refused_in_one_line(successful, reason, said) -> None:
    result = types.SimpleNamespace(successful=successful, reason=reason)
    assert refused("max_pixels", 0, result).startswith(said)
    assert bool(refused("max_pixels", 0, result)) is bool(said)


def test_the_command_runs_rig_and_node_and_prints_memory_and_verdict() -> None:
    pytest.importorskip("rclpy", reason="no ROS 2 here")
    command = [sys.executable, "-m", "segmif_ros.trials.soak", "--engine", "timed", "--infer-ms", "5"]
    size = ["--minutes", "0.1", "--interval-s", "1.1", "--size", "96x64", "--limit-mib-per-hour", "1e6"]
    size += ["--mishaps", "--mishap-every", "0.1"]
    done = subprocess.run([*command, *size], capture_output=True, text=True, timeout=2 * WAIT_S)
    lines = done.stdout.splitlines()
    assert not [line for line in lines if line.startswith("FAIL") and "no pair" not in line], done
    assert any(line.endswith(" mishaps, 0 complaints") for line in lines), done
    assert sum("memory" in line and "MiB  processed" in line for line in lines) == 6, done
    # on a busy machine an interval may pass without a pair, which the command has to say
    assert lines[-1].startswith(("PASS: memory is flat", "FAIL: no pair was processed")), done
    assert done.returncode == (0 if lines[-1].startswith("PASS") else 1), done
