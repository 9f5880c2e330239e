# SPDX-License-Identifier: Apache-2.0
"""camera_info: what is new in it, and how it is scaled to what it describes."""

import time

import numpy as np
import pytest
from patience import WAIT_S

pytest.importorskip("rclpy", reason="no ROS 2 here")

from rclpy.executors import SingleThreadedExecutor
from rclpy.node import Node
from sensor_msgs.msg import CameraInfo, RegionOfInterest

from segmif_ros.imaging.crop import Crop
from segmif_ros.rig.camera_model import CameraModel, scaled_projection
from segmif_ros.rig.errors import CalibrationError
from segmif_ros.rig.image_part import ImagePart
from segmif_ros.ros.camera_infos import CameraInfoInput, InfoOfOutputs, camera_model, info_of, part_of, scaled_info
from segmif_ros.ros.messages import make_header
from segmif_ros.ros.qos import profile

K = [[100.0, 0, 63.5], [0, 110.0, 47.5], [0, 0, 1]]
CAMERA = CameraModel(width=128, height=96, K=K, D=[-0.1, 0.01, 0, 0, 0])


def test_a_camera_and_its_message_say_the_same() -> None:
    message = info_of(CAMERA)
    assert message.p.tolist() == [100, 0, 63.5, 0, 0, 110, 47.5, 0, 0, 0, 1, 0]
    back = camera_model(message)
    assert (back.K.tolist(), back.D.tolist(), back.size) == (K, CAMERA.D.tolist(), (128, 96))


def test_an_output_of_another_size_is_described_about_the_images_corner() -> None:
    message = info_of(CAMERA)
    message.binning_x = 2
    scaled = scaled_info(message, (128, 96), (64, 24))
    assert (scaled.width, scaled.height) == (64, 24)
    assert scaled.k.tolist() == [50, 0, 31.5, 0, 27.5, 11.5, 0, 0, 1]
    assert scaled.p.tolist() == [50, 0, 31.5, 0, 0, 27.5, 11.5, 0, 0, 0, 1, 0]
    assert scaled.d == message.d
    assert scaled.binning_x == 0
    assert (message.width, message.k[0], message.binning_x) == (128, 100, 2)  # left as it was


def test_a_binned_camera_is_described_at_the_size_that_it_sends() -> None:
    assert scaled_info(info_of(CAMERA), (64, 48), (64, 48)).k.tolist() == [50, 0, 31.5, 0, 55, 23.5, 0, 0, 1]


def test_a_cropped_camera_is_not_described_wrongly() -> None:
    assert scaled_info(info_of(CAMERA), (128, 72), (128, 72)) is None


def with_roi(**binning) -> CameraInfo:
    message = info_of(CAMERA)
    message.roi = RegionOfInterest(x_offset=64, y_offset=24, width=64, height=48)
    message.binning_x, message.binning_y = binning.get("x", 0), binning.get("y", 0)
    return message


def test_a_region_of_interest_is_described_as_it_is_sent() -> None:
    """The crop has the whole image's proportions, so that it could be taken for a scaled image."""
    made = scaled_info(with_roi(), (64, 48), (64, 48))
    assert made.k.tolist() == [100, 0, -0.5, 0, 110, 23.5, 0, 0, 1]
    assert made.p.tolist() == [100, 0, -0.5, 0, 0, 110, 23.5, 0, 0, 0, 1, 0]
    assert made.roi == RegionOfInterest()
    half = scaled_info(with_roi(), (64, 48), (32, 24))
    assert half.k.tolist() == [50, 0, -0.5, 0, 55, 11.5, 0, 0, 1]


def test_a_region_of_interest_is_binned_after_it_was_cut() -> None:
    made = scaled_info(with_roi(x=2, y=2), (32, 24), (32, 24))
    assert made.k.tolist() == [50, 0, -0.5, 0, 55, 11.5, 0, 0, 1]


def test_whole_images_under_a_region_of_interest_are_not_described_and_it_is_named() -> None:
    described = InfoOfOutputs()
    described.use(with_roi())
    assert described.message(make_header(1, "camera"), (128, 96), (128, 96)) is None
    problem = described.problem("rgb", ["fused/camera_info"])
    assert "a roi of 64x48 at (64, 24) of 128x96, so that images must be 64x48, and these are not" in problem.line


