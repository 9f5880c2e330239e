# SPDX-License-Identifier: Apache-2.0
"""How two cameras are mounted, from views of a board that both have, for cameras whose intrinsics are known.

Cameras may have different sizes and lenses: their pixels become rays first, so that the mounting is fitted for two
ideal cameras.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import replace

import cv2
import numpy as np

from segmif_ros.arrays import Float64Array
from segmif_ros.rig.calibrating.board import Board, Detection
from segmif_ros.rig.calibrating.one_camera import CRITERIA, LEAST_REJECTED_PX, REJECT_FACTOR, board_pose
from segmif_ros.rig.calibrating.views import MIN_VIEWS, BoardView
from segmif_ros.rig.calibration import Extrinsics
from segmif_ros.rig.camera_model import CameraModel
from segmif_ros.rig.errors import CalibrationError

_FITS_PX = 3.0  # in the median
_MIRRORED_GAIN = 4.0  # a mirrored image fits so much better that it can't be chance


def fit_mount(
    board: Board, views: Sequence[BoardView], infrared: CameraModel, rgb: CameraModel
) -> tuple[Extrinsics, list[BoardView]]:
    """Return the mounting and the views that it was fitted to: those that agree.

    Args:
        board: The board.
        views: Pairs of views in which both cameras see it.
        infrared: Its intrinsics.
        rgb: Likewise.
    """
    used = list(views)
    mount = _stereo(board, used, infrared, rgb)
    for _ in range(3):
        used = [_best_order(board, view, infrared, rgb, mount) for view in used]
        mount = _stereo(board, used, infrared, rgb)
        off = np.array([np.mean(transfer(board, view, infrared, rgb, mount)) for view in used])
        kept = off <= max(REJECT_FACTOR * float(np.median(off)), LEAST_REJECTED_PX)
        if kept.all() or kept.sum() < MIN_VIEWS:
            break
        used = [view for view, keep in zip(used, kept, strict=True) if keep]
        mount = _stereo(board, used, infrared, rgb)
    return mount, used


def refuse_mirrored(
    board: Board, views: Sequence[BoardView], infrared: CameraModel, rgb: CameraModel, mount: Extrinsics | None
) -> None:
    """Refuse a rig one of whose drivers mirrors its images: no mounting fits, but one fits the mirror image.

    Args:
        board: What the views show.
        views: In which both cameras see it.
        infrared: The camera.
        rgb: The camera.
        mount: The best mounting; None if there is none at all; the caller reports it where the mirror image has none.
    """
    off = math.inf
    if mount is not None:
        off = float(np.median(np.concatenate([transfer(board, view, infrared, rgb, mount) for view in views])))
    if off < _FITS_PX:
        return
    try:
        mirrored = [replace(view, infrared=_mirrored(board, view.infrared, infrared.width)) for view in views]
        other = _stereo(board, mirrored, infrared, rgb)
        mirrored = [_best_order(board, view, infrared, rgb, other) for view in mirrored]
        other = _stereo(board, mirrored, infrared, rgb)
        off_there = float(np.median(np.concatenate([transfer(board, v, infrared, rgb, other) for v in mirrored])))
    except (CalibrationError, cv2.error):
        off_there = off
    if off_there < (_FITS_PX if mount is None else off / _MIRRORED_GAIN):
        raise CalibrationError(
            "one camera's images are mirrored (left and right exchanged): turn that off in its driver and record again"
        )
    if mount is None:
        return
    raise CalibrationError(
        f"no mounting of the cameras explains the views: they are off by {off:.0f} px in the median; are infrared and "
        "RGB of one moment, was the board held still, and is --board right?"
    )


def transfer(board: Board, view: BoardView, infrared: CameraModel, rgb: CameraModel, mount: Extrinsics) -> Float64Array:
    """Return (N,) distances in RGB pixels: infrared points as they are against where the RGB view puts them.

    Args:
        board: The board.
        view: A pair of views with points in common.
        infrared: Its intrinsics.
        rgb: Likewise.
        mount: From infrared to RGB.
    """
    common = view.common
    assert common is not None
    assert view.rgb is not None
    ids, in_infrared, _ = common
    pose = board_pose(board, view.rgb, rgb)
    if pose is None:
        return np.full(len(ids), 1e3)
    back = mount.inverse()
    points = board.points()[ids] @ pose[0].T + pose[1]
    pixels, known = infrared.pixels(points @ back.rotation.T + back.translation_m)
    off = np.hypot(*(pixels - in_infrared).T) * rgb.K[0, 0] / infrared.K[0, 0]
    return np.where(known, off, 1e3)


def _stereo(board: Board, views: Sequence[BoardView], infrared: CameraModel, rgb: CameraModel) -> Extrinsics:
    """Return the mounting from all views at once, for ideal cameras with the real ones' focal lengths."""
    points = board.points()
    objects, a, b = [], [], []
    ideal = [np.diag([camera.K[0, 0], camera.K[0, 0], 1.0]) for camera in (infrared, rgb)]
    for view in views:
        common = view.common
        assert common is not None
        ids, in_infrared, in_rgb = common
        rays = [camera.rays(pixels) for camera, pixels in ((infrared, in_infrared), (rgb, in_rgb))]
        known = rays[0][1] & rays[1][1]
        objects.append(points[ids[known]].astype(np.float32))
        a.append((rays[0][0][known] * ideal[0][0, 0]).astype(np.float32))
        b.append((rays[1][0][known] * ideal[1][0, 0]).astype(np.float32))
    starts = _relative_poses(board, views, infrared, rgb)
    rotation, move = _middle(starts)
    none = np.zeros(5)
    flags = cv2.CALIB_FIX_INTRINSIC | cv2.CALIB_USE_EXTRINSIC_GUESS
    fitted = cv2.stereoCalibrateExtended(
        objects, a, b, ideal[0], none, ideal[1], none, infrared.size, rotation, move.reshape(3, 1),
        flags=flags, criteria=CRITERIA,
    )  # fmt: skip
    rotation, move = np.asarray(fitted[5]), np.asarray(fitted[6])
    try:
        return Extrinsics(rotation=rotation, translation_m=np.ravel(move))
    except CalibrationError as error:
        raise CalibrationError(
            f"the views contradict each other ({error}): are infrared and RGB of one moment, and is the board's "
            "spacing right?"
        ) from error


