# SPDX-License-Identifier: Apache-2.0
"""From views of a board to a calibrated rig: both cameras' intrinsics, the mounting, and what it is worth.

OpenCV does the geometry. Cameras may have different sizes and lenses: their pixels become rays first, so that the
mounting is fitted for two ideal cameras.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import cv2
import numpy as np

from segmif_ros.rig.calibrating.board import Board, Detection
from segmif_ros.rig.calibrating.bundle import Sight, refine
from segmif_ros.rig.calibrating.views import MIN_VIEWS, BoardView, covered, missing_cells
from segmif_ros.rig.calibration import Extrinsics, RigCalibration
from segmif_ros.rig.camera import Array, CameraModel
from segmif_ros.rig.errors import CalibrationError

LENSES = ("plumb_bob", "equidistant")
GOOD_PX, FAIR_PX = 0.5, 1.0  # mean transfer error
_REJECT_FACTOR = 3.0  # views farther off than so many medians are left out
_LEAST_REJECTED_PX = 0.6
_MIN_TILT_DEG = 12.0  # spread of the board's normals
_MIRRORED_GAIN = 4.0  # a mirrored image fits so much better that it can't be chance
_CRITERIA = (cv2.TERM_CRITERIA_EPS | cv2.TERM_CRITERIA_MAX_ITER, 100, 1e-9)


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
        transfer_px: Mean distance, in RGB pixels, between where the board's points are and where the other camera and
            the mounting put them; of views that the mounting was not fitted to.
        worst_px: 95th percentile of the same.
        coverage: Points in the ninths of each image, by camera.
        advice: What would make it better, in words; empty if nothing would.
    """

    calibration: RigCalibration
    residuals: tuple[ViewResidual, ...]
    transfer_px: float
    worst_px: float
    coverage: dict[str, list[list[int]]]
    advice: tuple[str, ...]

    @property
    def verdict(self) -> str:
        """One line: "good: 0.3 px; add views in the upper left"."""
        word = "good" if self.transfer_px < GOOD_PX else "fair" if self.transfer_px < FAIR_PX else "poor"
        return "; ".join([f"{word}: {self.transfer_px:.2f} px", *self.advice])


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
        views: At least `MIN_VIEWS` in which both cameras see it.
        sizes: (width, height) of the images, by camera.
        lenses: Distortion model of the infrared and the RGB camera, of `LENSES`.
        known: Intrinsics of the infrared and the RGB camera where they are known already.

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
        raise CalibrationError(f"{len(common)} views of the board in both cameras: {MIN_VIEWS} at least are needed")
    mount, used = _fit_mount(board, common, infrared, rgb)
    _refuse_mirrored(board, common, infrared, rgb, mount)
    infrared, rgb, mount = _refined(board, used, infrared, rgb, mount, (known[0] is None, known[1] is None))
    transfers = _held_out(board, used, infrared, rgb)
    errors = np.concatenate(list(transfers.values()))
    all_transfers = {view.name: _transfer(board, view, infrared, rgb, mount) for view in common}
    coverage = {
        camera: covered([each for view in views if (each := getattr(view, camera)) is not None], sizes[camera])
        for camera in ("infrared", "rgb")
    }
    names = {view.name for view in used}
    return BoardResult(
        calibration=RigCalibration(infrared=infrared, rgb=rgb, extrinsics=mount),
        residuals=tuple(
            ViewResidual(
                name=view.name,
                infrared_px=_own_residual(board, view.infrared, infrared),
                rgb_px=_own_residual(board, view.rgb, rgb),
                transfer_px=float(np.mean(all_transfers[view.name])) if view.name in all_transfers else None,
                used=view.name in names,
            )
            for view in views
        ),
        transfer_px=float(errors.mean()),
        worst_px=float(np.percentile(errors, 95)),
        coverage={camera: counts.tolist() for camera, counts in coverage.items()},
        advice=_advice(board, used, rgb, {camera: missing_cells(counts) for camera, counts in coverage.items()}),
    )


