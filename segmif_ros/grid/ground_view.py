# SPDX-License-Identifier: Apache-2.0
"""How one camera sees the ground plane: undistortion, the homography of the plane, the horizon.

Pixel coordinates are those of `segmif_ros.rig.camera_model`: integers at the centres of pixels.
"""

from __future__ import annotations

from dataclasses import dataclass

import cv2
import numpy as np
import numpy.typing as npt

from segmif_ros.arrays import Float32Array, Float64Array, Image, Mask
from segmif_ros.grid.errors import GridError
from segmif_ros.rig.camera_model import CameraModel, same_proportions
from segmif_ros.rig.errors import CalibrationError

OUTSIDE = 255  # what labels say where the camera doesn't look
MIN_HEIGHT_M = 0.02
_MAX_TILT_COS = 0.1  # a base frame that leans more than 84 degrees has fallen over


class UndistortedView:
    """Label maps of one size as a camera without distortion sees them.

    Args:
        camera: The calibrated one.
        width: Of the label maps, pixels.
        height: Of the label maps, pixels.

    Attributes:
        K: (3, 3) of the undistorted label map.

    Raises:
        GridError: If a label map of that size isn't the camera's view resized.
    """

    def __init__(self, camera: CameraModel, width: int, height: int) -> None:
        if not same_proportions((width, height), camera.size):
            raise GridError(
                f"the labels are {width}x{height} and camera_info is for {camera.width}x{camera.height}, which has "
                "other proportions"
            )
        try:
            self.camera = camera.scaled(width, height)
        except CalibrationError as error:
            raise GridError(f"camera_info doesn't fit labels of {width}x{height}: {error}") from error
        self.width, self.height = width, height
        self.K = self.camera.K
        self._maps: tuple[npt.NDArray[np.int16], npt.NDArray[np.uint16]] | None = None
        if self.camera.D.any() or self.camera.distortion_model == "equidistant":
            self._maps = self._rectification()

    def undistorted(self, labels: Image, confidence: Image) -> tuple[Image, Image]:
        """Return both (H, W) uint8 without distortion; `OUTSIDE` and 0 where the camera doesn't look.

        Args:
            labels: (H, W) uint8, class ids.
            confidence: (H, W) uint8.
        """
        if self._maps is None:
            return labels, confidence
        nearest = cv2.INTER_NEAREST
        return (
            np.asarray(cv2.remap(labels, *self._maps, nearest, borderValue=OUTSIDE), np.uint8),
            np.asarray(cv2.remap(confidence, *self._maps, nearest, borderValue=0), np.uint8),
        )

    def rays(self) -> Float32Array:
        """Return (H, W, 3) directions of the raw label map's pixels in the optical frame, z = 1; NaN where unknown."""
        v, u = np.mgrid[: self.height, : self.width]
        rays, known = self.camera.rays(np.stack([u.ravel(), v.ravel()], axis=1))
        rays[~known] = np.nan
        made = np.concatenate([rays, np.ones((len(rays), 1))], axis=1)
        return made.reshape(self.height, self.width, 3).astype(np.float32)

    def _rectification(self) -> tuple[npt.NDArray[np.int16], npt.NDArray[np.uint16]]:
        v, u = np.mgrid[: self.height, : self.width].astype(np.float64)
        K = self.K
        points = np.stack([(u - K[0, 2]) / K[0, 0], (v - K[1, 2]) / K[1, 1], np.ones_like(u)], axis=-1).reshape(-1, 3)
        pixels, known = self.camera.pixels(points)
        pixels[~known] = -10
        map_u, map_v = pixels.reshape(self.height, self.width, 2).astype(np.float32).transpose(2, 0, 1)
        fixed, _ = cv2.convertMaps(map_u.copy(), map_v.copy(), cv2.CV_16SC2, nninterpolation=True)
        return np.asarray(fixed, np.int16), np.empty((0, 0), np.uint16)  # the nearest pixel needs no fractions


