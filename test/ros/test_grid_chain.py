# SPDX-License-Identifier: Apache-2.0
"""Rig, network and grid as three processes, and a planner that reads the map as Nav2's static layer does."""

import contextlib
import time
from pathlib import Path

import numpy as np
import pytest
from patience import WAIT_S

pytest.importorskip("rclpy", reason="no ROS 2 here")
pytest.importorskip("segmif_ros.msg", reason="the package's own messages were not built here")

import rclpy
from nav_msgs.msg import OccupancyGrid
from node_processes import PROCESS_DOMAIN, REAL_NODE, Process
from rclpy.executors import SingleThreadedExecutor
from rclpy.node import Node
from rclpy.qos import QoSDurabilityPolicy, QoSProfile, QoSReliabilityPolicy

from segmif_ros.ros.pose_inputs import tf_message_type
from segmif_ros.yaml_file import read_yaml

COSTMAPS = Path(__file__).parents[2] / "config" / "nav2_costmaps.yaml"
# nav2_costmap_2d: what its costs mean
FREE, LETHAL, NO_INFORMATION = 0, 254, 255


class StaticLayer:
    """Reads a map as nav2_costmap_2d's StaticLayer does, by the package's own parameters for Nav2."""

    def __init__(self, node: Node) -> None:
        costmap = read_yaml(COSTMAPS)["local_costmap"]["local_costmap"]["ros__parameters"]
        self.layer, self.costmap = costmap["ground_layer"], costmap
        assert self.layer["map_subscribe_transient_local"]
        quality = QoSProfile(
            depth=1,
            reliability=QoSReliabilityPolicy.RELIABLE,
            durability=QoSDurabilityPolicy.TRANSIENT_LOCAL,
        )
        self.maps: list[OccupancyGrid] = []
        node.create_subscription(OccupancyGrid, self.layer["map_topic"], self.maps.append, quality)

    def costs(self) -> np.ndarray:
        """Return (rows, columns) costs of the newest map, 0 free, 254 lethal, 255 unknown, as the layer reads them."""
        message = self.maps[-1]
        raw = np.array(message.data, np.int8).view(np.uint8).reshape(message.info.height, message.info.width)
        lethal = self.costmap["lethal_cost_threshold"]
        scaled = (raw.astype(float) / lethal * LETHAL).astype(np.uint8)
        return np.where(
            raw == self.costmap["unknown_cost_value"], NO_INFORMATION, np.where(raw >= lethal, LETHAL, scaled)
        )


@pytest.mark.dds
def test_a_planner_gets_the_ground_of_a_simulated_drive_from_three_processes() -> None:
    by_tf = tf_message_type()[0] is not None
    rig = ["drive:=true", "drive_mps:=1.0", "lighting:=day", "width:=320", "height:=240", "rate_hz:=4.0"]
    node = ["weights:=segmif-rt", "num_threads:=1", "warm_up_width:=320", "warm_up_height:=240"]
    grid = [] if by_tf else ["camera_pose_from:=parameters", "camera_height_m:=1.2", "odometry_from:=topic"]
    programs = [
        ("simulated_rig", rig),
        ("segmif_node", node),
        ("grid_node", grid),
    ]
    context = rclpy.Context()
    context.init([], domain_id=PROCESS_DOMAIN)
    planner = Node("planner", context=context)
    layer, executor = StaticLayer(planner), SingleThreadedExecutor(context=context)
    executor.add_node(planner)
    with contextlib.ExitStack() as stack:
        stack.callback(lambda: (executor.shutdown(timeout_sec=0), planner.destroy_node(), context.shutdown()))
        for name, values in programs:
            code = REAL_NODE[1].replace("segmif_node", name)
            words = [word for value in values for word in ("-p", value)]
            process = Process("-c", code, "--ros-args", *words)
            stack.callback(process.end)
            stack.callback(process.popen.terminate)
        deadline = time.monotonic() + 2 * WAIT_S  # three processes start, one with torch
        free = 0
        while free < 200 and time.monotonic() < deadline:
            executor.spin_once(timeout_sec=0.2)
            free = int((layer.costs() < LETHAL // 2).sum()) if layer.maps else 0
        assert free >= 200, f"{free} free cells in {len(layer.maps)} maps"
    costs, message = layer.costs(), layer.maps[-1]
    assert message.header.frame_id == layer.costmap["global_frame"]
    assert (costs == NO_INFORMATION).sum() > costs.size / 2, "what was not seen is unknown"
    columns = np.nonzero(costs < LETHAL // 2)[1]
    ahead = message.info.origin.position.x + (columns + 0.5) * message.info.resolution
    assert ahead.min() > 1.0, "nothing is free nearer than the image's last row shows"