def fit_camera(
    board: Board, detections: Sequence[Detection], size: tuple[int, int], lens: str, name: str
) -> CameraModel:
    """Return one camera's intrinsics, fitted to views of a board; bad views are left out.

    Raises:
        CalibrationError: If the views are too few, or don't determine a camera.
    """
    chosen = [each for each in detections if len(each.ids) >= 8]
    if len(chosen) < MIN_VIEWS:
        raise CalibrationError(f"{name}: {len(chosen)} usable views of the board: {MIN_VIEWS} at least are needed")
    for _ in range(3):
        try:
            camera = _fit(board, chosen, size, lens)
        except (cv2.error, CalibrationError) as error:
            raise CalibrationError(
                f"{name}: the views don't determine a {lens} camera ({' '.join(str(error).split())[:80]}): show the "
                "board tilted, and near the image's corners"
            ) from error
        residuals = np.array([_own_residual(board, each, camera) for each in chosen])
        kept = residuals <= max(_REJECT_FACTOR * float(np.median(residuals)), _LEAST_REJECTED_PX)
        if kept.all() or kept.sum() < MIN_VIEWS:
            break
        chosen = [each for each, keep in zip(chosen, kept, strict=True) if keep]
    return camera


def _fit(board: Board, detections: Sequence[Detection], size: tuple[int, int], lens: str) -> CameraModel:
    points = board.points()
    objects = [points[each.ids].astype(np.float32) for each in detections]
    images = [each.pixels.astype(np.float32) for each in detections]
    # the third radial term is for wide lenses with views in every corner; without it few views can't bend it at will
    flags = cv2.CALIB_FIX_K3 if lens == "plumb_bob" else cv2.CALIB_FIX_K3 | cv2.CALIB_ZERO_TANGENT_DIST
    guess = cv2.initCameraMatrix2D(objects, images, size)
    flags |= cv2.CALIB_USE_INTRINSIC_GUESS
    _, K, D, _, _ = cv2.calibrateCamera(objects, images, size, guess, np.zeros(5), flags=flags, criteria=_CRITERIA)
    coefficients = np.ravel(D)[:5]
    if lens == "equidistant":
        flags = cv2.fisheye.CALIB_USE_INTRINSIC_GUESS | cv2.fisheye.CALIB_RECOMPUTE_EXTRINSIC
        flags |= cv2.fisheye.CALIB_FIX_SKEW
        _, K, D, _, _ = cv2.fisheye.calibrate(
            [each[None].astype(np.float64) for each in objects],
            [each[None].astype(np.float64) for each in images],
            size, np.array(K), np.zeros((4, 1)), flags=flags, criteria=_CRITERIA,
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


def _pose(board: Board, found: Detection, camera: CameraModel) -> tuple[Array, Array] | None:
    """Return the board's (3, 3) rotation and (3,) translation in the camera's frame."""
    rays, known = camera.rays(found.pixels)
    if known.sum() < 4:
        return None
    points = board.points()[found.ids[known]]
    good, turn, move = cv2.solvePnP(points, rays[known], np.eye(3), None, flags=cv2.SOLVEPNP_IPPE)
    if not good:
        return None
    turn, move = cv2.solvePnPRefineLM(points, rays[known], np.eye(3), None, turn, move)
    return np.asarray(cv2.Rodrigues(turn)[0], np.float64), np.asarray(move, np.float64).ravel()


def _own_residual(board: Board, found: Detection | None, camera: CameraModel) -> float | None:
    """Return the RMS distance in pixels between a view's points and the board at its best pose."""
    if found is None or (pose := _pose(board, found, camera)) is None:
        return None
    pixels, _ = camera.pixels(board.points()[found.ids] @ pose[0].T + pose[1])
    return float(np.sqrt(np.mean(np.sum((pixels - found.pixels) ** 2, axis=1))))


def _fit_mount(
    board: Board, views: Sequence[BoardView], infrared: CameraModel, rgb: CameraModel
) -> tuple[Extrinsics, list[BoardView]]:
    """Return the mounting and the views that it was fitted to: those that agree."""
    used = list(views)
    mount = _stereo(board, used, infrared, rgb)
    for _ in range(3):
        used = [_best_order(board, view, infrared, rgb, mount) for view in used]
        mount = _stereo(board, used, infrared, rgb)
        off = np.array([np.mean(_transfer(board, view, infrared, rgb, mount)) for view in used])
        kept = off <= max(_REJECT_FACTOR * float(np.median(off)), _LEAST_REJECTED_PX)
        if kept.all() or kept.sum() < MIN_VIEWS:
            break
        used = [view for view, keep in zip(used, kept, strict=True) if keep]
        mount = _stereo(board, used, infrared, rgb)
    return mount, used


def _refined(
    board: Board,
    views: Sequence[BoardView],
    infrared: CameraModel,
    rgb: CameraModel,
    mount: Extrinsics,
    free: tuple[bool, bool],
) -> tuple[CameraModel, CameraModel, Extrinsics]:
    """Return cameras and mounting, fitted together."""
    sights = []
    for view in views:
        assert view.infrared is not None
        assert view.rgb is not None
        pose = _pose(board, view.rgb, rgb)
        if pose is None:
            continue
        points = board.points()
        seen = [np.full((len(points), 2), np.nan) for _ in range(2)]
        seen[0][view.infrared.ids], seen[1][view.rgb.ids] = view.infrared.pixels, view.rgb.pixels
        turn = np.ravel(cv2.Rodrigues(pose[0])[0])
        sights.append(Sight(points=points, in_infrared=seen[0], in_rgb=seen[1], pose=np.concatenate([turn, pose[1]])))
    numbers = [
        np.concatenate([[camera.K[0, 0], camera.K[1, 1], camera.K[0, 2], camera.K[1, 2]], camera.D])
        for camera in (infrared, rgb)
    ]
    start = np.concatenate([np.ravel(cv2.Rodrigues(mount.rotation)[0]), mount.translation_m])
    made = refine(
        sights,
        (infrared.distortion_model, numbers[0], free[0]),
        (rgb.distortion_model, numbers[1], free[1]),
        start,
    )
    try:
        cameras = [
            camera
            if not movable
            else replace(camera, K=np.array([[n[0], 0, n[2]], [0, n[1], n[3]], [0, 0, 1]]), D=n[4:])
            for camera, movable, n in zip((infrared, rgb), free, made[:2], strict=True)
        ]
        turned = Extrinsics(rotation=np.asarray(cv2.Rodrigues(made[2][:3])[0]), translation_m=made[2][3:])
    except CalibrationError:  # a fit that ran away: what was found one after the other stands
        return infrared, rgb, mount
    return cameras[0], cameras[1], turned


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
        flags=flags, criteria=_CRITERIA,
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
) -> list[tuple[Array, Array]]:
    found = []
    for view in views:
        assert view.infrared is not None
        assert view.rgb is not None
        here, there = _pose(board, view.infrared, infrared), _pose(board, view.rgb, rgb)
        if here is not None and there is not None:
            rotation = there[0] @ here[0].T
            found.append((rotation, there[1] - rotation @ here[1]))
    if not found:
        raise CalibrationError("the board's pose can't be told in any view: show it larger")
    return found


