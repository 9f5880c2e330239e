# SPDX-License-Identifier: Apache-2.0
"""What a watcher counts and keeps: arrivals and ages by topic, and sample pictures. It knows no ROS."""

from __future__ import annotations

import time
import zlib
from collections import OrderedDict
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, TypedDict

import numpy as np

from segmif_ros.arrays import Image
from segmif_ros.files import write_json
from segmif_ros.imaging.encodings import EncodingError, ImageBuffer, to_infrared, to_rgb
from segmif_ros.imaging.gain import GainConfig, ThermalGain
from segmif_ros.reporting.numbers import Percentiles, percentiles
from segmif_ros.reporting.pictures import write_picture

INFRARED = "infrared/image_raw"
RGB = "rgb/image_raw"
FUSED = "fused/image"
MASK = "segmentation/mask"
CONFIDENCE = "segmentation/confidence"
OVERLAY = "segmentation/overlay"
SEMANTIC_MAP = "segmentation/semantic_map"
INPUTS = (INFRARED, RGB)
OUTPUTS = (FUSED, MASK, CONFIDENCE, OVERLAY, SEMANTIC_MAP)
SAMPLE_PARTS = (FUSED, MASK, CONFIDENCE, OVERLAY)  # what a sample needs besides the pair

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
class WatchedSample:
    """One input pair with everything that the node made of it.

    Attributes:
        stamp_ns: The RGB image's stamp, which the outputs carry.
        arrived_ns: When it was complete, same clock as the stamps.
        infrared: (H, W) uint8, raw counts through the default gain.
        rgb: (H, W, 3) uint8.
        fused: (H, W, 3) uint8.
        labels: (H, W) uint8 class ids.
        confidence: (H, W) uint8, 255 times the probability.
        overlay: (H, W, 3) uint8.
        classes: The label set, in the order of ids; empty if the semantic map was not there.
        content: Checksum of the RGB image's bytes: equal for equal images.
    """

    stamp_ns: int
    arrived_ns: int
    infrared: Image
    rgb: Image
    fused: Image
    labels: Image
    confidence: Image
    overlay: Image
    classes: tuple[ClassShare, ...]
    content: int


class _TopicFigures(TypedDict):
    frames: int
    rate_hz: float
    age_ms: Percentiles


class TopicFigures(_TopicFigures, total=False):
    """What arrived on one topic; of an output also how many messages have a stamp of an RGB image that was seen."""

    matched: int


class WatchedFigures(TypedDict):
    """Counts, rates and ages by topic."""

    streaming_s: float
    first_stamp_ns: int
    inputs: dict[str, TopicFigures]
    outputs: dict[str, TopicFigures]


class ShownClass(TypedDict):
    """One class of a label set, and its pixels in an image."""

    id: int
    name: str
    colour: Sequence[int]
    pixels: int


class SampleEntry(TypedDict):
    """One sample in record.json; its files by part, relative to the folder."""

    stamp_ns: int
    age_ms: float
    content: int
    files: dict[str, str]
    classes: list[ShownClass]


class WatchRecord(WatchedFigures):
    """record.json; of the node's diagnostics the first values, the latest, and those over time."""

    diagnostics_first: dict[str, str]
    diagnostics: dict[str, str]
    timeline: list[tuple[float, dict[str, str]]]
    samples: list[SampleEntry]


@dataclass
class _Topic:
    """What arrived on one topic."""

    arrivals_ns: list[int] = field(default_factory=list)
    stamps_ns: list[int] = field(default_factory=list)

    def summary(self, streaming_s: float) -> TopicFigures:
        return {
            "frames": len(self.arrivals_ns),
            "rate_hz": len(self.arrivals_ns) / streaming_s if streaming_s else 0.0,
            "age_ms": percentiles([(a - s) * 1e-6 for a, s in zip(self.arrivals_ns, self.stamps_ns, strict=True)]),
        }


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
        self._passed_over: Callable[[], None] | None = None
        self.samples: list[WatchedSample] = []
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

    def semantic_map(self, stamp_ns: int, now_ns: int, classes: tuple[ClassShare, ...], pair_offset_ns: int) -> None:
        """Take note of a semantic map: its class table, and the infrared stamp minus the RGB stamp."""
        self._note(SEMANTIC_MAP, stamp_ns, now_ns)
        self._part(SEMANTIC_MAP, stamp_ns, now_ns, (classes, pair_offset_ns))

    def frames(self, topic: str) -> int:
        """Return how many messages have arrived on ``topic``."""
        return len(self._topics[topic].arrivals_ns)

    @property
    def moments(self) -> int:
        """How many samples `finish` leaves at least."""
        return len(self.samples) or int(self._passed_over is not None)

    def finish(self) -> None:
        """Keep the latest complete moment if none was chosen: a slow node may deliver nothing at the times chosen."""
        if not self.samples and self._passed_over is not None:
            self._passed_over()

    def summary(self) -> WatchedFigures:
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

        def keep() -> None:
            stretch = ThermalGain(GainConfig(time_constant_s=0.0))
            try:
                self.samples.append(
                    WatchedSample(
                        stamp_ns=stamp_ns,
                        arrived_ns=now_ns,
                        infrared=stretch.apply(to_infrared(infrared), stamp_ns),
                        rgb=to_rgb(rgb),
                        fused=to_rgb(parts[FUSED]),
                        labels=to_infrared(parts[MASK]),
                        confidence=to_infrared(parts[CONFIDENCE]),
                        overlay=to_rgb(parts[OVERLAY]),
                        classes=classes,
                        content=content,
                    )
                )
            except EncodingError:
                self.undecodable += 1

        if self._choose(stamp_ns, content):
            keep()
        else:
            self._passed_over = keep  # decoded only if it is needed


class Diagnostics:
    """The values of one status on /diagnostics: the first ones seen and the latest ones."""

    def __init__(self) -> None:
        self.count = 0
        self.first: Mapping[str, str] = {}
        self.latest: Mapping[str, str] = {}
        self.timeline: list[tuple[float, Mapping[str, str]]] = []

    def take(self, values: Mapping[str, str]) -> None:
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
        for part in ("infrared", "rgb", "fused", "labels", "confidence", "overlay"):
            path = pictures / f"{number:03d}_{part}.png"
            write_picture(path, getattr(sample, part))
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
    write_json(folder / "record.json", found)
