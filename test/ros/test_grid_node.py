# SPDX-License-Identifier: Apache-2.0
"""grid_node over real DDS: what a planner gets, and what is said where it gets nothing."""

import time
from collections import defaultdict
from types import SimpleNamespace

import numpy as np
import pytest
from patience import WAIT_S

pytest.importorskip("rclpy", reason="no ROS 2 here")
pytest.importorskip("segmif_ros.msg", reason="the package's own messages were not built here")

from diagnostic_msgs.msg import DiagnosticArray
from geometry_msgs.msg import TransformStamped
from grid_scenes import CAMERA, PERSON, street
from nav_msgs.msg import OccupancyGrid, Odometry
from rclpy.executors import SingleThreadedExecutor
from rclpy.node import Node
from rclpy.parameter import Parameter
from rclpy.qos import QoSDurabilityPolicy, QoSProfile
from sensor_msgs.msg import CameraInfo, Image, PointCloud2, PointField

from segmif_ros.grid.poses import camera_pose, from_rpy, quaternion
from segmif_ros.labels import FMB
from segmif_ros.msg import SemanticMap
from segmif_ros.ros.camera_infos import info_of
from segmif_ros.ros.grid_node import GridNode
from segmif_ros.ros.messages import image_message, make_header, semantic_map_message
from segmif_ros.ros.pose_inputs import TF_QOS, TF_STATIC_QOS, tf_message_type

START_NS = 1_700_000_000_000_000_000
FRAME_NS = 100_000_000
# as Nav2's static layer subscribes
NAV2_QOS = QoSProfile(depth=1, durability=QoSDurabilityPolicy.TRANSIENT_LOCAL)
BY_HAND = {"camera_pose_from": "parameters", "camera_height_m": 1.0, "odometry_from": "none", "pitch_error_deg": 0.0}


class GridBench:
    """The node, what feeds it, and a planner, in one executor."""

    def __init__(self, context, **values) -> None:
        values = {"diagnostics_period_s": 0.05, "cell_m": 0.2, "max_range_m": 9.0, **values}
        self.node = GridNode(
            context=context, parameter_overrides=[Parameter(name, value=value) for name, value in values.items()]
        )
        self.log: list[str] = []
        for severity in ("info", "warning", "error"):
            setattr(self.node.get_logger(), severity, self.log.append)
        self.others = Node("bench", context=context)
        self.maps = self.others.create_publisher(SemanticMap, "segmentation/semantic_map", 5)
        self.infos = self.others.create_publisher(CameraInfo, "segmentation/camera_info", 5)
        self.depths = self.others.create_publisher(Image, "depth", 5)
        self.clouds = self.others.create_publisher(PointCloud2, "cloud", 5)
        self.odometry = self.others.create_publisher(Odometry, "odom", 5)
        self.received: dict[str, list] = defaultdict(list)
        self.listen("/diagnostics", DiagnosticArray, 10)
        self.executor = SingleThreadedExecutor(context=context)
        self.executor.add_node(self.node)
        self.executor.add_node(self.others)

    def start(self) -> None:
        assert self.node.start()
        self.until(lambda: self.maps.get_subscription_count() and self.infos.get_subscription_count())

    def listen(self, topic, kind, qos) -> None:
        self.others.create_subscription(kind, topic, self.received[topic].append, qos)

    def until(self, condition) -> None:
        deadline = time.monotonic() + WAIT_S
        while not condition():
            assert time.monotonic() < deadline, f"gave up waiting; log: {self.log}"
            self.executor.spin_once(timeout_sec=0.05)

    def send_info(self) -> None:
        self.infos.publish(info_of(CAMERA))
        self.until(lambda: self.node._outputs.camera is not None)

    def send(self, number: int, labels=None) -> None:
        labels = street() if labels is None else labels
        confidence = np.full(labels.shape, 242, np.uint8)
        header = make_header(START_NS + number * FRAME_NS, "camera")
        facts = {"pair_offset_s": 0.0, "model_name": "fake", "model_hash": "0", "inference_ms": 1.0}
        self.maps.publish(semantic_map_message(labels, confidence, FMB, header, **facts))
        taken = self.node._counts.maps
        self.until(lambda: self.node._counts.maps > taken)

    def send_pose(self, number: int, x: float) -> None:
        message = Odometry(header=make_header(START_NS + number * FRAME_NS, "odom"), child_frame_id="base_link")
        message.pose.pose.position.x = x
        message.pose.pose.orientation.w = 1.0
        self.odometry.publish(message)
        received = self.node._poses.received
        self.until(lambda: self.node._poses.received > received)

    def said(self, words: str) -> bool:
        messages = self.received["/diagnostics"]
        return bool(messages) and words in messages[-1].status[0].message

    def close(self) -> None:
        assert self.node.close()
        self.executor.shutdown(timeout_sec=0)
        self.node.destroy_node()
        self.others.destroy_node()


