# SPDX-License-Identifier: Apache-2.0
"""`segmif predict`: files, folders and videos in; files as asked out; a stopped run goes on."""

import argparse
import json
from pathlib import Path

import cv2
import numpy as np
import pytest

from segmif_ros.bag.reading import BagError
from segmif_ros.data.image_files import DatasetError
from segmif_ros.inference.sample_pairs import pattern_pairs
from segmif_ros.predict import command
from segmif_ros.predict.model import Model, Prediction
from segmif_ros.predict.sources import open_source
from segmif_ros.reporting.errors import RunError


def _run(weights: Path, *arguments: object) -> int:
    parser = argparse.ArgumentParser()
    command.add_arguments(parser)
    given = [*map(str, arguments), "--weights", str(weights), "--threads", "1", "--device", "cpu"]
    return command.run(parser.parse_args(given))


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    root = tmp_path / "pairs"
    for side in ("infrared", "visible"):
        (root / side).mkdir(parents=True)
    for name, (infrared, rgb) in zip("abc", pattern_pairs(40, 64, count=3), strict=True):
        cv2.imwrite(str(root / "infrared" / f"{name}.png"), infrared)
        cv2.imwrite(str(root / "visible" / f"{name}.png"), rgb[..., ::-1])
    return root


def _files(out: Path) -> set[str]:
    return {str(path.relative_to(out)) for path in out.rglob("*.png")}


