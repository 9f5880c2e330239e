# SPDX-License-Identifier: Apache-2.0
"""Play a bag to a running node over DDS and measure what comes back, matched by stamp.

$ python -m segmif_ros.trials.player BAG --out FILE

plays and writes one JSON file; `segmif replay --online` starts this process beside a node and makes the report. With
--attach it publishes nothing and measures what another player (`ros2 bag play`) offers.

An output's age is the time from the moment that its master image was published (or seen, with --attach) to the moment
that the output arrived here, by one clock that never steps: it holds both DDS hops and needs no synchronised clocks.
"""

from __future__ import annotations

import argparse
import json
import math
import struct
import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, TypedDict

from segmif_ros.bag.messages import COMPRESSED
from segmif_ros.bag.reading import Topics, open_bag
from segmif_ros.command_line import run_module
from segmif_ros.files import replace_file
from segmif_ros.trials.live import listen
from segmif_ros.trials.processes import say

OUTPUTS = ("fused/image", "segmentation/mask", "segmentation/confidence")
MATCHED = "segmentation/mask"
NS_PER_S = 1_000_000_000
_POLL_S = 0.005
_CLOCK_PERIOD_NS = 10_000_000
_IDLE_S = 1.5  # without an output, after the last input, the node is taken to be done
_LEAST_DIAGNOSTICS = 2  # messages after the last output: the first may have been under way before it


class OnlineError(RuntimeError):
    """What ends a measurement before it began; one line."""

    exit_status = 1


class Measured(TypedDict):
    """A `Measurement` as the player writes it."""

    published: dict[str, int]
    masters: list[tuple[int, int, int]]
    outputs: list[tuple[int, int, int, int]]
    lateness_ns: list[int]
    diagnostics_first: dict[str, str]
    diagnostics_last: dict[str, str]


@dataclass(kw_only=True)
class Measurement:
    """What was seen; all times are nanoseconds of the steady clock.

    Attributes:
        published: Messages by camera.
        masters: Master images in the order of publishing: stamp, time, loop.
        outputs: Arrivals: time, stamp, age (-1 where the stamp was never offered), loop.
        lateness_ns: By how much each image was published later than in the bag.
        diagnostics: First and last values of the node's status, by key.
    """

    published: dict[str, int] = field(default_factory=lambda: {"infrared": 0, "rgb": 0})
    masters: list[tuple[int, int, int]] = field(default_factory=list)
    outputs: list[tuple[int, int, int, int]] = field(default_factory=list)
    lateness_ns: list[int] = field(default_factory=list)
    diagnostics: list[dict[str, str]] = field(default_factory=list)
    _open: dict[int, tuple[int, int]] = field(default_factory=dict)
    _unanswered: set[int] = field(default_factory=set)

    def offer(self, stamp_ns: int, now_ns: int, loop: int) -> None:
        """Take note of a master image; one with the stamp of an earlier one takes its place (a loop)."""
        self.masters.append((stamp_ns, now_ns, loop))
        self._open[stamp_ns] = (now_ns, loop)
        self._unanswered.add(stamp_ns)

    def waits_for(self, stamp_ns: int) -> bool:
        """Whether a master frame of this stamp was offered and nothing has come of it yet."""
        return stamp_ns in self._unanswered

    def arrive(self, stamp_ns: int, now_ns: int) -> None:
        """Take note of an output."""
        self._unanswered.discard(stamp_ns)
        offered = self._open.get(stamp_ns)
        self.outputs.append((now_ns, stamp_ns, now_ns - offered[0] if offered else -1, offered[1] if offered else -1))

    def as_values(self) -> Measured:
        """Return everything as JSON values."""
        ends = self.diagnostics[:1] + self.diagnostics[-1:]
        return {
            "published": self.published,
            "masters": self.masters,
            "outputs": self.outputs,
            "lateness_ns": self.lateness_ns,
            "diagnostics_first": ends[0] if ends else {},
            "diagnostics_last": ends[-1] if ends else {},
        }


@dataclass(frozen=True, kw_only=True, slots=True)
class RecordedImage:
    """One image of the bag, serialized, with the time that it was recorded at."""

    camera: str
    recorded_ns: int
    raw: bytes


