# SPDX-License-Identifier: Apache-2.0
"""The node as a process with the real network (small, untrained): messages in, messages out, through real DDS."""

import signal
import time

import numpy as np
import pytest
from patience import WAIT_S

pytest.importorskip("rclpy", reason="no ROS 2 here")

import rclpy
from node_processes import PROCESS_DOMAIN, REAL_NODE, ends_cleanly
from rclpy.executors import SingleThreadedExecutor
from rclpy.node import Node
from sensor_msgs.msg import Image

from segmif_ros.imaging.encodings import view
from segmif_ros.labels import MFNET
from segmif_ros.model import SegMiF, SegMiFConfig, save_checkpoint
from segmif_ros.ros.messages import image_buffer, image_message, make_header, stamp_ns
from segmif_ros.trials.measuring import initialised

HEIGHT, WIDTH = 64, 96
START_NS = 1_700_000_000_000_000_000
TOPICS = ("fused/image", "segmentation/mask", "segmentation/confidence", "segmentation/overlay")


@pytest.fixture(scope="module")
def checkpoint(tmp_path_factory) -> str:
    path = tmp_path_factory.mktemp("weights") / "tiny.safetensors"
    config = SegMiFConfig(encoder="mit_b0", num_classes=9, fusion_channels=16, growth=8, decoder_channels=32)
    save_checkpoint(SegMiF(config), path, {"name": "tiny", "label_set": "mfnet", "prior": "mean"})
    return str(path)


def arguments(checkpoint, *overrides) -> list[str]:
    values = (f"weights:={checkpoint}", f"warm_up_height:={HEIGHT}", f"warm_up_width:={WIDTH}", "num_threads:=1")
    return [*REAL_NODE, "--ros-args", *(each for value in (*values, *overrides) for each in ("-p", value))]


def test_weights_for_another_number_of_classes_are_refused_in_one_line(started, checkpoint) -> None:
    process = started(*arguments(checkpoint, "classes:=15"))
    assert process.end() == 1
    assert ["loading" in line for line in process.lines] == [True, False], process.lines
    assert "9" in process.lines[1]
    assert "15" in process.lines[1]


def test_a_pair_goes_through_the_network_and_comes_out_on_every_topic(started, checkpoint) -> None:
    message_types = dict.fromkeys(TOPICS, Image)
    process = started(*arguments(checkpoint))
    context = rclpy.context.Context()
    received: dict[str, list] = {topic: [] for topic in TOPICS}
    with initialised(context, PROCESS_DOMAIN):
        node = Node("bench", context=context)
        try:
            from segmif_ros.msg import SemanticMap
        except ImportError:
            pass
        else:
            message_types["segmentation/semantic_map"] = SemanticMap
            received["segmentation/semantic_map"] = []
        for topic, message_type in message_types.items():
            node.create_subscription(message_type, topic, received[topic].append, 5)
        infrared, rgb = (node.create_publisher(Image, f"{each}/image_raw", 5) for each in ("infrared", "rgb"))
        executor = SingleThreadedExecutor(context=context)
        executor.add_node(node)
        process.until("active:")
        random = np.random.default_rng(0)
        thermal = random.integers(0, 16384, (HEIGHT, WIDTH), np.uint16)
        colour = random.integers(0, 255, (HEIGHT, WIDTH, 3), np.uint8)
        deadline, stamp = time.monotonic() + WAIT_S, START_NS
        while not all(received.values()):
            assert time.monotonic() < deadline, {topic: len(each) for topic, each in received.items()}
            stamp += 100_000_000
            infrared.publish(image_message(thermal, "mono16", make_header(stamp, "thermal")))
            rgb.publish(image_message(colour, "rgb8", make_header(stamp, "camera")))
            executor.spin_once(timeout_sec=0.1)
        executor.shutdown()
        node.destroy_node()
    ends_cleanly(process, signal.SIGTERM)
    for topic, messages in received.items():
        assert messages[0].header.frame_id == "camera", topic
        assert (stamp_ns(messages[0].header) - START_NS) % 100_000_000 == 0, topic
        assert (messages[0].height, messages[0].width) == (HEIGHT, WIDTH), topic
    fused, mask = (view(image_buffer(received[topic][0])) for topic in TOPICS[:2])
    assert fused.std() > 0
    assert mask.max() < len(MFNET)
    for message in received.get("segmentation/semantic_map", []):
        assert [each.name for each in message.classes] == list(MFNET.names)
        assert message.model_name == "tiny"
        assert message.inference_ms > 0
