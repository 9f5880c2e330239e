# SPDX-License-Identifier: Apache-2.0
"""Calibration files of other tools, taken as they are: Kalibr's camchain, OpenCV's FileStorage, an echoed camera_info.

They become the keys of `segmif_ros.rig.calibration_file`, which are those of camera_calibration.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from segmif_ros.arrays import Float64Array
from segmif_ros.paths import user_path
from segmif_ros.rig.calibration import Extrinsics, RigCalibration
from segmif_ros.rig.camera_model import CameraModel
from segmif_ros.rig.checked_numbers import as_matrix, as_rotation
from segmif_ros.rig.errors import CalibrationError
from segmif_ros.yaml_file import at_line, shown

_CAM = re.compile(r"cam(\d{1,2})")
# words in a topic that tell which camera it is of
_INFRARED = re.compile(r"therm|infra|lwir|boson|lepton|tau2|flir|seek|optris|(?:^|[/_])ir(?:[/_]|$)", re.IGNORECASE)
_RGB = re.compile(r"rgb|colou?r|visible|(?:^|[/_])vis(?:[/_]|$)", re.IGNORECASE)
_KALIBR_DISTORTIONS = {"radtan": "plumb_bob", "equidistant": "equidistant", "equi": "equidistant", "none": "none"}
# names of the same thing in FileStorage files, without case and underscores
_CAMERA_KEYS = {
    "cameramatrix": "camera_matrix",
    "intrinsicmatrix": "camera_matrix",
    "k": "camera_matrix",
    "distortioncoefficients": "distortion_coefficients",
    "distortioncoeffs": "distortion_coefficients",
    "distcoeffs": "distortion_coefficients",
    "d": "distortion_coefficients",
    "distortionmodel": "distortion_model",
    "imagewidth": "image_width",
    "width": "image_width",
    "imageheight": "image_height",
    "height": "image_height",
    "rectificationmatrix": "rectification_matrix",
    "r": "rectification_matrix",
    "projectionmatrix": "projection_matrix",
    "p": "projection_matrix",
}
# first bytes or a suffix -> what such a file is, and what to do
_MAGIC = (
    (b"\x1f\x8b", "a gzip archive: unpack it (camera_calibration's holds ost.yaml, or left.yaml and right.yaml)"),
    (b"PK\x03\x04", "a zip archive (also .npz of NumPy): write its numbers as YAML"),
    (b"\x93NUMPY", "an array of NumPy: write its numbers as YAML"),
    (b"MATLAB", "a .mat file of MATLAB: write its numbers as YAML"),
    (b"\x80", "a pickle, which is never read: write its numbers as YAML"),
    (b"# oST", "an INI file of camera_calibration: take ost.yaml from the same archive"),
    (b"[", "an INI file: give the camera's YAML file"),
)


def known_format(path: str | Path) -> str | None:
    """Return what a file that is no YAML is, and what to do; None if it isn't known."""
    try:
        with user_path(path).open("rb") as file:
            head = file.read(16).lstrip()
    except OSError:
        return None
    return next((what for magic, what in _MAGIC if head.startswith(magic)), None)


def camera_keys(content: Mapping[str, Any]) -> dict[str, Any]:
    """Return one camera's content under the keys of camera_calibration, whatever wrote it.

    Takes camera_calibration's own, a file of cv2.FileStorage as OpenCV's samples write it, and what `ros2 topic echo`
    prints of a camera_info. Other keys are left out.

    Raises:
        CalibrationError: If the file is of another known kind.
    """
    if "M1" in content or "M2" in content:
        raise CalibrationError(
            "this is the intrinsics file of OpenCV's stereo_calib, which lacks the image size: write 'camera_matrix', "
            "'distortion_coefficients', 'image_width' and 'image_height' for each camera"
        )
    made: dict[str, Any] = {}
    for key, value in content.items():
        name = _CAMERA_KEYS.get(str(key).lower().replace("_", ""))
        if name is not None and (name not in made or key == name):
            made[name] = value
    if isinstance(size := content.get("image_size"), list) and len(size) == 2:
        made.setdefault("image_width", size[0])
        made.setdefault("image_height", size[1])
    matrix = made.get("camera_matrix")
    if isinstance(matrix, Mapping) and "dt" in matrix and "distortion_model" not in made:  # FileStorage names no model
        made["distortion_model"] = "equidistant" if content.get("fisheye_model") == 1 else ""
    return made


def is_camchain(content: Mapping[str, Any]) -> bool:
    """Whether a file's content is a camchain of Kalibr (or OpenVINS): cam0, cam1 and so on."""
    return any(isinstance(key, str) and _CAM.fullmatch(key) for key in content)


def camchain_cameras(content: Mapping[str, Any]) -> list[str]:
    """Return the names of a camchain's cameras, in their order."""
    names = [key for key in content if isinstance(key, str) and _CAM.fullmatch(key)]
    return sorted(names, key=lambda name: int(name[3:]))


