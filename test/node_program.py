# SPDX-License-Identifier: Apache-2.0
"""segmif_node with an engine that costs nothing, for tests: a module of fakes, and a program for tests of the process.

As a program: ``python node_program.py [--warm-up-s S] [--infer-s S] --ros-args ...``.
"""

import argparse
import sys
import threading
import time
from dataclasses import dataclass

import numpy as np

from segmif_ros.labels import FMB
from segmif_ros.ros.process import run_node


@dataclass(frozen=True, eq=False)
class Result:
    """As the engine's, which would bring torch."""

    fused: np.ndarray
    labels: np.ndarray
    confidence: np.ndarray
    stage_ms: dict[str, float]


class FakeEngine:
    """Labels are the infrared image's values, modulo the number of classes; chosen calls fail."""

    label_set = FMB
    model_name = "fake"
    model_hash = "0123456789ab"
    device_name = backend_name = precision = "none"

    def __init__(self, *, errors=None, warm_up_s=0.0, infer_s=0.0) -> None:
        self.errors = errors or {}
        self.warmed_up: list[tuple[int, int]] = []
        self.calls = 0
        self.entered = threading.Event()
        self._warm_up_s = warm_up_s
        self._infer_s = infer_s

    def warm_up(self, height: int, width: int) -> None:
        print("warming up", flush=True)
        time.sleep(self._warm_up_s)  # stands for a slow load; nobody waits for it to end
        self.warmed_up.append((height, width))

    def infer(self, infrared, rgb):
        self.calls += 1
        self.entered.set()
        print("inferring", flush=True)
        time.sleep(self._infer_s)  # stands for a slow network; nobody waits for it to end
        if error := self.errors.get(self.calls):
            raise error
        labels = infrared % np.uint8(len(FMB))
        return Result(fused=255 - rgb, labels=labels, confidence=infrared, stage_ms={"network": 12.5})


def main() -> int:
    parser = argparse.ArgumentParser()
    parser.add_argument("--warm-up-s", type=float, default=0.0)
    parser.add_argument("--infer-s", type=float, default=0.0)
    options, _ = parser.parse_known_args()

    def make_node():
        from segmif_ros.ros.segmif_node import SegmifNode

        return SegmifNode(lambda _config: FakeEngine(warm_up_s=options.warm_up_s, infer_s=options.infer_s))

    return run_node("segmif_node", make_node)


if __name__ == "__main__":
    sys.exit(main())
