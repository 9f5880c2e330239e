# SPDX-License-Identifier: Apache-2.0
"""What the scene method fits: how a pixel of the view lies in the infrared image, by a few numbers.

All are functions of parameters around 0, at the sizes that images are compared at.
"""

from __future__ import annotations

from typing import Protocol

import cv2
import numpy as np

from segmif_ros.arrays import Float64Array
from segmif_ros.rig.calibration import Extrinsics, Homography, RigCalibration
from segmif_ros.rig.camera_model import CameraModel
from segmif_ros.rig.lens import DivisionLens
from segmif_ros.rig.warp import rescaled

Size = tuple[int, int]


class SceneModel(Protocol):
    """A mapping from the view to the infrared image.

    Attributes:
        infrared_size: (width, height) of the infrared image.
        view_size: (width, height) of the view.
        deviations: (P,) how far each parameter is expected to be from 0.
        translation: Whether it knows which way things move with their nearness.
    """

    infrared_size: Size
    view_size: Size
    deviations: Float64Array
    translation: bool

    def pixels(self, parameters: Float64Array, at: Float64Array, nearness: float = 0.0) -> Float64Array:
        """Return where pixels of the view are in the infrared image.

        Args:
            parameters: (P,), of the model.
            at: (N, 2) pixels of the view.
            nearness: One over the depth, 1/m; 0 is far away.

        Returns:
            (N, 2) infrared pixels.
        """
        ...

    def calibration(self, parameters: Float64Array, infrared_size: Size, rgb_size: Size) -> RigCalibration:
        """Return the calibration for images of these sizes.

        Args:
            parameters: (P,), of the model.
            infrared_size: (width, height).
            rgb_size: (width, height).
        """
        ...


class HomographyModel:
    """A homography, and a lens of one number on the infrared image; no cameras are known.

    The parameters are shift right and down, logarithm of the scale, roll (rad), stretch, shear, both keystones, and the
    lens. Two cameras beside each other have little of the last five.

    Args:
        infrared_size: (width, height).
        view_size: (width, height).
        lens: Whether the lens is fitted.
    """

    translation = False

    def __init__(self, infrared_size: Size, view_size: Size, *, lens: bool = True) -> None:
        self.infrared_size, self.view_size = infrared_size, view_size
        free = 10.0
        self.deviations = np.array([free, free, free, free, 0.01, 0.006, 0.02, 0.02, 0.05])[: 9 if lens else 8]
        self._to_infrared, self._from_view = _centred(infrared_size), np.linalg.inv(_centred(view_size))

    def similarity(self, scale: float, roll_rad: float) -> Float64Array:
        """Return parameters that enlarge and turn the infrared image about the middle of the view.

        Args:
            scale: Above 1 enlarges.
            roll_rad: Of the model's roll, radians.
        """
        parameters = np.zeros(self.deviations.size)
        parameters[2:4] = -np.log(scale), roll_rad
        return parameters

    def shifted(self, parameters: Float64Array, right_px: float, down_px: float) -> Float64Array:
        """Return the parameters after a move, where infrared content is so far right and down in the view.

        Args:
            parameters: (P,), of the model.
            right_px: Pixels of the view.
            down_px: Likewise.
        """
        by = 2.0 / self.view_size[0]
        moved = parameters.copy()
        there = _plain(parameters) @ np.array([by * right_px, by * down_px, 1.0])
        moved[:2] = there[:2] / there[2]
        return moved

    def pixels(self, parameters: Float64Array, at: Float64Array, nearness: float = 0.0) -> Float64Array:
        """Return infrared pixels; see `SceneModel`."""
        del nearness  # which way near things move isn't known
        matrix = self._to_infrared @ _plain(parameters) @ self._from_view
        plain = np.asarray(cv2.perspectiveTransform(at[:, None], matrix)[:, 0], np.float64)
        lens = self._lens(parameters)
        return plain if lens is None else lens.applied(plain)[0]

    def calibration(self, parameters: Float64Array, infrared_size: Size, rgb_size: Size) -> RigCalibration:
        """Return a homography; see `SceneModel`."""
        into_infrared, into_view = (
            _resizing(a, b) for a, b in ((self.infrared_size, infrared_size), (rgb_size, self.view_size))
        )
        matrix = into_infrared @ self._to_infrared @ _plain(parameters) @ self._from_view @ into_view
        back = np.linalg.inv(matrix)
        lens = self._lens(parameters)
        return RigCalibration(
            homography=Homography(
                matrix=back / back[2, 2],
                infrared_size=infrared_size,
                rgb_size=rgb_size,
                infrared_lens=None if lens is None else lens.moved(into_infrared),
            )
        )

    def _lens(self, parameters: Float64Array) -> DivisionLens | None:
        if parameters.size < 9:
            return None
        centre = 0.5 * (np.array(self.infrared_size) - 1.0)
        return DivisionLens(
            centre=centre, radius_px=0.5 * self.infrared_size[0], strength=float(np.clip(parameters[8], -0.4, 0.4))
        )


