# SPDX-License-Identifier: Apache-2.0
"""Synthetic road scenes by day and night: RGB, infrared and exact labels of a world that moves."""

from segmif_ros.data.scenes.climate import LIGHTINGS, WEATHERS
from segmif_ros.data.scenes.scene import RoadScene, SceneError, SceneFrame

# Rises whenever the pictures of a seed change: part of the name under which rendered scenes are kept.
VERSION = 1

__all__ = ["LIGHTINGS", "VERSION", "WEATHERS", "RoadScene", "SceneError", "SceneFrame"]
