# SPDX-License-Identifier: Apache-2.0
"""One camera's model: pixels to rays and back, and what becomes of it when its image is scaled.

Pixel coordinates (u, v) are (column, row) with integers at the centres of pixels: (0, 0) is the centre of the upper
left one, and an image of width W spans -0.5 to W - 0.5. Rays are (x, y) = (X / Z, Y / Z) in the camera's optical
frame (REP-104: x right, y down, z forward).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import cv2
import numpy as np
import numpy.typing as npt

from segmif_ros.rig.errors import CalibrationError

Array = npt.NDArray[np.float64]

# distortion model -> how many coefficients it may have
DISTORTION_MODELS = {"plumb_bob": (4, 5), "rational_polynomial": (8, 12, 14), "equidistant": (4,)}
# Largest |R R^T - 1| of a rotation: room for matrices that were written with few digits.
ORTHONORMAL_TOLERANCE = 2e-3
_ROUND_TRIP_PX = 0.05
_GRID = 24  # pixels of a camera are tried on so many places in each direction
_FOLDED_SHARE = 0.25  # of these places, before a distortion is refused
_SAME = np.eye(3)
_CRITERIA = (cv2.TERM_CRITERIA_MAX_ITER | cv2.TERM_CRITERIA_EPS, 50, 1e-10)


@dataclass(frozen=True, kw_only=True, eq=False)
class CameraModel:
    """A calibrated camera; the fields are those of sensor_msgs/CameraInfo.

    Equal if all numbers are. Matrices are float64 and read-only.

    Attributes:
        width: Columns of the image that it was calibrated with.
        height: Rows of that image.
        K: (3, 3) intrinsics [[fx, 0, cx], [0, fy, cy], [0, 0, 1]] of the raw image, pixels.
        distortion_model: "plumb_bob", "rational_polynomial" or "equidistant".
        D: Its coefficients: 4 or 5, 8 (or 12, 14), 4; none at all for an image without distortion.
        R: (3, 3) rotation into the rectified frame; the identity for a camera that isn't part of a stereo pair.
        P: (3, 4) projection of the rectified image, None if unknown.

    Raises:
        CalibrationError: If the numbers can't be a camera's.
    """

    width: int
    height: int
    K: Array
    distortion_model: str = "plumb_bob"
    D: Array = field(default_factory=lambda: np.zeros(0))
    R: Array = field(default_factory=lambda: np.eye(3))
    P: Array | None = None
    _reach: float = field(init=False, repr=False, default=0.0)  # of rays in the image, as |(x, y)|

    def __post_init__(self) -> None:
        for name in ("width", "height"):
            value = getattr(self, name)
            if isinstance(value, bool) or not isinstance(value, int | np.integer) or not 1 <= value <= 32766:
                raise CalibrationError(f"the image {name} is {value!r}: a whole number of pixels is needed")
            object.__setattr__(self, name, int(value))
        object.__setattr__(self, "K", as_matrix(self.K, (3, 3), "K (camera_matrix)"))
        _check_intrinsics(self.K, self.width, self.height)
        object.__setattr__(self, "D", _as_coefficients(self.D, self.distortion_model))
        object.__setattr__(self, "R", as_rotation(self.R, "R (rectification_matrix)"))
        if self.P is not None:
            object.__setattr__(self, "P", as_matrix(self.P, (3, 4), "P (projection_matrix)"))
        object.__setattr__(self, "_reach", self._check_distortion())

    def __eq__(self, other: object) -> bool:
        return isinstance(other, CameraModel) and self._key() == other._key()

    def __hash__(self) -> int:
        return hash(self._key())

    @property
    def size(self) -> tuple[int, int]:
        """(width, height)."""
        return self.width, self.height

    def rays(self, pixels: npt.ArrayLike) -> tuple[Array, npt.NDArray[np.bool_]]:
        """Return where pixels of the raw image look.

        Args:
            pixels: (N, 2), also outside the image.

        Returns:
            (N, 2) rays, and (N,) whether the model knows them: where its distortion can't be inverted (some
            calibrations fold back on themselves in the corners) a ray means nothing.
        """
        points = np.ascontiguousarray(pixels, dtype=np.float64).reshape(-1, 1, 2)
        rays: Array
        if self.distortion_model == "equidistant":
            rays = np.asarray(cv2.fisheye.undistortPoints(points, self.K, self._fisheye(), criteria=_CRITERIA))
        elif self.D.any():
            rays = np.asarray(cv2.undistortPointsIter(points, self.K, self.D, _SAME, _SAME, _CRITERIA))
        else:
            rays = (points - self.K[:2, 2]) / (self.K[0, 0], self.K[1, 1])
        rays = rays.reshape(-1, 2)
        with np.errstate(invalid="ignore", over="ignore"):
            back = self._distort(rays)
            known = np.abs(back - points.reshape(-1, 2)).max(axis=1, initial=0) < _ROUND_TRIP_PX
        return rays, known

    def pixels(self, points: npt.ArrayLike) -> tuple[Array, npt.NDArray[np.bool_]]:
        """Return where points of the optical frame appear in the raw image.

        Args:
            points: (N, 3), in any unit.

        Returns:
            (N, 2) pixels, also outside the image, and (N,) whether they mean anything: not behind the camera, and not
            so far off the axis that a distortion polynomial would fold them back into the image.
        """
        xyz = np.asarray(points, np.float64).reshape(-1, 3)
        ahead = xyz[:, 2] > 1e-9
        rays = xyz[:, :2] / np.where(ahead, xyz[:, 2], 1.0)[:, None]
        known = ahead & (np.hypot(rays[:, 0], rays[:, 1]) <= self._reach)
        return self._distort(np.where(known[:, None], rays, 0.0)), known

    def scaled(self, width: int, height: int) -> CameraModel:
        """Return the model of the same view at another size, as a resized image has it; see `scaled_projection`."""
        by = (width / self.width, height / self.height)
        return CameraModel(
            width=width,
            height=height,
            K=scaled_projection(self.K, *by),
            distortion_model=self.distortion_model,
            D=self.D,
            R=self.R,
            P=None if self.P is None else scaled_projection(self.P, *by),
        )

    def _distort(self, rays: Array) -> Array:
        if not len(rays):
            return np.zeros((0, 2))
        if self.distortion_model == "equidistant":
            points = np.ascontiguousarray(rays).reshape(-1, 1, 2)
            return np.asarray(cv2.fisheye.distortPoints(points, self.K, self._fisheye()).reshape(-1, 2))
        if not self.D.any():
            return rays * (self.K[0, 0], self.K[1, 1]) + self.K[:2, 2]
        points = np.concatenate([rays, np.ones((len(rays), 1))], axis=1)
        zero = np.zeros(3)
        return np.asarray(cv2.projectPoints(points, zero, zero, self.K, self.D)[0].reshape(-1, 2))

    def _fisheye(self) -> Array:
        return self.D if self.D.size else np.zeros(4)

    def _check_distortion(self) -> float:
        """Return how far off the axis a ray of the image may be, as |(x, y)|; refuse a distortion without sense."""
        u, v = np.meshgrid(np.linspace(-0.5, self.width - 0.5, _GRID), np.linspace(-0.5, self.height - 0.5, _GRID))
        rays, known = self.rays(np.stack([u.ravel(), v.ravel()], axis=1))
        if np.mean(~known) > _FOLDED_SHARE:
            raise CalibrationError(
                f"the {self.distortion_model} distortion {_numbers(self.D)} can't be undone on {np.mean(~known):.0%} "
                "of the image: the coefficients are wrong, or K is another image size's"
            )
        # a little more than the outermost ray, as the grid may miss it
        return 1.02 * float(np.hypot(rays[known, 0], rays[known, 1]).max())

    def _key(self) -> tuple[Any, ...]:
        matrices = (self.K, self.D, self.R, np.zeros(0) if self.P is None else self.P)
        return (*self.size, self.distortion_model, *(tuple(each.ravel().tolist()) for each in matrices))


def camera_from_info(
    *,
    width: int,
    height: int,
    distortion_model: str,
    d: Sequence[float],
    k: Sequence[float],
    r: Sequence[float],
    p: Sequence[float],
) -> CameraModel:
    """Return the model of a sensor_msgs/CameraInfo, given its fields.

    Raises:
        CalibrationError: If it isn't calibrated (K is 0), or its numbers can't be a camera's.
    """
    numbers = {"k": (k, 9), "r": (r, 9), "p": (p, 12)}
    for name, (values, count) in numbers.items():
        if len(values) != count:
            raise CalibrationError(f"camera_info has {len(values)} numbers in {name}: {count} are needed")
    # a driver that leaves R and P at zero says nothing about rectification
    return CameraModel(
        width=width,
        height=height,
        K=np.reshape(k, (3, 3)),
        distortion_model=distortion_model or "plumb_bob",
        D=np.asarray(d),
        R=np.reshape(r, (3, 3)) if np.any(r) else np.eye(3),
        P=np.reshape(p, (3, 4)) if np.any(p) else None,
    )


def scaled_projection(matrix: npt.ArrayLike, by_u: float, by_v: float) -> Array:
    """Return K (3, 3) or P (3, 4) for an image that was resized by these factors.

    What spans the image is scaled and not the coordinates of pixel centres: u becomes by_u * (u + 0.5) - 0.5, as
    cv2.resize does it. Scaling cx alone would be off by up to half a pixel.
    """
    scale = np.array([[by_u, 0, 0.5 * by_u - 0.5], [0, by_v, 0.5 * by_v - 0.5], [0, 0, 1]])
    return scale @ np.asarray(matrix, np.float64)


def same_proportions(size: tuple[int, int], calibrated: tuple[int, int]) -> bool:
    """Whether an image (width, height) may be the calibrated one resized, with the sides rounded to whole pixels.

    Binned and enlarged images show the same view; cropped ones, and ones with rows of telemetry, don't.
    """
    off_rows = size[0] * calibrated[1] / calibrated[0] - size[1]
    off_columns = size[1] * calibrated[0] / calibrated[1] - size[0]
    return min(abs(off_rows), abs(off_columns)) < 1


def as_matrix(values: npt.ArrayLike, shape: tuple[int, ...], name: str) -> Array:
    """Return a read-only float64 copy; CalibrationError if it isn't finite numbers of this shape."""
    matrix = as_numbers(values, name).copy()
    if matrix.shape != shape:
        found = "x".join(map(str, matrix.shape)) or "a single number"
        raise CalibrationError(f"{name} is {found}: {'x'.join(map(str, shape))} numbers are needed")
    matrix.setflags(write=False)
    return matrix


