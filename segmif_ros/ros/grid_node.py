# SPDX-License-Identifier: Apache-2.0
"""grid_node: semantic maps and poses in, a planner's grid out.

In: ``segmentation/semantic_map``, ``segmentation/camera_info``, poses by /tf or ``odom`` or parameters, and a depth
image or a point cloud where there is one. Out: ``grid/cost``, ``grid/classes``, ``grid/confidence``
(nav_msgs/OccupancyGrid, latched), ``segmentation/points`` (aligned with the mask), ``grid/markers`` and
``/diagnostics``. Parameters: `segmif_ros.ros.grid_config`.

A map whose pose, camera or classes can't be trusted changes no cell: it is left out, and the reason is logged.
"""

from __future__ import annotations

import time
from collections import deque
from dataclasses import dataclass
from typing import Any

from diagnostic_msgs.msg import DiagnosticArray
from rclpy.clock import Clock, ClockType, JumpThreshold, TimeJump
from rclpy.duration import Duration
from rclpy.lifecycle import LifecycleNode, LifecycleState, TransitionCallbackReturn
from sensor_msgs.msg import CameraInfo, Image, PointCloud2

from segmif_ros.grid.costs import read_costs
from segmif_ros.grid.errors import GridError, TransformError
from segmif_ros.grid.poses import TransformBuffer
from segmif_ros.rig.errors import CalibrationError
from segmif_ros.ros import parameters
from segmif_ros.ros.barrier import GuardedNode
from segmif_ros.ros.camera_infos import CameraInfoInput, camera_model
from segmif_ros.ros.diagnostics import diagnostic_array
from segmif_ros.ros.grid_config import NODE_NAME, GridNodeConfig, costs_file
from segmif_ros.ros.grid_outputs import GridCounts, GridOutputs
from segmif_ros.ros.messages import semantic_map_type, stamp_ns
from segmif_ros.ros.parameter_sets import ParameterSets
from segmif_ros.ros.pose_inputs import PoseInputs
from segmif_ros.ros.problems import Conditions, Problem
from segmif_ros.ros.qos import SUBSCRIPTION_EVENTS, overridable, profile
from segmif_ros.settings import Changes, Setting, SettingError

MAP_TOPIC = "segmentation/semantic_map"
INFO_TOPIC = "segmentation/camera_info"
RETRY_S = 0.02  # how often maps that wait for their pose are looked at
JUMP_BACK_NS = 1_000_000_000
MOST_WAITING = 10


@dataclass(frozen=True, kw_only=True, eq=False)
class _Waiting:
    """A map that waits for its pose: until when, by the steady clock."""

    message: Any
    until_s: float


