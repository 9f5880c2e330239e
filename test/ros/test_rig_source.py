# SPDX-License-Identifier: Apache-2.0
"""From parameters, file and camera_info to a registration, or to the line that states what is missing."""

import dataclasses
from pathlib import Path

import numpy as np
import pytest

from segmif_ros.rig.calibration import Extrinsics, Homography, RigCalibration
from segmif_ros.rig.calibration_file import calibration_yaml
from segmif_ros.rig.camera_model import CameraModel
from segmif_ros.rig.errors import CalibrationError
from segmif_ros.rig.image_part import ImagePart
from segmif_ros.rig.registration import Registration, Unregistered
from segmif_ros.ros.node_config import NodeConfig
from segmif_ros.ros.rig_source import RigSource
from segmif_ros.settings import SettingError, from_values

K = np.array([[50.0, 0, 31.5], [0, 50.0, 23.5], [0, 0, 1]])
P = np.hstack([K, np.zeros((3, 1))])
INFRARED = CameraModel(width=64, height=48, K=K, P=P)
BASELINE = np.array([[0, 0, 0, -5.0], [0] * 4, [0] * 4])  # the RGB camera is 0.1 m to the right
RGB = CameraModel(width=64, height=48, K=K, P=P + BASELINE)
SINGLE = dataclasses.replace(RGB, P=P)
MOUNT = Extrinsics(rotation=np.eye(3), translation_m=(0.2, 0, 0))


def source(tmp_path: Path, calibration: RigCalibration | None = None, **values) -> RigSource:
    if calibration is not None:
        (tmp_path / "rig.yaml").write_text(calibration_yaml(calibration))
        values["calibration_file"] = str(tmp_path / "rig.yaml")
    return RigSource(from_values(NodeConfig, values))


def baseline_px(made: RigSource) -> float:
    """How far apart the two views are at the reference of 10 m, which tells the baseline in use."""
    assert isinstance(made.registration, Registration)
    maps = made.registration.maps((64, 48), (64, 48))
    return float(maps.pixels[24, 32, 0]) - 32


def test_without_parameters_both_images_must_agree(tmp_path) -> None:
    made = source(tmp_path)
    assert made.registration.config.mode == "none"
    assert made.problem is None


def test_the_master_is_the_view(tmp_path) -> None:
    assert source(tmp_path, master="infrared").registration.config.view == "infrared"


def test_a_whole_calibration_file_needs_no_camera_info(tmp_path) -> None:
    made = source(tmp_path, RigCalibration(infrared=INFRARED, rgb=RGB, extrinsics=MOUNT), registration="stereo")
    assert baseline_px(made) == pytest.approx(-50 * 0.2 / 10, abs=1e-4)
    assert made.problem is None
    assert made.camera == RGB


@pytest.mark.parametrize(("master", "size"), [("rgb", (96, 160)), ("infrared", (48, 64))])
def test_the_file_tells_the_size_of_the_masters_images(tmp_path, master: str, size: tuple[int, int]) -> None:
    homography = Homography(matrix=np.diag([2.5, 2.0, 1.0]), infrared_size=(64, 48), rgb_size=(160, 96))
    cameras = RigCalibration(infrared=INFRARED, rgb=dataclasses.replace(RGB, width=160, height=96))
    for known in (RigCalibration(homography=homography), cameras):
        assert source(tmp_path, known, master=master).view_size == size
    assert source(tmp_path).view_size is None


def test_stereo_waits_for_both_camera_infos_and_says_so(tmp_path) -> None:
    made = source(tmp_path, registration="stereo")
    assert made.problem.line == "no pairs are processed: registration 'stereo' waits for infrared/camera_info"
    made.update_camera_info("infrared", INFRARED)
    assert made.problem.line.endswith("waits for rgb/camera_info")
    made.update_camera_info("rgb", RGB)
    assert made.problem is None
    assert baseline_px(made) == pytest.approx(-50 * -0.1 / 10, abs=1e-4)


def test_a_camera_that_is_not_calibrated_is_named_with_the_reason(tmp_path) -> None:
    made = source(tmp_path, registration="stereo")
    made.update_camera_info("infrared", CalibrationError("the focal length is 0: the camera is not calibrated"))
    assert "infrared/camera_info: the focal length is 0: the camera is not calibrated" in made.problem.line
    made.update_camera_info("infrared", INFRARED)
    made.update_camera_info("rgb", RGB)
    assert made.problem is None


