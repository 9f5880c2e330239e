# SPDX-License-Identifier: Apache-2.0
"""From views of a board to a calibrated rig: both cameras' intrinsics, the mounting, and what it is worth.

OpenCV fits each camera and then the mounting; the joint fit of everything follows (`bundle`).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TypeVar

import cv2
import numpy as np

from segmif_ros.arrays import Float64Array
from segmif_ros.rig.calibrating.board import Board
from segmif_ros.rig.calibrating.bundle import Lens, Refined, Sight, refine
from segmif_ros.rig.calibrating.expected import ExpectedError, expected_error, rig_of
from segmif_ros.rig.calibrating.mounting import fit_mount, refuse_mirrored, transfer
from segmif_ros.rig.calibrating.one_camera import LENSES, board_pose, fit_camera, own_residual
from segmif_ros.rig.calibrating.views import CELLS, MIN_VIEWS, BoardView, covered
from segmif_ros.rig.calibration import Extrinsics, RigCalibration
from segmif_ros.rig.camera_model import CameraModel
from segmif_ros.rig.errors import CalibrationError

__all__ = ["LENSES", "BoardResult", "ViewResidual", "calibrate_board"]

GOOD_PX, FAIR_PX = 0.5, 1.0  # mean error to expect over the view
_WORSE = 1.5  # a part of the view whose error is so many times the mean's needs views
_MIN_TILT_DEG = 12.0  # spread of the board's normals

_Part = TypeVar("_Part")


@dataclass(frozen=True, kw_only=True)
class ViewResidual:
    """One view: its name, the RMS residuals in pixels of each camera (None: not seen), and whether it was used."""

    name: str
    infrared_px: float | None
    rgb_px: float | None
    transfer_px: float | None
    used: bool


@dataclass(frozen=True, kw_only=True, eq=False)
class BoardResult:
    """A calibrated rig and what it is worth.

    Attributes:
        calibration: Both cameras and the extrinsics.
        residuals: Of every view.
        expected_px: Mean error to expect of a registration over the view, RGB pixels, by the fit's covariance.
        expected_cells_px: (3, 3) the same in the ninths of the RGB view, None where the infrared camera sees nothing.
        transfer_px: Mean distance, in RGB pixels, between where the board's points are and where the other camera and
            the mounting put them, in the views that were used: what is left where the board was.
        worst_px: 95th percentile of the same.
        coverage: Points in the ninths of each image, by camera.
        advice: What would make it better, in words; empty if nothing would.
    """

    calibration: RigCalibration
    residuals: tuple[ViewResidual, ...]
    expected_px: float
    expected_cells_px: list[list[float | None]]
    transfer_px: float
    worst_px: float
    coverage: dict[str, list[list[int]]]
    advice: tuple[str, ...]

    @property
    def verdict(self) -> str:
        """One line: "good: 0.3 px; add views in the upper left"."""
        word = "good" if self.expected_px < GOOD_PX else "fair" if self.expected_px < FAIR_PX else "poor"
        return "; ".join([f"{word}: {self.expected_px:.2f} px", *self.advice])


def calibrate_board(
    board: Board,
    views: Sequence[BoardView],
    sizes: dict[str, tuple[int, int]],
    *,
    lenses: tuple[str, str] = ("plumb_bob", "plumb_bob"),
    known: tuple[CameraModel | None, CameraModel | None] = (None, None),
) -> BoardResult:
    """Calibrate a rig.

    Args:
        board: What the views show.
        views: At least `MIN_VIEWS` in which both cameras see it; those of one camera alone hold its lens.
        sizes: (width, height) of the images, by camera.
        lenses: Distortion model of the infrared and the RGB camera, of `LENSES`.
        known: Intrinsics of the infrared and the RGB camera where they are known already.

    Returns:
        The rig, and how sure it is.

    Raises:
        CalibrationError: If the views can't be of one rig, or are too few or too alike; one line with what to do.
    """
    cameras: list[CameraModel] = []
    for camera, lens, model in zip(("infrared", "rgb"), lenses, known, strict=True):
        found = [each for view in views if (each := getattr(view, camera)) is not None]
        cameras.append(model or fit_camera(board, found, sizes[camera], lens, camera))
    infrared, rgb = cameras
    common = [view for view in views if view.common is not None]
    if len(common) < MIN_VIEWS:
        raise CalibrationError(
            f"{len(common)} views of the board in both cameras: {MIN_VIEWS} at least are needed, hold it still at more "
            "places that both see"
        )
    try:
        mount, used = fit_mount(board, common, infrared, rgb)
    except CalibrationError:
        refuse_mirrored(board, common, infrared, rgb, None)
        raise
    refuse_mirrored(board, common, infrared, rgb, mount)
    alone = [view for view in views if view.common is None]
    made = _refined(board, [*used, *alone], (infrared, rgb), mount, (known[0] is None, known[1] is None))
    rig = rig_of(made, infrared, rgb)
    infrared, rgb, mount = known[0] or _of(rig.infrared), known[1] or _of(rig.rgb), _of(rig.extrinsics)
    expected = expected_error(made, infrared, rgb)
    transfers = {view.name: transfer(board, view, infrared, rgb, mount) for view in common}
    names = {view.name for view in used}
    errors = np.concatenate([transfers[name] for name in transfers if name in names])
    coverage = {
        camera: covered([each for view in views if (each := getattr(view, camera)) is not None], sizes[camera])
        for camera in ("infrared", "rgb")
    }
    return BoardResult(
        calibration=RigCalibration(infrared=infrared, rgb=rgb, extrinsics=mount),
        residuals=tuple(
            ViewResidual(
                name=view.name,
                infrared_px=own_residual(board, view.infrared, infrared),
                rgb_px=own_residual(board, view.rgb, rgb),
                transfer_px=float(np.mean(transfers[view.name])) if view.name in transfers else None,
                used=view.name in names or view.common is None,
            )
            for view in views
        ),
        expected_px=expected.mean_px,
        expected_cells_px=[[float(c) if np.isfinite(c) else None for c in row] for row in expected.cells_px],
        transfer_px=float(errors.mean()),
        worst_px=float(np.percentile(errors, 95)),
        coverage={camera: counts.tolist() for camera, counts in coverage.items()},
        advice=_advice(board, used, rgb, expected),
    )


def _of(part: _Part | None) -> _Part:
    assert part is not None
    return part


def _refined(
    board: Board,
    views: Sequence[BoardView],
    cameras: tuple[CameraModel, CameraModel],
    mount: Extrinsics,
    free: tuple[bool, bool],
) -> Refined:
    """Return the joint fit of cameras and mounting to all views."""
    points, sights = board.points(), []
    for view in views:
        seen = [np.full((len(points), 2), np.nan) for _ in range(2)]
        for pixels, found in zip(seen, (view.infrared, view.rgb), strict=True):
            if found is not None:
                pixels[found.ids] = found.pixels
        if (pose := _pose_in_rgb(board, view, cameras, mount)) is not None:
            sights.append(Sight(points=points, in_infrared=seen[0], in_rgb=seen[1], pose=pose))
    infrared, rgb = (
        Lens(
            model=camera.distortion_model,
            numbers=np.concatenate([[camera.K[0, 0], camera.K[1, 1], camera.K[0, 2], camera.K[1, 2]], camera.D]),
            size=camera.size,
            free=movable,
        )
        for camera, movable in zip(cameras, free, strict=True)
    )
    back = mount.inverse()
    start = np.concatenate([np.ravel(cv2.Rodrigues(back.rotation)[0]), back.translation_m])
    return refine(sights, infrared, rgb, start)


def _pose_in_rgb(
    board: Board, view: BoardView, cameras: tuple[CameraModel, CameraModel], mount: Extrinsics
) -> Float64Array | None:
    """Return (6,) turn and move of the board in the RGB camera's frame, from whichever camera sees it."""
    found, camera = (view.rgb, cameras[1]) if view.rgb is not None else (view.infrared, cameras[0])
    if found is None or (pose := board_pose(board, found, camera)) is None:
        return None
    rotation, move = pose
    if view.rgb is None:
        rotation, move = mount.rotation @ rotation, mount.rotation @ move + mount.translation_m
    return np.concatenate([np.ravel(cv2.Rodrigues(rotation)[0]), move])


def _advice(board: Board, views: Sequence[BoardView], rgb: CameraModel, expected: ExpectedError) -> tuple[str, ...]:
    advice = []
    # where nothing is known the error is infinite, and where infrared sees nothing it is no number
    cells = expected.cells_px.ravel()
    limit = max(_WORSE * expected.mean_px, GOOD_PX)
    names = [CELLS[k] for k in np.argsort(-np.nan_to_num(cells)) if cells[k] > limit]
    if names:
        more = f"{names[0]}, {names[1]} and {len(names) - 2} more parts" if len(names) > 3 else ""
        where = more or " and ".join(names)
        advice.append(f"add views in the {where} of the RGB image, where both cameras see")
    normals = [pose[0][:, 2] for view in views if view.rgb and (pose := board_pose(board, view.rgb, rgb)) is not None]
    if normals:
        middle = np.mean(normals, axis=0)
        off = np.degrees(np.arccos(np.clip(normals @ middle / np.linalg.norm(middle), -1, 1)))
        if float(np.sqrt(np.mean(off**2))) < _MIN_TILT_DEG:
            advice.append("tilt the board more: all views are nearly parallel")
    if len(views) < 12:
        advice.append(f"{len(views)} views were used, 20 are better")
    return tuple(advice)
