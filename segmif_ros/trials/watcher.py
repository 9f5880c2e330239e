# SPDX-License-Identifier: Apache-2.0
"""Watch inputs and outputs from outside: what arrived, how old it was, and sample pictures.

$ python -m segmif_ros.trials.watcher --out FOLDER

runs until SIGINT and then writes FOLDER/record.json and FOLDER/samples/*.png. Meanwhile it says on standard output, one
JSON object a line, in which lifecycle state the node is and how much has arrived: that is how `segmif demo` knows when
to go on.
"""

from __future__ import annotations

import argparse
import json
import signal
import sys
import time
import zlib
from collections import OrderedDict
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import numpy.typing as npt

from segmif_ros.imaging.encodings import EncodingError, ImageBuffer, to_infrared, to_rgb
from segmif_ros.imaging.gain import GainConfig, ThermalGain

UInt8Image = npt.NDArray[np.uint8]

INFRARED = "infrared/image_raw"
RGB = "rgb/image_raw"
FUSED = "fused/image"
MASK = "segmentation/mask"
CONFIDENCE = "segmentation/confidence"
OVERLAY = "segmentation/overlay"
SEMANTIC_MAP = "segmentation/semantic_map"
INPUTS = (INFRARED, RGB)
OUTPUTS = (FUSED, MASK, CONFIDENCE, OVERLAY, SEMANTIC_MAP)
SAMPLE_PARTS = (FUSED, MASK, OVERLAY)  # what a sample needs besides the pair

_HELD_BYTES = 256_000_000  # input images that wait for their outputs; the oldest go first
_OPEN_OUTPUTS = 50  # stamps whose outputs have not all arrived


@dataclass(frozen=True, kw_only=True)
class ClassShare:
    """A class of the label set: id, name, colour (RGB, 0..255) and how many pixels of one label map have it."""

    id: int
    name: str
    colour: tuple[int, int, int]
    pixels: int


@dataclass(frozen=True, kw_only=True, eq=False)
class Sample:
    """One input pair with everything that the node made of it.

    Attributes:
        stamp_ns: The RGB image's stamp, which the outputs carry.
        arrived_ns: When it was complete, same clock as the stamps.
        infrared: (H, W) uint8, raw counts through the default gain.
        rgb: (H, W, 3) uint8.
        fused: (H, W, 3) uint8.
        labels: (H, W) uint8 class ids.
        overlay: (H, W, 3) uint8.
        classes: The label set, in the order of ids; empty if the semantic map was not there.
        content: Checksum of the RGB image's bytes: equal for equal images.
    """

    stamp_ns: int
    arrived_ns: int
    infrared: UInt8Image
    rgb: UInt8Image
    fused: UInt8Image
    labels: UInt8Image
    overlay: UInt8Image
    classes: tuple[ClassShare, ...]
    content: int


@dataclass
class _Topic:
    """What arrived on one topic."""

    arrivals_ns: list[int] = field(default_factory=list)
    stamps_ns: list[int] = field(default_factory=list)

    def summary(self, streaming_s: float) -> dict[str, Any]:
        return {
            "frames": len(self.arrivals_ns),
            "rate_hz": len(self.arrivals_ns) / streaming_s if streaming_s else 0.0,
            "age_ms": percentiles([(a - s) * 1e-6 for a, s in zip(self.arrivals_ns, self.stamps_ns, strict=True)]),
        }


def percentiles(values: Sequence[float]) -> dict[str, float]:
    """Return p50, p95, p99 and max of the values; empty for no values."""
    if not values:
        return {}
    p50, p95, p99 = np.percentile(values, (50, 95, 99))
    return {"p50": float(p50), "p95": float(p95), "p99": float(p99), "max": float(max(values))}


