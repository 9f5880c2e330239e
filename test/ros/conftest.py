# SPDX-License-Identifier: Apache-2.0
"""Tests of the node use the fixtures for real DDS."""

from ros_fixtures import bench, ros_context, started

__all__ = ["bench", "ros_context", "started"]
