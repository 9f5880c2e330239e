# SPDX-License-Identifier: Apache-2.0
"""One camera and a board: its intrinsics from several views, and the board's pose in one view."""

from __future__ import annotations

from collections.abc import Sequence

import cv2
import numpy as np

from segmif_ros.arrays import Float64Array
from segmif_ros.rig.calibrating.board import Board, Detection
from segmif_ros.rig.calibrating.views import MIN_VIEWS
from segmif_ros.rig.camera_model import CameraModel
from segmif_ros.rig.errors import CalibrationError

LENSES = ("plumb_bob", "equidistant")
REJECT_FACTOR = 3.0  # views farther off than so many medians are left out
LEAST_REJECTED_PX = 0.6
CRITERIA = (cv2.TERM_CRITERIA_EPS | cv2.TERM_CRITERIA_MAX_ITER, 100, 1e-9)


def fit_camera(
    board: Board, detections: Sequence[Detection], size: tuple[int, int], lens: str, name: str
) -> CameraModel:
    """Return one camera's intrinsics, fitted to views of a board; bad views are left out.

    Args:
        board: The board.
        detections: One a view.
        size: (width, height) of the images.
        lens: The distortion model, one of `LENSES`.
        name: The camera, for messages.

    Raises:
        CalibrationError: If the views are too few, or don't determine a camera.
    """
    chosen = [each for each in detections if len(each.ids) >= 8]
    if len(chosen) < MIN_VIEWS:
        raise CalibrationError(
            f"{name}: {len(chosen)} usable views of the board: {MIN_VIEWS} at least are needed, show it at more places"
        )
    for _ in range(3):
        try:
            camera = _fit(board, chosen, size, lens)
        except (cv2.error, CalibrationError) as error:
            raise CalibrationError(
                f"{name}: the views don't determine a {lens} camera ({' '.join(str(error).split())[:80]}): show the "
                "board tilted, and near the image's corners"
            ) from error
        residuals = np.array([own_residual(board, each, camera) for each in chosen])
        kept = residuals <= max(REJECT_FACTOR * float(np.median(residuals)), LEAST_REJECTED_PX)
        if kept.all() or kept.sum() < MIN_VIEWS:
            break
        chosen = [each for each, keep in zip(chosen, kept, strict=True) if keep]
    return camera


def _fit(board: Board, detections: Sequence[Detection], size: tuple[int, int], lens: str) -> CameraModel:
    points = board.points()
    objects = [points[each.ids].astype(np.float32) for each in detections]
    images = [each.pixels.astype(np.float32) for each in detections]
    # a start for the joint fit, which frees the terms of high order where the views ask for them
    flags = cv2.CALIB_FIX_K3 if lens == "plumb_bob" else cv2.CALIB_FIX_K3 | cv2.CALIB_ZERO_TANGENT_DIST
    guess = cv2.initCameraMatrix2D(objects, images, size)
    flags |= cv2.CALIB_USE_INTRINSIC_GUESS
    _, K, D, _, _ = cv2.calibrateCamera(objects, images, size, guess, np.zeros(5), flags=flags, criteria=CRITERIA)
    coefficients = np.ravel(D)[:5]
    if lens == "equidistant":
        flags = cv2.fisheye.CALIB_USE_INTRINSIC_GUESS | cv2.fisheye.CALIB_RECOMPUTE_EXTRINSIC
        flags |= cv2.fisheye.CALIB_FIX_SKEW | cv2.fisheye.CALIB_FIX_K3 | cv2.fisheye.CALIB_FIX_K4
        _, K, D, _, _ = cv2.fisheye.calibrate(
            [each[None].astype(np.float64) for each in objects],
            [each[None].astype(np.float64) for each in images],
            size, np.array(K), np.zeros((4, 1)), flags=flags, criteria=CRITERIA,
        )  # fmt: skip
        coefficients = np.ravel(D)
    K = np.array([[K[0, 0], 0, K[0, 2]], [0, K[1, 1], K[1, 2]], [0, 0, 1]], np.float64)
    return CameraModel(
        width=size[0],
        height=size[1],
        K=np.asarray(K, np.float64),
        distortion_model=lens,
        D=np.asarray(coefficients, np.float64),
    )


def board_pose(board: Board, found: Detection, camera: CameraModel) -> tuple[Float64Array, Float64Array] | None:
    """Return where a board is.

    Args:
        board: The board.
        found: Its points in an image.
        camera: Its intrinsics.

    Returns:
        The board's (3, 3) rotation and (3,) translation in the camera's frame; None if too few points are known.
    """
    rays, known = camera.rays(found.pixels)
    if known.sum() < 4:
        return None
    points = board.points()[found.ids[known]]
    good, turn, move = cv2.solvePnP(points, rays[known], np.eye(3), None, flags=cv2.SOLVEPNP_IPPE)
    if not good:
        return None
    turn, move = cv2.solvePnPRefineLM(points, rays[known], np.eye(3), None, turn, move)
    return np.asarray(cv2.Rodrigues(turn)[0], np.float64), np.asarray(move, np.float64).ravel()


def own_residual(board: Board, found: Detection | None, camera: CameraModel) -> float | None:
    """Return the RMS distance in pixels between a view's points and the board at its best pose.

    Args:
        board: The board.
        found: Its points in an image; None where it isn't seen.
        camera: Its intrinsics.
    """
    if found is None or (pose := board_pose(board, found, camera)) is None:
        return None
    pixels, _ = camera.pixels(board.points()[found.ids] @ pose[0].T + pose[1])
    return float(np.sqrt(np.mean(np.sum((pixels - found.pixels) ** 2, axis=1))))
