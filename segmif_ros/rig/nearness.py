# SPDX-License-Identifier: Apache-2.0
"""Where each pixel of the view is in the other image, for any distance of what it shows.

Nearness is one over the depth along the view camera's axis, 1/m; 0 is infinity. For two fixed cameras the place of a
pixel in the other image is a smooth curve of it (the epipolar line, bent a little by the lenses). The curve is kept as
a cubic for each pixel, so that a frame costs six multiply-adds a pixel and not two projections.
"""

from __future__ import annotations

import cv2
import numpy as np

from segmif_ros.arrays import Float32Array, Float64Array, Mask
from segmif_ros.rig.calibration import Extrinsics
from segmif_ros.rig.camera_model import CameraModel

NEAREST_M = 1.0  # what is nearer is taken as being there
_VISIBLE_SHARE = 0.9  # of a surface's nearness in the other view that what lies behind it falls short of
_VISIBLE_STEP = 0.01  # 1/m, at least
_CELL_PX = 2  # of the z-buffer, in pixels of the view


class NearnessMaps:
    """The curves of all pixels of a view, at one pair of sizes.

    Args:
        here: The view's camera.
        there: The other camera.
        mount: X_there = rotation @ X_here + translation.
        view_size: (width, height) of the view's image, in its camera's proportions.
        other_size: (width, height) of the other image.
        nearest_m: Distance down to which the curves are kept.
    """

    def __init__(
        self,
        here: CameraModel,
        there: CameraModel,
        mount: Extrinsics,
        view_size: tuple[int, int],
        other_size: tuple[int, int],
        nearest_m: float = NEAREST_M,
    ) -> None:
        here, there = here.scaled(*view_size), there.scaled(*other_size)
        self.view_size, self.other_size, self.largest = view_size, other_size, 1.0 / nearest_m
        u, v = np.meshgrid(np.arange(view_size[0], dtype=np.float64), np.arange(view_size[1], dtype=np.float64))
        rays, known = here.rays(np.stack([u.ravel(), v.ravel()], axis=1))
        turned = np.concatenate([np.where(known[:, None], rays, 0.0), np.ones((len(rays), 1))], axis=1)
        turned = turned @ mount.rotation.T
        shape = view_size[1], view_size[0]
        # Chebyshev nodes keep the cubic's error even over the range
        nodes = 0.5 * (1 + np.cos(np.pi * (np.arange(4) + 0.5) / 4))
        at: list[Float64Array] = []
        # from far to near: where a near thing would be out of the other lens's reach, the curve continues as it came
        for k, node in enumerate(nodes[::-1]):
            pixels, visible = there.pixels(turned + node * self.largest * mount.translation_m)
            if k < 2:
                known &= visible
            else:
                by = (node - nodes[-k]) / (nodes[-k] - nodes[1 - k])
                onward = at[-1] + by * (at[-1] - at[-2])
                pixels = np.where(visible[:, None], pixels, onward)
            at.append(pixels)
        at.reverse()
        powers = np.linalg.inv(np.vander(nodes, 4, increasing=True))
        curves = np.einsum("pn,nki->pki", powers, np.stack(at)).astype(np.float32)
        self._x = [np.ascontiguousarray(each[:, 0]).reshape(shape) for each in curves]
        self._y = [np.ascontiguousarray(each[:, 1]).reshape(shape) for each in curves]
        self.known = known.reshape(shape)
        self._turned_z = turned[:, 2].reshape(shape).astype(np.float32)
        self._forward = np.float32(mount.translation_m[2])

    def at(self, nearness: Float32Array | float) -> tuple[Float32Array, Float32Array]:
        """Return where the pixels are in the other image, (H, W) u and v, for an (H, W) nearness or one for all."""
        share = np.asarray(nearness, np.float32) * np.float32(1.0 / self.largest)
        return _cubic(self._x, share), _cubic(self._y, share)

    def there(self, nearness: Float32Array) -> Float32Array:
        """Return the nearness to the other camera, (H, W)."""
        return np.asarray(nearness / (self._turned_z + nearness * self._forward), np.float32)

    def inside(self, u: Float32Array, v: Float32Array) -> Mask:
        """Return (H, W), whether the other image has these pixels.

        Args:
            u: (H, W) columns in the other image.
            v: (H, W) rows in the other image.
        """
        width, height = self.other_size
        return self.known & (u >= -0.5) & (u <= width - 0.5) & (v >= -0.5) & (v <= height - 0.5)

    def visible(self, nearness: Float32Array, u: Float32Array, v: Float32Array) -> Mask:
        """Return (H, W), whether the other camera sees the surface and nothing before it.

        A z-buffer in the other view: what is clearly behind the nearest surface of its cell is hidden.

        Args:
            nearness: (H, W) in the view, 1/m.
            u: (H, W) columns in the other image.
            v: (H, W) rows in the other image.
        """
        there = self.there(nearness)
        width, height = self.other_size
        cell_u, cell_v = _CELL_PX * width / self.view_size[0], _CELL_PX * height / self.view_size[1]
        columns, rows = int(width / cell_u) + 2, int(height / cell_v) + 2
        at = (np.clip(v / cell_v, 0, rows - 1).astype(np.int32) * columns + np.clip(u / cell_u, 0, columns - 1)).astype(
            np.int32
        )
        nearest = np.zeros(rows * columns, np.float32)
        np.maximum.at(nearest, at[::_CELL_PX, :].ravel(), there[::_CELL_PX, :].ravel())
        limit = np.take(nearest, at)
        return there >= np.minimum(np.float32(_VISIBLE_SHARE) * limit, limit - np.float32(_VISIBLE_STEP))


