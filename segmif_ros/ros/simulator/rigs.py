# SPDX-License-Identifier: Apache-2.0
"""Rigs for the simulator: the one that its parameters describe, and rigs drawn by a seed for figures."""

from __future__ import annotations

import math
from dataclasses import dataclass

import cv2
import numpy as np

from segmif_ros.arrays import Float64Array
from segmif_ros.rig.calibration import Extrinsics, RigCalibration
from segmif_ros.rig.camera_model import CameraModel

LENSES = ("none", "plumb_bob", "equidistant")
# typical of a 60 degree lens; an equidistant one keeps a little of its own error
_COEFFICIENTS = {"plumb_bob": (-0.22, 0.06, 0.0008, -0.0006, 0.0), "equidistant": (-0.012, 0.006, -0.002, 0.0004)}


@dataclass(frozen=True, kw_only=True)
class CameraPlan:
    """A camera to be: image size in pixels, horizontal field of view, and lens, one of `LENSES`."""

    width: int
    height: int
    fov_deg: float
    lens: str = "none"

    def model(self, rng: np.random.Generator | None = None) -> CameraModel:
        """Return the camera; with ``rng``, one of a series, whose focal length, centre and lens scatter."""
        half = math.radians(0.5 * self.fov_deg)
        # an equidistant lens maps angles, the others their tangents
        focal = 0.5 * self.width / (half if self.lens == "equidistant" else math.tan(half))
        D = np.array(_COEFFICIENTS.get(self.lens, ()))
        centre = np.array([0.5 * (self.width - 1), 0.5 * (self.height - 1)])
        aspect = 1.0
        if rng is not None:
            focal *= float(rng.uniform(0.97, 1.03))
            aspect = float(rng.uniform(0.997, 1.003))
            centre = centre + rng.normal(0, 0.01, 2) * self.width
            D = D * rng.uniform(0.7, 1.3, D.size)
        return CameraModel(
            width=self.width,
            height=self.height,
            K=np.array([[focal, 0, centre[0]], [0, aspect * focal, centre[1]], [0, 0, 1]]),
            distortion_model="plumb_bob" if self.lens == "none" else self.lens,
            D=D,
        )


def rotation_of(yaw_deg: float, pitch_deg: float, roll_deg: float) -> Float64Array:
    """Return the (3, 3) turn of a camera, as X_outside = rotation @ X_camera.

    Args:
        yaw_deg: To the right.
        pitch_deg: Upwards.
        roll_deg: Clockwise.
    """
    yaw, pitch, roll = (
        cv2.Rodrigues(np.radians(each) * np.array(axis, np.float64))[0]
        for each, axis in ((yaw_deg, (0, 1, 0)), (pitch_deg, (1, 0, 0)), (roll_deg, (0, 0, 1)))
    )
    return np.asarray(yaw @ pitch @ roll)


def random_rig(seed: int, *, baseline_m: float | None = None) -> RigCalibration:
    """Draw a rig such as people build: a small thermal camera beside, above or below an RGB camera of another size.

    Args:
        seed: Of all draws.
        baseline_m: Distance between the cameras; None draws 3 to 15 cm.

    Returns:
        The rig, exactly.
    """
    rng = np.random.default_rng([seed, 0x816])
    width, height = ((160, 120), (320, 256), (384, 288), (640, 512))[int(rng.integers(1, 4))]
    thermal = CameraPlan(
        width=width, height=height, fov_deg=float(rng.uniform(38, 60)), lens=LENSES[int(rng.integers(1, 3))]
    )
    width, height = ((640, 480), (960, 720), (1280, 720))[int(rng.integers(3))]
    colour = CameraPlan(
        width=width, height=height, fov_deg=float(rng.uniform(50, 75)), lens=LENSES[int(rng.integers(3))]
    )
    length = float(rng.uniform(0.03, 0.15)) if baseline_m is None else baseline_m
    direction = np.array([(1, 0), (-1, 0), (0, 1), (0, -1)][int(rng.integers(4))], np.float64)
    translation = np.array([*(length * direction), 0.0]) + rng.normal(0, 0.004, 3) * (length > 0)
    yaw, pitch, roll = rng.normal(0, (1.5, 1.5, 1.0))
    return RigCalibration(
        infrared=thermal.model(rng),
        rgb=colour.model(rng),
        extrinsics=Extrinsics(rotation=rotation_of(yaw, pitch, roll), translation_m=translation),
    )
