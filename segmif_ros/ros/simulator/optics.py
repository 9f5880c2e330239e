# SPDX-License-Identifier: Apache-2.0
"""The simulated rig's two cameras: lenses, sizes and mounting, put over the renderer's level pinholes.

The renderer draws level cameras without distortion. A rotation or a lens changes where a pixel looks, not what is to be
seen from there. So each camera samples a level pinhole image from its own place, wide enough for all its rays.
"""

from __future__ import annotations

from dataclasses import dataclass

import cv2
import numpy as np
import numpy.typing as npt

from segmif_ros.arrays import Array, Float32Array, Float64Array, Image
from segmif_ros.rig.calibration import Plane, RigCalibration
from segmif_ros.rig.camera_model import CameraModel
from segmif_ros.scenes import CameraViews, Pinhole, RoadScene, SceneError

_MARGIN_PX = 24  # for the car's nodding
_WIDEST = 4.0  # |tangent| of the outermost ray
_MAX_SIDE_PX = 4096


class LensView:
    """One camera's view of a level pinhole image.

    Args:
        model: The camera.
        rotation: (3, 3), X_camera = rotation @ X_level.

    Raises:
        SceneError: If the camera looks too far to the side for one level image.

    Attributes:
        model: As given.
        pinhole: The level camera that has to be rendered.
        directions: (H, W, 3) float64, where pixels look, in the level frame; third coordinate of each ray in the
            camera's own frame is 1.
    """

    def __init__(self, model: CameraModel, rotation: Float64Array) -> None:
        self.model, self.rotation = model, rotation
        v, u = np.mgrid[0 : model.height, 0 : model.width].astype(np.float64)
        rays, known = model.rays(np.stack([u.ravel(), v.ravel()], axis=1))
        rays = np.where(known[:, None], rays, 0.0)
        directions = np.concatenate([rays, np.ones((len(rays), 1))], axis=1) @ rotation
        tangents = directions[:, :2] / directions[:, 2:]
        if directions[:, 2].min() <= 0 or np.abs(tangents).max() > _WIDEST:
            raise SceneError("the simulated camera looks too far to the side: take a smaller field of view or rotation")
        focal_px = float(0.5 * (model.K[0, 0] + model.K[1, 1]))
        low, high = focal_px * tangents.min(axis=0) - _MARGIN_PX, focal_px * tangents.max(axis=0) + _MARGIN_PX
        width, height = (int(each) for each in np.ceil(high - low))
        if max(width, height) > _MAX_SIDE_PX:
            raise SceneError(f"the simulated camera needs a scene of {width}x{height} pixels: take a smaller one")
        self.pinhole = Pinhole(
            width=width, height=height, focal_px=focal_px, centre_u=-float(low[0]), centre_v=-float(low[1])
        )
        self.directions = directions.reshape(model.height, model.width, 3)
        self._last: tuple[float, Float32Array, Float32Array] | None = None

    def sample(self, image: Array, pitch_rad: float = 0.0, *, nearest: bool = False) -> Array:
        """Return what the camera makes of its pinhole's image.

        Args:
            image: Of the pinhole, of any type.
            pitch_rad: How far the camera's nose is up.
            nearest: Whether values are not to be mixed, as of labels.
        """
        how = cv2.INTER_NEAREST if nearest else cv2.INTER_LINEAR
        _, u, v = self._lookup(pitch_rad)
        return np.asarray(cv2.remap(image, u, v, how, borderMode=cv2.BORDER_REPLICATE))

    def depth(self, depth_m: Float32Array, pitch_rad: float = 0.0) -> Float32Array:
        """Return the depth along this camera's axis of a pinhole's depth image.

        Args:
            depth_m: (H, W) metres along the pinhole's axis.
            pitch_rad: How far the camera's nose is up.
        """
        # a level ray that is z long in the level frame is z over its third coordinate long in this one
        return np.asarray(self.sample(depth_m, pitch_rad, nearest=True) / self._tilted(pitch_rad)[..., 2], np.float32)

    def _tilted(self, pitch_rad: float) -> Float64Array:
        if not pitch_rad:
            return self.directions
        c, s = np.cos(pitch_rad), np.sin(pitch_rad)
        return self.directions @ np.array([[1, 0, 0], [0, c, -s], [0, s, c]]).T

    def _lookup(self, pitch_rad: float) -> tuple[float, Float32Array, Float32Array]:
        if self._last is None or self._last[0] != pitch_rad:
            x, y, z = np.moveaxis(self._tilted(pitch_rad), -1, 0)
            pinhole = self.pinhole
            u, v = pinhole.focal_px * x / z + pinhole.centre_u, pinhole.focal_px * y / z + pinhole.centre_v
            self._last = pitch_rad, u.astype(np.float32), v.astype(np.float32)
        return self._last


@dataclass(frozen=True, kw_only=True, eq=False)
class Capture:
    """What both cameras see at one moment.

    Attributes:
        infrared: (H', W') uint16, 14-bit counts.
        rgb: (H, W, 3) uint8 RGB.
        labels: (H, W) uint8, FMB ids in the RGB view.
        depth_m: (H, W) float32, exact, along the RGB camera's axis; infinite for the sky.
    """

    infrared: npt.NDArray[np.uint16]
    rgb: Image
    labels: Image
    depth_m: Float32Array


class TwoCameras:
    """A rig on the scene's car.

    Args:
        calibration: Both cameras and the extrinsics.
        rgb_rotation: (3, 3), X_rgb = rotation @ X_level; the identity for a level camera.
    """

    def __init__(self, calibration: RigCalibration, rgb_rotation: Float64Array | None = None) -> None:
        infrared, rgb, mount = calibration.infrared, calibration.rgb, calibration.extrinsics
        assert infrared is not None
        assert rgb is not None
        assert mount is not None
        self.calibration = calibration
        self._tilt = np.eye(3) if rgb_rotation is None else rgb_rotation
        self.rgb = LensView(rgb, self._tilt)
        self.infrared = LensView(infrared, mount.rotation.T @ self._tilt)
        right, down, forward = self._tilt.T @ mount.translation_m
        self._offset_m = float(right), float(down), float(forward)

    def capture(self, scene: RoadScene, t_s: float) -> Capture:
        """Return what the cameras see of a scene.

        Args:
            scene: The scene.
            t_s: Since its start.
        """
        look: CameraViews = scene.look(t_s, self.rgb.pinhole, self.infrared.pinhole, self._offset_m)
        return Capture(
            infrared=self.infrared.sample(look.infrared, look.pitch_rad),
            rgb=self.rgb.sample(look.rgb, look.pitch_rad),
            labels=self.rgb.sample(look.labels, look.pitch_rad, nearest=True),
            depth_m=self.rgb.depth(look.depth_m, look.pitch_rad),
        )

    def road(self, scene: RoadScene) -> Plane:
        """Return the road's plane in the RGB camera's frame."""
        return Plane(normal=self._tilt @ np.array([0.0, 1.0, 0.0]), distance_m=scene.mount_m)