@pytest.fixture
def table(ros_context):
    made = []

    def make(**values) -> GridBench:
        made.append(GridBench(ros_context, **values))
        return made[-1]

    yield make
    for each in made:
        each.close()


def _cost(message: OccupancyGrid, x: float, y: float) -> int:
    """Look a place up as Nav2 does: by origin, resolution and width."""
    origin = message.info.origin.position
    i, j = int((x - origin.x) / message.info.resolution), int((y - origin.y) / message.info.resolution)
    return message.data[j * message.info.width + i]


def test_a_planner_that_comes_late_gets_free_blocked_and_unknown_cells(table) -> None:
    bench = table(**BY_HAND)
    bench.start()
    bench.send_info()
    labels = street()
    labels[80:126, 90:111] = PERSON
    for number in range(4):
        bench.send(number, labels)
    bench.listen("grid/cost", OccupancyGrid, NAV2_QOS)
    bench.until(lambda: bench.received["grid/cost"])
    message = bench.received["grid/cost"][-1]
    assert message.header.frame_id == "base_link"
    assert (message.info.width, message.info.height, len(message.data)) == (100, 100, 10_000)
    assert message.info.origin.orientation.w == 1.0
    assert 0 <= _cost(message, 3.1, 0.1) <= 10
    assert _cost(message, 3.92, 0.0) == 100
    assert _cost(message, 6.1, 0.0) == -1
    assert _cost(message, -3.0, 0.0) == -1
    for topic in ("grid/classes", "grid/confidence"):
        bench.listen(topic, OccupancyGrid, NAV2_QOS)
        bench.until(lambda topic=topic: bench.received[topic])
    assert _cost(bench.received["grid/classes"][-1], 3.92, 0.0) == PERSON
    assert _cost(bench.received["grid/confidence"][-1], 3.1, 0.1) > 50


def test_without_odometry_nothing_is_remembered_because_the_robot_may_have_moved(table) -> None:
    bench = table(**BY_HAND)
    bench.start()
    bench.send_info()
    bench.send(1)
    assert (bench.node._outputs.mapper.map().cost >= 0).any(), "one map is enough"
    bench.send(2, np.full((201, 201), 7, np.uint8))
    assert (bench.node._outputs.mapper.map().cost == -1).all()


def test_points_are_aligned_with_the_mask_pixel_by_pixel(table) -> None:
    bench = table(**BY_HAND)
    bench.start()
    bench.send_info()
    bench.listen("segmentation/points", PointCloud2, 5)
    bench.until(lambda: bench.node._outputs.wanted("segmentation/points"))
    labels = street()
    labels[80:126, 90:111] = PERSON
    bench.send(1, labels)
    bench.until(lambda: bench.received["segmentation/points"])
    cloud = bench.received["segmentation/points"][0]
    assert (cloud.height, cloud.width, cloud.point_step) == (201, 201, 16)
    assert [each.name for each in cloud.fields] == ["x", "y", "z", "class", "confidence"]
    raw = np.frombuffer(cloud.data, np.uint8).reshape(201, 201, 16)
    points = raw[..., :12].copy().view(np.float32).reshape(201, 201, 3)
    assert points[150, 50] == pytest.approx([-1.0, 1.0, 2.0])  # 2 m ahead, 1 m to the left, 1 m below the camera
    assert points[90, 100] == pytest.approx([0, -0.3846, 3.846], abs=1e-3)  # the person, over the road at row 126
    assert np.isnan(points[20, 20]).all(), "the sky"
    assert raw[90, 100, 12] == PERSON


