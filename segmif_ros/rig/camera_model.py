# SPDX-License-Identifier: Apache-2.0
"""One camera's model: pixels to rays and back, and what becomes of it when its image is scaled.

Pixel coordinates (u, v) are (column, row) with integers at the centres of pixels: (0, 0) is the centre of the upper
left one, and an image of width W spans -0.5 to W - 0.5. Rays are (x, y) = (X / Z, Y / Z) in the camera's optical
frame (REP-104: x right, y down, z forward).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import cv2
import numpy as np
import numpy.typing as npt

from segmif_ros.arrays import Float64Array, Mask
from segmif_ros.rig.checked_numbers import as_matrix, as_numbers, as_rotation, shown_numbers
from segmif_ros.rig.errors import CalibrationError
from segmif_ros.yaml_file import shown

# distortion model -> how many coefficients it may have
DISTORTION_MODELS = {"plumb_bob": (4, 5), "rational_polynomial": (8, 12, 14), "equidistant": (4,)}
# names that drivers and calibration tools give to these, in lower case, with a blank for "_" and "-"
_SAME_MODELS = {
    **dict.fromkeys(("", "plumb bob", "radtan", "radial tangential", "brown conrady", "opencv"), "plumb_bob"),
    **dict.fromkeys(("rational polynomial", "rational", "thin prism"), "rational_polynomial"),
    **dict.fromkeys(("equidistant", "equi", "fisheye", "opencv fisheye"), "equidistant"),
    **dict.fromkeys(("kannala brandt", "kannala brandt4", "kannala brandt 4"), "equidistant"),
}
# names that mean no distortion, and librealsense's for polynomials of its own that are none where they are all 0
_NO_DISTORTION = ("none", "no distortion", "pinhole", "inverse brown conrady", "modified brown conrady")
_POLYNOMIAL_COUNTS = sorted(DISTORTION_MODELS["plumb_bob"] + DISTORTION_MODELS["rational_polynomial"])
_MAX_SKEW_PX = 0.5  # at the image's upper or lower edge: less is rounded away
MAX_SIDE_PX = 32766  # OpenCV's remap counts in 16 bits
# Largest |R R^T - 1| of a rotation: room for matrices that were written with few digits.
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
        distortion_model: "plumb_bob", "rational_polynomial" or "equidistant". Other names in use are taken for these:
            none, fisheye, radtan, Kannala Brandt4 and more.
        D: Its coefficients: 4 or 5, 8 (or 12, 14), 4; none at all for an image without distortion. Zeros that pad them
            are cut off, and plumb_bob with 8 is OpenCV's rational_polynomial.
        R: (3, 3) rotation into the rectified frame; the identity for a camera that isn't part of a stereo pair.
        P: (3, 4) projection of the rectified image, None if unknown.
        part_of: (x, y, width, height): this is a part of a calibrated image of this size, which begins at (x, y); its
            principal point may lie outside. None for a whole image.

    Raises:
        CalibrationError: If the numbers can't be a camera's.
    """

    width: int
    height: int
    K: Float64Array
    distortion_model: str = "plumb_bob"
    D: Float64Array = field(default_factory=lambda: np.zeros(0))
    R: Float64Array = field(default_factory=lambda: np.eye(3))
    P: Float64Array | None = None
    part_of: tuple[int, int, int, int] | None = None
    _reach: float = field(init=False, repr=False, default=0.0)  # of rays in the image, as |(x, y)|

    def __post_init__(self) -> None:
        for name in ("width", "height"):
            value = getattr(self, name)
            if isinstance(value, bool) or not isinstance(value, int | np.integer) or not 1 <= value <= MAX_SIDE_PX:
                raise CalibrationError(f"the image {name} is {shown(value)}: a whole number of pixels is needed")
            object.__setattr__(self, name, int(value))
        object.__setattr__(self, "K", _as_intrinsics(self.K, self.width, self.height, is_part=self.part_of is not None))
        model, coefficients = _as_distortion(self.distortion_model, self.D)
        object.__setattr__(self, "distortion_model", model)
        object.__setattr__(self, "D", coefficients)
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

    def rays(self, pixels: npt.ArrayLike) -> tuple[Float64Array, Mask]:
        """Return where pixels of the raw image look.

        Args:
            pixels: (N, 2), also outside the image.

        Returns:
            (N, 2) rays, and (N,) whether the model knows them: where its distortion can't be inverted (some
            calibrations fold back on themselves in the corners) a ray means nothing.
        """
        points = np.ascontiguousarray(pixels, dtype=np.float64).reshape(-1, 1, 2)
        rays: Float64Array
        if self.distortion_model == "equidistant":
            rays = np.asarray(_undistort_fisheye(points, self.K, self._fisheye()))
        elif self.D.any():
            rays = np.asarray(cv2.undistortPointsIter(points, self.K, self.D, _SAME, _SAME, _CRITERIA))
        else:
            rays = (points - self.K[:2, 2]) / (self.K[0, 0], self.K[1, 1])
        rays = rays.reshape(-1, 2)
        with np.errstate(invalid="ignore", over="ignore"):
            back = self._distort(rays)
            known = np.abs(back - points.reshape(-1, 2)).max(axis=1, initial=0) < _ROUND_TRIP_PX
        return rays, known

    def pixels(self, points: npt.ArrayLike) -> tuple[Float64Array, Mask]:
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
        P = None if self.P is None else scaled_projection(self.P, *by)
        return replace(self, width=width, height=height, K=scaled_projection(self.K, *by), P=P)

    def cropped(self, x: int, y: int, width: int, height: int) -> CameraModel:
        """Return the model of a part of the image, for a camera that sends a region of interest.

        Args:
            x: Column of the part's first pixel.
            y: Row of the part's first pixel.
            width: Columns of the part.
            height: Rows of the part.

        Raises:
            CalibrationError: If the part isn't inside the image.
        """
        if x < 0 or y < 0 or width < 1 or height < 1 or x + width > self.width or y + height > self.height:
            raise CalibrationError(
                f"the region of interest {width}x{height} at ({x}, {y}) is not inside the {self.width}x{self.height} "
                "image"
            )
        shift = np.array([[1, 0, -x], [0, 1, -y], [0, 0, 1]], np.float64)
        P = None if self.P is None else shift @ self.P
        part_of = (x, y, self.width, self.height)
        return replace(self, width=width, height=height, K=shift @ self.K, P=P, part_of=part_of)

    def _distort(self, rays: Float64Array) -> Float64Array:
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

    def _fisheye(self) -> Float64Array:
        return self.D if self.D.size else np.zeros(4)

    def _check_distortion(self) -> float:
        """Return how far off the axis a ray of the image may be, as |(x, y)|; refuse a distortion without sense."""
        u, v = np.meshgrid(np.linspace(-0.5, self.width - 0.5, _GRID), np.linspace(-0.5, self.height - 0.5, _GRID))
        rays, known = self.rays(np.stack([u.ravel(), v.ravel()], axis=1))
        if np.mean(~known) > _FOLDED_SHARE:
            raise CalibrationError(
                f"the {self.distortion_model} distortion {shown_numbers(self.D)} can't be undone on "
                f"{np.mean(~known):.0%} of the image: the coefficients are wrong, or K is another image size's"
            )
        # a little more than the outermost ray, as the grid may miss it
        return 1.02 * float(np.hypot(rays[known, 0], rays[known, 1]).max())

    def _key(self) -> tuple[Any, ...]:
        matrices = (self.K, self.D, self.R, np.zeros(0) if self.P is None else self.P)
        return (*self.size, self.distortion_model, *(tuple(each.ravel().tolist()) for each in matrices))