@dataclass(frozen=True, kw_only=True, eq=False)
class GroundView:
    """A pinhole camera over the ground plane, in the plane coordinates (x, y) of the odometry frame.

    Attributes:
        image_from_ground: (3, 3), takes (x, y, 1) metres to (u, v, 1) times the depth in metres.
        ground_from_image: Its inverse, up to scale.
        height_m: Of the camera over the plane.
        at: (2,) the point of the plane below the camera.
        focal_px: Vertical focal length.
    """

    image_from_ground: Float64Array
    ground_from_image: Float64Array
    height_m: float
    at: Float64Array
    focal_px: float

    @classmethod
    def of(
        cls, K: Float64Array, base_from_optical: Float64Array, odom_from_base: Float64Array, ground_z_m: float = 0.0
    ) -> GroundView:
        """Return the view of the plane z = ``ground_z_m`` of the base frame.

        Args:
            K: (3, 3) intrinsics of the undistorted view, pixels.
            base_from_optical: (4, 4), the camera's optical frame in the base frame, metres.
            odom_from_base: (4, 4), the base frame in the odometry frame, metres.
            ground_z_m: Height of the ground plane in the base frame.

        Raises:
            GridError: If the camera is on or below the plane, or the base frame leans so much that the plane isn't
                ground any more.
        """
        turned, place = base_from_optical[:3, :3], base_from_optical[:3, 3]
        height_m = float(place[2] - ground_z_m)
        if not height_m >= MIN_HEIGHT_M:
            raise GridError(
                f"the camera is {height_m:.2f} m over the ground plane: it must be above; look at the camera's pose "
                "and at ground_z_m"
            )
        if odom_from_base[2, 2] < _MAX_TILT_COS:
            raise GridError("the base frame leans too far: its z axis must point up")
        # ground point (x, y) of the base frame -> optical frame
        optical_from_plane = np.column_stack(
            [turned.T[:, 0], turned.T[:, 1], turned.T @ (np.array([0, 0, ground_z_m]) - place)]
        )
        odom_from_plane = np.eye(3)
        odom_from_plane[:2, :2] = odom_from_base[:2, :2]
        odom_from_plane[:2, 2] = odom_from_base[:2, 3] + ground_z_m * odom_from_base[:2, 2]
        matrix = K @ optical_from_plane @ np.linalg.inv(odom_from_plane)
        nadir = odom_from_plane @ np.array([place[0], place[1], 1.0])
        return cls(
            image_from_ground=matrix,
            ground_from_image=np.linalg.inv(matrix),
            height_m=height_m,
            at=nadir[:2],
            focal_px=float(K[1, 1]),
        )

    def project(self, points: npt.ArrayLike) -> tuple[Float64Array, Float64Array]:
        """Return (N, 2) pixels and (N,) depths in metres of ground points (N, 2); meaningless where the depth <= 0."""
        xy = np.asarray(points, np.float64).reshape(-1, 2)
        homogeneous = np.column_stack([xy, np.ones(len(xy))]) @ self.image_from_ground.T
        depth = homogeneous[:, 2]
        return homogeneous[:, :2] / np.where(depth > 0, depth, np.nan)[:, None], depth

    def on_ground(self, pixels: npt.ArrayLike) -> tuple[Float64Array, Mask]:
        """Return (N, 2) where pixels (N, 2) meet the ground, and (N,) whether they do, before the camera."""
        uv = np.asarray(pixels, np.float64).reshape(-1, 2)
        homogeneous = np.column_stack([uv, np.ones(len(uv))]) @ self.ground_from_image.T
        # the third number is one over the depth
        meets = homogeneous[:, 2] > 1e-9
        return homogeneous[:, :2] / np.where(meets, homogeneous[:, 2], np.nan)[:, None], meets

    def nearness(self, pixels_u: npt.ArrayLike, pixels_v: npt.ArrayLike) -> Float64Array:
        """Return one over the depth (1/m) at which pixels meet the ground; 0 at the horizon, less above it.

        Args:
            pixels_u: Columns, of any shape.
            pixels_v: Rows, likewise.
        """
        row = self.ground_from_image[2]
        return np.asarray(row[0] * np.asarray(pixels_u) + row[1] * np.asarray(pixels_v) + row[2])

    def horizon_row(self, u: npt.ArrayLike) -> Float64Array:
        """Return the image row of the horizon at columns ``u``; inf or -inf in a camera that looks straight down."""
        row = self.ground_from_image[2]
        if abs(row[1]) < 1e-12:
            return np.full(np.shape(u), -np.inf if row[2] > 0 else np.inf)
        return np.asarray(-(row[0] * np.asarray(u, np.float64) + row[2]) / row[1])

    def radial_error_m(self, range_squared: npt.ArrayLike, pitch_error: float) -> Float64Array:
        """Return by how much a ground point may be off along its ray, metres (one standard deviation).

        A ray that is wrong by an angle e meets the ground (r^2 + h^2) / h * e away; e is half a pixel and the error of
        the pitch in radians together.

        Args:
            range_squared: Squared distances on the ground from below the camera, m^2, of any shape.
            pitch_error: Of the camera's pose, radians.
        """
        angle = float(np.hypot(0.5 / self.focal_px, pitch_error))
        return np.asarray((np.asarray(range_squared) + self.height_m**2) * (angle / self.height_m))
