# SPDX-License-Identifier: Apache-2.0
"""Calibration files of other tools are taken as they are, or refused by their format's name."""

import gzip
from pathlib import Path

import cv2
import numpy as np
import pytest

from segmif_ros.rig.calibration_file import load_calibration, load_camera
from segmif_ros.rig.errors import CalibrationError

# 0.11 m apart, one degree around the vertical; written as Kalibr does
CAMCHAIN = """\
cam0:
  cam_overlaps: [1]
  camera_model: pinhole
  distortion_coeffs: [-0.34, 0.095, 0.0007, 0.0001]
  distortion_model: radtan
  intrinsics: [404.9, 405.1, 313.2, 237.7]
  resolution: [640, 512]
  rostopic: /thermal_left/image
cam1:
  T_cn_cnm1:
  - [0.9998477, 0.0, 0.0174524, -0.11]
  - [0.0, 1.0, 0.0, 0.01]
  - [-0.0174524, 0.0, 0.9998477, 0.02]
  - [0.0, 0.0, 0.0, 1.0]
  cam_overlaps: [0]
  camera_model: pinhole
  distortion_coeffs: [0.01, -0.02, 0.03, -0.04]
  distortion_model: equidistant
  intrinsics: [800.0, 801.0, 640.0, 360.0]
  resolution: [1280, 720]
  rostopic: /rgb/image_raw
"""
T = np.array([[0.9998477, 0, 0.0174524, -0.11], [0, 1, 0, 0.01], [-0.0174524, 0, 0.9998477, 0.02], [0, 0, 0, 1]])
FILESTORAGE = """\
%YAML:1.0
---
calibration_time: "Fri Nov 27 10:00:00 2026"
nr_of_frames: 13
image_width: 640
image_height: 480
board_width: 9
flags: 0
fisheye_model: 0
camera_matrix: !!opencv-matrix
   rows: 3
   cols: 3
   dt: d
   data: [ 5.3591573396163199e+02, 0., 3.4228315473308373e+02, 0.,
       5.3591573396163199e+02, 2.3557082909788173e+02, 0., 0., 1. ]
distortion_coefficients: !!opencv-matrix
   rows: 5
   cols: 1
   dt: d
   data: [ -2.6637260909660682e-01, -3.8588898922304653e-02,
       1.7831947042852964e-03, -2.8122100441115472e-04,
       2.3839153080878486e-01 ]
avg_reprojection_error: 3.9259e-01
"""
ECHOED = """\
header:
  stamp:
    sec: 1
    nanosec: 2
  frame_id: thermal_optical_frame
height: 512
width: 640
distortion_model: plumb_bob
d:
- -0.5
- 0.27
- 0.003
- -0.0007
- 0.0
k: [768.0, 0.0, 317.0, 0.0, 767.0, 231.0, 0.0, 0.0, 1.0]
r: [1.0, 0.0, 0.0, 0.0, 1.0, 0.0, 0.0, 0.0, 1.0]
p: [695.0, 0.0, 316.0, 0.0, 0.0, 721.0, 229.0, 0.0, 0.0, 0.0, 1.0, 0.0]
binning_x: 0
binning_y: 0
---
"""


def written(folder: Path, text: str, name: str = "calibration.yaml") -> Path:
    path = folder / name
    path.write_text(text)
    return path


def test_a_camchain_of_kalibr_is_a_rig_whose_topics_tell_the_cameras(tmp_path) -> None:
    made = load_calibration(written(tmp_path, CAMCHAIN))
    assert (made.infrared.size, made.infrared.distortion_model) == ((640, 512), "plumb_bob")
    assert made.infrared.K.tolist() == [[404.9, 0, 313.2], [0, 405.1, 237.7], [0, 0, 1]]
    assert (made.rgb.size, made.rgb.distortion_model) == ((1280, 720), "equidistant")
    assert made.rgb.D.tolist() == [0.01, -0.02, 0.03, -0.04]
    assert np.allclose(made.extrinsics.rotation, T[:3, :3], atol=1e-6)
    assert made.extrinsics.translation_m.tolist() == [-0.11, 0.01, 0.02]


def test_the_cameras_of_a_camchain_may_be_in_the_other_order(tmp_path) -> None:
    swapped = CAMCHAIN.replace("/thermal_left/image", "/color/image").replace("/rgb/image_raw", "/ir/image_raw")
    made = load_calibration(written(tmp_path, swapped))
    assert (made.infrared.size, made.rgb.size) == ((1280, 720), (640, 512))
    inverse = np.linalg.inv(T)
    assert np.allclose(made.extrinsics.rotation, inverse[:3, :3], atol=1e-6)
    assert np.allclose(made.extrinsics.translation_m, inverse[:3, 3], atol=1e-6)