def _relative_poses(
    board: Board, views: Sequence[BoardView], infrared: CameraModel, rgb: CameraModel
) -> list[tuple[Float64Array, Float64Array]]:
    found = []
    for view in views:
        assert view.infrared is not None
        assert view.rgb is not None
        here, there = board_pose(board, view.infrared, infrared), board_pose(board, view.rgb, rgb)
        if here is not None and there is not None:
            rotation = there[0] @ here[0].T
            found.append((rotation, there[1] - rotation @ here[1]))
    if not found:
        raise CalibrationError("the board's pose can't be found in any view: show it larger")
    return found


def _middle(poses: Sequence[tuple[Float64Array, Float64Array]]) -> tuple[Float64Array, Float64Array]:
    """Return the pose that is nearest to all others."""
    turns = np.stack([pose[0] for pose in poses])
    apart = np.einsum("aij,bij->ab", turns, turns)  # the larger, the nearer
    best = int(np.argmax(np.sum(np.sort(apart, axis=1)[:, len(poses) // 2 :], axis=1)))
    near = apart[best] >= np.median(apart[best])
    return poses[best][0], np.median(np.stack([pose[1] for pose in poses])[near], axis=0)


def _best_order(board: Board, view: BoardView, infrared: CameraModel, rgb: CameraModel, mount: Extrinsics) -> BoardView:
    """Return the view with its infrared points in the order that fits: a grid without a mark has two."""
    if board.kind not in ("checkerboard", "circles") or view.infrared is None:
        return view
    if len(view.infrared.ids) < board.columns * board.rows:
        return view
    last = board.columns * board.rows - 1
    turned = replace(view, infrared=replace(view.infrared, ids=last - view.infrared.ids))
    errors = [float(np.mean(transfer(board, each, infrared, rgb, mount))) for each in (view, turned)]
    return view if errors[0] <= errors[1] else turned


def _mirrored(board: Board, found: Detection | None, width: int) -> Detection | None:
    if found is None:
        return None
    pixels = found.pixels.copy()
    pixels[:, 0] = width - 1 - pixels[:, 0]
    if len(pixels) == board.columns * board.rows and board.kind in ("checkerboard", "circles"):
        pixels = pixels.reshape(board.rows, board.columns, 2)[:, ::-1].reshape(-1, 2)
    return replace(found, pixels=pixels)
