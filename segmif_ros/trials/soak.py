# SPDX-License-Identifier: Apache-2.0
"""Run rig and node for minutes and watch the node's memory: flat, or not.

$ python -m segmif_ros.trials.soak --minutes 10

Two processes over DDS, the rig at 30 Hz with jitter and frames that go missing; every counter of drops is shown. PASS,
with status 0, if in the second half memory grows by less than --limit-mib-per-hour and pairs were processed in every
interval.

--mishaps lets something befall the node every few seconds: hostile parameters, images and camera_info, a rig that is
killed, reloads, snapshots into a folder that vanishes, lifecycle transitions, faults of either camera. Each call has to
be answered as it should be as well.
"""

from __future__ import annotations

import argparse
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path

from segmif_ros.command_line import run_module
from segmif_ros.reporting.errors import WorkFailedError
from segmif_ros.settings import part, setting
from segmif_ros.settings.options import from_options
from segmif_ros.stream.statistics import DROP_REASONS
from segmif_ros.trials.live import NodeStatus, listen
from segmif_ros.trials.measuring import CameraSettings, WatchedNode, add_measuring_options, memory_mib, use_domain
from segmif_ros.trials.mishaps import Mishaps
from segmif_ros.trials.processes import RIG, end_process, ros_arguments, running

# of the cameras, from the start of each rig on
_FAULTS = ",".join(
    (
        *("infrared:silent@5s+2s/47s", "rgb:silent@13s+2s/53s", "infrared:freeze@20s+2s/59s", "rgb:black@27s+2s/61s"),
        *("infrared:shutter@33s+2s/67s", "rgb:stamp@39s+2s/71s", "infrared:white@44s+2s/73s"),
    )
)
_TOPICS = ("fused/image", "segmentation/mask", "segmentation/confidence", "segmentation/overlay")


@dataclass(frozen=True, kw_only=True)
class SoakConfig:
    """How long is watched, and what."""

    minutes: float = setting(10.0, "How long.", minimum=0.0)
    interval_s: float = setting(10.0, "Seconds between two lines.", minimum=0.1)
    mishaps: bool = setting(False, "Let something befall the node every few seconds.")
    mishap_every_s: float = setting(3.0, "Seconds between two mishaps.", minimum=0.1)
    node: WatchedNode = part(WatchedNode, weights="segmif-s", cameras=CameraSettings(rate_hz=30.0))


@dataclass(frozen=True, kw_only=True)
class MemorySample:
    """One look at the node."""

    elapsed_s: float
    memory_mib: float
    processed: int


def slope_mib_per_hour(samples: Sequence[MemorySample]) -> float:
    """Return the slope of the straight line that fits the memory best; 0 for fewer than three samples."""
    if len(samples) < 3:
        return 0.0
    mean_s = sum(each.elapsed_s for each in samples) / len(samples)
    mean_mib = sum(each.memory_mib for each in samples) / len(samples)
    spread = sum((each.elapsed_s - mean_s) ** 2 for each in samples)
    return 3600 * sum((each.elapsed_s - mean_s) * (each.memory_mib - mean_mib) for each in samples) / spread


