# SPDX-License-Identifier: Apache-2.0
"""Programs under test, and the domains that they talk on."""

import contextlib
import os
import queue
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path

from patience import WAIT_S
from ros_domains import take_domain

NODE_DOMAIN = take_domain()  # nodes in the tests' own process
PROCESS_DOMAIN = take_domain()  # nodes in processes of their own
ROOT = Path(__file__).parent.parent
FAKE_NODE = (str(Path(__file__).with_name("node_program.py")),)
REAL_NODE = ("-c", "import sys; from segmif_ros.ros.entry import segmif_node; sys.exit(segmif_node())")
END_S = 2.0  # as promised; without what the process waited for a processor that others used
LONG = "3600"


class Process:
    """A program of which every line is read as it comes."""

    def __init__(self, *arguments: str) -> None:
        environment = dict(os.environ, ROS_DOMAIN_ID=str(PROCESS_DOMAIN), PYTHONUNBUFFERED="1")
        self.popen = subprocess.Popen(
            [sys.executable, *arguments],
            cwd=ROOT,
            env=environment,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
        )
        self.lines: list[str] = []
        self._fresh: queue.Queue[str | None] = queue.Queue()
        self._reader = threading.Thread(target=self._read, daemon=True)
        self._reader.start()

    def _read(self) -> None:
        for line in self.popen.stdout:
            self._fresh.put(line.rstrip("\n"))
        self._fresh.put(None)

    def until(self, text: str) -> None:
        """Wait for a line that holds ``text``."""
        while not (self.lines and text in self.lines[-1]):
            line = self._fresh.get(timeout=WAIT_S)
            assert line is not None, f"ended before it said '{text}': {self.lines}"
            self.lines.append(line)

    def end(self, timeout_s: float = WAIT_S) -> int:
        """Wait for the end; return the status."""
        status = self.popen.wait(timeout_s)
        self._reader.join(WAIT_S)
        while (line := self._fresh.get(timeout=WAIT_S)) is not None:
            self.lines.append(line)
        return status


def queued_s(pid: int) -> dict[str, float]:
    """Return how long each thread of a process has waited for a processor so far, as the kernel counts it."""
    waits_s = {}
    for task in Path(f"/proc/{pid}/task").glob("*/schedstat"):
        with contextlib.suppress(OSError, IndexError):
            waits_s[task.parent.name] = 1e-9 * int(task.read_text().split()[1])
    return waits_s


def ends_cleanly(process: Process, number: signal.Signals, *, repeated: bool = False) -> None:
    """Send a signal, ``repeated`` until the process is gone, and check how it ends."""
    waits_s = queued_s(process.popen.pid)
    waited_before_s = sum(waits_s.values())
    began = time.monotonic()
    process.popen.send_signal(number)
    while process.popen.poll() is None and time.monotonic() - began < WAIT_S:
        if repeated:
            process.popen.send_signal(number)
        waits_s |= queued_s(process.popen.pid)
        with contextlib.suppress(subprocess.TimeoutExpired):
            process.popen.wait(0.01)
    took_s = time.monotonic() - began
    waited_s = sum(waits_s.values()) - waited_before_s
    assert process.end() == 0, process.lines
    assert took_s - waited_s < END_S, f"{took_s:.2f} s, of which it waited {waited_s:.2f} s for a processor"
    assert not [line for line in process.lines if "Traceback" in line or "Error" in line], process.lines