@dataclass(frozen=True, kw_only=True)
class Window:
    """The part of a sensor that a camera sends, in the fields of sensor_msgs/CameraInfo; all 0 means all of it.

    Attributes:
        x_offset: Column of its first pixel, in pixels of the whole sensor, as width and height.
        y_offset: Row of its first pixel.
        width: Columns; 0: up to the sensor's edge.
        height: Rows; 0: up to the sensor's edge.
        binning_x: Columns of the sensor that become one of the image; 0 means 1.
        binning_y: Rows of the sensor that become one of the image; 0 means 1.
    """

    x_offset: int = 0
    y_offset: int = 0
    width: int = 0
    height: int = 0
    binning_x: int = 0
    binning_y: int = 0

    @property
    def is_whole(self) -> bool:
        """Whether the camera sends its whole view; it may be binned."""
        return not (self.x_offset or self.y_offset or self.width or self.height)

    def part(self, width: int, height: int) -> tuple[int, int, int, int]:
        """Return (x, y, width, height) of the part of a sensor of this size.

        Args:
            width: Columns of the sensor.
            height: Its rows.
        """
        return self.x_offset, self.y_offset, self.width or width - self.x_offset, self.height or height - self.y_offset

    def image_size(self, width: int, height: int) -> tuple[int, int]:
        """Return (width, height) of the images that a sensor of this size sends.

        Args:
            width: Columns of the sensor.
            height: Its rows.
        """
        _, _, columns, rows = self.part(width, height)
        return columns // max(1, self.binning_x), rows // max(1, self.binning_y)


