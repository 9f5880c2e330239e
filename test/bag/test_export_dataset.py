# SPDX-License-Identifier: Apache-2.0
"""From a bag to a data set in FMB's layout."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from fake_bag import FakeEngine

from segmif_ros import cli
from segmif_ros.bag import record_synthetic
from segmif_ros.bag.export_dataset import ExportConfig, export
from segmif_ros.bag.reading import BagError, Topics
from segmif_ros.bag.record_synthetic import LABELS_TOPIC
from segmif_ros.bag.replay import ReplayConfig, replay
from segmif_ros.data.published import open_dataset, read_pair
from segmif_ros.labels import FMB
from segmif_ros.result_folder import FolderError

MakeBag = Callable[..., Path]
TRUTH = Topics(labels=LABELS_TOPIC)


def manifest(out: Path) -> dict[str, Any]:
    return json.loads((out / "manifest.json").read_text())


def test_what_was_exported_opens_as_fmb(make_bag: MakeBag, tmp_path: Path) -> None:
    bag = make_bag(labels_ms=(0, 100, 200, 300, 400))
    assert export(bag, tmp_path / "set", ExportConfig(topics=TRUTH, test_every=2)) == 5
    train, test = (open_dataset("fmb", tmp_path / "set", split) for split in ("train", "test"))
    assert [item.key for item in train.items] == ["00001", "00003", "00005"]
    assert [item.key for item in test.items] == ["00002", "00004"]
    sample = read_pair(test.items[0], FMB)
    assert sample.labels is not None and set(sample.labels.ravel()) == {3}
    expected = np.random.default_rng(100).integers(0, 255, sample.rgb.shape).astype(np.uint8)
    assert np.array_equal(sample.rgb, expected)


def test_the_infrared_images_are_those_that_the_engine_gets(make_bag: MakeBag, tmp_path: Path) -> None:
    seen: list[np.ndarray] = []

    class Watching(FakeEngine):
        def infer(self, infrared: np.ndarray, rgb: np.ndarray) -> Any:
            seen.append(infrared.copy())
            return super().infer(infrared, rgb)

    bag = make_bag(labels_ms=(0, 100, 200, 300, 400))
    replay(bag, tmp_path / "replay", Watching(), ReplayConfig(metrics=()))
    # every second pair only: the gain still has to see all
    export(bag, tmp_path / "set", ExportConfig(topics=TRUTH, test_every=0, every=2))
    items = open_dataset("fmb", tmp_path / "set", "train").items
    for item, infrared in zip(items, seen[::2], strict=True):
        assert np.array_equal(read_pair(item, FMB).infrared, infrared)


def test_the_manifest_says_where_each_pair_is_from(make_bag: MakeBag, tmp_path: Path) -> None:
    export(make_bag(infrared_ms=(4, 104), rgb_ms=(0, 100)), tmp_path / "set", ExportConfig())
    said = manifest(tmp_path / "set")
    assert [entry["offset_ns"] for entry in said["pairs"]] == [4_000_000, 4_000_000]
    assert said["pairs"][0]["files"]["Visible"]["file"] == "train/Visible/00001.png"
    assert (said["source"]["bag"], said["pairs_in_bag"]) == ("drive", 2)


def test_pairs_like_the_last_one_can_be_left_out(tmp_path: Path) -> None:
    config = record_synthetic.RecordConfig(frames=6, rate_hz=1000.0, height=64, width=64, infrared_delay_s=0.0)
    record_synthetic.record(tmp_path / "still", config)
    assert export(tmp_path / "still", tmp_path / "all", ExportConfig()) == 6
    assert export(tmp_path / "still", tmp_path / "few", ExportConfig(scene_change=10.0)) == 1


def test_the_calibration_goes_into_the_manifest(tmp_path: Path) -> None:
    record_synthetic.record(tmp_path / "bag", record_synthetic.RecordConfig(frames=1, height=64, width=80))
    export(tmp_path / "bag", tmp_path / "set", ExportConfig())
    calibration = manifest(tmp_path / "set")["calibration"]
    assert set(calibration) == {"infrared", "rgb"}
    assert (calibration["rgb"]["width"], calibration["rgb"]["height"]) == (80, 64)
    assert calibration["rgb"]["k"][2] == 39.5 and calibration["rgb"]["p"][2] == 39.5


def test_a_damaged_camera_info_costs_that_message(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    whole = record_synthetic.camera_info_message
    calls = iter(range(100))
    cut = lambda *what: whole(*what)[: 40 if next(calls) < 2 else None]  # noqa: E731
    monkeypatch.setattr(record_synthetic, "camera_info_message", cut)
    record_synthetic.record(tmp_path / "bag", record_synthetic.RecordConfig(frames=2, height=64, width=80))
    assert cli.main(["export-dataset", str(tmp_path / "bag"), "--out", str(tmp_path / "set")]) == 1
    said = manifest(tmp_path / "set")
    assert (len(said["pairs"]), said["source"]["unreadable_messages"]) == (2, 2)
    assert said["calibration"]["rgb"]["width"] == 80
    error = capsys.readouterr().err
    assert "2 messages of the bag can't be read" in error and "Traceback" not in error


def test_a_camera_info_with_numbers_that_are_none_goes_into_the_manifest_without_them(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    whole = record_synthetic.camera_info_message
    monkeypatch.setattr(record_synthetic, "camera_info_message", lambda h, w, K, *what: whole(h, w, K * np.nan, *what))
    record_synthetic.record(tmp_path / "bag", record_synthetic.RecordConfig(frames=1, height=64, width=80))
    export(tmp_path / "bag", tmp_path / "set", ExportConfig())
    assert manifest(tmp_path / "set")["calibration"]["rgb"]["k"] == [None] * 9


def test_two_exports_are_the_same(make_bag: MakeBag, tmp_path: Path) -> None:
    bag = make_bag()
    for name in ("one", "two"):
        export(bag, tmp_path / name, ExportConfig())
    assert manifest(tmp_path / "one") == manifest(tmp_path / "two")


def test_a_folder_with_something_in_it_is_left_alone(make_bag: MakeBag, tmp_path: Path) -> None:
    (tmp_path / "set").mkdir()
    (tmp_path / "set" / "thesis.txt").write_text("precious")
    with pytest.raises(FolderError, match=r"holds thesis\.txt, which isn't ours"):
        export(make_bag(), tmp_path / "set", ExportConfig())


def test_labels_of_another_size_are_said(make_bag: MakeBag, tmp_path: Path) -> None:
    bag = make_bag(labels_ms=(0,), label_size=(8, 8))
    with pytest.raises(BagError, match="ground truth is 8x8 and the images are 48x32"):
        export(bag, tmp_path / "set", ExportConfig(topics=TRUTH))


def test_bad_input_is_one_line(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    for arguments in (["nothing"], ["nothing", "--every", "0"]):
        assert cli.main(["export-dataset", *arguments, "--out", str(tmp_path / "set")]) == 2
        assert capsys.readouterr().err.count("\n") == 1