class RotationModel:
    """A rotation between known cameras; the parameters are its rotation vector, from the view to infrared.

    Args:
        infrared: The infrared camera.
        rgb: The RGB camera, whose view it is.
        infrared_size: (width, height) that images are compared at.
        view_size: (width, height).
        translation_m: (3,) of the infrared camera in the RGB camera's frame; None: not known, 0.
    """

    def __init__(
        self,
        infrared: CameraModel,
        rgb: CameraModel,
        infrared_size: Size,
        view_size: Size,
        translation_m: Float64Array | None = None,
    ) -> None:
        self.infrared_size, self.view_size = infrared_size, view_size
        self._cameras = infrared, rgb
        self._infrared, self._rgb = infrared.scaled(*infrared_size), rgb.scaled(*view_size)
        self.deviations = np.full(3, 0.2)
        self._translation_m = np.zeros(3) if translation_m is None else np.asarray(translation_m, np.float64)
        self.translation = bool(self._translation_m.any())
        self._last: tuple[Float64Array, Float64Array] | None = None

    def pixels(self, parameters: Float64Array, at: Float64Array, nearness: float = 0.0) -> Float64Array:
        """Return infrared pixels; see `SceneModel`."""
        rotation = np.asarray(cv2.Rodrigues(np.asarray(parameters, np.float64))[0])
        found, known = self._infrared.pixels((self._rays(at) - nearness * self._translation_m) @ rotation.T)
        return np.where(known[:, None], found, -1e4)

    def calibration(self, parameters: Float64Array, infrared_size: Size, rgb_size: Size) -> RigCalibration:
        """Return the cameras and how they are mounted; see `SceneModel`."""
        del infrared_size, rgb_size
        rotation = np.asarray(cv2.Rodrigues(np.asarray(parameters, np.float64))[0], np.float64).T
        mount = Extrinsics(rotation=rotation, translation_m=self._translation_m)
        return RigCalibration(infrared=self._cameras[0], rgb=self._cameras[1], extrinsics=mount)

    def _rays(self, at: Float64Array) -> Float64Array:
        if self._last is None or self._last[0] is not at:  # the rays of all pixels are asked for again and again
            rays, known = self._rgb.rays(at)
            rays = np.concatenate([np.where(known[:, None], rays, 0.0), np.ones((len(at), 1))], axis=1)
            self._last = at, rays
        return self._last[1]


def displacements(model: SceneModel, parameters: Float64Array, at: Float64Array) -> Float64Array:
    """Return (N, 2, P): how far infrared content moves in the view with each parameter, pixels of the view.

    Args:
        model: How the images lie on each other.
        parameters: (P,), of the model.
        at: (N, 2) pixels of the view.
    """
    step = 1e-4
    here = model.pixels(parameters, at)
    slopes = np.stack(
        [(model.pixels(parameters + step * unit, at) - here) / step for unit in np.eye(parameters.size)], axis=-1
    )
    return _in_view(model, parameters, at, slopes)


def parallax(model: SceneModel, parameters: Float64Array, at: Float64Array, nearness: float) -> Float64Array:
    """Return (N, 2): how far infrared content of things so near lies from that of far ones, pixels of the view.

    Args:
        model: How the images lie on each other.
        parameters: (P,), of the model.
        at: (N, 2) pixels of the view.
        nearness: One over the depth, 1/m.
    """
    # infrared(map(x)) shows what lies at x + d in the far map
    moved = model.pixels(parameters, at, nearness) - model.pixels(parameters, at)
    return _in_view(model, parameters, at, moved[..., None])[..., 0]


def _in_view(model: SceneModel, parameters: Float64Array, at: Float64Array, moved: Float64Array) -> Float64Array:
    """Return (N, 2, K) displacements in the view of (N, 2, K) ones in the infrared image."""
    across = [
        model.pixels(parameters, at + 0.5 * np.array(way)) - model.pixels(parameters, at - 0.5 * np.array(way))
        for way in ((1.0, 0.0), (0.0, 1.0))
    ]
    slope = np.stack(across, axis=-1)
    return np.asarray(np.linalg.solve(slope + 1e-9 * np.eye(2), moved))


def _plain(parameters: Float64Array) -> Float64Array:
    """Return (3, 3): from the view to infrared, both in half widths about their middles."""
    right, down, scale, roll, stretch, shear, across, along = parameters[:8]
    c, s = np.exp(scale) * np.cos(roll), np.exp(scale) * np.sin(roll)
    turn = np.array([[c, -s], [s, c]]) @ np.array([[1 + stretch, shear], [shear, 1 - stretch]])
    return np.array([[turn[0, 0], turn[0, 1], right], [turn[1, 0], turn[1, 1], down], [across, along, 1.0]])


def _centred(size: Size) -> Float64Array:
    half = 0.5 * size[0]
    return np.array([[half, 0, 0.5 * (size[0] - 1)], [0, half, 0.5 * (size[1] - 1)], [0, 0, 1.0]])


def _resizing(size: Size, other: Size) -> Float64Array:
    """Return (3, 3) that takes pixels of an image of ``size`` to those of the same image at ``other``."""
    corner, right, down = rescaled(np.array([(0.0, 0.0), (1.0, 0.0), (0.0, 1.0)]), size, other)
    return np.array([[right[0] - corner[0], 0, corner[0]], [0, down[1] - corner[1], corner[1]], [0, 0, 1.0]])
