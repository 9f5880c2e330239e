# SPDX-License-Identifier: Apache-2.0
"""Several rigs on one machine: a node each, in a namespace each, and nothing of one reaches the other."""

import time

import numpy as np
import pytest
from patience import WAIT_S

pytest.importorskip("rclpy", reason="no ROS 2 here")

import rclpy
from diagnostic_msgs.msg import DiagnosticArray
from node_processes import FAKE_NODE, PROCESS_DOMAIN
from rclpy.executors import SingleThreadedExecutor
from rclpy.node import Node
from sensor_msgs.msg import Image

from segmif_ros.ros.messages import image_message, make_header
from segmif_ros.trials.measuring import initialised

START_NS = 1_700_000_000_000_000_000
RIGS = {"front": 30, "rear": 60}  # name -> grey value of its infrared camera


def test_two_nodes_in_two_namespaces_process_their_own_cameras_only(started) -> None:
    processes = [
        started(*FAKE_NODE, "--ros-args", "-r", f"__ns:=/{rig}", "-p", "diagnostics_period_s:=0.1") for rig in RIGS
    ]
    context = rclpy.context.Context()
    with initialised(context, PROCESS_DOMAIN):
        bench = Node("bench", context=context)
        received: dict[str, list] = {rig: [] for rig in RIGS}
        names: set[str] = set()
        cameras = {}
        for rig in RIGS:
            bench.create_subscription(Image, f"{rig}/segmentation/confidence", received[rig].append, 5)
            cameras[rig] = [bench.create_publisher(Image, f"{rig}/{each}/image_raw", 5) for each in ("infrared", "rgb")]
        bench.create_subscription(
            DiagnosticArray, "/diagnostics", lambda message: names.update(each.name for each in message.status), 10
        )
        executor = SingleThreadedExecutor(context=context)
        executor.add_node(bench)
        for process in processes:
            process.until("active:")
        services = {f"/{rig}/segmif_node/{each}" for rig in RIGS for each in ("enable", "snapshot", "reload_weights")}
        deadline, stamp = time.monotonic() + WAIT_S, START_NS
        wanted = {f"{rig}/segmif_node: pipeline" for rig in RIGS}
        while not (all(received.values()) and wanted <= names):
            assert time.monotonic() < deadline, (received.keys(), names)
            stamp += 100_000_000
            for rig, grey in RIGS.items():
                infrared, rgb = cameras[rig]
                infrared.publish(image_message(np.full((6, 8), grey, np.uint8), "mono8", make_header(stamp, rig)))
                rgb.publish(image_message(np.zeros((6, 8, 3), np.uint8), "rgb8", make_header(stamp, rig)))
            for _ in range(4):
                executor.spin_once(timeout_sec=0.05)
        offered = {name for name, _types in bench.get_service_names_and_types()}
        executor.shutdown()
        bench.destroy_node()
    for rig, grey in RIGS.items():
        assert {message.header.frame_id for message in received[rig]} == {rig}
        assert {value for message in received[rig] for value in message.data} == {grey}
    assert services <= offered