def test_depth_goes_before_the_ground_plane(table) -> None:
    bench = table(**BY_HAND, depth_topic="depth")
    bench.start()
    bench.send_info()
    depth = np.full((201, 201), np.nan, np.float32)
    depth[60:101, 95:106] = 3.1  # a person before the camera, from 1 m to 2.2 m over the ground
    labels = street()
    labels[60:101, 95:106] = PERSON
    bench.depths.publish(image_message(depth, "32FC1", make_header(START_NS, "camera")))
    bench.until(lambda: bench.node._outputs.depth.has_come)
    bench.send(0, labels)
    bench.listen("grid/cost", OccupancyGrid, NAV2_QOS)
    bench.until(lambda: bench.received["grid/cost"])
    message = bench.received["grid/cost"][-1]
    assert _cost(message, 3.1, 0.1) == 100
    assert np.count_nonzero(np.array(message.data) >= 0) < 12, "nothing else was measured"


def person_cloud(frame_id: str, moved=(0.0, 0.0, 0.0), number: int = 0) -> PointCloud2:
    """A person 3.1 m before base_link's origin, from 1 to 2.2 m high, and a wall at 6.1 m that the person hides."""
    y, z = (each.ravel() for each in np.meshgrid(np.linspace(-0.15, 0.15, 7), np.linspace(1.0, 1.9, 10)))
    points = np.concatenate([np.column_stack([np.full_like(y, x), y, z]) for x in (3.1, 6.1)]).astype(np.float32)
    fields = [PointField(name=name, offset=4 * k, datatype=PointField.FLOAT32, count=1) for k, name in enumerate("xyz")]
    return PointCloud2(
        header=make_header(START_NS + number * FRAME_NS, frame_id),
        height=1,
        width=len(points),
        fields=fields,
        point_step=12,
        row_step=12 * len(points),
        data=(points - np.float32(moved)).tobytes(),
    )


def person_labels() -> np.ndarray:
    labels = street()
    labels[60:101, 94:107] = PERSON
    return labels


BY_CLOUD = {**BY_HAND, "depth_topic": "cloud", "depth_source": "points"}


@pytest.mark.parametrize("frame", ["base_link", "lidar"])
def test_points_of_a_cloud_get_the_label_of_the_pixel_that_sees_them(table, frame) -> None:
    by_tf = {"camera_pose_from": "tf"} if frame == "lidar" else {}
    bench = table(**{**BY_CLOUD, **by_tf})
    bench.start()
    if by_tf:
        bench.node._buffer.put("base_link", "camera", 0, camera_pose(1.0, 0.0), fixed=True)
        bench.node._buffer.put("base_link", "lidar", 0, from_rpy([0.5, 0.0, 1.5], 0, 0, 0), fixed=True)
    bench.send_info()
    bench.listen("segmentation/points", PointCloud2, 5)
    bench.until(lambda: bench.node._outputs.wanted("segmentation/points"))
    bench.clouds.publish(person_cloud(frame, (0.5, 0.0, 1.5) if by_tf else (0.0, 0.0, 0.0)))
    bench.until(lambda: bench.node._outputs.depth.has_come)
    bench.send(0, person_labels())
    bench.listen("grid/cost", OccupancyGrid, NAV2_QOS)
    bench.until(lambda: bench.received["grid/cost"] and bench.received["segmentation/points"])
    message = bench.received["grid/cost"][-1]
    assert _cost(message, 3.1, 0.1) == 100
    assert _cost(message, 6.1, 0.0) == -1, "what the person hides isn't a person"
    cloud = bench.received["segmentation/points"][0]
    raw = np.frombuffer(cloud.data, np.uint8).reshape(201, 201, 16)
    points = raw[..., :12].copy().view(np.float32).reshape(201, 201, 3)
    assert points[100, 100] == pytest.approx([0.0, 0.0, 3.1], abs=1e-5), "in the mask's optical frame, at its pixel"
    assert np.isfinite(points).all(axis=2).sum() <= 70


