# SPDX-License-Identifier: Apache-2.0
"""Calibration files: the ones of this package, those of camera_calibration, and in which words bad ones are refused."""

import copy
from pathlib import Path

import numpy as np
import pytest
import yaml
from hypothesis import given, settings
from hypothesis import strategies as st
from rig_fakes import ROAD, camera, plain_rotation, rig

from segmif_ros.rig.calibration import Homography, RigCalibration
from segmif_ros.rig.calibration_file import calibration_yaml, load_calibration, load_camera
from segmif_ros.rig.errors import CalibrationError

# as camera_calibration writes it
CAMERA_FILE = """\
image_width: 64
image_height: 48
camera_name: thermal
camera_matrix:
  rows: 3
  cols: 3
  data: [62.00000,  0.00000, 33.20000,
          0.00000, 63.00000, 21.20000,
          0.00000,  0.00000,  1.00000]
distortion_model: plumb_bob
distortion_coefficients:
  rows: 1
  cols: 5
  data: [-0.310000, 0.090000, 0.001200, -0.000800, 0.000000]
rectification_matrix:
  rows: 3
  cols: 3
  data: [1.00000, 0.00000, 0.00000,
         0.00000, 1.00000, 0.00000,
         0.00000, 0.00000, 1.00000]
projection_matrix:
  rows: 3
  cols: 4
  data: [60.00000,  0.00000, 33.00000,  0.00000,
          0.00000, 61.00000, 21.00000,  0.00000,
          0.00000,  0.00000,  1.00000,  0.00000]
"""
RIG_FILE = """\
infrared: thermal.yaml
rgb:
  image_width: 96
  image_height: 72
  camera_matrix: [[80, 0, 47.5], [0, 80, 35.5], [0, 0, 1]]
  distortion_model: plumb_bob
  distortion_coefficients: []
extrinsics:
  rotation: [1, 0, 0, 0, 1, 0, 0, 0, 1]
  translation_m: [0.1, 0, 0]
homography:
  matrix: [[1.5, 0, 0.25], [0, 1.5, 0.25], [0, 0, 1]]
  infrared_size: [64, 48]
  rgb_size: [96, 72]
plane:
  normal: [0, 1, 0]
  distance_m: 1.5
"""


def written(folder: Path, text: str | dict = RIG_FILE) -> Path:
    (folder / "thermal.yaml").write_text(CAMERA_FILE)
    path = folder / "rig.yaml"
    path.write_text(text if isinstance(text, str) else yaml.safe_dump(text))
    return path


def test_a_file_of_camera_calibration_is_read(tmp_path) -> None:
    written(tmp_path)
    made = load_camera(tmp_path / "thermal.yaml")
    assert made.size == (64, 48)
    assert made.K.tolist() == [[62, 0, 33.2], [0, 63, 21.2], [0, 0, 1]]
    assert made.D.tolist() == [-0.31, 0.09, 0.0012, -0.0008, 0]
    assert made.P[0].tolist() == [60, 0, 33, 0]


def test_a_rigs_file_holds_cameras_and_names_files_of_cameras_beside_it(tmp_path) -> None:
    made = load_calibration(written(tmp_path))
    assert made.infrared == load_camera(tmp_path / "thermal.yaml")
    assert made.rgb.K[0].tolist() == [80, 0, 47.5]
    assert made.extrinsics.translation_m.tolist() == [0.1, 0, 0]
    assert made.homography.rgb_size == (96, 72)
    assert made.plane.distance_m == 1.5


def test_the_documents_example_can_be_read(tmp_path) -> None:
    page = (Path(__file__).parents[2] / "docs" / "calibration.md").read_text()
    made = load_calibration(written(tmp_path, page.split("```yaml")[1].split("```")[0]))
    assert None not in vars(made).values()


def test_every_part_may_be_left_out(tmp_path) -> None:
    made = load_calibration(written(tmp_path, "plane: {normal: [0, 1, 0], distance_m: 1}"))
    assert (made.infrared, made.rgb, made.extrinsics, made.homography) == (None,) * 4


def test_a_rotation_may_be_a_quaternion(tmp_path) -> None:
    half = np.radians(15)
    text = f"extrinsics: {{quaternion_xyzw: [0, {np.sin(half)}, 0, {np.cos(half)}], translation_m: [0, 0, 0]}}"
    rotation = load_calibration(written(tmp_path, text)).extrinsics.rotation
    assert np.allclose(rotation, plain_rotation(0, 30, 0))


number = st.floats(-0.04, 0.04)


@given(
    angles=st.tuples(*[st.floats(-20, 20)] * 3),
    translation_m=st.tuples(number, number, number),
    D=st.lists(number, min_size=5, max_size=5),
)
@settings(max_examples=25, deadline=None)
def test_what_is_written_is_read_back_to_the_same_numbers(tmp_path_factory, angles, translation_m, D) -> None:
    made = rig(angles_deg=angles, translation_m=translation_m, rgb=camera(D=D, P=np.eye(3, 4)), plane=ROAD)
    homography = Homography(matrix=plain_rotation(0, 0, angles[0]), infrared_size=(64, 48), rgb_size=(96, 72))
    made = RigCalibration(**{**vars(made), "homography": homography})
    path = tmp_path_factory.mktemp("rig") / "rig.yaml"
    path.write_text(calibration_yaml(made))
    read = load_calibration(path)
    assert (read.infrared, read.rgb) == (made.infrared, made.rgb)
    for value in ("extrinsics.rotation", "extrinsics.translation_m", "homography.matrix", "plane.normal"):
        part, name = value.split(".")
        found, expected = (getattr(getattr(each, part), name) for each in (read, made))
        assert np.allclose(found, expected, rtol=0, atol=1e-15)