def camera_from_info(
    *,
    width: int,
    height: int,
    distortion_model: str,
    d: Sequence[float],
    k: Sequence[float],
    r: Sequence[float],
    p: Sequence[float],
    window: Window | None = None,
) -> CameraModel:
    """Return the model of a sensor_msgs/CameraInfo, given its fields.

    A region of interest is applied: the model is that of the part which the camera sends. Binning is no more than
    another size of the same view (see `CameraModel.scaled`).

    Raises:
        CalibrationError: If it isn't calibrated (K is 0), or its numbers can't be a camera's.
    """
    numbers = {"k": (k, 9), "r": (r, 9), "p": (p, 12)}
    for name, (values, count) in numbers.items():
        if len(values) != count:
            raise CalibrationError(f"camera_info has {len(values)} numbers in {name}: {count} are needed")
    # a driver that leaves R and P at zero states nothing about rectification
    whole = CameraModel(
        width=width,
        height=height,
        K=np.reshape(k, (3, 3)),
        distortion_model=distortion_model,
        D=np.asarray(d),
        R=np.reshape(r, (3, 3)) if np.any(r) else np.eye(3),
        P=np.reshape(p, (3, 4)) if np.any(p) else None,
    )
    return whole if window is None or window.is_whole else whole.cropped(*window.part(whole.width, whole.height))


def scaled_projection(matrix: npt.ArrayLike, by_u: float, by_v: float) -> Float64Array:
    """Return K (3, 3) or P (3, 4) for an image that was resized by these factors.

    What spans the image is scaled and not the coordinates of pixel centres: u becomes by_u * (u + 0.5) - 0.5, as
    cv2.resize does it. Scaling cx alone would be off by up to half a pixel.

    Args:
        matrix: K (3, 3) or P (3, 4).
        by_u: New width over old width.
        by_v: New height over old height.
    """
    scale = np.array([[by_u, 0, 0.5 * by_u - 0.5], [0, by_v, 0.5 * by_v - 0.5], [0, 0, 1]])
    return scale @ np.asarray(matrix, np.float64)


def same_proportions(size: tuple[int, int], calibrated: tuple[int, int]) -> bool:
    """Whether an image (width, height) may be the calibrated one resized, with the sides rounded to whole pixels.

    Binned and enlarged images show the same view; cropped ones, and ones with rows of telemetry, don't.

    Args:
        size: (width, height) of an image.
        calibrated: (width, height) that a camera was calibrated at.
    """
    off_rows = size[0] * calibrated[1] / calibrated[0] - size[1]
    off_columns = size[1] * calibrated[0] / calibrated[1] - size[0]
    return min(abs(off_rows), abs(off_columns)) < 1


