# SPDX-License-Identifier: Apache-2.0
"""The simulated rig as a node: parameters, messages, and the process from start to end over real DDS."""

import os
import signal
import subprocess
import sys

import cv2
import numpy as np
import pytest
from patience import WAIT_S

rclpy = pytest.importorskip("rclpy", reason="no ROS 2 here")

from rclpy.qos import QoSProfile, QoSReliabilityPolicy  # noqa: E402
from ros_domains import take_domain  # noqa: E402
from sensor_msgs.msg import CameraInfo, Image  # noqa: E402

from segmif_ros.rig.calibration import stereo_extrinsics  # noqa: E402
from segmif_ros.ros.camera_infos import camera_model  # noqa: E402
from segmif_ros.ros.simulator.config import RigConfig  # noqa: E402
from segmif_ros.ros.simulator.node import SimulatedRig, camera_infos  # noqa: E402
from segmif_ros.settings import settings_of  # noqa: E402
from segmif_ros.trials.domains import local_environment  # noqa: E402

DOMAIN = str(take_domain())
TOPICS = ("infrared/image_raw", "rgb/image_raw", "rig/labels", "infrared/camera_info", "rgb/camera_info")
SMALL = ("width:=64", "height:=48", "loop_frames:=6")


def _process(*given, **options):
    arguments = [part for each in given for part in ("-p", each)]
    environment = {**os.environ, **local_environment(int(DOMAIN)), "ROS_PYTHON_CHECK_FIELDS": "1"}
    return subprocess.Popen(
        [sys.executable, "-m", "segmif_ros.cli", "rig", "--ros-args", *arguments],
        env=environment, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, **options,
    )  # fmt: skip


@pytest.fixture
def listener():
    """Collects what a rig process sends; reliable, so that nothing may get lost on the way."""
    context = rclpy.Context()
    rclpy.init(context=context, domain_id=int(DOMAIN))
    node = rclpy.create_node("listener", context=context)
    executor = rclpy.executors.SingleThreadedExecutor(context=context)
    executor.add_node(node)
    got = {}
    qos = QoSProfile(depth=100, reliability=QoSReliabilityPolicy.RELIABLE)
    for topic in TOPICS:
        kind = CameraInfo if topic.endswith("camera_info") else Image
        got[topic] = []
        node.create_subscription(kind, topic, got[topic].append, qos)

    def until(process, *topics):
        """Wait for three messages on each of the topics (two processes take a while to find each other), then stop."""
        while process.poll() is None and any(len(got[topic]) < 3 for topic in topics):
            executor.spin_once(timeout_sec=0.05)
        process.send_signal(signal.SIGINT)
        said, _ = process.communicate(timeout=WAIT_S)
        assert process.returncode == 0, said
        assert "Traceback" not in said
        return got

    yield until
    executor.shutdown()
    node.destroy_node()
    rclpy.try_shutdown(context=context)


def _stamp(message):
    return message.header.stamp.sec * 10**9 + message.header.stamp.nanosec


def test_a_process_sends_pairs_with_labels_and_calibration(listener):
    process = _process(*SMALL, "reliability:=reliable", "rate_hz:=10", "infrared_time_offset_s:=0.02")
    got = listener(process, *TOPICS)
    stamps = [{_stamp(message) for message in got[topic]} for topic in ("rgb/image_raw", "rig/labels")]
    stamps += [{_stamp(message) - 20_000_000 for message in got["infrared/image_raw"]}]
    common = min(set.intersection(*stamps))
    infrared, rgb, labels = (
        next(message for message in got[topic] if _stamp(message) == common + offset)
        for topic, offset in (("infrared/image_raw", 20_000_000), ("rgb/image_raw", 0), ("rig/labels", 0))
    )
    assert (infrared.encoding, infrared.step, len(infrared.data)) == ("mono16", 128, 64 * 48 * 2)
    assert (rgb.encoding, rgb.step, len(rgb.data)) == ("rgb8", 192, 64 * 48 * 3)
    assert (labels.encoding, labels.step, len(labels.data)) == ("mono8", 64, 64 * 48)
    assert infrared.header.frame_id == "infrared_optical_frame" and rgb.header.frame_id == "rgb_optical_frame"
    assert labels.header == rgb.header
    assert common in {_stamp(info) for info in got["rgb/camera_info"]}
    assert max(labels.data) <= 14 and len(set(labels.data)) >= 3
    assert np.frombuffer(infrared.data, "<u2").max() < 16384
    assert got["infrared/camera_info"][-1].k[0] == pytest.approx(0.9 * 64)


def test_a_folder_of_pairs_is_shown_as_it_is_without_labels_and_calibration(listener, tmp_path):
    for name, image in (("infrared", np.full((30, 40), 77, np.uint8)), ("visible", np.full((30, 40, 3), 9, np.uint8))):
        (tmp_path / name).mkdir()
        cv2.imwrite(str(tmp_path / name / "a.png"), image)
    process = _process(f"pairs_folder:={tmp_path}", "reliability:=reliable", "rgb_encoding:=bgr8")
    got = listener(process, *(topic for topic in TOPICS if topic != "rig/labels"))
    assert got["infrared/image_raw"][-1].encoding == "mono8"
    assert set(got["infrared/image_raw"][-1].data) == {77}
    assert got["rgb/image_raw"][-1].encoding == "bgr8" and got["rgb/image_raw"][-1].width == 40
    assert not any(got["rgb/camera_info"][-1].k), "K of 0 says: not calibrated"
    assert got["rig/labels"] == []