def verdict(samples: Sequence[MemorySample], limit_mib_per_hour: float) -> tuple[bool, str]:
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
    config = from_options(options, SoakConfig())
    cameras = config.node.cameras
    use_domain(options.domain)
    import rclpy
    from rclpy.executors import SingleThreadedExecutor
    from rclpy.node import Node
    from sensor_msgs.msg import Image

    size = {"width": cameras.width, "height": cameras.height}
    node = config.node.command(0.5)
    faults = {"faults": _FAULTS} if config.mishaps else {}
    values: dict[str, str] = {}
    samples: list[MemorySample] = []
    work = LifetimeCount()
    rclpy.init(args=[])
    with (
        running(node) as (node_process,),
        RigProcess(
            [*RIG, *ros_arguments(rate_hz=cameras.rate_hz, drop_probability=0.01, jitter_s=0.002, **size, **faults)]
        ) as rig,
        tempfile.TemporaryDirectory() as folder,
    ):
        listener = Node("soak")
        # so that every output is made
        for topic in _TOPICS:
            listener.create_subscription(Image, topic, lambda _message: None, 1, raw=True)

        def hear(status: NodeStatus) -> None:
            values.update(status.values)
            work.see(int(status.values.get("processed", 0)))

        listen(listener, hear)
        mishaps = Mishaps(listener, rig.restart, Path(folder)) if config.mishaps else None
        executor = SingleThreadedExecutor()
        executor.add_node(listener)
        while not work.processed:  # until the model is loaded
            executor.spin_once(timeout_sec=0.5)
            if node_process.poll() is not None or rig.ended:
                raise WorkFailedError("a process ended before the first pair was processed")
        began = time.monotonic()
        due_s, mishap_s = 0.0, config.mishap_every_s
        while due_s <= 60 * config.minutes:
            executor.spin_once(timeout_sec=0.1)
            elapsed_s = time.monotonic() - began
            if node_process.poll() is not None or rig.ended:
                raise WorkFailedError(f"a process ended after {elapsed_s:.0f} s")
            if mishaps is not None:
                mishaps.step()
                if elapsed_s >= mishap_s:
                    mishaps.next()
                    mishap_s = elapsed_s + config.mishap_every_s
            if elapsed_s < due_s:
                continue
            sample = MemorySample(
                elapsed_s=elapsed_s,
                memory_mib=memory_mib(node_process.pid),
                processed=work.processed,
            )
            samples.append(sample)
            print(_line(sample, values), flush=True)
            due_s += config.interval_s
        executor.shutdown()
        listener.destroy_node()
    rclpy.shutdown()
    passed, line = verdict(samples, config.node.limit_mib_per_hour)
    if mishaps is not None:
        passed = passed and not mishaps.complaints
        for complaint in mishaps.complaints:
            print(f"FAIL: {complaint}")
        print(f"{mishaps.count} mishaps, {len(mishaps.complaints)} complaints")
    print(line)
    return 0 if passed else 1


class LifetimeCount:
    """Pairs processed over the node's whole life: its own count restarts with each configuration."""

    def __init__(self) -> None:
        self.processed = 0
        self._count = 0

    def see(self, count: int) -> None:
        """Take the node's own count."""
        self.processed += count - self._count if count >= self._count else count
        self._count = count


class RigProcess:
    """The simulated rig as a process that can be killed and started again; ends with the context."""

    def __init__(self, command: Sequence[str]) -> None:
        self._command = list(command)

    def __enter__(self) -> RigProcess:
        """Start it."""
        self._process = subprocess.Popen(self._command, start_new_session=True)
        return self

    def __exit__(self, *_: object) -> None:
        """End it."""
        end_process(self._process)

    @property
    def ended(self) -> bool:
        """Whether it ended by itself."""
        return self._process.poll() is not None

    def restart(self) -> None:
        """Kill it, and start another one."""
        self._process.kill()
        self._process.wait()
        self.__enter__()


def _line(sample: MemorySample, values: dict[str, str]) -> str:
    drops = ", ".join(f"{each} {values.get(f'dropped_{each}', '?')}" for each in DROP_REASONS)
    return (
        f"{sample.elapsed_s:6.0f} s  memory {sample.memory_mib:7.1f} MiB  processed {sample.processed:6d}  "
        f"rate {values.get('rate_hz', '?'):>6} Hz  age p99 {values.get('age_ms_p99', '?'):>7} ms  dropped: {drops}"
    )


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare how long, and what is run."""
    add_measuring_options(parser, SoakConfig)


if __name__ == "__main__":
    sys.exit(run_module("segmif_ros.trials.soak", __doc__, add_arguments, run))
