# SPDX-License-Identifier: Apache-2.0
"""A point for each pixel of the mask, from depth or from the ground plane: what planners take beside the mask.

Points are in the optical frame of the mask's camera (REP-103: x right, y down, z forward), in metres.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from segmif_ros.arrays import Float32Array, Float64Array, Image, Mask
from segmif_ros.grid.costs import EITHER, OBJECT, ClassTable
from segmif_ros.grid.errors import GridError
from segmif_ros.grid.ground_view import GroundView, UndistortedView
from segmif_ros.grid.masks import look_up, split_ground
from segmif_ros.rig.camera_model import CameraModel

_HIDING_PX = 4  # side of the squares within which a near point hides a far one: clouds are sparser than images
_HIDING_M, _HIDING_SHARE = 0.3, 0.05  # how much farther a point may be and not be hidden


def points_of_depth(depth_m: npt.NDArray, rays: Float32Array) -> Float32Array:
    """Return (H, W, 3) points of a depth image; NaN where nothing is known.

    Args:
        depth_m: (H, W) metres along the optical axis; 0, negative, infinite and NaN say nothing.
        rays: (H, W, 3) as `segmif_ros.grid.ground_view.Pinhole.rays` gives them.

    Raises:
        GridError: If the sizes differ: the cloud has to be aligned with the mask.
    """
    if depth_m.shape != rays.shape[:2]:
        theirs, ours = ("x".join(map(str, shape[1::-1])) for shape in (depth_m.shape, rays.shape))
        raise GridError(f"the depth image is {theirs} and the labels are {ours}: register depth to the mask's camera")
    depth = np.asarray(depth_m, np.float32)
    with np.errstate(invalid="ignore"):
        known = np.isfinite(depth) & (depth > 0)
    return rays * np.where(known, depth, np.float32(np.nan))[..., None]


def points_in_view(
    points: npt.NDArray, camera: CameraModel
) -> tuple[npt.NDArray[np.intp], npt.NDArray[np.intp], npt.NDArray[np.intp]]:
    """Return which points of a cloud the camera sees, and at which pixels.

    A sensor beside the camera sees what is hidden from it: such a point would get the label of what hides it. So points
    well behind another one at nearly the same pixel are left out.

    Args:
        points: (N, 3) metres in the camera's optical frame; NaN where nothing is known.
        camera: At the size of the label map.

    Returns:
        (M,) indices of points, the nearest last, and the (M,) rows and (M,) columns of their pixels.
    """
    xyz = np.asarray(points, np.float64).reshape(-1, 3)
    finite = np.flatnonzero(np.isfinite(xyz).all(axis=1))
    pixels, known = camera.pixels(xyz[finite])
    at = np.rint(np.where(known[:, None], pixels, -1)).astype(np.intp)
    inside = (at >= 0).all(axis=1) & (at < camera.size).all(axis=1)
    found, (columns, rows) = finite[inside], at[inside].T
    z = xyz[found, 2]
    across = -(-camera.width // _HIDING_PX)
    square = rows // _HIDING_PX * across + columns // _HIDING_PX
    nearest = np.full(across * -(-camera.height // _HIDING_PX), np.inf)
    np.minimum.at(nearest, square, z)
    order = np.argsort(-z, kind="stable")
    order = order[(z <= nearest[square] * (1 + _HIDING_SHARE) + _HIDING_M)[order]]
    return found[order], rows[order], columns[order]


def points_of_ground(
    labels: Image,
    pinhole: UndistortedView,
    rays: Float32Array,
    view: GroundView,
    base_from_optical: Float64Array,
    table: ClassTable,
    *,
    ground_z_m: float = 0.0,
    max_range_m: float = 20.0,
) -> Float32Array:
    """Return (H, W, 3) points without depth: ground lies on the plane, what stands rises over its foot.

    NaN where there is no telling: the sky, what hangs in the air, objects whose foot isn't seen, what lies beyond the
    range.

    Args:
        labels: (H, W) ids of the raw view.
        pinhole: The camera at that size.
        rays: (H, W, 3), its `rays`.
        view: Over the plane.
        base_from_optical: Where the camera is.
        table: Of the labels' classes.
        ground_z_m: Height of the plane in the base frame.
        max_range_m: Of the depth.
    """
    masks = split_ground(labels, view, table)
    first = masks.first_row
    # over the horizon there is no ground, and what stands continues
    solid = np.concatenate([look_up(table.ids(OBJECT, EITHER), labels[:first]), masks.solid]) > 0
    ground = np.concatenate([np.zeros((first, labels.shape[1]), bool), masks.ground > 0])
    up = base_from_optical[2, :3].astype(np.float32)
    height = np.float32(base_from_optical[2, 3] - ground_z_m)
    with np.errstate(divide="ignore", invalid="ignore"):
        plane = -height / (rays @ up)
        plane[~((plane > 0) & (plane < max_range_m))] = np.nan
    depth = np.where(ground, plane, np.float32(np.nan))
    _raise_objects(depth, plane, ground, solid)
    return rays * depth[..., None]


def _raise_objects(depth: Float32Array, plane: Float32Array, ground: Mask, solid: Mask) -> None:
    """Give objects the depth of their foot, in place: that of the ground under the lowest pixel of their column."""
    rows = len(depth)
    # from below: the last row that isn't object; the foot is one above it, or the image's last row
    upwards = np.arange(rows, dtype=np.int32)[:, None]
    last = np.maximum.accumulate(np.where(solid[::-1], -1, upwards), axis=0)[::-1]
    row_below = rows - 1 - last  # of the pixel that ends the run below, `rows` where the run leaves the image
    cut = last < 0
    at = np.minimum(row_below, rows - 1)
    columns = np.arange(depth.shape[1])[None, :]
    foot = plane[at, columns]
    stands = solid & (ground[at, columns] | cut)
    np.copyto(depth, foot, where=stands)