@pytest.mark.parametrize(
    ("cloud", "words"),
    [
        (
            person_cloud("lidar"),
            "the cloud is in frame 'lidar', and camera_pose_from is parameters: without tf it must",
        ),
        (person_cloud(""), "the cloud has no frame_id"),
        (
            person_cloud("base_link", (50.0, 0.0, 0.0)),
            "none of the 140 points of frame 'base_link' is in the mask's view",
        ),
        (PointCloud2(header=make_header(START_NS, "base_link")), "it has no float32 field x, y, z"),
    ],
)
def test_a_cloud_that_cannot_be_used_is_said_and_changes_no_cell(table, cloud, words) -> None:
    bench = table(**BY_CLOUD)
    bench.start()
    bench.send_info()
    bench.clouds.publish(cloud)
    bench.until(lambda: bench.node._outputs.depth.has_come)
    bench.listen("grid/cost", OccupancyGrid, NAV2_QOS)
    bench.send(0, person_labels())
    bench.until(lambda: bench.said(f"the depth on cloud can't be used: {words}"))
    assert not bench.received["grid/cost"]


def test_a_map_waits_for_its_pose_and_the_grid_lies_in_the_odometry_frame(table) -> None:
    bench = table(**{**BY_HAND, "odometry_from": "topic", "tf_tolerance_s": 0.0, "tf_timeout_s": 10.0})
    bench.start()
    bench.send_info()
    bench.listen("grid/cost", OccupancyGrid, NAV2_QOS)
    bench.send_pose(0, 0.0)
    for number in range(1, 5):
        bench.send(2 * number - 1)
        assert bench.node._waiting
        bench.send_pose(2 * number, 20.0 * number)
        bench.until(lambda: not bench.node._waiting)
    bench.until(lambda: bench.received["grid/cost"])
    assert bench.received["grid/cost"][-1].header.frame_id == "odom"
    bench.until(lambda: bench.received["grid/cost"][-1].info.origin.position.x == pytest.approx(60.0))


@pytest.mark.parametrize(
    ("values", "words"),
    [
        ({}, "no segmentation/camera_info has come: a calibrated camera is needed"),
        ({"camera_pose_from": "tf"}, "tf"),
        ({"odometry_from": "topic", "tf_timeout_s": 0.0}, "no tf of frame"),
    ],
)
def test_without_camera_or_pose_no_cell_changes_and_the_reason_is_said(table, values, words) -> None:
    bench = table(**{**BY_HAND, **values})
    bench.start()
    if values:
        bench.send_info()
    bench.listen("grid/cost", OccupancyGrid, NAV2_QOS)
    bench.send(1)
    bench.until(lambda: bench.said(words))
    assert not bench.received["grid/cost"]


def test_a_pose_from_another_time_is_said_and_not_used(table) -> None:
    bench = table(**{**BY_HAND, "odometry_from": "topic"})
    bench.start()
    bench.send_info()
    bench.send_pose(100, 0.0)
    bench.send(1)
    bench.until(lambda: bench.said("tf is from another time"))


def test_a_horizon_that_is_not_where_the_pose_puts_it_is_said(table, monkeypatch) -> None:
    bench = table(**{**BY_HAND, "camera_pitch_deg": 8.0})
    bench.start()
    bench.send_info()
    monkeypatch.setattr("segmif_ros.ros.grid_outputs.HORIZON_PERIOD_S", 0.0)
    for number in range(3):
        bench.send(number)
    bench.until(lambda: bench.said("the horizon that the camera's pose gives"))


def test_a_height_of_zero_refuses_to_configure_in_one_line(table) -> None:
    bench = table(**{**BY_HAND, "camera_height_m": 0.0})
    assert not bench.node.start()
    assert "camera_height_m is 0: measure the height of the lens" in bench.log[-1]


