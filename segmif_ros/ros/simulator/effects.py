# SPDX-License-Identifier: Apache-2.0
"""What goes wrong between a simulated camera's optics and its topic.

An effect sees every image just before it is published, so it can depend on time, also where frames are prepared once
and played in a loop. Add one to `make_effects`, and the node needs no change.
"""

from __future__ import annotations

from typing import Protocol

import cv2
import numpy as np

from segmif_ros.arrays import Array
from segmif_ros.ros.simulator.config import RigConfig
from segmif_ros.ros.simulator.rigs import rotation_of
from segmif_ros.ros.simulator.schedule import INFRARED, Shot
from segmif_ros.scenes.faults import FaultInjector, parse_faults


class Effect(Protocol):
    """One thing that happens to images. Called in the order of publishing, for both cameras."""

    def apply(self, shot: Shot, image: Array, t_s: float) -> Array | None:
        """Return the image to publish, or None if it gets lost.

        Args:
            shot: Which camera, and the stamp that will be published.
            image: (H, W) uint8 or uint16, or (H, W, 3) uint8 in the order that is published; not to be written into.
            t_s: Seconds since the first frame.
        """


class Bracket:
    """The infrared camera's bracket gives way: the camera turns on the spot, by constant angles and with time."""

    def __init__(self, config: RigConfig, focal_px: float) -> None:
        self._angles = config.bracket_yaw_deg, config.bracket_pitch_deg, config.bracket_roll_deg
        self._drift_deg_per_s = config.bracket_drift_deg_per_min / 60.0
        self._focal_px = focal_px

    def apply(self, shot: Shot, image: Array, t_s: float) -> Array:
        """Return the infrared image turned; its border is replicated.

        Args:
            shot: Which image of which camera.
            image: (H, W) uint16 for infrared, (H, W, 3) uint8 for RGB.
            t_s: Since the start.
        """
        if shot.camera != INFRARED:
            return image
        yaw, pitch, roll = self._angles
        K = np.array([[self._focal_px, 0, 0.5 * image.shape[1]], [0, self._focal_px, 0.5 * image.shape[0]], [0, 0, 1]])
        turn = rotation_of(yaw + self._drift_deg_per_s * t_s, pitch, roll)
        matrix = K @ turn.T @ np.linalg.inv(K)
        size = image.shape[1], image.shape[0]
        return np.asarray(cv2.warpPerspective(image, matrix, size, borderMode=cv2.BORDER_REPLICATE))


class Shutter:
    """A thermal camera's shutter event (flat-field correction): the image freezes, then the counts have shifted."""

    def __init__(self, config: RigConfig) -> None:
        self._period_s, self._length_s = config.shutter_period_s, config.shutter_s
        self._shown: Array | None = None
        self._event = -1
        self._rng = np.random.default_rng([config.seed, 0xFFC])
        self._offset = 0

    def apply(self, shot: Shot, image: Array, t_s: float) -> Array:
        """Return the last infrared image for the event's length, and afterwards images of shifted counts.

        Args:
            shot: Which image of which camera.
            image: (H, W) uint16 for infrared, (H, W, 3) uint8 for RGB.
            t_s: Since the start.
        """
        if shot.camera != INFRARED:
            return image
        event, within = divmod(t_s, self._period_s)
        if int(event) != self._event and event > 0:
            self._event, self._offset = int(event), int(self._rng.normal(0, 60))
        if event > 0 and within < self._length_s and self._shown is not None:
            return self._shown
        if image.dtype == np.uint16 and self._offset:
            image = np.clip(image.astype(np.int32) + self._offset, 0, 16383).astype(np.uint16)
        self._shown = image
        return image


class CameraFaults:
    """Cameras that fall silent, freeze, go blind, and so on, as `segmif_ros.scenes.faults` describes it."""

    def __init__(self, config: RigConfig) -> None:
        self._injector = FaultInjector(parse_faults(config.faults), config.seed)

    def stamp_ns(self, shot: Shot, t_s: float) -> int:
        """Return the stamp that is published.

        Args:
            shot: Which image of which camera.
            t_s: Since the start.
        """
        return self._injector.stamp_ns(shot.camera, round(1e9 * t_s), shot.stamp_ns)

    def apply(self, shot: Shot, image: Array, t_s: float) -> Array | None:
        """Return the image as the camera sends it; None if it doesn't.

        Args:
            shot: Which image of which camera.
            image: (H, W) uint16 for infrared, (H, W, 3) uint8 for RGB.
            t_s: Since the start.
        """
        return self._injector.picture(shot.camera, round(1e9 * t_s), image)


def make_effects(config: RigConfig, infrared_focal_px: float) -> list[Effect]:
    """Return what the parameters ask for, in the order in which it happens.

    Args:
        config: The simulator's parameters.
        infrared_focal_px: Focal length of the infrared camera, pixels.
    """
    made: list[Effect] = []
    turned = (config.bracket_yaw_deg, config.bracket_pitch_deg, config.bracket_roll_deg)
    if any(turned) or config.bracket_drift_deg_per_min:
        made.append(Bracket(config, infrared_focal_px))
    if config.shutter_period_s:
        made.append(Shutter(config))
    if config.faults:
        made.append(CameraFaults(config))
    return made
