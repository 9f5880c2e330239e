# SPDX-License-Identifier: Apache-2.0
"""Joint refinement of a rig: both cameras' intrinsics, the mounting and every pose of the board, at once.

OpenCV fits one camera, or the mounting of two fixed ones. Fitted one after the other, an error of a focal length is
made up for by a wrong mounting: right at the board's distance and wrong beyond. Fitted together, both cameras hold each
other.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import cv2
import numpy as np

from segmif_ros.rig.camera import Array

_ROUNDS = 12
_STEP = 1e-6
_FIRST_DAMPING = 1e-3


@dataclass(frozen=True, kw_only=True, eq=False)
class Sight:
    """A board in both images: (N, 3) points in its frame, and (N, 2) pixels in each; pose as (6,) turn and move.

    The pose takes the board to the RGB camera. Points that a camera doesn't see are not a number there.
    """

    points: Array
    in_infrared: Array
    in_rgb: Array
    pose: Array


def refine(
    sights: Sequence[Sight], infrared: tuple[str, Array, bool], rgb: tuple[str, Array, bool], mount: Array
) -> tuple[Array, Array, Array]:
    """Return both cameras' numbers and the mounting that put the points nearest to where they are.

    Args:
        sights: The views.
        infrared: Distortion model, (4 + D,) fx, fy, cx, cy and coefficients, and whether they are free to change.
        rgb: The same of the RGB camera.
        mount: (6,) turn and move that take infrared points to the RGB camera's frame.

    Returns:
        The same three vectors, refined; errors of both cameras count in pixels of each.
    """
    lenses = infrared[0], rgb[0]
    free = _free(infrared), _free(rgb)
    shared = np.concatenate([infrared[1], rgb[1], mount])
    split = infrared[1].size, infrared[1].size + rgb[1].size
    movable = np.concatenate([free[0], free[1], np.ones(6, bool)])
    poses = np.stack([sight.pose for sight in sights])
    damping, cost = _FIRST_DAMPING, np.inf
    for _ in range(_ROUNDS):
        residuals, left, right = _equations(sights, shared, poses, lenses, split, movable)
        cost = float(residuals @ residuals)
        improved = False
        for _ in range(5):
            change = np.linalg.solve(left + damping * np.diag(np.diag(left) + 1e-12), right)
            trial = shared.copy()
            trial[movable] -= change[: movable.sum()]
            moved = poses - change[movable.sum() :].reshape(-1, 6)
            now = np.concatenate([_residuals(s, trial, p, lenses, split) for s, p in zip(sights, moved, strict=True)])
            if (new := float(now @ now)) < cost:
                improved = new < cost * (1 - 1e-6)
                shared, poses, damping = trial, moved, 0.3 * damping
                break
            damping *= 6
        if not improved:
            break
    return shared[: split[0]], shared[split[0] : split[1]], shared[split[1] :]


def _free(camera: tuple[str, Array, bool]) -> Array:
    """Return which numbers may change; a third radial term that is 0 stays so."""
    lens, numbers, movable = camera
    free = np.full(numbers.size, movable)
    if lens == "plumb_bob" and numbers.size > 8 and numbers[8] == 0:
        free[8] = False
    return free


def _equations(
    sights: Sequence[Sight],
    shared: Array,
    poses: Array,
    lenses: tuple[str, str],
    split: tuple[int, int],
    movable: Array,
) -> tuple[Array, Array, Array]:
    """Return all residuals, and the normal equations' two sides."""
    count = int(movable.sum())
    size = count + 6 * len(sights)
    left, right, all_residuals = np.zeros((size, size)), np.zeros(size), []
    for i, (sight, pose) in enumerate(zip(sights, poses, strict=True)):
        here = _residuals(sight, shared, pose, lenses, split)
        columns = []
        for k in np.flatnonzero(movable).tolist():
            step = _STEP * max(1.0, abs(shared[k]))
            other = shared.copy()
            other[k] += step
            columns.append((_residuals(sight, other, pose, lenses, split) - here) / step)
        for k in range(6):
            other = pose.copy()
            other[k] += _STEP
            columns.append((_residuals(sight, shared, other, lenses, split) - here) / _STEP)
        J = np.stack(columns, axis=1)
        own = slice(count + 6 * i, count + 6 * i + 6)
        A, b = J.T @ J, J.T @ here
        left[:count, :count] += A[:count, :count]
        left[:count, own], left[own, :count], left[own, own] = A[:count, count:], A[count:, :count], A[count:, count:]
        right[:count] += b[:count]
        right[own] = b[count:]
        all_residuals.append(here)
    return np.concatenate(all_residuals), left, right


def _residuals(sight: Sight, shared: Array, pose: Array, lenses: tuple[str, str], split: tuple[int, int]) -> Array:
    """Return (4 N,) pixels; 0 for points that a camera doesn't see."""
    infrared, rgb, mount = shared[: split[0]], shared[split[0] : split[1]], shared[split[1] :]
    in_rgb_frame = sight.points @ cv2.Rodrigues(pose[:3])[0].T + pose[3:]
    in_infrared_frame = (in_rgb_frame - mount[3:]) @ cv2.Rodrigues(mount[:3])[0]
    off = [
        _project(lenses[0], infrared, in_infrared_frame) - sight.in_infrared,
        _project(lenses[1], rgb, in_rgb_frame) - sight.in_rgb,
    ]
    return np.nan_to_num(np.concatenate(off).ravel(), nan=0.0)


def _project(lens: str, numbers: Array, points: Array) -> Array:
    fx, fy, cx, cy = numbers[:4]
    K = np.array([[fx, 0, cx], [0, fy, cy], [0, 0, 1]])
    zero = np.zeros(3)
    if lens == "equidistant":
        D = numbers[4:8] if numbers.size >= 8 else np.zeros(4)
        found, _ = cv2.fisheye.projectPoints(points[None], zero, zero, K, D)
    else:
        found, _ = cv2.projectPoints(points, zero, zero, K, numbers[4:] if numbers.size > 4 else None)
    return np.asarray(found, np.float64).reshape(-1, 2)