def streaming_s(arrivals_ns: Sequence[int]) -> float:
    """Return for how long frames have come, in seconds, without the pauses between two stretches of frames.

    A pause is a gap of more than three times the median gap; each stretch counts one median gap for its last frame.
    """
    if len(arrivals_ns) < 2:
        return 0.0
    gaps = np.diff(np.asarray(arrivals_ns, np.float64))
    usual = float(np.median(gaps))
    pauses = gaps > 3 * usual
    return float(gaps[~pauses].sum() + usual * (pauses.sum() + 1)) * 1e-9


class SpreadChoice:
    """Takes ``count`` samples, evenly spread over ``seconds`` from the first one offered on."""

    def __init__(self, count: int, seconds: float) -> None:
        self._left = count
        self._period_ns = int(seconds * 1e9 / max(count, 1))
        self._due_ns: int | None = None

    def __call__(self, stamp_ns: int, _content: int) -> bool:
        """Whether the sample with this stamp is to be taken."""
        if self._due_ns is None:
            # the middle of the first stretch: the very first pairs meet a pipeline that is still filling
            self._due_ns = stamp_ns + self._period_ns // 2
        if self._left == 0 or stamp_ns < self._due_ns:
            return False
        self._left -= 1
        # a node that is slow must not have the samples that it is behind taken one upon the other
        self._due_ns = max(self._due_ns + self._period_ns, stamp_ns + self._period_ns // 2)
        return True


class EachOnceChoice:
    """Takes the first ``count`` samples whose RGB image has not been seen before."""

    def __init__(self, count: int) -> None:
        self._left = count
        self._seen: set[int] = set()

    def __call__(self, _stamp_ns: int, content: int) -> bool:
        """Whether the sample with this content is to be taken."""
        if self._left == 0 or content in self._seen:
            return False
        self._left -= 1
        self._seen.add(content)
        return True


class Record:
    """Counts, ages and samples; knows no ROS, and times are passed in.

    All times are nanoseconds of the clock that the stamps are taken from.
    """

    def __init__(self, choose: Callable[[int, int], bool], *, with_map: bool = True) -> None:
        """Make an empty record.

        Args:
            choose: Called with stamp and content of each complete sample; whether to keep it.
            with_map: Whether the semantic map belongs to a complete sample.
        """
        self._choose = choose
        self._parts = {*SAMPLE_PARTS, SEMANTIC_MAP} if with_map else {*SAMPLE_PARTS}
        self._topics = {name: _Topic() for name in (*INPUTS, *OUTPUTS)}
        self._held: dict[str, OrderedDict[int, ImageBuffer]] = {name: OrderedDict() for name in INPUTS}
        self._held_bytes = 0
        self._open: OrderedDict[int, dict[str, Any]] = OrderedDict()
        self.samples: list[Sample] = []
        self.undecodable = 0

    def input(self, topic: str, stamp_ns: int, now_ns: int, image: ImageBuffer) -> None:
        """Take note of an input image; its bytes are kept for a while, not copied."""
        self._note(topic, stamp_ns, now_ns)
        replaced = self._held[topic].pop(stamp_ns, None)
        self._held_bytes += len(image.data) - (len(replaced.data) if replaced else 0)
        self._held[topic][stamp_ns] = image
        while self._held_bytes > _HELD_BYTES:
            longest = max(self._held.values(), key=len)
            self._held_bytes -= len(longest.popitem(last=False)[1].data)

    def output(self, topic: str, stamp_ns: int, now_ns: int, image: ImageBuffer) -> None:
        """Take note of an output image; when all parts of a pair are there it may become a sample."""
        self._note(topic, stamp_ns, now_ns)
        self._part(topic, stamp_ns, now_ns, image)

    def semantic_map(
        self, stamp_ns: int, now_ns: int, classes: tuple[ClassShare, ...], pair_offset_ns: int
    ) -> None:
        """Take note of a semantic map: its class table, and the infrared stamp minus the RGB stamp."""
        self._note(SEMANTIC_MAP, stamp_ns, now_ns)
        self._part(SEMANTIC_MAP, stamp_ns, now_ns, (classes, pair_offset_ns))

    def frames(self, topic: str) -> int:
        """Return how many messages have arrived on ``topic``."""
        return len(self._topics[topic].arrivals_ns)

    def summary(self) -> dict[str, Any]:
        """Return counts, rates and ages by topic, fit for JSON; ``matched`` counts outputs whose input was seen."""
        seen = set(self._topics[RGB].stamps_ns)
        span_s = streaming_s(self._topics[RGB].arrivals_ns)
        outputs = {name: self._topics[name].summary(span_s) for name in OUTPUTS}
        for name, found in outputs.items():
            found["matched"] = sum(each in seen for each in self._topics[name].stamps_ns)
        inputs = {name: self._topics[name].summary(span_s) for name in INPUTS}
        first_ns = min(seen, default=0)
        return {"streaming_s": span_s, "first_stamp_ns": first_ns, "inputs": inputs, "outputs": outputs}

    def _note(self, topic: str, stamp_ns: int, now_ns: int) -> None:
        self._topics[topic].arrivals_ns.append(now_ns)
        self._topics[topic].stamps_ns.append(stamp_ns)

    def _part(self, topic: str, stamp_ns: int, now_ns: int, part: Any) -> None:
        if topic not in self._parts:
            return
        parts = self._open.setdefault(stamp_ns, {})
        parts[topic] = part
        if len(parts) == len(self._parts):
            del self._open[stamp_ns]
            classes, offset_ns = parts.get(SEMANTIC_MAP, ((), 0))
            rgb, infrared = self._held[RGB].get(stamp_ns), self._nearest_infrared(stamp_ns + offset_ns)
            if rgb is not None and infrared is not None:
                self._offer(stamp_ns, now_ns, infrared, rgb, parts, classes)
        while len(self._open) > _OPEN_OUTPUTS:
            self._open.popitem(last=False)

    def _nearest_infrared(self, stamp_ns: int) -> ImageBuffer | None:
        held = self._held[INFRARED]
        return held[min(held, key=lambda each: abs(each - stamp_ns))] if held else None

    def _offer(
        self,
        stamp_ns: int,
        now_ns: int,
        infrared: ImageBuffer,
        rgb: ImageBuffer,
        parts: dict[str, ImageBuffer],
        classes: tuple[ClassShare, ...],
    ) -> None:
        content = zlib.crc32(memoryview(rgb.data))
        if not self._choose(stamp_ns, content):
            return
        stretch = ThermalGain(GainConfig(time_constant_s=0.0))
        try:
            self.samples.append(
                Sample(
                    stamp_ns=stamp_ns,
                    arrived_ns=now_ns,
                    infrared=stretch.apply(to_infrared(infrared), stamp_ns),
                    rgb=to_rgb(rgb),
                    fused=to_rgb(parts[FUSED]),
                    labels=to_infrared(parts[MASK]),
                    overlay=to_rgb(parts[OVERLAY]),
                    classes=classes,
                    content=content,
                )
            )
        except EncodingError:
            self.undecodable += 1


class Diagnostics:
    """The values of one status on /diagnostics: the first ones seen and the latest ones."""

    def __init__(self) -> None:
        self.count = 0
        self.first: dict[str, str] = {}
        self.latest: dict[str, str] = {}
        self.timeline: list[tuple[float, dict[str, str]]] = []

    def take(self, values: dict[str, str]) -> None:
        """Take note of a status."""
        self.count += 1
        self.latest = values
        self.timeline.append((time.monotonic(), values))
        if self.count == 1:
            self.first = values


def write_record(folder: Path, record: Record, diagnostics: Diagnostics, facts: dict[str, Any]) -> None:
    """Write ``folder``/record.json and the sample pictures.

    Args:
        folder: Made if it isn't there.
        record: What was seen.
        diagnostics: The node's; what it did meanwhile is the difference of the latest counts and the first ones.
        facts: More entries for the JSON.
    """
    pictures = folder / "samples"
    pictures.mkdir(parents=True, exist_ok=True)
    samples = []
    for number, sample in enumerate(record.samples):
        files = {}
        for part in ("infrared", "rgb", "fused", "labels", "overlay"):
            path = pictures / f"{number:03d}_{part}.png"
            image = getattr(sample, part)
            stored = cv2.cvtColor(image, cv2.COLOR_RGB2BGR) if image.ndim == 3 else image
            # level 1: a tenth of the time for a little more disk
            if not cv2.imwrite(str(path), stored, [cv2.IMWRITE_PNG_COMPRESSION, 1]):
                raise OSError(f"{path} can't be written")
            files[part] = str(path.relative_to(folder))
        samples.append(
            {
                "stamp_ns": sample.stamp_ns,
                "age_ms": (sample.arrived_ns - sample.stamp_ns) * 1e-6,
                "content": sample.content,
                "files": files,
                "classes": [vars(each) for each in sample.classes],
            }
        )
    found = {
        **record.summary(),
        "diagnostics_first": diagnostics.first,
        "diagnostics": diagnostics.latest,
        "timeline": diagnostics.timeline,
        "samples": samples,
        **facts,
    }
    (folder / "record.json").write_text(json.dumps(found, indent=1) + "\n")


# --- the process -----------------------------------------------------------------------------------------------------


def say(event: str, **facts: Any) -> None:
    """Print one event for the process that started this one."""
    print(json.dumps({"event": event, **facts}), flush=True)


def _semantic_map_type() -> Any:
    """Return the message type, or None where it was not built (no compiler): then only standard messages come."""
    try:
        from segmif_ros.msg import SemanticMap
    except ImportError:
        return None
    return SemanticMap


def _subscribe(node: Any, record: Record, node_name: str, diagnostics: Diagnostics) -> None:
    """Connect the record and the diagnostics' values to their topics."""
    from diagnostic_msgs.msg import DiagnosticArray
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

    def on_diagnostics(message: Any) -> None:
        for status in message.status:
            if status.name == f"{node_name}: pipeline":
                diagnostics.take({each.key: each.value for each in status.values})
                if diagnostics.count == 1:
                    say("diagnostics")

    node.create_subscription(DiagnosticArray, "/diagnostics", on_diagnostics, 10)


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


def main(arguments: Sequence[str] | None = None) -> int:
    """Record until SIGINT or SIGTERM, then write what was seen."""
    parser = argparse.ArgumentParser(prog="python -m segmif_ros.trials.watcher", description=main.__doc__)
    parser.add_argument("--out", type=Path, required=True, help="folder to write to")
    parser.add_argument("--node", default="segmif_node", help="name of the node to watch")
    parser.add_argument("--samples", type=int, default=12, help="how many sample pictures to keep")
    parser.add_argument("--spread-over", type=float, default=15.0, help="seconds that the samples are spread over")
    parser.add_argument("--each-once", action="store_true", help="keep the first samples with different RGB images")
    options = parser.parse_args(arguments)

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
            say("progress", inputs=record.frames(RGB), outputs=record.frames(FUSED), samples=len(record.samples))
    # two more: the next one may have been on its way while the last frames were worked on
    wanted = diagnostics.count + 2
    deadline_ns = time.monotonic_ns() + 5_000_000_000
    while diagnostics.count < wanted and time.monotonic_ns() < deadline_ns:
        executor.spin_once(timeout_sec=0.1)
    facts = {"undecodable": record.undecodable, "diagnostics_are_final": diagnostics.count >= wanted}
    executor.shutdown()
    node.destroy_node()
    rclpy.shutdown()
    try:
        write_record(options.out, record, diagnostics, facts)
    except OSError as error:
        print(f"segmif_recorder: error: {error}", file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
