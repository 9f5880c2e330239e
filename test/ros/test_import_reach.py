# SPDX-License-Identifier: Apache-2.0
"""What segmif_node imports at its start: the robot's rooms alone, and no more files than needed."""

import subprocess
import sys

import pytest

_LIST = """
import sys
import segmif_ros.ros.segmif_node
print("\\n".join(n for n, m in sys.modules.items() if n.startswith("segmif_ros.") and str(m.__file__).endswith(".py")))
"""
ROBOT = {
    *("ros", "stream", "imaging", "rig", "inference", "settings", "msg"),
    *("arrays", "labels", "palettes", "paths", "yaml_file"),
}
MOST_FILES = 78


def test_the_node_imports_the_rooms_of_the_robot_alone_and_few_files() -> None:
    pytest.importorskip("rclpy", reason="no ROS 2 here")
    done = subprocess.run([sys.executable, "-c", _LIST], capture_output=True, text=True, check=True)
    names = done.stdout.split()
    assert {name.split(".")[1] for name in names} <= ROBOT
    assert len(names) <= MOST_FILES, sorted(names)
