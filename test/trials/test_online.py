# SPDX-License-Identifier: Apache-2.0
"""Online replay: the sums, and one real run over DDS against a node with an engine that costs nothing."""

import os
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
from fake_bag import FakeEngine
from ros_domains import take_domain

from segmif_ros.bag.reading import BagError, Topics
from segmif_ros.bag.replay import ReplayConfig, replay
from segmif_ros.evaluation.compare_reports import figures
from segmif_ros.evaluation.report_page import PAGE_FILE
from segmif_ros.reporting.errors import WorkFailedError
from segmif_ros.trials.online import OnlineConfig, ResourceWatch, replay_online
from segmif_ros.trials.online_figures import remarks_on, summarise

MakeBag = Callable[..., Path]
MS = 1_000_000
FAKE_NODE = (str(Path(__file__).parents[1] / "node_program.py"),)
DOMAIN = take_domain()  # of nodes that run already
OWN_NODE_DOMAIN = take_domain()  # of those that a replay starts


@pytest.fixture(autouse=True)
def own_nodes_domain(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("segmif_ros.trials.online.take_domain", lambda: OWN_NODE_DOMAIN)


def measured(**changes: Any) -> dict[str, Any]:
    """Three masters 100 ms apart in each of two passes; the second one of the second pass gave nothing."""
    masters = [[stamp, (1000 * loop + 100 * stamp) * MS, loop] for loop in (0, 1) for stamp in (0, 1, 2)]
    outputs = [[at + 30 * MS, stamp, 30 * MS, loop] for stamp, at, loop in masters if (stamp, loop) != (1, 1)]
    values = {
        "masters": masters,
        "outputs": outputs,
        "lateness_ns": [MS] * 12,
        "diagnostics_first": {"dropped_late": "2", "dropped_superseded": "0"},
        "diagnostics_last": {
            "dropped_late": "2",
            "dropped_superseded": "1",
            "stage_network_ms_p50": "12.5",
            "pair_offset_ms_mean": "4.0",
            "pair_offset_ms_max": "5.0",
        },
    }
    return {**values, **changes}


def test_what_came_back_is_counted_by_stamp_and_pass() -> None:
    online, _ = summarise(measured(), [], 6)
    assert (online["offered"], online["processed"]) == (6, 5)
    assert [each["processed"] for each in online["loops"]] == [3, 2]
    assert online["age_ms"]["p50"] == pytest.approx(30.0)
    assert online["time_to_first_output_ms"] == pytest.approx(30.0)


def test_the_pause_between_two_passes_is_no_interval() -> None:
    online, _ = summarise(measured(), [], 6)
    # 100, 100 in the first pass, 200 in the second; 800 lie between them
    assert online["interval_ms"]["max"] == pytest.approx(200.0)
    assert online["rate_hz"] == pytest.approx(7.5)


def test_drops_are_those_since_the_start_of_the_measurement() -> None:
    online, _ = summarise(measured(), [], 6)
    assert online["dropped"] == {"late": 0, "superseded": 1}
    assert online["stage_ms"] == {"network": {"p50": 12.5}}
    assert online["pair_offset_ms"] == {"mean": 4.0, "max": 5.0}


def test_outputs_of_stamps_that_nobody_offered_are_apart() -> None:
    values = measured()
    values["outputs"].append([2000 * MS, 99, -1, -1])
    online, _ = summarise(values, [], 6)
    assert (online["processed"], online["unmatched_outputs"]) == (5, 1)


def test_cpu_and_memory_are_those_while_images_came() -> None:
    samples = [(0.0, 1.0, 10.0), (0.5, 1.25, 50.0), (1.0, 1.5, 40.0), (9.0, 8.0, 900.0)]
    online, _ = summarise(measured(), samples, 6)
    assert online["cpu_percent"] == pytest.approx(50.0)
    assert online["memory_mib"] == {"first": 10.0, "last": 40.0, "max": 50.0}


def test_a_node_that_gives_nothing_is_a_report_too() -> None:
    online, series = summarise(measured(outputs=[], diagnostics_last={}), [], 6)
    assert (online["processed"], online["rate_hz"], online["age_ms"]["p50"], series) == (0, None, None, [])
    assert any("No output at all came in pass 1, 2" in line for line in remarks_on(online))


def test_a_player_that_is_late_itself_is_said() -> None:
    online, _ = summarise(measured(lateness_ns=[50 * MS] * 12), [], 6)
    assert any("too busy to judge" in line for line in remarks_on(online))


def test_the_watch_of_resources_ends_with_the_process() -> None:
    process = subprocess.Popen([sys.executable, "-c", "import sys; sys.stdin.read()"], stdin=subprocess.PIPE)
    watch = ResourceWatch(process.pid)
    process.communicate(b"")
    watch.stop()
    assert watch.samples and watch.samples[0][2] > 0
    assert ResourceWatch(process.pid).samples == []


@pytest.mark.parametrize(("changes", "said"), [({"rate": 0.0}, "rate 0"), ({"loops": 0}, "0 loops")])
def test_a_pace_that_is_none_is_refused(changes: dict[str, Any], said: str) -> None:
    with pytest.raises(BagError, match=said):
        OnlineConfig(**changes)


def test_a_bag_that_cannot_be_played_is_refused_before_anything_is_started(make_bag: MakeBag, tmp_path: Path) -> None:
    config = OnlineConfig(node_command=("-c", "raise SystemExit('must not be started')"))
    with pytest.raises(BagError, match="--rgb-topic"):
        replay_online(make_bag(), tmp_path / "out", OnlineConfig(topics=Topics(rgb="/nothing")))
    with pytest.raises(BagError, match="no pair within the slop"):
        replay_online(make_bag("apart", infrared_ms=(50,), rgb_ms=(0,)), tmp_path / "out", config)


def assert_all_accounted_for(online: dict[str, Any]) -> None:
    """Every pair gave outputs, or the node counted why not: how many it is up to the machine."""
    lost = online["offered"] - online["processed"]
    assert 0 <= lost <= sum(online["dropped"].values()), online


def test_a_looped_bag_goes_through_a_node_over_dds(make_bag: MakeBag, tmp_path: Path) -> None:
    pytest.importorskip("rclpy", reason="no ROS 2 here")
    out = tmp_path / "out"
    offline = replay(make_bag(), tmp_path / "offline", FakeEngine(), ReplayConfig(metrics=()))
    node = {"node_command": FAKE_NODE, "node_parameters": {"diagnostics_period_s": 0.1}}
    config = OnlineConfig(loops=2, rate=0.5, clock=True, **node)
    report = replay_online(make_bag(), out, config)
    assert report["header"]["data"] == offline["header"]["data"]
    online = report["online"]
    # five pairs a pass; the clock and the stamps jump back between the passes
    assert online["offered"] == 10
    assert all(each["processed"] for each in online["loops"]), online
    assert_all_accounted_for(online)
    assert 0 < online["age_ms"]["p50"] < 60_000  # a time between the two clocks of one machine
    assert online["memory_mib"]["max"] > 10
    assert report["header"]["model"]["name"].startswith("fake")
    assert "Age of outputs" in (out / PAGE_FILE).read_text()
    assert "online.age_ms.p95" in figures(report)


def test_compressed_images_are_played_as_they_were_recorded(make_bag: MakeBag, tmp_path: Path) -> None:
    pytest.importorskip("rclpy", reason="no ROS 2 here")
    config = OnlineConfig(node_command=FAKE_NODE, node_parameters={"diagnostics_period_s": 0.1})
    report = replay_online(make_bag("packed", compressed=True), tmp_path / "out", config)
    assert report["header"]["configuration"]["node_rgb_transport"] == "compressed"
    assert report["online"]["processed"] > 0, report["online"]
    assert_all_accounted_for(report["online"])


@contextmanager
def running(*command: str) -> Iterator[int]:
    """Run a Python program as long as the block does; yields its process id."""
    process = subprocess.Popen([sys.executable, *command], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    try:
        yield process.pid
    finally:
        process.terminate()
        process.wait()


@pytest.fixture
def own_domain(monkeypatch: pytest.MonkeyPatch) -> None:
    pytest.importorskip("rclpy", reason="no ROS 2 here")
    monkeypatch.setenv("ROS_DOMAIN_ID", str(DOMAIN))
    monkeypatch.setenv("ROS_AUTOMATIC_DISCOVERY_RANGE", "LOCALHOST")


@pytest.mark.usefixtures("own_domain")
def test_a_bag_is_played_to_a_node_that_runs_already(make_bag: MakeBag, tmp_path: Path) -> None:
    with running(*FAKE_NODE) as pid:
        report = replay_online(make_bag(), tmp_path / "out", OnlineConfig(own_node=False, pid=pid, loops=3, rate=0.5))
    online = report["online"]
    assert online["offered"] == 15
    assert 0 < online["processed"] <= 15, online  # what DDS itself lost, nobody counts
    assert online["memory_mib"]["max"] > 10
    assert report["header"]["model"]["sha256"] == "unknown"


@pytest.mark.usefixtures("own_domain")
def test_a_node_that_another_player_feeds_is_watched(make_bag: MakeBag, tmp_path: Path) -> None:
    # it goes on for as long as it is let, as `ros2 bag play --loop` does
    other = ("-m", "segmif_ros.trials.player", str(make_bag()), "--out", os.devnull, "--loops", "100000")
    with running(*FAKE_NODE), running(*other):
        report = replay_online(make_bag(), tmp_path / "out", OnlineConfig(own_node=False, attach_s=8.0))
    online = report["online"]
    assert online["processed"] > 0 and online["offered"] > 0  # the watch itself may miss images on a busy machine
    assert 0 < online["age_ms"]["p50"] < 60_000  # a time between the two clocks of one machine
    assert report["header"]["data"]["sha256"] == "unknown"


@pytest.mark.usefixtures("own_domain")
def test_watching_without_a_player_is_one_line(make_bag: MakeBag, tmp_path: Path) -> None:
    with running(*FAKE_NODE), pytest.raises(BagError, match=r"no image came on /rgb/image_raw within 0\.5 s: start"):
        replay_online(make_bag(), tmp_path / "out", OnlineConfig(own_node=False, attach_s=0.5))


@pytest.mark.usefixtures("own_domain")
def test_a_running_node_that_ends_is_said_at_once(make_bag: MakeBag, tmp_path: Path) -> None:
    brief = subprocess.Popen([sys.executable, "-c", "import time; time.sleep(1)"])
    reaper = threading.Thread(target=brief.wait)
    reaper.start()
    with pytest.raises(WorkFailedError, match=rf"process {brief.pid}, has ended"):
        replay_online(make_bag(), tmp_path / "out", OnlineConfig(own_node=False, pid=brief.pid))
    reaper.join()


def test_a_process_that_is_none_is_refused_before_anything_is_started(make_bag: MakeBag, tmp_path: Path) -> None:
    with pytest.raises(BagError, match="no process has the id 4194305"):  # over the kernel's limit
        replay_online(make_bag(), tmp_path / "out", OnlineConfig(own_node=False, pid=4_194_305))


@pytest.mark.parametrize(
    ("node", "said"),
    [
        ("import time; time.sleep(60)", r"no node took the images within 1 s.*node\.log"),
        ("raise SystemExit(3)", r"node ended by itself with status 3.*node\.log"),
    ],
)
def test_a_node_that_does_not_come_up_is_one_line(make_bag: MakeBag, tmp_path: Path, node: str, said: str) -> None:
    pytest.importorskip("rclpy", reason="no ROS 2 here")
    wait_s = 1.0 if "sleep" in node else 60.0
    with pytest.raises(WorkFailedError, match=said):
        replay_online(make_bag(), tmp_path / "out", OnlineConfig(node_command=("-c", node), wait_s=wait_s))