class GridNode(ParameterSets, GuardedNode, LifecycleNode):
    """The lifecycle node.

    Args:
        options: Of `rclpy.lifecycle.LifecycleNode`.

    Raises:
        segmif_ros.settings.SettingError: If a parameter's value is not acceptable.
    """

    def __init__(self, **options: Any) -> None:
        super().__init__(NODE_NAME, **options)
        self._config = parameters.declare(self, GridNodeConfig)
        parameters.watch(self, self._config, self._apply, may_change=self._why_not_now)
        for name, line in parameters.undeclared_overrides(self).items():
            if not name.startswith("qos_overrides."):
                self.get_logger().warning(f"{line}; it is ignored")
        self._outputs: GridOutputs | None = None
        self._inputs: list[Any] = []
        self._poses: PoseInputs | None = None
        self._buffer = TransformBuffer()
        self._waiting: deque[_Waiting] = deque()
        self._refusal: Problem | None = None
        self._map_came_s = 0.0
        self._last_stamp_ns = 0
        self._counts = GridCounts()
        self._conditions = Conditions()
        self._diagnostics = self.create_publisher(DiagnosticArray, "/diagnostics", 10)
        steady = Clock(clock_type=ClockType.STEADY_TIME)
        self.create_timer(self._config.life.diagnostics_period_s, self._report, clock=steady)
        self._retry = self.create_timer(RETRY_S, self._use_waiting, clock=steady)
        self._retry.cancel()
        back = JumpThreshold(min_forward=None, min_backward=Duration(nanoseconds=-JUMP_BACK_NS), on_clock_change=False)
        jumped = self.barrier.around("clock jump", self._clock_jumped)
        self._jumps = self.get_clock().create_jump_callback(back, post_callback=jumped)

    def start(self) -> bool:
        """Configure and activate, if the parameter autostart is set; False if that failed."""
        if not self._config.life.autostart:
            self.get_logger().info("unconfigured: waiting for lifecycle transitions, because autostart is false")
            return True
        success = TransitionCallbackReturn.SUCCESS
        return self.trigger_configure() == success and self.trigger_activate() == success

    def close(self) -> bool:
        """Stop work for good; return True."""
        self._unsubscribe()
        if self._state_machine.current_state[1] in ("unconfigured", "inactive", "active"):
            self.trigger_shutdown()
        return True

    # --- lifecycle ---------------------------------------------------------------------------------------------------

    def on_configure(self, state: LifecycleState) -> TransitionCallbackReturn:
        """Read the costs and create the outputs."""
        config = self._config
        try:
            if semantic_map_type()[0] is None:
                raise GridError(f"{MAP_TOPIC} can't be received: {semantic_map_type()[1]}")
            if config.camera_pose_from == "parameters":
                config.mount()  # raises if something is missing
            self._buffer = TransformBuffer(wait_s=config.tf_tolerance_s)
            self._counts = GridCounts()
            self._outputs = GridOutputs(self, config, read_costs(costs_file(config)), self._buffer, self._counts)
        except (RuntimeError, ValueError, OSError) as error:
            self.get_logger().error(f"can't configure: {' '.join(str(error).split())}")
            self._free()
            return TransitionCallbackReturn.FAILURE
        return super().on_configure(state)

    def on_activate(self, state: LifecycleState) -> TransitionCallbackReturn:
        """Subscribe."""
        config = self._config
        result = super().on_activate(state)
        self._map_came_s = time.monotonic()
        try:
            self._poses = PoseInputs(
                self,
                self._buffer,
                use_tf="tf" in (config.camera_pose_from, config.odometry_from),
                use_odometry=config.odometry_from == "topic",
                base_frame=config.base_frame,
            )
            self._inputs.append(CameraInfoInput(self, "segmentation", profile("reliable", 5), self._take_info))
            self._subscribe(semantic_map_type()[0], MAP_TOPIC, self._take_map, config.input_qos.reliability, 5)
            if config.depth_topic:
                kind = Image if config.depth_source == "image" else PointCloud2
                self._subscribe(kind, config.depth_topic, self._take_depth, "best_effort", 5)
        except RuntimeError as error:  # QoS overrides
            self.get_logger().error(f"can't activate: {' '.join(str(error).split())}")
            self._unsubscribe()
            super().on_deactivate(state)
            return TransitionCallbackReturn.FAILURE
        self.get_logger().info(
            f"active: {self.resolve_topic_name(MAP_TOPIC)} becomes {self.resolve_topic_name('grid/cost')} in "
            f"'{config.grid_frame}'; camera pose from {config.camera_pose_from}, odometry from {config.odometry_from}"
        )
        return result

    def on_deactivate(self, state: LifecycleState) -> TransitionCallbackReturn:
        """Unsubscribe; the grid is forgotten, because nobody watches the ground meanwhile."""
        self._unsubscribe()
        return super().on_deactivate(state)

    def on_cleanup(self, state: LifecycleState) -> TransitionCallbackReturn:
        """Destroy the outputs."""
        self._free()
        return super().on_cleanup(state)

    def on_shutdown(self, state: LifecycleState) -> TransitionCallbackReturn:
        """Stop work and free everything."""
        self._unsubscribe()
        self._free()
        return super().on_shutdown(state)

    def on_error(self, state: LifecycleState) -> TransitionCallbackReturn:
        """Free everything, so that the node can be configured again."""
        self._unsubscribe()
        self._free()
        return super().on_error(state)

    def _subscribe(self, kind: Any, topic: str, take: Any, reliability: str, depth: int) -> None:
        subscription = self.create_subscription(
            kind,
            topic,
            take,
            profile(reliability, depth),
            event_callbacks=SUBSCRIPTION_EVENTS,
            qos_overriding_options=overridable(),
        )
        self._inputs.append(subscription)

    def _unsubscribe(self) -> None:
        for each in self._inputs:
            if isinstance(each, CameraInfoInput):
                each.close()
            else:
                self.destroy_subscription(each)
        self._inputs.clear()
        if self._poses is not None:
            self._poses.close()
            self._poses = None
        self._retry.cancel()
        self._forget()
        if self._outputs is not None:
            self._outputs.camera, self._outputs.why_no_camera = None, ""

    def _free(self) -> None:
        if self._outputs is not None:
            self._outputs.close()
        self._outputs = None

    def _forget(self) -> None:
        self._waiting.clear()
        self._refusal = None
        self._buffer.clear()
        self._last_stamp_ns = 0
        if self._outputs is not None:
            self._outputs.forget()

    # --- inputs ------------------------------------------------------------------------------------------------------

    def _take_info(self, _camera: str, message: CameraInfo) -> None:
        assert self._outputs is not None
        try:
            self._outputs.camera = camera_model(message)
        except CalibrationError as error:
            self._outputs.camera = None
            self._outputs.why_no_camera = f"{self.resolve_topic_name(INFO_TOPIC)}: {error}"

    def _take_depth(self, message: Image | PointCloud2) -> None:
        assert self._outputs is not None
        self._outputs.depth.take(message)

    def _take_map(self, message: Any) -> None:
        now_s = time.monotonic()
        self._map_came_s = now_s
        self._counts.maps += 1
        stamp = stamp_ns(message.header)
        if stamp < self._last_stamp_ns - JUMP_BACK_NS:
            self.get_logger().info("the stamps jumped back: the grid restarts")
            self._forget()
        self._last_stamp_ns = stamp
        if len(self._waiting) >= MOST_WAITING:
            self._waiting.popleft()
            self._counts.left_out += 1
        self._waiting.append(_Waiting(message=message, until_s=now_s + self._config.tf_timeout_s))
        self._use_waiting()

    def _use_waiting(self) -> None:
        """Use the maps whose pose is there, in order; leave out those whose time is over."""
        while self._waiting:
            waiting = self._waiting[0]
            assert self._outputs is not None
            try:
                self._outputs.use(waiting.message)
            except TransformError as error:
                if error.kind != "past" and time.monotonic() < waiting.until_s:
                    self._retry.reset()
                    return
                self._leave_out(Problem(f"tf {error.kind}", str(error)))
            except (GridError, CalibrationError) as error:
                self._leave_out(Problem("map refused", " ".join(str(error).split())))
            else:
                self._refusal = None
            self._waiting.popleft()
        self._retry.cancel()

    def _leave_out(self, problem: Problem) -> None:
        self._counts.left_out += 1
        self._refusal = Problem(problem.kind, f"maps are left out, and cells stay as they are: {problem.line}")

    # --- parameters and health ---------------------------------------------------------------------------------------

    def _why_not_now(self, row: Setting) -> str | None:
        if row.changes is Changes.UNCONFIGURED and self._outputs is not None:
            return "can change only while the node is unconfigured: deactivate and clean up first"
        return None

    def _apply(self, config: GridNodeConfig) -> None:
        if self._outputs is not None:
            if config.camera_pose_from == "parameters":
                try:
                    config.mount()
                except GridError as error:
                    raise SettingError(str(error)) from error
            self._outputs.config = config
        self._config = config

    def _clock_jumped(self, _jump: TimeJump) -> None:
        self.get_logger().info("the clock jumped back: the grid restarts")
        self._forget()

    def _problems(self) -> list[Problem]:
        if not self._inputs:
            return []
        found = list(self._poses.problems()) if self._poses is not None else []
        silent_s = time.monotonic() - self._map_came_s
        if silent_s > self._config.input_timeout_s:
            topic = self.resolve_topic_name(MAP_TOPIC)
            if self.count_publishers(topic):
                line = (
                    f"{topic} has a publisher, but no map has come for {silent_s:.0f} s: see segmif_node's diagnostics"
                )
            else:
                line = f"nobody publishes {topic}: start segmif_node, or remap it"
            found.append(Problem("no maps", line))
        if self._refusal is not None:
            found.append(self._refusal)
        outputs = self._outputs
        if outputs is None:
            return found
        if outputs.horizon:
            found.append(Problem("horizon", outputs.horizon))
        if outputs.mapper is not None:
            found += [Problem(f"costs {i}", line) for i, line in enumerate(outputs.mapper.table.problems())]
        if self._config.depth_topic and self._counts.maps and not outputs.depth.has_come:
            topic = self.resolve_topic_name(self._config.depth_topic)
            found.append(Problem("no depth", f"no depth comes on {topic}: the ground plane stands in"))
        return found

    def _report(self) -> None:
        self._conditions.tell([*self._problems(), *self.barrier.problems()], self.get_logger())
        counts = self._counts
        self._diagnostics.publish(
            diagnostic_array(
                self.get_clock().now().to_msg(),
                self.get_fully_qualified_name().lstrip("/"),
                state=self._state_machine.current_state[1],
                problems=self._conditions.lines,
                values={
                    **self.barrier.values(),
                    "maps": str(counts.maps),
                    "maps_left_out": str(counts.left_out),
                    "maps_by_depth": str(counts.by_depth),
                    "last_ms": f"{counts.last_ms:.2f}",
                    "slowest_ms": f"{counts.slowest_ms:.2f}",
                    "frames_of_tf": ", ".join(self._buffer.frames),
                    "cameras": "" if self._outputs is None else self._outputs.cameras,
                },
                hardware_id="cpu",
                part="grid",
            )
        )
