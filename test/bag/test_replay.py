# SPDX-License-Identifier: Apache-2.0
"""Offline replay: every pair, in order, to the same bytes each time."""

import hashlib
import json
import resource
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from fake_bag import SIZE, FakeEngine
from rosbags.rosbag2 import Reader

from segmif_ros.bag.messages import typestore
from segmif_ros.bag.reading import BagError, Topics
from segmif_ros.bag.record_synthetic import LABELS_TOPIC, START_NS, RecordConfig, record
from segmif_ros.bag.replay import OUTPUT_TOPICS, ReplayConfig, replay
from segmif_ros.labels import FMB
from segmif_ros.reporting.errors import RunError
from segmif_ros.rig.calibration import Homography, RigCalibration
from segmif_ros.rig.calibration_file import calibration_yaml
from segmif_ros.scenes.faults import parse_faults
from segmif_ros.stream.pipeline_config import PipelineConfig

MakeBag = Callable[..., Path]
TRUTH = Topics(labels=LABELS_TOPIC)


def config(**changes: Any) -> ReplayConfig:
    return ReplayConfig(**{"metrics": ("EN",), **changes})


def content(out: Path) -> dict[str, bytes]:
    """What two runs must agree on."""
    files = [out / "report.json", *(out / "outputs").iterdir(), *(out / "pictures").rglob("*.*")]
    return {str(file.relative_to(out)): file.read_bytes() for file in files}


def outputs(out: Path, topic: str) -> list[Any]:
    with Reader(out / "outputs") as reader:
        connections = [each for each in reader.connections if each.topic == topic]
        return [
            typestore().deserialize_cdr(raw, connection.msgtype) for connection, _, raw in reader.messages(connections)
        ]


def stamp_ms(message: Any) -> int:
    return round((message.header.stamp.sec * 10**9 + message.header.stamp.nanosec - START_NS) / 1e6)


@pytest.mark.parametrize("storage", ["mcap", "sqlite3"])
@pytest.mark.parametrize("compressed", [False, True])
def test_every_pair_gets_all_outputs_with_the_rgb_stamp(
    make_bag: MakeBag, tmp_path: Path, storage: str, compressed: bool
) -> None:
    path = make_bag(infrared_ms=(4, 104, 204), rgb_ms=(0, 100, 200), storage=storage, compressed=compressed)
    report = replay(path, tmp_path / "out", FakeEngine(), config())
    assert report["pairs"]["processed"] == 3
    for topic in OUTPUT_TOPICS:
        assert [stamp_ms(message) for message in outputs(tmp_path / "out", topic)] == [0, 100, 200]
    assert outputs(tmp_path / "out", "/fused/image")[0].header.frame_id == "rgb"


def test_the_outputs_are_what_the_engine_made(make_bag: MakeBag, tmp_path: Path) -> None:
    path = make_bag(infrared_ms=(0,), rgb_ms=(0,))
    replay(path, tmp_path / "out", FakeEngine(), config())
    [fused] = outputs(tmp_path / "out", "/fused/image")
    expected = np.random.default_rng(0).integers(0, 255, (*SIZE, 3)).astype(np.uint8)
    assert np.array_equal(fused.data.reshape(*SIZE, 3), expected)
    [mask], [semantic] = (outputs(tmp_path / "out", f"/segmentation/{name}") for name in ("mask", "semantic_map"))
    assert mask.encoding == "mono8" and mask.step == SIZE[1]
    assert semantic.labels.tolist() == mask.data.tolist()
    assert semantic.model_hash == FakeEngine.model_hash


def test_two_runs_write_the_same_bytes(make_bag: MakeBag, tmp_path: Path) -> None:
    path = make_bag(labels_ms=(0, 100, 200, 300, 400))
    for name in ("one", "two"):
        replay(path, tmp_path / name, FakeEngine(), config(topics=TRUTH))
    assert content(tmp_path / "one") == content(tmp_path / "two")


def test_a_run_that_was_stopped_goes_on_to_the_same_bytes(make_bag: MakeBag, tmp_path: Path) -> None:
    path = make_bag()
    replay(path, tmp_path / "whole", FakeEngine(), config())
    with pytest.raises(KeyboardInterrupt):
        replay(path, tmp_path / "out", FakeEngine(stop_after=3), config())
    with (tmp_path / "out" / "outputs.spool").open("ab") as stream:
        stream.write(b"half a message")
    engine = FakeEngine()
    replay(path, tmp_path / "out", engine, config())
    assert engine.pairs == 2
    assert content(tmp_path / "out") == content(tmp_path / "whole")


