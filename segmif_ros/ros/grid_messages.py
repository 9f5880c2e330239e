# SPDX-License-Identifier: Apache-2.0
"""The grid as messages, and poses out of messages."""

from __future__ import annotations

import array
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt
from geometry_msgs.msg import Point, Pose, Quaternion
from nav_msgs.msg import MapMetaData, OccupancyGrid, Odometry
from sensor_msgs.msg import PointCloud2, PointField
from std_msgs.msg import ColorRGBA, Header

from segmif_ros.arrays import Float32Array, Float64Array, Image
from segmif_ros.grid.errors import GridError
from segmif_ros.grid.poses import transform
from segmif_ros.labels import LabelSet
from segmif_ros.ros.messages import byte_array, make_header, stamp_ns

if TYPE_CHECKING:  # segmif_node takes poses alone from here
    from segmif_ros.grid.evidence import Square
    from segmif_ros.grid.rolling import GridMap

POINT_BYTES = 16
_FIELDS = (
    ("x", 0, PointField.FLOAT32),
    ("y", 4, PointField.FLOAT32),
    ("z", 8, PointField.FLOAT32),
    ("class", 12, PointField.UINT8),
    ("confidence", 13, PointField.UINT8),
)
_POINT_TYPE = np.dtype(
    {
        "names": ["xyz", "class", "confidence"],
        "formats": ["(3,)<f4", "u1", "u1"],
        "offsets": [0, 12, 13],
        "itemsize": POINT_BYTES,
    }
)
_MARKER_HEIGHT_M = 0.5


def occupancy_grid(values: npt.NDArray[np.int8], square: Square, stamp: int, frame_id: str) -> OccupancyGrid:
    """Return cells as a message.

    Args:
        values: (N, N) int8, 0 to 100, -1 where nothing is known.
        square: Where the cells are.
        stamp: Nanoseconds.
        frame_id: Of the grid.
    """
    header = make_header(stamp, frame_id)
    data = array.array("b")
    data.frombytes(np.ascontiguousarray(values).data.cast("B"))
    return OccupancyGrid(
        header=header,
        info=MapMetaData(
            map_load_time=header.stamp,
            resolution=float(np.float32(square.cell_m)),
            width=square.cells,
            height=square.cells,
            origin=Pose(position=Point(x=square.x_m, y=square.y_m, z=0.0), orientation=Quaternion(w=1.0)),
        ),
        data=data,
    )


def point_cloud(points: Float32Array, labels: Image, confidence: Image, header: Header) -> PointCloud2:
    """Return an organised cloud: point (row, column) is pixel (row, column) of the mask; NaN where it isn't known.

    Args:
        points: (H, W, 3) metres in the header's frame.
        labels: (H, W) class ids.
        confidence: (H, W).
        header: Used as it is, not copied.
    """
    height, width = labels.shape
    packed = np.zeros((height, width), _POINT_TYPE)
    packed["xyz"], packed["class"], packed["confidence"] = points, labels, confidence
    return PointCloud2(
        header=header,
        height=height,
        width=width,
        fields=[PointField(name=name, offset=at, datatype=kind, count=1) for name, at, kind in _FIELDS],
        is_bigendian=False,
        point_step=POINT_BYTES,
        row_step=POINT_BYTES * width,
        data=byte_array(packed.view(np.uint8)),
        is_dense=False,
    )


def marker_array(grid: GridMap, label_set: LabelSet, stamp: int, frame_id: str, lethal: int = 50) -> Any:
    """Return a visualization_msgs/MarkerArray with a box on each blocked cell in the colour of its class.

    Args:
        grid: The grid.
        label_set: Gives the colours.
        stamp: Nanoseconds.
        frame_id: Of the grid.
        lethal: Cells of this cost and above are shown.
    """
    from visualization_msgs.msg import Marker, MarkerArray

    rows, columns = np.nonzero(grid.cost >= lethal)
    x, y = grid.square.centres()
    colours = label_set.palette[np.clip(grid.classes[rows, columns], 0, None)] / 255.0
    marker = Marker(header=make_header(stamp, frame_id), ns="grid", id=0, type=Marker.CUBE_LIST, action=Marker.ADD)
    marker.pose.orientation.w = 1.0
    marker.scale.x = marker.scale.y = grid.square.cell_m
    marker.scale.z = _MARKER_HEIGHT_M
    marker.color.a = 1.0
    if not len(rows):
        marker.action = Marker.DELETE
    middle = _MARKER_HEIGHT_M / 2
    marker.points = [Point(x=float(px), y=float(py), z=middle) for px, py in zip(x[columns], y[rows], strict=True)]
    marker.colors = [ColorRGBA(r=float(r), g=float(g), b=float(b), a=0.9) for r, g, b in colours]
    return MarkerArray(markers=[marker])


def pose_of(message: Odometry) -> Float64Array:
    """Return (4, 4) odom_from_base of an odometry message; GridError if it holds no pose."""
    position, turned = message.pose.pose.position, message.pose.pose.orientation
    return transform((position.x, position.y, position.z), (turned.x, turned.y, turned.z, turned.w))


def pose_of_transform(message: Any) -> Float64Array:
    """Return (4, 4) parent_from_child of a geometry_msgs/Transform; GridError if it isn't one."""
    moved, turned = message.translation, message.rotation
    return transform((moved.x, moved.y, moved.z), (turned.x, turned.y, turned.z, turned.w))


def labels_of(message: Any) -> tuple[Image, Image, LabelSet]:
    """Return labels, confidence (H, W) and the label set of a segmif_ros/SemanticMap; GridError if sizes don't fit."""
    size = message.height * message.width
    if not size or len(message.labels) != size or len(message.confidence) != size:
        raise GridError(
            f"a semantic map of {message.width}x{message.height} has {len(message.labels)} labels and "
            f"{len(message.confidence)} confidences"
        )
    shape = message.height, message.width
    labels, confidence = (np.frombuffer(each, np.uint8).reshape(shape) for each in (message.labels, message.confidence))
    if [each.id for each in message.classes] != list(range(len(message.classes))):
        raise GridError("the semantic map's classes aren't in the order of their ids")
    palette = np.array([(each.r, each.g, each.b) for each in message.classes], np.uint8).reshape(-1, 3)
    return labels, confidence, LabelSet(name="map", names=tuple(each.name for each in message.classes), palette=palette)


def stamp_of(header: Header) -> int:
    """Return the header's stamp in nanoseconds."""
    return stamp_ns(header)