def test_a_folder_gives_what_was_asked_for_and_a_sheet(
    tiny_weights: Path, folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert _run(tiny_weights, folder, "--save", "fused", "confidence", "--out", tmp_path / "out") == 0
    assert _files(tmp_path / "out") == {f"{kind}/{name}.png" for kind in ("fused", "confidence") for name in "abc"}
    assert cv2.imread(str(tmp_path / "out" / "sheet.jpg")).shape[0] > 3 * 100
    assert "3 of 3 pairs" in capsys.readouterr().out


def test_the_palette_colours_what_is_drawn_and_leaves_the_ids(tiny_weights: Path, folder: Path, tmp_path: Path) -> None:
    outs = {palette: tmp_path / palette for palette in ("dataset", "robot")}
    for palette, out in outs.items():
        _run(tiny_weights, folder, "--save", "labels", "colours", "--palette", palette, "--out", out)
    labels, colours = (
        {palette: (out / kind / "a.png").read_bytes() for palette, out in outs.items()}
        for kind in ("labels", "colours")
    )
    assert labels["dataset"] == labels["robot"]
    assert colours["dataset"] != colours["robot"]


def test_two_files_of_unequal_size_and_16_bits_go_through_gain_and_registration(
    tiny_weights: Path, folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    raw = np.linspace(7000, 8000, 20 * 32).reshape(20, 32).astype(np.uint16)
    cv2.imwrite(str(tmp_path / "raw.png"), raw)
    rgb = folder / "visible" / "a.png"
    options = ("--save", "labels", "--out", tmp_path / "out")
    assert _run(tiny_weights, tmp_path / "raw.png", rgb, *options) == 1
    assert "raw: infrared is 32x20 and RGB 64x40" in capsys.readouterr().err
    assert _run(tiny_weights, tmp_path / "raw.png", rgb, *options, "--registration", "resize", "--fresh") == 0
    assert cv2.imread(str(tmp_path / "out" / "labels" / "raw.png"), cv2.IMREAD_UNCHANGED).shape == (40, 64)


def test_a_stopped_run_goes_on_and_another_run_is_not_mixed_in(
    tiny_weights: Path, folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(command, "_MOST_ROWS", 0)  # the sheet's pairs are run again for it
    done: list[object] = []
    predict = Model.predict

    def stopping(self: Model, *images: object, **options: object) -> Prediction:
        if len(done) == 2:
            raise KeyboardInterrupt
        done.append(images)
        return predict(self, *images, **options)  # type: ignore[arg-type]

    with monkeypatch.context() as patch:
        patch.setattr(Model, "predict", stopping)
        with pytest.raises(Exception, match="the same command resumes"):
            _run(tiny_weights, folder, "--out", tmp_path / "out")

    def counting(self: Model, *images: object, **options: object) -> Prediction:
        done.append(images)
        return predict(self, *images, **options)  # type: ignore[arg-type]

    monkeypatch.setattr(Model, "predict", counting)
    assert _run(tiny_weights, folder, "--out", tmp_path / "out") == 0
    assert len(done) == 3
    assert len(_files(tmp_path / "out")) == 9
    with pytest.raises(RunError, match="holds another run"):
        _run(tiny_weights, folder, "--palette", "robot", "--out", tmp_path / "out")


def test_asking_for_other_outputs_adds_them_to_what_is_there(tiny_weights: Path, folder: Path, tmp_path: Path) -> None:
    for wanted in (["fused"], ["confidence"], ["fused"]):
        assert _run(tiny_weights, folder, "--save", *wanted, "--out", tmp_path / "out") == 0
    assert _files(tmp_path / "out") == {f"{kind}/{name}.png" for kind in ("fused", "confidence") for name in "abc"}
    records = [json.loads(line) for line in (tmp_path / "out" / "records.jsonl").read_text().splitlines()]
    assert [each["outputs"] for each in records] == [["fused"]] * 3 + [["fused", "confidence"]] * 3


def test_other_pictures_get_another_folder(
    tiny_weights: Path, folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    pair = [folder / side / "a.png" for side in ("infrared", "visible")]
    for given in (pair, [folder]):
        assert _run(tiny_weights, *given, "--save", "fused") == 0
    assert _files(tmp_path / "out") == {"predict/a/fused/a.png", *(f"predict/pairs/fused/{name}.png" for name in "abc")}


def test_a_broken_image_costs_its_pair_alone(
    tiny_weights: Path, folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (folder / "infrared" / "b.png").write_bytes(b"no image")
    assert _run(tiny_weights, folder, "--save", "fused", "--out", tmp_path / "out") == 1
    assert _files(tmp_path / "out") == {"fused/a.png", "fused/c.png"}
    assert "b: " in capsys.readouterr().err
    records = [json.loads(line) for line in (tmp_path / "out" / "records.jsonl").read_text().splitlines()]
    assert [bool(each.get("error")) for each in records] == [False, True, False]


def _video(path: Path, rate_hz: float, levels: list[int]) -> Path:
    writer = cv2.VideoWriter(str(path), cv2.VideoWriter.fourcc(*"MJPG"), rate_hz, (64, 48))
    if not writer.isOpened():
        pytest.skip("this OpenCV writes no video")
    for level in levels:
        writer.write(np.full((48, 64, 3), level, np.uint8))
    writer.release()
    return path


def test_two_videos_are_paired_by_time_and_come_back_as_videos(
    tiny_weights: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    infrared = _video(tmp_path / "ir.avi", 20, [10, 60, 110, 160, 210, 250])
    rgb = _video(tmp_path / "rgb.avi", 10, [200, 100, 50])
    seen = [item.load()[0].mean() for item in open_source(infrared, rgb).items()]
    assert np.abs(np.array(seen) - [10, 110, 210]).max() < 6
    assert _run(tiny_weights, infrared, rgb, "--save", "overlay", "labels", "--out", tmp_path / "out") == 0
    assert "paired by time" in capsys.readouterr().err
    capture = cv2.VideoCapture(str(tmp_path / "out" / "overlay.mp4"))
    assert capture.get(cv2.CAP_PROP_FRAME_COUNT) == 3
    assert not (tmp_path / "out" / "labels.mp4").exists()


@pytest.mark.parametrize(
    ("first", "second", "reason"),
    [
        ("gone.png", None, "gone.png: no such file or folder"),
        ("infrared/a.png", None, "give the RGB image or video as well"),
        ("infrared", "visible", "give the one folder that holds both"),
        ("infrared/a.png", "visible", "is an image and .* is a folder"),
        ("infrared", None, "infrared"),
        ("notes.txt", "notes.txt", "images end with"),
    ],
)
def test_what_is_no_pair_is_refused_with_what_to_give(
    folder: Path, first: str, second: str | None, reason: str
) -> None:
    (folder / "notes.txt").touch()
    with pytest.raises(DatasetError, match=reason):
        open_source(folder / first, folder / second if second else None)


def test_a_registration_without_its_calibration_is_refused_before_anything_runs(
    tiny_weights: Path, folder: Path, tmp_path: Path
) -> None:
    with pytest.raises(BagError):
        _run(tiny_weights, folder, "--registration", "stereo", "--out", tmp_path / "out")
    assert not (tmp_path / "out").exists()