def test_another_recording_of_equal_name_and_stamps_is_another_run(make_bag: MakeBag, tmp_path: Path) -> None:
    labelled = config(topics=TRUTH)
    first = replay(make_bag(labels_ms=(0, 100), label=3), tmp_path / "out", FakeEngine(), labelled)
    second = make_bag("elsewhere/drive", labels_ms=(0, 100), label=4)
    with pytest.raises(RunError, match=r"data\.contents was .*--fresh"):
        replay(second, tmp_path / "out", FakeEngine(), labelled)
    fresh = config(topics=TRUTH, fresh=True)
    assert replay(second, tmp_path / "out", FakeEngine(), fresh)["segmentation"] != first["segmentation"]


def test_the_outputs_hold_camera_info_and_label_info_for_a_planner(tmp_path: Path) -> None:
    record(tmp_path / "drive", RecordConfig(frames=2, height=64, width=80))
    replay(tmp_path / "drive", tmp_path / "out", FakeEngine(), config())
    masks, infos = (outputs(tmp_path / "out", f"/segmentation/{name}") for name in ("mask", "camera_info"))
    assert [info.header for info in infos] == [mask.header for mask in masks]
    assert (infos[0].height, infos[0].width, infos[0].k[2]) == (64, 80, 39.5)
    assert len(outputs(tmp_path / "out", "/fused/camera_info")) == 2
    [labels] = outputs(tmp_path / "out", "/segmentation/label_info")
    assert [(each.class_id, each.class_name) for each in labels.class_map] == list(enumerate(FMB.names))


def test_without_camera_info_in_the_bag_it_is_said(make_bag: MakeBag, tmp_path: Path) -> None:
    report = replay(make_bag(), tmp_path / "out", FakeEngine(), config())
    assert "No camera_info was recorded, so the bag of outputs holds none." in report["notes"]
    with Reader(tmp_path / "out" / "outputs") as reader:
        assert "/segmentation/camera_info" not in {connection.topic for connection in reader.connections}


def test_a_finished_run_is_not_done_again(make_bag: MakeBag, tmp_path: Path) -> None:
    path = make_bag()
    replay(path, tmp_path / "out", FakeEngine(), config())
    before = content(tmp_path / "out")
    engine = FakeEngine()
    replay(path, tmp_path / "out", engine, config())
    assert engine.pairs == 0
    assert content(tmp_path / "out") == before


def test_a_run_whose_spool_is_gone_starts_anew(make_bag: MakeBag, tmp_path: Path) -> None:
    path = make_bag()
    with pytest.raises(KeyboardInterrupt):
        replay(path, tmp_path / "out", FakeEngine(stop_after=3), config())
    (tmp_path / "out" / "outputs.spool").unlink()
    engine = FakeEngine()
    replay(path, tmp_path / "out", engine, config())
    assert engine.pairs == 5
    assert len(outputs(tmp_path / "out", "/fused/image")) == 5


def test_another_configuration_needs_another_folder(make_bag: MakeBag, tmp_path: Path) -> None:
    path = make_bag()
    replay(path, tmp_path / "out", FakeEngine(), config())
    with pytest.raises(RunError, match=r"configuration\.overlay_alpha was 0\.5, is 0\.1"):
        replay(path, tmp_path / "out", FakeEngine(), config(overlay_alpha=0.1))


def test_another_bag_of_the_same_name_is_noticed(make_bag: MakeBag, tmp_path: Path) -> None:
    with pytest.raises(KeyboardInterrupt):
        replay(make_bag(), tmp_path / "out", FakeEngine(stop_after=3), config())
    later = tuple(ms + 50 for ms in (0, 100, 200, 300, 400))
    with pytest.raises(RunError, match=r"another run \(data\.contents was"):
        replay(make_bag(infrared_ms=later, rgb_ms=later), tmp_path / "out", FakeEngine(), config())


def test_the_last_pair_is_not_left_waiting(make_bag: MakeBag, tmp_path: Path) -> None:
    # with a different stamp each, the pairer waits for a nearer partner that never comes
    path = make_bag(infrared_ms=(0, 100, 215), rgb_ms=(5, 110, 200))
    report = replay(path, tmp_path / "out", FakeEngine(), config())
    assert report["pairing"]["pairs"] == 3
    assert report["pairing"]["dropped"] == {"late": 0, "orphan": 0, "surplus": 0}


def test_frames_without_a_partner_are_counted(make_bag: MakeBag, tmp_path: Path) -> None:
    path = make_bag(infrared_ms=(0, 100, 260, 300), rgb_ms=(0, 100, 200, 300))
    report = replay(path, tmp_path / "out", FakeEngine(), config())
    assert report["pairing"]["pairs"] == 3
    assert report["pairing"]["dropped"]["orphan"] == 2


