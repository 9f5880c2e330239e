# SPDX-License-Identifier: Apache-2.0
"""Calibration files (docs/calibration.md): one YAML for a rig, its cameras in it or in files of other tools."""

from __future__ import annotations

import difflib
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, TypeVar

import numpy as np
import yaml

from segmif_ros.paths import user_path
from segmif_ros.rig.calibration import Extrinsics, Homography, Plane, RigCalibration
from segmif_ros.rig.calibration_formats import (
    camchain,
    camchain_camera,
    camchain_cameras,
    camera_keys,
    is_camchain,
    known_format,
)
from segmif_ros.rig.camera_model import CameraModel
from segmif_ros.rig.checked_numbers import as_matrix
from segmif_ros.rig.errors import CalibrationError
from segmif_ros.rig.lens import DivisionLens
from segmif_ros.yaml_file import YamlError, at_line, located, read_yaml, shown

Made = TypeVar("Made")

_PARTS = ("infrared", "rgb", "extrinsics", "homography", "plane", "camchain")


def load_calibration(path: Path | str) -> RigCalibration:
    """Read a rig's file, or a camchain of Kalibr; camera files that it names are looked for beside it.

    Returns:
        What the file has; the rest is None.

    Raises:
        CalibrationError: One line that names the file, the place in it and what is wrong.
    """
    content = _read(path)
    path = user_path(path)
    return _of_file(path, lambda: _rig_of(_mapping(content, "the file"), path))


def load_camera(path: Path | str) -> CameraModel:
    """Read one camera's file: of camera_calibration, camera_info_manager, cv2.FileStorage, or an echoed camera_info.

    Returns:
        The camera.

    Raises:
        CalibrationError: One line that names the file and what is wrong.
    """
    content = _read(path)
    return _of_file(user_path(path), lambda: _camera_of(_mapping(content, "the camera")))


def calibration_yaml(calibration: RigCalibration) -> str:
    """Return the file of a calibration, which `load_calibration` reads back to the same numbers."""
    content: dict[str, Any] = {}
    for name, camera in (("infrared", calibration.infrared), ("rgb", calibration.rgb)):
        if camera is not None:
            content[name] = _camera_values(camera)
    if (extrinsics := calibration.extrinsics) is not None:
        content["extrinsics"] = {
            "rotation": extrinsics.rotation.tolist(),
            "translation_m": extrinsics.translation_m.tolist(),
        }
    if (homography := calibration.homography) is not None:
        content["homography"] = {
            "matrix": homography.matrix.tolist(),
            "infrared_size": list(homography.infrared_size),
            "rgb_size": list(homography.rgb_size),
        }
        if (lens := homography.infrared_lens) is not None:
            content["homography"]["infrared_lens"] = {
                "centre": lens.centre.tolist(),
                "radius_px": lens.radius_px,
                "strength": lens.strength,
            }
    if (plane := calibration.plane) is not None:
        content["plane"] = {"normal": plane.normal.tolist(), "distance_m": plane.distance_m}
    return yaml.safe_dump(content, sort_keys=False, default_flow_style=None, width=120)


def _camera_values(camera: CameraModel) -> dict[str, Any]:
    values: dict[str, Any] = {
        "image_width": camera.width,
        "image_height": camera.height,
        "camera_matrix": camera.K.tolist(),
        "distortion_model": camera.distortion_model,
        "distortion_coefficients": camera.D.tolist(),
        "rectification_matrix": camera.R.tolist(),
    }
    if camera.P is not None:
        values["projection_matrix"] = camera.P.tolist()
    return values


def _rig_of(content: Mapping[str, Any], path: Path) -> RigCalibration:
    if is_camchain(content):
        return camchain(content)
    if "camera_matrix" in camera_keys(content):
        raise CalibrationError(
            "this is one camera's file; write a file with 'infrared: <file>', 'rgb: <file>' and 'extrinsics'"
        )
    _refuse_unknown(content, _PARTS, "the file")
    if not content:
        raise CalibrationError(f"the file is empty: it may hold {', '.join(_PARTS)}")
    chain = _part(content, "camchain", lambda each: _camchain(each, content, path)) or RigCalibration()
    # beside a camchain, these name its cameras
    in_place = {} if "camchain" in content else content
    return RigCalibration(
        infrared=_part(in_place, "infrared", lambda each: _camera(each, path)) or chain.infrared,
        rgb=_part(in_place, "rgb", lambda each: _camera(each, path)) or chain.rgb,
        extrinsics=_part(content, "extrinsics", _extrinsics) or chain.extrinsics,
        homography=_part(content, "homography", _homography),
        plane=_part(content, "plane", _plane),
    )


