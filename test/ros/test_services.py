# SPDX-License-Identifier: Apache-2.0
"""The node's services over real DDS: enable, reload, snapshot."""

import dataclasses
import json
import sys
import threading
from pathlib import Path

import cv2
import numpy as np
import pytest
from patience import WAIT_S

pytest.importorskip("rclpy", reason="no ROS 2 here")
pytest.importorskip("std_srvs.srv", reason="std_srvs is not installed")

from node_bench import FRAME_NS, START_NS, SUCCESS
from node_program import FakeEngine
from rclpy.parameter import Parameter
from std_srvs.srv import SetBool, Trigger

from segmif_ros.labels import FMB, MFNET
from segmif_ros.ros import services, snapshot
from segmif_ros.ros.messages import image_message, make_header


def call(table, name, request=None):
    client = table.others.create_client(Trigger if request is None else SetBool, f"segmif_node/{name}")
    table.until(client.service_is_ready)
    return client.call_async(request or Trigger.Request())


def answer(table, future):
    table.until(future.done)
    return future.result()


def enable(table, on):
    return answer(table, call(table, "enable", SetBool.Request(data=on)))


# --- enable ----------------------------------------------------------------------------------------------------------


def test_a_disabled_node_counts_frames_and_processes_none_until_it_is_enabled(bench) -> None:
    table = bench()
    assert enable(table, False).success
    for number in (1, 2, 3):
        table.send(number)
    table.until(lambda: table.value("frames_rgb") == table.value("frames_infrared") == "3")
    assert table.status().message == "active, disabled"
    assert (table.engine.calls, table.value("pairs")) == (0, "0")
    assert enable(table, True).success
    table.send(4)
    table.until(lambda: table.engine.calls == 1)
    table.until(lambda: table.status().message == "active")


def test_an_unconfigured_node_refuses_with_the_reason(bench) -> None:
    table = bench(start=False)
    assert (enable(table, False).message, enable(table, False).success) == ("the node is not configured", False)
    assert answer(table, call(table, "snapshot")).message == "the node is not active"
    assert "not configured" in answer(table, call(table, "reload_weights")).message


def test_without_std_srvs_the_node_works_and_says_what_is_missing(bench, monkeypatch, capfd) -> None:
    monkeypatch.setitem(sys.modules, "std_srvs.srv", None)
    table = bench()
    table.send(1)
    table.until(lambda: table.engine.calls == 1)
    assert "std_srvs is not installed" in capfd.readouterr().err


# --- reload ----------------------------------------------------------------------------------------------------------


class OtherEngine(FakeEngine):
    label_set = MFNET
    model_name = "other"


class Loads:
    """Makes the first engine at once; of the later ones each waits until it is let go, and may be an error."""

    def __init__(self, *later) -> None:
        self.engines = [FakeEngine()]
        self.later = list(later)
        self.gate = threading.Semaphore(0)
        self.asked: list[str] = []

    def __call__(self, config):
        self.asked.extend(config.network.engine.weights)
        if len(self.asked) == 1:
            return self.engines[0]
        assert self.gate.acquire(timeout=WAIT_S)
        made = self.later.pop(0)
        if isinstance(made, Exception):
            raise made
        self.engines.append(made)
        return made


def test_weights_are_reloaded_while_frames_go_through_and_the_new_ones_take_over(bench) -> None:
    loads = Loads(OtherEngine())
    table = bench(make_engine=loads, mask_classes="person", weights="before")
    assert table.node.set_parameters([Parameter("weights", value="after")])[0].successful
    future = call(table, "reload_weights")
    table.until(lambda: len(loads.asked) == 2)
    for number in (1, 2):
        table.send(number)
        table.until(lambda count=number: loads.engines[0].calls == count)
    assert not future.done()
    loads.gate.release()
    result = answer(table, future)
    assert result.success, result.message
    assert result.message == "model other (0123456789ab) from the next pair on"
    assert loads.asked == ["before", "after"]
    assert loads.engines[1].warmed_up == [(480, 640)]
    table.send(3)
    table.until(lambda: loads.engines[1].calls == 1)
    assert loads.engines[0].calls == 2
    table.until(lambda: table.value("model") == "other 0123456789ab")


