# SPDX-License-Identifier: Apache-2.0
"""The node as a process: it ends cleanly on signals whatever it is doing, and says in one line why it can't start."""

import signal
import threading
import time

import numpy as np
import pytest
from patience import WAIT_S

pytest.importorskip("rclpy", reason="no ROS 2 here")

from node_processes import FAKE_NODE, LONG, PROCESS_DOMAIN, REAL_NODE, ROOT, ends_cleanly
from rclpy.node import Node
from rclpy.qos import QoSProfile, QoSReliabilityPolicy
from sensor_msgs.msg import Image

from segmif_ros.ros.messages import image_message, make_header
from segmif_ros.ros.process import run_node
from segmif_ros.trials.measuring import initialised


@pytest.mark.parametrize("repeated", [False, True], ids=["once", "repeated"])
@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_signal_ends_the_active_node_with_status_0(started, number, repeated) -> None:
    process = started(*FAKE_NODE)
    process.until("active:")
    ends_cleanly(process, number, repeated=repeated)


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_signal_while_the_model_is_loaded_ends_the_node(started, number) -> None:
    process = started(*FAKE_NODE, "--warm-up-s", LONG)
    process.until("warming up")
    ends_cleanly(process, number, repeated=True)


def test_a_signal_while_a_pair_is_in_work_ends_the_node(started) -> None:
    rclpy = pytest.importorskip("rclpy")
    process = started(*FAKE_NODE, "--infer-s", LONG)
    process.until("active:")
    context = rclpy.context.Context()
    with initialised(context, PROCESS_DOMAIN):
        cameras = Node("cameras", context=context)
        qos = QoSProfile(depth=5, reliability=QoSReliabilityPolicy.RELIABLE)
        infrared = cameras.create_publisher(Image, "infrared/image_raw", qos)
        rgb = cameras.create_publisher(Image, "rgb/image_raw", qos)
        deadline = time.monotonic() + WAIT_S
        while not (infrared.get_subscription_count() and rgb.get_subscription_count()):
            assert time.monotonic() < deadline, "the node never subscribed"
        inferring = threading.Thread(target=process.until, args=("inferring",), daemon=True)
        inferring.start()
        stamp = 10**18
        while inferring.is_alive():  # best effort: a frame may get lost
            stamp += 10**8
            infrared.publish(image_message(np.zeros((4, 4), np.uint8), "mono8", make_header(stamp, "thermal")))
            rgb.publish(image_message(np.zeros((4, 4, 3), np.uint8), "rgb8", make_header(stamp, "camera")))
            inferring.join(0.1)
        ends_cleanly(process, signal.SIGINT, repeated=True)
        cameras.destroy_node()


def test_signals_are_taken_care_of_before_anything_heavy_is_imported(started) -> None:
    program = """
import sys
import segmif_ros.ros.entry
print(sorted({"rclpy", "numpy", "cv2", "torch"} & set(sys.modules)))
"""
    process = started("-c", program)
    assert process.end() == 0
    assert process.lines == ["[]"]


def test_a_block_that_does_not_end_by_itself_is_ended_after_the_grace(started) -> None:
    program = """
import threading
from segmif_ros.ros.process import StopSignals
with StopSignals(grace_s=0.05):
    print("ready")
    threading.Event().wait()
"""
    process = started("-c", program)
    process.until("ready")
    ends_cleanly(process, signal.SIGINT)


def test_a_block_that_ends_without_a_signal_gives_the_signals_back(started) -> None:
    program = """
import signal
from segmif_ros.ros.process import StopSignals
before = signal.getsignal(signal.SIGINT)
with StopSignals() as stop:
    assert signal.getsignal(signal.SIGINT) is not before
assert signal.getsignal(signal.SIGINT) is before
assert signal.set_wakeup_fd(-1) == -1
assert not stop.requested
"""
    process = started("-c", program)
    assert process.end() == 0, process.lines


def test_a_signal_to_a_forked_process_ends_that_one_and_not_its_parent(started) -> None:
    program = """
import os, signal, time
from segmif_ros.ros.process import StopSignals
with StopSignals() as stop:
    for number in (signal.SIGTERM, signal.SIGINT):
        child = os.fork()
        if child == 0:
            time.sleep(60)
            os._exit(7)
        os.kill(child, number)
        assert os.WTERMSIG(os.waitpid(child, 0)[1]) == number
    assert not stop.requested
    print("both children are gone")
    os.kill(os.getpid(), signal.SIGTERM)
    time.sleep(60)
"""
    process = started("-c", program)
    process.until("both children are gone")
    assert process.end() == 0, process.lines


