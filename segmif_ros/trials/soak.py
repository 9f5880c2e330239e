# SPDX-License-Identifier: Apache-2.0
"""Run rig and node for minutes and watch the node's memory: flat, or not.

$ python -m segmif_ros.trials.soak --minutes 10

Two processes over DDS, the rig at 30 Hz with jitter and frames that go missing; every counter of drops is shown. PASS,
with status 0, if in the second half memory grows by less than --limit-mib-per-hour and pairs were processed in every
interval.
"""

from __future__ import annotations

import argparse
import sys
import time
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise

from segmif_ros.stream.statistics import DROP_REASONS

_TOPICS = ("fused/image", "segmentation/mask", "segmentation/confidence", "segmentation/overlay")


@dataclass(frozen=True, kw_only=True)
class Sample:
    """One look at the node."""

    elapsed_s: float
    memory_mib: float
    processed: int


def slope_mib_per_hour(samples: Sequence[Sample]) -> float:
    """Return the slope of the straight line that fits the memory best; 0 for fewer than three samples."""
    if len(samples) < 3:
        return 0.0
    mean_s = sum(each.elapsed_s for each in samples) / len(samples)
    mean_mib = sum(each.memory_mib for each in samples) / len(samples)
    spread = sum((each.elapsed_s - mean_s) ** 2 for each in samples)
    return 3600 * sum((each.elapsed_s - mean_s) * (each.memory_mib - mean_mib) for each in samples) / spread


def verdict(samples: Sequence[Sample], limit_mib_per_hour: float) -> tuple[bool, str]:
    """Return whether the run passes, and why in one line."""
    # what is loaded and buffered in the beginning is no leak
    half = [each for each in samples if each.elapsed_s >= samples[-1].elapsed_s / 2] if samples else []
    if len(half) < 3:
        return False, f"FAIL: {len(half)} samples in the second half, 3 are needed: run longer"
    idle = [after for before, after in pairwise(samples) if after.processed <= before.processed]
    if idle:
        return False, f"FAIL: no pair was processed in the interval that ended after {idle[0].elapsed_s:.0f} s"
    slope = slope_mib_per_hour(half)
    ends = f"{half[0].memory_mib:.1f} to {half[-1].memory_mib:.1f} MiB in the second half, {slope:+.1f} MiB/h"
    if slope > limit_mib_per_hour:
        return False, f"FAIL: memory grows: {ends}, the limit is {limit_mib_per_hour:g}"
    return True, f"PASS: memory is flat: {ends}; {samples[-1].processed} pairs processed"


def run(options: argparse.Namespace) -> int:
    """Run and watch; return the exit status."""
    from segmif_ros.trials import measuring

    measuring.use_domain(options.domain)
    import rclpy
    from diagnostic_msgs.msg import DiagnosticArray
    from rclpy.executors import SingleThreadedExecutor
    from rclpy.node import Node
    from sensor_msgs.msg import Image

    size = {"width": options.width, "height": options.height}
    warm_up = {"warm_up_width": options.width, "warm_up_height": options.height, "diagnostics_period_s": 0.5}
    if options.engine == "timed":
        node = [*measuring.TIMED_NODE, "--infer-ms", str(options.infer_ms), *measuring.ros_arguments(**warm_up)]
    else:
        node = [*measuring.NODE, *measuring.ros_arguments(weights=options.weights, num_threads=1, **warm_up)]
    rig = [
        *measuring.RIG,
        *measuring.ros_arguments(rate_hz=float(options.rate_hz), drop_probability=0.01, jitter_s=0.002, **size),
    ]
    values: dict[str, str] = {}
    samples: list[Sample] = []
    rclpy.init(args=[])
    with measuring.running(node, rig) as (node_process, rig_process):
        listener = Node("soak")
        # so that every output is made
        for topic in _TOPICS:
            listener.create_subscription(Image, topic, lambda _message: None, 1, raw=True)
        listener.create_subscription(
            DiagnosticArray, "/diagnostics", lambda message: values.update(measuring.pipeline_values(message)), 10
        )
        executor = SingleThreadedExecutor()
        executor.add_node(listener)
        while "processed" not in values or values["processed"] == "0":  # until the model is loaded
            executor.spin_once(timeout_sec=0.5)
            if node_process.poll() is not None or rig_process.poll() is not None:
                print("FAIL: a process ended before the first pair was processed", file=sys.stderr)
                return 1
        began = time.monotonic()
        due_s = 0.0
        while due_s <= 60 * options.minutes:
            executor.spin_once(timeout_sec=0.1)
            elapsed_s = time.monotonic() - began
            if elapsed_s < due_s:
                continue
            if node_process.poll() is not None or rig_process.poll() is not None:
                print(f"FAIL: a process ended after {elapsed_s:.0f} s", file=sys.stderr)
                return 1
            sample = Sample(
                elapsed_s=elapsed_s,
                memory_mib=measuring.memory_mib(node_process.pid),
                processed=int(values["processed"]),
            )
            samples.append(sample)
            print(_line(sample, values), flush=True)
            due_s += options.interval_s
        executor.shutdown()
        listener.destroy_node()
    rclpy.shutdown()
    passed, line = verdict(samples, options.limit_mib_per_hour)
    print(line)
    return 0 if passed else 1


def _line(sample: Sample, values: dict[str, str]) -> str:
    drops = ", ".join(f"{each} {values.get(f'dropped_{each}', '?')}" for each in DROP_REASONS)
    return (
        f"{sample.elapsed_s:6.0f} s  memory {sample.memory_mib:7.1f} MiB  processed {sample.processed:6d}  "
        f"rate {values.get('rate_hz', '?'):>6} Hz  age p99 {values.get('age_ms_p99', '?'):>7} ms  dropped: {drops}"
    )


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command; return its exit status."""
    parser = argparse.ArgumentParser(
        prog="python -m segmif_ros.trials.soak",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("--minutes", type=float, default=10.0, help="how long (default 10)")
    parser.add_argument("--interval-s", type=float, default=10.0, help="between two lines (default 10)")
    parser.add_argument("--engine", choices=("timed", "real"), default="real", help="the network or a sleep")
    parser.add_argument("--infer-ms", type=float, default=50.0, help="of the timed engine (default 50)")
    parser.add_argument("--weights", default="segmif-s", help="of the real engine")
    parser.add_argument("--width", type=int, default=640, help="columns of both images (default 640)")
    parser.add_argument("--height", type=int, default=480, help="rows of both images (default 480)")
    parser.add_argument("--rate-hz", type=float, default=30.0, help="of the rig (default 30)")
    parser.add_argument("--limit-mib-per-hour", type=float, default=30.0, help="largest slope that passes (default 30)")
    parser.add_argument("--domain", type=int, default=64, help="ROS domain (default 64)")
    return run(parser.parse_args(arguments))


if __name__ == "__main__":
    sys.exit(main())
