# SPDX-License-Identifier: Apache-2.0
"""`segmif record`: both image streams, both camera_info and tf into an mcap, with a manifest of what there is in it.

Messages are written as they come, not decoded. docs/calibration.md has the same as one line of `ros2 bag record`.
"""

from __future__ import annotations

import argparse
import importlib
import shutil
import signal
import threading
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from segmif_ros.bag.messages import header_of
from segmif_ros.bag.reading import BagError
from segmif_ros.bag.writing import BagWriter, new_bag
from segmif_ros.command_line import complain
from segmif_ros.files import write_json

PROG = "segmif record"
MANIFEST_FILE = "segmif_manifest.json"
IMAGES = ("infrared/image_raw", "rgb/image_raw")
OUTPUTS = (
    *("fused/image", "fused/camera_info", "segmentation/mask", "segmentation/confidence"),
    *("segmentation/label_info", "segmentation/semantic_map"),
)
TF = ("/tf", "/tf_static")
MIN_FREE_BYTES = 1024**3
_LOOK_S = 1.0
_LOST_FACTOR = 1.6  # of the usual period: a gap this long has lost frames in it
_MAX_STAMPS = 1_000_000
_WAIT_S = 5.0  # before the wait for the first image is explained
_SILENT_S = 60.0  # with --seconds: how long the first image may take


@dataclass
class Stream:
    """What came on one topic: messages, bytes, and their stamps where they have a header."""

    type: str
    count: int = 0
    size_bytes: int = 0
    stamps_ns: list[int] = field(default_factory=list)

    def take(self, raw: bytes, *, stamped: bool) -> None:
        """Count a message."""
        self.count += 1
        self.size_bytes += len(raw)
        if stamped and len(self.stamps_ns) < _MAX_STAMPS:
            try:
                self.stamps_ns.append(header_of(raw)[0])
            except ValueError:  # not a header after all; the message is recorded as it is
                return

    def facts(self) -> dict[str, Any]:
        """Return the manifest's entry: rate, frames lost and longest gap, by the stamps."""
        found: dict[str, Any] = {"type": self.type, "messages": self.count, "bytes": self.size_bytes}
        gaps = np.asarray(1e-9 * np.diff(np.sort(np.array(self.stamps_ns, np.int64))), np.float64)
        if gaps.size:
            period = float(np.median(gaps))
            found |= {
                "rate_hz": 1.0 / period if period > 0 else None,
                "lost": int(np.sum(np.round(gaps[gaps > _LOST_FACTOR * period] / period) - 1)) if period > 0 else 0,
                "longest_gap_s": float(gaps.max()),
            }
        return found


def offsets_of(infrared_ns: Sequence[int], rgb_ns: Sequence[int]) -> dict[str, float] | None:
    """Return the offset of infrared stamps from their nearest RGB stamps, milliseconds: median and spread."""
    if not infrared_ns or not rgb_ns:
        return None
    rgb = np.sort(np.array(rgb_ns, np.int64))
    infrared = np.array(infrared_ns, np.int64)
    at = np.clip(np.searchsorted(rgb, infrared), 1, max(1, rgb.size - 1))
    apart = np.stack([infrared - rgb[np.minimum(at, rgb.size - 1)], infrared - rgb[at - 1]])
    nearest = 1e-6 * np.take_along_axis(apart, np.abs(apart).argmin(axis=0)[None], axis=0)[0]
    low, middle, high = np.percentile(nearest, (5, 50, 95))
    return {"median_ms": float(middle), "p5_ms": float(low), "p95_ms": float(high)}


