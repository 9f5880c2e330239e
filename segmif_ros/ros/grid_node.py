# SPDX-License-Identifier: Apache-2.0
"""grid_node: semantic maps and poses in, a planner's grid out.

In: ``segmentation/semantic_map``, ``segmentation/camera_info``, poses by /tf or ``odom`` or parameters, and a depth
image where there is one. Out: ``grid/cost``, ``grid/classes``, ``grid/confidence`` (nav_msgs/OccupancyGrid, latched),
``segmentation/points`` (aligned with the mask), ``grid/markers`` and ``/diagnostics``. Parameters:
`segmif_ros.ros.grid_config`.

A map whose pose, camera or classes can't be trusted changes no cell: it is left out, and the reason is said.
"""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from diagnostic_msgs.msg import DiagnosticArray
from nav_msgs.msg import OccupancyGrid
from rclpy.clock import Clock, ClockType, JumpThreshold, TimeJump
from rclpy.duration import Duration
from rclpy.lifecycle import LifecycleNode, LifecycleState, TransitionCallbackReturn
from sensor_msgs.msg import CameraInfo, Image, PointCloud2
from std_msgs.msg import Header

from segmif_ros.grid.costs import CostTable, read_costs
from segmif_ros.grid.errors import GridError, TransformError
from segmif_ros.grid.mapper import GroundMapper, LabelFrame
from segmif_ros.grid.points import points_of_depth, points_of_ground
from segmif_ros.grid.poses import Array, TransformBuffer
from segmif_ros.grid.rolling import GridMap
from segmif_ros.grid.view import GroundView, Pinhole
from segmif_ros.labels import LabelSet
from segmif_ros.rig.camera import CameraModel
from segmif_ros.rig.errors import CalibrationError
from segmif_ros.ros import health, parameters
from segmif_ros.ros.camera_infos import CameraInfoInput, camera_model
from segmif_ros.ros.diagnostics import diagnostic_array
from segmif_ros.ros.grid_config import NODE_NAME, GridNodeConfig, costs_file
from segmif_ros.ros.grid_messages import (
    depth_m,
    labels_of,
    marker_array,
    occupancy_grid,
    point_cloud,
)
from segmif_ros.ros.messages import semantic_map_type, stamp_ns
from segmif_ros.ros.outputs import LATCHED
from segmif_ros.ros.pose_inputs import PoseInputs
from segmif_ros.ros.process import run_node
from segmif_ros.ros.qos import PUBLISHER_EVENTS, SUBSCRIPTION_EVENTS, overridable, profile

MAP_TOPIC = "segmentation/semantic_map"
INFO_TOPIC = "segmentation/camera_info"
RETRY_S = 0.02  # how often a map that waits for its pose is looked at
HORIZON_PERIOD_S = 1.0
JUMP_BACK_NS = 1_000_000_000
_DEPTHS_KEPT = 15


@dataclass(frozen=True, kw_only=True, eq=False)
class _Waiting:
    """A map that waits for its pose: until when, by the steady clock."""

    message: Any
    until_s: float


@dataclass(kw_only=True)
class _Counts:
    maps: int = 0
    left_out: int = 0
    by_depth: int = 0
    last_ms: float = 0.0
    slowest_ms: float = 0.0


