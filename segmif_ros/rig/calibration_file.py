# SPDX-License-Identifier: Apache-2.0
"""Calibration files (docs/calibration.md): one YAML for a rig, its cameras in it or in files of camera_calibration."""

from __future__ import annotations

import difflib
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, TypeVar

import numpy as np
import yaml

from segmif_ros.rig.calibration import Extrinsics, Homography, Plane, RigCalibration
from segmif_ros.rig.camera import CameraModel
from segmif_ros.rig.errors import CalibrationError

Made = TypeVar("Made")

_PARTS = ("infrared", "rgb", "extrinsics", "homography", "plane")


def load_calibration(path: Path | str) -> RigCalibration:
    """Read a rig's file; camera files that it names are looked for beside it.

    Raises:
        CalibrationError: One line that names the file, the place in it and what is wrong.
    """
    path = Path(path).expanduser()
    content = _mapping(_read(path), str(path))
    if "camera_matrix" in content:
        raise CalibrationError(
            f"{path}: this is one camera's file; write a file with 'infrared: <file>', 'rgb: <file>' and 'extrinsics'"
        )
    _refuse_unknown(content, _PARTS, str(path))
    if not content:
        raise CalibrationError(f"{path}: the file is empty: it may hold {', '.join(_PARTS)}")
    return RigCalibration(
        infrared=_part(content, "infrared", path, lambda each: _camera(each, path)),
        rgb=_part(content, "rgb", path, lambda each: _camera(each, path)),
        extrinsics=_part(content, "extrinsics", path, _extrinsics),
        homography=_part(content, "homography", path, _homography),
        plane=_part(content, "plane", path, _plane),
    )


def load_camera(path: Path | str) -> CameraModel:
    """Read one camera's file, as camera_calibration and camera_info_manager write it.

    Raises:
        CalibrationError: One line that names the file and what is wrong.
    """
    path = Path(path).expanduser()
    content = _read(path)
    return _said_where(str(path), lambda: _camera_of(_mapping(content, "the camera")))


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


def _camera(content: Any, beside: Path) -> CameraModel:
    if isinstance(content, str):
        return load_camera(beside.parent / Path(content).expanduser())
    return _camera_of(_mapping(content, "a camera, or the name of its file,"))


def _camera_of(content: Mapping[str, Any]) -> CameraModel:
    # other keys stay unread: camera_calibration and drivers write more of them (camera_name, binning, ROI)
    wanted = ("image_width", "image_height", "camera_matrix", "distortion_model", "distortion_coefficients")
    _require(content, wanted)
    given = {
        key: _matrix(content[name], shape, name)
        for key, name, shape in (("R", "rectification_matrix", (3, 3)), ("P", "projection_matrix", (3, 4)))
        if name in content
    }
    return CameraModel(
        width=content["image_width"],
        height=content["image_height"],
        K=_matrix(content["camera_matrix"], (3, 3), "camera_matrix"),
        distortion_model=content["distortion_model"],
        D=_data(content["distortion_coefficients"], "distortion_coefficients"),
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
    _refuse_unknown(content, ("matrix", "infrared_size", "rgb_size"), "homography")
    _require(content, ("matrix", "infrared_size", "rgb_size"))
    return Homography(
        matrix=_matrix(content["matrix"], (3, 3), "matrix"),
        infrared_size=content["infrared_size"],
        rgb_size=content["rgb_size"],
    )


def _plane(content: Any) -> Plane:
    content = _mapping(content, "plane")
    _refuse_unknown(content, ("normal", "distance_m"), "plane")
    _require(content, ("normal", "distance_m"))
    return Plane(normal=_data(content["normal"], "normal"), distance_m=content["distance_m"])


def _rotation_of(quaternion: Any) -> Any:
    try:
        x, y, z, w = (float(each) for each in quaternion)
    except (TypeError, ValueError):
        raise CalibrationError("quaternion_xyzw must be four numbers, w last") from None
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


def _part(content: Mapping[str, Any], name: str, path: Path, make: Callable[[Any], Made]) -> Made | None:
    if content.get(name) is None:
        return None
    return _said_where(f"{path}: {name}", lambda: make(content[name]))


def _said_where(where: str, make: Callable[[], Made]) -> Made:
    try:
        return make()
    except CalibrationError as error:
        raise CalibrationError(f"{where}: {error}") from None


def _read(path: Path) -> Any:
    try:
        return yaml.safe_load(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise CalibrationError(f"{path}: {error.strerror or error}") from None
    except (yaml.YAMLError, UnicodeDecodeError, RecursionError) as error:
        mark = getattr(error, "problem_mark", None)
        line = f" (line {mark.line + 1})" if mark else ""
        reason = " ".join(str(getattr(error, "problem", None) or error).split())
        raise CalibrationError(f"{path}: not a YAML file{line}: {reason}") from None


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
            raise CalibrationError(f"{where}: there is no '{name}', {hint}")
