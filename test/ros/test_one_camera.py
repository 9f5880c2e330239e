# SPDX-License-Identifier: Apache-2.0
"""The node over real DDS when a camera falls silent or goes blind: what comes out, and what it says."""

import time

import numpy as np
import pytest
from patience import WAIT_S

pytest.importorskip("rclpy", reason="no ROS 2 here")

from diagnostic_msgs.msg import DiagnosticStatus

from segmif_ros.ros.messages import stamp_ns
from segmif_ros.stream.camera_health import Condition

MASK = "segmentation/mask"
RNG = np.random.default_rng(0)
SCENE = RNG.integers(0, 255, (24, 400)).astype(np.uint8)


def infrared(number: int) -> np.ndarray:
    """Return a picture that moves."""
    return SCENE[:, number % 300 :][:, :32].copy()


def rgb(number: int) -> np.ndarray:
    return np.dstack([infrared(number + 50)] * 3)


class Street:
    """Two cameras at about 30 Hz in front of a node."""

    def __init__(self, table) -> None:
        self.table = table
        self.number = 0
        table.listen(MASK)
        table.until(lambda: any(p.topic.endswith("mask") and p.get_subscription_count() for p in table.node.publishers))

    def until(self, condition, *, seconds=WAIT_S, **cameras) -> None:
        """Send frames until ``condition`` holds; a camera is left out, or shows what is given for it."""
        deadline = time.monotonic() + seconds
        while not condition():
            assert time.monotonic() < deadline, f"{self.table.status()} {self.table.log}"
            self.number += 1
            shown = {"infrared": infrared(self.number), "rgb": rgb(self.number)} | cameras
            sending = tuple(camera for camera, image in shown.items() if image is not None)
            images = {camera: shown[camera] for camera in sending}
            self.table.send(self.number, cameras=sending, **images)
            due = time.monotonic() + 0.03
            while (left := due - time.monotonic()) > 0:
                self.table.executor.spin_once(timeout_sec=left)

    def until_next_mask(self, **cameras) -> None:
        """Send frames until one more mask has come."""
        before = len(self.table.received[MASK])
        self.until(lambda: len(self.table.received[MASK]) > before, **cameras)

    def run(self, seconds: float, **cameras) -> int:
        """Send frames for a while; return how many masks came."""
        before, end = len(self.table.received[MASK]), time.monotonic() + seconds
        self.until(lambda: time.monotonic() > end, seconds=seconds + WAIT_S, **cameras)
        return len(self.table.received[MASK]) - before


@pytest.mark.parametrize("fault", ["silent", "frozen", "black"])
def test_a_camera_that_is_lost_is_said_and_the_other_one_goes_on(bench, fault) -> None:
    table = bench(single_camera="continue", rgb_alone_confidence=0.5)
    street = Street(table)
    street.until(lambda: table.value("cameras") == "infrared+rgb" and len(table.received[MASK]) > 5)
    lost = {"silent": None, "frozen": infrared(0), "black": np.zeros((24, 32), np.uint8)}[fault]
    street.until(lambda: table.value("cameras") == "rgb", infrared=lost)
    assert table.value("infrared_health") == ("shutter" if fault == "black" else fault) or fault == "black"
    assert table.status().level != DiagnosticStatus.OK, table.status().message
    assert "results rest on RGB alone" in table.status().message
    street.until_next_mask(infrared=lost)
    street.until(lambda: int(table.value("single_rgb")) > 0, infrared=lost)
    street.until(lambda: table.value("cameras") == "infrared+rgb")
    stamps = [stamp_ns(message.header) for message in table.received[MASK]]
    assert stamps == sorted(set(stamps))


def test_where_the_master_is_lost_outputs_keep_its_frame(bench) -> None:
    table = bench(single_camera="continue", infrared_alone_confidence=0.5)
    street = Street(table)
    street.until(lambda: len(table.received[MASK]) > 5)
    street.until(lambda: table.value("cameras") == "infrared", rgb=None)
    street.until_next_mask(rgb=None)
    assert table.received[MASK][-1].header.frame_id == "camera"


def test_with_stop_nothing_comes_out_until_both_cameras_are_well(bench) -> None:
    table = bench(single_camera="stop")
    street = Street(table)
    street.until(lambda: len(table.received[MASK]) > 5)
    street.until(lambda: int(table.value("dropped_blind") or 0) > 0, infrared=infrared(0))
    street.run(0.3, infrared=infrared(0))  # what was on its way arrives
    assert street.run(0.7, infrared=infrared(0)) == 0
    street.until_next_mask()


def test_the_costs_of_health_and_filter_are_in_the_diagnostics(bench) -> None:
    table = bench(single_camera="continue", temporal="filter")
    street = Street(table)
    street.until(lambda: table.value("stage_health_ms_p50") and table.value("stage_temporal_ms_p50"))


def test_odometry_is_listened_to_while_the_filter_wants_it(bench) -> None:
    table = bench(single_camera="continue", temporal="filter", temporal_odometry="topic")
    subscribed = [each.topic_name for each in table.node.subscriptions]
    assert any(each.endswith("/odom") for each in subscribed), subscribed
    street = Street(table)
    street.until(lambda: table.value("stage_temporal_ms_p50"))  # without odometry the flow does it


def test_the_semantic_map_names_the_cameras_it_rests_on_and_their_health(bench) -> None:
    msg = pytest.importorskip("segmif_ros.msg", reason="the package's own messages were not built here")
    table = bench(single_camera="continue", rgb_alone_confidence=0.5)
    table.listen("segmentation/semantic_map", msg.SemanticMap)
    street, maps = Street(table), table.received["segmentation/semantic_map"]
    street.until(lambda: bool(maps))
    both = msg.SemanticMap.CAMERA_INFRARED + msg.SemanticMap.CAMERA_RGB
    assert (maps[0].cameras, maps[0].health) == (both, "")
    street.until(lambda: maps[-1].cameras == msg.SemanticMap.CAMERA_RGB, infrared=infrared(0))
    assert maps[-1].infrared_health == msg.SemanticMap.HEALTH_FROZEN
    assert maps[-1].rgb_health == msg.SemanticMap.HEALTH_OK
    assert "infrared: the picture is frozen" in maps[-1].health


def test_the_message_names_every_condition_by_its_value() -> None:
    msg = pytest.importorskip("segmif_ros.msg", reason="the package's own messages were not built here")
    assert {each.name: getattr(msg.SemanticMap, f"HEALTH_{each.name}") for each in Condition} == {
        each.name: each.value for each in Condition
    }