def as_numbers(values: npt.ArrayLike, name: str) -> Array:
    """Return finite float64 numbers; CalibrationError if they are anything else."""
    try:
        array = np.asarray(values)
        if array.dtype.kind not in "iuf":
            raise ValueError
    except ValueError:
        raise CalibrationError(f"{name} must be numbers, in rows of one length") from None
    numbers = array.astype(np.float64)
    if not np.isfinite(numbers).all():
        raise CalibrationError(f"{name} has a number that isn't finite: {_numbers(numbers)}")
    return numbers


def as_rotation(values: npt.ArrayLike, name: str) -> Array:
    """Return the rotation nearest to a matrix that is one but for rounding; CalibrationError if it isn't one."""
    matrix = as_matrix(values, (3, 3), name)
    off = float(np.abs(matrix @ matrix.T - np.eye(3)).max())
    if off > ORTHONORMAL_TOLERANCE:
        raise CalibrationError(f"{name} is not a rotation: its rows are not orthonormal (off by {off:.2g})")
    if np.linalg.det(matrix) < 0:
        raise CalibrationError(f"{name} is not a rotation: its determinant is -1, it mirrors")
    if off < 1e-12:
        return matrix
    left, _, right = np.linalg.svd(matrix)
    return as_matrix(left @ right, (3, 3), name)


