# SPDX-License-Identifier: Apache-2.0
"""Tests over real DDS stay on this machine, and every message field is checked against its type."""

import os

import pytest
from node_processes import NODE_DOMAIN, Process

from segmif_ros.trials.domains import local_environment

# read when rclpy and the first message are imported
os.environ.update(local_environment(NODE_DOMAIN), ROS_PYTHON_CHECK_FIELDS="1")


@pytest.fixture
def ros_context():
    """A context of its own on the tests' domain."""
    rclpy = pytest.importorskip("rclpy", reason="no ROS 2 here")
    context = rclpy.context.Context()
    rclpy.init(args=[], context=context, domain_id=NODE_DOMAIN)
    yield context
    context.try_shutdown()


@pytest.fixture
def bench(ros_context):
    """Make benches (`node_bench.Bench`) with the node, its cameras and a listener; all are closed after the test."""
    from node_bench import Bench  # needs rclpy, which not every machine has

    made = []

    def make(**options) -> Bench:
        made.append(Bench(ros_context, **options))
        return made[-1]

    yield make
    for each in made:
        each.close()


@pytest.fixture
def started():
    """Start programs; whatever still runs after the test is killed."""
    processes = []

    def start(*arguments: str) -> Process:
        processes.append(Process(*arguments))
        return processes[-1]

    yield start
    for each in processes:
        each.popen.kill()
        each.popen.wait()
