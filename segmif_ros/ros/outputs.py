# SPDX-License-Identifier: Apache-2.0
"""The node's outputs: all carry the master frame's header, and none is made while nobody listens."""

from __future__ import annotations

import difflib
from typing import TYPE_CHECKING, Any
from weakref import WeakKeyDictionary

import cv2
import numpy as np
from rclpy.lifecycle import LifecycleNode
from rclpy.qos import QoSDurabilityPolicy, QoSProfile, QoSReliabilityPolicy
from sensor_msgs.msg import CameraInfo, CompressedImage, Image
from std_msgs.msg import Header

from segmif_ros.arrays import Array
from segmif_ros.imaging.overlay import draw_overlay
from segmif_ros.labels import LabelSet
from segmif_ros.ros.camera_infos import InfoOfOutputs
from segmif_ros.ros.messages import (
    compressed_message,
    image_message,
    label_info_message,
    label_info_type,
    make_header,
    semantic_map_message,
    semantic_map_type,
)
from segmif_ros.ros.problems import Problem
from segmif_ros.ros.qos import PUBLISHER_EVENTS, mismatch, overridable, profile
from segmif_ros.settings import SettingError

if TYPE_CHECKING:
    from segmif_ros.inference.engine import EngineProtocol
    from segmif_ros.ros.node_config import NodeConfig
    from segmif_ros.stream.processing import Output

LABEL_INFO = "segmentation/label_info"
CLASSES_MASK = "segmentation/classes_mask"
# late subscribers get it, too: consumers drop everything until they have it
LATCHED = QoSProfile(depth=1, reliability=QoSReliabilityPolicy.RELIABLE, durability=QoSDurabilityPolicy.TRANSIENT_LOCAL)