def _middle(poses: Sequence[tuple[Array, Array]]) -> tuple[Array, Array]:
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
    turned = replace(view, infrared=replace(view.infrared, pixels=view.infrared.pixels[::-1].copy()))
    errors = [float(np.mean(_transfer(board, each, infrared, rgb, mount))) for each in (view, turned)]
    return view if errors[0] <= errors[1] else turned


def _transfer(board: Board, view: BoardView, infrared: CameraModel, rgb: CameraModel, mount: Extrinsics) -> Array:
    """Return (N,) distances in RGB pixels: infrared points as they are against where the RGB view puts them."""
    common = view.common
    assert common is not None
    assert view.rgb is not None
    ids, in_infrared, _ = common
    pose = _pose(board, view.rgb, rgb)
    if pose is None:
        return np.full(len(ids), 1e3)
    back = mount.inverse()
    points = board.points()[ids] @ pose[0].T + pose[1]
    pixels, known = infrared.pixels(points @ back.rotation.T + back.translation_m)
    off = np.hypot(*(pixels - in_infrared).T) * rgb.K[0, 0] / infrared.K[0, 0]
    return np.where(known, off, 1e3)


def _held_out(board: Board, views: Sequence[BoardView], infrared: CameraModel, rgb: CameraModel) -> dict[str, Array]:
    """Return each view's transfer error under a mounting that it had no part in."""
    found = {}
    for part in range(2):
        others = list(views[1 - part :: 2])
        mount = _stereo(board, others, infrared, rgb)
        found.update({view.name: _transfer(board, view, infrared, rgb, mount) for view in views[part::2]})
    return found