@pytest.mark.parametrize(
    ("error", "reason"),
    [
        (RuntimeError("CUDA\nout of memory"), "CUDA out of memory"),
        (FileNotFoundError(2, "No such file", "x.safetensors"), "x.safetensors"),
        (KeyError("a defect"), "KeyError: 'a defect'"),
    ],
)
def test_weights_that_can_not_be_loaded_leave_the_old_ones_at_work(bench, error, reason) -> None:
    loads = Loads(error)
    loads.gate.release()
    table = bench(make_engine=loads)
    result = answer(table, call(table, "reload_weights"))
    assert not result.success
    assert result.message.startswith("the weights are not reloaded, the old ones stay: ")
    assert reason in result.message
    assert "\n" not in result.message
    table.send(1)
    table.until(lambda: loads.engines[0].calls == 1)


class People(FakeEngine):
    """Sees a person in every pixel; waits for ``gate`` if there is one."""

    def __init__(self, label_set, gate=None) -> None:
        super().__init__()
        self.label_set = label_set
        self._gate = gate

    def infer(self, infrared, rgb):
        result = super().infer(infrared, rgb)
        assert self._gate is None or self._gate.acquire(timeout=WAIT_S)
        person = self.label_set.names.index("person")
        return dataclasses.replace(result, labels=np.full(infrared.shape, person, np.uint8))


def test_a_pair_in_work_during_a_reload_keeps_the_classes_of_its_own_weights(bench) -> None:
    gate = threading.Semaphore(0)
    before, after = People(FMB, gate), People(MFNET)
    assert FMB.names.index("person") != MFNET.names.index("person")
    engines = [before, after]
    table = bench(make_engine=lambda _config: engines.pop(0), mask_classes="person")
    table.listen("segmentation/classes_mask")
    counts = {each.topic: each.get_subscription_count for each in table.node.publishers}
    table.until(counts["segmentation/classes_mask"])
    events: list[str] = []
    outputs = table.node.outputs
    announce, publish = outputs.announce, outputs._classes_mask.publish
    outputs.announce = lambda label_set: (events.append(label_set.name), announce(label_set))
    outputs._classes_mask.publish = lambda mask: (events.append(f"mask {set(mask.data)}"), publish(mask))
    table.send(1)
    table.until(before.entered.is_set)
    assert answer(table, call(table, "reload_weights")).success
    # a change of the classes is of the new weights as well
    assert table.node.set_parameters([Parameter("mask_classes", value="car")])[0].successful
    gate.release()
    table.until(lambda: len(table.received["segmentation/classes_mask"]) == 1)
    assert table.node.set_parameters([Parameter("mask_classes", value="person")])[0].successful
    table.send(2)
    table.until(lambda: len(table.received["segmentation/classes_mask"]) == 2)
    assert events == ["mask {255}", "mfnet", "mask {255}"]


def test_weights_without_a_class_that_is_masked_are_refused(bench) -> None:
    loads = Loads(OtherEngine())
    loads.gate.release()
    table = bench(make_engine=loads, mask_classes="vegetation")
    result = answer(table, call(table, "reload_weights"))
    assert "there is no class 'vegetation' in mfnet" in result.message
    table.send(1)
    table.until(lambda: loads.engines[0].calls == 1)


def test_a_reload_that_ends_after_the_cleanup_is_thrown_away(bench) -> None:
    loads = Loads(OtherEngine())
    table = bench(make_engine=loads)
    future = call(table, "reload_weights")
    table.until(lambda: len(loads.asked) == 2)
    assert table.node.trigger_deactivate() == SUCCESS
    assert table.node.trigger_cleanup() == SUCCESS
    loads.gate.release()
    assert answer(table, future).message == "the node was cleaned up meanwhile"


# --- snapshot --------------------------------------------------------------------------------------------------------


def read(path) -> np.ndarray:
    return cv2.imread(str(path), cv2.IMREAD_UNCHANGED)


