# SPDX-License-Identifier: Apache-2.0
"""Pairs from files made ready for the network as the node does it: crop, gain, registration.

The options here are those of every command that takes files of raw infrared or of two sizes.
"""

from __future__ import annotations

import argparse
from dataclasses import dataclass, field

from segmif_ros.arrays import Array, Image
from segmif_ros.imaging.crop import Crop
from segmif_ros.imaging.gain import GainConfig, ThermalGain
from segmif_ros.rig.errors import RegistrationError
from segmif_ros.rig.preparation_config import PreparationConfig
from segmif_ros.rig.registration import Registered, Registration, RegistrationConfig
from segmif_ros.settings import from_values, part, settings_of
from segmif_ros.settings.options import add_options, given


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
            mode=config.registration,
            view=config.master,
            reference_depth_m=config.reference_depth_m,
            infrared_crop=self._crop,
        )
        self._registration = Registration(registration, config.calibration())

    def apply(self, infrared: Array, rgb: Image) -> Registered:
        """Return the pair in one view.

        Args:
            infrared: (H, W) uint8, uint16 or float32.
            rgb: (H, W, 3) uint8, RGB.

        Raises:
            RegistrationError: If the sizes don't fit, or raw infrared comes without a gain; states what to give.
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


@dataclass(frozen=True, kw_only=True)
class _FileConfig(PreparationConfig):
    """The settings of files: no image follows another one in time."""

    gain: GainConfig = part(
        GainConfig,
        prefix="gain_",
        only=[each.name for each in settings_of(GainConfig) if each.name != "time_constant_s"],
        time_constant_s=0.0,
    )


def add_preparation_arguments(group: argparse._ActionsContainer) -> None:
    """Add the options of gain and registration, called as the node's parameters; see `preparation_config`."""
    add_options(group, _FileConfig, defaults={"gain_policy": "none, raw infrared is refused"})


def preparation_config(arguments: argparse.Namespace) -> PreparationConfig:
    """Return what `add_preparation_arguments` was given; 16-bit infrared needs a gain policy there.

    Raises:
        RegistrationError: If a value isn't one.
    """
    values = given(arguments, _FileConfig)
    try:
        made = from_values(_FileConfig, values)
    except ValueError as error:
        raise RegistrationError(str(error)) from None
    own = {each.name: getattr(made, each.name) for each in settings_of(PreparationConfig)}
    return PreparationConfig(**own, gain=made.gain if "gain_policy" in values else None)
