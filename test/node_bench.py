# SPDX-License-Identifier: Apache-2.0
"""The node, two cameras and a listener in one executor, over real DDS."""

import time
from collections import defaultdict

import numpy as np
from diagnostic_msgs.msg import DiagnosticArray, DiagnosticStatus
from node_program import FakeEngine
from patience import WAIT_S
from rclpy.executors import SingleThreadedExecutor
from rclpy.lifecycle import TransitionCallbackReturn
from rclpy.node import Node
from rclpy.parameter import Parameter
from rclpy.qos import QoSProfile, QoSReliabilityPolicy
from sensor_msgs.msg import Image

from segmif_ros.ros.messages import image_message, make_header
from segmif_ros.ros.monitor import Monitor
from segmif_ros.ros.segmif_node import SegmifNode

START_NS = time.time_ns() // 10**9 * 10**9
Monitor.clock_tolerance_s = 3600.0  # stamps are of the time of this import, and tests may begin much later
FRAME_NS = 33_333_333
BEST_EFFORT = QoSProfile(depth=5, reliability=QoSReliabilityPolicy.BEST_EFFORT)
SUCCESS = TransitionCallbackReturn.SUCCESS


class Bench:
    """The node, two cameras and a listener in one executor."""

    def __init__(self, context, *, engine=None, camera_qos=BEST_EFFORT, make_engine=None, start=True, **values) -> None:
        self.engine = engine or FakeEngine()
        # these cameras send one value everywhere: whoever tests what is made of that asks for it
        values = {"diagnostics_period_s": 0.05, "single_camera": "none", **values}
        self.node = SegmifNode(
            make_engine or (lambda _config: self.engine),
            context=context,
            parameter_overrides=[Parameter(name, value=value) for name, value in values.items()],
        )
        self.log: list[str] = []
        logger = self.node.get_logger()
        for severity in ("info", "warning", "error"):
            setattr(logger, severity, self.log.append)
        self.others = Node("bench", context=context)
        self.cameras = {
            camera: self.others.create_publisher(Image, f"{camera}/image_raw", camera_qos)
            for camera in ("infrared", "rgb")
        }
        self.received: dict[str, list] = defaultdict(list)
        self.listen("/diagnostics", DiagnosticArray)
        self.executor = SingleThreadedExecutor(context=context)
        self.executor.add_node(self.node)
        self.executor.add_node(self.others)
        if start:
            assert self.node.start()
            self.until(lambda: all(each.get_subscription_count() for each in self.cameras.values()))

    def listen(self, topic, message_type=Image, qos=10) -> None:
        self.others.create_subscription(message_type, topic, self.received[topic].append, qos)

    def until(self, condition) -> None:
        """Let the executor work until ``condition`` holds."""
        deadline = time.monotonic() + WAIT_S
        while not condition():
            assert time.monotonic() < deadline, f"gave up waiting; log: {self.log}; got {dict(self.received).keys()}"
            self.executor.spin_once(timeout_sec=0.05)

    def listen_to_all(self) -> tuple[str, ...]:
        topics = ("fused/image", "segmentation/mask", "segmentation/confidence", "segmentation/overlay")
        for topic in topics:
            self.listen(topic)
        publishers = [each for each in self.node.publishers if each.topic.startswith(("fused", "segmentation"))]
        self.until(lambda: sum(bool(each.get_subscription_count()) for each in publishers) >= len(topics))
        return topics

    def send(self, number, *, infrared=None, rgb=None, offset_ns=0, cameras=("infrared", "rgb")) -> None:
        infrared = np.full((6, 8), number % 200, np.uint8) if infrared is None else infrared
        rgb = np.full((6, 8, 3), 40, np.uint8) if rgb is None else rgb
        stamp = START_NS + number * FRAME_NS
        encoding = "mono8" if infrared.dtype == np.uint8 else "mono16"
        messages = {
            "infrared": image_message(infrared, encoding, make_header(stamp + offset_ns, "thermal")),
            "rgb": image_message(rgb, "rgb8", make_header(stamp, "camera")),
        }
        for camera in cameras:
            self.cameras[camera].publish(messages[camera])

    def beat(self, number, **options) -> None:
        """Send a pair and wait for the next diagnostics."""
        seen = len(self.received["/diagnostics"])
        self.send(number, **options)
        self.until(lambda: len(self.received["/diagnostics"]) > seen)

    def status(self) -> DiagnosticStatus:
        messages = self.received["/diagnostics"]
        return messages[-1].status[0] if messages else DiagnosticStatus(level=DiagnosticStatus.STALE)

    def values(self) -> dict[str, str]:
        return {each.key: each.value for each in self.status().values}

    def value(self, key) -> str | None:
        return self.values().get(key)

    def close(self) -> None:
        assert self.node.close()
        self.executor.shutdown(timeout_sec=0)
        self.node.destroy_node()
        self.others.destroy_node()
