# SPDX-License-Identifier: Apache-2.0
"""The node with a rig: registered images in, camera_info out, and what is said while a calibration is missing."""

import numpy as np
import pytest

pytest.importorskip("rclpy", reason="no ROS 2 here")

from node_bench import FRAME_NS, START_NS, Bench
from rclpy.parameter import Parameter
from sensor_msgs.msg import CameraInfo, Image

from segmif_ros.imaging.encodings import view
from segmif_ros.rig.calibration import Extrinsics, Homography, RigCalibration
from segmif_ros.rig.calibration_file import calibration_yaml
from segmif_ros.rig.camera_model import CameraModel
from segmif_ros.ros.camera_infos import info_of
from segmif_ros.ros.messages import image_buffer, image_message, make_header, stamp_ns
from segmif_ros.settings import SettingError

K = np.array([[8.0, 0, 3.5], [0, 8.0, 2.5], [0, 0, 1]])
P = np.hstack([K, np.zeros((3, 1))])
INFRARED = CameraModel(width=8, height=6, K=K, P=P)
# 1.25 m to the right of the infrared camera: a pixel at the reference of 10 m
RGB = CameraModel(width=8, height=6, K=K, P=P + np.array([[0, 0, 0, -10.0], [0] * 4, [0] * 4]))
COLUMNS = np.tile(np.arange(0, 160, 20, dtype=np.uint8), (6, 1))


def rig_file(tmp_path, **parts) -> str:
    path = tmp_path / "rig.yaml"
    path.write_text(calibration_yaml(RigCalibration(**parts)))
    return str(path)


def shifted(columns) -> Homography:
    return Homography(matrix=[[1, 0, columns], [0, 1, 0], [0, 0, 1]], infrared_size=(8, 6), rgb_size=(8, 6))


class Infos:
    """Both cameras' camera_info publishers on a bench."""

    def __init__(self, table: Bench) -> None:
        self._table = table
        self._publishers = {
            camera: table.others.create_publisher(CameraInfo, f"{camera}/camera_info", 5)
            for camera in ("infrared", "rgb")
        }
        table.until(lambda: all(each.get_subscription_count() for each in self._publishers.values()))

    def send(self, camera, model) -> None:
        message = CameraInfo() if model is None else info_of(model)
        message.header = make_header(START_NS, camera)
        self._publishers[camera].publish(message)


def listening(table, *topics) -> None:
    for topic in topics:
        table.listen(topic, CameraInfo) if topic.endswith("camera_info") else table.listen(topic)
    wanted = [each for each in table.node.publishers if each.topic in topics]
    table.until(lambda: len(wanted) == len(topics) and all(each.get_subscription_count() for each in wanted))


def confidences(table) -> list:
    return [view(image_buffer(each)) for each in table.received["segmentation/confidence"]]


def test_a_homography_from_a_file_registers_and_halves_the_confidence_where_one_camera_sees(bench, tmp_path) -> None:
    table = bench(registration="homography", calibration_file=rig_file(tmp_path, homography=shifted(2)))
    listening(table, "segmentation/confidence")
    table.send(1, infrared=COLUMNS)
    table.until(lambda: confidences(table))
    # the median of what is seen (0, 20, ... 100) is 60; half of that is what the fake thinks of it
    assert confidences(table)[0][0].tolist() == [30, 30, 0, 20, 40, 60, 80, 100]
    assert any("registration homography: infrared sees 75% of the RGB view" in line for line in table.log)


def test_the_master_cameras_view_is_kept(bench, tmp_path) -> None:
    file = rig_file(tmp_path, homography=shifted(2))
    table = bench(registration="homography", calibration_file=file, master="infrared")
    listening(table, "segmentation/confidence")
    table.send(1, infrared=COLUMNS)
    table.until(lambda: confidences(table))
    assert confidences(table)[0][0].tolist() == [0, 20, 40, 60, 80, 100, 60, 70]
    assert table.received["segmentation/confidence"][0].header.frame_id == "thermal"


