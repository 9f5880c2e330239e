# SPDX-License-Identifier: Apache-2.0
"""Pairs from files made ready for the network as the node does it: crop, gain, registration.

The options here are those of every command that takes files of raw infrared or of two sizes.
"""

from __future__ import annotations

import argparse
import hashlib
from dataclasses import asdict, dataclass, field, fields, replace
from typing import Any

import numpy.typing as npt

from segmif_ros.imaging.crop import Crop
from segmif_ros.imaging.gain import GAIN_POLICIES, GainConfig, ThermalGain
from segmif_ros.rig.calibration import RigCalibration
from segmif_ros.rig.calibration_file import calibration_yaml, load_calibration
from segmif_ros.rig.errors import RegistrationError
from segmif_ros.rig.registration import (
    DEFAULT_DEPTH_M,
    MODES,
    VIEWS,
    Image,
    Registered,
    Registration,
    RegistrationConfig,
)


@dataclass(frozen=True, kw_only=True)
class PreparationConfig:
    """How to make a pair ready; the values are those of the node's parameters of the same names.

    Attributes:
        registration: "none", "resize", "homography" or "stereo".
        calibration_file: What is known of the rig, for the last two.
        reference_depth_m: For "stereo"; 0 takes the file's plane.
        master: "rgb" or "infrared", the camera whose view the pair gets.
        infrared_crop: What is cut off infrared images, "top,bottom,left,right".
        gain: For 16-bit and float infrared; each image stands for itself. None refuses such images.
    """

    registration: str = "none"
    calibration_file: str = ""
    reference_depth_m: float = DEFAULT_DEPTH_M
    master: str = "rgb"
    infrared_crop: str = ""
    gain: GainConfig | None = None

    def calibration(self) -> RigCalibration:
        """Return what the calibration file says, nothing if there is none; CalibrationError says what is wrong."""
        return load_calibration(self.calibration_file) if self.calibration_file else RigCalibration()

    def as_values(self) -> dict[str, Any]:
        """Return what the prepared pixels depend on, as JSON values; a calibration file is what it holds."""
        content = calibration_yaml(self.calibration()).encode() if self.calibration_file else b""
        values = {name: value for name, value in asdict(self).items() if name not in ("gain", "calibration_file")}
        values["calibration_sha256"] = hashlib.sha256(content).hexdigest()[:12] if content else ""
        return values | {f"gain_{name}": value for name, value in (asdict(self.gain) if self.gain else {}).items()}


@dataclass(eq=False)
class Preparation:
    """Makes pairs ready, each on its own: no image depends on those before it. Not thread-safe.

    Raises:
        CalibrationError: If the calibration file can't be read.
        RegistrationError: If a value is wrong, or the file isn't enough for the registration.
    """

    config: PreparationConfig
    _registration: Registration = field(init=False)
    _crop: Crop = field(init=False)

    def __post_init__(self) -> None:
        config = self.config
        try:
            self._crop = Crop.parse(config.infrared_crop)
        except ValueError as error:
            raise RegistrationError(f"infrared_crop {error}") from None
        registration = RegistrationConfig(
            mode=config.registration, view=config.master, reference_depth_m=config.reference_depth_m
        )
        self._registration = Registration(registration, config.calibration())

    def apply(self, infrared: npt.NDArray[Any], rgb: Image) -> Registered:
        """Return the pair in one view.

        Args:
            infrared: (H, W) uint8, uint16 or float32.
            rgb: (H, W, 3) uint8, RGB.

        Raises:
            RegistrationError: If the sizes don't fit, or raw infrared comes without a gain; says what to give.
        """
        cropped = self._crop.apply(infrared)
        if cropped.dtype != "uint8" and self.config.gain is None:
            bits = f"{8 * cropped.dtype.itemsize} bits a pixel" if cropped.dtype.kind == "u" else "float values"
            raise RegistrationError(f"infrared has {bits}: say how it becomes 8 bits with --gain-policy, e.g. plateau")
        # a gain of its own for each image: files of a folder need not follow each other in time
        grey = ThermalGain(self.config.gain).apply(cropped, 0)
        if self.config.registration == "none" and grey.shape != rgb.shape[:2]:
            raise RegistrationError(
                f"infrared is {grey.shape[1]}x{grey.shape[0]} and RGB {rgb.shape[1]}x{rgb.shape[0]}: say how they lie "
                "on each other with --registration (resize; homography or stereo with --calibration-file)"
            )
        return self._registration.apply(grey, rgb)


def add_preparation_arguments(group: argparse._ActionsContainer) -> None:
    """Add the options of gain and registration, called as the node's parameters; see `preparation_config`."""
    group.add_argument("--registration", choices=MODES, help="default: none")
    group.add_argument("--calibration-file", metavar="FILE", help="of the rig, for homography and stereo")
    group.add_argument("--reference-depth", dest="reference_depth_m", type=float, help="metres (default: 10)")
    group.add_argument("--master", choices=VIEWS, help="the camera whose view results have (default: rgb)")
    group.add_argument("--infrared-crop", metavar="T,B,L,R", help="rows and columns to cut off: telemetry")
    group.add_argument("--gain-policy", choices=GAIN_POLICIES, help="how 16-bit and float infrared becomes 8 bits")
    group.add_argument("--gain-fixed-low", type=float, help="for fixed: the raw value that becomes 0")
    group.add_argument("--gain-fixed-high", type=float, help="for fixed: the raw value that becomes 255")


def preparation_config(arguments: argparse.Namespace) -> PreparationConfig:
    """Return what `add_preparation_arguments` was given; 16-bit infrared needs a gain policy there.

    Raises:
        RegistrationError: If a value isn't one.
    """
    given = {name: getattr(arguments, name, None) for name in (each.name for each in fields(PreparationConfig))}
    gain = {name: getattr(arguments, f"gain_{name}", None) for name in ("policy", "fixed_low", "fixed_high")}
    try:
        # time means nothing here: the range of an image is that image's
        made = replace(GainConfig(time_constant_s=0.0), **{n: v for n, v in gain.items() if v is not None})
        return PreparationConfig(
            **{name: value for name, value in given.items() if value is not None and name != "gain"},
            gain=made if gain["policy"] is not None else None,
        )
    except ValueError as error:
        raise RegistrationError(str(error)) from None
