# SPDX-License-Identifier: Apache-2.0
"""RoadScene: one seed's world, seen through a colour and an infrared camera."""

from __future__ import annotations

from dataclasses import dataclass, replace

import cv2
import numpy as np
import numpy.typing as npt

from segmif_ros.scenes.climate import LIGHTINGS, WEATHERS, make_climate
from segmif_ros.scenes.layers import make_layers, make_skyline
from segmif_ros.scenes.shading import ColourCamera, cloud_tile, make_colour_camera, render_rgb, sky_radiance
from segmif_ros.scenes.thermal import ThermalCamera, make_thermal_camera, render_counts
from segmif_ros.scenes.world import World, WorldView

MIN_SIZE = 32


class SceneError(ValueError):
    """A scene that cannot be made from these arguments; the message is one line for the user."""


@dataclass(frozen=True, kw_only=True)
class SceneFrame:
    """One moment. All arrays share (H, W) and, unless a misregistration was asked for, their view.

    rgb uint8 (H, W, 3) RGB; infrared uint16 (H, W), 14-bit counts; infrared8 uint8 (H, W), the same image as a camera
    with automatic gain shows it, hot is bright; labels uint8 (H, W), FMB ids in the view of the RGB image.
    """

    rgb: npt.NDArray[np.uint8]
    infrared: npt.NDArray[np.uint16]
    infrared8: npt.NDArray[np.uint8]
    labels: npt.NDArray[np.uint8]


@dataclass(frozen=True, kw_only=True)
class Pinhole:
    """A level camera without distortion that looks along the road.

    Attributes:
        width, height: Pixels.
        focal_px: Focal length, pixels.
        centre_u, centre_v: Principal point; the horizon of a flat road lies in row centre_v.
    """

    width: int
    height: int
    focal_px: float
    centre_u: float
    centre_v: float


@dataclass(frozen=True, kw_only=True)
class CameraViews:
    """One moment through two level cameras that are somewhere else and may have other sizes.

    Attributes:
        rgb: (H, W, 3) uint8 RGB.
        labels: (H, W) uint8, FMB ids in the RGB camera's view.
        depth_m: (H, W) float32, exact, along the RGB camera's axis; infinite for the sky.
        infrared: (H', W') uint16, 14-bit counts.
        pitch_rad: By how much the car's nose is up at this moment, which the level cameras leave out.
    """

    rgb: npt.NDArray[np.uint8]
    labels: npt.NDArray[np.uint8]
    depth_m: npt.NDArray[np.float32]
    infrared: npt.NDArray[np.uint16]
    pitch_rad: float