def test_registration_can_change_while_the_node_runs(bench, tmp_path) -> None:
    table = bench()
    listening(table, "segmentation/confidence")
    table.send(1, infrared=COLUMNS[:3, :4])
    table.until(lambda: table.value("dropped_size") == "1")
    [resized] = table.node.set_parameters([Parameter("registration", value="resize")])
    assert resized.successful
    table.send(2, infrared=COLUMNS[:3, :4])
    table.until(lambda: len(confidences(table)) == 1)
    file = rig_file(tmp_path, homography=shifted(1))
    given = [Parameter("registration", value="homography"), Parameter("calibration_file", value=file)]
    assert table.node.set_parameters_atomically(given).successful
    table.send(3, infrared=COLUMNS)
    table.until(lambda: len(confidences(table)) == 2)
    assert confidences(table)[1][0].tolist()[1:] == list(range(0, 140, 20))


def test_a_registration_that_cannot_be_had_is_refused_with_the_reason_and_changes_nothing(bench) -> None:
    table = bench()
    [refused] = table.node.set_parameters([Parameter("registration", value="homography")])
    assert not refused.successful
    assert "needs a calibration_file with a 'homography'" in refused.reason
    [refused] = table.node.set_parameters([Parameter("calibration_file", value="/nowhere/rig.yaml")])
    assert refused.reason == "parameter 'calibration_file': /nowhere/rig.yaml: No such file or directory"
    table.send(1)
    table.until(lambda: table.value("processed") == "1")


def test_a_wrong_calibration_ends_the_start_with_the_reason(bench, tmp_path) -> None:
    bad = tmp_path / "bad.yaml"
    bad.write_text("extrinsics: {rotation: [1, 0, 0, 0, 1, 0, 0, 0, 1], translation_m: [120, 0, 0]}")
    with pytest.raises(SettingError, match=r"bad.yaml: line 1: extrinsics: translation_m is 120 m long"):
        bench(calibration_file=str(bad))


def test_stereo_from_camera_info_waits_says_so_and_then_works(bench) -> None:
    table = bench(registration="stereo")
    infos = Infos(table)
    listening(table, "segmentation/confidence")
    table.until(lambda: "waits for infrared/camera_info" in table.status().message)
    table.send(1, infrared=COLUMNS)
    table.until(lambda: table.value("dropped_uncalibrated") == "1")
    infos.send("infrared", INFRARED)
    infos.send("rgb", None)
    table.until(lambda: "rgb/camera_info: the image width is 0" in table.status().message)
    infos.send("rgb", RGB)
    table.until(lambda: "registration" not in table.status().message)
    table.send(2, infrared=COLUMNS)
    table.until(lambda: confidences(table))
    # the RGB camera is to the right: what it sees is a pixel farther left than the infrared camera has it
    assert confidences(table)[0][0].tolist()[:7] == list(range(20, 160, 20))
    assert sum("registration stereo at 10 m: infrared sees" in line for line in table.log) == 1
    assert sum("solved (was: no pairs are processed" in line for line in table.log) >= 1


def test_a_file_of_the_mounting_is_completed_by_camera_info(bench, tmp_path) -> None:
    mount = Extrinsics(rotation=np.eye(3), translation_m=(2.5, 0, 0))
    table = bench(registration="stereo", calibration_file=rig_file(tmp_path, extrinsics=mount))
    infos = Infos(table)
    listening(table, "segmentation/confidence")
    infos.send("infrared", INFRARED)
    infos.send("rgb", RGB)
    table.until(lambda: any("registration stereo" in line and "sees" in line for line in table.log))
    table.send(1, infrared=COLUMNS)
    table.until(lambda: confidences(table))
    assert confidences(table)[0][0].tolist()[2:] == [0, 20, 40, 60, 80, 100]  # the file's 2.5 m, the other way


