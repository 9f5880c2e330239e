# SPDX-License-Identifier: Apache-2.0
"""A calibration board held before the simulated rig, as both cameras see it: printed, and heated by a lamp."""

from __future__ import annotations

from dataclasses import dataclass

import cv2
import numpy as np
import numpy.typing as npt

from segmif_ros.arrays import Array, Float32Array, Float64Array, Image
from segmif_ros.rig.calibrating.board import Board
from segmif_ros.rig.calibration import Extrinsics
from segmif_ros.rig.camera_model import CameraModel

_PRINT_PX = 96  # of the board's image, per square
_FINE = 3  # samples a pixel in each direction
_SEED_OF_POSES = 0xB0A4D
_LEAST_SQUARE_PX = 9.0  # in the infrared image: below 8 a square isn't found
# of the view, right and down; corners first, as they tell most about a lens
_PLACES = ((-1, -1), (1, 1), (1, -1), (-1, 1), (0, 0), (-1, 0), (1, 0), (0, -1), (0, 1))
_TILTS = ((1, 0), (0, 1), (-1, 0), (0, -1), (0.5, 0.5))


@dataclass(frozen=True, kw_only=True, eq=False)
class Pose:
    """Where the board is: X_rgb = rotation @ X_board + translation_m."""

    rotation: Float64Array
    translation_m: Float64Array


class HeldBoard:
    """Draws a board into images of either camera.

    Args:
        board: Which.
        hot_on_cold: Whether its printed (dark) parts are warmer than the paper, as under a lamp or the sun; False: the
            other way round, as bare metal on card.
    """

    def __init__(self, board: Board, *, hot_on_cold: bool = True) -> None:
        self.board = board
        self._print, self._origin = board.print(_PRINT_PX)
        self._hot_on_cold = hot_on_cold
        self._rays: dict[CameraModel, Float64Array] = {}

    def into_rgb(self, image: Image, camera: CameraModel, pose: Pose) -> Image:
        """Return the image with the board before everything else.

        Args:
            image: (H, W, 3) uint8, RGB.
            camera: Its model.
            pose: Of the board, in the camera's frame.
        """
        ink, share = self._seen(camera, pose)
        colour = np.float32(225.0) - np.float32(195.0) * ink
        return _mixed(image, colour[..., None], share[..., None]).astype(np.uint8)

    def into_infrared(self, counts: npt.NDArray[np.uint16], camera: CameraModel, pose: Pose) -> npt.NDArray[np.uint16]:
        """Return the (H, W) counts with the board, which lies in the upper part of the scene's range.

        Args:
            counts: (H, W) uint16.
            camera: Its model.
            pose: Of the board, in the camera's frame.
        """
        ink, share = self._seen(camera, pose)
        ink = np.asarray(cv2.GaussianBlur(ink, (0, 0), 0.8), np.float32)  # optics, and heat that spreads in the board
        low, high = np.percentile(counts[::4, ::4], (5, 95))
        span = max(float(high - low), 200.0)
        warm = ink if self._hot_on_cold else 1.0 - ink
        return _mixed(counts, np.float32(low + 0.55 * span) + np.float32(0.9 * span) * warm, share).astype(np.uint16)

    def depth(self, camera: CameraModel, pose: Pose) -> Float32Array:
        """Return (H, W) metres along the camera's axis, infinite beside the board.

        Args:
            camera: Its model.
            pose: Of the board, in the camera's frame.
        """
        _, share = self._seen(camera, pose)
        depth = _met(pose, self._rays_of(camera)[1:-1, 1:-1].reshape(-1, 2))[1]
        return np.where(share > 0.5, depth.reshape(share.shape), np.inf).astype(np.float32)

    def printed(self) -> Float64Array:
        """Return the corners in its frame, (4, 3) metres, of what of the board must be seen: without its margin."""
        corners, inner = self.outline(), 0.7 * self.board.spacing_m
        return corners + inner * np.sign(corners.mean(axis=0) - corners) * (1, 1, 0)

    def outline(self) -> Float64Array:
        """Return the board's four corners in its frame, (4, 3) metres."""
        height, width = self._print.shape
        low = -(self._origin + 0.5) * self.board.spacing_m / _PRINT_PX
        high = low + np.array([width, height]) * self.board.spacing_m / _PRINT_PX
        (x0, y0), (x1, y1) = low, high
        return np.array([[x0, y0, 0], [x1, y0, 0], [x1, y1, 0], [x0, y1, 0]])

    def _seen(self, camera: CameraModel, pose: Pose) -> tuple[Float32Array, Float32Array]:
        """Return how dark the board is printed, 0..1, and the share of each pixel that it covers, both (H, W)."""
        ink, share = np.zeros((2, camera.height, camera.width), np.float32)
        corners, _ = camera.pixels(self.outline() @ pose.rotation.T + pose.translation_m)
        low = np.clip(np.floor(corners.min(axis=0)) - 3, 0, None).astype(int)
        high = np.minimum(np.ceil(corners.max(axis=0)) + 4, (camera.width, camera.height)).astype(int)
        if (high <= low).any():
            return ink, share
        width, height = high - low
        rays = self._rays_of(camera)[low[1] : high[1] + 2, low[0] : high[0] + 2]
        at, depth = _met(pose, _finer(_finer(rays, 0), 1).reshape(-1, 2))
        at = at / self.board.spacing_m * _PRINT_PX + self._origin
        at = np.where((depth > 0)[:, None], at, -1e6).reshape(height * _FINE, width * _FINE, 2).astype(np.float32)
        rows, columns = self._print.shape
        on = ((at >= -0.5) & (at < (columns - 0.5, rows - 0.5))).all(axis=2).astype(np.float32)
        printed = cv2.remap(self._print, at[..., 0], at[..., 1], cv2.INTER_LINEAR, borderMode=cv2.BORDER_REPLICATE)
        dark = np.asarray((255.0 - np.asarray(printed, np.float32)) / 255.0, np.float32)
        small = int(width), int(height)
        part = np.asarray(cv2.resize(np.asarray(on, np.float32), small, interpolation=cv2.INTER_AREA), np.float32)
        dark = np.asarray(
            cv2.resize(np.asarray(dark * on, np.float32), small, interpolation=cv2.INTER_AREA), np.float32
        )
        where = np.s_[low[1] : high[1], low[0] : high[0]]
        share[where], ink[where] = part, dark / np.maximum(part, np.float32(1e-3))
        return ink, share

    def _rays_of(self, camera: CameraModel) -> Float64Array:
        """Return the (H + 2, W + 2, 2) rays of a camera's pixels and of one beyond each edge.

        Rays are smooth and are interpolated within pixels, and they are kept: lenses take long to invert.
        """
        if camera not in self._rays:
            v, u = np.mgrid[-1 : camera.height + 1, -1 : camera.width + 1].astype(np.float64)
            rays, known = camera.rays(np.stack([u.ravel(), v.ravel()], axis=1))
            self._rays[camera] = np.where(known[:, None], rays, np.nan).reshape(*u.shape, 2)
        return self._rays[camera]


