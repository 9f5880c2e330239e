# SPDX-License-Identifier: Apache-2.0
"""Hostile input over DDS: after each case the node is alive, says at most a line, and processes the next pair.

The cases once ended the node or its services; none may even reach the barrier that would catch it now.
"""

import itertools
import math
import time

import numpy as np
import pytest
from patience import WAIT_S

pytest.importorskip("rclpy", reason="no ROS 2 here")

from builtin_interfaces.msg import Time
from rclpy.parameter import Parameter
from sensor_msgs.msg import CameraInfo, Image
from std_msgs.msg import Header
from std_srvs.srv import SetBool, Trigger

UINT32 = 2**32 - 1
K = [50.0, 0.0, 32.0, 0.0, 50.0, 24.0, 0.0, 0.0, 1.0]
P = [50.0, 0.0, 32.0, 0.0, 0.0, 50.0, 24.0, 0.0, 0.0, 0.0, 1.0, 0.0]
STEREO = {"registration": "stereo"}
OFFSET = {"estimate_time_offset": True}


def images(*, stamp=None, frame_id="", encoding=None, data=None, **facts):
    """Send both cameras' images with the facts given."""

    def act(table) -> None:
        for camera, name in (("infrared", "mono8"), ("rgb", "rgb8")):
            for second in range(3):
                height, width = facts.get("height", 6), facts.get("width", 8)
                size = 0 if height * width > 10**7 else height * width * (1 if name == "mono8" else 3)
                message = Image(
                    header=Header(stamp=stamp or Time(sec=1000 + second), frame_id=frame_id),
                    encoding=encoding or name,
                    height=height,
                    width=width,
                    step=facts.get("step", min(UINT32, width * (1 if name == "mono8" else 3))),
                    data=bytes(size) if data is None else data,
                )
                table.cameras[camera].publish(message)

    return act


def infos(**facts):
    """Send both cameras' camera_info, the RGB camera's with the facts given."""

    def act(table) -> None:
        for camera, more in (("infrared", {}), ("rgb", facts)):
            values = {"width": 64, "height": 48, "distortion_model": "plumb_bob", "k": K, "p": P, **more}
            publisher = table.others.create_publisher(CameraInfo, f"{camera}/camera_info", 5)
            table.until(publisher.get_subscription_count)
            for each in ("d", "k", "p"):
                values[each] = [float(number) for number in values.get(each, [0.0] * 5)]
            publisher.publish(CameraInfo(r=np.eye(3).ravel().tolist(), **values))

    return act


def parameter(name, value, *, successful=False):
    """Set a parameter, and expect that it is refused in one line, or taken."""

    def act(table) -> None:
        [result] = table.node.set_parameters([Parameter(name, value=value)])
        assert result.successful is successful, result.reason
        assert "\n" not in result.reason

    return act


def file(text, name="calibration_file"):
    """Set a parameter to a file with this text, and expect that it is refused."""

    def act(table) -> None:
        path = table.folder / "hostile.yaml"
        path.write_text(text)
        parameter(name, str(path))(table)

    return act


def weights(table) -> None:
    """Reload from nowhere; the fake engine doesn't mind the name."""
    parameter("weights", "~nosuchuser/w.pth", successful=True)(table)
    assert _answer(table, Trigger, "reload_weights") is not None


CASES = {
    "snapshot_folder of nobody": ({}, parameter("snapshot_folder", "~nosuchuser/x")),
    "calibration_file of nobody": ({}, parameter("calibration_file", "~nosuchuser/rig.yaml")),
    "a calibration with an impossible date": ({}, file("infrared:\n  image_width: 2024-13-45\n")),
    "a calibration with a number of 5000 digits": ({}, file("plane: {distance_m: " + 5000 * "9" + "}\n")),
    "a calibration_file that is a process's memory": ({}, parameter("calibration_file", "/proc/self/mem")),
    "weights of nobody": ({}, weights),
    "a gain range near the end of numbers": (
        {"gain_policy": "fixed"}, parameter("gain_fixed_high", 1.7e308, successful=True)
    ),
    "an array where a text is meant": ({}, parameter("mask_classes", ["a", "b"])),
    "a text with newlines": ({}, parameter("mask_classes", "a\nb\x1b[31m")),
    "a P of rank 2": (STEREO, infos(p=[*P[:8], 0.0, 0.0, 0.0, 0.0])),
    "a P of NaN": (STEREO, infos(p=[math.nan] * 12)),
    "a P of huge numbers": (STEREO, infos(p=[1e-300, 0, 0, 1e308, 0, 1e-300, 0, 1e308, 0, 0, 1e-300, 1e308])),
    "a D of huge numbers": ({}, infos(d=[1e308] * 14, distortion_model="rational_polynomial")),
    "a K of the smallest number": ({}, infos(k=[5e-324, 0, 32, 0, 5e-324, 24, 0, 0, 1])),
    "a fisheye that folds": ({}, infos(d=[1e30, -1e30, 1e30, 1e30], distortion_model="equidistant")),
    "a camera_info of the largest size": ({}, infos(width=UINT32, height=UINT32)),
    "a camera_info of one pixel": ({}, infos(width=1, height=1, k=[1.0, 0, 0, 0, 1, 0, 0, 0, 1])),
    "a D of 100,000 numbers": ({}, infos(d=[0.0] * 100_000)),
    "frames of one row": (OFFSET, images(height=1, width=64)),
    "frames of one column": (OFFSET, images(height=48, width=1)),
    "frames of one pixel": (OFFSET, images(height=1, width=1)),
    "frames of 4000x2": (OFFSET, images(height=2, width=4000)),
    "frames of 4000x1": (OFFSET, images(height=1, width=4000)),
    "frames of the largest size": ({}, images(height=UINT32, width=UINT32, data=b"0123456789")),
    "the largest stamp": ({}, images(stamp=Time(sec=2**31 - 1, nanosec=UINT32))),
    "a stamp before 1970": ({}, images(stamp=Time(sec=-(2**31)))),
    "a frame_id of a megabyte": ({}, images(frame_id=10**6 * "x")),
    "an encoding of newlines": ({}, images(encoding=10**5 * "\n")),
    "frames without data": ({}, images(data=b"")),
}


def _answer(table, kind, name, **values):
    client = table.others.create_client(kind, f"segmif_node/{name}")
    table.until(client.service_is_ready)
    future = client.call_async(kind.Request(**values))
    table.until(future.done)
    return future.result()


@pytest.mark.parametrize("name", CASES)
def test_the_node_says_a_line_at_most_and_works_on(bench, tmp_path, name) -> None:
    parameters, act = CASES[name]
    table = bench(diagnostics_period_s=0.2, **parameters)
    table.folder = tmp_path
    said = len(table.log)
    act(table)
    assert table.node.set_parameters([Parameter("registration", value="none")])[0].successful
    calls = table.engine.calls
    deadline = time.monotonic() + WAIT_S
    for number in itertools.count(1):  # what is in the queues comes first
        table.send(number)
        for _ in range(5):
            table.executor.spin_once(timeout_sec=0.02)
        if table.engine.calls > calls + 1:
            break
        assert time.monotonic() < deadline, table.log
    assert _answer(table, SetBool, "enable", data=True).success
    assert table.node.barrier.values() == {}
    assert not [line for line in table.log if "Traceback" in line]
    assert all(len(line) < 1000 and "\n" not in line for line in table.log[said:])
