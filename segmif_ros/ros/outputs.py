# SPDX-License-Identifier: Apache-2.0
"""The node's outputs: all carry the master frame's header, and none is made while nobody listens."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import cv2
from rclpy.lifecycle import LifecycleNode
from sensor_msgs.msg import Image

from segmif_ros.imaging.overlay import draw_overlay
from segmif_ros.ros.health import Problem
from segmif_ros.ros.messages import image_message, make_header, semantic_map_message, semantic_map_type
from segmif_ros.ros.qos import PUBLISHER_EVENTS, mismatch, overridable, profile

if TYPE_CHECKING:
    from segmif_ros.inference.engine import EngineProtocol
    from segmif_ros.ros.node_config import NodeConfig
    from segmif_ros.stream.processing import Output


class Outputs:
    """The publishers of one node.

    Args:
        node: Publishes; only while it is active, as lifecycle publishers do.
        config: The node's.
        engine: Says which classes the labels mean and which model they are from.
    """

    def __init__(self, node: LifecycleNode, config: NodeConfig, engine: EngineProtocol) -> None:
        self._node = node
        self._engine = engine
        self._publishers: dict[str, tuple[Any, Any]] = {}
        self.configure(config)
        try:
            self._create()
        except RuntimeError:  # a wrong QoS override
            self.close()
            raise

    def _create(self) -> None:
        self._fused = self._publisher(Image, "fused/image")
        self._mask = self._publisher(Image, "segmentation/mask")
        self._confidence = self._publisher(Image, "segmentation/confidence")
        self._overlay = self._publisher(Image, "segmentation/overlay")
        self._semantic_map = None
        message_type, reason = semantic_map_type()
        if message_type is not None:
            self._semantic_map = self._publisher(message_type, "segmentation/semantic_map")
        else:
            self._node.get_logger().warning(
                f"segmentation/semantic_map is not published, the other topics are: {reason}. Build the package's "
                "messages (colcon build, or pip install with a C compiler) to get it"
            )

    def configure(self, config: NodeConfig) -> None:
        """Change settings from the next output on."""
        self._config = config

    def publish(self, output: Output) -> None:
        """Publish what somebody listens to; called on the worker's thread."""
        result = output.result
        header = make_header(output.master.stamp_ns, output.master.frame_id)
        if _wanted(self._fused):
            mono = self._config.fused_encoding == "mono8"
            fused = cv2.cvtColor(result.fused, cv2.COLOR_RGB2GRAY) if mono else result.fused
            self._fused.publish(image_message(fused, self._config.fused_encoding, header))
        if _wanted(self._mask):
            self._mask.publish(image_message(result.labels, "mono8", header))
        if _wanted(self._confidence):
            self._confidence.publish(image_message(result.confidence, "mono8", header))
        if self._semantic_map is not None and _wanted(self._semantic_map):
            self._semantic_map.publish(
                semantic_map_message(
                    result,
                    self._engine.label_set,
                    header,
                    pair_offset_s=1e-9 * output.offset_ns,
                    model_name=self._engine.model_name,
                    model_hash=self._engine.model_hash,
                    inference_ms=float(sum(result.stage_ms.values())),
                )
            )
        if _wanted(self._overlay):  # last: people can wait for what machines need
            palette = self._engine.label_set.palette
            overlay = draw_overlay(result.fused, result.labels, palette, alpha=self._config.overlay_alpha)
            self._overlay.publish(image_message(overlay, "rgb8", header))

    def problems(self) -> list[Problem]:
        """Return the outputs that a subscriber wants with a QoS that doesn't match."""
        found = []
        for topic, (_publisher, qos) in self._publishers.items():
            full = self._node.resolve_topic_name(topic)
            for each in self._node.get_subscriptions_info_by_topic(full):
                if reason := mismatch(qos, each.qos_profile):
                    line = f"{full}: subscriber '{each.node_name}' and this node don't match: {reason}"
                    found.append(Problem(f"{topic} {each.node_name}", line))
        return found

    def close(self) -> None:
        """Destroy the publishers."""
        for publisher, _ in self._publishers.values():
            self._node.destroy_lifecycle_publisher(publisher)
        self._publishers.clear()

    def _publisher(self, message_type: Any, topic: str) -> Any:
        qos = profile(self._config.output_reliability, self._config.output_depth)
        publisher = self._node.create_lifecycle_publisher(
            message_type, topic, qos, event_callbacks=PUBLISHER_EVENTS, qos_overriding_options=overridable()
        )
        self._publishers[topic] = publisher, qos
        return publisher


def _wanted(publisher: Any) -> bool:
    return bool(publisher.get_subscription_count())