def test_no_pair_within_the_slop_names_the_values_that_pair(make_bag: MakeBag, tmp_path: Path) -> None:
    path = make_bag(infrared_ms=(30, 130, 230), rgb_ms=(0, 100, 200))
    with pytest.raises(BagError) as raised:
        replay(path, tmp_path / "out", FakeEngine(), config(pipeline=PipelineConfig(slop_s=0.02)))
    assert "+0.030000 s" in str(raised.value)
    assert "--slop 0.03 " in str(raised.value) and "--time-offset 0.0300" in str(raised.value)
    for changes in ({"slop_s": 0.03}, {"time_offset_s": 0.03}):
        pipeline = PipelineConfig(**changes)
        report = replay(path, tmp_path / str(changes), FakeEngine(), config(pipeline=pipeline))
        assert report["pairing"]["pairs"] == 3


def test_a_pair_that_the_engine_fails_on_costs_itself(make_bag: MakeBag, tmp_path: Path) -> None:
    report = replay(make_bag(), tmp_path / "out", FakeEngine(fail_on=[1]), config())
    assert report["pairs"]["processed"] == 4
    [failed] = report["pairs"]["failed"]
    assert failed["key"] == "000001" and "no luck" in failed["error"]
    assert report["pairing"]["dropped"]["error"] == 1
    assert len(outputs(tmp_path / "out", "/segmentation/mask")) == 4


def test_frames_of_an_unknown_encoding_are_counted_as_undecodable(make_bag: MakeBag, tmp_path: Path) -> None:
    path = make_bag(rgb_encoding="rgb8")
    [file] = path.glob("*.mcap")
    file.write_bytes(file.read_bytes().replace(b"rgb8\0", b"rgb9\0", 1))
    report = replay(path, tmp_path / "out", FakeEngine(), config())
    assert report["pairing"]["dropped"]["undecodable"] == 1


def test_ground_truth_is_matched_by_stamp(make_bag: MakeBag, tmp_path: Path) -> None:
    path = make_bag(labels_ms=(0, 110, 350))
    report = replay(path, tmp_path / "out", FakeEngine(), config(topics=TRUTH))
    assert report["segmentation"]["all"]["frames"] == 2
    assert report["segmentation"]["truth_pixels"][3] == 2 * SIZE[0] * SIZE[1]
    assert any("3 label maps, 2 of 5 pairs" in note for note in report["notes"])


def test_ground_truth_of_another_size_is_said_and_the_outputs_stay(make_bag: MakeBag, tmp_path: Path) -> None:
    path = make_bag(labels_ms=(0,), label_size=(8, 8))
    report = replay(path, tmp_path / "out", FakeEngine(), config(topics=TRUTH))
    [failed] = report["pairs"]["failed"]
    assert "ground truth is 8x8 and the labels are 48x32" in failed["error"]
    assert len(outputs(tmp_path / "out", "/fused/image")) == 5