@pytest.mark.dds
def test_after_max_frames_the_process_ends_by_itself_with_status_0():
    process = _process(*SMALL, "rate_hz:=50", "max_frames:=3")
    said, _ = process.communicate(timeout=WAIT_S)
    assert process.returncode == 0, said
    assert "Traceback" not in said


@pytest.mark.dds
@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_signal_ends_the_process_with_status_0(number):
    process = _process(*SMALL)
    line = process.stdout.readline()
    assert "synthetic road 64x48" in line
    process.send_signal(number)
    rest, _ = process.communicate(timeout=WAIT_S)
    assert process.returncode == 0, rest
    assert "Traceback" not in rest


@pytest.mark.dds
def test_a_bad_value_ends_the_process_with_one_line_and_status_1():
    process = _process("lighting:=noon")
    said, _ = process.communicate(timeout=WAIT_S)
    assert process.returncode == 1
    assert "parameter 'lighting' is 'noon': allowed is day, dusk, night, cycle" in said
    assert len(said.strip().splitlines()) == 1


# --- the node in this process ---------------------------------------------------------------------------


@pytest.fixture
def make_rig():
    """Makes rigs with the parameters given; they are never started."""
    made = []

    def make(*given):
        arguments = [part for each in given for part in ("-p", each)]
        rclpy.init(args=["--ros-args", *arguments] if given else [], domain_id=int(DOMAIN))
        made.append(SimulatedRig())
        return made[-1]

    yield make
    for node in made:
        node.close()
        node.destroy_node()
    rclpy.try_shutdown()


def test_an_integer_is_taken_where_a_number_is_meant(make_rig):
    rig = make_rig(*SMALL, "rate_hz:=20", "jitter_s:=0")
    assert rig.get_parameter("rate_hz").value == 20.0


@pytest.mark.parametrize(
    "given",
    ["rate_hz:=0", "rate_hz:=fast", "weather:=hail", "drop_probability:=1.5", "jitter_s:=-1", "infrared_encoding:=rgb8",
     "seed:=-1", "width:=9000", "max_frames:=1.5", "reliability:=maybe", "pairs_folder:=/nowhere"],
)  # fmt: skip
def test_bad_values_are_refused_by_name(make_rig, given):
    with pytest.raises(ValueError, match=given.split(":=")[1].lstrip("-").split(".")[0]) as refusal:
        make_rig(*SMALL, given)
    assert "\n" not in str(refusal.value)


def test_every_parameter_has_a_descriptor_with_its_meaning(make_rig):
    rig = make_rig(*SMALL)
    for row in settings_of(RigConfig):
        assert rig.describe_parameter(row.name).description == row.description


def test_parameters_of_the_schedule_can_change_in_flight_and_the_others_can_not(make_rig):
    rig = make_rig(*SMALL)
    rig.start()
    results = rig.set_parameters([rclpy.Parameter("drop_probability", value=0.5)])
    assert results[0].successful
    results = rig.set_parameters([rclpy.Parameter("drop_probability", value=2.0)])
    assert not results[0].successful and "drop_probability" in results[0].reason
    results = rig.set_parameters([rclpy.Parameter("width", value=100)])
    assert not results[0].successful


def test_camera_info_describes_a_pinhole_with_its_axis_in_the_middle():
    info = camera_infos(RigConfig(width=64, height=48).calibration(), "exact")["infrared"]
    assert (info.height, info.width) == (48, 64)
    k = np.array(info.k).reshape(3, 3)
    assert k[0, 0] == k[1, 1] == pytest.approx(57.6)
    assert (k[0, 2], k[1, 2]) == (31.5, 23.5)
    assert np.allclose(np.array(info.p).reshape(3, 4)[:, :3], k)


def test_exact_camera_infos_are_those_of_a_stereo_pair():
    config = RigConfig(infrared_width=80, infrared_right_m=0.1, infrared_yaw_deg=3.0, infrared_lens="equidistant")
    truth = config.calibration()
    infos = camera_infos(truth, "exact")
    found = stereo_extrinsics(*(camera_model(infos[camera]) for camera in ("infrared", "rgb")))
    np.testing.assert_allclose(found.rotation, truth.extrinsics.rotation, atol=1e-9)
    np.testing.assert_allclose(found.translation_m, truth.extrinsics.translation_m, atol=1e-9)


def test_cameras_that_nobody_calibrated_say_only_their_size():
    info = camera_infos(RigConfig(infrared_width=80, infrared_height=60).calibration(), "none")["infrared"]
    assert (info.width, info.height) == (80, 60)
    assert not any(info.k)
