# SPDX-License-Identifier: Apache-2.0
"""The parameters of segmif_node: those of its components, and its own.

Declaration, config/segmif.yaml, docs/parameters.md and the launch arguments follow from them.
"""

from __future__ import annotations

from dataclasses import dataclass

from segmif_ros.imaging.overlay import OverlayConfig
from segmif_ros.imaging.size import ImageSize
from segmif_ros.inference.config import NetworkConfig
from segmif_ros.paths import user_path
from segmif_ros.rig.drift import LIMIT_PX
from segmif_ros.ros.common_config import DEPTH_SOURCES, TURN_SOURCES, LifeConfig, QosConfig
from segmif_ros.ros.depth_pose import parse_depth_pose
from segmif_ros.settings import Changes, part, setting
from segmif_ros.stream.pipeline_config import PipelineConfig

NODE_NAME = "segmif_node"
FILE_HEADER = """\
Every parameter of segmif_node at its default, written by `make params` from segmif_ros/ros/node_config.py. Copy this
file to change values for a robot. QoS per topic can be overridden with rclpy's qos_overrides."""

TIME_OFFSETS = ("fixed", "auto")
TRANSPORTS = ("raw", "compressed")
SYNC_POLICIES = ("nearest", "exact", "approximate")

_UNCONFIGURED = Changes.UNCONFIGURED
_NEVER = Changes.NEVER


