# SPDX-License-Identifier: Apache-2.0
"""`segmif record`: counts, losses and offsets by the stamps, and a bag that replay reads, over real DDS."""

import json
import os
import shutil
import subprocess
import sys
from types import SimpleNamespace

import pytest
from patience import WAIT_S

from segmif_ros.bag.messages import image_message as recorded_image
from segmif_ros.bag.reading import BagError, Topics, open_bag
from segmif_ros.bag.writing import new_bag
from segmif_ros.cli import main
from segmif_ros.trials.record import Recording, offsets_of

MS = 1_000_000


class FakeBag:
    def __init__(self):
        self.written = []

    def declare(self, topic, message_type):
        self.written.append((topic, message_type))

    def write(self, topic, message_type, recorded_ns, raw):
        self.written.append((topic, len(raw)))


def frame(stamp_ns) -> bytes:
    import numpy as np

    return bytes(recorded_image(np.zeros((2, 3), np.uint8), "mono8", stamp_ns, "camera"))


def test_rates_losses_and_offsets_are_told_by_the_stamps() -> None:
    recording = Recording(FakeBag(), lambda: 10**12)
    for topic, offset in (("/ir", 4), ("/rgb", 0)):
        recording.declare(topic, "sensor_msgs/msg/Image")
        for k in range(30):
            if topic == "/ir" and k in (10, 11):
                continue
            recording.take(topic, 0, frame((1000 + 100 * k + offset) * MS))
    manifest = recording.manifest(["/ir", "/rgb"], ended="time is over", seconds=3.0)
    assert manifest["topics"]["/ir"]["lost"] == 2
    assert manifest["topics"]["/rgb"]["lost"] == 0
    assert manifest["topics"]["/rgb"]["rate_hz"] == pytest.approx(10)
    assert manifest["infrared_offset"]["median_ms"] == pytest.approx(4)
    assert json.loads(json.dumps(manifest)) == manifest


def test_without_one_camera_there_is_no_offset() -> None:
    assert offsets_of([], [1, 2]) is None
    assert offsets_of([5 * MS], [0])["median_ms"] == pytest.approx(5)


def test_a_full_disk_is_noticed() -> None:
    assert Recording(FakeBag(), lambda: 10, 100).full()
    assert not Recording(FakeBag(), lambda: 1000, 100).full()


def test_a_folder_that_is_removed_while_it_is_written_is_noticed(tmp_path) -> None:
    with pytest.raises(BagError, match="bag: can't be written: No such file"), new_bag(tmp_path / "bag") as bag:
        recording = Recording(bag, lambda: 10**12)
        assert not recording.gone()
        shutil.rmtree(tmp_path / ".building-bag")
        assert recording.gone()


def test_too_little_room_at_the_start_is_said(tmp_path, monkeypatch, capsys) -> None:
    monkeypatch.setattr("shutil.disk_usage", lambda _: SimpleNamespace(free=10**8))
    assert main(["record", str(tmp_path / "bag")]) != 0
    assert "--min-free is 1" in capsys.readouterr().err


def test_a_running_rig_is_recorded_to_a_bag_that_replay_reads(tmp_path) -> None:
    pytest.importorskip("rclpy", reason="no ROS 2 here")
    from ros_domains import take_domain

    from segmif_ros.trials.domains import local_environment

    environment = {**os.environ, **local_environment(take_domain())}
    rig = subprocess.Popen(
        [sys.executable, "-m", "segmif_ros.cli", "rig", "--ros-args", "-p", "width:=64", "-p", "height:=48",
         "-p", "loop_frames:=4", "-p", "rate_hz:=20.0"],
        env=environment, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
    )  # fmt: skip
    try:
        given = [sys.executable, "-m", "segmif_ros.cli", "record", str(tmp_path / "bag"), "--seconds", "3"]
        done = subprocess.run(given, env=environment, capture_output=True, text=True, timeout=2 * WAIT_S)
    finally:
        rig.terminate()
        rig.wait(WAIT_S)
    assert done.returncode == 0, done.stderr
    manifest = json.loads((tmp_path / "bag" / "segmif_manifest.json").read_text())
    assert {"/infrared/image_raw", "/rgb/image_raw", "/infrared/camera_info"} <= set(manifest["topics"])
    assert manifest["ended"] == "time is over"
    with open_bag(tmp_path / "bag", Topics()) as bag:
        assert bag.counts["infrared"] > 0
        assert bag.camera_info("rgb")["width"] == 64
