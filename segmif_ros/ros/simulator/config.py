# SPDX-License-Identifier: Apache-2.0
"""The parameters of simulated_rig, and the rig that they describe."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from segmif_ros.imaging.size import ImageSize
from segmif_ros.rig.calibration import Extrinsics, RigCalibration
from segmif_ros.ros.common_config import QosConfig
from segmif_ros.ros.simulator.rigs import LENSES, CameraPlan, rotation_of
from segmif_ros.ros.simulator.schedule import Schedule
from segmif_ros.scenes import LIGHTINGS, WEATHERS
from segmif_ros.scenes.faults import KINDS, parse_faults
from segmif_ros.settings import Changes, part, setting

NODE_NAME = "simulated_rig"
DEFAULT_WIDTH, DEFAULT_HEIGHT = 640, 480
DEFAULT_FOV_DEG = 58.109208  # focal length 0.9 of the width
CYCLE = "cycle"

_NEVER = Changes.NEVER


@dataclass(frozen=True, kw_only=True)
class RigConfig:
    """The parameters; what each means is in its description."""

    # what is seen
    pairs_folder: str = setting(
        "", "Folder with infrared/ and visible/ whose pairs are shown in a loop; empty: synthetic road.", changes=_NEVER
    )
    width: int = setting(
        0,
        "Image width in pixels; 0: 640 for the synthetic road, pairs from a folder as they are.",
        minimum=0,
        maximum=8192,
        changes=_NEVER,
    )
    height: int = setting(
        0,
        "Image height in pixels; 0: 480 for the synthetic road, pairs from a folder as they are. With only one of the "
        "two given, the other keeps the proportions.",
        minimum=0,
        maximum=8192,
        changes=_NEVER,
    )
    lighting: str = setting(
        CYCLE,
        "Light of the synthetic road; cycle: another one every scene_frames.",
        choices=(*LIGHTINGS, CYCLE),
        changes=_NEVER,
    )
    weather: str = setting(
        "clear", "Weather of the synthetic road; any: drawn by the seed.", choices=(*WEATHERS, "any"), changes=_NEVER
    )
    seed: int = setting(
        0, "Seed of the synthetic road, the jitter and the drops.", minimum=0, maximum=2**31 - 1, changes=_NEVER
    )
    scene_frames: int = setting(
        30,
        "Frames until the next synthetic street (the next seed) begins.",
        minimum=1,
        maximum=1_000_000,
        changes=_NEVER,
    )
    loop_frames: int = setting(
        90,
        "Synthetic frames that are rendered once and then played back and forth, as many as fit 256 MiB; 0 renders "
        "every frame afresh, which needs most of a core at 640x480.",
        minimum=0,
        maximum=100_000,
        changes=_NEVER,
    )
    infrared_shift_x_px: float = setting(
        0.0,
        "Displaces the synthetic infrared image to the right, in pixels.",
        minimum=-500.0,
        maximum=500.0,
        changes=_NEVER,
    )
    infrared_shift_y_px: float = setting(
        0.0,
        "Displaces the synthetic infrared image downwards, in pixels.",
        minimum=-500.0,
        maximum=500.0,
        changes=_NEVER,
    )

    # the rig: two cameras of their own; at the defaults both share one view
    infrared_width: int = setting(
        0,
        "Width of the synthetic infrared image; 0: as the RGB image, or in its proportions to the height.",
        minimum=0,
        maximum=4096,
        changes=_NEVER,
    )
    infrared_height: int = setting(
        0,
        "Height of the synthetic infrared image; 0: as the RGB image, or in its proportions to the width.",
        minimum=0,
        maximum=4096,
        changes=_NEVER,
    )
    rgb_fov_deg: float = setting(
        DEFAULT_FOV_DEG,
        "Horizontal field of view of the synthetic RGB camera in degrees.",
        minimum=10.0,
        maximum=120.0,
        changes=_NEVER,
    )
    infrared_fov_deg: float = setting(
        0.0,
        "Horizontal field of view of the synthetic infrared camera in degrees; 0: as the RGB camera.",
        minimum=0.0,
        maximum=120.0,
        changes=_NEVER,
    )
    rgb_lens: str = setting("none", "Distortion of the synthetic RGB camera.", choices=LENSES, changes=_NEVER)
    infrared_lens: str = setting("none", "Distortion of the infrared camera.", choices=LENSES, changes=_NEVER)
    infrared_right_m: float = setting(
        0.0,
        "How far to the right of the RGB camera the infrared one sits, in metres (stereo baseline).",
        minimum=-1.0,
        maximum=1.0,
        changes=_NEVER,
    )
    infrared_down_m: float = setting(
        0.0, "How far below the RGB camera the infrared one sits, in metres.", minimum=-1.0, maximum=1.0, changes=_NEVER
    )
    infrared_yaw_deg: float = setting(
        0.0, "Turn of the mounted infrared camera to the right.", minimum=-30.0, maximum=30.0, changes=_NEVER
    )
    infrared_pitch_deg: float = setting(
        0.0, "Turn of the mounted infrared camera upwards.", minimum=-30.0, maximum=30.0, changes=_NEVER
    )
    infrared_roll_deg: float = setting(
        0.0, "Turn of the mounted infrared camera clockwise.", minimum=-30.0, maximum=30.0, changes=_NEVER
    )
    camera_info: str = setting(
        "exact",
        "What camera_info tells of the rig: exact (intrinsics, and the mounting in R and P), intrinsics, or none (K is "
        "0, as of cameras that nobody has calibrated).",
        choices=("exact", "intrinsics", "none"),
        changes=_NEVER,
    )
    publish_depth: bool = setting(
        False,
        "Publishes rig/depth: exact depth in the RGB view, 32FC1 in metres, infinite for the sky.",
        changes=_NEVER,
    )
    board: str = setting(
        "",
        "Calibration board that somebody shows to both cameras, as KIND:COLUMNSxROWS:METRES, for example "
        "checkerboard:8x6:0.06; empty: none.",
        changes=_NEVER,
    )
    board_hot: bool = setting(True, "Whether the board's printed parts are warmer than its paper.", changes=_NEVER)
    board_pose_frames: int = setting(
        10, "Frames that the board is held still, then shown elsewhere.", minimum=1, maximum=1000, changes=_NEVER
    )

    # what goes wrong, from one frame to the next
    bracket_yaw_deg: float = setting(
        0.0, "Turns the infrared camera to the right, unknown to camera_info.", minimum=-20.0, maximum=20.0
    )
    bracket_pitch_deg: float = setting(0.0, "The same upwards.", minimum=-20.0, maximum=20.0)
    bracket_roll_deg: float = setting(0.0, "The same clockwise.", minimum=-20.0, maximum=20.0)
    bracket_drift_deg_per_min: float = setting(
        0.0, "Turns the infrared camera on to the right, in degrees a minute.", minimum=-60.0, maximum=60.0
    )
    shutter_period_s: float = setting(
        0.0, "Time between two shutter events of the infrared camera, in seconds; 0: none.", minimum=0.0, maximum=3600.0
    )
    shutter_s: float = setting(
        0.4, "How long a shutter event freezes the infrared image, in seconds.", minimum=0.0, maximum=10.0
    )

    faults: str = setting(
        "",
        "Faults of the cameras: CAMERA:KIND@START+DURATION, for example infrared:freeze@10s+5s, several with commas; "
        f"/PERIOD repeats one. Kinds: {', '.join(KINDS)}.",
    )

    # a robot's drive
    drive: bool = setting(
        False,
        "Drives along straight, level streets and publishes where the robot is: odom, and tf where tf2_msgs is "
        "installed. The cameras share one view, and camera_info is exact: for grid_node.",
        changes=_NEVER,
    )
    drive_mps: float = setting(
        1.5, "Speed of that drive in metres a second.", minimum=0.0, maximum=15.0, changes=_NEVER
    )

    # when
    rate_hz: float = setting(10.0, "Pairs per second.", minimum=0.1, maximum=240.0)
    jitter_s: float = setting(
        0.0,
        "Standard deviation of the stamps' jitter, and of the delay of publishing after it, in seconds; cut so that "
        "frames stay in order.",
        minimum=0.0,
        maximum=1.0,
    )
    drop_probability: float = setting(
        0.0, "Share of the frames of each camera that go missing.", minimum=0.0, maximum=1.0
    )
    infrared_time_offset_s: float = setting(
        0.0,
        "Added to the infrared stamps, in seconds, as by a driver that stamps arrival.",
        minimum=-10.0,
        maximum=10.0,
    )
    max_frames: int = setting(
        0, "Ends after so many frames with status 0; 0: never.", minimum=0, maximum=2**31 - 1, changes=_NEVER
    )

    # how it is sent
    infrared_encoding: str = setting(
        "auto",
        "auto: mono16 with 14-bit counts for the synthetic road, pairs from a folder in their own depth.",
        choices=("auto", "mono16", "mono8"),
        changes=_NEVER,
    )
    rgb_encoding: str = setting("rgb8", "Encoding of rgb/image_raw.", choices=("rgb8", "bgr8"), changes=_NEVER)
    infrared_frame_id: str = setting("infrared_optical_frame", "frame_id of the infrared camera.", changes=_NEVER)
    rgb_frame_id: str = setting("rgb_optical_frame", "frame_id of the RGB camera and the labels.", changes=_NEVER)
    qos: QosConfig = part(QosConfig, what="all topics", changes=_NEVER)

    def __post_init__(self) -> None:
        parse_faults(self.faults)  # raises for one that can't be understood

    def size(self, width: int, height: int) -> tuple[int, int]:
        """Return the (width, height) that an image is published at.

        Args:
            width: Columns of the image by itself.
            height: Its rows.
        """
        return ImageSize(width=self.width, height=self.height).of(width, height)

    @property
    def shares_view(self) -> bool:
        """Whether both synthetic cameras have one place, size and lens, and nothing is held before them."""
        return not self.of_two_views

    @property
    def of_two_views(self) -> tuple[str, ...]:
        """The parameters that are set and that only two rendered cameras can show."""
        plain = RigConfig()
        names: tuple[str, ...] = ("infrared_width", "infrared_height", "rgb_fov_deg", "infrared_fov_deg")
        names += ("rgb_lens", "infrared_lens", "board", "publish_depth")
        names += ("infrared_right_m", "infrared_down_m", "infrared_yaw_deg", "infrared_pitch_deg", "infrared_roll_deg")
        return tuple(name for name in names if getattr(self, name) != getattr(plain, name))

    def schedule(self) -> Schedule:
        """Return when images are due, and which of them are lost."""
        return Schedule(
            rate_hz=self.rate_hz,
            jitter_s=self.jitter_s,
            drop_probability=self.drop_probability,
            infrared_time_offset_s=self.infrared_time_offset_s,
            seed=self.seed,
        )

    def calibration(self) -> RigCalibration:
        """Return the truth about the two synthetic cameras."""
        width, height = self.size(DEFAULT_WIDTH, DEFAULT_HEIGHT)
        rgb = CameraPlan(width=width, height=height, fov_deg=self.rgb_fov_deg, lens=self.rgb_lens)
        infrared_size = ImageSize(width=self.infrared_width, height=self.infrared_height).of(width, height)
        infrared = CameraPlan(
            width=infrared_size[0],
            height=infrared_size[1],
            fov_deg=self.infrared_fov_deg or self.rgb_fov_deg,
            lens=self.infrared_lens,
        )
        turn = rotation_of(self.infrared_yaw_deg, self.infrared_pitch_deg, self.infrared_roll_deg)
        translation = np.array([self.infrared_right_m, self.infrared_down_m, 0.0])
        return RigCalibration(
            infrared=infrared.model(),
            rgb=rgb.model(),
            extrinsics=Extrinsics(rotation=turn, translation_m=translation),
        )
