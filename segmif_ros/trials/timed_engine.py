# SPDX-License-Identifier: Apache-2.0
"""The node with an engine that does nothing for a given time: what is left of a measurement is the node itself.

$ python -m segmif_ros.trials.timed_engine --infer-ms 50 --ros-args ...
"""

from __future__ import annotations

import sys
import time
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, cast

import numpy as np

from segmif_ros.arrays import Array
from segmif_ros.command_line import Parser
from segmif_ros.labels import FMB, LabelSet
from segmif_ros.ros.process import run_node

if TYPE_CHECKING:  # torch would come with it
    from segmif_ros.inference.engine import EngineResult


@dataclass(frozen=True, kw_only=True, eq=False)
class _Result:
    """As `segmif_ros.inference.engine.EngineResult`, which would bring torch and its memory."""

    fused: Array
    labels: Array
    confidence: Array
    stage_ms: dict[str, float] = field(default_factory=dict)


class TimedEngine:
    """Keeps `segmif_ros.inference.engine.EngineProtocol`; sleeps, as a thread does that waits for a GPU.

    Args:
        infer_ms: How long each pair takes.
    """

    model_name = "timed"
    model_hash = "0" * 12
    device_name = backend_name = precision = "none"

    def __init__(self, infer_ms: float) -> None:
        self._infer_s = 1e-3 * infer_ms

    @property
    def label_set(self) -> LabelSet:
        """FMB's."""
        return FMB

    def warm_up(self, height: int, width: int) -> None:
        """Nothing to warm."""

    def infer(self, infrared: Array, rgb: Array) -> EngineResult:
        """Return the inputs as outputs, so that their bytes are real ones."""
        started = time.perf_counter()
        if self._infer_s:
            time.sleep(self._infer_s)
        labels = infrared % np.uint8(len(FMB))
        spent_ms = 1e3 * (time.perf_counter() - started)
        result = _Result(fused=rgb, labels=labels, confidence=infrared, stage_ms={"prior": 0.0, "network": spent_ms})
        return cast("EngineResult", result)


def main() -> int:
    """Run the node; return its exit status."""
    parser = Parser(prog="python -m segmif_ros.trials.timed_engine", description=__doc__)
    parser.add_argument("--infer-ms", type=float, default=50.0, help="how long each pair takes (default 50)")
    given = sys.argv[1:]
    first = given.index("--ros-args") if "--ros-args" in given else len(given)
    options, ros_arguments = parser.parse_args(given[:first]), given[first:]

    def make_node() -> Any:
        from segmif_ros.ros.segmif_node import SegmifNode

        return SegmifNode(lambda _config: TimedEngine(options.infer_ms))

    return run_node("segmif_node", make_node, ros_arguments)


if __name__ == "__main__":
    sys.exit(main())
