# SPDX-License-Identifier: Apache-2.0
"""From one semantic map to everything that grid_node publishes."""

from __future__ import annotations

import time
from dataclasses import dataclass
from typing import Any

import numpy as np
from nav_msgs.msg import OccupancyGrid
from rclpy.lifecycle import LifecycleNode
from sensor_msgs.msg import PointCloud2
from std_msgs.msg import Header
from visualization_msgs.msg import MarkerArray

from segmif_ros.arrays import Float64Array
from segmif_ros.grid.costs import CostTable
from segmif_ros.grid.errors import GridError
from segmif_ros.grid.ground_view import GroundView, UndistortedView
from segmif_ros.grid.mapper import GroundMapper, LabelFrame
from segmif_ros.grid.point_cloud import points_of_ground
from segmif_ros.grid.poses import TransformBuffer
from segmif_ros.grid.rolling import GridMap
from segmif_ros.labels import LabelSet
from segmif_ros.rig.camera_model import CameraModel
from segmif_ros.ros.grid_config import GridNodeConfig
from segmif_ros.ros.grid_depth import GridDepth, MapPlace
from segmif_ros.ros.grid_messages import labels_of, marker_array, occupancy_grid, point_cloud
from segmif_ros.ros.messages import stamp_ns
from segmif_ros.ros.outputs import LATCHED
from segmif_ros.ros.qos import PUBLISHER_EVENTS, overridable, profile

HORIZON_PERIOD_S = 1.0
# SemanticMap.cameras, where the message has it -> what a map rests on
_CAMERAS = {1: "infrared alone", 2: "rgb alone", 3: "both"}
_LATCHED_TOPICS = ("grid/cost", "grid/classes", "grid/confidence")


@dataclass(kw_only=True)
class GridCounts:
    """What happened to the maps so far."""

    maps: int = 0
    left_out: int = 0
    by_depth: int = 0
    last_ms: float = 0.0
    slowest_ms: float = 0.0