def camchain(content: Mapping[str, Any], infrared: str | None = None, rgb: str | None = None) -> RigCalibration:
    """Return the rig that a camchain describes.

    Args:
        content: Of the file.
        infrared: Which one is the infrared camera, for example "cam0"; None: the topics' names tell.
        rgb: Which one is the RGB camera.

    Raises:
        CalibrationError: If it isn't clear which camera is which, or the numbers can't be a rig's.
    """
    names = camchain_cameras(content)
    for camera in (infrared, rgb):
        if camera is not None and camera not in names:
            raise CalibrationError(f"the camchain has no {shown(camera)}: it has {', '.join(names)}")
    if infrared is None or rgb is None:
        infrared, rgb = _cameras_by_topics(content, names)
    if infrared == rgb:
        raise CalibrationError(f"{infrared} can't be both cameras")
    return RigCalibration(
        infrared=camchain_camera(content, infrared),
        rgb=camchain_camera(content, rgb),
        extrinsics=_between(content, infrared, rgb),
    )


def camchain_camera(content: Mapping[str, Any], name: str) -> CameraModel:
    """Return one camera of a camchain.

    Args:
        content: The camchain.
        name: The camera's key, such as cam0.

    Raises:
        CalibrationError: If its model isn't a pinhole with radtan or equidistant.
    """
    with at_line(content, name):
        camera = content[name]
        if not isinstance(camera, Mapping):
            raise CalibrationError(f"{name} must be keys with values")
        if missing := [key for key in ("camera_model", "intrinsics", "resolution") if key not in camera]:
            raise CalibrationError(f"{name}: {', '.join(missing)} missing")
        model, distortion = camera["camera_model"], camera.get("distortion_model", "none")
        if model != "pinhole" or not isinstance(distortion, str) or distortion not in _KALIBR_DISTORTIONS:
            raise CalibrationError(
                f"{name}: Kalibr's model {shown(model)} with distortion {shown(distortion)} is unknown here: calibrate "
                "with pinhole-radtan or pinhole-equi"
            )
        fx, fy, cx, cy = as_matrix(camera["intrinsics"], (4,), f"{name}: intrinsics").tolist()
        resolution = camera["resolution"]
        if not isinstance(resolution, list) or len(resolution) != 2:
            raise CalibrationError(f"{name}: resolution must be [width, height]")
        try:
            return CameraModel(
                width=resolution[0],
                height=resolution[1],
                K=np.array([[fx, 0, cx], [0, fy, cy], [0, 0, 1]]),
                distortion_model=_KALIBR_DISTORTIONS[distortion],
                D=camera.get("distortion_coeffs", np.zeros(0)),
            )
        except CalibrationError as error:
            error.args = (f"{name}: {error}",)
            raise


def _cameras_by_topics(content: Mapping[str, Any], names: list[str]) -> tuple[str, str]:
    topics = {name: str(each.get("rostopic", "")) for name in names if isinstance(each := content[name], Mapping)}
    infrared = [name for name, topic in topics.items() if _INFRARED.search(topic)]
    if len(infrared) == 1:
        others = [name for name in names if name not in infrared]
        rgb = [name for name in others if _RGB.search(topics.get(name, ""))] or others
        if len(rgb) == 1:
            return infrared[0], rgb[0]
    raise CalibrationError(
        f"a camchain of Kalibr with {', '.join(names)}, whose topics don't tell which one is the infrared camera: "
        "write a file with 'camchain: <this file>', 'infrared: cam0' and 'rgb: cam1' (or the other way round)"
    )


def _between(content: Mapping[str, Any], infrared: str, rgb: str) -> Extrinsics | None:
    """X_rgb = R X_infrared + t by the chain (T_cn_cnm1), or by the IMU; None if the file has neither."""
    transform = _by_chain(content, infrared, rgb)
    if transform is None:
        to_imu = [_from_imu(content, name) for name in (infrared, rgb)]
        if to_imu[0] is None or to_imu[1] is None:
            return None
        transform = to_imu[1] @ _inverse(to_imu[0])
    return Extrinsics(rotation=transform[:3, :3], translation_m=transform[:3, 3])


def _by_chain(content: Mapping[str, Any], infrared: str, rgb: str) -> Float64Array | None:
    first, last = sorted(int(name[3:]) for name in (infrared, rgb))
    along = np.eye(4)
    for number in range(first + 1, last + 1):
        step = _transform(content, f"cam{number}", "T_cn_cnm1")
        if step is None:
            return None
        along = step @ along
    return along if int(infrared[3:]) == first else _inverse(along)


def _from_imu(content: Mapping[str, Any], name: str) -> Float64Array | None:
    """(4, 4) that takes the IMU's coordinates to the camera's."""
    found = _transform(content, name, "T_cam_imu")
    if found is None and (inverse := _transform(content, name, "T_imu_cam")) is not None:
        found = _inverse(inverse)
    return found


def _inverse(transform: Float64Array) -> Float64Array:
    return np.asarray(np.linalg.inv(transform), np.float64)


def _transform(content: Mapping[str, Any], name: str, key: str) -> Float64Array | None:
    camera = content.get(name)
    if not isinstance(camera, Mapping) or key not in camera:
        return None
    with at_line(camera, key):
        values = camera[key].get("data") if isinstance(camera[key], Mapping) else camera[key]
        if isinstance(values, list) and len(values) == 16:
            values = [values[row : row + 4] for row in range(0, 16, 4)]
        transform = as_matrix(values, (4, 4), f"{name}: {key}")
        as_rotation(transform[:3, :3], f"{name}: {key}")  # so that it has an inverse
        if tuple(transform[3]) != (0.0, 0.0, 0.0, 1.0):
            raise CalibrationError(f"{name}: {key} must end with the row 0, 0, 0, 1")
        return transform