def _camera(content: Any, beside: Path) -> CameraModel:
    if isinstance(content, str):
        return load_camera(_beside(beside, content))
    return _camera_of(_mapping(content, "a camera, or the name of its file,"))


def _camchain(name: Any, content: Mapping[str, Any], beside: Path) -> RigCalibration:
    """Read the camchain that a rig's file names, with its cameras by ``infrared: cam0`` and ``rgb: cam1``."""
    if not isinstance(name, str):
        raise CalibrationError(f"{shown(name)}: the name of a camchain file is needed")
    named = [content.get(camera) for camera in ("infrared", "rgb")]
    if not all(isinstance(each, str) for each in named):
        raise CalibrationError("'infrared' and 'rgb' must say which cameras of the camchain they are: cam0, cam1")
    path = _beside(beside, name)
    chain = _read(path)

    def read() -> RigCalibration:
        if not is_camchain(_mapping(chain, "the camchain")):
            raise CalibrationError("no camchain of Kalibr: there is no cam0")
        return camchain(chain, *named)

    return _of_file(path, read)


def _beside(path: Path, name: str) -> Path:
    try:
        return path.parent / user_path(name)
    except OSError as error:
        raise CalibrationError(f"{shown(name)}: {error.strerror}") from None


def _camera_of(content: Mapping[str, Any]) -> CameraModel:
    if is_camchain(content):
        names = camchain_cameras(content)
        if len(names) == 1:
            return camchain_camera(content, names[0])
        raise CalibrationError(
            f"a camchain of Kalibr holds {', '.join(names)}: write 'camchain: <this file>', 'infrared: cam0' and "
            "'rgb: cam1'"
        )
    # other keys stay unread: camera_calibration and drivers write more of them (camera_name, binning, ROI)
    keys = camera_keys(content)
    _require(keys, ("image_width", "image_height", "camera_matrix", "distortion_model", "distortion_coefficients"))
    given = {
        key: _matrix(keys[name], shape, name)
        for key, name, shape in (("R", "rectification_matrix", (3, 3)), ("P", "projection_matrix", (3, 4)))
        if name in keys
    }
    return CameraModel(
        width=keys["image_width"],
        height=keys["image_height"],
        K=_matrix(keys["camera_matrix"], (3, 3), "camera_matrix"),
        distortion_model=keys["distortion_model"],
        D=_data(keys["distortion_coefficients"], "distortion_coefficients"),
        **given,
    )


def _extrinsics(content: Any) -> Extrinsics:
    content = _mapping(content, "extrinsics")
    _refuse_unknown(content, ("rotation", "quaternion_xyzw", "translation_m"), "extrinsics")
    _require(content, ("translation_m",))
    if ("rotation" in content) == ("quaternion_xyzw" in content):
        raise CalibrationError("either rotation (3x3) or quaternion_xyzw is needed")
    if "rotation" in content:
        rotation = _matrix(content["rotation"], (3, 3), "rotation")
    else:
        rotation = _rotation_of(_data(content["quaternion_xyzw"], "quaternion_xyzw"))
    return Extrinsics(rotation=rotation, translation_m=_data(content["translation_m"], "translation_m"))


def _homography(content: Any) -> Homography:
    content = _mapping(content, "homography")
    _refuse_unknown(content, ("matrix", "infrared_size", "rgb_size", "infrared_lens"), "homography")
    _require(content, ("matrix", "infrared_size", "rgb_size"))
    return Homography(
        matrix=_matrix(content["matrix"], (3, 3), "matrix"),
        infrared_size=content["infrared_size"],
        rgb_size=content["rgb_size"],
        infrared_lens=_lens(content["infrared_lens"]) if "infrared_lens" in content else None,
    )