class GridOutputs:
    """The grid of one configured node, and its publishers.

    Args:
        node: Publishes; only while it is active, as lifecycle publishers do.
        config: The node's.
        costs: Of classes.
        buffer: Knows where the robot and its camera are.
        counts: Told of what happens.

    Attributes:
        depth: Takes the messages of the depth topic.
        camera: The mask's, None until camera_info has come.
        why_no_camera: In words.
        horizon: Why the horizon isn't where it should be, in words, or empty.
        cameras: Which cameras the last map rests on, in words, empty where it doesn't say.
    """

    def __init__(
        self, node: LifecycleNode, config: GridNodeConfig, costs: CostTable, buffer: TransformBuffer, counts: GridCounts
    ) -> None:
        self._node, self._costs, self._buffer, self._counts = node, costs, buffer, counts
        self.config = config
        self.camera: CameraModel | None = None
        self.why_no_camera = ""
        self.horizon = self.cameras = ""
        self._horizon_looked_s = -np.inf
        self._mapper: GroundMapper | None = None
        self._rays: tuple[UndistortedView, Any] | None = None
        self.depth = GridDepth(config, buffer)
        self._publishers: dict[str, Any] = {}
        try:
            for topic in _LATCHED_TOPICS:
                self._publishers[topic] = node.create_lifecycle_publisher(
                    OccupancyGrid, topic, LATCHED, event_callbacks=PUBLISHER_EVENTS
                )
            for kind, topic in ((PointCloud2, "segmentation/points"), (MarkerArray, "grid/markers")):
                self._publishers[topic] = node.create_lifecycle_publisher(
                    kind,
                    topic,
                    profile("reliable", 5),
                    event_callbacks=PUBLISHER_EVENTS,
                    qos_overriding_options=overridable(),
                )
        except RuntimeError:  # a wrong QoS override
            self.close()
            raise

    def close(self) -> None:
        """Destroy the publishers."""
        for each in self._publishers.values():
            self._node.destroy_lifecycle_publisher(each)
        self._publishers.clear()

    def forget(self) -> None:
        """Forget the ground: all cells are unknown."""
        self.horizon = ""
        self.depth.forget()
        if self._mapper is not None:
            self._mapper.clear()

    @property
    def mapper(self) -> GroundMapper | None:
        """The grid, once a map has come."""
        return self._mapper

    def wanted(self, topic: str) -> bool:
        """Return whether somebody subscribes to an output."""
        return bool(self._publishers[topic].get_subscription_count())

    def use(self, message: Any) -> None:
        """Take in a segmif_ros/SemanticMap and publish what comes of it.

        Raises:
            GridError: With one line, if camera, pose or map don't allow it; no cell has changed then.
        """
        started_s = time.perf_counter()
        if self.camera is None:
            reason = self.why_no_camera or "no segmentation/camera_info has come"
            raise GridError(f"{reason}: a calibrated camera is needed")
        stamp = stamp_ns(message.header)
        mount, base = self._pose_of_camera(message.header, stamp), self._pose_of_base(stamp)
        labels, confidence, label_set = labels_of(message)
        self.cameras = _CAMERAS.get(getattr(message, "cameras", 0), "")
        mapper = self.mapper_for(label_set)
        frame = LabelFrame(labels=labels, confidence=confidence, stamp_ns=stamp)
        pinhole = mapper.pinhole(self.camera, frame)
        view = GroundView.of(pinhole.K, mount, base, self.config.grid.ground_z_m)
        if not self.config.remembers:
            mapper.clear()
        rays = self._rays_of(pinhole)
        place = MapPlace(
            stamp_ns=stamp, frame_id=message.header.frame_id, pinhole=pinhole, rays=rays, mount=mount, base=base
        )
        measured = self.depth.at(place) if self.config.depth_topic else None
        if measured is None:
            mapper.add(frame, self.camera, mount, base)
        else:
            self._counts.by_depth += 1
            mapper.add_points(
                measured.base,
                labels[measured.rows, measured.columns],
                confidence[measured.rows, measured.columns],
                stamp,
                sensor_at_base=measured.sensor_at_base,
                odom_from_base=base,
            )
        self._look_at_horizon(mapper, frame, view, pinhole)
        self._publish(mapper.map(), label_set, stamp)
        if self.wanted("segmentation/points"):
            if measured is not None:
                points = measured.aligned
            else:
                points = points_of_ground(
                    labels,
                    pinhole,
                    rays,
                    view,
                    mount,
                    mapper.table,
                    ground_z_m=self.config.grid.ground_z_m,
                    max_range_m=self.config.grid.max_range_m,
                )
            self._publishers["segmentation/points"].publish(point_cloud(points, labels, confidence, message.header))
        self._counts.last_ms = 1e3 * (time.perf_counter() - started_s)
        self._counts.slowest_ms = max(self._counts.slowest_ms, self._counts.last_ms)

    def mapper_for(self, label_set: LabelSet) -> GroundMapper:
        """Return the grid of a label set; other classes than before begin a new one."""
        if self._mapper is None or self._mapper.table.names != label_set.names:
            self._mapper = GroundMapper(self.config.mapped(), self._costs, label_set.names)
        return self._mapper

    def _publish(self, grid: GridMap, label_set: LabelSet, stamp: int) -> None:
        frame_id = self.config.grid_frame
        for topic, values in zip(_LATCHED_TOPICS, (grid.cost, grid.classes, grid.confidence), strict=True):
            # also while nobody listens: late subscribers get the last one
            self._publishers[topic].publish(occupancy_grid(values, grid.square, stamp, frame_id))
        if self.wanted("grid/markers"):
            self._publishers["grid/markers"].publish(marker_array(grid, label_set, stamp, frame_id))

    def _pose_of_camera(self, header: Header, stamp: int) -> Float64Array:
        if self.config.camera_pose_from == "parameters":
            return self.config.mount()
        if not header.frame_id:
            raise GridError("the semantic map has no frame_id, so tf can't say where its camera is")
        return self._buffer.lookup(self.config.base_frame, header.frame_id, stamp)

    def _pose_of_base(self, stamp: int) -> Float64Array:
        if not self.config.remembers:
            return np.eye(4)
        return self._buffer.lookup(self.config.odom_frame, self.config.base_frame, stamp)

    def _rays_of(self, pinhole: UndistortedView) -> Any:
        if self._rays is None or self._rays[0] is not pinhole:
            self._rays = pinhole, pinhole.rays()
        return self._rays[1]

    def _look_at_horizon(
        self, mapper: GroundMapper, frame: LabelFrame, view: GroundView, pinhole: UndistortedView
    ) -> None:
        now_s = time.monotonic()
        if now_s - self._horizon_looked_s >= HORIZON_PERIOD_S:
            self._horizon_looked_s = now_s
            self.horizon = mapper.horizon_problem(frame, view, pinhole) or ""
