# SPDX-License-Identifier: Apache-2.0
"""Where a pixel of one camera's view is in the other camera's image, both at their calibrated sizes."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial

import numpy as np

from segmif_ros.arrays import Float64Array, Mask
from segmif_ros.rig.calibration import Extrinsics, Homography, Plane
from segmif_ros.rig.camera_model import CameraModel
from segmif_ros.rig.errors import RegistrationError

FAR_M = 1e9  # stands for infinity


@dataclass(frozen=True, kw_only=True, eq=False)
class Mapping:
    """From the view to the other image.

    Attributes:
        view_size: (width, height) of the view's image.
        other_size: (width, height) of the other image.
        to_other: Takes (N, 2) pixels of the view; returns (N, 2) pixels of the other camera, also outside its image,
            and (N,) whether they mean anything.
    """

    view_size: tuple[int, int]
    other_size: tuple[int, int]
    to_other: Callable[[Float64Array], tuple[Float64Array, Mask]]


def homography_mapping(homography: Homography, view: str) -> Mapping:
    """Return the mapping of a homography into a view.

    Args:
        homography: From infrared to RGB.
        view: "rgb" or "infrared".
    """
    other = "infrared" if view == "rgb" else "rgb"
    sizes = {"rgb": homography.rgb_size, "infrared": homography.infrared_size}
    return Mapping(view_size=sizes[view], other_size=sizes[other], to_other=partial(homography.into, other))


def stereo_mapping(
    infrared: CameraModel,
    rgb: CameraModel,
    extrinsics: Extrinsics,
    plane: Plane,
    view: str,
    *,
    farthest_m: float = FAR_M,
) -> Mapping:
    """Return the mapping between two calibrated cameras that look at a plane.

    Where a pixel of the view looks past the plane, or meets it beyond ``farthest_m``, it looks that far: for a road, at
    what stands on it. `FAR_M` is infinity.

    Args:
        infrared: With its distortion.
        rgb: Likewise.
        extrinsics: From infrared to RGB.
        plane: In the RGB camera's optical frame, metres.
        view: "rgb" or "infrared".
        farthest_m: What the plane would show beyond this is taken to be this far away.

    Raises:
        RegistrationError: If the plane isn't before the infrared camera.
    """
    normal, distance_m = plane.normal, plane.distance_m
    least = 0.0 if farthest_m >= FAR_M else 1.0 / farthest_m
    if view == "rgb":
        here, there, mount = rgb, infrared, extrinsics.inverse()
    else:
        here, there, mount = infrared, rgb, extrinsics
        # the same plane in the infrared camera's frame
        distance_m -= float(normal @ extrinsics.translation_m)
        normal = normal @ extrinsics.rotation
        if distance_m <= 0:
            raise RegistrationError("the reference plane passes behind the infrared camera: take a larger distance")

    def to_other(pixels: Float64Array) -> tuple[Float64Array, Mask]:
        rays, known = here.rays(pixels)
        rays = np.concatenate([np.where(known[:, None], rays, 0.0), np.ones((len(rays), 1))], axis=1)
        # one over the depth where a ray meets the plane, at least
        nearness = np.maximum(rays @ normal / distance_m, least)
        found, visible = there.pixels(rays @ mount.rotation.T + nearness[:, None] * mount.translation_m)
        return found, known & visible

    return Mapping(view_size=here.size, other_size=there.size, to_other=to_other)


def depth_plane(depth_m: float) -> Plane:
    """Return the plane that faces the RGB camera at this distance; `FAR_M` at most."""
    return Plane(normal=np.array([0.0, 0.0, 1.0]), distance_m=min(depth_m, FAR_M))
