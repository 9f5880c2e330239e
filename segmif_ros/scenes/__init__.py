# SPDX-License-Identifier: Apache-2.0
"""Synthetic road scenes by day and night: RGB, infrared and exact labels of a world that moves."""

from segmif_ros.scenes.climate import LIGHTINGS, WEATHERS
from segmif_ros.scenes.scene import CameraViews, Pinhole, RoadScene, SceneError, SceneFrame

# Raised by one whenever a seed gives other pixels than before, so that rendered scenes which are kept as files can
# carry it in their names; a test holds it to the pixels of a small scene.
VERSION = 2

__all__ = ["LIGHTINGS", "VERSION", "WEATHERS", "CameraViews", "Pinhole", "RoadScene", "SceneError", "SceneFrame"]