def stamp_of(raw: bytes) -> int:
    """Return the header's stamp of a serialized message, nanoseconds."""
    seconds, nanoseconds = struct.unpack_from("<iI" if raw[1] & 1 else ">iI", raw, 4)
    return int(seconds) * NS_PER_S + int(nanoseconds)


def read_bag(path: Path, topics: dict[str, str]) -> Iterator[RecordedImage]:
    """Yield the images of both cameras as they were recorded; BagError if a topic is missing."""
    with open_bag(path, Topics(**topics)) as bag:
        cameras = {connection.topic: camera for camera, connection in bag.connections.items()}
        for connection, recorded_ns, raw in bag.reader.messages(list(bag.connections.values())):
            yield RecordedImage(camera=cameras[connection.topic], recorded_ns=recorded_ns, raw=raw)


def compressed_cameras(path: Path, topics: Topics) -> set[str]:
    """Return the cameras whose images were recorded compressed; BagError if a topic is missing."""
    with open_bag(path, topics) as bag:
        return {camera for camera, connection in bag.connections.items() if connection.msgtype == COMPRESSED}


class BagPlayer:
    """Publishes a bag at its pace, in passes, and listens meanwhile."""

    def __init__(self, node: Any, spin: Callable[[float], None], options: argparse.Namespace) -> None:
        from rclpy.qos import QoSProfile, ReliabilityPolicy
        from sensor_msgs.msg import CompressedImage, Image

        self._spin, self._options = spin, options
        self.seen = Measurement()
        self.publishers: dict[str, Any] = {}
        self._clock: Any = None
        self._time_ns = 0  # published last on /clock
        self._watching = True  # another player may never end: after the watch nothing new counts
        reliable = QoSProfile(depth=10, reliability=ReliabilityPolicy.RELIABLE)
        best_effort = QoSProfile(depth=10, reliability=ReliabilityPolicy.BEST_EFFORT)
        for topic in OUTPUTS:
            node.create_subscription(Image, topic, self._arrival(topic), reliable, raw=True)
        listen(node, lambda status: self.seen.diagnostics.append(dict(status.values)), options.node)
        self._topics = {"infrared": options.infrared_topic, "rgb": options.rgb_topic}
        if options.attach:
            topic = self._topics[options.master]  # as the other player publishes it
            node.create_subscription(Image, topic, self._on_master, best_effort, raw=True)
            return
        packed = compressed_cameras(options.bag, Topics(**self._topics))
        for camera in self._topics:
            kind, suffix = (CompressedImage, "/compressed") if camera in packed else (Image, "")
            self.publishers[camera] = node.create_publisher(kind, f"{camera}/image_raw{suffix}", 10)
        if options.clock:
            from rosgraph_msgs.msg import Clock

            self._clock = node.create_publisher(Clock, "/clock", 10)
            # time runs already while the node starts, or its timers would stand still
            self._time_ns = next(read_bag(options.bag, self._topics)).recorded_ns - round(options.wait * NS_PER_S)

    def wait_for_node(self) -> None:
        """Wait until the node takes images and reports on /diagnostics."""
        deadline = time.monotonic() + self._options.wait
        name = self._options.node
        while not self._ready():
            if time.monotonic() > deadline:
                raise OnlineError(
                    f"no node took the images within {self._options.wait:g} s: is {name} running and active on this "
                    "ROS_DOMAIN_ID?"
                )
            self._tell_time(self._time_ns + 50_000_000)
            self._spin(0.05)

    def play(self) -> None:
        """Publish all passes."""
        for loop in range(self._options.loops):
            self._play_once(loop)
            say("loop", loop=loop + 1)

    def watch(self, seconds: float) -> None:
        """Measure what another player offers."""
        deadline = time.monotonic() + seconds
        while time.monotonic() < deadline:
            self._spin(_POLL_S)
        self._watching = False

    def settle(self) -> None:
        """Wait until no output of what was offered comes any more, and the diagnostics have caught up."""
        quiet_since = time.monotonic()
        # a recording that another player repeats has the same stamps again: only what comes now is of the watch
        end = quiet_since + _IDLE_S if self._options.attach else math.inf
        count = len(self.seen.outputs)
        while time.monotonic() < min(end, quiet_since + _IDLE_S):
            self._spin(0.05)
            if len(self.seen.outputs) != count:
                count, quiet_since = len(self.seen.outputs), time.monotonic()
        wanted = len(self.seen.diagnostics) + _LEAST_DIAGNOSTICS
        deadline = time.monotonic() + 5.0
        while len(self.seen.diagnostics) < wanted and time.monotonic() < deadline:
            self._tell_time(self._time_ns + 20_000_000)
            self._spin(0.02)

    def _play_once(self, loop: int) -> None:
        started_ns = first_ns = None
        rate = self._options.rate
        for message in read_bag(self._options.bag, self._topics):
            if started_ns is None or first_ns is None:
                started_ns, first_ns = time.monotonic_ns(), message.recorded_ns
                self._tell_time(first_ns)
            due_ns = started_ns + round((message.recorded_ns - first_ns) / rate)
            while (left_ns := due_ns - time.monotonic_ns()) > 0:
                now_ns = message.recorded_ns - round(left_ns * rate)
                if now_ns - self._time_ns >= _CLOCK_PERIOD_NS * rate:
                    self._tell_time(now_ns)
                self._spin(min(_POLL_S, 1e-9 * left_ns))
            self._tell_time(message.recorded_ns)
            now_ns = time.monotonic_ns()
            self.seen.lateness_ns.append(now_ns - due_ns)
            if message.camera == self._options.master:
                self.seen.offer(stamp_of(message.raw), now_ns, loop)
            self.publishers[message.camera].publish(message.raw)
            self.seen.published[message.camera] += 1
            self._spin(0.0)

    def _ready(self) -> bool:
        if not self.seen.diagnostics:
            return False
        return all(publisher.get_subscription_count() > 0 for publisher in self.publishers.values())

    def _tell_time(self, now_ns: int) -> None:
        if self._clock is None:
            return
        from builtin_interfaces.msg import Time
        from rosgraph_msgs.msg import Clock

        self._time_ns = now_ns
        self._clock.publish(Clock(clock=Time(sec=now_ns // NS_PER_S, nanosec=now_ns % NS_PER_S)))

    def _arrival(self, topic: str) -> Callable[[bytes], None]:
        def take(raw: bytes) -> None:
            if topic == MATCHED and (self._watching or self.seen.waits_for(stamp_of(raw))):
                self.seen.arrive(stamp_of(raw), time.monotonic_ns())

        return take

    def _on_master(self, raw: bytes) -> None:
        if not self._watching:
            return
        self.seen.offer(stamp_of(raw), time.monotonic_ns(), 0)
        self.seen.published[self._options.master] += 1


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare what `segmif_ros.trials.online` gives."""
    parser.add_argument("bag", type=Path)
    parser.add_argument("--out", type=Path, required=True, help="JSON file to write")
    parser.add_argument("--infrared-topic", default="/infrared/image_raw")
    parser.add_argument("--rgb-topic", default="/rgb/image_raw")
    parser.add_argument("--master", default="rgb", choices=("rgb", "infrared"))
    parser.add_argument("--node", default="segmif_node")
    parser.add_argument("--rate", type=float, default=1.0, help="times the bag's own pace")
    parser.add_argument("--loops", type=int, default=1)
    parser.add_argument("--clock", action="store_true", help="publish /clock")
    parser.add_argument("--attach", type=float, metavar="SECONDS", help="publish nothing, watch for so long")
    parser.add_argument("--wait", type=float, default=120.0, help="seconds that the node may take to be ready")


def run(options: argparse.Namespace) -> int:
    """Play, measure, write; OnlineError or BagError where that can't be done."""
    import rclpy
    from rclpy.executors import SingleThreadedExecutor

    from segmif_ros.ros import transport

    transport.use_profile()
    rclpy.init(args=[])
    node = rclpy.create_node("segmif_online_replay")
    executor = SingleThreadedExecutor()
    executor.add_node(node)
    try:
        player = BagPlayer(node, lambda timeout_s: executor.spin_once(timeout_sec=timeout_s), options)
        player.wait_for_node()
        say("ready")
        if options.attach:
            player.watch(options.attach)
        else:
            player.play()
        player.settle()
        replace_file(options.out, json.dumps(player.seen.as_values()) + "\n")
    finally:
        executor.shutdown()
        node.destroy_node()
        rclpy.try_shutdown()
    return 0


if __name__ == "__main__":
    sys.exit(run_module("segmif_ros.trials.player", __doc__, add_arguments, run))
