# SPDX-License-Identifier: Apache-2.0
"""Child processes: their events arrive, their end is noticed, and nothing of them is left behind."""

import signal
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from patience import WAIT_S

from segmif_ros.trials import processes as children
from segmif_ros.trials.processes import Children, DemoError, child_environment

PATIENT = "import signal, sys, time\nsignal.signal(signal.SIGINT, lambda *_: sys.exit({status}))\n{say}\ntime.sleep(60)"
READY = """print('{"event": "ready", "count": 3}', flush=True)"""


@pytest.fixture
def group(tmp_path: Path) -> Iterator[Children]:
    with Children(child_environment(tmp_path, 66), tmp_path / "logs") as made:
        yield made


def test_events_of_a_child_are_waited_for(group: Children) -> None:
    events: list[dict[str, Any]] = []
    child = group.start("node", ["-c", PATIENT.format(status=0, say=READY)], events.append)
    group.wait_until(lambda: bool(events), [child], WAIT_S, "node was not ready")
    assert events == [{"event": "ready", "count": 3}]
    assert child.stop() == 0


def test_a_child_that_ends_too_early_is_said_with_its_last_lines(group: Children) -> None:
    child = group.start("node", ["-c", "import sys; print('weights not found'); sys.exit(4)"])
    with pytest.raises(DemoError, match=r"node ended too early, with status 4:\n    weights not found"):
        group.wait_until(lambda: False, [child], WAIT_S, "node was not ready")


def test_waiting_has_an_end(group: Children) -> None:
    child = group.start("node", ["-c", PATIENT.format(status=0, say="")])
    with pytest.raises(DemoError, match=r"^node was not ready within 0 s \(it wrote nothing; log: .*node\.log\)"):
        group.wait_until(lambda: False, [child], 0.05, "node was not ready")


def test_the_exit_status_after_sigint_is_returned(group: Children) -> None:
    events: list[dict[str, Any]] = []
    child = group.start("node", ["-c", PATIENT.format(status=7, say=READY)], events.append)
    group.wait_until(lambda: bool(events), [child], WAIT_S, "")
    assert child.stop() == 7
    assert child.stop() == 7


def test_a_child_that_ignores_sigint_is_ended_and_said(group: Children) -> None:
    events: list[dict[str, Any]] = []
    deaf = f"import signal, time\nsignal.signal(signal.SIGINT, signal.SIG_IGN)\n{READY}\ntime.sleep(60)"
    child = group.start("rig", ["-c", deaf], events.append)
    group.wait_until(lambda: bool(events), [child], WAIT_S, "")
    with pytest.raises(DemoError, match="rig did not end"):
        child.stop(0.2)
    assert child._process.poll() == -signal.SIGKILL


def test_leaving_the_group_ends_every_child(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(children, "_GRACE_S", 0.5)
    with Children(child_environment(tmp_path, 66), tmp_path) as group:
        started = [group.start(name, ["-c", "import time; time.sleep(60)"]) for name in ("a", "b")]
    assert all(child._process.poll() is not None for child in started)


def test_a_child_writes_its_lines_to_its_log(group: Children, tmp_path: Path) -> None:
    child = group.start("rig", ["-c", "print('hello')"])
    child.kill_after(WAIT_S)
    assert (tmp_path / "logs" / "rig.log").read_text() == "hello\n"


def test_a_line_that_only_looks_like_an_event_is_a_line(group: Children) -> None:
    child = group.start("rig", ["-c", """print('{"event" broken')"""])
    child.kill_after(WAIT_S)
    assert "broken" in child.last_lines()


@pytest.mark.parametrize(
    ("distribution", "variable"), [("humble", "ROS_LOCALHOST_ONLY"), ("kilted", "ROS_AUTOMATIC_DISCOVERY_RANGE")]
)
def test_children_talk_on_this_machine_only(
    distribution: str, variable: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("ROS_LOCALHOST_ONLY", raising=False)
    monkeypatch.delenv("ROS_AUTOMATIC_DISCOVERY_RANGE", raising=False)
    monkeypatch.setenv("ROS_DISTRO", distribution)
    environment = child_environment(tmp_path, 42)
    assert environment["ROS_DOMAIN_ID"] == "42"
    assert environment.keys() & {"ROS_LOCALHOST_ONLY", "ROS_AUTOMATIC_DISCOVERY_RANGE"} == {variable}
