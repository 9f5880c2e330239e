# SPDX-License-Identifier: Apache-2.0
"""The parameters of grid_node: the one table that declaration, config/grid.yaml and docs/grid.md follow."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from segmif_ros.grid.config import GridConfig
from segmif_ros.grid.costs import default_costs_file
from segmif_ros.grid.poses import Array, camera_pose
from segmif_ros.ros.node_config import DEPTH_SOURCES, RELIABILITIES
from segmif_ros.ros.parameters import Changes, parameter

NODE_NAME = "grid_node"
FILE_HEADER = """\
Every parameter of grid_node at its default. Written by `make params` from segmif_ros/ros/grid_config.py: change it
there, and copy this file to change values for a robot."""

_DEFAULT = GridConfig()
_UNCONFIGURED = Changes.UNCONFIGURED
_NEVER = Changes.NEVER


@dataclass(frozen=True, kw_only=True)
class GridNodeConfig:
    """What each parameter means is said in its description."""

    # where the camera is
    camera_pose_from: str = parameter(
        "tf",
        "Where the camera's pose in base_frame comes from: tf, or the parameters camera_*.",
        choices=("tf", "parameters"),
        changes=_UNCONFIGURED,
    )
    odometry_from: str = parameter(
        "tf",
        "Where the robot's pose in odom_frame comes from: tf, the topic odom (nav_msgs/Odometry), or none: each map "
        "then makes a grid of its own in base_frame, without memory.",
        choices=("tf", "topic", "none"),
        changes=_UNCONFIGURED,
    )
    base_frame: str = parameter("base_link", "Frame of the robot: x forward, y left, z up.", changes=_UNCONFIGURED)
    odom_frame: str = parameter(
        "odom", "Frame of the grid, in which the robot moves without jumps.", changes=_UNCONFIGURED
    )
    ground_z_m: float = parameter(
        0.0, "Height of the ground in base_frame, in metres.", minimum=-5.0, maximum=5.0, changes=_UNCONFIGURED
    )
    camera_height_m: float = parameter(
        0.0,
        "Height of the lens over base_frame's z = 0 in metres, with camera_pose_from parameters; must be set then.",
        minimum=0.0,
        maximum=50.0,
    )
    camera_pitch_deg: float = parameter(0.0, "How far the camera looks down, in degrees.", minimum=-90.0, maximum=90.0)
    camera_roll_deg: float = parameter(
        0.0, "How far the camera is turned to its right, in degrees.", minimum=-180.0, maximum=180.0
    )
    camera_yaw_deg: float = parameter(
        0.0, "How far the camera looks to the left, in degrees.", minimum=-180.0, maximum=180.0
    )
    camera_x_m: float = parameter(
        0.0, "How far the lens is before base_frame's origin, in metres.", minimum=-50.0, maximum=50.0
    )
    camera_y_m: float = parameter(
        0.0, "How far the lens is to the left of base_frame's origin, in metres.", minimum=-50.0, maximum=50.0
    )
    pitch_error_deg: float = parameter(
        _DEFAULT.pitch_error_deg,
        "Standard deviation of the camera's pitch against the ground in degrees, from its mounting and from driving: "
        "what is farther away counts for less, and obstacles get longer along their ray.",
        minimum=0.0,
        maximum=10.0,
        changes=_UNCONFIGURED,
    )
    tf_tolerance_s: float = parameter(
        0.1,
        "How much newer than the newest pose an image may be and be used with it, in seconds.",
        minimum=0.0,
        maximum=10.0,
        changes=_UNCONFIGURED,
    )
    tf_timeout_s: float = parameter(
        0.3, "How long an image waits for its pose before it is left out, in seconds.", minimum=0.0, maximum=10.0
    )

    # the cells
    costs: str = parameter(
        "",
        "YAML file with the cost of each class; empty takes the package's config/grid_costs.yaml.",
        changes=_UNCONFIGURED,
    )
    size_m: float = parameter(
        _DEFAULT.size_m,
        "Length of the grid's sides in metres; the robot is in the middle.",
        minimum=1.0,
        maximum=200.0,
        changes=_UNCONFIGURED,
    )
    cell_m: float = parameter(
        _DEFAULT.cell_m,
        "Length of a cell's sides in metres.",
        minimum=0.01,
        maximum=5.0,
        changes=_UNCONFIGURED,
    )
    max_range_m: float = parameter(
        _DEFAULT.max_range_m,
        "How far from the camera anything is taken for known, in metres.",
        minimum=0.5,
        maximum=200.0,
        changes=_UNCONFIGURED,
    )
    min_confidence: float = parameter(
        _DEFAULT.min_confidence,
        "Ground pixels of less confidence make no cell free.",
        minimum=0.0,
        maximum=1.0,
        changes=_UNCONFIGURED,
    )
    memory_s: float = parameter(
        _DEFAULT.memory_s,
        "Time constant in seconds at which what isn't seen any more is forgotten.",
        minimum=0.1,
        maximum=3600.0,
        changes=_UNCONFIGURED,
    )
    movable_memory_s: float = parameter(
        _DEFAULT.movable_memory_s,
        "The same for classes that move.",
        minimum=0.1,
        maximum=3600.0,
        changes=_UNCONFIGURED,
    )

    # depth
    depth_topic: str = parameter(
        "",
        "Topic of depth, from which cells and points then come instead of the ground plane; empty for none.",
        changes=_UNCONFIGURED,
    )
    depth_source: str = parameter(
        DEPTH_SOURCES[0],
        "What comes there: image (sensor_msgs/Image registered to the mask's camera, 32FC1 in metres or 16UC1 in "
        "millimetres), points (sensor_msgs/PointCloud2 of any sensor that tf knows the place of).",
        choices=DEPTH_SOURCES,
        changes=_UNCONFIGURED,
    )
    depth_slop_s: float = parameter(
        0.05, "Largest difference of the stamps of labels and depth in seconds.", minimum=0.0, maximum=1.0
    )

    # life
    autostart: bool = parameter(
        True, "Configure and activate at start; false waits for lifecycle transitions.", changes=_NEVER
    )
    diagnostics_period_s: float = parameter(
        1.0, "Time between two messages on /diagnostics in seconds.", minimum=0.05, maximum=60.0, changes=_NEVER
    )
    input_timeout_s: float = parameter(
        2.0, "Labels that don't come for this long are reported, in seconds.", minimum=0.1, maximum=3600.0
    )
    input_reliability: str = parameter(
        "reliable", "QoS of the labels' subscription.", choices=RELIABILITIES, changes=_NEVER
    )

    def __post_init__(self) -> None:
        self.grid()  # says what doesn't go together

    def grid(self) -> GridConfig:
        """Return the grid's part; without memory one map has to be enough to call a cell free."""
        return GridConfig(
            gain=_DEFAULT.gain if self.remembers else _DEFAULT.object_gain,
            size_m=self.size_m,
            cell_m=self.cell_m,
            max_range_m=self.max_range_m,
            ground_z_m=self.ground_z_m,
            pitch_error_deg=self.pitch_error_deg,
            min_confidence=self.min_confidence,
            memory_s=self.memory_s,
            movable_memory_s=self.movable_memory_s,
        )

    def mount(self) -> Array:
        """Return base_from_optical by the parameters; GridError if the height isn't set."""
        return camera_pose(
            self.camera_height_m,
            self.camera_pitch_deg,
            self.camera_roll_deg,
            yaw_deg=self.camera_yaw_deg,
            x_m=self.camera_x_m,
            y_m=self.camera_y_m,
        )

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
