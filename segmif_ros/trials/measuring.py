# SPDX-License-Identifier: Apache-2.0
"""What the measurements of the node share: its processes, and reading /diagnostics."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from pathlib import Path

import rclpy
from diagnostic_msgs.msg import DiagnosticArray
from rclpy.context import Context

from segmif_ros.ros import transport
from segmif_ros.trials.domains import local_environment

NODE = (sys.executable, "-c", "import sys; from segmif_ros.ros.entry import segmif_node; sys.exit(segmif_node())")
TIMED_NODE = (sys.executable, "-m", "segmif_ros.trials.timed_engine")
RIG = (sys.executable, "-c", "import sys; from segmif_ros.ros.entry import simulated_rig; sys.exit(simulated_rig())")
_END_S = 10.0


def use_domain(domain: int) -> None:
    """Keep this process and those that it starts on this machine and on this domain; call it before rclpy.init."""
    os.environ.update(local_environment(domain))
    transport.use_profile()


@contextmanager
def initialised(context: Context, domain_id: int | None = None) -> Iterator[Context]:
    """Initialise a context, and shut it down at the end: rclpy.init does so itself only since Kilted."""
    rclpy.init(args=[], context=context, domain_id=domain_id)
    try:
        yield context
    finally:
        context.try_shutdown()


@contextmanager
def running(*commands: Sequence[str]) -> Iterator[list[subprocess.Popen[bytes]]]:
    """Start processes, and end them in order; what they log is shown."""
    with ExitStack() as stack:
        started = []
        for command in commands:
            # a session of its own: a terminal's Ctrl-C reaches only us, and we end the children in order
            started.append(subprocess.Popen(list(command), start_new_session=True))
            stack.callback(_end, started[-1])
        yield started


def ros_arguments(**parameters: object) -> list[str]:
    """Return the command line that sets parameters."""
    given = [("-p", f"{name}:={str(value).lower() if isinstance(value, bool) else value}")
             for name, value in parameters.items()]  # fmt: skip
    return ["--ros-args", *(each for pair in given for each in pair)]


def pipeline_values(message: DiagnosticArray) -> dict[str, str]:
    """Return the node's values of a message on /diagnostics; empty if it is from another node."""
    for status in message.status:
        if status.name.endswith(": pipeline"):
            return {each.key: each.value for each in status.values}
    return {}


def memory_mib(pid: int) -> float:
    """Return the anonymous memory of a process that is in RAM (its heap: what leaks), in MiB; Linux."""
    for line in Path(f"/proc/{pid}/status").read_text().splitlines():
        if line.startswith("RssAnon:"):
            return int(line.split()[1]) / 1024
    raise OSError(f"process {pid} has ended")


def _end(process: subprocess.Popen[bytes]) -> None:
    if process.poll() is None:
        process.send_signal(signal.SIGINT)
    try:
        process.wait(_END_S)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait()
