# SPDX-License-Identifier: Apache-2.0
"""An exception that nobody expects costs the message or call that it came with: it is logged once, counted and told."""

import numpy as np
import pytest

pytest.importorskip("rclpy", reason="no ROS 2 here")

from diagnostic_msgs.msg import DiagnosticStatus
from node_bench import FRAME_NS, START_NS, SUCCESS
from rclpy.executors import ExternalShutdownException
from rclpy.parameter import Parameter
from rosgraph_msgs.msg import Clock as ClockMessage
from sensor_msgs.msg import CameraInfo
from std_srvs.srv import SetBool, Trigger

from segmif_ros.ros import snapshot
from segmif_ros.ros.barrier import Barrier, GuardedExecutor
from segmif_ros.ros.messages import image_message, make_header

S = 1_000_000_000


class Clock:
    now_ns = 0

    def __call__(self) -> int:
        return self.now_ns


@pytest.fixture
def clock() -> Clock:
    return Clock()


def boom(*_args, **_more):
    raise LookupError("a defect")


def test_what_a_function_returns_comes_through_and_an_exception_does_not(clock) -> None:
    log: list[str] = []
    barrier = Barrier(log.append, clock)
    assert barrier.around("here", lambda a, b: a + b)(1, 2) == 3
    assert barrier.around("here", boom)(1) is None
    assert barrier.around("here", boom, lambda error, *args: (str(error), args))(1) == ("a defect", (1,))
    assert barrier.values() == {"unexpected_exceptions here": "2"}


def test_an_exception_is_logged_once_with_its_traceback_and_counted_under_its_place(clock) -> None:
    log: list[str] = []
    barrier = Barrier(log.append, clock)
    for place in ("here", "here", "there"):
        barrier.around(place, boom)()
    assert len(log) == 2
    assert "in boom" in log[0]
    assert log[0].startswith("unexpected exception in here")
    assert barrier.values() == {"unexpected_exceptions here": "2", "unexpected_exceptions there": "1"}


def test_exceptions_of_ever_new_kinds_do_not_fill_the_log(clock) -> None:
    log: list[str] = []
    barrier = Barrier(log.append, clock)
    for number in range(1000):
        barrier.caught(f"place {number}", LookupError(str(number)))
    assert len(log) == 100


def test_the_warning_ends_a_minute_after_the_last_exception_and_the_count_stays(clock) -> None:
    barrier = Barrier(lambda _text: None, clock)
    barrier.around("here", boom)()
    [problem] = barrier.problems()
    assert "unexpected exception in here, 1 so far: LookupError: a defect" in problem.line
    clock.now_ns = 61 * S
    assert barrier.problems() == []
    assert barrier.values() == {"unexpected_exceptions here": "1"}


def test_a_log_that_fails_itself_changes_nothing(clock) -> None:
    barrier = Barrier(boom, clock)
    assert barrier.around("here", boom)() is None


class Executor:
    """Raises what it is given, one after the other."""

    def __init__(self, *errors) -> None:
        self.errors = list(errors)

    def spin_once(self) -> None:
        if error := self.errors.pop(0):
            raise error


def test_an_executor_goes_on_after_an_exception_and_not_after_the_end(clock) -> None:
    barrier = Barrier(lambda _text: None, clock)
    executor = GuardedExecutor(Executor(LookupError("odd"), None, ExternalShutdownException()), barrier)
    executor.spin_once()
    executor.spin_once()
    with pytest.raises(ExternalShutdownException):
        executor.spin_once()
    assert barrier.values() == {"unexpected_exceptions executor": "1"}


def test_an_executor_that_only_fails_is_given_up(clock) -> None:
    executor = GuardedExecutor(Executor(*[LookupError("broken")] * 1001), Barrier(lambda _text: None, clock))
    for _ in range(1000):
        executor.spin_once()
    with pytest.raises(LookupError):
        executor.spin_once()


# --- every callback of the node --------------------------------------------------------------------------------------