class Outputs:
    """The publishers of one node.

    What the labels mean goes with the engine that made them: a pair that is still in work while the weights are
    reloaded is published with the classes of the old ones, and the new names are announced behind it.

    Args:
        node: Publishes; only while it is active, as lifecycle publishers do.
        config: The node's.
        engine: Says which classes the labels mean.

    Attributes:
        info: What fused/camera_info and segmentation/camera_info say.

    Raises:
        segmif_ros.settings.SettingError: If the engine doesn't have a class that the configuration names.
        RuntimeError: If a QoS override is wrong.
    """

    def __init__(self, node: LifecycleNode, config: NodeConfig, engine: EngineProtocol) -> None:
        self._node = node
        self._publishers: dict[str, tuple[Any, QoSProfile]] = {}
        self.info = InfoOfOutputs()
        self._announced: LabelSet | None = None
        # by engine, as the one before may have a pair in work: (256,) uint8, 255 at the ids of mask_classes
        self._chosen: WeakKeyDictionary[EngineProtocol, Array] = WeakKeyDictionary()
        self.configure(config, engine)
        try:
            self._create()
        except RuntimeError:  # a wrong QoS override
            self.close()
            raise

    def _create(self) -> None:
        self._fused = self._publisher(Image, "fused/image")
        # beside the image wherever that is remapped to, as image_transport does it
        beside = self._node.resolve_topic_name("fused/image") + "/compressed"
        self._compressed = self._publisher(CompressedImage, beside)
        self._fused_info = self._publisher(CameraInfo, "fused/camera_info")
        self._mask = self._publisher(Image, "segmentation/mask")
        self._mask_info = self._publisher(CameraInfo, "segmentation/camera_info")
        self._classes_mask = self._publisher(Image, CLASSES_MASK)
        self._confidence = self._publisher(Image, "segmentation/confidence")
        self._overlay = self._publisher(Image, "segmentation/overlay")
        self._semantic_map = self._label_info = None
        message_type, reason = semantic_map_type()
        if message_type is not None:
            self._semantic_map = self._publisher(message_type, "segmentation/semantic_map")
        else:
            self._node.get_logger().warning(
                f"segmentation/semantic_map is not published, the other topics are: {reason}. Build the package's "
                "messages (colcon build, or pip install with a C compiler) to get it"
            )
        message_type, self._why_no_label_info = label_info_type()
        if message_type is not None:
            self._label_info = self._publisher(message_type, LABEL_INFO, LATCHED)

    def configure(self, config: NodeConfig, engine: EngineProtocol) -> None:
        """Change settings from the next output on.

        Args:
            config: All parameters.
            engine: The one whose classes are published.

        Raises:
            SettingError: If a class doesn't exist; the settings stay as they were.
        """
        self._chosen[engine] = chosen_classes(config.mask_classes, engine.label_set)
        self._config = config

    def announce(self, label_set: LabelSet) -> None:
        """Publish the names of the classes, for present and late subscribers; call it once active."""
        self._announced = label_set
        if self._label_info is not None:
            now_ns = self._node.get_clock().now().nanoseconds
            self._label_info.publish(label_info_message(label_set, make_header(now_ns, "")))

    def publish(self, output: Output) -> None:
        """Publish what somebody listens to; called on the worker's thread."""
        config, result, engine = self._config, output.result, output.engine
        if engine.label_set is not self._announced:
            self.announce(engine.label_set)  # after the last labels of the old set, before the first of this one
        header = make_header(output.master.stamp_ns, output.master.frame_id)
        if _wanted(self._fused) or _wanted(self._compressed):
            mono = config.fused_encoding == "mono8"
            fused = cv2.cvtColor(result.fused, cv2.COLOR_RGB2GRAY) if mono else result.fused
            if _wanted(self._fused):
                self._fused.publish(image_message(fused, config.fused_encoding, header))
            if _wanted(self._compressed):
                self._compressed.publish(compressed_message(fused, config.jpeg_quality, header))
        view_size = output.registered.rgb.shape[1::-1]
        self._publish_info(self._fused_info, header, view_size, result.fused)
        labels, confidence = (_sized(each, config) for each in (result.labels, result.confidence))
        if _wanted(self._mask):
            self._mask.publish(image_message(labels, "mono8", header))
        self._publish_info(self._mask_info, header, view_size, labels)
        if config.mask_classes and _wanted(self._classes_mask):
            self._classes_mask.publish(image_message(cv2.LUT(labels, self._chosen[engine]), "mono8", header))
        if _wanted(self._confidence):
            self._confidence.publish(image_message(confidence, "mono8", header))
        if self._semantic_map is not None and _wanted(self._semantic_map):
            self._semantic_map.publish(
                semantic_map_message(
                    labels,
                    confidence,
                    engine.label_set,
                    header,
                    pair_offset_s=1e-9 * output.offset_ns,
                    model_name=engine.model_name,
                    model_hash=engine.model_hash,
                    inference_ms=float(sum(result.stage_ms.values())),
                    **output.cameras.as_fields(),
                )
            )
        if _wanted(self._overlay):  # last: people can wait for what machines need
            palette = engine.label_set.palette
            overlay = draw_overlay(result.fused, result.labels, palette, alpha=config.overlay.alpha)
            self._overlay.publish(image_message(overlay, "rgb8", header))

    def _publish_info(self, publisher: Any, header: Header, view_size: tuple[int, int], image: Array) -> None:
        if not _wanted(publisher):
            return
        message = self.info.message(header, view_size, image.shape[1::-1])
        if message is not None:
            publisher.publish(message)

    def problems(self) -> list[Problem]:
        """Return what subscribers want and can't get: with another QoS, or of a topic that has nothing to carry."""
        found = []
        for topic, (_publisher, qos) in self._publishers.items():
            full = self._node.resolve_topic_name(topic)
            for each in self._node.get_subscriptions_info_by_topic(full):
                if reason := mismatch(qos, each.qos_profile):
                    line = f"{full}: subscriber '{each.node_name}' and this node don't match: {reason}"
                    found.append(Problem(f"{topic} {each.node_name}", line))
        if not self._config.mask_classes and _wanted(self._classes_mask):
            full = self._node.resolve_topic_name(CLASSES_MASK)
            found.append(Problem(CLASSES_MASK, f"{full} has a subscriber but no classes: set mask_classes"))
        infos = {"fused/camera_info": self._fused_info, "segmentation/camera_info": self._mask_info}
        wanted = [self._node.resolve_topic_name(topic) for topic, each in infos.items() if _wanted(each)]
        if problem := self.info.problem(self._config.pipeline.master, wanted):
            found.append(problem)
        if self._label_info is None:
            full = self._node.resolve_topic_name(LABEL_INFO)
            if self._node.count_subscribers(full):
                line = f"{full} has a subscriber and can't be published: {self._why_no_label_info}"
                found.append(Problem(LABEL_INFO, line))
        return found

    def topic_values(self) -> dict[str, str]:
        """Return the full names of the topics that people look at, for those who can't know the remaps."""
        shown = {
            "fused": "fused/image",
            "mask": "segmentation/mask",
            "confidence": "segmentation/confidence",
            "overlay": "segmentation/overlay",
            "semantic_map": "segmentation/semantic_map",
        }
        return {f"topic_{name}": self._node.resolve_topic_name(topic) for name, topic in shown.items()}

    def close(self) -> None:
        """Destroy the publishers."""
        for publisher, _ in self._publishers.values():
            self._node.destroy_lifecycle_publisher(publisher)
        self._publishers.clear()

    def _publisher(self, message_type: Any, topic: str, qos: QoSProfile | None = None) -> Any:
        options = None if qos else overridable()
        qos = qos or profile(self._config.output_qos.reliability, self._config.output_qos.depth)
        publisher = self._node.create_lifecycle_publisher(
            message_type, topic, qos, event_callbacks=PUBLISHER_EVENTS, qos_overriding_options=options
        )
        self._publishers[topic] = publisher, qos
        return publisher


def chosen_classes(names: str, label_set: LabelSet) -> Array:
    """Return (256,) uint8 that is 255 at the ids of the classes named, else 0.

    Args:
        names: With commas between.
        label_set: The classes.

    Raises:
        SettingError: If there is no such class.
    """
    table = np.zeros(256, np.uint8)
    for name in filter(None, (each.strip() for each in names.split(","))):
        if name not in label_set.names:
            close = difflib.get_close_matches(name, label_set.names, n=1)
            meant = f", did you mean '{close[0]}'?" if close else f": they are {', '.join(label_set.names)}"
            raise SettingError(f"mask_classes: there is no class {name!r} in {label_set.name}{meant}")
        table[label_set.names.index(name)] = 255
    return table


def _sized(image: Array, config: NodeConfig) -> Array:
    """Return (H, W) at the size that the configuration asks for, by the nearest pixel's centre."""
    width, height = image.shape[::-1]
    size = config.output.of(width, height)
    return image if size == (width, height) else cv2.resize(image, size, interpolation=cv2.INTER_NEAREST_EXACT)


def _wanted(publisher: Any) -> bool:
    return bool(publisher.get_subscription_count())
