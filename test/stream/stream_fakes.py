# SPDX-License-Identifier: Apache-2.0
"""A clock, an engine and a sink that tests move by hand."""

import queue
import threading
from dataclasses import dataclass

import numpy as np
from patience import WAIT_S

from segmif_ros.imaging.encodings import ImageBuffer
from segmif_ros.stream.pipeline import Pipeline
from segmif_ros.stream.pipeline_config import PipelineConfig
from segmif_ros.stream.processing import Frame, Output

MS = 1_000_000


@dataclass(frozen=True, eq=False)
class Result:
    """As the engine's, which would bring torch."""

    fused: np.ndarray
    labels: np.ndarray
    confidence: np.ndarray
    stage_ms: dict[str, float]


class FakeClock:
    """Nanoseconds that stand still until a test moves them."""

    def __init__(self) -> None:
        self.now_ns = 0

    def __call__(self) -> int:
        return self.now_ns


class FakeEngine:
    """Answers at once, with an error for chosen calls, or when it is let go."""

    def __init__(self, *, errors=None, gated=False, takes_ns=0, clock=None) -> None:
        self.calls: list[tuple[np.ndarray, np.ndarray]] = []
        self.entered = threading.Semaphore(0)
        self.gate = threading.Semaphore(0)
        self._errors = errors or {}
        self._gated = gated
        self._takes_ns = takes_ns
        self._clock = clock

    def infer(self, infrared, rgb):
        self.calls.append((infrared, rgb))
        self.entered.release()
        if self._gated and not self.gate.acquire(timeout=WAIT_S):
            raise TimeoutError("the test never let the engine go")
        if error := self._errors.get(len(self.calls)):
            raise error
        if self._clock is not None:
            self._clock.now_ns += self._takes_ns
        return Result(fused=rgb, labels=infrared, confidence=infrared, stage_ms={"network": 7.0})


def infrared_frame(
    stamp_ms=0, *, height=4, width=6, value=100, data=None, encoding="mono8", frame_id="infrared"
) -> Frame:
    data = bytes([value]) * (height * width * (2 if encoding == "mono16" else 1)) if data is None else data
    return _frame(stamp_ms, frame_id, encoding, height, width, data)


def rgb_frame(stamp_ms=0, *, height=4, width=6, value=50, data=None, encoding="rgb8") -> Frame:
    data = bytes([value]) * (height * width * 3) if data is None else data
    return _frame(stamp_ms, "rgb", encoding, height, width, data)


def _frame(stamp_ms, frame_id, encoding, height, width, data) -> Frame:
    image = ImageBuffer(encoding=encoding, height=height, width=width, step=0, is_bigendian=False, data=data)
    return Frame(stamp_ns=round(stamp_ms * MS), frame_id=frame_id, image=image)


class Harness:
    """A running pipeline with a fake on every side."""

    def __init__(self, engine=None, *, config=None, clock=None, deliver=None, registration=None) -> None:
        self.engine = engine or FakeEngine()
        self.clock = clock or FakeClock()
        self.stamp_clock = FakeClock()
        self.delivered: queue.Queue[Output] = queue.Queue()
        self.said: queue.Queue[str] = queue.Queue()
        self.traced: queue.Queue[Exception] = queue.Queue()
        self.pipeline = Pipeline(
            config or PipelineConfig(),
            self.engine,
            deliver or self.delivered.put,
            now_ns=self.clock,
            stamp_clock_ns=self.stamp_clock,
            say=self.said.put,
            trace=self.traced.put,
            registration=registration,
        )

    def __enter__(self) -> "Harness":
        self.pipeline.start()
        return self

    def __exit__(self, *_) -> None:
        for _ in range(100):
            self.engine.gate.release()
        assert self.pipeline.stop(WAIT_S)

    def offer(self, stamp_ms, **rgb) -> None:
        self.pipeline.offer_infrared(infrared_frame(stamp_ms))
        self.pipeline.offer_rgb(rgb_frame(stamp_ms, **rgb))

    def output(self) -> Output:
        return self.delivered.get(timeout=WAIT_S)

    def line(self) -> str:
        return self.said.get(timeout=WAIT_S)
