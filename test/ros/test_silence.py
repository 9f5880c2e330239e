# SPDX-License-Identifier: Apache-2.0
"""Frames come and nothing goes out, through the node over DDS: each way that this happens is said, and none blocks."""

import itertools
import threading
import time

import numpy as np
import pytest
from patience import WAIT_S

pytest.importorskip("rclpy", reason="no ROS 2 here")

from diagnostic_msgs.msg import DiagnosticStatus
from node_bench import FRAME_NS, START_NS, SUCCESS
from node_program import FakeEngine

from segmif_ros.ros.messages import image_message, make_header
from segmif_ros.ros.monitor import Monitor

ERROR, WARN = DiagnosticStatus.ERROR, DiagnosticStatus.WARN


class StuckEngine(FakeEngine):
    """Doesn't come back until it is let go."""

    def __init__(self) -> None:
        super().__init__()
        self.gate = threading.Event()

    def infer(self, infrared, rgb):
        result = super().infer(infrared, rgb)
        self.gate.wait(WAIT_S)
        return result


def is_error(table, text) -> bool:
    """Whether the status is an error whose message holds ``text``: other causes may be named a moment before."""
    return table.status().level == ERROR and text in table.status().message


def streams(table, until, *, send=None) -> None:
    """Send pairs until a condition holds."""
    deadline = time.monotonic() + WAIT_S
    for number in itertools.count(1):
        (send or table.send)(number)
        for _ in range(3):
            table.executor.spin_once(timeout_sec=0.01)
        if until():
            return
        assert time.monotonic() < deadline, f"gave up; log: {table.log}; status: {table.status()}"


def test_an_engine_that_does_not_come_back_is_an_error_and_holds_deactivation_up_briefly(bench, monkeypatch) -> None:
    engine = StuckEngine()
    table = bench(engine=engine, output_timeout_s=0.5)
    streams(table, lambda: is_error(table, "one pair is in work for"))
    assert any("nothing goes out for" in line for line in table.log)
    waited_s, stop = [], table.node.pipeline.stop
    monkeypatch.setattr(table.node.pipeline, "stop", lambda timeout_s: (waited_s.append(timeout_s), stop(timeout_s))[1])
    assert table.node.trigger_deactivate() == SUCCESS  # the engine is still held, so nobody waited for it
    assert waited_s and max(waited_s) < 1.0
    assert "its result will not be published" in table.log[-1]
    assert table.node.trigger_activate() == SUCCESS
    engine.gate.set()
    streams(table, lambda: int(table.value("processed") or 0) > 0)


def test_pairs_that_are_all_refused_are_a_warning_and_then_an_error_with_the_reason(bench) -> None:
    table = bench(output_timeout_s=1.0)
    seen = set()

    def send(number) -> None:
        table.send(number, infrared=np.zeros((5, 8), np.uint8))
        seen.add(table.status().level)

    streams(table, lambda: is_error(table, "every pair is refused"), send=send)
    assert WARN in seen
    assert "infrared is 8x5 and RGB 8x6" in table.status().message


def test_stamps_that_stand_still_are_said_and_named_as_the_cause(bench) -> None:
    table = bench(output_timeout_s=1.0)

    def send(number) -> None:
        table.send(number, cameras=("rgb",))
        header = make_header(START_NS + FRAME_NS, "thermal")
        table.cameras["infrared"].publish(image_message(np.zeros((6, 8), np.uint8), "mono8", header))

    streams(table, lambda: is_error(table, "infrared stamps don't change"), send=send)
    assert "no pair is formed: infrared stamps don't change" in table.status().message


@pytest.mark.filterwarnings("ignore::pytest.PytestUnhandledThreadExceptionWarning")
def test_a_worker_that_has_ended_is_an_error(bench) -> None:
    class Exits(FakeEngine):
        def infer(self, infrared, rgb):
            raise SystemExit  # what no code of ours does

    table = bench(engine=Exits())
    streams(table, lambda: table.status().level == ERROR)
    assert "the worker's thread has ended" in table.status().message
    table.node.pipeline.start()  # as activating does
    assert table.node.pipeline.progress().working


def test_a_disabled_node_and_one_without_frames_are_not_silent(bench) -> None:
    table = bench(output_timeout_s=0.2, input_timeout_s=60.0)
    table.node.pipeline.enable(False)
    count = len(table.received["/diagnostics"]) + 10
    streams(table, lambda: len(table.received["/diagnostics"]) > count)
    assert not [line for line in table.log if "nothing goes out" in line]


def test_the_first_result_is_told_once_with_size_backend_and_time(bench) -> None:
    table = bench()
    streams(table, lambda: int(table.value("processed") or 0) > 3)
    [line] = [each for each in table.log if each.startswith("first result")]
    assert line == "first result: 8x6, 12 ms in the network by none on none in none"


def test_two_nodes_of_one_name_are_said(bench, monkeypatch) -> None:
    monkeypatch.setattr("segmif_ros.ros.monitor._TWIN_S", 0.0)
    first = bench()
    bench()
    first.until(lambda: any("there are two nodes /segmif_node" in line for line in first.log))


def test_stamps_far_from_the_nodes_clock_are_said(bench, monkeypatch) -> None:
    monkeypatch.setattr(Monitor, "clock_tolerance_s", 10.0)
    table = bench()
    streams(table, lambda: any("behind this node's clock" in line for line in table.log),
            send=lambda number: table.send(number - 100_000))  # fmt: skip


def test_a_slop_that_pairs_different_moments_is_said_once(bench) -> None:
    table = bench(slop_s=0.1)
    streams(table, lambda: any("slop_s is 0.1, more than half the frame period" in line for line in table.log))
    streams(table, lambda: len(table.received["/diagnostics"]) > 30)
    assert sum("more than half the frame period" in line for line in table.log) == 1
