# SPDX-License-Identifier: Apache-2.0
"""What the cameras are like, in words and as values."""

from segmif_ros.ros.camera_report import camera_problems, camera_values
from segmif_ros.stream.camera_health import Condition
from segmif_ros.stream.single_camera import CameraReport


def report(infrared=Condition.OK, rgb=Condition.OK, used=("infrared", "rgb")) -> CameraReport:
    conditions = {"infrared": infrared, "rgb": rgb}
    lines = tuple(f"{camera}: it is {each.name}" for camera, each in conditions.items() if each)
    return CameraReport(used=used, conditions=conditions, lines=lines)


def test_cameras_that_are_well_are_no_problem() -> None:
    assert camera_problems(report()) == []


def test_a_lost_camera_is_named_and_what_the_results_rest_on() -> None:
    found = camera_problems(report(infrared=Condition.FROZEN, used=("rgb",)))
    assert [each.kind for each in found] == ["infrared FROZEN", "rgb alone"]
    assert found[0].line == "infrared: it is FROZEN"
    assert found[1].line == "results rest on RGB alone; their confidence is lowered"


def test_silence_that_is_explained_elsewhere_is_not_said_twice() -> None:
    found = camera_problems(report(rgb=Condition.SILENT, used=("infrared",)), known=["rgb"])
    assert [each.kind for each in found] == ["infrared alone"]


def test_weights_that_nobody_calibrated_are_said() -> None:
    found = camera_problems(report(rgb=Condition.WHITE, used=("infrared",)), calibrated=lambda _camera: False)
    assert "segmif single-camera" in found[-1].line


def test_the_values_name_the_cameras_in_use_and_what_each_is_like() -> None:
    assert camera_values(report(infrared=Condition.STAMP_STUCK, used=("rgb",))) == {
        "cameras": "rgb",
        "infrared_health": "stamp_stuck",
        "rgb_health": "ok",
    }
