# SPDX-License-Identifier: Apache-2.0
"""Registration that knows how far things are: from a depth image, or from the two cameras' own agreement.

* "depth": every pixel of the view is looked up in the other image at its own distance. What the other camera can't see,
  because something nearer hides it, is marked like what lies outside its image. Without a depth of about the pair's
  moment, the plane at the reference depth is used, and `DepthRegistration.problem` is set.
* "adaptive": the distance is estimated for parts of the view (`segmif_ros.rig.adaptive_registration`).
"""

from __future__ import annotations

import threading
from collections import deque
from dataclasses import replace

import cv2
import numpy as np
import numpy.typing as npt

from segmif_ros.arrays import Float32Array, Image
from segmif_ros.rig.adaptive_registration import AdaptiveNearness, compared_size
from segmif_ros.rig.calibration import Extrinsics, RigCalibration
from segmif_ros.rig.camera_model import CameraModel, same_proportions
from segmif_ros.rig.depth_images import depth_to_nearness
from segmif_ros.rig.errors import RegistrationError
from segmif_ros.rig.guided_fill import fill_alike
from segmif_ros.rig.image_part import ImagePart
from segmif_ros.rig.nearness import NearnessMaps, filled, nearness_in_view
from segmif_ros.rig.registration import Registered, Registration, RegistrationConfig
from segmif_ros.rig.warp import fill_unseen

MAX_APART_NS = 100_000_000  # between a pair's stamp and its depth's
_WAITING = 12  # depth images that wait for their pair
_SAMPLES = 4096  # pixels that the fill's median is taken over

Sizes = tuple[tuple[int, int], tuple[int, int]]


