# SPDX-License-Identifier: Apache-2.0
"""Faults that must cost one frame and no more: each really happens, and the next pair is processed."""

from types import SimpleNamespace

import numpy as np
import pytest

pytest.importorskip("rclpy", reason="no ROS 2 here")
pytest.importorskip("torch")

import torch
from builtin_interfaces.msg import Time
from node_bench import FRAME_NS, START_NS
from node_program import FakeEngine
from rosgraph_msgs.msg import Clock as ClockMessage

from segmif_ros.ros.messages import image_message, make_header, stamp_ns
from segmif_ros.stream.statistics import DROP_REASONS


class BrokenAnswers(FakeEngine):
    """The second answer can't be published."""

    def infer(self, infrared, rgb):
        result = super().infer(infrared, rgb)
        return SimpleNamespace(**vars(result) | {"labels": result.labels.astype(float)}) if self.calls == 2 else result


def whole(table, number) -> None:
    table.send(number)


def wrong_size(table, number) -> None:
    table.send(number, infrared=np.zeros((5, 8), np.uint8))


def short_data(table, number) -> None:
    message = image_message(np.zeros((6, 8, 3), np.uint8), "rgb8", make_header(START_NS + number * FRAME_NS, "camera"))
    message.height = 7
    table.send(number, cameras=("infrared",))
    table.cameras["rgb"].publish(message)


def unknown_encoding(table, number) -> None:
    message = image_message(np.zeros((6, 8), np.uint8), "mono8", make_header(START_NS + number * FRAME_NS, "thermal"))
    message.encoding = "jpeg2000"
    table.cameras["infrared"].publish(message)
    table.send(number, cameras=("rgb",))


def no_pixels(table, number) -> None:
    message = image_message(np.zeros((6, 8), np.uint8), "mono8", make_header(START_NS + number * FRAME_NS, "thermal"))
    message.height = message.width = message.step = 0
    message.data = []
    table.cameras["infrared"].publish(message)
    table.send(number, cameras=("rgb",))


def lost_frame(table, number) -> None:
    table.send(number, cameras=("rgb",))


def fails(error):
    return lambda: FakeEngine(errors={2: error})


FAULTS = {
    "a wrong size": (FakeEngine, wrong_size, "size"),
    "an image of too few bytes": (FakeEngine, short_data, "undecodable"),
    "an encoding that nobody knows": (FakeEngine, unknown_encoding, "undecodable"),
    "an image without pixels": (FakeEngine, no_pixels, "undecodable"),
    "a frame that gets lost": (FakeEngine, lost_frame, "orphan"),
    "an exception in the model": (fails(IndexError("a defect")), whole, "error"),
    "CUDA out of memory": (fails(torch.OutOfMemoryError("CUDA out of memory")), whole, "error"),
    "no memory on the host": (fails(MemoryError()), whole, "error"),
    "an answer that can't be published": (BrokenAnswers, whole, "error"),
}


@pytest.mark.parametrize("fault", FAULTS)
def test_a_fault_costs_one_frame_and_the_next_is_processed(bench, fault) -> None:
    make_engine, inject, reason = FAULTS[fault]
    table = bench(engine=make_engine())
    table.listen("segmentation/mask")
    table.until(lambda: any(p.topic.endswith("mask") and p.get_subscription_count() for p in table.node.publishers))
    table.send(1)
    table.until(lambda: table.value("processed") == "1")
    inject(table, 2)
    if reason != "orphan":
        table.until(lambda: table.value(f"dropped_{reason}") == "1")
    for number in (3, 4):  # the second makes an orphan certain
        table.send(number)
        table.until(lambda count=number: table.value("processed") == str(count - 1))
    table.until(lambda: len(table.received["segmentation/mask"]) == 3)
    stamps = [(stamp_ns(each.header) - START_NS) // FRAME_NS for each in table.received["segmentation/mask"]]
    assert stamps == [1, 3, 4]
    table.until(lambda: table.value(f"dropped_{reason}") == "1")
    assert sum(int(table.value(f"dropped_{each}")) for each in DROP_REASONS) == 1
    if reason != "orphan":
        assert sum("pair dropped" in line for line in table.log) == 1


def test_a_camera_that_stops_costs_its_frames_and_the_first_pair_after_it_came_back_is_processed(bench) -> None:
    table = bench(input_timeout_s=0.2)
    table.send(1)
    table.until(lambda: table.value("processed") == "1")
    number = 1
    while not any("infrared: /infrared/image_raw fell silent" in line for line in table.log):
        number += 1
        table.beat(number, cameras=("rgb",))
        assert number < 1000
    number += 1
    table.send(number)
    table.until(lambda: table.value("processed") == "2")
    table.until(lambda: any(line.startswith("solved (was: infrared") for line in table.log))
    assert table.value("dropped_orphan") == str(number - 2)


@pytest.mark.parametrize("jump_s", [-1000, 1000])
def test_a_clock_that_jumps_costs_no_pair_after_it(bench, jump_s) -> None:
    table = bench(use_sim_time=True)
    clock = table.others.create_publisher(ClockMessage, "/clock", 10)
    table.until(clock.get_subscription_count)
    for number, sec in ((1, START_NS // 10**9), (2, START_NS // 10**9 + jump_s)):
        clock.publish(ClockMessage(clock=Time(sec=sec)))
        table.until(lambda at=sec: table.node.get_clock().now().nanoseconds == at * 10**9)
        table.send(number + 30 * jump_s)
        table.until(lambda count=number: table.value("processed") == str(count))