def _lens(content: Any) -> DivisionLens:
    content = _mapping(content, "infrared_lens")
    _refuse_unknown(content, ("centre", "radius_px", "strength"), "infrared_lens")
    _require(content, ("centre", "radius_px", "strength"))
    return DivisionLens(
        centre=_data(content["centre"], "centre"), radius_px=content["radius_px"], strength=content["strength"]
    )


def _plane(content: Any) -> Plane:
    content = _mapping(content, "plane")
    _refuse_unknown(content, ("normal", "distance_m"), "plane")
    _require(content, ("normal", "distance_m"))
    return Plane(normal=_data(content["normal"], "normal"), distance_m=content["distance_m"])


def _rotation_of(quaternion: Any) -> Any:
    x, y, z, w = as_matrix(quaternion, (4,), "quaternion_xyzw (w last)").tolist()
    length = float(np.sqrt(x * x + y * y + z * z + w * w))
    if not abs(length - 1) < 1e-2:
        raise CalibrationError(f"quaternion_xyzw has the length {length:g}: 1 is needed")
    x, y, z, w = x / length, y / length, z / length, w / length
    return np.array(
        [
            [1 - 2 * (y * y + z * z), 2 * (x * y - z * w), 2 * (x * z + y * w)],
            [2 * (x * y + z * w), 1 - 2 * (x * x + z * z), 2 * (y * z - x * w)],
            [2 * (x * z - y * w), 2 * (y * z + x * w), 1 - 2 * (x * x + y * y)],
        ]
    )


def _matrix(content: Any, shape: tuple[int, int], name: str) -> Any:
    """Return nested rows as they are, and a flat list (row by row) in ``shape``."""
    data = _data(content, name)
    if data and not any(isinstance(each, list) for each in data):
        if len(data) != shape[0] * shape[1]:
            raise CalibrationError(f"{name} has {len(data)} numbers: {shape[0]}x{shape[1]} are needed")
        return [data[row * shape[1] : (row + 1) * shape[1]] for row in range(shape[0])]
    return data


def _data(content: Any, name: str) -> Any:
    """Return a list, or the one in a {rows, cols, data} of camera_calibration."""
    if isinstance(content, Mapping):
        if "data" not in content:
            raise CalibrationError(f"{name} lacks 'data'")
        content = content["data"]
    if not isinstance(content, list):
        raise CalibrationError(f"{name} must be a list of numbers")
    return content


def _part(content: Mapping[str, Any], name: str, make: Callable[[Any], Made]) -> Made | None:
    if content.get(name) is None:
        return None
    with at_line(content, name):
        try:
            return make(content[name])
        except CalibrationError as error:
            error.args = (f"{name}: {error}",)  # the same error: it may know its line
            raise


def _of_file(path: Path, make: Callable[[], Made]) -> Made:
    try:
        return make()
    except CalibrationError as error:
        raise CalibrationError(located(path, error)) from None


def _read(path: Path | str) -> Any:
    try:
        return read_yaml(path)
    except YamlError as error:
        what = known_format(path)
        raise CalibrationError(str(error) if what is None else f"{path}: is {what}") from None


def _mapping(content: Any, name: str) -> Mapping[str, Any]:
    if content is None:
        return {}
    if not isinstance(content, Mapping):
        raise CalibrationError(f"{name} must be keys with values, not {type(content).__name__}")
    return content


def _require(content: Mapping[str, Any], names: tuple[str, ...]) -> None:
    if missing := [name for name in names if name not in content]:
        raise CalibrationError(f"{', '.join(missing)} missing")


def _refuse_unknown(content: Mapping[str, Any], known: tuple[str, ...], where: str) -> None:
    for name in content:
        if name not in known:
            close = difflib.get_close_matches(str(name), known, n=1)
            hint = f"did you mean '{close[0]}'?" if close else f"it may hold {', '.join(known)}"
            with at_line(content, name):
                raise CalibrationError(f"{where}: there is no {shown(name)}, {hint}")