class DepthRegistration:
    """Registers pairs in the modes "depth" and "adaptive"; `apply` is for one thread, `take_depth` for any.

    Args:
        config: How.
        calibration: Both cameras and the extrinsics.

    Raises:
        RegistrationError: If the calibration lacks one of them, or the cameras share no view.
    """

    def __init__(self, config: RegistrationConfig, calibration: RigCalibration) -> None:
        self.config = config
        # the plane that stands in where nothing tells; it also checks the calibration
        self._plane_m = config.reference_depth_m or 1e9
        plane = replace(config, mode="stereo", reference_depth_m=self._plane_m, correction_px=(0.0, 0.0))
        try:
            self._plane = Registration(plane, calibration)
        except RegistrationError as error:
            raise RegistrationError(str(error).replace("'stereo'", f"'{config.mode}'")) from None
        assert calibration.infrared is not None
        assert calibration.rgb is not None
        assert calibration.extrinsics is not None
        self._cameras: dict[str, CameraModel] = {"infrared": calibration.infrared, "rgb": calibration.rgb}
        self._mounts: dict[str, Extrinsics] = {  # from a camera to the other one
            "infrared": calibration.extrinsics,
            "rgb": calibration.extrinsics.inverse(),
        }
        self._maps: dict[tuple[str, Sizes], NearnessMaps] = {}
        self._adaptive: dict[Sizes, AdaptiveNearness] = {}
        self._depths: deque[tuple[int, npt.NDArray[np.floating]]] = deque(maxlen=_WAITING)
        self._lock = threading.Lock()
        self._last_ns: int | None = None
        self.problem = ""

    @property
    def camera(self) -> CameraModel:
        """The camera whose view the outputs have."""
        return self._cameras[self.config.view]

    @property
    def wants_depth(self) -> bool:
        """Whether `take_depth` is of any use."""
        return self.config.mode == "depth"

    def take_depth(self, stamp_ns: int, depth_m: npt.NDArray[np.floating]) -> None:
        """Take a depth image.

        Args:
            stamp_ns: When it was taken.
            depth_m: (H, W) metres along the RGB camera's axis, in its view at any size of its proportions, with its
                distortion. 0, negative and not a number mean unknown; infinite is the sky.
        """
        with self._lock:
            if self._depths and stamp_ns < self._depths[-1][0]:
                self._depths.clear()  # the clock jumped back
            self._depths.append((stamp_ns, depth_m))

    def prepare(self) -> None:
        """Compute now what the first pair of the calibrated sizes would wait for."""
        sizes = self.camera.size, self._cameras[_other(self.config.view)].size
        self._maps_of(self.config.view, sizes)
        if self.config.mode == "adaptive":
            self._adaptive_of(sizes)

    def apply(self, infrared: Image, rgb: Image, stamp_ns: int = 0) -> Registered:
        """Register one pair; see `segmif_ros.rig.registration.Registration.apply`.

        Args:
            infrared: (H, W) uint8.
            rgb: (H', W', 3) uint8, RGB.
            stamp_ns: When it was taken, for its depth.
        """
        into_rgb = self.config.view == "rgb"
        view, other = (rgb, infrared) if into_rgb else (infrared, rgb)
        sizes = (view.shape[1], view.shape[0]), (other.shape[1], other.shape[0])
        self._refuse_other_views(sizes)
        if self.config.mode == "adaptive":
            nearness, hides = self._estimated(sizes, view, other, stamp_ns), False
        else:
            depth_m = self._depth_near(stamp_ns)
            if depth_m is None:
                return self._plane.apply(infrared, rgb)
            nearness, hides = self._measured(sizes, depth_m), True
        maps = self._maps_of(self.config.view, sizes)
        u, v = maps.at(nearness)
        seen = maps.inside(u, v)
        if hides:
            seen &= maps.visible(nearness, u, v)
        warped = np.asarray(cv2.remap(other, u, v, cv2.INTER_LINEAR, borderMode=cv2.BORDER_REPLICATE), np.uint8)
        valid: Image | None = None
        if not seen.all():
            places = np.flatnonzero(seen)
            fill_unseen(warped, ~seen, places[:: max(1, places.size // _SAMPLES)])
            if hides:
                # what hides a place would be seen there a second time
                fill_alike(warped, ~seen, view, nearness)
            valid = seen.astype(np.uint8)
        return Registered(infrared=warped if into_rgb else view, rgb=view if into_rgb else warped, valid=valid)

    def describe(self) -> str:
        """Return one line that describes what is done."""
        if self.config.mode == "adaptive":
            return (
                "registration adaptive: distances are estimated from both images; at the start and where nothing "
                f"tells, {self._plane_m:g} m"
            )
        return f"registration depth: from depth images in the RGB view; without one, {self._plane_m:g} m"

    def _refuse_other_views(self, sizes: Sizes) -> None:
        for camera, size in zip((self.config.view, _other(self.config.view)), sizes, strict=True):
            calibrated = self._camera_at(camera, size).size
            if not same_proportions(size, calibrated):
                raise RegistrationError(
                    f"{'RGB' if camera == 'rgb' else camera} images are {size[0]}x{size[1]} but the calibration is for "
                    f"{calibrated[0]}x{calibrated[1]}: other proportions are another view; calibrate at this size"
                )

    def _estimated(self, sizes: Sizes, view: Image, other: Image, stamp_ns: int) -> Float32Array:
        adaptive = self._adaptive_of(sizes)
        if self._last_ns is not None and not 0 <= stamp_ns - self._last_ns < 2_000_000_000:
            adaptive.forget_last()  # another recording, or a gap: the view is another one
        self._last_ns = stamp_ns
        small, other_small = _small_sizes(sizes)
        nearness = adaptive.estimate(_shrunk(view, small), _shrunk(other, other_small))
        return np.asarray(cv2.resize(nearness, sizes[0], interpolation=cv2.INTER_LINEAR), np.float32)

    def _measured(self, sizes: Sizes, depth_m: npt.NDArray[np.floating]) -> Float32Array:
        nearness, known = depth_to_nearness(depth_m)
        if self.config.view == "infrared":
            depth_size = depth_m.shape[1], depth_m.shape[0]
            nearness, known = nearness_in_view(nearness, known, self._maps_of("rgb", (depth_size, sizes[0])))
        elif (depth_m.shape[1], depth_m.shape[0]) != sizes[0]:
            nearness = np.asarray(cv2.resize(nearness, sizes[0], interpolation=cv2.INTER_NEAREST), np.float32)
            known = cv2.resize(known.astype(np.uint8), sizes[0], interpolation=cv2.INTER_NEAREST).astype(bool)
        maps_largest = self._maps_of(self.config.view, sizes).largest
        # depth cameras are noisy from pixel to pixel; a median keeps edges
        steady = np.asarray(cv2.medianBlur(filled(nearness, known, 1.0 / self._plane_m), 5), np.float32)
        return np.minimum(steady, np.float32(maps_largest))

    def _depth_near(self, stamp_ns: int) -> npt.NDArray[np.floating] | None:
        with self._lock:
            waiting = list(self._depths)
        if not waiting:
            self.problem = "registration depth: no depth image has come: pairs are registered at the reference depth"
            return None
        at_ns, depth_m = min(waiting, key=lambda each: abs(each[0] - stamp_ns))
        if abs(at_ns - stamp_ns) > MAX_APART_NS:
            self.problem = (
                f"registration depth: the nearest depth image is {1e-9 * abs(at_ns - stamp_ns):.2f} s from the pair: "
                "pairs are registered at the reference depth; does the depth camera run, on the same clock?"
            )
            return None
        if not same_proportions((depth_m.shape[1], depth_m.shape[0]), self._cameras["rgb"].size):
            self.problem = (
                f"registration depth: depth images are {depth_m.shape[1]}x{depth_m.shape[0]}, not of the RGB image's "
                "proportions: publish depth that is aligned with the RGB camera"
            )
            return None
        self.problem = ""
        return depth_m

    def _maps_of(self, here: str, sizes: Sizes) -> NearnessMaps:
        key = here, sizes
        if key not in self._maps:
            if len(self._maps) >= 4:
                self._maps.clear()
            there = _other(here)
            cameras = self._camera_at(here, sizes[0]), self._camera_at(there, sizes[1])
            self._maps[key] = NearnessMaps(*cameras, self._mounts[here], *sizes)
        return self._maps[key]

    def _camera_at(self, camera: str, size: tuple[int, int]) -> CameraModel:
        """Return the model of a camera whose images have this size, after what was cut off them."""
        model = self._cameras[camera]
        return ImagePart.left_by(self.config.infrared_crop, size).camera(model) if camera == "infrared" else model

    def _adaptive_of(self, sizes: Sizes) -> AdaptiveNearness:
        if sizes not in self._adaptive:
            self._adaptive.clear()
            here, there = self.config.view, _other(self.config.view)
            cameras = self._camera_at(here, sizes[0]), self._camera_at(there, sizes[1])
            maps = NearnessMaps(*cameras, self._mounts[here], *_small_sizes(sizes))
            self._adaptive[sizes] = AdaptiveNearness(maps, 1.0 / self._plane_m)
        return self._adaptive[sizes]


def _small_sizes(sizes: Sizes) -> Sizes:
    """Return the sizes that are compared: the view's, and the other image's shrunk at most as much."""
    small = compared_size(sizes[0])
    share = min(1.0, max(small[0] / sizes[0][0], 160 / sizes[1][0]))
    return small, (max(1, round(share * sizes[1][0])), max(1, round(share * sizes[1][1])))


def _shrunk(image: Image, size: tuple[int, int]) -> Image:
    if (image.shape[1], image.shape[0]) == size:
        return image
    return np.asarray(cv2.resize(image, size, interpolation=cv2.INTER_AREA), np.uint8)


def _other(view: str) -> str:
    return "infrared" if view == "rgb" else "rgb"
