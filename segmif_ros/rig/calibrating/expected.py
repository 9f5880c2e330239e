# SPDX-License-Identifier: Apache-2.0
"""What a calibration is worth over the whole view: the error to expect, by the covariance of all its numbers.

Residuals tell only about places where the board was. Rigs as likely as the fitted one are drawn instead, and the
distance between where they and the fitted one look a pixel up is averaged over what both cameras see.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import cv2
import numpy as np

from segmif_ros.arrays import Float64Array
from segmif_ros.rig.calibrating.bundle import Refined
from segmif_ros.rig.calibration import Extrinsics, RigCalibration
from segmif_ros.rig.camera_model import CameraModel
from segmif_ros.rig.errors import CalibrationError
from segmif_ros.rig.pixel_mapping import depth_plane, stereo_mapping

EXPECTED_AT_M = 10.0
_DRAWS = 24
_GRID = 40, 30


@dataclass(frozen=True, kw_only=True, eq=False)
class ExpectedError:
    """The error to expect of a registration at 10 m, in RGB pixels.

    Attributes:
        mean_px: Over the part of the RGB view that the infrared camera sees.
        cells_px: (3, 3) means in the ninths of the RGB view; not a number where the infrared camera sees nothing.
    """

    mean_px: float
    cells_px: Float64Array


def rig_of(made: Refined, infrared: CameraModel, rgb: CameraModel) -> RigCalibration:
    """Return a fit's numbers as a rig.

    Args:
        made: The fit.
        infrared: Gives size and distortion model.
        rgb: Likewise.

    Raises:
        CalibrationError: If the numbers make no rig.
    """
    cameras = [
        replace(camera, K=np.array([[n[0], 0, n[2]], [0, n[1], n[3]], [0, 0, 1]]), D=n[4:])
        for camera, n in ((infrared, made.infrared), (rgb, made.rgb))
    ]
    there = Extrinsics(rotation=np.asarray(cv2.Rodrigues(made.mount[:3])[0]), translation_m=made.mount[3:])
    return RigCalibration(infrared=cameras[0], rgb=cameras[1], extrinsics=there.inverse())


def expected_error(made: Refined, infrared: CameraModel, rgb: CameraModel) -> ExpectedError:
    """Return the error to expect of a fit.

    Args:
        made: The fit.
        infrared: The infrared camera; its size and its distortion model count.
        rgb: The RGB camera.
    """
    u, v = np.meshgrid(np.linspace(0, rgb.width - 1, _GRID[0]), np.linspace(0, rgb.height - 1, _GRID[1]))
    pixels = np.stack([u.ravel(), v.ravel()], axis=1)
    here = _looked_up(rig_of(made, infrared, rgb), pixels)
    numbers = np.concatenate([made.infrared, made.rgb, made.mount])
    # an eigenvalue below 0 is rounding
    values, vectors = np.linalg.eigh(made.covariance)
    spread = vectors * np.sqrt(np.maximum(values, 0.0))
    rng, offs = np.random.default_rng(0), []
    a, b = made.infrared.size, made.infrared.size + made.rgb.size
    for _ in range(_DRAWS):
        drawn = numbers + spread @ rng.standard_normal(numbers.size)
        try:
            other = rig_of(replace(made, infrared=drawn[:a], rgb=drawn[a:b], mount=drawn[b:]), infrared, rgb)
        except CalibrationError:
            continue
        offs.append(np.hypot(*(_looked_up(other, pixels) - here).T))
    if len(offs) < _DRAWS // 2:
        return ExpectedError(mean_px=float("inf"), cells_px=np.full((3, 3), np.inf))
    off = np.stack(offs) * rgb.K[0, 0] / infrared.K[0, 0]
    with np.errstate(invalid="ignore"):
        both = np.isfinite(off).mean(axis=0) > 0.5
    each = np.where(both, np.nanmean(np.where(both, off, 0.0), axis=0), np.nan).reshape(_GRID[1], _GRID[0])
    cells = np.full((3, 3), np.nan)
    for i, rows in enumerate(np.array_split(each, 3, axis=0)):
        for j, cell in enumerate(np.array_split(rows, 3, axis=1)):
            if np.isfinite(cell).mean() > 0.1:
                cells[i, j] = np.nanmean(cell)
    return ExpectedError(mean_px=float(np.nanmean(each)) if both.any() else float("inf"), cells_px=cells)


def _looked_up(rig: RigCalibration, pixels: Float64Array) -> Float64Array:
    """Return (N, 2) infrared pixels of RGB pixels; not a number where the infrared camera sees nothing."""
    assert rig.infrared is not None
    assert rig.rgb is not None
    assert rig.extrinsics is not None
    mapping = stereo_mapping(rig.infrared, rig.rgb, rig.extrinsics, depth_plane(EXPECTED_AT_M), "rgb")
    found, known = mapping.to_other(pixels)
    inside = known & (found >= -0.5).all(axis=1) & (found <= np.array(rig.infrared.size) - 0.5).all(axis=1)
    return np.where(inside[:, None], found, np.nan)