def test_single_cameras_do_not_say_how_they_are_mounted(tmp_path) -> None:
    made = source(tmp_path, registration="stereo")
    made.update_camera_info("infrared", INFRARED)
    made.update_camera_info("rgb", SINGLE)
    assert "how the cameras are mounted" in made.problem.line
    assert "give 'extrinsics' in calibration_file" in made.problem.line


def test_a_file_of_extrinsics_is_completed_by_the_cameras(tmp_path) -> None:
    made = source(tmp_path, RigCalibration(extrinsics=MOUNT), registration="stereo")
    made.update_camera_info("infrared", INFRARED)
    made.update_camera_info("rgb", SINGLE)
    assert baseline_px(made) == pytest.approx(-1.0, abs=1e-4)
    assert made.camera is None


def test_what_the_file_has_stands_against_the_cameras(tmp_path) -> None:
    made = source(tmp_path, RigCalibration(infrared=INFRARED, rgb=RGB, extrinsics=MOUNT), registration="stereo")
    wide = CameraModel(width=64, height=48, K=[[25.0, 0, 31.5], [0, 25.0, 23.5], [0, 0, 1]])
    made.update_camera_info("infrared", wide)
    made.update_camera_info("rgb", CalibrationError("the focal length is 0"))
    assert baseline_px(made) == pytest.approx(-1.0, abs=1e-4)


def test_camera_info_means_nothing_to_other_modes(tmp_path) -> None:
    made = source(tmp_path, registration="resize")
    before = made.registration
    made.update_camera_info("rgb", RGB)
    assert made.registration is before


def test_cameras_that_share_no_view_are_a_problem_and_no_error(tmp_path) -> None:
    aside = CameraModel(width=64, height=48, K=K, P=RGB.P, R=[[0.0, 0, -1], [0, 1, 0], [1, 0, 0.0]])
    made = source(tmp_path, registration="stereo")
    made.update_camera_info("infrared", INFRARED)
    made.update_camera_info("rgb", aside)
    assert isinstance(made.registration, Unregistered)
    assert "degrees apart" in made.problem.line


REFUSED = {
    "no homography": ({"registration": "homography"}, None, "needs a calibration_file with a 'homography'"),
    "no plane": ({"registration": "stereo", "reference_depth_m": 0.0}, None, "calibration_file has no 'plane'"),
    "no file": ({"calibration_file": "/nowhere/rig.yaml"}, None, "'calibration_file': /nowhere/rig.yaml: No such file"),
    "no shared view": (
        {"registration": "stereo"},
        RigCalibration(
            infrared=INFRARED,
            rgb=RGB,
            extrinsics=Extrinsics(rotation=[[0.17, 0, 0.985], [0, 1, 0], [-0.985, 0, 0.17]], translation_m=(0, 0, 0)),
        ),
        "infrared sees 0.0% of the RGB view",
    ),
}


@pytest.mark.parametrize(("values", "calibration", "line"), REFUSED.values(), ids=REFUSED)
def test_what_only_parameters_can_cure_is_refused(tmp_path, values, calibration, line) -> None:
    with pytest.raises(SettingError) as caught:
        source(tmp_path, calibration, **values)
    assert line in str(caught.value)


def test_parameters_that_have_nothing_to_do_with_the_rig_leave_the_maps_as_they_are(tmp_path) -> None:
    made = source(tmp_path, registration="resize")
    assert made.after(from_values(NodeConfig, {"registration": "resize", "slop_s": 0.5})) is made


def test_what_the_cameras_said_outlives_a_change_of_parameters(tmp_path) -> None:
    made = source(tmp_path)
    made.update_camera_info("infrared", INFRARED)
    made.update_camera_info("rgb", RGB)
    changed = made.after(from_values(NodeConfig, {"registration": "stereo", "master": "infrared"}))
    assert changed.problem is None
    assert changed.registration.config.view == "infrared"
    assert made.registration.config.mode == "none"


def test_a_camera_that_sends_a_part_of_its_image_crops_the_files_camera_too(tmp_path) -> None:
    made = source(tmp_path, RigCalibration(infrared=INFRARED, rgb=RGB, extrinsics=MOUNT), registration="stereo")
    made.update_camera_info("rgb", RGB.cropped(16, 12, 32, 24))
    assert (made.camera.size, made.camera.K[0, 2]) == ((32, 24), 15.5)
    maps = made.registration.maps((32, 24), (64, 48))
    assert maps.pixels[12, 16].tolist() == pytest.approx([32 - 1, 24], abs=1e-3)