def pose_in_infrared(pose: Pose, mount: Extrinsics) -> Pose:
    """Return a pose in the infrared camera's frame.

    Args:
        pose: In the RGB camera's frame.
        mount: From infrared to RGB.
    """
    back = mount.inverse()
    return Pose(
        rotation=back.rotation @ pose.rotation, translation_m=back.rotation @ pose.translation_m + back.translation_m
    )


def random_pose(
    number: int, seed: int, held: HeldBoard, infrared: CameraModel, rgb: CameraModel, mount: Extrinsics
) -> Pose:
    """Return pose ``number`` of a board that is shown to both cameras without a plan: near, far and tilted.

    Args:
        number: Which pose of the series.
        seed: Of the series.
        held: The board.
        infrared: Its intrinsics.
        rgb: Likewise.
        mount: From infrared to RGB.
    """
    rng = np.random.default_rng([_SEED_OF_POSES, seed, number])
    outline = held.outline()
    middle, size_m = outline.mean(axis=0), float(np.ptp(outline[:, 0]))
    for attempt in range(400):
        tilt, roll = rng.uniform(-0.7, 0.7, 2), float(rng.normal(0, 0.15))
        rotation = np.asarray(cv2.Rodrigues(np.array([*tilt, roll]))[0], np.float64)
        # in the narrower camera's view, so that the other one sees it too
        share = float(np.exp(rng.uniform(np.log(0.22), np.log(0.8))))
        width_px = share * min(rgb.width, infrared.width * rgb.K[0, 0] / infrared.K[0, 0])
        distance_m = rgb.K[0, 0] * size_m / width_px
        wanted = rng.uniform(0.08, 0.92, 2) * (rgb.width, rgb.height)
        ray, _ = rgb.rays(wanted[None])
        pose = Pose(rotation=rotation, translation_m=distance_m * np.array([*ray[0], 1.0]) - rotation @ middle)
        margin = 0.0 if attempt < 300 else -0.02
        if _inside(outline, pose, rgb, margin) and _inside(outline, pose_in_infrared(pose, mount), infrared, margin):
            return pose
    return pose


