# SPDX-License-Identifier: Apache-2.0
"""The registration of a mode. What depth needs is imported only where a mode asks for depth."""

from __future__ import annotations

from typing import TYPE_CHECKING, TypeAlias

from segmif_ros.rig.calibration import RigCalibration
from segmif_ros.rig.registration import Registration, RegistrationConfig, Unregistered

if TYPE_CHECKING:
    from segmif_ros.rig.depth_registration import DepthRegistration

DEPTH_MODES = ("depth", "adaptive")
AnyRegistration: TypeAlias = "Registration | DepthRegistration | Unregistered"


def make_registration(
    config: RegistrationConfig, calibration: RigCalibration | None = None
) -> Registration | DepthRegistration:
    """Return what registers in a mode.

    Args:
        config: The mode and its settings.
        calibration: What is known of the rig.

    Raises:
        RegistrationError: If the calibration lacks what the mode needs, or the cameras share no view.
    """
    if config.mode in DEPTH_MODES:
        from segmif_ros.rig.depth_registration import DepthRegistration

        return DepthRegistration(config, calibration or RigCalibration())
    return Registration(config, calibration)
