# SPDX-License-Identifier: Apache-2.0
"""Child processes with their output kept, ended in order, and asked how they ended."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import threading
import time
from collections import deque
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from pathlib import Path
from types import TracebackType
from typing import IO, Any

from segmif_ros.trials.domains import local_environment

NODE = (sys.executable, "-c", "import sys; from segmif_ros.ros.entry import segmif_node; sys.exit(segmif_node())")
TIMED_NODE = (sys.executable, "-m", "segmif_ros.trials.timed_engine")
RIG = (sys.executable, "-c", "import sys; from segmif_ros.ros.entry import simulated_rig; sys.exit(simulated_rig())")
_LAST_LINES = 8
END_S = 30.0  # from SIGINT to giving up
_GRACE_S = 3.0  # the same when the demo itself has failed or was interrupted


class DemoError(RuntimeError):
    """The demo can't go on; one line with what happened, and the last lines of the child that it happened to."""

    exit_status = 1


@contextmanager
def running(*commands: Sequence[str]) -> Iterator[list[subprocess.Popen[bytes]]]:
    """Start processes, and end them in order; what they log is shown."""
    with ExitStack() as stack:
        started = []
        for command in commands:
            # a session of its own: a terminal's Ctrl-C reaches only us, and we end the children in order
            started.append(subprocess.Popen(list(command), start_new_session=True))
            stack.callback(end_process, started[-1])
        yield started


def end_process(process: subprocess.Popen[Any], number: int = signal.SIGINT) -> int:
    """End a process with a signal, and by force after `END_S`; return its exit status."""
    if process.poll() is None:
        process.send_signal(number)
    try:
        return process.wait(END_S)
    except subprocess.TimeoutExpired:
        process.kill()
        return process.wait()


def cpu_s(pid: int) -> float:
    """Return the CPU time that a process has used, in seconds, in steps of 10 ms; Linux."""
    # after the command's name, which may hold anything: utime and stime are the 12th and 13th values
    values = Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()
    return (int(values[11]) + int(values[12])) / os.sysconf("SC_CLK_TCK")


def ros_arguments(**parameters: object) -> list[str]:
    """Return the command line that sets parameters."""
    given = [("-p", f"{name}:={str(value).lower() if isinstance(value, bool) else value}")
             for name, value in parameters.items()]  # fmt: skip
    return ["--ros-args", *(each for pair in given for each in pair)]


def say(event: str, **facts: Any) -> None:
    """Print one event for the process that started this one, which a `Child` gives to its ``on_event``."""
    print(json.dumps({"event": event, **facts}), flush=True)


