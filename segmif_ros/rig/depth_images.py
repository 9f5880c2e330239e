# SPDX-License-Identifier: Apache-2.0
"""Depth images and point clouds: from one to the other, and to nearness."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from segmif_ros.rig.camera_model import CameraModel


def depth_to_nearness(depth_m: npt.NDArray[np.floating]) -> tuple[npt.NDArray[np.float32], npt.NDArray[np.bool_]]:
    """Return nearness (H, W) and where it is known: not where depth is 0, negative or not a number.

    Infinite depth is known: it is the sky.
    """
    known = depth_m > 0
    with np.errstate(divide="ignore", invalid="ignore"):
        nearness = np.where(known, 1.0 / np.where(known, depth_m, 1.0), 0.0)
    return nearness.astype(np.float32), known


def depth_of_cloud(
    points: npt.NDArray[np.floating], camera: CameraModel, shrink: int | None = None
) -> npt.NDArray[np.float32]:
    """Return the depth image of a point cloud in the RGB camera's optical frame; 0 where there is no point.

    Args:
        points: (N, 3) metres; others than finite ones are left out.
        camera: The RGB camera.
        shrink: The image is so many times smaller than the camera's: points are sparse. None: as many as the points
            ask for, 2 to 16.
    """
    if shrink is None:
        # about one point a pixel, were they spread over the view alone
        shrink = int(np.clip(np.ceil(np.sqrt(camera.width * camera.height / max(len(points), 1))), 2, 16))
    small = camera.scaled(max(1, camera.width // shrink), max(1, camera.height // shrink))
    points = points[np.isfinite(points).all(axis=1) & (points[:, 2] > 0)]
    pixels, known = small.pixels(points)
    at = np.rint(pixels).astype(np.int64)
    inside = known & (at >= 0).all(axis=1) & (at < small.size).all(axis=1)
    depth = np.full(small.width * small.height, np.inf, np.float32)
    np.minimum.at(depth, at[inside, 1] * small.width + at[inside, 0], points[inside, 2].astype(np.float32))
    depth[np.isinf(depth)] = 0.0
    return depth.reshape(small.height, small.width)


def points_of_depth_image(depth_m: npt.NDArray[np.floating], camera: CameraModel) -> npt.NDArray[np.float32]:
    """Return the (N, 3) float32 points, metres in the camera's optical frame, of a depth image's known pixels.

    Args:
        depth_m: (H, W) metres along the camera's axis; 0, negative, infinite and not a number mean unknown.
        camera: The depth camera; the image may have any size of its proportions.
    """
    height, width = depth_m.shape
    v, u = np.nonzero(np.isfinite(depth_m) & (depth_m > 0))
    rays, known = camera.scaled(width, height).rays(np.stack([u, v], axis=1).astype(np.float64))
    depth = depth_m[v, u][known, None]
    return np.concatenate([rays[known] * depth, depth], axis=1).astype(np.float32)
