# SPDX-License-Identifier: Apache-2.0
"""What the measurements of the node share: the commands of its processes, their options, and memory."""

from __future__ import annotations

import argparse
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import rclpy
from rclpy.context import Context

from segmif_ros.ros import transport
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


def add_node_arguments(parser: argparse.ArgumentParser, *, weights: str, size: tuple[int, int], rate_hz: float) -> None:
    """Add the options of what is started and watched for minutes: engine, images, rate, memory and domain.

    Args:
        parser: Of the command.
        weights: Default of the real engine.
        size: Default width and height of both images.
        rate_hz: Default rate of the rig.
    """
    parser.add_argument("--engine", choices=("timed", "real"), default="real", help="the network or a sleep")
    parser.add_argument("--infer-ms", type=float, default=50.0, help="of the timed engine (default 50)")
    parser.add_argument("--weights", default=weights, help="of the real engine")
    add_rig_arguments(parser, size=size, rate_hz=rate_hz)
    parser.add_argument("--limit-mib-per-hour", type=float, default=30.0, help="largest slope that passes (default 30)")


def add_rig_arguments(parser: argparse.ArgumentParser, *, size: tuple[int, int], rate_hz: float) -> None:
    """Add the options of the cameras and of the ROS domain."""
    parser.add_argument("--width", type=int, default=size[0], help="columns of both images (default: %(default)s)")
    parser.add_argument("--height", type=int, default=size[1], help="rows of both images (default: %(default)s)")
    parser.add_argument("--rate-hz", type=float, default=rate_hz, help="of the cameras (default: %(default)g)")
    parser.add_argument("--domain", type=int, help="ROS domain (default: one that nobody here uses)")


def node_command(options: argparse.Namespace, diagnostics_period_s: float) -> list[str]:
    """Return the command of the node that `add_node_arguments` describes."""
    warm_up = {"warm_up_width": options.width, "warm_up_height": options.height}
    shared = {**warm_up, "diagnostics_period_s": diagnostics_period_s}
    if options.engine == "timed":
        return [*TIMED_NODE, "--infer-ms", str(options.infer_ms), *ros_arguments(**shared)]
    return [*NODE, *ros_arguments(weights=options.weights, num_threads=1, **shared)]
