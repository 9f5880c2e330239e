# SPDX-License-Identifier: Apache-2.0
"""Calibration without a board: how the images lie on each other, from the edges that both show while the robot moves.

From coarse to fine. First one similarity for the whole view: scale, roll and shift. Then tiles, each with a
displacement of its own, pooled over all frames (`segmif_ros.rig.agreement`), to which a homography is fitted, or a
rotation where both cameras are known. Frames are drawn again and again with replacement to see how far the answer can
be trusted. Where it can't, there is none.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import cv2
import numpy as np
import numpy.typing as npt

from segmif_ros.rig.agreement import Surfaces, Tile, agreement, edge_orientations, make_tiles, peak
from segmif_ros.rig.calibration import Extrinsics, Homography, RigCalibration
from segmif_ros.rig.camera import Array, CameraModel
from segmif_ros.rig.drift import sharpness_of
from segmif_ros.rig.errors import CalibrationError

MIN_FRAMES = 8
MAX_FRAMES = 40
MAX_DEVIATION_PX = 1.0  # mean over the view, at `_FINE_PX` width
MAX_MISFIT_PX = 0.8  # RMS of the parts of the view about a homography, RGB pixels
MIN_TILES = 6  # of 20, for a rotation
MIN_TILES_PLANE = 9  # for a homography, which has eight numbers
MIN_SHARPNESS = 4.5

_COARSE_PX, _FINE_PX = 160, 320
_COARSE_FRAMES = 12
_SCALES = np.geomspace(0.5, 1.6, 25)
_ROLLS_DEG = np.arange(-6.0, 6.01, 1.5)
_TILES = (4, 5)
_REACHES = (12, 8, 5)
_REDRAWS = 24
_TURN_ROUNDS = 60  # a tile that is nearer than it looks lets go slowly
_NEAREST_M = 2.0

Image = npt.NDArray[Any]
Pair = tuple[Image, Image]


@dataclass(frozen=True, kw_only=True, eq=False)
class SceneResult:
    """How the images lie on each other.

    Attributes:
        calibration: A homography, or cameras and extrinsics.
        deviation_px: Mean standard deviation over the view of where infrared content is put, RGB pixels.
        covariance: Of the homography's eight free numbers with its last one 1, or of the rotation vector, rad^2.
        tiles: How many tiles speak.
        frames: How many frames.
    """

    calibration: RigCalibration
    deviation_px: float
    covariance: Array
    tiles: int
    frames: int

    @property
    def verdict(self) -> str:
        """One line."""
        word = "good" if self.deviation_px < 0.7 else "fair"
        return f"{word}: +-{self.deviation_px:.1f} px, from {self.tiles} parts of the view in {self.frames} frames"


def calibrate_scene(
    pairs: Sequence[Pair],
    *,
    cameras: tuple[CameraModel, CameraModel] | None = None,
    translation_m: Array | None = None,
    fov_ratio: float | None = None,
) -> SceneResult:
    """Return how two cameras lie on each other, from what both see.

    Args:
        pairs: (H, W) infrared of any type and (H', W', 3) RGB, of one size each, of different views.
        cameras: The infrared and the RGB camera where they are calibrated: then the rotation between them is found,
            else a homography.
        translation_m: (3,) position of the infrared camera in the RGB camera's frame, measured with a ruler; for
            ``cameras``. None: 0.
        fov_ratio: The infrared camera's field of view by the RGB camera's, as a guess; None: looked for.

    Raises:
        CalibrationError: If the images don't tell; one line with what to do.
    """
    if len(pairs) < MIN_FRAMES:
        raise CalibrationError(
            f"{len(pairs)} different views: {MIN_FRAMES} at least are needed, 30 of a drive are good"
        )
    chosen = [pairs[i] for i in np.unique(np.linspace(0, len(pairs) - 1, MAX_FRAMES).round().astype(int))]
    frames = _Frames(chosen, cameras, translation_m)
    matrix = np.eye(3) if cameras else _similarity(frames, fov_ratio)
    surfaces: Surfaces | None = None
    for reach in _REACHES:
        surfaces, tiles = frames.surfaces(matrix, reach), frames.tiles(reach)
        moved = _fit(surfaces.mean(axis=0), tiles, frames, matrix, rigid=cameras is not None)
        if moved is None:
            raise CalibrationError(_unsure("too few parts of the view agree"))
        matrix = moved[0]
    assert surfaces is not None
    before, tiles = matrix, frames.tiles(_REACHES[-1])
    surfaces = frames.surfaces(before, _REACHES[-1])
    final = _fit(surfaces.mean(axis=0), tiles, frames, before, rigid=cameras is not None)
    if final is None:
        raise CalibrationError(_unsure("too few parts of the view agree"))
    matrix, speaking, misfit = final
    if cameras is None and misfit * frames.scale > MAX_MISFIT_PX:
        raise CalibrationError(
            f"no homography fits the view: its parts are off by {misfit * frames.scale:.1f} px; the lenses or what is "
            "near bend it: calibrate each camera with a board, and give the file with --known"
        )
    drawn = _redrawn(surfaces, tiles, frames, before, rigid=cameras is not None)
    deviation = _deviation(matrix, drawn, frames.size)
    if not np.isfinite(deviation) or deviation > MAX_DEVIATION_PX:
        raise CalibrationError(_unsure(f"it may be off by {deviation * frames.scale:.1f} px"))
    calibration, numbers = frames.calibration(matrix, translation_m)
    covariance = np.cov(np.stack([frames.calibration(each, translation_m)[1] for each in drawn]).T)
    return SceneResult(
        calibration=calibration,
        deviation_px=deviation * frames.scale,
        covariance=np.asarray(covariance).reshape(numbers.size, numbers.size),
        tiles=speaking,
        frames=len(chosen),
    )


class _Frames:
    """The frames at the fine size; with known cameras both are seen through one pinhole without distortion."""

    def __init__(
        self,
        pairs: Sequence[Pair],
        cameras: tuple[CameraModel, CameraModel] | None,
        translation_m: Array | None = None,
    ) -> None:
        infrared, rgb = pairs[0]
        for other_infrared, other_rgb in pairs:
            if other_infrared.shape != infrared.shape or other_rgb.shape != rgb.shape:
                raise CalibrationError("the images change their size: calibrate with images of one size")
        self.infrared_size = infrared.shape[1], infrared.shape[0]
        self.rgb_size = rgb.shape[1], rgb.shape[0]
        self.cameras, self.translation_m = cameras, translation_m
        self.scale = self.rgb_size[0] / _FINE_PX
        self.size = _FINE_PX, round(self.rgb_size[1] / self.scale)
        self.focal_px = 0.0
        maps: list[Array] = []
        if cameras is not None:
            camera = cameras[1].scaled(*self.rgb_size)
            self.focal_px = float(camera.K[0, 0]) / self.scale
            maps = [_undistorting(each, self.size, self.focal_px) for each in cameras]
        self.pairs: list[tuple[Image, Image]] = []
        for infrared, rgb in pairs:
            grey = cv2.cvtColor(rgb, cv2.COLOR_RGB2GRAY) if rgb.ndim == 3 else rgb
            images: list[Image] = [np.asarray(infrared, np.float32), np.asarray(grey, np.float32)]
            if maps:
                images = [
                    _lookup(_to(image, camera.size), at)
                    for image, at, camera in zip(images, maps, cameras or (), strict=True)
                ]
            else:
                images[1] = _to(images[1], self.size)
            self.pairs.append((images[0], images[1]))
        self._rgb = [edge_orientations(rgb) for _, rgb in self.pairs]

    @property
    def infrared_to_fine(self) -> Array:
        """(3, 3) from infrared pixels to fine ones, as if both cameras had one field of view."""
        if self.cameras:
            return np.eye(3)
        by = self.size[0] / self.infrared_size[0]
        off_v = 0.5 * (self.size[1] - by * self.infrared_size[1])
        return np.array([[by, 0, 0.5 * by - 0.5], [0, by, 0.5 * by - 0.5 + off_v], [0, 0, 1]])

    def warped(self, k: int, matrix: Array) -> Image:
        """Return infrared frame k under ``matrix``, which acts on fine pixels."""
        return np.asarray(
            cv2.warpPerspective(
                self.pairs[k][0], matrix @ self.infrared_to_fine, self.size, borderMode=cv2.BORDER_REPLICATE
            )
        )

    def tiles(self, reach: int) -> list[Tile]:
        """Return the tiles."""
        return make_tiles(*self.size, *_TILES, margin_px=reach)

    def surfaces(self, matrix: Array, reach: int) -> Surfaces:
        """Return (F, T, S, S) agreements of all frames."""
        inside = cv2.warpPerspective(
            np.ones(self.pairs[0][0].shape[:2], np.uint8), matrix @ self.infrared_to_fine, self.size
        )
        inside = cv2.erode(inside, np.ones((9, 9), np.uint8), borderValue=0)
        tiles = self.tiles(reach)
        covered = [inside[t.top : t.bottom, t.left : t.right].mean() > 0.6 for t in tiles]
        found = []
        for k in range(len(self.pairs)):
            # nothing is to agree with the border of the infrared image
            infrared = edge_orientations(self.warped(k, matrix)) * inside
            surfaces = agreement(infrared, self._rgb[k], tiles, reach)
            surfaces[~np.array(covered)] = 0
            found.append(surfaces)
        return np.stack(found)

    def calibration(self, matrix: Array, translation_m: Array | None) -> tuple[RigCalibration, Array]:
        """Return the calibration of a matrix between fine pixels, and its free numbers."""
        if self.cameras is not None:
            K = _pinhole(self.size, self.focal_px)
            turn = np.linalg.inv(K) @ matrix @ K
            u, _, v = np.linalg.svd(turn / np.cbrt(np.linalg.det(turn)))
            rotation = u @ v
            mount = Extrinsics(rotation=rotation, translation_m=np.zeros(3) if translation_m is None else translation_m)
            numbers = np.ravel(cv2.Rodrigues(rotation)[0])
            return RigCalibration(infrared=self.cameras[0], rgb=self.cameras[1], extrinsics=mount), numbers
        back = np.array([[self.scale, 0, 0.5 * self.scale - 0.5], [0, self.scale, 0.5 * self.scale - 0.5], [0, 0, 1]])
        full = back @ matrix @ self.infrared_to_fine
        full = full / full[2, 2]
        homography = Homography(matrix=full, infrared_size=self.infrared_size, rgb_size=self.rgb_size)
        return RigCalibration(homography=homography), full.ravel()[:8]


def _similarity(frames: _Frames, fov_ratio: float | None) -> Array:
    """Return the scale, roll and shift that agree best, as a matrix between fine pixels."""
    chosen = range(0, len(frames.pairs), max(1, len(frames.pairs) // _COARSE_FRAMES))
    scales = _SCALES if fov_ratio is None else fov_ratio * np.geomspace(0.85, 1.18, 9)

    def best(candidates: Sequence[tuple[float, float]]) -> tuple[float, Array, float, float]:
        found = (-1.0, np.eye(3), 1.0, 0.0)
        for scale, roll in candidates:
            score, matrix = _whole_view(frames, chosen, scale, roll)
            if score > found[0]:
                found = score, matrix, scale, roll
        return found

    _, _, scale, _ = best([(float(scale), 0.0) for scale in scales])
    _, _, _, roll = best([(scale, float(roll)) for roll in _ROLLS_DEG])
    score, matrix, _, _ = best([(scale * by, roll) for by in (0.96, 0.98, 1.0, 1.02, 1.04)])
    if score < MIN_SHARPNESS:
        raise CalibrationError(_unsure("the two views have too little in common"))
    return matrix


def _whole_view(frames: _Frames, chosen: Sequence[int], scale: float, roll_deg: float) -> tuple[float, Array]:
    """Return how far the best shift stands out at this scale and roll, and the matrix."""
    shrink = _COARSE_PX / frames.size[0]
    size = _COARSE_PX, round(frames.size[1] * shrink)
    middle = 0.5 * (np.array(frames.size) - 1)
    turn = np.vstack([cv2.getRotationMatrix2D((float(middle[0]), float(middle[1])), -roll_deg, scale), [0, 0, 1]])
    reach = _COARSE_PX // 5
    tiles = make_tiles(*size, 1, 1, margin_px=0)
    total = np.zeros((2 * reach + 1, 2 * reach + 1), np.float32)
    inside = cv2.warpPerspective(
        np.ones(frames.pairs[0][0].shape[:2], np.uint8), turn @ frames.infrared_to_fine, frames.size
    )
    inside = cv2.erode(np.asarray(cv2.resize(inside, size, interpolation=cv2.INTER_NEAREST)), np.ones((9, 9), np.uint8))
    for k in chosen:
        infrared = edge_orientations(cv2.resize(frames.warped(k, turn), size, interpolation=cv2.INTER_AREA)) * inside
        rgb = edge_orientations(cv2.resize(frames.pairs[k][1], size, interpolation=cv2.INTER_AREA))
        total += agreement(infrared, rgb, tiles, reach)[0]
    dx, dy, _ = peak(total)
    back = np.array([[1, 0, -dx / shrink], [0, 1, -dy / shrink], [0, 0, 1]])
    return sharpness_of(total), back @ turn


def _fit(
    surfaces: Surfaces, tiles: Sequence[Tile], frames: _Frames, matrix: Array, *, rigid: bool
) -> tuple[Array, int, float] | None:
    """Return the matrix after the tiles' displacements, how many tiles agree, and their RMS misfit; None: too few."""
    here, there, weights = [], [], []
    for surface, tile in zip(surfaces, tiles, strict=True):
        if not surface.any():
            continue
        dx, dy, _ = peak(surface)
        reach = surface.shape[0] // 2
        sharp = sharpness_of(surface)
        if sharp >= MIN_SHARPNESS - 1.5 and max(abs(dx), abs(dy)) < reach:
            here.append((tile.centre[0] + dx, tile.centre[1] + dy))
            there.append(tile.centre)
            weights.append(sharp)
    least = MIN_TILES if rigid else MIN_TILES_PLANE
    if len(here) < least:
        return None
    a, b = np.array(here), np.array(there)
    made = _turn_between(a, b, frames) if rigid else _plane_between(a, b)
    if made is None:
        return None
    left = np.asarray(b - cv2.perspectiveTransform(a[:, None], made)[:, 0], np.float64)
    off = np.hypot(*(left - _parallax(left, b, frames) if rigid else left).T)
    if np.sum(off < 2.5) < max(least, 0.5 * len(here)):
        return None
    return made @ matrix, int(np.sum(off < 2.5)), float(np.sqrt(np.mean(off[off < 2.5] ** 2)))


