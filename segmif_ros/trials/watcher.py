# SPDX-License-Identifier: Apache-2.0
"""Watch inputs and outputs from outside: what arrived, how old it was, and sample pictures.

$ python -m segmif_ros.trials.watcher --out FOLDER

runs until SIGINT and then writes FOLDER/record.json and FOLDER/samples/*.png. Meanwhile it prints, one JSON object a
line, the node's lifecycle state and how much has arrived: `segmif demo` waits for these.
"""

from __future__ import annotations

import argparse
import signal
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from segmif_ros.command_line import run_module
from segmif_ros.imaging.encodings import ImageBuffer
from segmif_ros.trials.live import NodeStatus, listen
from segmif_ros.trials.processes import say
from segmif_ros.trials.samples import (
    FUSED,
    INPUTS,
    OUTPUTS,
    RGB,
    SEMANTIC_MAP,
    ClassShare,
    Diagnostics,
    EachOnceChoice,
    Record,
    SpreadChoice,
    write_record,
)


def _semantic_map_type() -> Any:
    """Return the message type, or None where it was not built (no compiler): then only standard messages come."""
    try:
        from segmif_ros.msg import SemanticMap
    except ImportError:
        return None
    return SemanticMap


def _subscribe(node: Any, record: Record, node_name: str, diagnostics: Diagnostics) -> None:
    """Connect the record and the diagnostics' values to their topics."""
    from rclpy.qos import QoSProfile, ReliabilityPolicy
    from sensor_msgs.msg import Image

    from segmif_ros.ros.messages import image_buffer, stamp_ns

    def image_callback(topic: str, take: Callable[[str, int, int, ImageBuffer], None]) -> Callable[[Any], None]:
        return lambda message: take(topic, stamp_ns(message.header), time.time_ns(), image_buffer(message))

    best_effort = QoSProfile(depth=10, reliability=ReliabilityPolicy.BEST_EFFORT)
    reliable = QoSProfile(depth=10, reliability=ReliabilityPolicy.RELIABLE)
    for topic in INPUTS:
        node.create_subscription(Image, topic, image_callback(topic, record.input), best_effort)
    for topic in OUTPUTS:
        if topic != SEMANTIC_MAP:
            node.create_subscription(Image, topic, image_callback(topic, record.output), reliable)

    def on_map(message: Any) -> None:
        classes = tuple(
            ClassShare(id=each.id, name=each.name, colour=(each.r, each.g, each.b), pixels=each.pixel_count)
            for each in message.classes
        )
        offset_ns = round(message.pair_offset_s * 1e9)
        record.semantic_map(stamp_ns(message.header), time.time_ns(), classes, offset_ns)

    if map_type := _semantic_map_type():
        node.create_subscription(map_type, SEMANTIC_MAP, on_map, reliable)

    def on_status(status: NodeStatus) -> None:
        diagnostics.take(status.values)
        if diagnostics.count == 1:
            say("diagnostics")

    listen(node, on_status, node_name)


def _watch_state(node: Any, node_name: str) -> None:
    """Say the lifecycle state of ``node_name`` whenever it changes."""
    from lifecycle_msgs.srv import GetState

    client = node.create_client(GetState, f"{node_name}/get_state")
    known: dict[str, Any] = {"state": None, "asked": None}

    def ask() -> None:
        if known["asked"] is not None and known["asked"].done():
            state = known["asked"].result().current_state.label
            known["asked"] = None
            if state != known["state"]:
                known["state"] = state
                say("state", state=state)
        if known["asked"] is None and client.service_is_ready():
            known["asked"] = client.call_async(GetState.Request())

    node.create_timer(0.2, ask)


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare what is watched and kept."""
    parser.add_argument("--out", type=Path, required=True, help="folder to write to")
    parser.add_argument("--node", default="segmif_node", help="name of the node to watch")
    parser.add_argument("--samples", type=int, default=12, help="how many sample pictures to keep")
    parser.add_argument("--spread-over", type=float, default=15.0, help="seconds that the samples are spread over")
    parser.add_argument("--each-once", action="store_true", help="keep the first samples with different RGB images")


def run(options: argparse.Namespace) -> int:
    """Record until SIGINT or SIGTERM, then write what was seen."""
    import rclpy
    from rclpy.executors import SingleThreadedExecutor
    from rclpy.signals import SignalHandlerOptions

    ending: list[int] = []
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, lambda received, _frame: ending.append(received))

    each_once, spread = EachOnceChoice(options.samples), SpreadChoice(options.samples, options.spread_over)
    record = Record(each_once if options.each_once else spread, with_map=_semantic_map_type() is not None)
    diagnostics = Diagnostics()
    # our own handlers: rclpy's would end the context before the last diagnostics have come
    rclpy.init(args=[], signal_handler_options=SignalHandlerOptions.NO)
    node = rclpy.create_node("segmif_recorder")
    executor = SingleThreadedExecutor()
    executor.add_node(node)
    _subscribe(node, record, options.node, diagnostics)
    _watch_state(node, options.node)
    say("ready")
    told_ns = 0
    while not ending:
        executor.spin_once(timeout_sec=0.1)
        if time.monotonic_ns() - told_ns > 250_000_000:
            told_ns = time.monotonic_ns()
            say("progress", inputs=record.frames(RGB), outputs=record.frames(FUSED), samples=record.moments)
    # two more: the next one may have been on its way while the last frames were worked on
    wanted = diagnostics.count + 2
    deadline_ns = time.monotonic_ns() + 5_000_000_000
    while diagnostics.count < wanted and time.monotonic_ns() < deadline_ns:
        executor.spin_once(timeout_sec=0.1)
    record.finish()
    facts = {"undecodable": record.undecodable, "diagnostics_are_final": diagnostics.count >= wanted}
    executor.shutdown()
    node.destroy_node()
    rclpy.shutdown()
    write_record(options.out, record, diagnostics, facts)
    return 0


if __name__ == "__main__":
    sys.exit(run_module("segmif_ros.trials.watcher", __doc__, add_arguments, run))
