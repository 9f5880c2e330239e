# SPDX-License-Identifier: Apache-2.0
"""Bags written message by message, and an engine that needs no network."""

from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from segmif_ros.bag.messages import COMPRESSED, IMAGE, compressed_message, image_message
from segmif_ros.bag.reading import INFRARED_TOPIC, RGB_TOPIC
from segmif_ros.bag.record_synthetic import LABELS_TOPIC, START_NS
from segmif_ros.bag.writing import new_bag
from segmif_ros.inference.engine import EngineResult
from segmif_ros.labels import FMB

MS = 1_000_000
SIZE = (32, 48)


class FakeEngine:
    """Labels are the infrared image over 18 (0..14); the fused image is RGB. Counts pairs, and can fail or stop."""

    label_set = FMB
    model_name, model_hash, device_name = "fake", "f" * 12, "cpu"
    backend_name, precision = "abacus", "exact"

    def __init__(self, fail_on: Iterable[int] = (), stop_after: int | None = None) -> None:
        self.pairs = 0
        self._fail_on = set(fail_on)
        self._stop_after = stop_after

    def warm_up(self, height: int, width: int) -> None: ...

    def infer(self, infrared: np.ndarray, rgb: np.ndarray) -> EngineResult:
        if self.pairs == self._stop_after:
            raise KeyboardInterrupt
        self.pairs += 1
        if self.pairs - 1 in self._fail_on:
            raise RuntimeError("no luck")
        labels = (infrared // 18).astype(np.uint8)
        return EngineResult(fused=rgb.copy(), labels=labels, confidence=np.full_like(infrared, 99))


@dataclass(frozen=True)
class Recording:
    """What `write` puts into a bag: stamps in milliseconds after START_NS, in the order of recording."""

    infrared_ms: tuple[float, ...] = (0, 100, 200, 300, 400)
    rgb_ms: tuple[float, ...] = (0, 100, 200, 300, 400)
    labels_ms: tuple[float, ...] = ()
    label_size: tuple[int, int] = SIZE
    label: int = 3
    storage: str = "mcap"
    compressed: bool = False
    rgb_encoding: str = "rgb8"


def write(path: Path, recording: Recording = Recording()) -> Path:
    """Write a bag; frames are noise of their own seed, infrared mono16 with growing contrast."""
    events = [("infrared", ms) for ms in recording.infrared_ms]
    events += [("rgb", ms) for ms in recording.rgb_ms]
    events += [("labels", ms) for ms in recording.labels_ms]
    with new_bag(path, recording.storage, overwrite=True) as bag:
        bag.declare("/rosout", IMAGE)
        for i, (role, ms) in enumerate(sorted(events, key=lambda event: event[1])):
            stamp_ns = START_NS + round(ms * MS)
            rng = np.random.default_rng(round(ms))
            kind = {"rgb": "jpeg", "infrared": "png"}.get(role, "")
            if role == "labels":
                encoding, image = "mono8", np.full(recording.label_size, recording.label, np.uint8)
            elif role == "infrared":
                encoding, image = "mono16", rng.integers(3000, 4000 + round(ms), SIZE).astype(np.uint16)
            else:
                encoding, image = recording.rgb_encoding, rng.integers(0, 255, (*SIZE, 3)).astype(np.uint8)
            topic = {"rgb": RGB_TOPIC, "infrared": INFRARED_TOPIC, "labels": LABELS_TOPIC}[role]
            recorded_ns = stamp_ns + i
            if recording.compressed and kind:
                raw = compressed_message(image, encoding, kind, stamp_ns, role)
                bag.write(f"{topic}/compressed", COMPRESSED, recorded_ns, raw)
            else:
                bag.write(topic, IMAGE, recorded_ns, image_message(image, encoding, stamp_ns, role))
    return path