def _plane_between(a: Array, b: Array) -> Array | None:
    """Return the homography that takes fine pixels a to b; of few points an affine one, which bends less."""
    if len(a) >= MIN_TILES_PLANE + 3:
        made, _ = cv2.findHomography(a, b, cv2.RANSAC, 2.0)
        return None if made is None else np.asarray(made, np.float64)
    made, _ = cv2.estimateAffine2D(a, b, method=cv2.RANSAC, ransacReprojThreshold=2.0)
    return None if made is None else np.vstack([made, [0, 0, 1]])


def _turn_between(a: Array, b: Array, frames: _Frames) -> Array | None:
    """Return the homography of the rotation that takes fine pixels a to b, but for parallax; outliers weigh little."""
    K = _pinhole(frames.size, frames.focal_px)
    rays = [np.concatenate([each, np.ones((len(each), 1))], axis=1) @ np.linalg.inv(K).T for each in (a, b)]
    rays = [each / np.linalg.norm(each, axis=1, keepdims=True) for each in rays]
    weight, rotation = np.ones(len(a)), np.eye(3)
    target = rays[1]
    for _ in range(_TURN_ROUNDS):
        u, _, v = np.linalg.svd((target * weight[:, None]).T @ rays[0])
        rotation = u @ np.diag([1, 1, np.sign(np.linalg.det(u @ v))]) @ v
        put = rays[0] @ rotation.T @ K.T
        put = put[:, :2] / put[:, 2:]
        shifted = b - _parallax(b - put, b, frames)
        target = np.concatenate([shifted, np.ones((len(b), 1))], axis=1) @ np.linalg.inv(K).T
        target /= np.linalg.norm(target, axis=1, keepdims=True)
        weight = 1.0 / np.maximum(np.hypot(*(shifted - put).T), 0.5) ** 2
    return K @ rotation @ np.linalg.inv(K)


