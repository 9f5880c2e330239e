# SPDX-License-Identifier: Apache-2.0
"""Entry points of the executables.

They import nothing but the standard library before signals are taken care of, so that a Ctrl-C while rclpy, OpenCV or
torch are being imported ends the process as cleanly as any other.
"""

from __future__ import annotations

from typing import Any

from segmif_ros.ros.parent import exit_with_parent_on_request
from segmif_ros.ros.process import run_node


def segmif_node() -> int:
    """Run segmif_node; return its exit status."""

    def make_node() -> Any:
        from segmif_ros.ros.segmif_node import SegmifNode

        return SegmifNode()

    exit_with_parent_on_request()
    return run_node("segmif_node", make_node)


def simulated_rig() -> int:
    """Run simulated_rig; return its exit status."""

    def make_node() -> Any:
        from segmif_ros.ros.simulator.node import SimulatedRig

        return SimulatedRig()

    exit_with_parent_on_request()
    return run_node("simulated_rig", make_node)


def grid_node() -> int:
    """Run grid_node; return its exit status."""

    def make_node() -> Any:
        from segmif_ros.ros.grid_node import GridNode

        return GridNode()

    exit_with_parent_on_request()
    return run_node("grid_node", make_node)
