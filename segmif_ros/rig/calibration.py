# SPDX-License-Identifier: Apache-2.0
"""What is known of a rig: its two cameras, how they are mounted, or how one image lies on the other.

The files that it is read from: `segmif_ros.rig.calibration_file`.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import cv2
import numpy as np
import numpy.typing as npt

from segmif_ros.arrays import Float64Array, Mask
from segmif_ros.rig.camera_model import MAX_SIDE_PX, CameraModel, scaled_projection
from segmif_ros.rig.checked_numbers import as_matrix, as_rotation
from segmif_ros.rig.errors import CalibrationError
from segmif_ros.rig.image_part import ImagePart
from segmif_ros.rig.lens import DivisionLens

# Two cameras farther apart are no rig: such a translation was written in millimetres.
MAX_BASELINE_M = 5.0
MAX_AXES_DEG = 90.0
_MIN_SHARE = 0.01  # of the RGB image that a homography must cover
_GRID = 24


@dataclass(frozen=True, kw_only=True, eq=False)
class Extrinsics:
    """How the cameras are mounted: X_rgb = rotation @ X_infrared + translation_m, in optical frames (REP-104).

    Attributes:
        rotation: (3, 3), takes directions in the infrared camera's optical frame to the RGB camera's.
        translation_m: (3,), the infrared camera's position in the RGB camera's optical frame.

    Raises:
        CalibrationError: If the numbers can't be a rig's.
    """

    rotation: Float64Array
    translation_m: Float64Array

    def __post_init__(self) -> None:
        object.__setattr__(self, "rotation", as_rotation(self.rotation, "rotation"))
        object.__setattr__(self, "translation_m", as_matrix(self.translation_m, (3,), "translation_m"))
        baseline_m = float(np.linalg.norm(self.translation_m))
        if baseline_m > MAX_BASELINE_M:
            raise CalibrationError(
                f"translation_m is {baseline_m:g} m long: metres are needed, were these millimetres? "
                f"(more than {MAX_BASELINE_M:g} m between the cameras is refused)"
            )
        axes_deg = float(np.degrees(np.arccos(np.clip(self.rotation[2, 2], -1, 1))))
        if axes_deg > MAX_AXES_DEG - 1e-6:
            raise CalibrationError(
                f"the optical axes are {axes_deg:.0f} degrees apart: the rotation must be between optical frames "
                "(x right, y down, z forward)"
            )

    def inverse(self) -> Extrinsics:
        """Return the same rig with the cameras' parts exchanged."""
        return Extrinsics(rotation=self.rotation.T, translation_m=-self.rotation.T @ self.translation_m)