def test_a_snapshot_holds_the_next_pair_its_outputs_and_what_they_came_from(bench, tmp_path) -> None:
    table = bench(snapshot_folder=str(tmp_path), gain_policy="fixed", gain_fixed_high=4800.0)
    infrared = np.arange(0, 4800, 100, dtype=np.uint16).reshape(6, 8)
    rgb = np.full((6, 8, 3), (10, 20, 30), np.uint8)
    future = call(table, "snapshot")
    table.until(lambda: any(tmp_path.iterdir()))
    table.send(7, infrared=infrared, rgb=rgb, offset_ns=-3_000_000)
    table.send(8, cameras=("infrared",))  # no nearer partner can come any more
    result = answer(table, future)
    assert result.success, result.message
    folder = Path(result.message)
    assert folder.parent == tmp_path
    assert np.array_equal(read(folder / "infrared.png"), infrared)
    assert (folder / "infrared.raw").read_bytes() == infrared.tobytes()
    assert np.array_equal(read(folder / "rgb.png")[:, :, ::-1], rgb)
    assert np.array_equal(read(folder / "fused.png")[:, :, ::-1], 255 - rgb)
    confidence = read(folder / "confidence.png")
    assert np.array_equal(read(folder / "labels.png"), confidence % 15)
    assert (folder / "overlay.png").exists()
    facts = json.loads((folder / "snapshot.json").read_text())
    assert facts["rgb"]["stamp_ns"] == START_NS + 7 * FRAME_NS
    assert (facts["infrared"]["encoding"], facts["infrared"]["frame_id"]) == ("mono16", "thermal")
    assert facts["offset_ns"] == -3_000_000
    assert facts["parameters"]["gain_fixed_high"] == 4800.0
    assert facts["versions"]["numpy"] == np.__version__
    assert facts["model"]["name"] == "fake"


def test_a_snapshot_of_a_pair_that_is_refused_holds_its_bytes_and_the_reason(bench, tmp_path) -> None:
    table = bench(snapshot_folder=str(tmp_path))
    future = call(table, "snapshot")
    table.until(lambda: any(tmp_path.iterdir()))
    broken = image_message(np.zeros((6, 8, 3), np.uint8), "rgb8", make_header(START_NS + FRAME_NS, "camera"))
    broken.height = 7
    table.send(1, cameras=("infrared",))
    table.cameras["rgb"].publish(broken)
    folder = Path(answer(table, future).message)
    facts = json.loads((folder / "snapshot.json").read_text())
    assert facts["refused"]["reason"] == "undecodable"
    assert "144 bytes" in facts["undecodable"]
    assert len((folder / "rgb.raw").read_bytes()) == 144
    assert not (folder / "fused.png").exists()
    table.send(2)
    table.until(lambda: table.engine.calls == 1)


def test_a_snapshot_that_no_pair_comes_for_is_given_up_with_the_reason(bench, tmp_path, monkeypatch) -> None:
    monkeypatch.setattr(services, "SNAPSHOT_TIMEOUT_S", 0.1)
    table = bench(snapshot_folder=str(tmp_path))
    result = answer(table, call(table, "snapshot"))
    assert (result.success, result.message) == (False, "no pair came within 0.1 s; see /diagnostics")
    assert not list(tmp_path.iterdir())


def test_a_folder_that_can_not_be_written_to_is_answered_and_costs_no_frame(bench, tmp_path) -> None:
    (tmp_path / "file").write_text("")
    table = bench(snapshot_folder=str(tmp_path / "file"))
    result = answer(table, call(table, "snapshot"))
    assert not result.success
    assert f"no snapshot: {tmp_path / 'file'} can't be written (File exists)" in result.message
    table.send(1)
    table.until(lambda: table.engine.calls == 1)


def test_a_disk_that_fills_up_is_answered_and_costs_no_frame(bench, tmp_path, monkeypatch) -> None:
    def full(*_args, **_options):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(snapshot, "write_snapshot", full)
    table = bench(snapshot_folder=str(tmp_path))
    future = call(table, "snapshot")
    table.until(lambda: any(tmp_path.iterdir()))
    table.send(1)
    result = answer(table, future)
    said = f"no snapshot: {tmp_path} can't be written (No space left on device): free it, or set snapshot_folder"
    assert (result.success, result.message) == (False, said)
    table.send(2)
    table.until(lambda: table.engine.calls == 2)


def test_two_snapshots_in_a_second_have_a_folder_each(bench, tmp_path) -> None:
    table = bench(snapshot_folder=str(tmp_path))
    folders = set()
    for number in (1, 2):
        future = call(table, "snapshot")
        table.until(lambda count=number: len(list(tmp_path.iterdir())) == count)
        table.send(number)
        folders.add(answer(table, future).message)
    assert len(folders) == 2


def test_enable_answers_while_weights_are_loaded(bench) -> None:
    loads = Loads(FakeEngine())
    table = bench(make_engine=loads)
    future = call(table, "reload_weights")
    table.until(lambda: len(loads.asked) == 2)
    assert enable(table, False).success
    assert not table.node.pipeline.enabled
    assert not future.done()
    loads.gate.release()
    assert answer(table, future).success