def _parallax(off: Array, at: Array, frames: _Frames) -> Array:
    """Return the part of (N, 2) displacements at fine pixels ``at`` that distances explain.

    Where the other camera is known, so is the direction of parallax, and its sign: nothing is farther than infinity.
    """
    if frames.translation_m is None or not frames.translation_m.any():
        return np.zeros_like(off)
    rays = (at - 0.5 * (np.array(frames.size) - 1)) / frames.focal_px
    along = frames.focal_px * (frames.translation_m[:2] - rays * frames.translation_m[2])
    nearness = np.clip((off * along).sum(axis=1) / (along**2).sum(axis=1), 0.0, 1.0 / _NEAREST_M)
    return nearness[:, None] * along


def _redrawn(surfaces: Surfaces, tiles: Sequence[Tile], frames: _Frames, matrix: Array, *, rigid: bool) -> list[Array]:
    """Return the answers of frames drawn with replacement."""
    rng = np.random.default_rng(0)
    found = []
    for _ in range(_REDRAWS):
        drawn = surfaces[rng.integers(0, len(surfaces), len(surfaces))].mean(axis=0)
        fitted = _fit(drawn, tiles, frames, matrix, rigid=rigid)
        if fitted is not None:
            found.append(fitted[0])
    if len(found) < 0.8 * _REDRAWS:
        raise CalibrationError(_unsure("the frames contradict each other"))
    return found


