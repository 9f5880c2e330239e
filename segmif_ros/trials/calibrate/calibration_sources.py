# SPDX-License-Identifier: Apache-2.0
"""Where the pairs to calibrate with come from: a folder, a bag, or the topics of running cameras."""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from segmif_ros.arrays import Array, Image
from segmif_ros.bag.reading import INFRARED_TOPIC, RGB_TOPIC, Topics, open_bag
from segmif_ros.bag.recorded_pairs import PairingFacts, no_pairs, pairs_of
from segmif_ros.data.image_files import read_grey, read_rgb
from segmif_ros.data.pair_folder import PairFolder
from segmif_ros.imaging.encodings import EncodingError, to_infrared, to_rgb
from segmif_ros.rig.errors import CalibrationError
from segmif_ros.stream.pairing import NearestStampPairer
from segmif_ros.stream.pipeline_config import PipelineConfig
from segmif_ros.stream.processing import Frame, opened

LIVE = "live"
_SILENT_S = 10.0
_GREY_LEVELS = 4  # that channels of a grey image may differ by
_WAITING = 4  # live pairs that wait; older ones are given up


@dataclass(frozen=True, kw_only=True, eq=False)
class NamedPair:
    """A pair: infrared (H, W) uint8, uint16 or float32, rgb (H', W', 3) uint8 RGB, and a name for people."""

    name: str
    infrared: Array
    rgb: Array


@dataclass(frozen=True, kw_only=True)
class CalibrationSource:
    """Pairs to calibrate with.

    Attributes:
        place: A folder with infrared/ and visible/, a bag, or `LIVE`.
        topics: Of a bag or of live cameras.
        slop_s: Largest difference of stamps; 0: as pairing finds it.
        every: Take every n-th pair.
        seconds: How long live cameras are listened to.
    """

    place: str
    topics: Topics
    slop_s: float = 0.0
    every: int = 1
    seconds: float = 60.0

    @property
    def moving(self) -> bool:
        """Whether pairs follow one another in time."""
        return self.place == LIVE or not self._is_folder

    @property
    def _is_folder(self) -> bool:
        path = Path(self.place)
        return path.is_dir() and not (path / "metadata.yaml").is_file()

    def pairs(self) -> Iterator[NamedPair]:
        """Yield the pairs.

        Raises:
            CalibrationError, segmif_ros.bag.reading.BagError, segmif_ros.data.image_files.DatasetError: One line.
        """
        if self.place == LIVE:
            found = self._live()
        elif self._is_folder:
            found = self._folder()
        else:
            found = self._bag()
        for number, pair in enumerate(found):
            if number % self.every == 0:
                if number == 0:
                    refuse_swapped(pair)
                yield pair

    def _folder(self) -> Iterator[NamedPair]:
        for number, files in enumerate(PairFolder(self.place).files):  # of two sizes, which no pair of a data set has
            infrared, rgb = read_grey(files.infrared), read_rgb(files.rgb)
            if not number and infrared.dtype == np.uint8 and _is_grey(rgb) and not _is_grey(read_rgb(files.infrared)):
                raise CalibrationError(
                    "the cameras are swapped: the infrared images are in colour, and the RGB images are grey; exchange "
                    "the folders"
                )
            yield NamedPair(name=files.name, infrared=infrared, rgb=rgb)

    def _bag(self) -> Iterator[NamedPair]:
        path = Path(self.place)
        config = PipelineConfig(slop_s=self.slop_s) if self.slop_s else PipelineConfig()
        with open_bag(path, self.topics) as bag:
            facts, start_ns = PairingFacts(), None
            for pair in pairs_of(bag, config, facts):
                start_ns = pair.rgb.stamp_ns if start_ns is None else start_ns
                name = f"{1e-9 * (pair.rgb.stamp_ns - start_ns):.2f} s"
                made = _decoded(name, pair.infrared.frame(), pair.rgb.frame())
                if made is not None:
                    yield made
            if not facts.pairs:
                raise no_pairs(bag, config, facts)

    def _live(self) -> Iterator[NamedPair]:
        """Yield pairs of running cameras until the time is over; what isn't taken in time is given up."""
        import rclpy
        from rclpy.executors import SingleThreadedExecutor
        from sensor_msgs.msg import Image as ImageMessage

        from segmif_ros.ros.messages import image_buffer, stamp_ns
        from segmif_ros.ros.qos import profile

        settings = PipelineConfig(slop_s=self.slop_s) if self.slop_s else PipelineConfig()
        pairer: NearestStampPairer[Frame] = NearestStampPairer(settings.slop_s, settings.queue_size)
        waiting: deque[Any] = deque(maxlen=_WAITING)
        counts = {"infrared": 0, "rgb": 0}
        context = rclpy.Context()
        rclpy.init(context=context)
        node = rclpy.create_node("segmif_calibrate", context=context)
        executor = SingleThreadedExecutor(context=context)
        executor.add_node(node)

        def receive(camera: str, message: ImageMessage) -> None:
            counts[camera] += 1
            stamp = stamp_ns(message.header)
            frame = Frame(stamp_ns=stamp, frame_id=message.header.frame_id, image=image_buffer(message))
            add = pairer.add_infrared if camera == "infrared" else pairer.add_rgb
            waiting.extend(add(stamp, frame))

        for camera, topic in (("infrared", self.topics.infrared), ("rgb", self.topics.rgb)):
            node.create_subscription(
                ImageMessage, topic, lambda message, camera=camera: receive(camera, message), profile("best_effort", 5)
            )
        start = time.monotonic()
        try:
            while (elapsed := time.monotonic() - start) < self.seconds:
                executor.spin_once(timeout_sec=0.05)
                if elapsed > _SILENT_S:
                    self._refuse_silent(counts)
                while waiting:
                    pair = waiting.popleft()
                    made = _decoded(f"{elapsed:.1f} s", pair.infrared, pair.rgb)
                    if made is not None:
                        yield made
            self._refuse_silent(counts)
        finally:
            executor.shutdown()
            node.destroy_node()
            rclpy.try_shutdown(context=context)

    def _refuse_silent(self, counts: dict[str, int]) -> None:
        topics = {"infrared": self.topics.infrared, "rgb": self.topics.rgb}
        if silent := " and ".join(topic for camera, topic in topics.items() if not counts[camera]):
            raise CalibrationError(f"nothing comes on {silent}: are the cameras running, and the topics right?")


