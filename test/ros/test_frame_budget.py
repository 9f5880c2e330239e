# SPDX-License-Identifier: Apache-2.0
"""The frame budget in the node: what counts, what is told, and the node over real DDS under a made-up load."""

from dataclasses import replace

import numpy as np
import pytest

pytest.importorskip("rclpy", reason="no ROS 2 here")
pytest.importorskip("torch", reason="the budget comes with the engine")

from diagnostic_msgs.msg import DiagnosticStatus
from node_program import FakeEngine
from rclpy.parameter import Parameter

from segmif_ros.inference.adaptive_size import AdaptiveEngine, BudgetState
from segmif_ros.inference.resizing import FixedSizeEngine
from segmif_ros.rig.registration import Registered
from segmif_ros.ros.frame_budget import budget_state, budget_values, observed, within_budget
from segmif_ros.stream.processing import Output

SIZE = (64, 96)
FULL_MS = 60_000.0  # what the engine says that it took; nobody waits for it, and no busy machine comes near it


class SlowEngine(FakeEngine):
    """Says that it takes a time by pixels; sees sizes."""

    def __init__(self, full_ms: float = FULL_MS) -> None:
        super().__init__()
        self.full_ms = full_ms
        self.sizes: list[tuple[int, int]] = []

    def infer(self, infrared, rgb):
        self.sizes.append(infrared.shape)
        result = super().infer(infrared, rgb)
        return replace(result, stage_ms={"network": self.full_ms * infrared.size / (SIZE[0] * SIZE[1])})


# --- what counts and what is told ------------------------------------------------------------------------------------


def output(engine) -> Output:
    image = np.zeros((2, 2), np.uint8)
    registered = Registered(infrared=image, rgb=image)
    stage_ms = {"decode": 1.0, "gain": 2.0, "register": 3.0, "prior": 4.0, "network": 50.0, "resize": 5.0}
    return Output(
        infrared=None, rgb=None, master=None, offset_ns=0, registered=registered, result=None, engine=engine,
        stage_ms=stage_ms,
    )  # fmt: skip


class Listening(FakeEngine):
    state = None

    def __init__(self) -> None:
        super().__init__()
        self.told: list[float] = []

    def observe(self, frame_ms: float) -> None:
        self.told.append(frame_ms)


def test_all_that_the_node_does_with_a_pair_counts_and_publishing_does_too() -> None:
    times_ns = iter([0, 7_000_000])
    engine, delivered = Listening(), []
    observed(delivered.append, lambda: next(times_ns))(made := output(engine))
    assert delivered == [made]
    assert engine.told == [1 + 2 + 3 + 4 + 50 + 5 + 7]


def test_a_pair_that_could_not_be_delivered_does_not_count() -> None:
    def fail(_output):
        raise RuntimeError("no publisher")

    engine = Listening()
    with pytest.raises(RuntimeError, match="no publisher"):
        observed(fail, lambda: 0)(output(engine))
    assert engine.told == []


def test_an_engine_without_a_budget_is_left_alone() -> None:
    engine = FakeEngine()
    assert within_budget(engine, 0.0) is engine
    observed(lambda _output: None, lambda: 0)(output(engine))
    assert budget_state(engine) is None
    assert budget_values(None) == {}


def test_an_engine_with_a_budget_is_wrapped() -> None:
    engine = within_budget(FakeEngine(), 80.0)
    assert isinstance(engine, AdaptiveEngine)
    engine.warm_up(*SIZE)
    assert budget_state(engine).budget_ms == 80


def test_a_size_of_the_networks_own_wraps_the_engine_and_is_the_largest_of_a_budget() -> None:
    assert isinstance(within_budget(FakeEngine(), 0.0, (0, 64)), FixedSizeEngine)
    engine = within_budget(FakeEngine(), 80.0, (64, 96))
    engine.warm_up(480, 640)
    assert budget_state(engine).full_size == (64, 96)