def _deviation(matrix: Array, others: Sequence[Array], size: tuple[int, int]) -> float:
    """Return the mean over the view of the standard deviation of where points go, in fine pixels."""
    u, v = np.meshgrid(np.linspace(0, size[0] - 1, 5), np.linspace(0, size[1] - 1, 4))
    there = np.stack([u.ravel(), v.ravel()], axis=1)[:, None]
    here = cv2.perspectiveTransform(there, np.linalg.inv(matrix))
    put = np.stack([cv2.perspectiveTransform(here, each)[:, 0] for each in others])
    return float(np.sqrt(((put - there[:, 0]) ** 2).sum(axis=2).mean(axis=0)).mean())


def _undistorting(camera: CameraModel, size: tuple[int, int], focal_px: float) -> Array:
    """Return (2, H, W) float32: where a pinhole's pixels are in a camera's image."""
    u, v = np.meshgrid(np.arange(size[0], dtype=np.float64), np.arange(size[1], dtype=np.float64))
    rays = np.stack([u.ravel(), v.ravel(), np.ones(u.size)], axis=1) @ np.linalg.inv(_pinhole(size, focal_px)).T
    pixels, known = camera.pixels(rays)
    pixels = np.where(known[:, None], pixels, -1e4)
    return np.moveaxis(pixels.reshape(size[1], size[0], 2), -1, 0).astype(np.float32)


def _pinhole(size: tuple[int, int], focal_px: float) -> Array:
    return np.array([[focal_px, 0, 0.5 * (size[0] - 1)], [0, focal_px, 0.5 * (size[1] - 1)], [0, 0, 1]])


def _to(image: Image, size: tuple[int, int]) -> Image:
    if (image.shape[1], image.shape[0]) == size:
        return image
    return np.asarray(cv2.resize(image, size, interpolation=cv2.INTER_AREA))


def _lookup(image: Image, at: Array) -> Image:
    return np.asarray(
        cv2.remap(np.asarray(image, np.float32), at[0], at[1], cv2.INTER_LINEAR, borderMode=cv2.BORDER_REPLICATE)
    )


def _unsure(why: str) -> str:
    return (
        f"the scene doesn't tell how the cameras lie on each other: {why}; record a drive past houses, poles and cars, "
        "by day or dusk, or use a board"
    )