class GridNode(LifecycleNode):
    """The lifecycle node.

    Args:
        options: Of `rclpy.lifecycle.LifecycleNode`.

    Raises:
        segmif_ros.ros.parameters.ParameterError: If a parameter's value is not acceptable.
    """

    def __init__(self, **options: Any) -> None:
        super().__init__(NODE_NAME, **options)
        self._config = parameters.declare(self, GridNodeConfig)
        parameters.watch(self, self._config, self._apply, may_change=self._why_not_now)
        for name, line in parameters.undeclared_overrides(self).items():
            if not name.startswith("qos_overrides."):
                self.get_logger().warning(f"{line}; it is ignored")
        self._costs: CostTable | None = None
        self._publishers_of: dict[str, Any] = {}
        self._inputs: list[Any] = []
        self._poses: PoseInputs | None = None
        self._buffer = TransformBuffer()
        self._camera: CameraModel | None = None
        self._camera_problem = ""
        self._mapper: GroundMapper | None = None
        self._label_set: LabelSet | None = None
        self._rays: tuple[Pinhole, Any] | None = None
        self._depths: deque[Image] = deque(maxlen=_DEPTHS_KEPT)
        self._waiting: _Waiting | None = None
        self._refusal: health.Problem | None = None
        self._horizon = ""
        self._horizon_looked_s = self._map_came_s = -np.inf
        self._last_stamp_ns = 0
        self._counts = _Counts()
        self._conditions = health.Conditions()
        self._diagnostics = self.create_publisher(DiagnosticArray, "/diagnostics", 10)
        steady = Clock(clock_type=ClockType.STEADY_TIME)
        self.create_timer(self._config.diagnostics_period_s, self._report, clock=steady)
        self._retry = self.create_timer(RETRY_S, self._try_waiting, clock=steady)
        self._retry.cancel()
        back = JumpThreshold(min_forward=None, min_backward=Duration(nanoseconds=-JUMP_BACK_NS), on_clock_change=False)
        self._jumps = self.get_clock().create_jump_callback(back, post_callback=self._clock_jumped)

    def start(self) -> bool:
        """Configure and activate, if the parameter autostart says so; False if that failed."""
        if not self._config.autostart:
            self.get_logger().info("unconfigured: waiting for lifecycle transitions, because autostart is false")
            return True
        success = TransitionCallbackReturn.SUCCESS
        return self.trigger_configure() == success and self.trigger_activate() == success

    def close(self) -> bool:
        """Stop work for good."""
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
                config.mount()  # says what is missing
            self._costs = read_costs(costs_file(config))
            for topic, kind in (
                ("grid/cost", OccupancyGrid),
                ("grid/classes", OccupancyGrid),
                ("grid/confidence", OccupancyGrid),
                ("segmentation/points", PointCloud2),
                ("grid/markers", _marker_type()),
            ):
                latched = kind is OccupancyGrid
                self._publishers_of[topic] = self.create_lifecycle_publisher(
                    kind,
                    topic,
                    LATCHED if latched else profile("reliable", 5),
                    event_callbacks=PUBLISHER_EVENTS,
                    qos_overriding_options=None if latched else overridable(),
                )
        except (RuntimeError, ValueError, OSError, ImportError) as error:
            self.get_logger().error(f"can't configure: {' '.join(str(error).split())}")
            self._free()
            return TransitionCallbackReturn.FAILURE
        self._buffer = TransformBuffer(wait_s=config.tf_tolerance_s)
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
            self._subscribe(semantic_map_type()[0], MAP_TOPIC, self._take_map, config.input_reliability, 5)
            if config.depth_topic:
                self._subscribe(Image, config.depth_topic, self._take_depth, "best_effort", 5)
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
        self._camera = None
        self._camera_problem = ""

    def _free(self) -> None:
        for each in self._publishers_of.values():
            self.destroy_lifecycle_publisher(each)
        self._publishers_of.clear()
        self._costs = self._mapper = self._label_set = self._rays = None

    def _forget(self) -> None:
        self._waiting = self._refusal = None
        self._horizon = ""
        self._depths.clear()
        self._buffer.clear()
        self._last_stamp_ns = 0
        if self._mapper is not None:
            self._mapper.clear()

    # --- inputs ------------------------------------------------------------------------------------------------------

    def _take_info(self, _camera: str, message: CameraInfo) -> None:
        try:
            self._camera, self._camera_problem = camera_model(message), ""
        except CalibrationError as error:
            self._camera, self._camera_problem = None, f"{self.resolve_topic_name(INFO_TOPIC)}: {error}"

    def _take_depth(self, message: Image) -> None:
        self._depths.append(message)

    def _take_map(self, message: Any) -> None:
        now_s = time.monotonic()
        self._map_came_s = now_s
        self._counts.maps += 1
        stamp = stamp_ns(message.header)
        if stamp < self._last_stamp_ns - JUMP_BACK_NS:
            self.get_logger().info("the stamps jumped back: the grid starts anew")
            self._forget()
        self._last_stamp_ns = stamp
        if self._waiting is not None:  # its pose didn't come in time, and this one is newer
            self._counts.left_out += 1
        self._waiting = _Waiting(message=message, until_s=now_s + self._config.tf_timeout_s)
        self._try_waiting()

    def _try_waiting(self) -> None:
        """Use the map that waits if its pose is there; leave it out once its time is over."""
        waiting = self._waiting
        if waiting is None:
            self._retry.cancel()
            return
        try:
            self._use(waiting.message)
        except TransformError as error:
            if error.kind != "past" and time.monotonic() < waiting.until_s:
                self._retry.reset()
                return
            self._leave_out(health.Problem(f"tf {error.kind}", str(error)))
        except (GridError, CalibrationError) as error:
            self._leave_out(health.Problem("map refused", " ".join(str(error).split())))
        else:
            self._refusal = None
        self._waiting = None
        self._retry.cancel()

    def _leave_out(self, problem: health.Problem) -> None:
        self._counts.left_out += 1
        self._refusal = health.Problem(problem.kind, f"maps are left out, and cells stay as they are: {problem.line}")

    # --- work --------------------------------------------------------------------------------------------------------

    def _use(self, message: Any) -> None:
        started_s = time.perf_counter()
        if self._camera is None:
            reason = self._camera_problem or f"no {self.resolve_topic_name(INFO_TOPIC)} has come"
            raise GridError(f"{reason}: a calibrated camera is needed")
        stamp = stamp_ns(message.header)
        mount, base = self._pose_of_camera(message.header, stamp), self._pose_of_base(stamp)
        labels, confidence, label_set = labels_of(message)
        mapper = self._mapper_for(label_set)
        frame = LabelFrame(labels=labels, confidence=confidence, stamp_ns=stamp)
        depth = self._depth_at(stamp)
        pinhole = mapper.pinhole(self._camera, frame)
        view = GroundView.of(pinhole.K, mount, base, self._config.ground_z_m)
        points = None
        if depth is None:
            mapper.add(frame, self._camera, mount, base)
        else:
            self._counts.by_depth += 1
            points = points_of_depth(depth_m(depth), self._rays_of(pinhole))
            mapper.add_points(
                points.reshape(-1, 3) @ mount[:3, :3].T + mount[:3, 3],
                labels.reshape(-1),
                confidence.reshape(-1),
                stamp,
                sensor_at_base=mount[:3, 3],
                odom_from_base=base,
            )
        self._look_at_horizon(mapper, frame, view, pinhole)
        self._publish(mapper.map(), label_set, stamp)
        cloud = self._publishers_of["segmentation/points"]
        if cloud.get_subscription_count():
            if points is None:
                points = points_of_ground(
                    labels,
                    pinhole,
                    self._rays_of(pinhole),
                    view,
                    mount,
                    mapper.table,
                    ground_z_m=self._config.ground_z_m,
                    max_range_m=self._config.max_range_m,
                )
            cloud.publish(point_cloud(points, labels, confidence, message.header))
        counts = self._counts
        counts.last_ms = 1e3 * (time.perf_counter() - started_s)
        counts.slowest_ms = max(counts.slowest_ms, counts.last_ms)

    def _publish(self, grid: GridMap, label_set: LabelSet, stamp: int) -> None:
        frame_id = self._config.grid_frame
        for topic, values in (("cost", grid.cost), ("classes", grid.classes), ("confidence", grid.confidence)):
            # also while nobody listens: whoever comes later gets the last one
            self._publishers_of[f"grid/{topic}"].publish(occupancy_grid(values, grid.square, stamp, frame_id))
        markers = self._publishers_of["grid/markers"]
        if markers.get_subscription_count():
            markers.publish(marker_array(grid, label_set, stamp, frame_id))

    def _pose_of_camera(self, header: Header, stamp: int) -> Array:
        if self._config.camera_pose_from == "parameters":
            return self._config.mount()
        if not header.frame_id:
            raise GridError("the semantic map has no frame_id, so tf can't say where its camera is")
        return self._buffer.lookup(self._config.base_frame, header.frame_id, stamp)

    def _pose_of_base(self, stamp: int) -> Array:
        if self._config.odometry_from == "none":
            return np.eye(4)
        return self._buffer.lookup(self._config.odom_frame, self._config.base_frame, stamp)

    def _mapper_for(self, label_set: LabelSet) -> GroundMapper:
        assert self._costs is not None
        if self._mapper is None or self._mapper.table.names != label_set.names:
            self._mapper = GroundMapper(self._config.grid(), self._costs, label_set.names)
            for line in self._mapper.table.problems():
                self.get_logger().warning(line)
        self._label_set = label_set
        return self._mapper

    def _rays_of(self, pinhole: Pinhole) -> Any:
        if self._rays is None or self._rays[0] is not pinhole:
            self._rays = pinhole, pinhole.rays()
        return self._rays[1]

    def _depth_at(self, stamp: int) -> Image | None:
        if not self._config.depth_topic or not self._depths:
            return None
        nearest = min(self._depths, key=lambda each: abs(stamp_ns(each.header) - stamp))
        near = abs(stamp_ns(nearest.header) - stamp) <= 1e9 * self._config.depth_slop_s
        return nearest if near else None

    def _look_at_horizon(self, mapper: GroundMapper, frame: LabelFrame, view: GroundView, pinhole: Pinhole) -> None:
        now_s = time.monotonic()
        if now_s - self._horizon_looked_s >= HORIZON_PERIOD_S:
            self._horizon_looked_s = now_s
            self._horizon = mapper.horizon_problem(frame, view, pinhole) or ""

    # --- parameters and health ---------------------------------------------------------------------------------------

    def _why_not_now(self, row: parameters.ParameterRow) -> str | None:
        if row.changes is parameters.Changes.UNCONFIGURED and self._publishers_of:
            return "can change only while the node is unconfigured: deactivate and clean up first"
        return None

    def _apply(self, config: GridNodeConfig) -> None:
        if config.camera_pose_from == "parameters" and self._publishers_of:
            try:
                config.mount()
            except GridError as error:
                raise parameters.ParameterError(str(error)) from error
        self._config = config

    def _clock_jumped(self, _jump: TimeJump) -> None:
        self.get_logger().info("the clock jumped back: the grid starts anew")
        self._forget()

    def _problems(self) -> list[health.Problem]:
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
            found.append(health.Problem("no maps", line))
        if self._refusal is not None:
            found.append(self._refusal)
        if self._horizon:
            found.append(health.Problem("horizon", self._horizon))
        if self._mapper is not None:
            found += [health.Problem(f"costs {i}", line) for i, line in enumerate(self._mapper.table.problems())]
        if self._config.depth_topic and self._counts.maps and not self._depths:
            topic = self.resolve_topic_name(self._config.depth_topic)
            found.append(health.Problem("no depth", f"no depth comes on {topic}: the ground plane stands in"))
        return found

    def _report(self) -> None:
        began, ended = self._conditions.update(self._problems())
        for line in began:
            self.get_logger().warning(line)
        for line in ended:
            self.get_logger().info(f"solved: {line}")
        counts = self._counts
        self._diagnostics.publish(
            diagnostic_array(
                self.get_clock().now().to_msg(),
                self.get_fully_qualified_name().lstrip("/"),
                state=self._state_machine.current_state[1],
                problems=self._conditions.lines,
                values={
                    "maps": str(counts.maps),
                    "maps_left_out": str(counts.left_out),
                    "maps_by_depth": str(counts.by_depth),
                    "last_ms": f"{counts.last_ms:.2f}",
                    "slowest_ms": f"{counts.slowest_ms:.2f}",
                    "frames_of_tf": ", ".join(self._buffer.frames),
                },
                hardware_id="cpu",
                part="grid",
            )
        )


def _marker_type() -> Any:
    from visualization_msgs.msg import MarkerArray

    return MarkerArray


def main(args: Sequence[str] | None = None) -> int:
    """Run the node as a process; return its exit status."""
    return run_node(NODE_NAME, GridNode, args)


if __name__ == "__main__":
    raise SystemExit(main())