def refuse_swapped(pair: NamedPair) -> None:
    """Refuse a pair whose RGB image is grey and 16 bits deep in the other: then the folders or topics are swapped.

    Raises:
        CalibrationError: If they are.
    """
    if _is_grey(pair.rgb) and pair.infrared.dtype == np.uint8 and pair.infrared.size > pair.rgb[..., 0].size:
        raise CalibrationError(
            "the cameras seem swapped: the RGB images are grey, and smaller than the infrared ones; exchange them"
        )


def _is_grey(rgb: Image) -> bool:
    """Return whether an (H, W, 3) image has no colour; JPEG leaves a trace of some."""
    return bool(np.ptp(rgb[::4, ::4].astype(int), axis=2).max(initial=0) <= _GREY_LEVELS)


def default_topics() -> Topics:
    """Return the node's topics."""
    return Topics(infrared=INFRARED_TOPIC, rgb=RGB_TOPIC)


def _decoded(name: str, infrared: Frame, rgb: Frame) -> NamedPair | None:
    try:
        there, here = opened(infrared.image), opened(rgb.image)
        if there.encoding in ("rgb8", "bgr8") and here.encoding.startswith(("mono16", "16UC1")):
            raise CalibrationError(
                f"the cameras are swapped: the infrared topic carries {there.encoding}, the RGB topic {here.encoding}; "
                "exchange --infrared-topic and --rgb-topic"
            )
        return NamedPair(name=name, infrared=to_infrared(there), rgb=to_rgb(here))
    except EncodingError:
        return None  # a damaged frame; the others tell