def lives(table, place: str) -> None:
    """The exception is in log and diagnostics, and the next pair is processed."""
    table.until(lambda: table.value(f"unexpected_exceptions {place}") is not None)
    assert table.status().level == DiagnosticStatus.WARN
    assert f"unexpected exception in {place}" in table.status().message
    assert sum("Traceback" in line for line in table.log) == 1
    calls = table.engine.calls
    table.send(500)
    table.until(lambda: table.engine.calls == calls + 1)


def answer(table, kind, name, request):
    client = table.others.create_client(kind, f"segmif_node/{name}")
    table.until(client.service_is_ready)
    future = client.call_async(request)
    table.until(future.done)
    return future.result()


def test_a_frame(bench, monkeypatch) -> None:
    table = bench()
    monkeypatch.setattr("segmif_ros.ros.inputs._buffer", boom)
    table.send(1, cameras=("rgb",))
    table.until(lambda: any("unexpected exception in subscription rgb/image_raw" in line for line in table.log))
    monkeypatch.undo()
    lives(table, "subscription rgb/image_raw")


def test_a_camera_info(bench, monkeypatch) -> None:
    table = bench()
    monkeypatch.setattr("segmif_ros.ros.node_rig.camera_model", boom)
    publisher = table.others.create_publisher(CameraInfo, "rgb/camera_info", 5)
    table.until(publisher.get_subscription_count)
    publisher.publish(CameraInfo())
    lives(table, "subscription rgb/camera_info")


def test_a_parameter(bench, monkeypatch) -> None:
    table = bench()
    monkeypatch.setattr(table.node.rig, "after", boom)
    [result] = table.node.set_parameters([Parameter("calibration_file", value="rig.yaml")])
    assert (result.successful, "LookupError: a defect" in result.reason) == (False, True)
    lives(table, "parameters")


def test_the_timer_that_reports(bench, monkeypatch) -> None:
    table = bench()
    monkeypatch.setattr("segmif_ros.ros.health.stamps_problem", boom)
    table.until(lambda: any("unexpected exception in timer report" in line for line in table.log))
    monkeypatch.undo()
    lives(table, "timer report")


def test_a_jump_of_the_clock(bench, monkeypatch) -> None:
    table = bench(use_sim_time=True)
    clock = table.others.create_publisher(ClockMessage, "/clock", 10)
    table.until(clock.get_subscription_count)
    monkeypatch.setattr(table.node.time_offset, "reset", boom)
    for sec in (START_NS // S, START_NS // S - 100):
        message = ClockMessage()
        message.clock.sec = sec
        clock.publish(message)
        table.until(lambda at=sec: table.node.get_clock().now().nanoseconds == at * S)
    monkeypatch.undo()
    lives(table, "clock jump")


def test_the_worker(bench, monkeypatch) -> None:
    table = bench()
    monkeypatch.setattr(table.node.pipeline, "_trace", boom)
    message = image_message(np.zeros((6, 8), np.uint8), "mono8", make_header(START_NS + FRAME_NS, "thermal"))
    message.encoding = "jpeg2000"
    table.cameras["infrared"].publish(message)
    table.send(1, cameras=("rgb",))
    lives(table, "worker")


def test_a_lifecycle_transition(bench, monkeypatch) -> None:
    table = bench()
    monkeypatch.setattr(table.node.pipeline, "stop", boom)
    assert table.node.trigger_deactivate() != SUCCESS
    assert any("unexpected exception in on_deactivate" in line for line in table.log)


@pytest.mark.parametrize("name", ["enable", "reload_weights", "snapshot"])
def test_a_service_answers_and_all_services_go_on_answering(bench, monkeypatch, tmp_path, name) -> None:
    table = bench(snapshot_folder=str(tmp_path))
    place = {
        "enable": (table.node.pipeline, "enable"),
        "reload_weights": (table.node, "use_engine"),
        "snapshot": (snapshot, "new_folder"),
    }[name]
    monkeypatch.setattr(*place, boom)
    request = (SetBool, SetBool.Request(data=True)) if name == "enable" else (Trigger, Trigger.Request())
    result = answer(table, request[0], name, request[1])
    assert not result.success
    assert "LookupError: a defect" in result.message
    monkeypatch.undo()
    assert answer(table, SetBool, "enable", SetBool.Request(data=True)).success
    assert answer(table, Trigger, "reload_weights", Trigger.Request()).success