def test_camera_info_of_the_outputs_is_scaled_to_what_it_describes(bench) -> None:
    table = bench(output_width=4, output_height=2)
    infos = Infos(table)
    topics = ("fused/image", "fused/camera_info", "segmentation/mask", "segmentation/camera_info")
    listening(table, *topics)
    infos.send("rgb", RGB.scaled(16, 12))  # the camera is binned
    infos.send("infrared", INFRARED)
    table.until(lambda: table.node.outputs.info._info is not None)
    table.send(1, infrared=COLUMNS)
    table.until(lambda: all(table.received[topic] for topic in topics))
    image, fused, mask, labels = (table.received[topic][0] for topic in topics)
    assert fused.header == image.header == labels.header == mask.header
    assert stamp_ns(fused.header) == START_NS + FRAME_NS
    assert (fused.width, fused.height) == (image.width, image.height) == (8, 6)
    assert fused.k.tolist() == K.ravel().tolist()
    assert (labels.width, labels.height) == (mask.width, mask.height) == (4, 2)
    assert labels.k.tolist() == pytest.approx([4, 0, 1.5, 0, 8 / 3, 0.5, 0, 0, 1])
    assert labels.p[3] == pytest.approx(-5.0)


def test_the_calibration_files_camera_describes_the_outputs_of_a_camera_that_says_nothing(bench, tmp_path) -> None:
    table = bench(calibration_file=rig_file(tmp_path, rgb=RGB))
    listening(table, "fused/camera_info")
    table.send(1)
    table.until(lambda: table.received["fused/camera_info"])
    assert table.received["fused/camera_info"][0].k.tolist() == K.ravel().tolist()


def test_a_camera_info_that_cannot_be_given_is_said_while_somebody_wants_it(bench) -> None:
    table = bench()
    infos = Infos(table)
    listening(table, "fused/camera_info")
    line = "/fused/camera_info: there is a subscriber, but no rgb/camera_info comes"
    table.until(lambda: line in table.status().message)
    infos.send("rgb", RGB.scaled(8, 8))
    table.until(lambda: line not in table.status().message)
    table.send(1)
    table.until(lambda: "rgb/camera_info is for 8x8 images and these have other proportions" in table.status().message)
    assert not table.received["fused/camera_info"]


def test_a_time_offset_that_nothing_tells_is_said_with_the_reason(bench) -> None:
    table = bench(estimate_time_offset=True)
    table.beat(1)
    assert table.value("time_offset_estimate_ms") == ""
    table.until(lambda: table.value("time_offset_estimate_quality") == "none: only 0 infrared frames so far")


def test_depth_images_are_taken_and_while_there_are_none_that_is_said(bench, tmp_path) -> None:
    mount = Extrinsics(rotation=np.eye(3), translation_m=[1.25, 0, 0])
    file = rig_file(tmp_path, infrared=INFRARED, rgb=RGB, extrinsics=mount)
    table = bench(registration="depth", calibration_file=file)
    publisher = table.others.create_publisher(Image, "depth/image", 5)
    table.until(lambda: publisher.get_subscription_count() == 1)
    table.send(1, infrared=COLUMNS)
    table.until(lambda: any("no depth image has come" in line for line in table.log))
    depth = np.full((6, 8), 5.0, np.float32)
    publisher.publish(image_message(depth, "32FC1", make_header(START_NS + 2 * FRAME_NS, "rgb")))
    taken = table.node.rig.registration
    table.until(lambda: bool(taken._depths))
    table.send(2, infrared=COLUMNS)
    table.until(lambda: table.value("processed") == "2")
    table.until(lambda: taken.problem == "")


def test_watching_the_registration_reports_in_the_diagnostics(bench) -> None:
    table = bench(watch_registration=True)
    table.send(1)
    table.until(lambda: (table.value("misregistration_quality") or "").startswith("none: "))
    assert table.value("registration_correction_px") == "0.0 0.0"
