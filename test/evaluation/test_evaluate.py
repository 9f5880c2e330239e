# SPDX-License-Identifier: Apache-2.0
"""From a data set on disk to a report, with an engine that reads its labels off the RGB image's red channel."""

import json
from functools import partial
from pathlib import Path

import cv2
import numpy as np
import pytest

from segmif_ros import cli
from segmif_ros.data.published import open_dataset
from segmif_ros.evaluation.baseline import BaselineEngine
from segmif_ros.evaluation.evaluate import EvaluationConfig, evaluate, summary_lines
from segmif_ros.evaluation.report import REPORT_FILE
from segmif_ros.evaluation.report_page import PAGE_FILE
from segmif_ros.inference.engine import EngineResult
from segmif_ros.labels import MFNET, label_set_for_classes
from segmif_ros.reporting.errors import RunError
from segmif_ros.result_folder import FolderError

SIZE = (64, 64)  # the smallest that VIF takes


class RedEngine:
    """Labels are the RGB image's red channel; the pairs it saw are counted."""

    label_set = MFNET
    model_name, model_hash, device_name = "red", "0" * 12, "cpu"
    backend_name, precision = "abacus", "exact"

    def __init__(self, seen: list[int] | None = None, stop_after: int | None = None) -> None:
        self.seen = [] if seen is None else seen
        self.stop_after = stop_after

    def warm_up(self, height: int, width: int) -> None: ...

    def infer(self, infrared: np.ndarray, rgb: np.ndarray) -> EngineResult:
        if len(self.seen) == self.stop_after:
            raise KeyboardInterrupt
        self.seen.append(1)
        return EngineResult(fused=rgb, labels=rgb[..., 0].copy(), confidence=np.full_like(infrared, 51))


def write_msrs(root: Path, truths: dict[str, int], predicted: int = 1) -> Path:
    """A test split where the left half of each truth is the given id, the right half is 0; predicted likewise."""
    rng = np.random.default_rng(0)
    for stem, truth in truths.items():
        labels, red = np.zeros(SIZE, np.uint8), np.zeros(SIZE, np.uint8)
        labels[:, :32], red[:, :32] = truth, predicted
        noise = rng.integers(0, 255, SIZE, np.uint8)
        for folder, image in (
            ("ir", noise),
            ("vi", np.dstack([noise, 255 - noise, red])),
            ("Segmentation_labels", labels),
        ):
            path = root / "test" / folder / f"{stem}.png"
            path.parent.mkdir(parents=True, exist_ok=True)
            assert cv2.imwrite(str(path), image)
    return root


def config(root: Path, out: Path, **changes: object) -> EvaluationConfig:
    values = {"dataset": open_dataset("msrs", root), "out": out, "engine": RedEngine, "metrics": ("EN", "Qabf")}
    return EvaluationConfig(**{**values, **changes})  # type: ignore[arg-type]


@pytest.fixture
def root(tmp_path: Path) -> Path:
    return write_msrs(tmp_path / "data", {"00001D": 1, "00002D": 2, "00003N": 1})


def test_the_mean_is_given_under_each_convention_with_its_classes(root: Path, tmp_path: Path) -> None:
    means = evaluate(config(root, tmp_path / "out"))["segmentation"]["all"]["miou"]
    # half of each image is 0 and right; of the other half two images are 1 and right, one is 2 and called 1
    iou = {"unlabelled": 1.0, "car": 2 / 3, "person": 0.0}
    assert means["present"]["classes"] == ["unlabelled", "car", "person"]
    assert means["present"]["value"] == pytest.approx(sum(iou.values()) / 3)
    assert means["fixed"]["value"] == pytest.approx(sum(iou.values()) / 9)
    assert means["present_without_0"]["classes"] == ["car", "person"]
    assert means["present_without_0"]["value"] == pytest.approx((2 / 3) / 2)
    assert means["fixed_without_0"]["value"] == pytest.approx((2 / 3) / 8)


def test_day_and_night_are_told_apart(root: Path, tmp_path: Path) -> None:
    segmentation = evaluate(config(root, tmp_path / "out"))["segmentation"]
    assert segmentation["day"]["frames"] == 2
    assert segmentation["night"]["iou"]["car"] == 1.0
    assert segmentation["day"]["iou"]["car"] == 0.5


def test_classes_without_any_truth_are_named(root: Path, tmp_path: Path) -> None:
    segmentation = evaluate(config(root, tmp_path / "out"))["segmentation"]
    assert segmentation["classes_without_truth"] == list(MFNET.names[3:])


