# SPDX-License-Identifier: Apache-2.0
"""The node's registration, made from its parameters, the calibration file and what the cameras say in camera_info."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import TYPE_CHECKING

from segmif_ros.rig.calibration import RigCalibration
from segmif_ros.rig.camera_model import CameraModel
from segmif_ros.rig.errors import CalibrationError, RegistrationError
from segmif_ros.rig.image_part import ImagePart
from segmif_ros.rig.registration import CALIBRATED_MODES, Unregistered
from segmif_ros.rig.registration_modes import AnyRegistration, make_registration
from segmif_ros.ros.problems import Problem
from segmif_ros.settings import SettingError

if TYPE_CHECKING:
    from segmif_ros.ros.node_config import NodeConfig

# camera -> its model, or why its camera_info gives none
CameraInfoResults = Mapping[str, CameraModel | CalibrationError]
# camera -> the part of its image that it sends, None for all of it
Parts = Mapping[str, ImagePart | None]
_CAMERAS = ("infrared", "rgb")


class RigSource:
    """What is known of the rig, and the registration that follows from it.

    Args:
        config: The node's. The calibration file is read here.
        results: The cameras' models by their camera_info, or why there is none.
        parts: The parts of their images that they send, as far as camera_info has them.

    Attributes:
        registration: The one to use.

    Raises:
        SettingError: If the calibration file can't be used, or lacks what only it can give.
    """

    def __init__(
        self, config: NodeConfig, results: CameraInfoResults | None = None, parts: Parts | None = None
    ) -> None:
        self._pipeline = config.pipeline
        self._results: CameraInfoResults = results or {}
        self._parts: Parts = parts or {}
        self._correction_px = (0.0, 0.0)
        wanted = self._pipeline.registration_config()
        try:
            self._file = self._pipeline.calibration()
            if wanted.mode == "stereo" and not wanted.reference_depth_m and self._file.plane is None:
                raise RegistrationError("reference_depth_m is 0, but calibration_file has no 'plane'")
            if wanted.mode == "ground" and self._file.plane is None:
                raise RegistrationError("registration 'ground' needs a calibration_file with the road as 'plane'")
            complete = self._file.infrared and self._file.rgb and self._file.extrinsics
            if wanted.mode == "homography" or (wanted.mode in CALIBRATED_MODES and complete):
                make_registration(wanted, self._file)
        except CalibrationError as error:
            raise SettingError(f"parameter 'calibration_file': {error}") from error
        except RegistrationError as error:
            raise SettingError(str(error)) from error
        self.registration = self._registration()

    def after(self, config: NodeConfig) -> RigSource:
        """Return what is known after parameters have changed; itself if they have nothing to do with the rig."""
        new, old = config.pipeline, self._pipeline
        same = new.registration_config() == old.registration_config() and new.calibration_file == old.calibration_file
        return self if same else RigSource(config, self._results, self._parts)

    def update_camera_info(
        self, camera: str, result: CameraModel | CalibrationError, part: ImagePart | None = None
    ) -> None:
        """Take a camera's camera_info, and register accordingly from now on.

        Args:
            camera: "infrared" or "rgb".
            result: Its model, or why it gives none.
            part: The part of its image that it sends, where no model tells; None if that is the whole image.
        """
        if isinstance(result, CameraModel) and result.part_of is not None:
            x, y, width, height = result.part_of
            part = ImagePart(x, y, result.size, (width, height))
        self._results = {**self._results, camera: result}
        other_part = part != self._parts.get(camera)
        self._parts = {**self._parts, camera: part}
        mode = self._pipeline.registration
        if mode in CALIBRATED_MODES or (mode == "homography" and other_part):
            self.registration = self._registration()

    def correct(self, correction_px: tuple[float, float]) -> None:
        """Bring infrared content that lies (right, down) off in the view back by as much from now on, pixels."""
        self._correction_px = correction_px
        self.registration = self._registration()

    @property
    def correction_px(self) -> tuple[float, float]:
        """(right, down), as given to `correct`."""
        return self._correction_px

    @property
    def camera(self) -> CameraModel | None:
        """The master camera as the calibration file has it."""
        return self._of_file(self._pipeline.master)

    @property
    def view_size(self) -> tuple[int, int] | None:
        """(height, width) of the master camera's images as the calibration file has them, or None."""
        if self.camera is not None:
            return self.camera.height, self.camera.width
        if self._file.homography is None:
            return None
        width, height = getattr(self._file.homography, f"{self._pipeline.master}_size")
        return height, width

    def camera_of(self, camera: str) -> CameraModel | None:
        """Return what is known of the "infrared" or the "rgb" camera: by the file, else by its camera_info."""
        result = self._results.get(camera)
        return self._of_file(camera) or (result if isinstance(result, CameraModel) else None)

    @property
    def problem(self) -> Problem | None:
        """Why there is no registration now, or None."""
        waits = isinstance(self.registration, Unregistered)
        return Problem("registration", f"no pairs are processed: {self.registration.describe()}") if waits else None

    @property
    def depth_problem(self) -> Problem | None:
        """Why registration depth works without depth, or None."""
        line = getattr(self.registration, "problem", "")
        return Problem("depth", line) if line else None

    def _registration(self) -> AnyRegistration:
        wanted = replace(self._pipeline.registration_config(), correction_px=self._correction_px)
        try:
            calibration = self._completed() if wanted.mode in CALIBRATED_MODES else self._file
            if wanted.mode == "homography" and calibration.homography is not None:
                of_parts = calibration.homography.of_parts(self._parts.get("infrared"), self._parts.get("rgb"))
                calibration = replace(calibration, homography=of_parts)
            return make_registration(wanted, calibration)
        except (CalibrationError, RegistrationError) as error:
            return Unregistered(wanted, str(error))

    def _of_file(self, camera: str) -> CameraModel | None:
        """Return a camera of the file, as a part of its image if the camera sends only a part."""
        model: CameraModel | None = getattr(self._file, camera)
        part = self._parts.get(camera)
        return model if model is None or part is None else part.camera(model)

    def _completed(self) -> RigCalibration:
        """Return the file's calibration with what the cameras say; CalibrationError if that doesn't do for stereo."""
        models: dict[str, CameraModel] = {}
        for camera in _CAMERAS:
            result = self._results.get(camera)
            needed = getattr(self._file, camera) is None or self._file.extrinsics is None
            if needed and result is None:
                raise CalibrationError(f"registration '{self._pipeline.registration}' waits for {camera}/camera_info")
            if needed and isinstance(result, CalibrationError):
                raise CalibrationError(f"registration '{self._pipeline.registration}': {camera}/camera_info: {result}")
            if isinstance(result, CameraModel):
                models[camera] = result
        file = replace(self._file, infrared=self._of_file("infrared"), rgb=self._of_file("rgb"))
        completed = file.completed(**models)
        if completed.extrinsics is None:
            raise CalibrationError(
                f"registration '{self._pipeline.registration}': the two camera_info don't say how the cameras are "
                "mounted (their R and P are not a stereo pair's): give 'extrinsics' in calibration_file"
            )
        return completed