def test_the_camera_of_a_message_is_the_part_that_it_sends() -> None:
    made = camera_model(with_roi())
    assert (made.size, made.K[0, 2], made.part_of) == ((64, 48), -0.5, (64, 24, 128, 96))
    outside = with_roi()
    outside.roi.width = 65
    with pytest.raises(CalibrationError, match="region of interest 65x48"):
        camera_model(outside)


def test_an_uncalibrated_camera_stays_uncalibrated() -> None:
    for message in (CameraInfo(width=128, height=96), CameraInfo()):
        scaled = scaled_info(message, (128, 96), (64, 48))
        assert (scaled.width, scaled.height) == (64, 48)
        assert not np.any(scaled.k)
        with pytest.raises(CalibrationError, match="not calibrated"):
            camera_model(scaled)


def test_only_what_is_new_is_told(ros_context) -> None:
    """Stamps that go on are nothing new; a number that changes is."""
    node = Node("listener", context=ros_context)
    told = []
    source = CameraInfoInput(node, "rgb", profile("reliable", 5), lambda camera, info: told.append((camera, info)))
    publisher = node.create_publisher(CameraInfo, source.topic, 5)
    executor = SingleThreadedExecutor(context=ros_context)
    executor.add_node(node)
    deadline = time.monotonic() + WAIT_S

    def spin_until(condition) -> None:
        while not condition():
            assert time.monotonic() < deadline
            executor.spin_once(timeout_sec=0.02)

    spin_until(publisher.get_subscription_count)
    for number, focal in enumerate((100.0, 100.0, 100.0, 120.0)):
        message = info_of(CAMERA)
        message.k[0] = focal
        message.header = make_header(number, "camera")
        publisher.publish(message)
    spin_until(lambda: told and told[-1][1].k[0] == 120)
    assert [(camera, info.k[0]) for camera, info in told] == [("rgb", 100), ("rgb", 120)]
    assert told[-1][1].header.stamp.nanosec == 3
    source.close()
    executor.shutdown(timeout_sec=0)
    node.destroy_node()


@pytest.mark.parametrize(
    ("crop", "view_size", "k"),
    [
        (Crop(0, 2, 0, 0), (128, 94), [100, 0, 63.5, 0, 110, 47.5, 0, 0, 1]),
        (Crop(2, 0, 4, 0), (124, 94), [100, 0, 59.5, 0, 110, 45.5, 0, 0, 1]),
        (Crop(12, 12, 16, 16), (96, 72), [100, 0, 47.5, 0, 110, 35.5, 0, 0, 1]),  # of the whole image's proportions
    ],
)
def test_what_is_cut_off_moves_the_principal_point(crop, view_size, k) -> None:
    made = scaled_info(info_of(CAMERA), view_size, view_size, crop)
    assert made.k.tolist() == pytest.approx(k)
    assert (made.width, made.height) == view_size


def test_a_camera_info_of_what_is_left_is_taken_as_it_is() -> None:
    """A driver may leave rows of telemetry out of its calibration, though not out of its images."""
    made = scaled_info(info_of(CAMERA), (128, 96), (128, 96), Crop(0, 2, 0, 0))
    assert made.k.tolist() == info_of(CAMERA).k.tolist()


def test_what_is_cut_off_a_binned_image_and_a_smaller_output_are_described() -> None:
    made = scaled_info(info_of(CAMERA), (64, 46), (32, 23), Crop(2, 0, 0, 0))
    binned = scaled_projection(np.reshape(info_of(CAMERA).k, (3, 3)), 0.5, 0.5)
    binned[1, 2] -= 2
    assert made.k.tolist() == pytest.approx(scaled_projection(binned, 0.5, 0.5).ravel().tolist())


def test_a_region_of_interest_is_cropped_on_top() -> None:
    made = scaled_info(with_roi(), (64, 46), (64, 46), Crop(2, 0, 0, 0))
    assert made.k.tolist() == [100, 0, -0.5, 0, 110, 21.5, 0, 0, 1]


def test_the_part_that_a_camera_sends_is_told_where_it_can_be() -> None:
    assert part_of(info_of(CAMERA)) is None
    assert part_of(with_roi()) == ImagePart(64, 24, (64, 48), (128, 96))
    outside = with_roi()
    outside.roi.width = 65
    assert part_of(outside) is None
