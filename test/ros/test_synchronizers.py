# SPDX-License-Identifier: Apache-2.0
"""Pairing as message_filters does; where it is not installed, a stand-in with its faults."""

import importlib.util
import sys
import threading
from types import ModuleType, SimpleNamespace

import pytest
from patience import WAIT_S

pytest.importorskip("rclpy", reason="no ROS 2 here")

from node_program import FakeEngine
from rclpy.parameter import Parameter

from segmif_ros.ros.messages import make_header, stamp_ns
from segmif_ros.ros.synchronizers import pairer_maker

START_NS = 1_700_000_000_000_000_000
FRAME_NS = 33_333_333


class SimpleFilter:
    def __init__(self) -> None:
        self.callbacks = {}

    def registerCallback(self, callback, *args):
        self.callbacks[len(self.callbacks)] = (callback, args)
        return len(self.callbacks) - 1

    def signalMessage(self, *messages) -> None:
        for callback, args in self.callbacks.values():
            callback(*messages, *args)


class ExactStandIn(SimpleFilter):
    """Pairs on arrival, under a lock that an exception leaves locked."""

    slop_ns = 0

    def __init__(self, fs, queue_size) -> None:
        super().__init__()
        self.queues = [{} for _ in fs]
        self.queue_size = queue_size
        self.lock = threading.Lock()
        for own, other, each in zip(self.queues, reversed(self.queues), fs, strict=True):
            each.registerCallback(self.add, own, other)

    def add(self, message, own, other) -> None:
        assert self.lock.acquire(timeout=WAIT_S), "it would wait for ever"
        stamp = stamp_ns(message.header)
        own[stamp] = message
        while len(own) > self.queue_size:
            del own[min(own)]
        near = [each for each in other if abs(each - stamp) <= self.slop_ns]
        if near:
            nearest = min(near, key=lambda each: abs(each - stamp))
            pair = own.pop(stamp), other.pop(nearest)
            self.signalMessage(*(pair if own is self.queues[0] else reversed(pair)))
        self.lock.release()


class ApproximateStandIn(ExactStandIn):
    def __init__(self, fs, queue_size, slop) -> None:
        super().__init__(fs, queue_size)
        self.slop_ns = round(1e9 * slop)


@pytest.fixture
def filters(monkeypatch) -> ModuleType:
    """message_filters where it is installed, else the stand-in."""
    if importlib.util.find_spec("message_filters"):
        return importlib.import_module("message_filters")
    module = ModuleType("message_filters")
    module.SimpleFilter = SimpleFilter
    module.TimeSynchronizer, module.ApproximateTimeSynchronizer = ExactStandIn, ApproximateStandIn
    monkeypatch.setitem(sys.modules, "message_filters", module)
    return module


def message(stamp) -> SimpleNamespace:
    return SimpleNamespace(header=make_header(stamp, ""))


def feed(pairer, numbers, offset_ns=0) -> list:
    pairs = []
    for number in numbers:
        pairs += pairer.add_infrared(START_NS + number * FRAME_NS + offset_ns, f"i{number}")
        pairs += pairer.add_rgb(START_NS + number * FRAME_NS, f"r{number}")
    return [(pair.infrared, pair.rgb, pair.offset_ns) for pair in pairs]


def test_exact_pairs_equal_stamps_only(filters) -> None:
    pairer = pairer_maker("exact", pytest.fail)(0.02, 10, 0.0)
    assert feed(pairer, range(3)) == [(f"i{n}", f"r{n}", 0) for n in range(3)]
    assert feed(pairer, range(3, 40), offset_ns=1) == []
    assert pairer.drops == {"late": 0, "orphan": 2 * 27}, "ten of each still wait"


def test_approximate_pairs_within_the_slop_and_a_time_offset_is_taken_off(filters) -> None:
    make = pairer_maker("approximate", pytest.fail)
    assert feed(make(0.02, 10, 0.0), range(3), 5_000_000) == [(f"i{n}", f"r{n}", 5_000_000) for n in range(3)]
    assert feed(make(0.004, 10, 0.0), range(3), 5_000_000) == []
    pairer = make(0.004, 10, 0.004)
    assert feed(pairer, range(3), 5_000_000) == [(f"i{n}", f"r{n}", 1_000_000) for n in range(3)]
    assert (pairer.offsets.count, pairer.offsets.mean_ns) == (3, 1_000_000)