def test_damage_in_the_middle_keeps_what_came_before(
    make_bag: MakeBag, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    whole = Reader.messages

    def torn(self: Reader, *arguments: Any) -> Any:
        for i, message in enumerate(whole(self, *arguments)):
            if i == 6:
                raise EOFError("cut off")
            yield message

    monkeypatch.setattr(Reader, "messages", torn)
    report = replay(make_bag(), tmp_path / "out", FakeEngine(), config(outputs=False))
    assert report["pairs"]["processed"] == 3
    assert any("damaged" in note and "cut off" in note for note in report["notes"])


def test_the_gain_is_smoothed_over_the_whole_bag_also_after_a_stop(make_bag: MakeBag, tmp_path: Path) -> None:
    path = make_bag()
    with pytest.raises(KeyboardInterrupt):
        replay(path, tmp_path / "out", FakeEngine(stop_after=2), config())
    replay(path, tmp_path / "out", FakeEngine(), config())
    replay(path, tmp_path / "fresh", FakeEngine(), config())
    for ours, whole in zip(
        outputs(tmp_path / "out", "/segmentation/mask"), outputs(tmp_path / "fresh", "/segmentation/mask"), strict=True
    ):
        assert np.array_equal(ours.data, whole.data)


def test_a_looped_recording_is_replayed_whole(make_bag: MakeBag, tmp_path: Path) -> None:
    from segmif_ros.bag.writing import new_bag

    source = make_bag()
    with Reader(source) as reader, new_bag(tmp_path / "looped") as bag:
        messages = [(c.topic, c.msgtype, t, raw) for c, t, raw in reader.messages()]
        for topic, kind, recorded_ns, raw in messages:
            bag.write(topic, kind, recorded_ns, raw)
        for topic, kind, recorded_ns, raw in messages:  # stamps start again, recording goes on
            bag.write(topic, kind, recorded_ns + 10**9, raw)
    report = replay(tmp_path / "looped", tmp_path / "out", FakeEngine(), config())
    assert report["pairs"]["processed"] == 10


def test_timing_is_apart_from_what_two_runs_agree_on(make_bag: MakeBag, tmp_path: Path) -> None:
    replay(make_bag(), tmp_path / "out", FakeEngine(), config())
    timing = json.loads((tmp_path / "out" / "timing.json").read_text())
    assert set(timing["stage_ms"]) == {"decode", "gain"}
    assert len(timing["series"][0]["values"]) == 5
    assert "stage_ms" not in (tmp_path / "out" / "report.json").read_text()


def test_the_output_bag_says_its_types_itself(make_bag: MakeBag, tmp_path: Path) -> None:
    replay(make_bag(), tmp_path / "out", FakeEngine(), config())
    with Reader(tmp_path / "out" / "outputs") as reader:
        definitions = {each.topic: each.msgdef.data for each in reader.connections}
    assert "float64 pair_offset_s" in definitions["/segmentation/semantic_map"]
    assert "MSG: segmif_ros/SemanticClass" in definitions["/segmentation/semantic_map"]


def test_pairs_are_registered_as_the_node_would(make_bag: MakeBag, tmp_path: Path) -> None:
    """By a calibration file: what only RGB sees is half as sure, and the report names the file's content."""
    shift = [[1, 0, 10], [0, 1, 0], [0, 0, 1]]
    sizes = {"infrared_size": SIZE[::-1], "rgb_size": SIZE[::-1]}
    calibration = RigCalibration(homography=Homography(matrix=np.array(shift), **sizes))
    file = tmp_path / "rig.yaml"
    file.write_text(calibration_yaml(calibration))
    pipeline = PipelineConfig(registration="homography", calibration_file=str(file))
    path = make_bag(infrared_ms=(0,), rgb_ms=(0,))
    report = replay(path, tmp_path / "out", FakeEngine(), config(pipeline=pipeline))
    [confidence] = outputs(tmp_path / "out", "/segmentation/confidence")
    assert confidence.data.reshape(SIZE)[5].tolist() == [49] * 10 + [99] * 38
    configuration = report["header"]["configuration"]
    assert configuration["registration"] == "homography"
    assert configuration["calibration_sha256"] == hashlib.sha256(file.read_bytes()).hexdigest()
    assert str(tmp_path) not in json.dumps(configuration)


@contextmanager
def files_up_to(size: int) -> Iterator[None]:
    """Let the system refuse larger files, which for a program is what a full disk is."""
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (size, hard))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))


@pytest.mark.parametrize("size", [4_000, 40_000, 70_000])
def test_a_full_disk_is_one_line_and_what_was_done_stays_usable(make_bag: MakeBag, tmp_path: Path, size: int) -> None:
    path = make_bag()
    replay(path, tmp_path / "whole", FakeEngine(), config())
    with files_up_to(size), pytest.raises(RunError) as raised:
        replay(path, tmp_path / "out", FakeEngine(), config())
    assert "\n" not in str(raised.value)
    engine = FakeEngine()
    replay(path, tmp_path / "out", engine, config())
    assert engine.pairs < 5 or size < 10_000
    assert content(tmp_path / "out") == content(tmp_path / "whole")


def test_one_camera_alone_and_steady_labels_are_replayed_to_the_same_bytes_also_after_a_stop(tmp_path: Path) -> None:
    faults = parse_faults("infrared:silent@1s+1s,rgb:black@3s+1s")
    record(tmp_path / "bag", RecordConfig(frames=50, height=48, width=64, lighting="day", faults=faults))
    pipeline = PipelineConfig(
        single_camera="continue", temporal="filter", rgb_alone_confidence=0.5, infrared_alone_confidence=0.5
    )
    settings = config(topics=TRUTH, pipeline=pipeline)
    whole = replay(tmp_path / "bag", tmp_path / "whole", FakeEngine(), settings)
    assert whole["pairing"]["alone"]["rgb"] > 3
    assert whole["pairing"]["alone"]["infrared"] > 3
    maps = outputs(tmp_path / "whole", "/segmentation/semantic_map")
    assert {each.cameras for each in maps} == {1, 2, 3}
    assert {each.infrared_health for each in maps} >= {0, 1}
    stamps = [stamp_ms(each) for each in maps]
    assert stamps == sorted(set(stamps))

    def stop(count: int, done: list[int] = []) -> None:  # noqa: B006  it counts over the calls
        done.append(count)
        if len(done) == 25:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        replay(tmp_path / "bag", tmp_path / "parts", FakeEngine(), settings, stop)
    replay(tmp_path / "bag", tmp_path / "parts", FakeEngine(), settings)
    assert content(tmp_path / "parts") == content(tmp_path / "whole")
