# SPDX-License-Identifier: Apache-2.0
"""Registration: the image of one camera brought into the view of the other, as one precomputed remap.

The outputs have the view of one camera (`RegistrationConfig.view`), pixel by pixel as it sent its image: that image
isn't touched. The other one is warped into it. Where the other camera sees nothing, nothing is invented:

* the pixel is marked (`Registered.valid` is 0);
* the warped image has there the median of what it has elsewhere, channel by channel. In infrared that is the
  temperature of the background, so that no edge of the field of view looks like a hot object, and a salient object is
  never salient because of it;
* the confidence there is at most `UNSEEN_CONFIDENCE` of what the network gives (`lower_confidence`).
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import cv2
import numpy as np

from segmif_ros.arrays import Image
from segmif_ros.imaging.crop import Crop
from segmif_ros.rig.calibration import Plane, RigCalibration
from segmif_ros.rig.camera_model import CameraModel, same_proportions
from segmif_ros.rig.errors import RegistrationError, UncalibratedError
from segmif_ros.rig.image_part import ImagePart
from segmif_ros.rig.pixel_mapping import FAR_M, Mapping, depth_plane, homography_mapping, stereo_mapping
from segmif_ros.rig.warp import Maps, Warp, rescaled, resized

MODES = ("none", "resize", "homography", "stereo", "ground", "depth", "adaptive")
CALIBRATED_MODES = ("stereo", "ground", "depth", "adaptive")  # they need both cameras and the extrinsics
VIEWS = ("rgb", "infrared")
UNSEEN_CONFIDENCE = 0.5
DEFAULT_DEPTH_M = 10.0

_KEPT = 4  # pairs of sizes whose maps are kept
_MIN_SEEN = 0.01  # of the view
_EDGE_PX = 1e-3  # rounding at the very edge of an image


@dataclass(frozen=True, kw_only=True)
class RegistrationConfig:
    """How to register.

    Attributes:
        mode: "none": both images show the same and have one size. "resize": both show the same at different sizes.
            "homography": the calibration's homography. "stereo": two calibrated cameras and what they look at, the
            plane at `reference_depth_m` before the RGB camera; what is nearer or farther is displaced. "ground": the
            calibration's plane as the road, and what stands on it at `reference_depth_m`. "depth" and "adaptive": see
            `segmif_ros.rig.depth_registration`.
        view: "rgb" or "infrared", the camera whose view the outputs have.
        reference_depth_m: Distance along the RGB camera's optical axis, for "stereo"; 0 takes the calibration's plane,
            and infinity where that plane ends at the horizon. For "ground" the distance beyond the road, 0 is
            infinity; for "depth" and "adaptive" what is taken where nothing tells.
        correction_px: (right, down): how far infrared content lies off in the view, as drift estimates say; it is
            brought back. Pixels of the view at the calibrated size.
        infrared_crop: What was cut off infrared images before. A calibration of the image as the camera sends it stays
            right then; one whose infrared size is that of the cropped image is taken as made with it.

    Raises:
        RegistrationError: If a value isn't one of these.
    """

    mode: str = "none"
    view: str = "rgb"
    reference_depth_m: float = DEFAULT_DEPTH_M
    correction_px: tuple[float, float] = (0.0, 0.0)
    infrared_crop: Crop = Crop()  # noqa: RUF009  # it is frozen

    def __post_init__(self) -> None:
        for name, allowed in (("mode", MODES), ("view", VIEWS)):
            if getattr(self, name) not in allowed:
                raise RegistrationError(
                    f"registration {name} '{getattr(self, name)}' is unknown: use {', '.join(allowed)}"
                )
        if not (math.isfinite(self.reference_depth_m) and self.reference_depth_m >= 0):
            raise RegistrationError(f"reference_depth_m is {self.reference_depth_m:g}: 0 or more is needed")


@dataclass(frozen=True, kw_only=True, eq=False)
class Registered:
    """A pair in one view.

    Attributes:
        infrared: (H, W) uint8.
        rgb: (H, W, 3) uint8, RGB.
        valid: (H, W) uint8, 1 where both cameras see, 0 where only the view's does; None if both see everywhere.
    """

    infrared: Image
    rgb: Image
    valid: Image | None = None


class Registration:
    """Registers pairs; not thread-safe.

    Args:
        config: How.
        calibration: What is known of the rig, for "homography" and "stereo".

    Raises:
        RegistrationError: If the calibration lacks what the mode needs, or the cameras share no view.
    """

    def __init__(self, config: RegistrationConfig, calibration: RigCalibration | None = None) -> None:
        self.config = config
        self._calibration = calibration or RigCalibration()
        self._warps: dict[tuple[tuple[int, int], tuple[int, int]], Warp] = {}
        self._mapping = self._make_mapping()
        self._seen = 1.0 if self._mapping is None else self._coarse_seen(self._mapping)
        if self._seen < _MIN_SEEN:
            raise RegistrationError(
                f"{_name(_other(config.view))} sees {self._seen:.1%} of the {_name(config.view)} view: is the "
                "calibration from infrared to RGB, in optical frames, and is the reference depth right?"
            )

    @property
    def camera(self) -> CameraModel | None:
        """The camera whose view the outputs have, if the calibration has it."""
        return self._calibration.rgb if self.config.view == "rgb" else self._calibration.infrared

    def apply(self, infrared: Image, rgb: Image, stamp_ns: int = 0) -> Registered:
        """Register one pair.

        Args:
            infrared: (H, W) uint8.
            rgb: (H', W', 3) uint8, RGB.
            stamp_ns: When it was taken; of no matter here.

        Returns:
            Both images in the view.

        Raises:
            RegistrationError: If the sizes don't fit the mode or the calibration.
        """
        into_rgb = self.config.view == "rgb"
        view, other = (rgb, infrared) if into_rgb else (infrared, rgb)
        valid: Image | None = None
        if self.config.mode == "none":
            if infrared.shape != rgb.shape[:2]:
                raise RegistrationError(
                    f"infrared is {_text(_size(infrared))} and RGB {_text(_size(rgb))}; both must have the same size "
                    "and show the same view, or the parameter registration must say how they lie on each other"
                )
            return Registered(infrared=infrared, rgb=rgb)
        if self.config.mode == "resize":
            _refuse_turned(self.config.view, _size(view), _size(other))
            other = resized(other, _size(view))
        else:
            warp = self._warp(_size(view), _size(other))
            other, valid = warp.apply(other), None if warp.all_seen else warp.valid
        return Registered(infrared=other if into_rgb else view, rgb=view if into_rgb else other, valid=valid)

    def prepare(self) -> None:
        """Compute now what the first pair of the calibrated sizes would wait for."""
        if self._mapping is not None:
            self._warp(self._mapping.view_size, self._mapping.other_size)

    def maps(self, view_size: tuple[int, int], other_size: tuple[int, int]) -> Maps:
        """Return the map behind `apply`, for "homography" and "stereo".

        Args:
            view_size: (width, height) of the view's image.
            other_size: (width, height) of the other image.

        Raises:
            RegistrationError: If the sizes don't fit the calibration, or the mode has no map.
        """
        return self._maps(view_size, other_size, self.config.infrared_crop)

    def _maps(self, view_size: tuple[int, int], other_size: tuple[int, int], crop: Crop) -> Maps:
        mapping = self._mapping
        if mapping is None:
            raise RegistrationError(f"registration mode '{self.config.mode}' has no map")
        view_part = _part(self.config.view, view_size, mapping.view_size, crop)
        other_part = _part(_other(self.config.view), other_size, mapping.other_size, crop)
        u, v = np.meshgrid(np.arange(view_size[0], dtype=np.float64), np.arange(view_size[1], dtype=np.float64))
        pixels = np.stack([u.ravel(), v.ravel()], axis=1)
        at = rescaled(pixels + np.array((view_part.x, view_part.y)), view_part.whole, mapping.view_size)
        if any(self.config.correction_px):
            at = at + np.array(self.config.correction_px) * (1 if self.config.view == "rgb" else -1)
        there, known = mapping.to_other(at)
        there = rescaled(there, mapping.other_size, other_part.whole) - np.array((other_part.x, other_part.y))
        edge = np.array(other_size) - 0.5 + _EDGE_PX
        with np.errstate(invalid="ignore"):
            seen = known & (there >= -0.5 - _EDGE_PX).all(axis=1) & (there <= edge).all(axis=1)
        there = np.where(seen[:, None], there, -1.0)
        shape = view_size[1], view_size[0]
        return Maps(
            pixels=there.reshape(*shape, 2).astype(np.float32),
            valid=seen.reshape(shape).astype(np.uint8),
            seen=float(seen.mean()),
        )

    def describe(self) -> str:
        """Return one line that states what is done and what it is worth."""
        config, other = self.config, _name(_other(self.config.view))
        if config.mode == "none":
            return "registration none: both cameras must show the same view at one size"
        if config.mode == "resize":
            return f"registration resize: {other} images get the size of {_name(config.view)} images"
        seen = f"{other} sees {self._seen:.0%} of the {_name(config.view)} view"
        if config.mode == "homography":
            return f"registration homography: {seen}"
        if config.mode == "ground":
            beyond = f"{config.reference_depth_m:g} m" if config.reference_depth_m else "infinity"
            return f"registration ground: the road exactly, what stands on it at {beyond}; {seen}"
        if not config.reference_depth_m:
            return f"registration stereo onto the calibration's plane: {seen}"
        reference_m = config.reference_depth_m
        return (
            f"registration stereo at {reference_m:g} m: {seen}; things at {0.5 * reference_m:g} m are displaced by "
            f"{self.displacement_px(0.5 * reference_m):.1f} px, far ones by {self.displacement_px(math.inf):.1f} px"
        )

    def displacement_px(self, depth_m: float) -> float:
        """Return how far a thing at ``depth_m`` in the middle of the view is displaced, in pixels of the view.

        For "stereo"; at the calibrated size. About focal length * baseline * |1 / depth - 1 / reference|.

        Raises:
            RegistrationError: If the mode isn't "stereo", or the depth is behind the infrared camera.
        """
        return float(np.hypot(*self.displacement(depth_m)))

    def displacement(self, depth_m: float) -> tuple[float, float]:
        """Return the (right, down) by which a thing at ``depth_m`` in the middle of the view is displaced.

        For "stereo"; pixels of the view at the calibrated size.

        Raises:
            RegistrationError: If the mode isn't "stereo", or the depth is behind the infrared camera.
        """
        if self._mapping is None or self.config.mode != "stereo":
            raise RegistrationError(f"registration mode '{self.config.mode}' knows no depth")
        middle = 0.5 * (np.array([self._mapping.view_size]) - 1)
        here, there = (each.to_other(middle)[0] for each in (self._mapping, self._stereo(depth_plane(depth_m))))
        scale = np.array(self._mapping.view_size) / np.array(self._mapping.other_size)
        right, down = ((there - here) * scale)[0]
        return float(right), float(down)

    def _make_mapping(self) -> Mapping | None:
        config, calibration = self.config, self._calibration
        if config.mode == "homography":
            if calibration.homography is None:
                raise RegistrationError("registration 'homography' needs a calibration_file with a 'homography'")
            return homography_mapping(calibration.homography, config.view)
        if config.mode == "stereo":
            return self._stereo(self._reference())
        if config.mode == "ground":
            if calibration.plane is None:
                raise RegistrationError("registration 'ground' needs a calibration_file with the road as 'plane'")
            return self._stereo(calibration.plane, config.reference_depth_m or FAR_M)
        if config.mode in CALIBRATED_MODES:
            raise RegistrationError(f"registration '{config.mode}' is made by make_registration")
        return None

    def _reference(self) -> Plane:
        if self.config.reference_depth_m:
            return depth_plane(self.config.reference_depth_m)
        if self._calibration.plane is None:
            raise RegistrationError("reference_depth_m is 0, but the calibration has no 'plane'")
        return self._calibration.plane

    def _stereo(self, plane: Plane, farthest_m: float = FAR_M) -> Mapping:
        infrared, rgb, extrinsics = (getattr(self._calibration, name) for name in ("infrared", "rgb", "extrinsics"))
        parts = {"infrared": infrared, "rgb": rgb, "extrinsics": extrinsics}
        if missing := [name for name, part in parts.items() if part is None]:
            raise RegistrationError(
                f"registration '{self.config.mode}' lacks {' and '.join(missing)}: give a calibration_file with it, or "
                f"cameras whose camera_info is calibrated{' as a stereo pair' if 'extrinsics' in missing else ''}"
            )
        return stereo_mapping(infrared, rgb, extrinsics, plane, self.config.view, farthest_m=farthest_m)

    def _coarse_seen(self, mapping: Mapping) -> float:
        """Return about what share of the view the other camera sees."""
        width, height = mapping.view_size
        shrink = max(1.0, max(width, height) / 80)
        small = max(1, round(width / shrink)), max(1, round(height / shrink))
        return self._maps(small, mapping.other_size, Crop()).seen

    def _warp(self, view_size: tuple[int, int], other_size: tuple[int, int]) -> Warp:
        key = view_size, other_size
        if key not in self._warps:
            warp = Warp(self.maps(*key), other_size)
            while len(self._warps) >= _KEPT:
                del self._warps[next(iter(self._warps))]
            self._warps[key] = warp
        return self._warps[key]


class Unregistered:
    """Stands in for a registration that can't be had yet, as before the first camera_info: it refuses every pair.

    Args:
        config: How it is to be registered.
        reason: One line.
    """

    camera: CameraModel | None = None

    def __init__(self, config: RegistrationConfig, reason: str) -> None:
        self.config = config
        self.reason = reason

    def apply(self, _infrared: Image, _rgb: Image, _stamp_ns: int = 0) -> Registered:
        """Raise `UncalibratedError` with the reason, as `Registration.apply` would register."""
        raise UncalibratedError(self.reason)

    def describe(self) -> str:
        """Return the reason."""
        return self.reason


def stretch_note(config: RegistrationConfig, infrared_size: tuple[int, int], rgb_size: tuple[int, int]) -> str | None:
    """Return what to tell about images that "resize" stretches in one direction, or None.

    Args:
        config: How they are registered.
        infrared_size: (width, height).
        rgb_size: (width, height).
    """
    if config.mode != "resize" or same_proportions(infrared_size, rgb_size):
        return None
    return (
        f"infrared is {_text(infrared_size)} and RGB {_text(rgb_size)}, other proportions: registration resize "
        "stretches one onto the other, and they lie on each other only if both show the same view; cut off telemetry "
        "rows with infrared_crop, or register with homography or stereo"
    )


def lower_confidence(confidence: Image, valid: Image | None) -> Image:
    """Return the confidence with `UNSEEN_CONFIDENCE` of its value where only one camera sees.

    So it is at most 127 there: under one half, whatever the network thinks of the fill.

    Args:
        confidence: (H, W) uint8.
        valid: (H, W) uint8, 1 where both cameras see; None if they do everywhere.

    Returns:
        (H, W) uint8; ``confidence`` itself if there is nothing to lower.
    """
    if valid is None:
        return confidence
    table = (np.arange(256) * UNSEEN_CONFIDENCE).astype(np.uint8)
    return np.where(valid, confidence, cv2.LUT(confidence, table)).astype(np.uint8, copy=False)


def _part(camera: str, size: tuple[int, int], calibrated: tuple[int, int], crop: Crop) -> ImagePart:
    """Return where an image lies in the one that was calibrated; RegistrationError if it is of another view."""
    part = ImagePart.left_by(crop, size)
    if camera == "infrared" and part.is_of(calibrated):
        return part
    _refuse_other_proportions(camera, size, calibrated)
    return ImagePart(0, 0, size, size)


def _refuse_other_proportions(camera: str, size: tuple[int, int], calibrated: tuple[int, int]) -> None:
    if not same_proportions(size, calibrated):
        raise RegistrationError(
            f"{_name(camera)} images are {_text(size)} but the calibration is for {_text(calibrated)}: other "
            "proportions are another view; calibrate at this size"
        )


def _refuse_turned(view: str, view_size: tuple[int, int], other_size: tuple[int, int]) -> None:
    """Refuse a picture in portrait format for one in landscape format: one of the cameras is mounted turned."""
    (width, height), (other_width, other_height) = view_size, other_size
    if (width - height) * (other_width - other_height) < 0:
        raise RegistrationError(
            f"{_name(_other(view))} is {_text(other_size)} and {_name(view)} {_text(view_size)}: portrait and "
            "landscape can't be resized onto each other; turn one of the images in its driver, or register with "
            "homography or stereo"
        )


def _size(image: Image) -> tuple[int, int]:
    return image.shape[1], image.shape[0]


def _text(size: tuple[int, int]) -> str:
    return f"{size[0]}x{size[1]}"


def _other(view: str) -> str:
    return "infrared" if view == "rgb" else "rgb"


def _name(camera: str) -> str:
    return "RGB" if camera == "rgb" else camera