def test_missing_maps_are_said(table) -> None:
    bench = table(**BY_HAND, input_timeout_s=0.1)
    bench.others.destroy_publisher(bench.maps)
    assert bench.node.start()
    bench.until(lambda: bench.said("nobody publishes /segmentation/semantic_map"))


def test_transforms_of_tf_become_poses_and_wrong_ones_are_said(table) -> None:
    bench = table(**BY_HAND)
    bench.start()

    def transform(child: str, w: float):
        return SimpleNamespace(
            header=make_header(START_NS, "base_link"),
            child_frame_id=child,
            transform=SimpleNamespace(
                translation=SimpleNamespace(x=0.1, y=0.0, z=1.0), rotation=SimpleNamespace(x=0.0, y=0.0, z=0.0, w=w)
            ),
        )

    bench.node._poses.take_transforms(SimpleNamespace(transforms=[transform("camera", 1.0)]), fixed=True)
    assert bench.node._buffer.lookup("base_link", "camera", 5)[:3, 3].tolist() == [0.1, 0.0, 1.0]
    bench.node._poses.take_transforms(SimpleNamespace(transforms=[transform("broken", 0.0)]), fixed=True)
    bench.until(lambda: bench.said("tf of 'broken' is left out: a rotation's quaternion has length 0"))


@pytest.mark.skipif(tf_message_type()[0] is None, reason=f"no tf: {tf_message_type()[1]}")
def test_poses_come_by_tf_over_dds_and_a_fixed_one_also_for_who_comes_late(table) -> None:
    kind = tf_message_type()[0]
    bench = table(camera_pose_from="tf", odometry_from="tf", pitch_error_deg=0.0, tf_timeout_s=10.0)
    fixed = bench.others.create_publisher(kind, "/tf_static", TF_STATIC_QOS)
    moving = bench.others.create_publisher(kind, "/tf", TF_QOS)

    def stamped(parent: str, child: str, pose: np.ndarray, number: int) -> TransformStamped:
        made = TransformStamped(header=make_header(START_NS + number * FRAME_NS, parent), child_frame_id=child)
        moved, turned = made.transform.translation, made.transform.rotation
        moved.x, moved.y, moved.z = pose[:3, 3].tolist()
        turned.x, turned.y, turned.z, turned.w = quaternion(pose)
        return made

    fixed.publish(kind(transforms=[stamped("base_link", "camera", camera_pose(1.0, 0.0), 0)]))
    bench.start()
    bench.send_info()
    bench.until(moving.get_subscription_count)
    bench.listen("grid/cost", OccupancyGrid, NAV2_QOS)
    for number in range(4):
        moving.publish(kind(transforms=[stamped("odom", "base_link", from_rpy([50, 0, 0], 0, 0, 0), number)]))
        bench.send(number)
        bench.until(lambda: not bench.node._waiting)
    bench.until(lambda: bench.received["grid/cost"])
    message = bench.received["grid/cost"][-1]
    assert message.header.frame_id == "odom"
    assert 0 <= _cost(message, 53.1, 0.1) <= 10
    assert _cost(message, 48.0, 0.1) == -1


def test_other_weights_with_other_classes_start_a_new_grid(table) -> None:
    bench = table(**BY_HAND)
    bench.start()
    bench.send_info()
    bench.send(1)
    before = bench.node._outputs.mapper
    bench.send(2)
    assert bench.node._outputs.mapper is before
    bench.node._outputs.mapper_for(SimpleNamespace(names=("road", "spaceship")))
    assert bench.node._outputs.mapper is not before
    bench.until(lambda: bench.said("the costs don't name spaceship"))


def test_deactivating_forgets_the_ground(table) -> None:
    bench = table(**BY_HAND)
    bench.start()
    bench.send_info()
    for number in range(3):
        bench.send(number)
    assert (bench.node._outputs.mapper.map().cost >= 0).any()
    bench.node.trigger_deactivate()
    assert (bench.node._outputs.mapper.map().cost == -1).all()