def _refuse_mirrored(
    board: Board, views: Sequence[BoardView], infrared: CameraModel, rgb: CameraModel, mount: Extrinsics
) -> None:
    """Refuse a rig one of whose drivers mirrors its images: no mounting fits, but one fits the mirror image."""
    off = float(np.median(np.concatenate([_transfer(board, view, infrared, rgb, mount) for view in views])))
    if off < 3.0:
        return
    try:
        mirrored = [replace(view, infrared=_mirrored(board, view.infrared, infrared.width)) for view in views]
        other = _stereo(board, mirrored, infrared, rgb)
        mirrored = [_best_order(board, view, infrared, rgb, other) for view in mirrored]
        other = _stereo(board, mirrored, infrared, rgb)
        off_there = float(np.median(np.concatenate([_transfer(board, v, infrared, rgb, other) for v in mirrored])))
    except (CalibrationError, cv2.error):
        off_there = off
    if off_there * _MIRRORED_GAIN < off:
        raise CalibrationError(
            "one camera's images are mirrored (left and right exchanged): turn that off in its driver, then record anew"
        )
    raise CalibrationError(
        f"no mounting of the cameras explains the views: they are off by {off:.0f} px in the median; are infrared and "
        "RGB of one moment, was the board held still, and is --board right?"
    )


def _mirrored(board: Board, found: Detection | None, width: int) -> Detection | None:
    if found is None:
        return None
    pixels = found.pixels.copy()
    pixels[:, 0] = width - 1 - pixels[:, 0]
    if len(pixels) == board.columns * board.rows and board.kind in ("checkerboard", "circles"):
        pixels = pixels.reshape(board.rows, board.columns, 2)[:, ::-1].reshape(-1, 2)
    return replace(found, pixels=pixels)


def _advice(
    board: Board, views: Sequence[BoardView], rgb: CameraModel, missing: dict[str, list[str]]
) -> tuple[str, ...]:
    advice = []
    both = [cell for cell in missing["rgb"] if cell in missing["infrared"]]
    for names, where in ((both, "both images"), *((missing[each], f"the {each} image") for each in missing)):
        if names:
            told = (
                " and ".join(names[:3])
                if len(names) <= 3
                else f"{names[0]}, {names[1]} and {len(names) - 2} more parts"
            )
            advice.append(f"add views in the {told} of {where}")
            break
    normals = [pose[0][:, 2] for view in views if view.rgb and (pose := _pose(board, view.rgb, rgb)) is not None]
    if normals:
        middle = np.mean(normals, axis=0)
        off = np.degrees(np.arccos(np.clip(normals @ middle / np.linalg.norm(middle), -1, 1)))
        if float(np.sqrt(np.mean(off**2))) < _MIN_TILT_DEG:
            advice.append("tilt the board more: all views are nearly parallel")
    if len(views) < 12:
        advice.append(f"{len(views)} views were used, 20 are better")
    return tuple(advice)