@dataclass(frozen=True, kw_only=True, eq=False)
class Homography:
    """How the infrared image lies on the RGB image: homogenous (u, v, 1) RGB pixel ~ matrix @ infrared pixel.

    Exact for cameras in one place or for a scene that is one plane, and lenses that differ by no more than
    `infrared_lens`. Pixels as in `segmif_ros.rig.camera_model`.

    Attributes:
        matrix: (3, 3), of any scale; its sign is chosen so that the third coordinate is above 0 in the infrared image.
        infrared_size: (width, height) of the infrared image that it was found with.
        rgb_size: (width, height) of the RGB image.
        infrared_lens: Of the infrared image, undone before the matrix; None: none.

    Raises:
        CalibrationError: If it is singular, tears the infrared image apart, or maps it outside the RGB image.
    """

    matrix: Float64Array
    infrared_size: tuple[int, int]
    rgb_size: tuple[int, int]
    infrared_lens: DivisionLens | None = None

    def __post_init__(self) -> None:
        object.__setattr__(self, "matrix", as_matrix(self.matrix, (3, 3), "the homography"))
        for name in ("infrared_size", "rgb_size"):
            size = as_matrix(getattr(self, name), (2,), name)
            if (size < 1).any() or (size > MAX_SIDE_PX).any() or (size % 1).any():
                raise CalibrationError(f"{name} is {size.tolist()}: [width, height] in whole pixels is needed")
            object.__setattr__(self, name, (int(size[0]), int(size[1])))
        if self.infrared_lens is not None:
            self.infrared_lens.check(self.infrared_size)
        self._check()

    def _check(self) -> None:
        # in units of the images' sizes, so that the condition means the same for large images and for small ones
        to_pixels, from_pixels = _unit_square(self.infrared_size), np.linalg.inv(_unit_square(self.rgb_size))
        conditioned = from_pixels @ self.matrix @ to_pixels
        if not np.isfinite(condition := np.linalg.cond(conditioned)) or condition > 1e6:
            raise CalibrationError("the homography is singular: it maps the infrared image to a line or a point")
        width, height = self.infrared_size
        corners = np.array([(u, v) for u in (-0.5, width - 0.5) for v in (-0.5, height - 0.5)])
        plain = corners if self.infrared_lens is None else self.infrared_lens.undone(corners)[0]
        w = np.concatenate([plain, np.ones((4, 1))], axis=1) @ self.matrix[2]
        if w.min() * w.max() <= 0:
            raise CalibrationError("the homography tears the infrared image apart: a part of it lies at infinity")
        if w[0] < 0:
            object.__setattr__(self, "matrix", as_matrix(-self.matrix, (3, 3), "the homography"))
        corners_there = cv2.convexHull(self.to_rgb(corners).astype(np.float32))
        image = np.array([(-0.5, -0.5), (self.rgb_size[0] - 0.5, -0.5), (0, 0), (-0.5, self.rgb_size[1] - 0.5)])
        image[2] = image[1, 0], image[3, 1]
        area, _ = cv2.intersectConvexConvex(corners_there, image.astype(np.float32))
        if area < _MIN_SHARE * self.rgb_size[0] * self.rgb_size[1]:
            raise CalibrationError(
                "the homography maps the infrared image outside the RGB image: it must take infrared pixels to RGB's"
            )

    def of_parts(self, infrared: ImagePart | None, rgb: ImagePart | None) -> Homography:
        """Return the homography between parts of the two images.

        A part is left alone where the homography is the part's own already.

        Args:
            infrared: The part that infrared images show; None for the whole image.
            rgb: Likewise.

        Raises:
            CalibrationError: If the parts don't overlap.
        """
        matrix, lens, sizes = self.matrix, self.infrared_lens, {}
        for name, part in (("infrared", infrared), ("rgb", rgb)):
            calibrated = sizes[name] = self.infrared_size if name == "infrared" else self.rgb_size
            if part is None or not part.is_of(calibrated):
                continue
            across, down = part.whole[0] / calibrated[0], part.whole[1] / calibrated[1]
            into = np.array([[1, 0, -part.x], [0, 1, -part.y], [0, 0, 1]]) @ scaled_projection(np.eye(3), across, down)
            matrix = into @ matrix if name == "rgb" else matrix @ np.linalg.inv(into)
            if lens is not None and name == "infrared":
                lens = lens.moved(into)
            sizes[name] = part.size
        return Homography(matrix=matrix, infrared_size=sizes["infrared"], rgb_size=sizes["rgb"], infrared_lens=lens)

    def to_rgb(self, pixels: npt.ArrayLike) -> Float64Array:
        """Return (N, 2) RGB pixels of (N, 2) infrared pixels within the image."""
        return self.into("rgb", np.asarray(pixels, np.float64).reshape(-1, 2))[0]

    def into(self, view: str, pixels: Float64Array) -> tuple[Float64Array, Mask]:
        """Return (N, 2) pixels of the "rgb" or the "infrared" image for the other one's, and (N,) whether there are.

        Args:
            view: The image that is led to.
            pixels: (N, 2) of the other image, also outside of it.
        """
        lens, known = self.infrared_lens, np.ones(len(pixels), np.bool_)
        if view == "rgb" and lens is not None:
            pixels, known = lens.undone(pixels)
        matrix = self.matrix if view == "rgb" else np.linalg.inv(self.matrix)
        points = np.concatenate([pixels, np.ones((len(pixels), 1))], axis=1) @ matrix.T
        # what lies beyond the homography's horizon would come back mirrored
        ahead = points[:, 2] > 0
        found = points[:, :2] / np.where(ahead, points[:, 2], 1.0)[:, None]
        if view == "infrared" and lens is not None:
            found, known = lens.applied(found)
        return found, ahead & known


