# SPDX-License-Identifier: Apache-2.0
"""Two cameras and the formulas of their optics, written out plainly: what the rig's code is held against."""

import numpy as np

from segmif_ros.rig.calibration import Extrinsics, Plane, RigCalibration
from segmif_ros.rig.camera_model import CameraModel

PLUMB_BOB = (-0.31, 0.09, 0.0012, -0.0008, -0.011)
RATIONAL = (0.6, -0.1, 0.0007, -0.0005, 0.01, 0.9, 0.02, 0.03)
EQUIDISTANT = (-0.012, 0.021, -0.009, 0.002)


def camera(width=96, height=72, *, focal=80.0, model="plumb_bob", D=PLUMB_BOB, centre=None, **more) -> CameraModel:
    cx, cy = centre or (0.5 * (width - 1) + 1.7, 0.5 * (height - 1) - 2.3)
    K = [[focal, 0, cx], [0, 1.02 * focal, cy], [0, 0, 1]]
    return CameraModel(width=width, height=height, K=K, distortion_model=model, D=D, **more)


def plain_rotation(x_deg, y_deg, z_deg) -> np.ndarray:
    x, y, z = np.radians([x_deg, y_deg, z_deg])
    about_x = [[1, 0, 0], [0, np.cos(x), -np.sin(x)], [0, np.sin(x), np.cos(x)]]
    about_y = [[np.cos(y), 0, np.sin(y)], [0, 1, 0], [-np.sin(y), 0, np.cos(y)]]
    about_z = [[np.cos(z), -np.sin(z), 0], [np.sin(z), np.cos(z), 0], [0, 0, 1]]
    return np.array(about_z) @ np.array(about_y) @ np.array(about_x)


def rig(*, infrared=None, rgb=None, plane=None, angles_deg=(1.0, -2.0, 1.5), translation_m=(0.12, -0.03, 0.02)):
    return RigCalibration(
        infrared=infrared or camera(64, 48, focal=62.0, D=(-0.2, 0.03, -0.001, 0.0005, 0.0)),
        rgb=rgb or camera(),
        extrinsics=Extrinsics(rotation=plain_rotation(*angles_deg), translation_m=translation_m),
        plane=plane,
    )


ROAD = Plane(normal=(0.05, 1.0, 0.15), distance_m=1.4)


def plain_projection(model: CameraModel, points: np.ndarray) -> np.ndarray:
    """(N, 3) points to (N, 2) pixels by the formulas of the distortion models."""
    x, y = points[:, 0] / points[:, 2], points[:, 1] / points[:, 2]
    r2 = x * x + y * y
    if model.distortion_model == "equidistant":
        k1, k2, k3, k4 = model.D
        r = np.sqrt(r2)
        theta = np.arctan(r)
        distorted = theta * (1 + k1 * theta**2 + k2 * theta**4 + k3 * theta**6 + k4 * theta**8)
        scale = np.where(r > 0, distorted / np.where(r > 0, r, 1), 1)
        xd, yd = x * scale, y * scale
    else:
        k1, k2, p1, p2, k3, k4, k5, k6 = (*model.D, *np.zeros(8))[:8]
        radial = (1 + k1 * r2 + k2 * r2**2 + k3 * r2**3) / (1 + k4 * r2 + k5 * r2**2 + k6 * r2**3)
        xd = x * radial + 2 * p1 * x * y + p2 * (r2 + 2 * x * x)
        yd = y * radial + p1 * (r2 + 2 * y * y) + 2 * p2 * x * y
    return np.stack([model.K[0, 0] * xd + model.K[0, 2], model.K[1, 1] * yd + model.K[1, 2]], axis=1)


def plain_rays(model: CameraModel, pixels: np.ndarray) -> np.ndarray:
    """(N, 2) pixels to (N, 3) rays with z = 1: Newton's method on `plain_projection`."""
    rays = np.concatenate([(pixels - model.K[:2, 2]) / model.K[[0, 1], [0, 1]], np.ones((len(pixels), 1))], axis=1)
    h = 1e-6
    for _ in range(30):
        error = pixels - plain_projection(model, rays)
        du = (plain_projection(model, rays + np.array([h, 0, 0])) - plain_projection(model, rays)) / h
        dv = (plain_projection(model, rays + np.array([0, h, 0])) - plain_projection(model, rays)) / h
        jacobian = np.stack([du, dv], axis=-1)
        rays[:, :2] += 0.7 * np.linalg.solve(jacobian, error[..., None])[..., 0]
    assert np.abs(plain_projection(model, rays) - pixels).max() < 1e-6
    return rays


def grid(width, height) -> np.ndarray:
    """(N, 2) all pixels, row by row."""
    v, u = np.mgrid[0:height, 0:width]
    return np.stack([u.ravel(), v.ravel()], axis=1).astype(np.float64)


def plain_image(model: CameraModel, texture, points_on) -> np.ndarray:
    """(H, W) uint8: what a camera sees; ``points_on(rays)`` gives the (N, 3) points that the texture is asked at."""
    values = texture(points_on(plain_rays(model, grid(model.width, model.height))))
    return np.clip(np.rint(values), 0, 255).astype(np.uint8).reshape(model.height, model.width)


def waves(points: np.ndarray) -> np.ndarray:
    """A texture without edges on any plane, metres in, 0..255 out."""
    x, y, z = points.T
    return 128 + 40 * np.sin(1.1 * x + 0.4 * y) + 40 * np.sin(1.3 * y - 0.3 * z) + 30 * np.sin(0.7 * x - 0.9 * y + z)