def test_the_diagnostics_say_the_size_how_often_it_changed_and_why() -> None:
    state = BudgetState(
        budget_ms=80, full_size=(480, 640), size=(352, 480), share=0.75, changes=3, reason="load", median_ms=71.239
    )
    assert budget_values(state) == {
        "frame_budget_ms": "80", "frame_ms_median": "71.24", "inference_width": "480", "inference_height": "352",
        "inference_share": "0.75", "inference_size_changes": "3", "inference_size_reason": "load",
    }  # fmt: skip


# --- the node --------------------------------------------------------------------------------------------------------


def loaded(bench, **options):
    return bench(warm_up_height=SIZE[0], warm_up_width=SIZE[1], **options)


def send(table, engine, numbers) -> None:
    """Send pairs one by one, each as soon as the one before it has been in the engine."""
    for number in numbers:
        seen = engine.calls
        table.send(number, infrared=np.full(SIZE, 7, np.uint8), rgb=np.full((*SIZE, 3), 40, np.uint8))
        table.until(lambda count=seen: engine.calls > count)


def call(table, service, name, **values):
    client = table.others.create_client(service, f"segmif_node/{name}")
    table.until(client.service_is_ready)
    future = client.call_async(service.Request(**values))
    table.until(future.done)
    return future.result()


def test_under_load_the_node_takes_smaller_images_says_so_once_and_comes_back(bench) -> None:
    engine = SlowEngine()
    table = loaded(bench, engine=engine, frame_budget_ms=0.7 * FULL_MS)
    topics = table.listen_to_all()
    assert (engine.warmed_up, engine.sizes) == ([SIZE], [(64, 64), (32, 64)])
    send(table, engine, range(1, 7))
    table.until(lambda: table.value("inference_width") == "64" and table.status().level == DiagnosticStatus.WARN)
    assert (table.value("inference_height"), table.value("inference_size_changes")) == ("64", "1")
    assert table.value("inference_size_reason").startswith("most frames at 96x64 took more than the budget of 42000 ms")
    assert "the network's image is 64x64 instead of 96x64: most frames" in table.status().message
    engine.full_ms = 1.0
    send(table, engine, range(7, 150))
    table.until(lambda: table.value("inference_width") == "96" and table.status().message == "active")
    assert table.value("inference_size_changes") == "2"
    assert sum(line.startswith("the network's image is 64x64") for line in table.log) == 1
    assert sum(line.startswith("solved (was: the network's image") for line in table.log) == 1
    sizes = {(message.height, message.width) for topic in topics for message in table.received[topic]}
    assert sizes == {SIZE}


def test_without_a_budget_nothing_is_said_of_one(bench) -> None:
    engine = SlowEngine()
    table = loaded(bench, engine=engine)
    send(table, engine, range(1, 12))
    table.until(lambda: table.value("processed") == "11")
    assert set(engine.sizes) == {SIZE}
    assert not [key for key in table.values() if key.startswith(("inference_", "frame_"))]


def test_a_change_of_the_budget_is_in_force_after_a_reload_and_the_pause_leaves_it_alone(bench) -> None:
    services = pytest.importorskip("std_srvs.srv", reason="std_srvs is not installed")
    engines = []

    def make_engine(_config):
        engines.append(SlowEngine())
        return engines[-1]

    table = loaded(bench, make_engine=make_engine)
    assert table.node.set_parameters([Parameter("frame_budget_ms", value=0.7 * FULL_MS)])[0].successful
    send(table, engines[0], range(1, 12))
    assert set(engines[0].sizes) == {SIZE}
    assert call(table, services.Trigger, "reload_weights").success
    assert engines[1].sizes == [(64, 64), (32, 64)], "warm before it takes over"
    send(table, engines[1], range(12, 18))
    table.until(lambda: table.value("inference_width") == "64")
    for on in (False, True):
        assert call(table, services.SetBool, "enable", data=on).success
    send(table, engines[1], [20])
    assert engines[1].sizes[-1] == (64, 64)