def test_unlabelled_pixels_can_be_left_out(root: Path, tmp_path: Path) -> None:
    segmentation = evaluate(config(root, tmp_path / "out", unlabelled="ignore"))["segmentation"]
    assert segmentation["truth_pixels"][0] == 0
    assert segmentation["all"]["pixels"] == 3 * 64 * 32


def test_the_best_and_worst_frames_lie_there_as_pictures(root: Path, tmp_path: Path) -> None:
    report = evaluate(config(root, tmp_path / "out"))
    assert report["frames"]["worst"][0]["key"] == "00002D"
    files = {path.name for path in (tmp_path / "out" / "pictures" / "00002D").iterdir()}
    assert files >= {"infrared.jpg", "rgb.jpg", "fused.jpg", "labels.png", "truth.png", "difference.jpg"}
    page = (tmp_path / "out" / "report.html").read_text()
    assert 'data-switch="labels|ground truth|difference"' in page and str(tmp_path) not in page


def test_a_broken_pair_costs_itself_and_is_named(root: Path, tmp_path: Path) -> None:
    whole = evaluate(config(root, tmp_path / "whole"))
    (root / "test" / "vi" / "00002D.png").write_bytes(b"not an image")
    report = evaluate(config(root, tmp_path / "out"))
    assert report["pairs"]["processed"] == 2
    [failed] = report["pairs"]["failed"]
    assert failed["key"] == "00002D" and "not a readable image" in failed["error"]
    assert report["segmentation"]["night"] == whole["segmentation"]["night"]


def test_an_interrupted_run_goes_on_where_it_was(root: Path, tmp_path: Path) -> None:
    evaluate(config(root, tmp_path / "whole"))
    with pytest.raises(KeyboardInterrupt):
        evaluate(config(root, tmp_path / "out", engine=partial(RedEngine, stop_after=2)))
    with (tmp_path / "out" / "records.jsonl").open("a") as stream:
        stream.write('{"key": "0000')  # as a crash leaves it
    seen: list[int] = []
    evaluate(config(root, tmp_path / "out", engine=partial(RedEngine, seen)))
    assert len(seen) == 1
    assert (tmp_path / "out" / REPORT_FILE).read_bytes() == (tmp_path / "whole" / REPORT_FILE).read_bytes()


def test_a_folder_of_another_run_is_refused(root: Path, tmp_path: Path) -> None:
    evaluate(config(root, tmp_path / "out"))
    with pytest.raises(RunError, match=r"another run \(configuration\.fusion_metrics differ\).*--fresh"):
        evaluate(config(root, tmp_path / "out", metrics=("EN",)))
    evaluate(config(root, tmp_path / "out", metrics=("EN",), fresh=True))


def test_several_workers_give_the_same_report(root: Path, tmp_path: Path) -> None:
    # the baseline engine has FMB's classes: `pairs` takes ids as the model's own
    for old, new in (("ir", "infrared"), ("vi", "visible"), ("Segmentation_labels", "labels")):
        (root / "test" / old).rename(root / "test" / new)
    dataset = open_dataset("pairs", root / "test")
    pictures = []
    for out, workers in ((tmp_path / "one", 1), (tmp_path / "two", 2)):
        report = evaluate(EvaluationConfig(dataset=dataset, out=out, engine=BaselineEngine, workers=workers))
        assert report["segmentation"]["all"]["pixels"] == 3 * 64 * 64
        pictures.append(sorted(path.relative_to(out) for path in (out / "pictures").rglob("*.*")))
    assert (tmp_path / "one" / REPORT_FILE).read_bytes() == (tmp_path / "two" / REPORT_FILE).read_bytes()
    assert pictures[0] == pictures[1]