def test_a_file_that_was_calibrated_on_the_part_is_taken_as_it_is(tmp_path) -> None:
    part = RGB.cropped(16, 12, 32, 24)
    file = dataclasses.replace(part, part_of=None)
    made = source(tmp_path, RigCalibration(infrared=INFRARED, rgb=file, extrinsics=MOUNT), registration="stereo")
    made.update_camera_info("rgb", part)
    assert (made.camera.size, made.camera.K[0, 2]) == ((32, 24), 15.5)


def test_a_singular_projection_in_camera_info_is_said_and_ends_nothing(tmp_path) -> None:
    made = source(tmp_path, registration="stereo")
    made.update_camera_info("infrared", dataclasses.replace(INFRARED, P=np.vstack([P[:2], np.zeros(4)])))
    made.update_camera_info("rgb", RGB)
    assert "P (projection_matrix) is singular" in made.problem.line


def test_a_part_of_another_size_of_the_files_camera_is_found(tmp_path) -> None:
    """The file was calibrated at twice the size that the camera sends a part of."""
    large = RigCalibration(infrared=INFRARED, rgb=RGB.scaled(128, 96), extrinsics=MOUNT)
    made = source(tmp_path, large, registration="stereo")
    made.update_camera_info("rgb", RGB.cropped(16, 12, 32, 24))
    assert made.camera.size == (32, 24)
    assert made.camera.K[0, 2] == pytest.approx(15.5)


SHIFT = np.array([[1.0, 0, 4], [0, 1, 2], [0, 0, 1]])
UNCALIBRATED = CalibrationError("the focal length is 0: the camera is not calibrated")


def lies_at(made: RigSource, sizes, pixel) -> list[float]:
    return made.registration.maps(*sizes).pixels[pixel[1], pixel[0]].tolist()


@pytest.mark.parametrize("size", [(64, 48), (128, 96)])
def test_a_homography_of_whole_images_is_that_of_the_part_that_a_camera_sends(tmp_path, size) -> None:
    """The part has the proportions of the whole: it would be taken for the whole image, made smaller."""
    by = size[0] / 64
    scale = np.array([[by, 0, 0.5 * by - 0.5], [0, by, 0.5 * by - 0.5], [0, 0, 1]])
    whole = Homography(matrix=scale @ SHIFT, infrared_size=(64, 48), rgb_size=size)
    made = source(tmp_path, RigCalibration(homography=whole), registration="homography")
    assert lies_at(made, ((64, 48), (64, 48)), (30, 20)) == pytest.approx([26, 18], abs=1e-3)
    before = made.registration
    made.update_camera_info("rgb", UNCALIBRATED, None)
    assert made.registration is before
    made.update_camera_info("rgb", UNCALIBRATED, ImagePart(16, 12, (32, 24), (64, 48)))
    assert lies_at(made, ((32, 24), (64, 48)), (14, 8)) == pytest.approx([26, 18], abs=1e-3)
    made.update_camera_info("infrared", UNCALIBRATED, ImagePart(8, 6, (32, 24), (64, 48)))
    assert lies_at(made, ((32, 24), (32, 24)), (14, 8)) == pytest.approx([18, 12], abs=1e-3)


def test_a_homography_of_just_the_part_is_taken_as_it_is(tmp_path) -> None:
    own = Homography(matrix=SHIFT, infrared_size=(64, 48), rgb_size=(32, 24))
    made = source(tmp_path, RigCalibration(homography=own), registration="homography")
    made.update_camera_info("rgb", UNCALIBRATED, ImagePart(16, 12, (32, 24), (64, 48)))
    assert lies_at(made, ((32, 24), (64, 48)), (14, 8)) == pytest.approx([10, 6], abs=1e-3)


def test_parts_that_do_not_overlap_under_a_homography_are_said(tmp_path) -> None:
    whole = Homography(matrix=SHIFT, infrared_size=(64, 48), rgb_size=(64, 48))
    made = source(tmp_path, RigCalibration(homography=whole), registration="homography")
    made.update_camera_info("rgb", UNCALIBRATED, ImagePart(48, 36, (16, 12), (64, 48)))
    made.update_camera_info("infrared", UNCALIBRATED, ImagePart(0, 0, (16, 12), (64, 48)))
    assert "maps the infrared image outside the RGB image" in made.problem.line
