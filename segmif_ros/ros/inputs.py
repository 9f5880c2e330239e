# SPDX-License-Identifier: Apache-2.0
"""The node's image inputs: a subscription, and what there is to know about who publishes to it."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from rclpy.node import Node
from rclpy.qos import QoSProfile
from rclpy.subscription import Subscription
from sensor_msgs.msg import CompressedImage, Image

from segmif_ros.imaging.compressed import CompressedBuffer
from segmif_ros.imaging.encodings import ImageBuffer
from segmif_ros.ros.health import InputFacts
from segmif_ros.ros.messages import image_buffer, stamp_ns
from segmif_ros.ros.qos import SUBSCRIPTION_EVENTS, mismatch, overridable
from segmif_ros.stream.lost_frames import LossWatch
from segmif_ros.stream.processing import Frame
from segmif_ros.stream.stamps import StampWatch
from segmif_ros.stream.statistics import RateMeter

# how images come -> message type, its name, and what image_transport adds to the topic of the images
TRANSPORTS: dict[str, tuple[Any, str, str]] = {
    "raw": (Image, "sensor_msgs/msg/Image", ""),
    "compressed": (CompressedImage, "sensor_msgs/msg/CompressedImage", "/compressed"),
}


class CameraInput:
    """The subscription to one camera.

    Args:
        node: Subscribes.
        camera: "infrared" or "rgb".
        qos: Of its own; rclpy writes what ``qos_overrides`` say into it.
        offer: Takes the frames, on the executor's thread.
        now_ns: A clock that never steps back.
        watched_ns: The same, as far as the node was given time: silence counts by it.
        transport: "raw" or "compressed".
    """

    def __init__(
        self,
        node: Node,
        camera: str,
        qos: QoSProfile,
        offer: Callable[[Frame], None],
        now_ns: Callable[[], int],
        *,
        watched_ns: Callable[[], int],
        transport: str = "raw",
    ) -> None:
        self._node = node
        self.camera = camera
        self._offer = offer
        self._now_ns = now_ns
        self._since_ns = now_ns()
        self._watched_ns = watched_ns
        self._silent_since_ns = watched_ns()
        self._received = False
        self._rate = RateMeter()
        self._frame_bytes = 0
        self._unstamped = False
        self._stamps = StampWatch()
        self._losses = LossWatch()
        self._stamp_ns = 0
        self._qos = qos
        message_type, self._type_name, suffix = TRANSPORTS[transport]
        # as image_transport does it: a remapped topic of images has the compressed ones beside it
        name = f"{camera}/image_raw" if transport == "raw" else node.resolve_topic_name(f"{camera}/image_raw") + suffix
        self._subscription = node.create_subscription(
            message_type,
            name,
            self._receive_informed if hasattr(Subscription, "CallbackType") else self._receive,
            qos,
            event_callbacks=SUBSCRIPTION_EVENTS,
            qos_overriding_options=overridable(),
        )
        self.topic: str = node.resolve_topic_name(name)
        # where the same images may come the other way
        self._elsewhere = {
            each: node.resolve_topic_name(f"{camera}/image_raw") + TRANSPORTS[each][2]
            for each in TRANSPORTS
            if each != transport
        }

    def close(self) -> None:
        """End the subscription."""
        self._node.destroy_subscription(self._subscription)

    def facts(self) -> InputFacts:
        """Return what is known of the input and of who publishes to it."""
        publishers = self._node.get_publishers_info_by_topic(self.topic)
        images = [each for each in publishers if each.topic_type == self._type_name]
        others = [each.topic_type for each in publishers if each.topic_type != self._type_name]
        mismatches = [reason for each in images if (reason := mismatch(each.qos_profile, self._qos))]
        now_ns = self._now_ns()
        since_ns = now_ns - self._since_ns
        lost_share = self._losses.share  # of several publishers, not all middlewares tell whose number it is
        return InputFacts(
            camera=self.camera,
            topic=self.topic,
            publishers=len(images),
            message_type=self._type_name,
            image_topics=() if images else self._image_topics(),
            wrong_type=others[0] if others else "",
            other_transport=next((each for each in self._elsewhere if not images and self._published(each)), ""),
            incompatible=mismatches[0] if mismatches else "",
            silent_s=1e-9 * (self._watched_ns() - self._silent_since_ns),
            received=self._received,
            rate_hz=self._rate.hz(now_ns),
            frame_bytes=self._frame_bytes,
            unstamped=self._unstamped,
            rhythm=self._stamps.rhythm(),
            lost_share=lost_share if len(images) == 1 or lost_share is None else 0.0,
            ahead_s=1e-9 * (self._stamp_ns + since_ns - self._node.get_clock().now().nanoseconds),
        )

    def _image_topics(self) -> tuple[str, ...]:
        topics = self._node.get_topic_names_and_types()
        named = [name for name, types in topics if self._type_name in types and name != self.topic]
        published = {
            name
            for name in named
            for each in self._node.get_publishers_info_by_topic(name)
            if (each.node_namespace, each.node_name) != (self._node.get_namespace(), self._node.get_name())
        }
        return tuple(sorted(published))

    def _published(self, transport: str) -> bool:
        found = self._node.get_publishers_info_by_topic(self._elsewhere[transport])
        return any(each.topic_type == TRANSPORTS[transport][1] for each in found)

    def _receive_informed(self, message: Image | CompressedImage, info: Mapping[str, Any]) -> None:
        """Take a message with what rclpy knows of its way."""
        self._losses.see(info.get("publication_sequence_number"), info.get("publisher_gid"))
        self._receive(message)

    def _receive(self, message: Image | CompressedImage) -> None:
        now_ns = self._now_ns()
        self._since_ns, self._received = now_ns, True
        self._silent_since_ns = self._watched_ns()
        self._rate.tick(now_ns)
        self._frame_bytes = len(message.data)
        stamp = stamp_ns(message.header)
        self._unstamped = stamp == 0
        self._stamps.see(stamp)
        self._stamp_ns = stamp
        self._offer(Frame(stamp_ns=stamp, frame_id=message.header.frame_id, image=_buffer(message)))


def _buffer(message: Image | CompressedImage) -> ImageBuffer | CompressedBuffer:
    if isinstance(message, CompressedImage):
        return CompressedBuffer(format=message.format, data=message.data)
    return image_buffer(message)
