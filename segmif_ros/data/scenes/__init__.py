# SPDX-License-Identifier: Apache-2.0
"""Synthetic road scenes by day and night: RGB, infrared and exact labels of a world that moves."""

from segmif_ros.data.scenes.climate import LIGHTINGS, WEATHERS
from segmif_ros.data.scenes.scene import RoadScene, SceneError, SceneFrame

__all__ = ["LIGHTINGS", "WEATHERS", "RoadScene", "SceneError", "SceneFrame"]