def planned_pose(
    number: int, seed: int, held: HeldBoard, infrared: CameraModel, rgb: CameraModel, mount: Extrinsics
) -> Pose:
    """Return pose ``number`` of a board that is shown as docs/first_fused_frame.md asks.

    In each part of the view that both cameras have, up to its rim; near (half of the view) and far (a quarter, but
    squares of `_LEAST_SQUARE_PX`); and tilted by 30 degrees to each side. Hands aren't exact: places and tilts scatter.

    Args:
        number: Which pose of the series.
        seed: Of the series.
        held: The board.
        infrared: Its intrinsics.
        rgb: Likewise.
        mount: From infrared to RGB.
    """
    rng = np.random.default_rng([_SEED_OF_POSES, seed, number, 1])
    outline, middle = held.printed(), held.outline().mean(axis=0)
    size_m = float(np.ptp(outline[:, 0]))
    far = max(0.27, _LEAST_SQUARE_PX * size_m / held.board.spacing_m / infrared.width)
    anchor = np.array(_PLACES[number % len(_PLACES)])
    tilt_to = np.array(_TILTS[number % len(_TILTS)])
    best, best_score = None, -np.inf
    for attempt in range(300):
        tilt = np.radians(30) * tilt_to + rng.normal(0, 0.1, 2)
        rotation = np.asarray(cv2.Rodrigues(np.array([*tilt, float(rng.normal(0, 0.1))]))[0], np.float64)
        # after a hundred tries in vain there is no room for it there: it is held farther away
        share = (0.5 if (number // len(_PLACES)) % 2 == 0 and attempt < 100 else far) * float(rng.uniform(0.9, 1.1))
        distance_m = infrared.K[0, 0] * size_m / (share * infrared.width)
        ray, known = infrared.rays(rng.uniform(0.0, 1.0, (1, 2)) * infrared.size)
        there = mount.rotation @ (distance_m * np.array([*ray[0], 1.0])) + mount.translation_m
        pose = Pose(rotation=rotation, translation_m=there - rotation @ middle)
        here = pose_in_infrared(pose, mount)
        if not known[0] or not (_inside(outline, pose, rgb, 0.0) and _inside(outline, here, infrared, 0.0)):
            continue
        at = (infrared.pixels(outline @ here.rotation.T + here.translation_m)[0] / infrared.size) - 0.5
        reached = np.where(anchor > 0, at.max(axis=0), np.where(anchor < 0, -at.min(axis=0), -abs(at.mean(axis=0))))
        if reached.sum() > best_score:
            best, best_score = pose, float(reached.sum())
        if attempt >= 100:
            break
    return best or random_pose(number, seed, held, infrared, rgb, mount)


def _met(pose: Pose, rays: Float64Array) -> tuple[Float64Array, Float64Array]:
    """Return where on the board, (N, 2) metres, and at which depth, (N,), the (N, 2) rays meet it; 0: they don't."""
    rays = np.concatenate([rays, np.ones((len(rays), 1))], axis=1)
    towards = rays @ pose.rotation[:, 2]
    depth = float(pose.rotation[:, 2] @ pose.translation_m) / np.where(np.abs(towards) > 1e-9, towards, np.inf)
    with np.errstate(invalid="ignore"):
        depth = np.where(depth > 0, depth, 0.0)
    return ((np.nan_to_num(rays) * depth[:, None] - pose.translation_m) @ pose.rotation)[:, :2], depth


def _finer(rays: Float64Array, axis: int) -> Float64Array:
    """Return rays at `_FINE` places a pixel along an axis, without its first and last pixel."""
    rays = np.moveaxis(rays, axis, 0)
    found = []
    for step in (np.arange(_FINE) + 0.5) / _FINE - 0.5:
        beside = rays[2:] if step > 0 else rays[:-2]
        found.append((1 - abs(step)) * rays[1:-1] + abs(step) * beside)
    fine = np.stack(found, axis=1)
    return np.moveaxis(fine.reshape(-1, *fine.shape[2:]), 0, axis)


def _inside(outline: Float64Array, pose: Pose, camera: CameraModel, margin: float) -> bool:
    pixels, known = camera.pixels(outline @ pose.rotation.T + pose.translation_m)
    edge = margin * np.array(camera.size)
    return bool(known.all() and (pixels >= edge).all() and (pixels < np.array(camera.size) - edge).all())


def _mixed(under: Array, over: Array, share: Float32Array) -> Float32Array:
    mixed = under * (1.0 - share) + over * share + np.float32(0.5)
    return np.asarray(np.clip(mixed, 0, np.iinfo(under.dtype).max), np.float32)