class Recording:
    """Takes messages as bytes and writes them; for one thread.

    Args:
        bag: Where to.
        free_bytes: Returns the room left on the disk.
        min_free_bytes: Recording ends before there is less.
    """

    def __init__(self, bag: BagWriter, free_bytes: Callable[[], int], min_free_bytes: int = MIN_FREE_BYTES) -> None:
        self._bag, self._free_bytes, self._min_free_bytes = bag, free_bytes, min_free_bytes
        self.streams: dict[str, Stream] = {}

    def declare(self, topic: str, message_type: str) -> None:
        """Add a topic."""
        if topic not in self.streams:
            self.streams[topic] = Stream(type=message_type)
            self._bag.declare(topic, message_type)

    def take(self, topic: str, recorded_ns: int, raw: bytes) -> None:
        """Write a message of a topic that was declared."""
        stream = self.streams[topic]
        self._bag.write(topic, stream.type, recorded_ns, raw)
        stream.take(raw, stamped="tf2_msgs" not in stream.type)

    def full(self) -> bool:
        """Whether the disk has no more room."""
        return self._free_bytes() < self._min_free_bytes

    def gone(self) -> bool:
        """Whether the bag's folder was removed."""
        return self._bag.gone

    def manifest(self, images: Sequence[str], *, ended: str, seconds: float) -> dict[str, Any]:
        """Return what was recorded; ``images`` are the infrared and the RGB topic."""
        stamps = [self.streams[topic].stamps_ns if topic in self.streams else [] for topic in images]
        return {
            "ended": ended,
            "seconds": seconds,
            "topics": {topic: stream.facts() for topic, stream in sorted(self.streams.items())},
            "infrared_offset": offsets_of(*stamps),
        }


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the arguments of `segmif record`."""
    parser.add_argument("bag", type=Path, metavar="BAG", help="folder of the bag to write")
    parser.add_argument(
        "--seconds", type=float, default=0.0, help="end so long after the first image; 0: when you interrupt it"
    )
    parser.add_argument("--namespace", default="", help="of the cameras and the node")
    parser.add_argument("--infrared-topic", help="default: infrared/image_raw, or what has /compressed beside it")
    parser.add_argument("--rgb-topic", help="default: rgb/image_raw, or what has /compressed beside it")
    parser.add_argument("--outputs", action="store_true", help="the node's outputs too")
    parser.add_argument("--also", nargs="*", default=[], metavar="TOPIC", help="more topics, as depth/image")
    parser.add_argument("--min-free", type=float, default=1.0, help="GiB to leave free (default: %(default)s)")


def run(options: argparse.Namespace) -> int:
    """Record until the time is over, the disk is full (status 1), or an interrupt."""
    if options.seconds < 0 or options.min_free < 0:
        raise BagError("--seconds and --min-free must not be negative")
    parent = options.bag.resolve().parent
    parent.mkdir(parents=True, exist_ok=True)
    least = round(options.min_free * 1024**3)
    if (free := shutil.disk_usage(parent).free) < least:
        raise BagError(f"{parent}: {free / 1024**3:.1f} GiB are free, --min-free is {options.min_free:g}")
    stop = threading.Event()
    before = {number: signal.signal(number, lambda *_: stop.set()) for number in (signal.SIGINT, signal.SIGTERM)}
    try:
        with new_bag(options.bag) as bag:
            recording = Recording(bag, lambda: shutil.disk_usage(parent).free, least)
            images, ended, seconds = _listen(options, recording, stop)
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
    manifest = recording.manifest(images, ended=ended, seconds=seconds)
    write_json(options.bag / MANIFEST_FILE, manifest)
    for topic, facts in manifest["topics"].items():
        rate = f", {facts['rate_hz']:.1f} Hz, {facts['lost']} lost" if facts.get("rate_hz") else ""
        print(f"{topic}: {facts['messages']} messages{rate}")
    if (offset := manifest["infrared_offset"]) is not None:
        print(f"infrared stamps are {offset['median_ms']:+.1f} ms from RGB's in the median")
    print(f"{options.bag}: {seconds:.0f} s, ended: {ended}")
    if missing := [topic for topic in images if not manifest["topics"].get(topic, {}).get("messages")]:
        complain(PROG, f"nothing came on {' and '.join(missing)}")
        return 1
    return 1 if ended == "disk full" else 0


def _listen(options: argparse.Namespace, recording: Recording, stop: threading.Event) -> tuple[list[str], str, float]:
    import rclpy
    from rclpy.executors import SingleThreadedExecutor

    from segmif_ros.ros.qos import profile

    context = rclpy.Context()
    rclpy.init(context=context)
    node = rclpy.create_node("segmif_record", namespace=options.namespace, context=context)
    executor = SingleThreadedExecutor(context=context)
    executor.add_node(node)
    images = [options.infrared_topic or IMAGES[0], options.rgb_topic or IMAGES[1]]
    images = [node.resolve_topic_name(topic) for topic in images]
    wanted = [*images, *(f"{topic}/compressed" for topic in images if not topic.endswith("/compressed"))]
    wanted += [node.resolve_topic_name(f"{camera}/camera_info") for camera in ("infrared", "rgb")]
    wanted += [f"{topic.removesuffix('/compressed').rsplit('/', 1)[0]}/camera_info" for topic in images]
    wanted += [node.resolve_topic_name(topic) for topic in (*options.also, *(OUTPUTS if options.outputs else ()))]
    wanted += TF
    pictures = {*images, *(f"{topic}/compressed" for topic in images)}
    subscribed: set[str] = set()

    def subscribe() -> None:
        """Subscribe to what is published by now; a topic may begin later."""
        from rclpy.qos import DurabilityPolicy

        for topic, types in node.get_topic_names_and_types():
            if topic not in wanted or topic in subscribed or not types:
                continue
            kind = _message_class(types[0])
            if kind is None:
                subscribed.add(topic)
                complain(PROG, f"{topic} is left out: the Python of {types[0]} isn't installed")
                continue
            qos = profile("best_effort", 100)
            if topic == "/tf_static":
                qos = profile("reliable", 100)
                qos.durability = DurabilityPolicy.TRANSIENT_LOCAL
            recording.declare(topic, types[0])
            take = lambda raw, topic=topic: recording.take(topic, time.time_ns(), raw)  # noqa: E731
            node.create_subscription(kind, topic, take, qos, raw=True)
            subscribed.add(topic)

    start, looked, ended = time.monotonic(), -_LOOK_S, "interrupted"
    began_s: float | None = None
    warned = False
    try:
        while not stop.is_set():
            elapsed = time.monotonic() - start
            if began_s is None and any(recording.streams[each].count for each in recording.streams if each in pictures):
                began_s = elapsed
            if options.seconds and elapsed >= (_SILENT_S if began_s is None else began_s + options.seconds):
                ended = "time is over" if began_s is not None else "nothing came"
                break
            if elapsed - looked >= _LOOK_S:
                looked = elapsed
                subscribe()
                if began_s is None and not warned and elapsed > _WAIT_S:
                    warned = True
                    there = ", ".join(name for name, types in node.get_topic_names_and_types() if "Image" in str(types))
                    complain(PROG, f"no image on {' and '.join(images)} yet; image topics there: {there or 'none'}")
                if recording.gone():
                    ended = "folder removed"
                    complain(PROG, f"{options.bag}: its folder was removed while it was written: recording ends here")
                    break
                if recording.full():
                    ended = "disk full"
                    complain(PROG, f"the disk has less than {options.min_free:g} GiB left: recording ends here")
                    break
            executor.spin_once(timeout_sec=0.1)
    finally:
        executor.shutdown()
        node.destroy_node()
        rclpy.try_shutdown(context=context)
    # the compressed stream stands for the raw one where only that came
    came = [
        topic if topic in recording.streams or f"{topic}/compressed" not in recording.streams else f"{topic}/compressed"
        for topic in images
    ]
    return came, ended, time.monotonic() - start


def _message_class(name: str) -> Any:
    """Return the class of a type such as "sensor_msgs/msg/Image", None if it isn't installed."""
    package, _, kind = name.partition("/msg/")
    try:
        return getattr(importlib.import_module(f"{package}.msg"), kind, None)
    except ImportError:
        return None