def test_a_bag_that_loops_does_not_starve_it(filters) -> None:
    pairer = pairer_maker("approximate", pytest.fail)(0.02, 10, 0.0)
    for number in range(50):  # one camera alone: its queue is full of stamps from the end of the bag
        pairer.add_rgb(START_NS + number * FRAME_NS, "alone")
    assert len(feed(pairer, range(20))) == 19, "the jump shows in the second frame of the loop and costs the first"


def test_a_frame_out_of_order_is_late(filters) -> None:
    pairer = pairer_maker("approximate", pytest.fail)(0.02, 10, 0.0)
    pairer.add_rgb(START_NS + 2 * FRAME_NS, "a")
    assert pairer.add_rgb(START_NS + FRAME_NS, "b") == []
    assert pairer.drops["late"] == 1


def test_an_exception_inside_of_message_filters_is_said_and_pairing_goes_on(filters, monkeypatch) -> None:
    said = []
    pairer = pairer_maker("approximate", said.append)(0.02, 10, 0.0)
    feed(pairer, range(3))
    failing = {"on": True}
    original = filters.ApproximateTimeSynchronizer.signalMessage

    def signal(self, *messages) -> None:
        if failing["on"]:
            raise KeyError("inside of\nit")
        original(self, *messages)

    monkeypatch.setattr(filters.ApproximateTimeSynchronizer, "signalMessage", signal)
    assert feed(pairer, [3]) == []
    failing["on"] = False
    assert len(feed(pairer, range(4, 8))) == 4
    assert len(said) == 1
    assert said[0].startswith("message_filters failed, pairing restarts: KeyError")
    assert "\n" not in said[0]


# --- the node --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("policy", "offset_ns"), [("exact", 0), ("approximate", 6_000_000)])
def test_the_node_pairs_by_the_policy_asked_for_and_an_engine_error_costs_one_frame(
    bench, filters, policy, offset_ns
) -> None:
    table = bench(sync_policy=policy, engine=FakeEngine(errors={2: RuntimeError("model")}))
    for number in (1, 2, 3):
        table.send(number, offset_ns=offset_ns)
        table.until(lambda count=number: table.engine.calls == count)
    table.until(lambda: (table.value("processed"), table.value("dropped_error")) == ("2", "1"))
    table.send(4, offset_ns=offset_ns + 25_000_000)
    table.until(lambda: table.value("frames_rgb") == "4")
    assert table.value("pairs") == "3"


@pytest.fixture
def not_installed(monkeypatch) -> None:
    monkeypatch.setitem(sys.modules, "message_filters", None)


@pytest.mark.parametrize("policy", ["exact", "approximate"])
def test_a_policy_that_needs_what_is_not_installed_fails_in_one_line(bench, not_installed, policy) -> None:
    table = bench(start=False, sync_policy=policy)
    assert not table.node.start()
    assert len(table.log) == 1
    assert table.log[0].startswith(f"can't configure: sync_policy '{policy}' needs message_filters")
    assert "apt install ros-$ROS_DISTRO-message-filters" in table.log[0]
    assert table.node.set_parameters([Parameter("sync_policy", value="nearest")])[0].successful
    assert table.node.start()


def test_nobody_hears_of_it_who_did_not_ask(bench, not_installed) -> None:
    table = bench()
    table.beat(1)
    assert not [line for line in table.log if "message_filters" in line]


@pytest.mark.skipif(importlib.util.find_spec("message_filters") is not None, reason="message_filters is installed")
def test_the_process_ends_with_status_1_and_one_line(started) -> None:
    from node_processes import FAKE_NODE

    process = started(*FAKE_NODE, "--ros-args", "-p", "sync_policy:=exact")
    assert process.end() == 1
    assert sum("sync_policy 'exact' needs message_filters" in line for line in process.lines) == 1
    assert not [line for line in process.lines if "Traceback" in line]