def test_a_camchain_whose_topics_do_not_tell_asks_which_is_which_and_takes_the_answer(tmp_path) -> None:
    silent = CAMCHAIN.replace("/thermal_left/image", "/left/image").replace("/rgb/image_raw", "/right/image")
    with pytest.raises(CalibrationError, match="topics don't tell which one is the infrared camera: write a file with"):
        load_calibration(written(tmp_path, silent, "chain.yaml"))
    rig = written(
        tmp_path, "camchain: chain.yaml\ninfrared: cam1\nrgb: cam0\nplane: {normal: [0, 1, 0], distance_m: 1}"
    )
    made = load_calibration(rig)
    assert (made.infrared.size, made.rgb.size, made.plane.distance_m) == ((1280, 720), (640, 512), 1)
    assert np.allclose(made.extrinsics.translation_m, np.linalg.inv(T)[:3, 3], atol=1e-6)


def test_the_chain_between_cameras_that_are_not_neighbours_is_followed(tmp_path) -> None:
    third = CAMCHAIN[CAMCHAIN.index("cam1:") :].replace("cam1:", "cam2:").replace("/rgb/", "/color/")
    chain = CAMCHAIN.replace("/rgb/image_raw", "/stereo/right")
    made = load_calibration(written(tmp_path, chain + third))
    assert np.allclose(made.extrinsics.translation_m, (T @ T)[:3, 3], atol=1e-6)


def test_cameras_that_are_only_known_from_the_imu_are_mounted_by_it(tmp_path) -> None:
    upright = [[0, -1, 0, 0.1], [0, 0, -1, 0.2], [1, 0, 0, 0.3], [0, 0, 0, 1]]
    aside = [[0, -1, 0, 0.4], [0, 0, -1, 0.2], [1, 0, 0, 0.3], [0, 0, 0, 1]]
    before, after = CAMCHAIN.split("  T_cn_cnm1:")
    after = after[after.index("  cam_overlaps") :]
    chain = f"%YAML:1.0\n{before}{after}".replace("cam0:", f"cam0:\n  T_cam_imu: {upright}")
    made = load_calibration(written(tmp_path, chain.replace("cam1:", f"cam1:\n  T_cam_imu: {aside}")))
    assert np.allclose(made.extrinsics.rotation, np.eye(3))
    assert np.allclose(made.extrinsics.translation_m, [0.3, 0, 0])
    assert load_calibration(written(tmp_path, chain)).extrinsics is None


def test_one_camera_of_kalibr_is_a_cameras_file(tmp_path) -> None:
    assert load_camera(written(tmp_path, CAMCHAIN[: CAMCHAIN.index("cam1:")])).size == (640, 512)


def test_a_file_of_opencvs_calibration_sample_is_a_camera(tmp_path) -> None:
    made = load_camera(written(tmp_path, FILESTORAGE))
    assert (made.size, made.distortion_model, made.D.size) == ((640, 480), "plumb_bob", 5)
    assert made.K[0, 0] == 535.91573396163199
    fisheye = FILESTORAGE.replace("fisheye_model: 0", "fisheye_model: 1").replace("rows: 5", "rows: 4")
    fisheye = fisheye.replace(",\n       2.3839153080878486e-01", "").replace("-2.6637260909660682e-01", "0.01")
    assert load_camera(written(tmp_path, fisheye)).distortion_model == "equidistant"


def test_what_cv2_writes_itself_is_read(tmp_path) -> None:
    path = tmp_path / "camera.yml"
    K, D = np.array([[500.0, 0, 320], [0, 501, 240], [0, 0, 1]]), np.array([[-0.1, 0.01, 1e-5, 0, 0]])
    storage = cv2.FileStorage(str(path), cv2.FILE_STORAGE_WRITE)
    for name, value in (("image_width", 640), ("image_height", 480), ("cameraMatrix", K), ("distCoeffs", D)):
        storage.write(name, value)
    storage.release()
    made = load_camera(path)
    assert (made.K.tolist(), made.D.tolist()) == (K.tolist(), D.ravel().tolist())


