# SPDX-License-Identifier: Apache-2.0
"""Nodes built after the consumers that matter read the outputs over real DDS, from participants of their own."""

import sys
from types import ModuleType

import cv2
import numpy as np
import pytest

pytest.importorskip("rclpy", reason="no ROS 2 here")

import rclpy
from diagnostic_msgs.msg import DiagnosticStatus, KeyValue
from node_bench import BEST_EFFORT, FRAME_NS, START_NS
from node_processes import NODE_DOMAIN
from rclpy.context import Context
from rclpy.node import Node
from rclpy.parameter import Parameter
from rclpy.qos import QoSDurabilityPolicy, QoSProfile, QoSReliabilityPolicy, qos_profile_sensor_data
from sensor_msgs.msg import CompressedImage, Image

from segmif_ros.labels import FMB
from segmif_ros.ros.messages import stamp_ns
from segmif_ros.ros.outputs import chosen_classes
from segmif_ros.settings import SettingError
from segmif_ros.trials.measuring import initialised

LATCHED = QoSProfile(depth=1, reliability=QoSReliabilityPolicy.RELIABLE, durability=QoSDurabilityPolicy.TRANSIENT_LOCAL)


class CostmapLayer:
    """After Nav2's semantic_segmentation_layer: sensor-data QoS, drops until the names came, reads data[v * w + u]."""

    def __init__(self, node, label_info_type, read_names) -> None:
        self.names: dict[int, str] = {}
        self.dropped = 0
        self.persons: list[tuple[int, list[tuple[int, int]]]] = []
        self.confidences: dict[int, Image] = {}
        self._read_names = read_names
        node.create_subscription(Image, "segmentation/mask", self._mask, qos_profile_sensor_data)
        node.create_subscription(Image, "segmentation/confidence", self._confidence, qos_profile_sensor_data)
        node.create_subscription(label_info_type, "segmentation/label_info", self._label_info, LATCHED)

    def _label_info(self, message) -> None:
        self.names = self._read_names(message)

    def _confidence(self, message) -> None:
        self.confidences[stamp_ns(message.header)] = message

    def _mask(self, message) -> None:
        if not self.names:
            self.dropped += 1
            return
        w, h, data = message.width, message.height, message.data
        found = [(v, u) for v in range(h) for u in range(w) if self.names[data[v * w + u]] == "person"]
        self.persons.append((stamp_ns(message.header), found))


class Mapper:
    """After nvblox: a colour image and a mono8 mask of people of exactly its stamp, of its size."""

    def __init__(self, node) -> None:
        self.waiting: dict[int, Image] = {}
        self.used: list[tuple[int, np.ndarray]] = []
        node.create_subscription(Image, "rgb/image_raw", self._colour, qos_profile_sensor_data)
        node.create_subscription(Image, "segmentation/classes_mask", self._mask, qos_profile_sensor_data)

    def _colour(self, message) -> None:
        self.waiting[stamp_ns(message.header)] = message

    def _mask(self, message) -> None:
        colour = self.waiting.pop(stamp_ns(message.header), None)
        assert message.encoding == "mono8"
        if colour is not None and (colour.width, colour.height) == (message.width, message.height):
            mask = np.array(message.data, np.uint8).reshape(message.height, message.width)
            self.used.append((stamp_ns(message.header), mask))


@pytest.fixture
def elsewhere():
    """A node in a participant of its own."""
    context = Context()
    with initialised(context, NODE_DOMAIN):
        node = Node("consumer", context=context)
        executor = rclpy.executors.SingleThreadedExecutor(context=context)
        executor.add_node(node)
        yield node, executor
        executor.shutdown()
        node.destroy_node()


@pytest.fixture
def stand_in_label_info(monkeypatch):
    """vision_msgs' two messages in the shape of another package's, which every machine of the tests has."""
    module = ModuleType("vision_msgs.msg")

    def label_info(*, header, class_map, threshold):
        values = [KeyValue(key=str(each.class_id), value=each.class_name) for each in class_map]
        return DiagnosticStatus(name=header.frame_id, message=str(threshold), values=values)

    class VisionClass:
        def __init__(self, *, class_id, class_name) -> None:
            self.class_id, self.class_name = class_id, class_name

    module.LabelInfo, module.VisionClass = label_info, VisionClass
    monkeypatch.setitem(sys.modules, "vision_msgs", ModuleType("vision_msgs"))
    monkeypatch.setitem(sys.modules, "vision_msgs.msg", module)
    monkeypatch.setattr("segmif_ros.ros.outputs.label_info_type", lambda: (DiagnosticStatus, ""))
    return DiagnosticStatus, lambda message: {int(each.key): each.value for each in message.values}


def label_info(request):
    """Return the real type where it is installed, else the stand-in, with the function that reads the names."""
    try:
        from vision_msgs.msg import LabelInfo
    except ImportError:
        return request.getfixturevalue("stand_in_label_info")
    return LabelInfo, lambda message: {each.class_id: each.class_name for each in message.class_map}


def people(number) -> np.ndarray:
    """Return infrared that the fake engine labels as road with two pixels of a person."""
    image = np.zeros((6, 8), np.uint8)
    image[2, 5] = image[3, number % 8] = FMB.names.index("person")
    return image