class RoadScene:
    """A street that a camera drives along. Fully determined by its arguments and the time.

    Args:
        seed: Any non-negative integer.
        height, width: Of all images, pixels.
        lighting: "day", "dusk", "night", or "any", which draws one by the seed.
        weather: "clear", "rain", "fog" or "any".
        focal: Focal length as a share of the width, with the optical axis in the middle column; None draws both.
        infrared_shift_px: (right, down) by which the infrared image is displaced against the RGB one.
        infrared_homography: (3, 3), takes registered infrared pixel coordinates to displaced ones. In both cases the
            border is replicated.
        infrared_baseline_m: How far to the right of the colour camera the infrared one sits, metres, -1 to 1: what is
            near is displaced more than what is far. The labels stay those of the colour image.

    Raises:
        SceneError: Arguments that make no scene.
    """

    def __init__(
        self,
        seed: int,
        height: int = 240,
        width: int = 320,
        *,
        lighting: str = "day",
        weather: str = "clear",
        focal: float | None = None,
        infrared_shift_px: tuple[float, float] = (0.0, 0.0),
        infrared_homography: npt.ArrayLike | None = None,
        infrared_baseline_m: float = 0.0,
    ) -> None:
        if height < MIN_SIZE or width < MIN_SIZE:
            raise SceneError(f"a scene of {width}x{height} pixels is too small: give at least {MIN_SIZE}x{MIN_SIZE}")
        if seed < 0:
            raise SceneError(f"seed {seed} is negative: give 0 or more")
        if focal is not None and not 0.2 <= focal <= 5.0:
            raise SceneError(f"focal length {focal:g} of the width is out of range: give 0.2 to 5")
        if not -1.0 <= infrared_baseline_m <= 1.0:
            raise SceneError(f"infrared baseline {infrared_baseline_m:g} m is out of range: give -1 to 1")
        for value, allowed, what in ((lighting, LIGHTINGS, "lighting"), (weather, WEATHERS, "weather")):
            if value not in (*allowed, "any"):
                raise SceneError(f"unknown {what} '{value}': choose one of {', '.join(allowed)}, any")
        self.seed, self.height, self.width = seed, height, width
        rng = np.random.default_rng([seed, 0x5EED])
        drawn_lighting, drawn_weather = LIGHTINGS[int(rng.integers(3))], str(rng.choice(WEATHERS, p=[0.7, 0.17, 0.13]))
        self.lighting = drawn_lighting if lighting == "any" else lighting
        self.weather = drawn_weather if weather == "any" else weather
        self._baseline_m = float(infrared_baseline_m)
        self._warp = _warp_matrix(infrared_shift_px, infrared_homography)
        self._climate = make_climate(rng, self.lighting, self.weather)
        self._world = World(rng, self._climate)
        u = rng.uniform
        self._view = WorldView(
            focal=float(np.exp(u(np.log(0.6), np.log(1.45)))) if focal is None else focal,
            horizon=float(u(0.32, 0.6)),
            centre_u=float(np.clip(rng.normal(0.5, 0.07), 0.3, 0.7)) if focal is None else 0.5,
            mount_m=float(u(1.1, 2.3)),
            d_m=float(rng.normal(0, 0.25)),
            bob_px=float(u(0, 0.004)) * height,
            phase=float(u(0, 6)),
        )
        self._thermal = make_thermal_camera(rng, self._climate, height, width)
        self._optics = make_colour_camera(rng, height, width)
        self._skyline = make_skyline(rng)
        self._optics_by_size: dict[tuple[int, int], ColourCamera] = {}
        self._thermal_by_size: dict[tuple[int, int], ThermalCamera] = {}

    @property
    def focal_px(self) -> float:
        """Focal length of both cameras in pixels."""
        return self._view.focal * self.width

    @property
    def mount_m(self) -> float:
        """Height of the colour camera over the road, metres."""
        return self._view.mount_m

    def look(
        self, t_s: float, rgb: Pinhole, infrared: Pinhole, offset_m: tuple[float, float, float] = (0.0, 0.0, 0.0)
    ) -> CameraViews:
        """Return the scene at t_s seconds through cameras of one's own.

        Args:
            t_s: 0 or more.
            rgb: The colour camera.
            infrared: The infrared camera.
            offset_m: Where the infrared camera is, as (right, down, forward) of the colour camera.
        """
        rng = np.random.default_rng([self.seed, 1 + round(t_s * 1e6)])
        on_car = self._world.camera_at(t_s, self.height, self.width, self._view)
        pitch_rad = (on_car.horizon_v - self.height * self._view.horizon) / on_car.focal_px
        right, down, forward = offset_m
        here, there = (
            replace(
                on_car,
                width=each.width,
                height=each.height,
                focal_px=each.focal_px,
                centre_u=each.centre_u,
                horizon_v=each.centre_v,
            )
            for each in (rgb, infrared)
        )
        there = replace(there, d_m=there.d_m + right, mount_m=max(there.mount_m - down, 0.1), s_m=there.s_m + forward)
        layers = make_layers(self._world, self._climate, here, t_s, self._skyline)
        image, _ = render_rgb(layers, self._climate, self._optics_of(rgb), rng)
        seen = make_layers(self._world, self._climate, there, t_s, self._skyline)
        _, cloud = sky_radiance(self._climate, there, cloud_tile(), seen.first_row)
        return CameraViews(
            rgb=image,
            labels=layers.labels(),
            depth_m=layers.depth(),
            infrared=render_counts(seen, self._climate, self._thermal_of(infrared), cloud, rng),
            pitch_rad=float(pitch_rad),
        )

    def own_view(self, t_s: float) -> tuple[Pinhole, npt.NDArray[np.float32]]:
        """Return the colour camera of `frame` at t_s, and its exact depth (H, W) in metres, infinite for the sky."""
        camera = self._world.camera_at(t_s, self.height, self.width, self._view)
        layers = make_layers(self._world, self._climate, camera, t_s, self._skyline)
        pinhole = Pinhole(
            width=self.width,
            height=self.height,
            focal_px=camera.focal_px,
            centre_u=camera.centre_u,
            centre_v=camera.horizon_v,
        )
        return pinhole, layers.depth()

    def render8(self, counts: npt.NDArray[np.uint16]) -> npt.NDArray[np.uint8]:
        """Return counts of any size as a camera with automatic gain shows them, uint8."""
        return self._thermal.render8(counts)

    def _optics_of(self, camera: Pinhole) -> ColourCamera:
        key = camera.width, camera.height
        if key not in self._optics_by_size:
            rng = np.random.default_rng([self.seed, 0xC0])
            self._optics_by_size[key] = make_colour_camera(rng, camera.height, camera.width)
        return self._optics_by_size[key]

    def _thermal_of(self, camera: Pinhole) -> ThermalCamera:
        """Return this scene's infrared camera with a sensor of another size."""
        key = camera.width, camera.height
        if key not in self._thermal_by_size:
            rng = np.random.default_rng([self.seed, 0x1E])
            other = make_thermal_camera(rng, self._climate, camera.height, camera.width)
            self._thermal_by_size[key] = replace(
                self._thermal, blur_px=other.blur_px, column_k=other.column_k, shading_k=other.shading_k
            )
        return self._thermal_by_size[key]

    def frame(self, t_s: float) -> SceneFrame:
        """The scene at t_s seconds, 0 or more."""
        rng = np.random.default_rng([self.seed, 1 + round(t_s * 1e6)])
        camera = self._world.camera_at(t_s, self.height, self.width, self._view)
        layers = make_layers(self._world, self._climate, camera, t_s, self._skyline)
        rgb, cloud = render_rgb(layers, self._climate, self._optics, rng)
        if self._baseline_m:
            beside = replace(camera, d_m=camera.d_m + self._baseline_m)
            layers_seen = make_layers(self._world, self._climate, beside, t_s, self._skyline)
        else:
            layers_seen = layers
        counts = render_counts(layers_seen, self._climate, self._thermal, cloud, rng)
        if self._warp is not None:
            size = (self.width, self.height)
            counts = np.asarray(
                cv2.warpPerspective(counts, self._warp, size, flags=cv2.INTER_LINEAR, borderMode=cv2.BORDER_REPLICATE),
                np.uint16,
            )
        return SceneFrame(rgb=rgb, infrared=counts, infrared8=self._thermal.render8(counts), labels=layers.labels())


def _warp_matrix(shift_px: tuple[float, float], homography: npt.ArrayLike | None) -> npt.NDArray[np.float64] | None:
    if homography is None:
        if shift_px == (0.0, 0.0):
            return None
        return np.array([[1, 0, shift_px[0]], [0, 1, shift_px[1]], [0, 0, 1]], np.float64)
    matrix = np.asarray(homography, np.float64)
    if matrix.shape != (3, 3) or not np.isfinite(matrix).all() or abs(np.linalg.det(matrix)) < 1e-12:
        raise SceneError("infrared_homography must be an invertible matrix of 3x3 finite numbers")
    if shift_px != (0.0, 0.0):
        raise SceneError("give infrared_shift_px or infrared_homography, not both")
    return matrix
