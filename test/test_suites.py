# SPDX-License-Identifier: Apache-2.0
"""The runs of the tests: all tests are in one, and a run that fails, crashes or hangs is a failure that states why."""

import shutil
import subprocess
import sys
import time
from pathlib import Path

import pytest
from run_suites import HERE, LIST, Suite, read_suites, run_suite


@pytest.mark.parametrize("line", ["ros", "ros soon", "ros 10 slow", "ros 10 quick more"])
def test_a_row_that_is_none_is_refused_with_its_number(line) -> None:
    with pytest.raises(ValueError, match="line 2"):
        read_suites(f"# a comment\n{line}\n")


def _run(tmp_path: Path, program: str):
    folder = tmp_path / "test" / "one"
    folder.mkdir(parents=True)
    (folder / "test_it.py").write_text(program)
    with (tmp_path / "output").open("w+") as output:
        outcome = run_suite(Suite("one", 120.0), ["-q"], root=tmp_path / "test", stream=output.fileno())
        output.seek(0)
        return outcome, output.read()


def test_a_run_that_passes_says_so(tmp_path) -> None:
    outcome, output = _run(tmp_path, "def test_it(): pass\n")
    assert (outcome.status, outcome.overdue) == (0, False), output
    assert outcome.line.endswith("passed")


def test_a_run_without_tests_is_a_failure(tmp_path) -> None:
    outcome, _ = _run(tmp_path, "")
    assert outcome.status == 5


def test_a_crash_is_a_failure_that_names_the_signal_and_shows_the_stack(tmp_path) -> None:
    outcome, output = _run(tmp_path, "import os, signal\ndef test_it(): os.kill(os.getpid(), signal.SIGSEGV)\n")
    assert "SIGSEGV" in outcome.line
    assert "test_it.py" in output


def test_a_process_that_does_not_end_after_its_tests_is_ended_and_its_stack_is_shown(tmp_path) -> None:
    program = """
import threading
def wait_for_good(): threading.Event().wait()
threading.Thread(target=wait_for_good).start()
print("1 passed", flush=True)
"""
    command = [sys.executable, "-X", "faulthandler", "-c", program]
    began = time.monotonic()
    with (tmp_path / "output").open("w+") as output:
        outcome = run_suite(Suite("one", 6.0), [], root=tmp_path, stream=output.fileno(), command=command)
        output.seek(0)
        said = output.read()
    assert outcome.overdue
    assert outcome.line.endswith("FAILED: not over after 6 s")
    assert time.monotonic() - began < 120
    assert "1 passed" in said
    assert "in wait_for_good" in said


@pytest.mark.skipif(shutil.which("cmake") is None, reason="there is no cmake here: a ROS install brings it")
def test_cmake_runs_the_same_list_with_the_same_limits(tmp_path) -> None:
    text = (HERE.parent / "CMakeLists.txt").read_text()
    block = text[text.index("  # One process for each row") :].split("endif()")[0]
    stand_in = "function(ament_add_pytest_test name path)\n  message(\"${path}|${ARGN}\")\nendfunction()\n"
    program = f"cmake_minimum_required(VERSION 3.20)\nproject(x NONE)\n{stand_in}{block}"
    (tmp_path / "CMakeLists.txt").write_text(program)
    suites = read_suites(LIST.read_text())
    for each in suites:
        (tmp_path / "test" / each.path.replace("*", "one")).mkdir(parents=True)
    (tmp_path / "test" / "suites.txt").write_text(LIST.read_text())
    done = subprocess.run(["cmake", "-S", tmp_path, "-B", tmp_path / "build"], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    found = [line.split("|") for line in done.stderr.splitlines() if "|TIMEOUT" in line]
    paths = {path.removeprefix("test/"): options.split(";")[1] for path, options in found}
    assert paths == {each.path.replace("*", "one"): f"{each.limit_s:g}" for each in suites}


def test_the_command_refuses_a_run_that_there_is_not() -> None:
    done = subprocess.run([sys.executable, HERE / "run_suites.py", "nosuch"], capture_output=True, text=True)
    assert done.returncode == 2
    assert "no such suite: nosuch" in done.stderr
