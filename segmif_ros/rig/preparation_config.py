# SPDX-License-Identifier: Apache-2.0
"""The settings by which a pair is made ready for the network: whose view, crop, registration, gain."""

from __future__ import annotations

import hashlib
from dataclasses import asdict, dataclass
from typing import Any

from segmif_ros.imaging.gain import GainConfig
from segmif_ros.rig.calibration import RigCalibration
from segmif_ros.rig.registration import DEFAULT_DEPTH_M, MODES, VIEWS
from segmif_ros.settings import setting


@dataclass(frozen=True, kw_only=True)
class PreparationConfig:
    """How to make a pair ready.

    Attributes:
        gain: For 16-bit and float infrared; each image stands for itself. None refuses such images.
    """

    master: str = setting(
        "rgb", "Camera whose view, stamp and frame_id all outputs have.", choices=VIEWS, group="Pairing"
    )
    registration: str = setting(
        "none",
        "How the other camera's image gets into the master's view: none (they show the same at one size), resize (at "
        "two sizes), homography, stereo (two calibrated cameras, one plane), ground (the road exactly), depth (by a "
        "depth image), adaptive (distances are estimated from both images). See docs/calibration.md.",
        choices=MODES,
        group="Registration",
    )
    calibration_file: str = setting(
        "",
        "Calibration of the rig, for homography and stereo; what it leaves out for stereo, ground, depth and adaptive "
        "is taken from camera_info. "
        "Read when it is set and when the node is configured.",
    )
    reference_depth_m: float = setting(
        DEFAULT_DEPTH_M,
        "Distance in metres at which stereo registers exactly, 0 takes the calibration's plane; of what stands on the "
        "ground (0: far away); where depth and adaptive can't tell.",
        minimum=0.0,
        maximum=100_000.0,
    )
    infrared_crop: str = setting(
        "",
        "Rows and columns to cut off infrared images, for telemetry lines: top, bottom, left, right, for example "
        "'0, 2, 0, 0'. A calibration or camera_info of the whole image stays right; one of just the size that is left "
        "is taken as made of that.",
        group="Images",
    )
    gain: GainConfig | None = None

    def calibration(self) -> RigCalibration:
        """Return the content of the calibration file, an empty calibration without one.

        Raises:
            CalibrationError: If the file can't be used; one line.
        """
        if not self.calibration_file:
            return RigCalibration()
        from segmif_ros.rig.calibration_file import load_calibration

        return load_calibration(self.calibration_file)

    def as_values(self) -> dict[str, Any]:
        """Return what the prepared pixels depend on, as JSON values; a calibration file is what it holds."""
        content = b""
        if self.calibration_file:
            from segmif_ros.rig.calibration_file import calibration_yaml

            content = calibration_yaml(self.calibration()).encode()
        values = {name: value for name, value in asdict(self).items() if name not in ("gain", "calibration_file")}
        values["calibration_sha256"] = hashlib.sha256(content).hexdigest()[:12] if content else ""
        return values | {f"gain_{name}": value for name, value in (asdict(self.gain) if self.gain else {}).items()}
