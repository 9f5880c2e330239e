# SPDX-License-Identifier: Apache-2.0
"""Serialized messages of poses and grids in bags <-> plain values."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from segmif_ros.arrays import Float64Array
from segmif_ros.bag.messages import NS_PER_S, message_header, typestore
from segmif_ros.grid.evidence import Square
from segmif_ros.grid.poses import quaternion, transform

OCCUPANCY_GRID = "nav_msgs/msg/OccupancyGrid"
ODOMETRY = "nav_msgs/msg/Odometry"
TF_MESSAGE = "tf2_msgs/msg/TFMessage"


def grid_message(values: npt.NDArray[np.int8], square: Square, stamp_ns: int, frame_id: str) -> memoryview:
    """Return (N, N) int8 cells as a serialized OccupancyGrid."""
    types = typestore().types
    header = message_header(stamp_ns, frame_id)
    origin = types["geometry_msgs/msg/Pose"](
        position=types["geometry_msgs/msg/Point"](x=square.x_m, y=square.y_m, z=0.0),
        orientation=types["geometry_msgs/msg/Quaternion"](x=0.0, y=0.0, z=0.0, w=1.0),
    )
    info = types["nav_msgs/msg/MapMetaData"](
        map_load_time=header.stamp,
        resolution=float(np.float32(square.cell_m)),
        width=square.cells,
        height=square.cells,
        origin=origin,
    )
    message = types[OCCUPANCY_GRID](header=header, info=info, data=np.ascontiguousarray(values).reshape(-1))
    return typestore().serialize_cdr(message, OCCUPANCY_GRID)


@dataclass(frozen=True, kw_only=True, eq=False)
class RecordedGrid:
    """An OccupancyGrid of a bag: its stamp, int8 cells (rows, columns), and the corner of cell (0, 0) in metres."""

    stamp_ns: int
    cells: npt.NDArray[np.int8]
    x_m: float
    y_m: float
    cell_m: float


def grid_of(raw: bytes | memoryview) -> RecordedGrid:
    """Return a serialized OccupancyGrid."""
    message: Any = typestore().deserialize_cdr(raw, OCCUPANCY_GRID)
    corner = message.info.origin.position
    return RecordedGrid(
        stamp_ns=_stamp_ns(message.header),
        cells=np.asarray(message.data, np.int8).reshape(message.info.height, message.info.width),
        x_m=corner.x,
        y_m=corner.y,
        cell_m=float(message.info.resolution),
    )


def odometry_message(odom_from_base: Float64Array, stamp_ns: int, frame_id: str, child_frame_id: str) -> memoryview:
    """Return a pose as a serialized Odometry; twist and covariances are 0."""
    types = typestore().types
    x, y, z, w = quaternion(odom_from_base)
    pose = types["geometry_msgs/msg/Pose"](
        position=types["geometry_msgs/msg/Point"](**dict(zip("xyz", _place(odom_from_base), strict=True))),
        orientation=types["geometry_msgs/msg/Quaternion"](x=x, y=y, z=z, w=w),
    )
    still = types["geometry_msgs/msg/Vector3"](x=0.0, y=0.0, z=0.0)
    message = types[ODOMETRY](
        header=message_header(stamp_ns, frame_id),
        child_frame_id=child_frame_id,
        pose=types["geometry_msgs/msg/PoseWithCovariance"](pose=pose, covariance=np.zeros(36)),
        twist=types["geometry_msgs/msg/TwistWithCovariance"](
            twist=types["geometry_msgs/msg/Twist"](linear=still, angular=still), covariance=np.zeros(36)
        ),
    )
    return typestore().serialize_cdr(message, ODOMETRY)


def odometry_of(raw: bytes | memoryview) -> tuple[int, str, str, Float64Array]:
    """Return stamp, frame, child frame and parent_from_child of an Odometry; GridError if it holds no pose."""
    message: Any = typestore().deserialize_cdr(raw, ODOMETRY)
    at, turned = message.pose.pose.position, message.pose.pose.orientation
    matrix = transform((at.x, at.y, at.z), (turned.x, turned.y, turned.z, turned.w))
    return _stamp_ns(message.header), message.header.frame_id, message.child_frame_id, matrix


def transforms_message(transforms: list[tuple[str, str, Float64Array]], stamp_ns: int) -> memoryview:
    """Return (parent, child, parent_from_child) as a serialized TFMessage."""
    types = typestore().types
    made = []
    for parent, child, matrix in transforms:
        x, y, z, w = quaternion(matrix)
        made.append(
            types["geometry_msgs/msg/TransformStamped"](
                header=message_header(stamp_ns, parent),
                child_frame_id=child,
                transform=types["geometry_msgs/msg/Transform"](
                    translation=types["geometry_msgs/msg/Vector3"](**dict(zip("xyz", _place(matrix), strict=True))),
                    rotation=types["geometry_msgs/msg/Quaternion"](x=x, y=y, z=z, w=w),
                ),
            )
        )
    return typestore().serialize_cdr(types[TF_MESSAGE](transforms=made), TF_MESSAGE)


def transforms_of(raw: bytes | memoryview) -> list[tuple[int, str, str, Float64Array]]:
    """Return (stamp, parent, child, parent_from_child) of a TFMessage; GridError if one isn't a transform."""
    message: Any = typestore().deserialize_cdr(raw, TF_MESSAGE)
    found = []
    for each in message.transforms:
        moved, turned = each.transform.translation, each.transform.rotation
        matrix = transform((moved.x, moved.y, moved.z), (turned.x, turned.y, turned.z, turned.w))
        found.append((_stamp_ns(each.header), each.header.frame_id, each.child_frame_id, matrix))
    return found


def _place(matrix: Float64Array) -> list[float]:
    return [float(each) for each in matrix[:3, 3]]


def _stamp_ns(header: Any) -> int:
    return int(header.stamp.sec) * NS_PER_S + int(header.stamp.nanosec)
