# SPDX-License-Identifier: Apache-2.0
"""The options of `segmif replay`, apart from what it does: that needs torch, which takes seconds to import."""

from __future__ import annotations

import argparse
from pathlib import Path

from segmif_ros.bag.grid_replay import GridReplayConfig
from segmif_ros.bag.node_options import add_replay_arguments
from segmif_ros.evaluation import engine_options
from segmif_ros.settings.options import add_options


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the arguments of `segmif replay`."""
    parser.add_argument("bags", type=Path, nargs="+", metavar="BAG", help="rosbag2 folder, .mcap or .db3 file")
    add_replay_arguments(parser)
    engine_options.add_engine_arguments(parser)
    engine_options.add_run_arguments(parser, "out/replay")
    online = parser.add_argument_group("online, over DDS")
    online.add_argument("--online", action="store_true", help="play the bag to the node and measure how it keeps up")
    online.add_argument("--rate", type=float, default=1.0, help="times the bag's own pace (default: %(default)s)")
    online.add_argument("--loop", type=int, default=1, metavar="N", help="passes (default: %(default)s)")
    online.add_argument("--clock", action="store_true", help="publish /clock, and have the node follow it")
    online.add_argument("--domain-id", type=int, help="ROS domain of the node that is started (default: a free one)")
    online.add_argument("--running-node", action="store_true", help="play to a node that runs already")
    online.add_argument(
        "--attach", type=float, metavar="SECONDS", help="publish nothing: watch a running node and player for so long"
    )
    online.add_argument("--pid", type=int, help="process of the running node, for CPU and memory")
    parser.add_argument("--no-outputs", action="store_true", help="only the report, no bag of outputs")
    grid = parser.add_argument_group("the planner's grid, offline")
    grid.add_argument("--grid", action="store_true", help="write grid/cost and its like into the bag of outputs")
    add_options(grid, GridReplayConfig, defaults={"camera_height_m": "from tf"})
    grid.add_argument(
        "--odom-topic", default="/odom", metavar="TOPIC", help="nav_msgs/Odometry (default: %(default)s, and tf)"
    )
    grid.add_argument("--costs", default="", metavar="FILE", help="cost of each class (default: the package's)")