@dataclass(frozen=True, kw_only=True)
class NodeConfig:
    """The parameters; what each means is in its description."""

    network: NetworkConfig = part(NetworkConfig, changes=_UNCONFIGURED)
    frame_budget_ms: float = setting(
        0.0,
        "Longest that a pair may keep the node busy, in milliseconds: where the median takes longer, the network's "
        "image gets smaller in steps (outputs keep their size), and larger again once that fits; 0 is off. See "
        "docs/node_performance.md.",
        minimum=0.0,
        maximum=60_000.0,
        changes=Changes.RELOAD,
    )
    warm_up_height: int = setting(
        0,
        "Rows of the image that the model is warmed up with; 0: the master camera's in calibration_file, else 480.",
        minimum=0,
        maximum=8192,
        changes=_UNCONFIGURED,
    )
    warm_up_width: int = setting(
        0, "Its columns; 0: in the same way, else 640.", minimum=0, maximum=8192, changes=_UNCONFIGURED
    )
    opencv_threads: int = setting(
        0, "Threads of OpenCV; 0 leaves OpenCV's choice.", minimum=0, maximum=1024, changes=_UNCONFIGURED
    )

    # inputs
    infrared_transport: str = setting(
        "raw",
        "How infrared images come: raw, or compressed (JPEG or PNG, 8 and 16 bit) on the image topic with /compressed "
        "added.",
        choices=TRANSPORTS,
        changes=_UNCONFIGURED,
        group="Inputs",
    )
    rgb_transport: str = setting(
        "raw", "How RGB images come, as infrared_transport.", choices=TRANSPORTS, changes=_UNCONFIGURED
    )

    # pairing
    sync_policy: str = setting(
        "nearest",
        "How frames pair: nearest stamp within slop_s; exact or approximate as message_filters, which must be "
        "installed, does it (approximate pairs greedily on arrival).",
        choices=SYNC_POLICIES,
        changes=_UNCONFIGURED,
        group="Pairing",
    )

    # a robot continues with one camera; what is measured offline takes pairs alone unless it is asked to
    pipeline: PipelineConfig = part(PipelineConfig, single_camera="continue")

    temporal_odometry: str = setting(
        "none",
        "What tells temporal filter how the camera turned between frames, before optical flow follows the rest: tf "
        "(from temporal_odom_frame to the frame_id of the outputs), topic (odom, nav_msgs/Odometry, and tf from the "
        "robot to the camera), or none. Needs camera_info; helps where the robot turns fast.",
        choices=TURN_SOURCES,
        group="Pairing",
    )
    temporal_odom_frame: str = setting("odom", "Frame in which the robot moves without jumps, for temporal_odometry.")

    # the rig
    depth_source: str = setting(
        "image",
        "Where registration depth takes it from: image (depth/image, 32FC1 in metres or 16UC1 in millimetres), points "
        "(depth/points).",
        choices=DEPTH_SOURCES,
        group="Registration",
    )
    depth_pose: str = setting(
        "rgb",
        "Where that is measured from: rgb (depth image aligned with the RGB camera, points in its optical frame), tf "
        "(from its frame_id to that of rgb/camera_info), or seven numbers x y z qx qy qz qw in metres, as tf2_echo "
        "prints them from the RGB camera's optical frame to the depth frame. With tf or numbers a depth image also "
        "needs depth/camera_info.",
    )
    watch_registration: bool = setting(
        False,
        "Look at a registered pair a second and tell in /diagnostics and the log when the cameras moved since "
        "calibration.",
    )
    registration_limit_px: float = setting(
        LIMIT_PX,
        "Displacement in pixels of the master's view from which on watch_registration tells.",
        minimum=0.5,
        maximum=100.0,
    )
    refine_registration_px: float = setting(
        0.0,
        "Largest correction in pixels, right and down, that watch_registration may make, slowly, for homography, "
        "stereo and ground; 0: none.",
        minimum=0.0,
        maximum=50.0,
    )
    time_offset: str = setting(
        "fixed",
        "fixed: time_offset_s holds; auto: what the images tell (as estimate_time_offset, within half a second) takes "
        "its place once two estimates agree.",
        choices=TIME_OFFSETS,
    )
    estimate_time_offset: bool = setting(
        False,
        "Compare how both images move and report in /diagnostics by how much the infrared stamps are late; corrects "
        "nothing.",
    )

    # outputs
    mask_classes: str = setting(
        "",
        "Names of the classes, separated by commas, that are 255 in segmentation/classes_mask; empty publishes none.",
        group="Outputs",
    )
    output: ImageSize = part(
        ImageSize,
        prefix="output_",
        what="the class and confidence images (ids are taken from the nearest pixel) and of the semantic map",
    )
    jpeg_quality: int = setting(90, "Quality of fused/image/compressed in percent.", minimum=1, maximum=100)
    fused_encoding: str = setting("rgb8", "Encoding of fused/image.", choices=("rgb8", "mono8"))
    overlay: OverlayConfig = part(OverlayConfig, prefix="overlay_")

    # life
    snapshot_folder: str = setting(
        "", "Where ~/snapshot writes, a folder for each; empty means $ROS_HOME/segmif_snapshots (~/.ros without it).",
        group="Life and diagnostics",
    )
    life: LifeConfig = part(LifeConfig, changes=_NEVER)
    input_timeout_s: float = setting(
        2.0, "An input without a frame for this long is reported as silent, in seconds.", minimum=0.1, maximum=3600.0
    )
    output_timeout_s: float = setting(
        5.0,
        "Nothing delivered for this long although both cameras send is an error in /diagnostics, in seconds.",
        minimum=0.1,
        maximum=3600.0,
    )
    input_qos: QosConfig = part(QosConfig, prefix="input_", what="both inputs", changes=_NEVER)
    output_qos: QosConfig = part(
        QosConfig, prefix="output_", what="the outputs", changes=_NEVER, reliability="reliable"
    )

    def __post_init__(self) -> None:
        parse_depth_pose(self.depth_pose)
        try:
            user_path(self.snapshot_folder)
        except FileNotFoundError as error:
            raise ValueError(f"parameter 'snapshot_folder' is '{self.snapshot_folder}': {error.strerror}") from None

    @property
    def estimates_time_offset(self) -> bool:
        """Whether both images' motion is compared."""
        return self.estimate_time_offset or self.time_offset == "auto"