def test_a_costmap_layer_finds_the_people_although_it_comes_late(bench, elsewhere, request) -> None:
    message_type, read_names = label_info(request)
    table = bench()
    node, executor = elsewhere
    layer = CostmapLayer(node, message_type, read_names)
    number = 0
    while not layer.persons or not layer.confidences:
        number += 1
        table.beat(number, infrared=people(number))
        for _ in range(3):
            executor.spin_once(timeout_sec=0.02)
        assert number < 300, layer.__dict__
    assert layer.names == dict(enumerate(FMB.names))
    stamp, found = layer.persons[0]
    sent = (stamp - START_NS) // FRAME_NS
    assert found == sorted({(2, 5), (3, sent % 8)})


def test_a_mapper_gets_a_mask_of_people_of_the_colour_images_exact_stamp(bench, elsewhere) -> None:
    table = bench(mask_classes="person, bicycle")
    node, executor = elsewhere
    mapper = Mapper(node)
    number = 0
    while not mapper.used:
        number += 1
        table.beat(number, infrared=people(number), offset_ns=2_000_000)
        for _ in range(3):
            executor.spin_once(timeout_sec=0.02)
        assert number < 300
    stamp, mask = mapper.used[0]
    expected = np.zeros((6, 8), np.uint8)
    expected[2, 5] = expected[3, (stamp - START_NS) // FRAME_NS % 8] = 255
    assert np.array_equal(mask, expected)


def test_the_output_size_is_that_of_ids_confidence_and_masks_alike(bench) -> None:
    table = bench(output_width=4, output_height=3, mask_classes="person")
    topics = ("fused/image", "segmentation/mask", "segmentation/confidence", "segmentation/classes_mask")
    for topic in topics:
        table.listen(topic)
    counts = {each.topic: each.get_subscription_count for each in table.node.publishers}
    table.until(lambda: all(counts[topic]() for topic in topics))
    infrared = np.arange(48, dtype=np.uint8).reshape(6, 8)
    table.send(1, infrared=infrared)
    table.until(lambda: all(table.received[topic] for topic in topics))
    fused, mask, confidence, chosen = (table.received[topic][0] for topic in topics)
    assert (fused.width, fused.height) == (8, 6)
    assert [(each.width, each.height, each.step) for each in (mask, confidence, chosen)] == [(4, 3, 4)] * 3
    values = np.array(confidence.data, np.uint8)
    assert set(values) <= set(infrared.ravel()), "no value is mixed of two"
    assert list(mask.data) == list(values % len(FMB)), "id and confidence are of one pixel"
    assert list(chosen.data) == [255 if each == FMB.names.index("person") else 0 for each in mask.data]


def test_the_fused_image_is_compressed_on_demand(bench) -> None:
    table = bench(jpeg_quality=95)
    table.listen("fused/image/compressed", CompressedImage)
    counts = {each.topic: each.get_subscription_count for each in table.node.publishers}
    table.until(counts["/fused/image/compressed"])
    table.send(1)
    table.until(lambda: table.received["fused/image/compressed"])
    message = table.received["fused/image/compressed"][0]
    assert message.format == "rgb8; jpeg compressed bgr8"
    assert (stamp_ns(message.header), message.header.frame_id) == (START_NS + FRAME_NS, "camera")
    pixels = cv2.imdecode(np.array(message.data, np.uint8), cv2.IMREAD_COLOR)
    assert np.abs(pixels.astype(int) - 215).max() <= 2
    assert table.node.set_parameters([Parameter("fused_encoding", value="mono8")])[0].successful
    table.send(2)
    table.until(lambda: len(table.received["fused/image/compressed"]) == 2)
    assert table.received["fused/image/compressed"][1].format == "mono8; jpeg compressed "


def test_whoever_asks_for_a_topic_that_has_nothing_to_carry_is_told_how_to_get_it(bench, monkeypatch) -> None:
    missing = "vision_msgs is not installed: apt install ros-$ROS_DISTRO-vision-msgs brings it"
    monkeypatch.setattr("segmif_ros.ros.outputs.label_info_type", lambda: (None, missing))
    table = bench()
    table.beat(1)
    table.beat(2)
    assert not [line for line in table.log if "vision_msgs" in line or "mask_classes" in line], "nobody asked"
    table.listen("segmentation/classes_mask", qos=BEST_EFFORT)
    table.listen("segmentation/label_info", DiagnosticStatus, qos=LATCHED)
    table.until(lambda: any("classes_mask has a subscriber but no classes: set mask_classes" in x for x in table.log))
    table.until(lambda: any("label_info has a subscriber" in x and missing in x for x in table.log))
    assert table.node.set_parameters([Parameter("mask_classes", value="person")])[0].successful
    table.until(lambda: any(x.startswith("solved (was: /segmentation/classes_mask") for x in table.log))


def test_a_class_that_the_model_does_not_have_is_refused_with_the_likeliest_meant(bench) -> None:
    table = bench()
    result = table.node.set_parameters([Parameter("mask_classes", value="persn")])[0]
    assert (result.successful, result.reason) == (
        False, "mask_classes: there is no class 'persn' in fmb, did you mean 'person'?"
    )  # fmt: skip
    assert table.node.get_parameter("mask_classes").value == ""


def test_a_class_that_the_model_does_not_have_fails_the_configuration_in_one_line(bench) -> None:
    table = bench(start=False, mask_classes="person,cat")
    assert not table.node.start()
    assert len(table.log) == 1
    assert table.log[0].startswith("can't configure: mask_classes: there is no class 'cat' in fmb")


def test_chosen_classes_are_255_and_all_else_0() -> None:
    table = chosen_classes(" person ,, road", FMB)
    assert [i for i in range(256) if table[i]] == sorted(FMB.names.index(each) for each in ("person", "road"))
    assert set(table) == {0, 255}
    with pytest.raises(SettingError, match="they are"):
        chosen_classes("xyzzy", FMB)
