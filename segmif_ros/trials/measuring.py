# SPDX-License-Identifier: Apache-2.0
"""What the measurements of the node share: the settings and commands of its processes, and memory."""

from __future__ import annotations

import argparse
import os
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import rclpy
from rclpy.context import Context

from segmif_ros.ros import transport
from segmif_ros.settings import part, setting
from segmif_ros.settings.options import add_options
from segmif_ros.trials.domains import local_environment, take_domain
from segmif_ros.trials.processes import NODE, TIMED_NODE, ros_arguments


def use_domain(domain: int | None) -> None:
    """Keep this process and those that it starts on this machine and on one domain; call it before rclpy.init.

    Args:
        domain: None takes one that nobody on this machine uses.
    """
    os.environ.update(local_environment(take_domain() if domain is None else domain))
    transport.use_profile()


@contextmanager
def initialised(context: Context, domain_id: int | None = None) -> Iterator[Context]:
    """Initialise a context, and shut it down at the end: rclpy.init does so itself only since Kilted."""
    rclpy.init(args=[], context=context, domain_id=domain_id)
    try:
        yield context
    finally:
        context.try_shutdown()


def memory_mib(pid: int) -> float:
    """Return the anonymous memory of a process that is in RAM (its heap: what leaks), in MiB; Linux."""
    for line in Path(f"/proc/{pid}/status").read_text().splitlines():
        if line.startswith("RssAnon:"):
            return int(line.split()[1]) / 1024
    raise OSError(f"process {pid} has ended")


def add_measuring_options(parser: argparse.ArgumentParser, kind: type[Any]) -> None:
    """Add the options of a configuration with `CameraSettings` in it; --width and --height are what --size was."""
    add_options(parser, kind, options={"infer_ms": "--infer-ms", "interval_s": "--interval-s"})
    parser.add_argument("--domain", type=int, help="ROS domain (default: one that nobody here uses)")
    for name in ("width", "height"):
        parser.add_argument(f"--{name}", type=int, default=argparse.SUPPRESS, help=argparse.SUPPRESS)


@dataclass(frozen=True, kw_only=True)
class CameraSettings:
    """The cameras of a measurement."""

    width: int = setting(640, "Columns and rows of both images.", minimum=16, maximum=8192)
    height: int = setting(480, "Rows of both images.", minimum=16, maximum=8192)
    rate_hz: float = setting(30.0, "Frames per second of each camera.", minimum=0.1, maximum=1000.0)


@dataclass(frozen=True, kw_only=True)
class WatchedNode:
    """What is started and watched for minutes."""

    engine: str = setting("real", "The network, or an engine that sleeps.", choices=("timed", "real"))
    infer_ms: float = setting(50.0, "Milliseconds that the timed engine sleeps.", minimum=0.0)
    weights: str = setting("segmif-s", "Weights of the real engine.")
    cameras: CameraSettings = part(CameraSettings)
    limit_mib_per_hour: float = setting(30.0, "Steepest growth of memory that passes.", minimum=0.0)

    def command(self, diagnostics_period_s: float) -> list[str]:
        """Return the command that starts the node."""
        warm_up = {"warm_up_width": self.cameras.width, "warm_up_height": self.cameras.height}
        shared = {**warm_up, "diagnostics_period_s": diagnostics_period_s}
        if self.engine == "timed":
            return [*TIMED_NODE, "--infer-ms", str(self.infer_ms), *ros_arguments(**shared)]
        return [*NODE, *ros_arguments(weights=self.weights, num_threads=1, **shared)]