class Child:
    """One process of ours: its lines go to a log file, and those that are JSON objects also to ``on_event``.

    Args:
        name: For messages and the log's name.
        command: Program and arguments.
        environment: All of it.
        log: File that gets everything the process writes.
        on_event: Called on a reader thread with each JSON object that the process prints on a line of its own.
        changed: Notified after every event and when the process has ended.
    """

    def __init__(
        self,
        name: str,
        command: Sequence[str],
        environment: Mapping[str, str],
        log: Path,
        on_event: Callable[[dict[str, Any]], None] | None = None,
        changed: threading.Condition | None = None,
    ) -> None:
        self.name = name
        self._changed = changed or threading.Condition()
        self.log = log
        self._on_event = on_event
        self._status: int | None = None
        self._last: deque[str] = deque(maxlen=_LAST_LINES)
        try:
            self._process = subprocess.Popen(
                command,
                env=dict(environment),
                stdin=subprocess.DEVNULL,
                stdout=subprocess.PIPE,
                stderr=subprocess.STDOUT,
                text=True,
                errors="replace",
                # Ctrl-C of a terminal reaches only us: we end the children in order
                start_new_session=True,
            )
        except OSError as error:
            raise DemoError(f"{name} can't be started: {error}") from None
        assert self._process.stdout is not None
        self._reader = threading.Thread(target=self._read, args=(self._process.stdout,), name=f"{name}-lines")
        self._reader.start()

    def check(self) -> None:
        """Raise DemoError if the process has ended."""
        # set when all of its lines have been read, so that the last ones can be shown
        if (status := self._status) is not None:
            raise DemoError(f"{self.name} ended too early, {_said(status)}{self.last_lines()}")

    def stop(self, timeout_s: float = END_S) -> int:
        """End the process with SIGINT and return its exit status; DemoError if it doesn't end in this time.

        A process that has ended already keeps the status it had.
        """
        self.interrupt()
        try:
            status = self._process.wait(timeout_s)
        except subprocess.TimeoutExpired:
            self.kill_after(0.0)
            raise DemoError(f"{self.name} did not end in {timeout_s:.0f} s after SIGINT{self.last_lines()}") from None
        self._reader.join(timeout=2.0)
        return status

    def interrupt(self) -> None:
        """Send SIGINT, if the process is still there."""
        if self._process.poll() is None:
            self._process.send_signal(signal.SIGINT)

    def kill_after(self, timeout_s: float) -> None:
        """Wait for the end of the process, and force it when the time is over."""
        try:
            self._process.wait(max(timeout_s, 0.0))
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()
        self._reader.join(timeout=2.0)

    def last_lines(self) -> str:
        """Return the end of what the process wrote, indented below a colon, or nothing."""
        return ":\n    " + "\n    ".join(self._last) if self._last else f" (it wrote nothing; log: {self.log})"

    def _read(self, stream: IO[str]) -> None:
        with self.log.open("w") as log, stream:
            for line in stream:
                log.write(line)
                log.flush()
                event = _event(line)
                if event is None:
                    if line.strip():
                        self._last.append(line.rstrip())
                    continue
                with self._changed:
                    if self._on_event is not None:
                        self._on_event(event)
                    self._changed.notify_all()
        status = self._process.wait()
        with self._changed:
            self._status = status
            self._changed.notify_all()


class Children:
    """A group of children; leaving the block ends those that still run."""

    def __init__(self, environment: Mapping[str, str], logs: Path) -> None:
        self._environment = environment
        self._logs = logs
        self._all: list[Child] = []
        self._changed = threading.Condition()

    def __enter__(self) -> Children:
        self._logs.mkdir(parents=True, exist_ok=True)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        deadline = time.monotonic() + _GRACE_S
        for child in self._all:
            child.interrupt()
        for child in self._all:
            child.kill_after(deadline - time.monotonic())

    def start(
        self, name: str, arguments: Sequence[str], on_event: Callable[[dict[str, Any]], None] | None = None
    ) -> Child:
        """Start ``python ARGUMENTS`` under this name."""
        log = self._logs / f"{name}.log"
        child = Child(name, [sys.executable, *arguments], self._environment, log, on_event, self._changed)
        self._all.append(child)
        return child

    def wait_until(
        self, condition: Callable[[], bool], needed: Sequence[Child], timeout_s: float, failure: str
    ) -> None:
        """Wait until ``condition`` holds; it is looked at after every event of a child.

        Raises:
            DemoError: One of the ``needed`` children ended, or the time is over, which ``failure`` puts into words.
        """
        deadline = time.monotonic() + timeout_s
        with self._changed:
            while not condition():
                for child in needed:
                    child.check()
                if not self._changed.wait(deadline - time.monotonic()):
                    raise DemoError(f"{failure} within {timeout_s:.0f} s{needed[0].last_lines()}")


def child_environment(logs: Path, domain: int) -> dict[str, str]:
    """Return the environment of the children: this machine only, the domain, and unbuffered output."""
    return {
        **os.environ,
        **local_environment(domain),
        "ROS_LOG_DIR": str(logs / "ros"),
        "PYTHONUNBUFFERED": "1",
        "RCUTILS_COLORIZED_OUTPUT": "0",
    }


def _event(line: str) -> dict[str, Any] | None:
    if not line.startswith('{"event"'):
        return None
    try:
        return dict(json.loads(line))
    except ValueError:
        return None


def _said(status: int) -> str:
    return f"killed by signal {-status}" if status < 0 else f"with status {status}"