def test_an_echoed_camera_info_is_a_camera(tmp_path) -> None:
    made = load_camera(written(tmp_path, ECHOED))
    assert (made.size, made.K[0, 0], made.P[0, 0], made.D[0]) == ((640, 512), 768, 695, -0.5)


def test_a_rig_may_name_files_of_all_kinds(tmp_path) -> None:
    written(tmp_path, ECHOED, "thermal.yaml")
    written(tmp_path, FILESTORAGE, "rgb.yml")
    made = load_calibration(
        written(tmp_path, "infrared: thermal.yaml\nrgb: rgb.yml\nextrinsics: {rotation: [1, 0, 0, 0, 1, 0, 0, 0, 1], "
                          "translation_m: [0.06, 1e-05, 0]}")
    )  # fmt: skip
    assert (made.infrared.size, made.rgb.size) == ((640, 512), (640, 480))
    assert made.extrinsics.translation_m[1] == 1e-05


REFUSED = {
    "omnidirectional": (
        CAMCHAIN.replace("pinhole", "omni"),
        r"line 1: cam0: Kalibr's model 'omni' with distortion 'radtan' is unknown here: calibrate with pinhole-radtan",
    ),
    "field of view": (CAMCHAIN.replace("radtan", "fov"), "distortion 'fov' is unknown here"),
    "no intrinsics": (CAMCHAIN.replace("  intrinsics: [404.9", "  other: [404.9"), "cam0: intrinsics missing"),
    "three intrinsics": (CAMCHAIN.replace("404.9, 405.1", "404.9"), "line 1: cam0: intrinsics is 3: 4 numbers"),
    "no rotation": (
        CAMCHAIN.replace("0.9998477, 0.0, 0.0174524", "2.0, 0.0, 0.0"),
        "line 10: cam1: T_cn_cnm1 is not a rotation",
    ),
    "one camera twice": ("camchain: chain.yaml\ninfrared: cam0\nrgb: cam0", "cam0 can't be both"),
    "a camera that is not there": ("camchain: chain.yaml\ninfrared: cam0\nrgb: cam7", "the camchain has no 'cam7'"),
    "a chain without cameras": ("camchain: chain.yaml", "must say which cameras of the camchain they are: cam0, cam1"),
    "a chain that is none": ("camchain: camera.yaml\ninfrared: cam0\nrgb: cam1", "no camchain of Kalibr"),
    "a chain as a camera": ("infrared: chain.yaml", "a camchain of Kalibr holds cam0, cam1: write 'camchain: <"),
    "stereo_calib": ("infrared: {M1: 1, D1: 2, M2: 3, D2: 4}", "the intrinsics file of OpenCV's stereo_calib"),
    "no size": (
        f"infrared: {{camera_matrix: {[1] * 9}}}",
        "image_width, image_height, distortion_model, .*missing",
    ),
}


@pytest.mark.parametrize(("text", "line"), REFUSED.values(), ids=REFUSED)
def test_what_cannot_be_a_rig_is_refused_with_the_place(tmp_path, text, line) -> None:
    written(tmp_path, CAMCHAIN, "chain.yaml")
    written(tmp_path, ECHOED, "camera.yaml")
    with pytest.raises(CalibrationError, match=line) as refused:
        load_calibration(written(tmp_path, text))
    assert len(str(refused.value).splitlines()) == 1


@pytest.mark.parametrize(
    ("content", "line"),
    [
        (gzip.compress(b"left.yaml"), "is a gzip archive: unpack it .camera_calibration's holds ost.yaml"),
        (
            b"# oST version 5.0 parameters\n\n\n[image]\n\nwidth\n640\n",
            "an INI file of camera_calibration: take ost.yaml",
        ),
        (b"[image]\nwidth\n640\n", "is an INI file: give the camera's YAML file"),
        (b"\x93NUMPY\x01\x00", "an array of NumPy: write its numbers as YAML"),
        (b"PK\x03\x04\x00", "a zip archive"),
        (b"\x80\x04\x95", "a pickle, which is never read"),
        (b"MATLAB 5.0 MAT-file\0", "a .mat file of MATLAB"),
        (b'<?xml version="1.0"?>\n<opencv_storage></opencv_storage>', "is XML: write it as YAML"),
    ],
)
def test_another_format_is_refused_by_its_name(tmp_path, content, line) -> None:
    path = tmp_path / "calibration.yaml"
    path.write_bytes(content)
    for load in (load_calibration, load_camera):
        with pytest.raises(CalibrationError, match=line):
            load(path)