@dataclass(frozen=True, kw_only=True, eq=False)
class Plane:
    """A plane in the RGB camera's optical frame: all X with normal . X = distance_m.

    Attributes:
        normal: (3,), of any length; the road under a level camera has (0, 1, 0), which points down.
        distance_m: From the RGB camera along the normal, above 0.

    Raises:
        CalibrationError: If the numbers make no plane before the camera.
    """

    normal: Float64Array
    distance_m: float

    def __post_init__(self) -> None:
        normal = as_matrix(self.normal, (3,), "the plane's normal")
        if not (length := float(np.linalg.norm(normal))):
            raise CalibrationError("the plane's normal is 0: it must say a direction")
        object.__setattr__(self, "normal", as_matrix(normal / length, (3,), "the plane's normal"))
        distance_m = float(as_matrix(self.distance_m, (), "the plane's distance_m"))
        if distance_m <= 0:
            raise CalibrationError(f"the plane's distance_m is {distance_m:g}: it must be above 0, along the normal")
        object.__setattr__(self, "distance_m", distance_m)


@dataclass(frozen=True, kw_only=True)
class RigCalibration:
    """What is known of a rig; each part may be missing, and `segmif_ros.rig.registration` states which it needs.

    Attributes:
        infrared: The infrared camera.
        rgb: The RGB camera.
        extrinsics: How they are mounted.
        homography: How the infrared image lies on the RGB image.
        plane: The plane that is registered exactly.
    """

    infrared: CameraModel | None = None
    rgb: CameraModel | None = None
    extrinsics: Extrinsics | None = None
    homography: Homography | None = None
    plane: Plane | None = None

    def completed(self, *, infrared: CameraModel | None = None, rgb: CameraModel | None = None) -> RigCalibration:
        """Return the calibration with what it lacks taken from the cameras' own (their camera_info).

        What it has stays. The extrinsics come from the two cameras' R and P, if they were calibrated as a stereo pair.

        Args:
            infrared: The camera by its camera_info; None if that isn't known.
            rgb: Likewise.

        Raises:
            CalibrationError: If the cameras' R and P can't be a rig's.
        """
        extrinsics = self.extrinsics
        if extrinsics is None and infrared is not None and rgb is not None:
            extrinsics = stereo_extrinsics(infrared, rgb)
        return replace(self, infrared=self.infrared or infrared, rgb=self.rgb or rgb, extrinsics=extrinsics)


def stereo_extrinsics(infrared: CameraModel, rgb: CameraModel) -> Extrinsics | None:
    """Return how two cameras are mounted that were calibrated as a stereo pair; None if they weren't.

    R takes each camera to the common rectified frame, and the last column of P is K' t with the pair's baseline t, so
    that X_rectified + t is the same point as the rectified camera sees it (REP-104).

    Args:
        infrared: With its R and P.
        rgb: Likewise.

    Raises:
        CalibrationError: If the numbers can't be a rig's, for example a baseline in millimetres.
    """
    if infrared.P is None or rgb.P is None:
        return None
    offsets = [_rectified_offset(each.P) for each in (infrared, rgb) if each.P is not None]
    # one of the two is the pair's origin and the other is off it; single cameras have no baseline at all
    if not np.any(offsets):
        return None
    rotation = rgb.R.T @ infrared.R
    return Extrinsics(rotation=rotation, translation_m=rgb.R.T @ (offsets[1] - offsets[0]))


def _rectified_offset(P: Float64Array) -> Float64Array:
    if P[0, 0] == 0 or P[1, 1] == 0:
        raise CalibrationError("P (projection_matrix) has a focal length of 0: the camera is not calibrated")
    try:
        return np.asarray(np.linalg.solve(P[:, :3], P[:, 3]))
    except np.linalg.LinAlgError:
        raise CalibrationError(
            "P (projection_matrix) is singular: it must be [fx 0 cx Tx; 0 fy cy Ty; 0 0 1 0]"
        ) from None


def _unit_square(size: tuple[int, int]) -> Float64Array:
    """(3, 3) that takes the square from -1 to 1 to an image's pixels."""
    half_width, half_height = 0.5 * size[0], 0.5 * size[1]
    return np.array([[half_width, 0, half_width - 0.5], [0, half_height, half_height - 0.5], [0, 0, 1.0]])
