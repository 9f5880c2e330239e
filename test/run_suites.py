# SPDX-License-Identifier: Apache-2.0
"""Run the tests as production runs the code: one process for each row of suites.txt, with a time limit of its own.

$ python test/run_suites.py [--quick] [--jobs N] [SUITE ...] [-- PYTEST ARGUMENTS]

A run that exceeds its limit prints the stacks of all its threads and fails. So does a run that can't end after its
tests: nothing ends a process but the interpreter. The exit status is 0 if every run succeeded, else 1.
"""

from __future__ import annotations

import argparse
import contextlib
import os
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

HERE = Path(__file__).resolve().parent
LIST = HERE / "suites.txt"
STACKS_S = 10.0  # for printing the stacks before a run is killed
# the interpreter's own fault handler, as pytest's ends with its session
PYTEST = (sys.executable, "-X", "faulthandler", "-m", "pytest")


@dataclass(frozen=True)
class Suite:
    """One row: a folder or a pattern of files under test/, its time limit, and whether it is part of `make quick`."""

    path: str
    limit_s: float
    quick: bool = False


@dataclass(frozen=True)
class Outcome:
    """What became of a run: its exit status (negative: the signal that ended it), its time, its limit exceeded."""

    suite: Suite
    status: int
    seconds: float
    overdue: bool = False

    @property
    def line(self) -> str:
        """One row of the summary."""
        if self.overdue:
            verdict = f"FAILED: not over after {self.suite.limit_s:g} s"
        elif self.status < 0:
            verdict = f"FAILED: ended by {signal.Signals(-self.status).name}"
        else:
            verdict = "passed" if self.status == 0 else f"FAILED: pytest's status is {self.status}"
        return f"{self.suite.path:12s} {self.seconds:7.1f} s  {verdict}"


def read_suites(text: str) -> list[Suite]:
    """Return the rows of a list; ValueError names a line that isn't one."""
    suites = []
    for number, line in enumerate(text.splitlines(), 1):
        words = line.split("#")[0].split()
        if not words:
            continue
        if len(words) not in (2, 3) or not words[1].isdigit() or words[2:] not in ([], ["quick"]):
            raise ValueError(f"line {number}: '{line}' is not a path, seconds and perhaps 'quick'")
        suites.append(Suite(words[0], float(words[1]), words[2:] == ["quick"]))
    return suites


def run_suite(
    suite: Suite,
    arguments: Sequence[str],
    *,
    root: Path = HERE,
    stream: int | None = None,
    command: Sequence[str] = PYTEST,
) -> Outcome:
    """Run one suite in a process of its own; ``stream`` takes its output, None is this process's own."""
    whole = [*command, *(str(path) for path in sorted(root.glob(suite.path))), *arguments]
    began = time.monotonic()
    process = subprocess.Popen(whole, cwd=root.parent, stdout=stream, stderr=stream, start_new_session=True)
    try:
        status, overdue = process.wait(suite.limit_s), False
    except subprocess.TimeoutExpired:
        overdue = True
        process.send_signal(signal.SIGABRT)  # prints the stacks of all threads
        with contextlib.suppress(subprocess.TimeoutExpired):
            process.wait(STACKS_S)
    finally:
        with contextlib.suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)  # and what it has started
    return Outcome(suite, process.wait() if overdue else status, time.monotonic() - began, overdue)


def _run_and_print(suite: Suite, arguments: Sequence[str]) -> Outcome:
    """Run a suite beside others: its output is printed as a whole."""
    with tempfile.TemporaryFile("w+", errors="replace") as output:
        outcome = run_suite(suite, arguments, stream=output.fileno())
        output.seek(0)
        print(f"=== {suite.path}\n{output.read()}=== {outcome.line}", flush=True)
    return outcome


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command; return its exit status."""
    given = list(sys.argv[1:] if arguments is None else arguments)
    split = given.index("--") if "--" in given else len(given)
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("suites", nargs="*", metavar="SUITE", help="paths of suites.txt (default: all)")
    parser.add_argument("--quick", action="store_true", help="only those that need neither DDS nor an engine")
    parser.add_argument("--jobs", type=int, default=1, help="runs at the same time (default 1)")
    options = parser.parse_args(given[:split])
    suites = read_suites(LIST.read_text())
    if unknown := set(options.suites) - {each.path for each in suites}:
        parser.error(f"no such suite: {', '.join(sorted(unknown))}")
    chosen = [
        each for each in suites
        if (not options.quick or each.quick) and (not options.suites or each.path in options.suites)
    ]  # fmt: skip
    more = [*(["-m", "not dds"] if options.quick else []), *given[split + 1 :]]
    if options.jobs > 1:
        with ThreadPoolExecutor(options.jobs) as pool:
            # the longest first, so that none of them is left for the end
            longest_first = sorted(chosen, key=lambda each: -each.limit_s)
            outcomes = list(pool.map(lambda each: _run_and_print(each, more), longest_first))
    else:
        outcomes = [run_suite(each, more) for each in chosen]
    print("\n".join(["", *(each.line for each in outcomes)]))
    return int(any(each.status or each.overdue for each in outcomes))


if __name__ == "__main__":
    sys.exit(main())