def filled(nearness: Float32Array, known: Mask, otherwise: Float32Array | float) -> Float32Array:
    """Return nearness with its holes filled: from what is farther beside them, else with ``otherwise``.

    Depth cameras have holes beside near things, where one of their two eyes sees the background only.

    Args:
        nearness: (H, W), of any value where it isn't known.
        known: (H, W).
        otherwise: (H, W) or one for all, for holes too wide to be filled from their edges.
    """
    if known.all():
        return nearness
    far = np.float32(1e3)
    values = np.where(known, nearness, far).astype(np.float32)
    for size in (11, 21, 41):
        values_around = cv2.erode(values, np.ones((size, size), np.uint8), borderValue=float(far))
        values = np.where(values >= far, values_around, values).astype(np.float32)
        if (values < far).all():
            return values
    return np.where(values >= far, otherwise, values).astype(np.float32)


def nearness_in_view(nearness: Float32Array, known: Mask, maps: NearnessMaps) -> tuple[Float32Array, Mask]:
    """Return a nearness image of another camera in the view that its maps lead to, and where it is known.

    Args:
        nearness: (H, W) of the camera that has the depth.
        known: (H, W).
        maps: From that camera ("here") to the view ("there").
    """
    u, v = maps.at(nearness)
    there = maps.there(nearness)
    width, height = maps.other_size
    good = known & maps.inside(u, v)
    at = (np.rint(v[good]).clip(0, height - 1) * width + np.rint(u[good]).clip(0, width - 1)).astype(np.int64)
    found = np.full(width * height, -1.0, np.float32)
    np.maximum.at(found, at, there[good])
    image = found.reshape(height, width)
    # a larger view leaves gaps between the points
    closed = cv2.morphologyEx(image, cv2.MORPH_CLOSE, np.ones((3, 3), np.uint8))
    return np.asarray(closed, np.float32), np.asarray(closed) >= 0


def _cubic(parts: list[Float32Array], at: Float32Array) -> Float32Array:
    found = parts[3] * at
    found += parts[2]
    found *= at
    found += parts[1]
    found *= at
    found += parts[0]
    return found
