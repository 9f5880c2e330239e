# SPDX-License-Identifier: Apache-2.0
"""The parameters of simulated_rig."""

from __future__ import annotations

from dataclasses import dataclass

from segmif_ros.ros.node_config import RELIABILITIES
from segmif_ros.ros.parameters import Changes, parameter
from segmif_ros.scenes import LIGHTINGS, WEATHERS

NODE_NAME = "simulated_rig"
DEFAULT_WIDTH, DEFAULT_HEIGHT = 640, 480
CYCLE = "cycle"

_NEVER = Changes.NEVER


@dataclass(frozen=True, kw_only=True)
class RigConfig:
    """What each parameter means is said in its description."""

    # what is seen
    pairs_folder: str = parameter(
        "", "Folder with infrared/ and visible/ whose pairs are shown in a loop; empty: synthetic road.", changes=_NEVER
    )
    width: int = parameter(
        0,
        "Image width in pixels; 0: 640 for the synthetic road, pairs from a folder as they are.",
        minimum=0,
        maximum=8192,
        changes=_NEVER,
    )
    height: int = parameter(
        0,
        "Image height in pixels; 0: 480 for the synthetic road, pairs from a folder as they are. With only one of the "
        "two given, the other keeps the proportions.",
        minimum=0,
        maximum=8192,
        changes=_NEVER,
    )
    lighting: str = parameter(
        CYCLE,
        "Light of the synthetic road; cycle: another one every scene_frames.",
        choices=(*LIGHTINGS, CYCLE),
        changes=_NEVER,
    )
    weather: str = parameter(
        "clear", "Weather of the synthetic road; any: drawn by the seed.", choices=(*WEATHERS, "any"), changes=_NEVER
    )
    seed: int = parameter(
        0, "Seed of the synthetic road, the jitter and the drops.", minimum=0, maximum=2**31 - 1, changes=_NEVER
    )
    scene_frames: int = parameter(
        30,
        "Frames until the next synthetic street (the next seed) begins.",
        minimum=1,
        maximum=1_000_000,
        changes=_NEVER,
    )
    loop_frames: int = parameter(
        90,
        "Synthetic frames that are rendered once and then played forth and back, as many as fit 256 MiB; 0 renders "
        "every frame afresh, which needs most of a core at 640x480.",
        minimum=0,
        maximum=100_000,
        changes=_NEVER,
    )
    infrared_shift_x_px: float = parameter(
        0.0,
        "Displaces the synthetic infrared image to the right, in pixels.",
        minimum=-500.0,
        maximum=500.0,
        changes=_NEVER,
    )
    infrared_shift_y_px: float = parameter(
        0.0,
        "Displaces the synthetic infrared image downwards, in pixels.",
        minimum=-500.0,
        maximum=500.0,
        changes=_NEVER,
    )

    # when
    rate_hz: float = parameter(10.0, "Pairs per second.", minimum=0.1, maximum=240.0)
    jitter_s: float = parameter(
        0.0,
        "Standard deviation of the stamps' jitter, and of the delay of publishing after it, in seconds; cut so that "
        "frames stay in order.",
        minimum=0.0,
        maximum=1.0,
    )
    drop_probability: float = parameter(
        0.0, "Share of the frames of each camera that go missing.", minimum=0.0, maximum=1.0
    )
    infrared_time_offset_s: float = parameter(
        0.0,
        "Added to the infrared stamps, in seconds, as by a driver that stamps arrival.",
        minimum=-10.0,
        maximum=10.0,
    )
    max_frames: int = parameter(
        0, "Ends after so many frames with status 0; 0 goes on.", minimum=0, maximum=2**31 - 1, changes=_NEVER
    )

    # how it is sent
    infrared_encoding: str = parameter(
        "auto",
        "auto: mono16 with 14-bit counts for the synthetic road, pairs from a folder in their own depth.",
        choices=("auto", "mono16", "mono8"),
        changes=_NEVER,
    )
    rgb_encoding: str = parameter("rgb8", "Encoding of rgb/image_raw.", choices=("rgb8", "bgr8"), changes=_NEVER)
    infrared_frame_id: str = parameter("infrared_optical_frame", "frame_id of the infrared camera.", changes=_NEVER)
    rgb_frame_id: str = parameter("rgb_optical_frame", "frame_id of the RGB camera and the labels.", changes=_NEVER)
    reliability: str = parameter("best_effort", "QoS of all topics.", choices=RELIABILITIES, changes=_NEVER)
    depth: int = parameter(5, "Queue depth of all topics.", minimum=1, maximum=1000, changes=_NEVER)
