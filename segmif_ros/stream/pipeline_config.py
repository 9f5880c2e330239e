# SPDX-License-Identifier: Apache-2.0
"""The settings of a pipeline: how frames are paired, prepared and held steady."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from segmif_ros.imaging.crop import Crop
from segmif_ros.imaging.encodings import MAX_PIXELS
from segmif_ros.imaging.gain import GainConfig
from segmif_ros.rig.preparation_config import PreparationConfig
from segmif_ros.rig.registration import Registration, RegistrationConfig
from segmif_ros.rig.registration_modes import make_registration
from segmif_ros.settings import check, part, setting
from segmif_ros.stream.pairing import INITIAL_SLOP_S, Item, Pair
from segmif_ros.stream.processing import DecodeConfig
from segmif_ros.stream.single_camera import POLICIES, SingleCameraConfig

if TYPE_CHECKING:  # imported where they are made
    from segmif_ros.rig.depth_registration import DepthRegistration
    from segmif_ros.stream.temporal import TemporalFilter, Turn

TEMPORAL_FILTERS = ("none", "filter")  # not "off", which YAML takes for a truth value


@dataclass(frozen=True, kw_only=True)
class PipelineConfig(PreparationConfig):
    """How to pair and to prepare.

    Raises:
        ValueError: A value that isn't acceptable.
        segmif_ros.rig.errors.RegistrationError: A value of the registration that isn't.
    """

    slop_s: float = setting(
        0.0,
        "Largest difference of the stamps of a pair in seconds; half a frame period or more pairs wrongly. 0 takes "
        "half the frame period that the stamps show, at most 0.05 (0.02 with sync_policy approximate).",
        minimum=0.0,
        maximum=10.0,
        group="Pairing",
    )
    queue_size: int = setting(10, "Frames of each camera that wait for a partner at most.", minimum=1, maximum=1000)
    time_offset_s: float = setting(
        0.0,
        "Taken off the infrared stamps before pairing, in seconds: positive where the driver stamps late (on arrival).",
        minimum=-10.0,
        maximum=10.0,
    )
    single_camera: str = setting(
        "none",
        "Where one camera is silent or blind (frozen, flat, black, white): continue with the other one, with lowered "
        "confidence; stop, so that nothing comes out; none: nobody looks, and pairs are processed whatever they show.",
        choices=POLICIES,
    )
    single_camera_after_s: float = setting(
        0.5,
        "Silence, or a frozen picture, for so long makes a camera missing, in seconds; a slow camera gets three of "
        "its own frame periods.",
        minimum=0.05,
        maximum=60.0,
    )
    frozen_images: bool = setting(
        True, "A picture that doesn't change is a fault; false for a simulation whose images have no noise."
    )
    infrared_alone_confidence: float = setting(
        0.0,
        "Factor of the confidence while infrared is alone; 0 takes what was calibrated for the weights (0.5 where "
        "nothing was: segmif single-camera does it).",
        minimum=0.0,
        maximum=1.0,
    )
    rgb_alone_confidence: float = setting(0.0, "The same while RGB is alone.", minimum=0.0, maximum=1.0)
    temporal: str = setting(
        "none",
        "filter steadies the labels over time: evidence for each pixel's class, carried along by optical flow; none "
        "takes each frame by itself.",
        choices=TEMPORAL_FILTERS,
    )
    max_pixels: int = setting(
        MAX_PIXELS,
        "Largest image that is taken, in pixels; a compressed one is refused by its header, before it is decoded.",
        minimum=1024,
        maximum=1 << 30,
        group="Images",
    )
    gain: GainConfig = part(GainConfig, prefix="gain_")

    def __post_init__(self) -> None:
        self.registration_config()
        self.decoding()
        check(self)

    def decoding(self) -> DecodeConfig:
        """Return how images are taken."""
        try:
            crop = Crop.parse(self.infrared_crop)
        except ValueError as error:
            raise ValueError(f"infrared_crop {error}") from None
        return DecodeConfig(infrared_crop=crop, max_pixels=self.max_pixels)

    @property
    def truth_slop_ns(self) -> int:
        """How far the stamp of a recorded label map may be from its frame's."""
        return round(1e9 * (self.slop_s or INITIAL_SLOP_S))

    def single_camera_config(self) -> SingleCameraConfig:
        """Return what to do when one camera is missing."""
        return SingleCameraConfig(
            policy=self.single_camera,
            after_s=self.single_camera_after_s,
            frozen=self.frozen_images,
            master=self.master,
            time_offset_s=self.time_offset_s,
        )

    def master_of(self, pair: Pair[Item]) -> Item:
        """Return the frame of a pair that gives the outputs their stamp."""
        return pair.infrared if self.master == "infrared" else pair.rgb

    def single_confidence(self) -> dict[str, float]:
        """Return the factors of the confidence by the camera that is alone; 0 for what was calibrated."""
        return {"infrared": self.infrared_alone_confidence, "rgb": self.rgb_alone_confidence}

    def temporal_filter(self, turn: Turn | None = None) -> TemporalFilter | None:
        """Return what steadies the labels, None if nothing does; ``turn`` tells how the camera turned."""
        if self.temporal == "none":
            return None
        from segmif_ros.stream.temporal import TemporalFilter

        return TemporalFilter(turn=turn)

    def registration_config(self) -> RegistrationConfig:
        """Return how to register."""
        return RegistrationConfig(
            mode=self.registration,
            view=self.master,
            reference_depth_m=self.reference_depth_m,
            infrared_crop=self.decoding().infrared_crop,
        )

    def make_registration(self) -> Registration | DepthRegistration:
        """Return the registration by parameters and file; CalibrationError or RegistrationError say what is wrong."""
        return make_registration(self.registration_config(), self.calibration())