def _as_intrinsics(values: npt.ArrayLike, width: int, height: int, *, is_part: bool) -> Float64Array:
    K = as_matrix(values, (3, 3), "K (camera_matrix)")
    if K[0, 0] == 0 or K[1, 1] == 0:
        raise CalibrationError("the focal length is 0: the camera is not calibrated")
    if K[0, 0] < 0 or K[1, 1] < 0:
        raise CalibrationError(f"the focal length is negative: {K[0, 0]:g}, {K[1, 1]:g}")
    if K[1, 0] or tuple(K[2]) != (0.0, 0.0, 1.0):
        raise CalibrationError(f"K must be [fx 0 cx; 0 fy cy; 0 0 1]: it is {shown_numbers(K)}")
    if not is_part and not (0 <= K[0, 2] < width and 0 <= K[1, 2] < height):
        raise CalibrationError(
            f"the principal point ({K[0, 2]:g}, {K[1, 2]:g}) is outside the {width}x{height} image: K is another image "
            "size's"
        )
    if K[0, 1]:
        skew_px = abs(float(K[0, 1] / K[1, 1])) * max(abs(float(K[1, 2])), abs(float(height - K[1, 2])))
        if skew_px > _MAX_SKEW_PX:
            raise CalibrationError(
                f"K has a skew of {K[0, 1]:g}, which moves pixels by up to {skew_px:.1f} px: calibrate without skew, "
                "as OpenCV does"
            )
        straight = K.copy()
        straight[0, 1] = 0
        K = as_matrix(straight, (3, 3), "K (camera_matrix)")
    return K


def _as_distortion(name: Any, values: npt.ArrayLike) -> tuple[str, Float64Array]:
    """Return the model under its usual name and the coefficients that it needs."""
    words = " ".join(name.lower().replace("_", " ").replace("-", " ").split()) if isinstance(name, str) else None
    coefficients = as_numbers(values, "D (distortion_coefficients)").ravel()
    if words in _NO_DISTORTION:
        if coefficients.any():
            raise CalibrationError(f"distortion model {shown(name)} has coefficients: {_known_models()}")
        return "plumb_bob", as_matrix(np.zeros(0), (0,), "D")
    model = _SAME_MODELS.get(words) if words is not None else None
    if model is None:
        raise CalibrationError(f"distortion model {shown(name)} is unknown: {_known_models()}")
    size, allowed = coefficients.size, DISTORTION_MODELS[model]
    if size and size not in allowed:
        # zeros may pad them to another model's number, and "plumb_bob" may stand for any of OpenCV's polynomials
        used = int(np.flatnonzero(coefficients).max(initial=-1)) + 1
        counts = allowed if model == "equidistant" else (0, *_POLYNOMIAL_COUNTS)
        fits = next((count for count in counts if used <= count <= size), None)
        if fits is None:
            raise CalibrationError(
                f"{model} distortion has {size} coefficients: {' or '.join(map(str, allowed))} are needed"
            )
        coefficients = coefficients[:fits]
    if model != "equidistant":
        model = "rational_polynomial" if coefficients.size > 5 else "plumb_bob"
    return model, as_matrix(coefficients, coefficients.shape, "D")


def _known_models() -> str:
    return f"use one of {', '.join(DISTORTION_MODELS)}, or none"


def _undistort_fisheye(points: Float64Array, K: Float64Array, D: Float64Array) -> Float64Array:
    try:
        return np.asarray(cv2.fisheye.undistortPoints(points, K, D, criteria=_CRITERIA))
    except (TypeError, cv2.error):  # OpenCV before 4.5.5 has its own criteria, and no way to say others
        return np.asarray(cv2.fisheye.undistortPoints(points, K, D))
