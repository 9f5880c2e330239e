# SPDX-License-Identifier: Apache-2.0
"""Trials run nodes, bags and networks."""

from bag_fixtures import make_bag
from ros_fixtures import bench, ros_context, started
from torch_fixtures import one_thread, own_cache, tiny_weights

__all__ = ["bench", "make_bag", "one_thread", "own_cache", "ros_context", "started", "tiny_weights"]