def test_a_signal_to_a_process_that_another_thread_has_forked_ends_that_one(started) -> None:
    program = """
import multiprocessing, threading, time
from segmif_ros.ros.process import StopSignals
def fork_and_end():
    child = multiprocessing.get_context("fork").Process(target=time.sleep, args=(60,))
    child.start()
    child.terminate()
    child.join()
    print("status", child.exitcode)
with StopSignals() as stop:
    thread = threading.Thread(target=fork_and_end)
    thread.start()
    thread.join()
    assert not stop.requested
"""
    process = started("-c", program)
    assert process.end() == 0, process.lines
    assert process.lines == ["status -15"]


@pytest.mark.parametrize(
    ("overrides", "reason"),
    [
        (("weights:=/nowhere/model.safetensors",), "/nowhere/model.safetensors"),
        (("weights:=nothing",), "weights 'nothing': no such name"),
        (("device:=gpu",), "device 'gpu' is unknown: use 'auto', 'cpu', 'cuda' or 'cuda:N'"),
    ],
)
def test_a_model_that_can_not_be_had_is_one_line_and_status_1(started, overrides, reason) -> None:
    process = started(*REAL_NODE, "--ros-args", *(each for pair in overrides for each in ("-p", pair)))
    assert process.end() == 1
    assert ["loading" in line for line in process.lines] == [True, False], process.lines
    assert "can't configure" in process.lines[1]
    assert reason in process.lines[1]


@pytest.mark.parametrize(
    ("overrides", "reason"),
    [
        (("slop_s:=-1.0",), "parameter 'slop_s' is -1.0: allowed is 0 to 10"),
        (("queue_size:=many",), "parameter 'queue_size' is 'many': a whole number is needed"),
        (("gain_fixed_low:=5", "gain_fixed_high:=1"), "fixed gain range 5 to 1: low must be below high"),
    ],
)
def test_a_bad_parameter_is_one_line_and_status_1(started, overrides, reason) -> None:
    process = started(*FAKE_NODE, "--ros-args", *(each for pair in overrides for each in ("-p", pair)))
    assert process.end() == 1
    assert len(process.lines) == 1, process.lines
    assert reason in process.lines[0]


def test_a_params_file_that_is_not_there_is_said_without_a_traceback(started) -> None:
    process = started(*FAKE_NODE, "--ros-args", "--params-file", "/nowhere/params.yaml")
    assert process.end() == 1
    assert process.lines == ["segmif_node: /nowhere/params.yaml: No such file or directory"]


def test_a_params_file_for_another_node_is_said(started, tmp_path) -> None:
    path = tmp_path / "robot.yaml"
    path.write_text("segmif:\n  ros__parameters:\n    slop_s: 0.5\n")
    process = started(*FAKE_NODE, "--ros-args", "--params-file", str(path))
    process.until("nothing of it applies, it is for '/segmif' and this node is '/segmif_node'")
    process.until("active:")
    ends_cleanly(process, signal.SIGTERM)


@pytest.mark.parametrize("home", [None, "/proc/nobody"], ids=["no HOME", "a home that can't be written"])
def test_without_a_home_the_node_logs_to_a_folder_that_it_says(started, monkeypatch, home) -> None:
    monkeypatch.delenv("HOME") if home is None else monkeypatch.setenv("HOME", home)
    for name in ("ROS_LOG_DIR", "ROS_HOME"):
        monkeypatch.delenv(name, raising=False)
    process = started(*FAKE_NODE)
    process.until("active:")
    ends_cleanly(process, signal.SIGTERM)
    assert home is None or any("the log goes to" in line for line in process.lines)


def test_the_params_file_of_the_repository_is_accepted_in_any_namespace(started) -> None:
    file = str(ROOT / "config" / "segmif.yaml")
    process = started(*FAKE_NODE, "--ros-args", "--params-file", file, "-r", "__ns:=/front/left", "-r", "__node:=rig")
    process.until("active: /front/left/infrared/image_raw")
    ends_cleanly(process, signal.SIGTERM)
    assert not [line for line in process.lines if "there is no parameter" in line]


def test_a_module_that_is_not_installed_is_named_in_one_line(capsys: pytest.CaptureFixture[str]) -> None:
    def make_node() -> None:
        raise ModuleNotFoundError("No module named 'torch'", name="torch")

    assert run_node("segmif_node", make_node, []) == 1
    line = capsys.readouterr().err
    assert line.count("\n") == 1
    assert "'torch' is not installed for" in line
