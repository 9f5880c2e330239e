# SPDX-License-Identifier: Apache-2.0
"""The parameters of grid_node; declaration, config/grid.yaml and docs/grid.md follow from them."""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path

from segmif_ros.arrays import Float64Array
from segmif_ros.grid.config import GridConfig
from segmif_ros.grid.costs import default_costs_file
from segmif_ros.grid.poses import CameraMount
from segmif_ros.ros.common_config import DEPTH_SOURCES, LifeConfig, QosConfig
from segmif_ros.settings import Changes, part, setting

NODE_NAME = "grid_node"
FILE_HEADER = """\
Every parameter of grid_node at its default, written by `make params` from segmif_ros/ros/grid_config.py. Copy this
file to change values for a robot."""

_UNCONFIGURED = Changes.UNCONFIGURED


@dataclass(frozen=True, kw_only=True)
class GridNodeConfig:
    """The parameters; what each means is in its description."""

    # where the camera is
    camera_pose_from: str = setting(
        "tf",
        "Where the camera's pose in base_frame comes from: tf, or the parameters camera_*.",
        choices=("tf", "parameters"),
        changes=_UNCONFIGURED,
    )
    odometry_from: str = setting(
        "tf",
        "Where the robot's pose in odom_frame comes from: tf, the topic odom (nav_msgs/Odometry), or none: each map "
        "then makes a grid of its own in base_frame, without memory.",
        choices=("tf", "topic", "none"),
        changes=_UNCONFIGURED,
    )
    base_frame: str = setting("base_link", "Frame of the robot: x forward, y left, z up.", changes=_UNCONFIGURED)
    odom_frame: str = setting(
        "odom", "Frame of the grid, in which the robot moves without jumps.", changes=_UNCONFIGURED
    )
    camera: CameraMount = part(CameraMount, prefix="camera_")
    tf_tolerance_s: float = setting(
        0.1,
        "How much newer than the newest pose an image may be and be used with it, in seconds.",
        minimum=0.0,
        maximum=10.0,
        changes=_UNCONFIGURED,
    )
    tf_timeout_s: float = setting(
        0.3, "How long an image waits for its pose before it is left out, in seconds.", minimum=0.0, maximum=10.0
    )

    # the cells
    grid: GridConfig = part(GridConfig, changes=_UNCONFIGURED)
    costs: str = setting(
        "",
        "YAML file with the cost of each class; empty takes the package's config/grid_costs.yaml.",
        changes=_UNCONFIGURED,
    )

    # depth
    depth_topic: str = setting(
        "",
        "Topic of depth, from which cells and points then come instead of the ground plane; empty for none.",
        changes=_UNCONFIGURED,
    )
    depth_source: str = setting(
        DEPTH_SOURCES[0],
        "What comes there: image (sensor_msgs/Image registered to the mask's camera, 32FC1 in metres or 16UC1 in "
        "millimetres), points (sensor_msgs/PointCloud2 of any sensor that tf knows the place of).",
        choices=DEPTH_SOURCES,
        changes=_UNCONFIGURED,
    )
    depth_slop_s: float = setting(
        0.05, "Largest difference of the stamps of labels and depth in seconds.", minimum=0.0, maximum=1.0
    )

    # life
    life: LifeConfig = part(LifeConfig, changes=Changes.NEVER)
    input_timeout_s: float = setting(
        2.0, "Labels that don't come for this long are reported, in seconds.", minimum=0.1, maximum=3600.0
    )

    input_qos: QosConfig = part(
        QosConfig,
        prefix="input_",
        only=("reliability",),
        what="the labels' subscription",
        changes=Changes.NEVER,
        reliability="reliable",
    )

    def mapped(self) -> GridConfig:
        """Return the grid to make; without memory one map has to be enough to call a cell free."""
        return self.grid if self.remembers else replace(self.grid, gain=self.grid.object_gain)

    def mount(self) -> Float64Array:
        """Return base_from_optical by the parameters; GridError if the height isn't set."""
        return self.camera.pose()

    @property
    def remembers(self) -> bool:
        """Whether the robot's motion is known, so that what was seen before still has its place."""
        return self.odometry_from != "none"

    @property
    def grid_frame(self) -> str:
        """The frame that the grid lies in."""
        return self.odom_frame if self.remembers else self.base_frame


def costs_file(config: GridNodeConfig) -> Path:
    """Return the file of costs: the one that is named, or the package's."""
    return Path(config.costs).expanduser() if config.costs else default_costs_file()