def changed(*keys, to=None, without=False) -> dict:
    content = copy.deepcopy(yaml.safe_load(RIG_FILE))
    place = content
    for key in keys[:-1]:
        place = place[key]
    if without:
        del place[keys[-1]]
    else:
        place[keys[-1]] = to
    return content


REFUSED = {
    "no yaml": ("infrared: [1, 2", r"rig.yaml: line \d: not YAML: "),
    "an OpenCV matrix for a camera": (
        "infrared: !!opencv-matrix {rows: 3}",
        "rig.yaml: line 1: infrared: image_width, image_height, camera_matrix",
    ),
    "a list": ("[1, 2]", "rig.yaml: the file must be keys with values, not list"),
    "empty": ("", "rig.yaml: the file is empty: it may hold infrared, rgb, extrinsics, homography, plane"),
    "a misspelt part": ("extrinsic: {}", "rig.yaml: line 1: .* no 'extrinsic', did you mean 'extrinsics'?"),
    "a strange part": ("robot: {}", "there is no 'robot', it may hold infrared, rgb"),
    "a camera's file": (CAMERA_FILE, "rig.yaml: this is one camera's file; write a file with"),
    "a missing key": (
        changed("rgb", "distortion_model", without=True),
        r"rig.yaml: line \d+: rgb: distortion_model missing",
    ),
    "a missing file": (changed("infrared", to="cold.yaml"), r"rig.yaml: line \d+: infrared: .*cold.yaml: No such file"),
    "a number for a camera": (changed("rgb", to=3), "rgb: a camera, or the name of its file, must be keys"),
    "too few numbers": (
        changed("rgb", "camera_matrix", to=[1, 2, 3]),
        "rgb: camera_matrix has 3 numbers: 3x3 are needed",
    ),
    "no data": (changed("rgb", "camera_matrix", to={"rows": 3}), "rgb: camera_matrix lacks 'data'"),
    "text for numbers": (changed("extrinsics", "translation_m", to="0 0 0"), "translation_m must be a list of numbers"),
    "numbers as text": (changed("extrinsics", "translation_m", to=["0", "0", "0"]), "translation_m must be numbers"),
    "yes for a number": (changed("extrinsics", "translation_m", to=[True] * 3), "translation_m must be numbers"),
    "not a number": (changed("extrinsics", "translation_m", to=[float("nan"), 0, 0]), "isn't finite"),
    "not calibrated": (changed("rgb", "camera_matrix", to=[0] * 9), r"rig.yaml: line \d+: rgb: the focal length is 0"),
    "no rotation": (changed("extrinsics", "rotation", to=[2, 0, 0, 0, 1, 0, 0, 0, 1]), "extrinsics: rotation is not a"),
    "two rotations": (
        changed("extrinsics", "quaternion_xyzw", to=[0, 0, 0, 1]),
        r"extrinsics: either rotation \(3x3\) or quaternion_xyzw is needed",
    ),
    "a misspelt key": (changed("extrinsics", "translation", to=[0, 0, 0]), "did you mean 'translation_m'?"),
    "millimetres": (changed("extrinsics", "translation_m", to=[120, 0, 0]), "were these millimetres"),
    "singular": (changed("homography", "matrix", to=[1] * 9), r"line \d+: homography: the homography is singular"),
    "no size": (changed("homography", "rgb_size", without=True), r"rig.yaml: line \d+: homography: rgb_size missing"),
    "a plane behind": (changed("plane", "distance_m", to=-1), r"line \d+: plane: the plane's distance_m is -1"),
}


@pytest.mark.parametrize(("content", "line"), REFUSED.values(), ids=REFUSED)
def test_a_bad_file_is_refused_in_one_line_that_names_the_place(tmp_path, content, line) -> None:
    with pytest.raises(CalibrationError, match=line) as caught:
        load_calibration(written(tmp_path, content))
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("quaternion", [[0, 0, 0, 2], [0, 0, 1], ["x", 0, 0, 1]])
def test_a_quaternion_that_is_none_is_refused(tmp_path, quaternion) -> None:
    content = {"extrinsics": {"quaternion_xyzw": quaternion, "translation_m": [0, 0, 0]}}
    with pytest.raises(CalibrationError, match="quaternion_xyzw"):
        load_calibration(written(tmp_path, content))


def test_a_missing_file_is_refused(tmp_path) -> None:
    with pytest.raises(CalibrationError, match=r"nowhere\.yaml: No such file or directory"):
        load_calibration(tmp_path / "nowhere.yaml")


def test_bytes_that_are_no_text_are_refused(tmp_path) -> None:
    path = tmp_path / "rig.yaml"
    path.write_bytes(b"\xff\xfe\x00")
    with pytest.raises(CalibrationError, match="line 1: not UTF-8 text"):
        load_calibration(path)


@given(st.text(max_size=60))
@settings(max_examples=100, deadline=None)
def test_any_text_is_read_or_refused_in_one_line(tmp_path_factory, text) -> None:
    path = tmp_path_factory.getbasetemp() / "any.yaml"
    path.write_text(text, encoding="utf-8", errors="surrogatepass")
    try:
        load_calibration(path)
    except CalibrationError as error:
        assert len(str(error).splitlines()) == 1
