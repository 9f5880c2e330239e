# SPDX-License-Identifier: Apache-2.0
"""The node's watch over itself: what is wrong goes to log and /diagnostics, with what the node counts and measures."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Any, Protocol

from diagnostic_msgs.msg import DiagnosticArray

from segmif_ros.inference.weights import FASTEST_WEIGHTS
from segmif_ros.ros import health
from segmif_ros.ros.camera_report import camera_problems, camera_values
from segmif_ros.ros.diagnostics import diagnostic_array, engine_values, gpu_values, pipeline_values
from segmif_ros.ros.frame_budget import budget_state, budget_values
from segmif_ros.ros.problems import Conditions, Problem
from segmif_ros.stream.single_camera import CameraReport

if TYPE_CHECKING:  # torch would come with it
    from collections.abc import Sequence

    from segmif_ros.inference.engine import EngineProtocol
    from segmif_ros.ros.barrier import Barrier
    from segmif_ros.ros.inputs import CameraInput
    from segmif_ros.ros.node_config import NodeConfig
    from segmif_ros.ros.outputs import Outputs
    from segmif_ros.ros.registration_watch import RegistrationWatch
    from segmif_ros.ros.rig_source import RigSource
    from segmif_ros.ros.time_offset_watch import TimeOffsetWatch
    from segmif_ros.stream.pipeline import Pipeline

_TWIN_S = 30.0  # the middleware remembers a node that was killed for 20 s


class Watched(Protocol):
    """What there is to watch; the node's parts are None, and its inputs empty, while it doesn't have them."""

    @property
    def config(self) -> NodeConfig: ...  # noqa: D102

    @property
    def pipeline(self) -> Pipeline | None: ...  # noqa: D102

    @property
    def engine(self) -> EngineProtocol | None: ...  # noqa: D102

    @property
    def outputs(self) -> Outputs | None: ...  # noqa: D102

    @property
    def inputs(self) -> Sequence[CameraInput]: ...  # noqa: D102

    @property
    def rig(self) -> RigSource: ...  # noqa: D102

    @property
    def time_offset(self) -> TimeOffsetWatch: ...  # noqa: D102

    @property
    def time_offset_s(self) -> float: ...  # noqa: D102

    def follow_time_offset(self) -> None: ...  # noqa: D102

    @property
    def registration_watch(self) -> RegistrationWatch: ...  # noqa: D102

    @property
    def barrier(self) -> Barrier: ...  # noqa: D102

    @property
    def state(self) -> str: ...  # noqa: D102


class Monitor:
    """Looks at the node, logs each problem as it begins and ends, and publishes /diagnostics.

    Args:
        node: rclpy's, to log and publish with.
        watched: The same node, as what it does.

    Attributes:
        clock_tolerance_s: How far stamps may be off the node's clock.
    """

    clock_tolerance_s = 10.0

    def __init__(self, node: Any, watched: Watched) -> None:
        self._node = node
        self._watched = watched
        self._conditions = Conditions()
        self._sending_since_s: float | None = None
        self._slop_reported = False
        self._twin_since_s: float | None = None
        self._publisher = node.create_publisher(DiagnosticArray, "/diagnostics", 10)

    def report(self) -> None:
        """Look, log and publish; called periodically."""
        watched = self._watched
        pipeline, engine = watched.pipeline, watched.engine
        cameras = pipeline.cameras if pipeline is not None else CameraReport()  # once: lines and values agree
        self._conditions.tell(self._problems(cameras), self._node.get_logger())
        values = watched.barrier.values()
        if pipeline is not None and engine is not None:
            values |= pipeline_values(pipeline.snapshot(), pipeline.offsets)
            values |= camera_values(cameras)
            values["slop_ms"] = f"{1e3 * pipeline.slop_s:.2f}"
            values |= {
                **engine_values(engine), **gpu_values(engine.device_name), **budget_values(budget_state(engine))
            }  # fmt: skip
            values |= {f"topic_{each.camera}": each.topic for each in watched.inputs}
            values |= watched.outputs.topic_values() if watched.outputs is not None else {}
            if watched.config.estimates_time_offset:
                watched.time_offset.look(time.monotonic_ns())
                values |= watched.time_offset.values()
                watched.follow_time_offset()
            if watched.config.watch_registration:
                values |= watched.registration_watch.values()
        enabled = pipeline is None or pipeline.enabled
        self._publisher.publish(
            diagnostic_array(
                self._node.get_clock().now().to_msg(),
                self._node.get_fully_qualified_name().lstrip("/"),
                state=watched.state + ("" if enabled else ", disabled"),
                problems=self._conditions.lines,
                error=self._conditions.error,
                values=values,
                hardware_id=values.get("device", ""),
            )
        )

    def _problems(self, cameras: CameraReport) -> list[Problem]:
        watched = self._watched
        pipeline, outputs = watched.pipeline, watched.outputs
        found = [*watched.barrier.problems(), *self._twins()]
        if not watched.inputs or pipeline is None or outputs is None:
            self._sending_since_s = None
            return found
        config = watched.config
        infrared, rgb = (each.facts() for each in watched.inputs)
        clock = self._node.get_clock()
        inputs = [
            health.input_problem(infrared, config.input_timeout_s),
            health.input_problem(rgb, config.input_timeout_s),
            health.same_topic_problem(infrared, rgb),
            health.stamps_problem(infrared),
            health.stamps_problem(rgb),
            health.clock_problem(
                infrared,
                rgb,
                simulated=clock.ros_time_is_active,
                clock_set=clock.now().nanoseconds > 0,
                tolerance_s=self.clock_tolerance_s,
            ),
        ]
        pairing = [
            health.pairing_problem(pipeline.misses, pipeline.slop_s, config.pipeline.time_offset_s),
            health.delay_problem(pipeline.delays, config.pipeline.queue_size, infrared, rgb),
            watched.rig.problem,
        ]
        known = [each for each in (*inputs, *pairing) if each is not None]
        silent = [each.camera for each in (infrared, rgb) if each.silent_s > config.input_timeout_s]
        possible = (
            *known,
            *camera_problems(cameras, silent, calibrated=self._calibrated),
            health.starved_problem(infrared, rgb),
            health.starved_problem(rgb, infrared),
            health.offset_problem(pipeline.offsets, pipeline.slop_s, config.pipeline.time_offset_s),
            watched.time_offset.problem(watched.time_offset_s) if config.estimates_time_offset else None,
            watched.registration_watch.problem() if config.watch_registration else None,
            watched.rig.depth_problem,
            Problem("proportions", pipeline.stretched) if pipeline.stretched else None,
            *self._work(infrared, rgb, known),
            *health.budget_problems(budget_state(watched.engine)),
            *outputs.problems(),
        )
        self._tell_slop(infrared, rgb)
        return found + [each for each in possible if each is not None]

    def _calibrated(self, camera: str) -> bool:
        """Whether the confidence with a camera alone is known for these weights, or given."""
        config, engine = self._watched.config, self._watched.engine
        if engine is None or config.pipeline.single_confidence()[camera]:
            return True
        from segmif_ros.inference.single_confidence import is_calibrated  # torch comes with it, and has come

        return is_calibrated(engine.model_hash)

    def _work(self, infrared: health.InputFacts, rgb: health.InputFacts, known: list[Problem]) -> list[Problem | None]:
        """Return what is wrong with the work itself: nothing goes out, or too little."""
        watched = self._watched
        pipeline, engine, config = watched.pipeline, watched.engine, watched.config
        assert pipeline is not None
        sending = all(each.received and each.silent_s <= config.input_timeout_s for each in (infrared, rgb))
        now_s = time.monotonic()
        self._sending_since_s = (self._sending_since_s or now_s) if sending and pipeline.enabled else None
        if self._sending_since_s is None or engine is None:
            return []
        progress = pipeline.progress()
        computer = f"backend {engine.backend_name} on {engine.device_name}"
        silence = health.output_problem(
            progress, now_s - self._sending_since_s, config.output_timeout_s, computer, known
        )
        if silence is not None and not silence.error and watched.rig.problem is not None:
            silence = None  # the rig's own line is warning enough
        return [silence, health.slow_problem(progress, self._faster())]

    def _faster(self) -> list[str]:
        """Return what would make the network faster, as it is set up now."""
        config, engine = self._watched.config, self._watched.engine
        assert engine is not None
        better = {"cpu": "openvino", "cuda": "cuda_graph"}.get(engine.device_name.partition(":")[0])
        return [
            *([f"weights {FASTEST_WEIGHTS}"] if engine.model_name != FASTEST_WEIGHTS else []),
            *([f"backend {better}"] if better and engine.backend_name == "torch" else []),
            *(["frame_budget_ms"] if not config.frame_budget_ms else []),
        ]

    def _twins(self) -> list[Problem]:
        """Return that another node has this one's name: services, parameters and outputs get mixed up."""
        own, now_s = (self._node.get_name(), self._node.get_namespace()), time.monotonic()
        twin = self._node.get_node_names_and_namespaces().count(own) > 1
        self._twin_since_s = (self._twin_since_s or now_s) if twin else None
        if self._twin_since_s is None or now_s - self._twin_since_s < _TWIN_S:
            return []
        name = self._node.get_fully_qualified_name()
        line = f"there are two nodes {name}: end one of them, or give one another name or namespace (-r __ns:=/front)"
        return [Problem("twin", line)]

    def _tell_slop(self, infrared: health.InputFacts, rgb: health.InputFacts) -> None:
        """Say once that the slop is so large that it pairs frames of different moments."""
        line = health.slop_line(self._watched.config.pipeline.slop_s, infrared.rhythm, rgb.rhythm)
        if line and not self._slop_reported:
            self._slop_reported = True
            self._node.get_logger().warning(line)