def test_weights_without_a_class_of_the_truth_are_refused(
    root: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(RedEngine, "label_set", label_set_for_classes(3))
    with pytest.raises(RunError, match=r"mfnet's 9 classes and the model classes-3's 3, none .*--fusion-only"):
        evaluate(config(root, tmp_path / "out"))
    report = evaluate(config(root, tmp_path / "out", engine=BaselineEngine, with_truth=False))
    assert report["segmentation"] is None


def test_the_page_needs_nothing_else(root: Path, tmp_path: Path) -> None:
    evaluate(config(root, tmp_path / "out"))
    page = (tmp_path / "out" / PAGE_FILE).read_text()
    assert "http://" not in page.replace("http://www.w3.org", "") and "https://" not in page
    assert page.count("data:image/svg+xml") == 2
    assert page.count('<ul class="legend">') == 1
    assert "00002D" in page


def command(*arguments: str) -> int:
    return cli.main(["evaluate", *arguments])


def test_the_command_reports_a_baseline(root: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    out = tmp_path / "out"
    assert command("--dataset", "msrs", str(root), "--baseline", "average", "--out", str(out)) == 0
    assert "3 of 3 pairs with average" in capsys.readouterr().out
    assert json.loads((out / REPORT_FILE).read_text())["header"]["configuration"]["baseline"] == "average"


def test_the_command_says_bad_input_in_one_line(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert command("--dataset", "fmb", str(tmp_path / "nowhere"), "--baseline", "average") == 2
    said = capsys.readouterr().err
    assert said.count("\n") == 1 and "no such folder" in said


def test_the_command_ends_with_1_if_a_pair_failed(
    root: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (root / "test" / "ir" / "00001D.png").write_bytes(b"")
    out = str(tmp_path / "out")
    assert command("--dataset", "msrs", str(root), "--baseline", "average", "--out", out) == 1
    assert "00001D failed" in capsys.readouterr().err


def test_another_folder_with_files_of_the_same_names_is_another_run(root: Path, tmp_path: Path) -> None:
    evaluate(config(root, tmp_path / "out"))
    other = write_msrs(tmp_path / "other", {"00001D": 2, "00002D": 2, "00003N": 2})
    with pytest.raises(RunError, match=r"data\.root was .*data, is .*other\): give another folder, or --fresh"):
        evaluate(config(other, tmp_path / "out"))
    fresh = evaluate(config(other, tmp_path / "out", fresh=True))
    assert fresh == evaluate(config(other, tmp_path / "clean"))


@pytest.mark.parametrize("folder", ["ir", "vi", "Segmentation_labels"])
def test_contents_that_changed_since_are_another_run(root: Path, tmp_path: Path, folder: str) -> None:
    evaluate(config(root, tmp_path / "out"))
    assert cv2.imwrite(str(root / "test" / folder / "00002D.png"), np.ones(SIZE, np.uint8))
    with pytest.raises(RunError, match=r"data\.contents was"):
        evaluate(config(root, tmp_path / "out"))


def test_truth_that_is_ignored_may_change(root: Path, tmp_path: Path) -> None:
    before = evaluate(config(root, tmp_path / "out", with_truth=False))
    assert cv2.imwrite(str(root / "test" / "Segmentation_labels" / "00002D.png"), np.ones(SIZE, np.uint8))
    assert evaluate(config(root, tmp_path / "out", with_truth=False)) == before


def test_a_folder_of_the_user_is_not_written_to(root: Path, tmp_path: Path) -> None:
    (tmp_path / "thesis").mkdir()
    (tmp_path / "thesis" / "report.json").write_text("precious")
    for fresh in (False, True):
        with pytest.raises(FolderError, match=r"holds report\.json, which isn't ours"):
            evaluate(config(root, tmp_path / "thesis", fresh=fresh))
    assert [path.name for path in (tmp_path / "thesis").iterdir()] == ["report.json"]


def test_a_folder_that_cannot_be_written_is_one_line(root: Path, tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(FolderError, match=r"can't be written: Not a directory$"):
        evaluate(config(root, tmp_path / "file" / "out"))


def test_a_full_disk_keeps_what_was_done(root: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(path: Path, values: object) -> None:
        raise OSError(28, "No space left on device")

    with monkeypatch.context() as patch:
        patch.setattr("segmif_ros.evaluation.report_page.write_json", full)
        with pytest.raises(RunError, match="No space left on device; what was done so far is kept"):
            evaluate(config(root, tmp_path / "out"))
    seen: list[int] = []
    evaluate(config(root, tmp_path / "out", engine=partial(RedEngine, seen)))
    assert seen == []


def test_swapped_folders_are_asked_about(root: Path, tmp_path: Path) -> None:
    def notes(out: str) -> tuple[str, ...]:
        made = config(root, tmp_path / out, engine=BaselineEngine, with_truth=False)
        return tuple(evaluate(made)["notes"])

    assert not any("swapped" in note for note in notes("right"))
    for old, new in (("ir", "other"), ("vi", "ir"), ("other", "vi")):
        (root / "test" / old).rename(root / "test" / new)
    assert any("are the folders swapped?" in note for note in notes("swapped"))


def test_the_terminal_gets_two_lines_of_means_a_group_and_no_list_of_classes(root: Path, tmp_path: Path) -> None:
    lines = summary_lines(evaluate(config(root, tmp_path / "out")))
    means = [line for line in lines if line.startswith("mIoU")]
    assert means[0] == "mIoU, all (classes): present 55.56 % (3), truth 55.56 % (3), fixed 18.52 % (9)"
    assert means[1].startswith("mIoU without id 0, all (classes): present 33.33 % (2)")
    assert len(means) == 6 and not any("person" in line for line in means)
