# SPDX-License-Identifier: Apache-2.0
"""A calibration board held before the simulated rig, as both cameras see it: printed, and heated by a lamp."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import cv2
import numpy as np
import numpy.typing as npt

from segmif_ros.rig.calibrating.board import Board
from segmif_ros.rig.calibration import Extrinsics
from segmif_ros.rig.camera import Array, CameraModel

_PRINT_PX = 96  # of the board's image, per square
_FINE = 3  # samples a pixel in each direction
_SEED_OF_POSES = 0xB0A4D

F32 = npt.NDArray[np.float32]


@dataclass(frozen=True, kw_only=True, eq=False)
class Pose:
    """Where the board is: X_rgb = rotation @ X_board + translation_m."""

    rotation: Array
    translation_m: Array


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

    def into_rgb(self, image: npt.NDArray[np.uint8], camera: CameraModel, pose: Pose) -> npt.NDArray[np.uint8]:
        """Return the (H, W, 3) image with the board before everything else."""
        ink, share = self._seen(camera, pose)
        colour = np.float32(225.0) - np.float32(195.0) * ink
        return _mixed(image, colour[..., None], share[..., None]).astype(np.uint8)

    def into_infrared(self, counts: npt.NDArray[np.uint16], camera: CameraModel, pose: Pose) -> npt.NDArray[np.uint16]:
        """Return the (H, W) counts with the board, which lies in the upper part of the scene's range."""
        ink, share = self._seen(camera, pose)
        ink = np.asarray(cv2.GaussianBlur(ink, (0, 0), 0.8), np.float32)  # optics, and heat that spreads in the board
        low, high = np.percentile(counts[::4, ::4], (5, 95))
        span = max(float(high - low), 200.0)
        warm = ink if self._hot_on_cold else 1.0 - ink
        return _mixed(counts, np.float32(low + 0.55 * span) + np.float32(0.9 * span) * warm, share).astype(np.uint16)

    def depth(self, camera: CameraModel, pose: Pose) -> F32:
        """Return (H, W) metres along the camera's axis, infinite beside the board."""
        _, share = self._seen(camera, pose)
        v, u = np.mgrid[0 : camera.height, 0 : camera.width].astype(np.float64)
        depth = self._meet(camera, pose, np.stack([u.ravel(), v.ravel()], axis=1))[1]
        return np.where(share > 0.5, depth.reshape(share.shape), np.inf).astype(np.float32)

    def outline(self) -> Array:
        """Return the board's four corners in its frame, (4, 3) metres."""
        height, width = self._print.shape
        low = -(self._origin + 0.5) * self.board.spacing_m / _PRINT_PX
        high = low + np.array([width, height]) * self.board.spacing_m / _PRINT_PX
        (x0, y0), (x1, y1) = low, high
        return np.array([[x0, y0, 0], [x1, y0, 0], [x1, y1, 0], [x0, y1, 0]])

    def _seen(self, camera: CameraModel, pose: Pose) -> tuple[F32, F32]:
        """Return how dark the board is printed, 0..1, and the share of each pixel that it covers, both (H, W)."""
        ink, share = np.zeros((2, camera.height, camera.width), np.float32)
        corners, _ = camera.pixels(self.outline() @ pose.rotation.T + pose.translation_m)
        low = np.clip(np.floor(corners.min(axis=0)) - 3, 0, None).astype(int)
        high = np.minimum(np.ceil(corners.max(axis=0)) + 4, (camera.width, camera.height)).astype(int)
        if (high <= low).any():
            return ink, share
        width, height = high - low
        steps = (np.arange(_FINE) + 0.5) / _FINE - 0.5
        u = (low[0] + np.arange(width)[:, None] + steps).ravel()
        v = (low[1] + np.arange(height)[:, None] + steps).ravel()
        pixels = np.stack([each.ravel() for each in np.meshgrid(u, v)], axis=1)
        at, depth = self._meet(camera, pose, pixels)
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

    def _meet(self, camera: CameraModel, pose: Pose, pixels: Array) -> tuple[Array, Array]:
        """Return where on the board, (N, 2) metres, and how far along the axis, (N,), rays meet it; 0: they don't."""
        rays, known = camera.rays(pixels)
        rays = np.concatenate([rays, np.ones((len(rays), 1))], axis=1)
        normal = pose.rotation[:, 2]
        towards = rays @ normal
        depth = float(normal @ pose.translation_m) / np.where(np.abs(towards) > 1e-9, towards, np.inf)
        depth = np.where(known & (depth > 0), depth, 0.0)
        return ((rays * depth[:, None] - pose.translation_m) @ pose.rotation)[:, :2], depth


def pose_in_infrared(pose: Pose, mount: Extrinsics) -> Pose:
    """Return a pose that is given in the RGB camera's frame in the infrared camera's."""
    back = mount.inverse()
    return Pose(
        rotation=back.rotation @ pose.rotation, translation_m=back.rotation @ pose.translation_m + back.translation_m
    )


def random_pose(
    number: int, seed: int, held: HeldBoard, infrared: CameraModel, rgb: CameraModel, mount: Extrinsics
) -> Pose:
    """Return pose ``number`` of a board that is shown to both cameras: all over the view, near, far and tilted."""
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


def _inside(outline: Array, pose: Pose, camera: CameraModel, margin: float) -> bool:
    pixels, known = camera.pixels(outline @ pose.rotation.T + pose.translation_m)
    edge = margin * np.array(camera.size)
    return bool(known.all() and (pixels >= edge).all() and (pixels < np.array(camera.size) - edge).all())


def _mixed(under: npt.NDArray[Any], over: npt.NDArray[Any], share: F32) -> F32:
    mixed = under * (1.0 - share) + over * share + np.float32(0.5)
    return np.asarray(np.clip(mixed, 0, np.iinfo(under.dtype).max), np.float32)