def _check_intrinsics(K: Array, width: int, height: int) -> None:
    if K[0, 0] == 0 or K[1, 1] == 0:
        raise CalibrationError("the focal length is 0: the camera is not calibrated")
    if K[0, 0] < 0 or K[1, 1] < 0:
        raise CalibrationError(f"the focal length is negative: {K[0, 0]:g}, {K[1, 1]:g}")
    if K[0, 1] or K[1, 0] or tuple(K[2]) != (0.0, 0.0, 1.0):
        raise CalibrationError(f"K must be [fx 0 cx; 0 fy cy; 0 0 1]: it is {_numbers(K)}")
    if not (0 <= K[0, 2] < width and 0 <= K[1, 2] < height):
        raise CalibrationError(
            f"the principal point ({K[0, 2]:g}, {K[1, 2]:g}) is outside the {width}x{height} image: K is another image "
            "size's"
        )


def _as_coefficients(values: npt.ArrayLike, model: str) -> Array:
    if model not in DISTORTION_MODELS:
        raise CalibrationError(f"distortion model '{model}' is unknown: use one of {', '.join(DISTORTION_MODELS)}")
    if np.size(values) == 0:
        return as_matrix(np.zeros(0), (0,), "D")
    coefficients = as_numbers(values, "D (distortion_coefficients)").ravel()
    counts = DISTORTION_MODELS[model]
    if coefficients.size not in counts:
        allowed = " or ".join(map(str, counts))
        raise CalibrationError(f"{model} distortion has {coefficients.size} coefficients: {allowed} are needed")
    return as_matrix(coefficients, coefficients.shape, "D")


def _numbers(values: Array) -> str:
    return "[" + ", ".join(f"{each:g}" for each in np.ravel(values)) + "]"
