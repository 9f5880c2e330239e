# SPDX-License-Identifier: Apache-2.0
"""`segmif evaluate` on files as people have them: own results, raw infrared, two sizes, other classes."""

import json
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest

from segmif_ros import cli
from segmif_ros.evaluation import engine_options
from segmif_ros.inference.engine import EngineResult
from segmif_ros.labels import FMB, MFNET

SIZE = (64, 80)
RNG = np.random.default_rng(0)


def write(path: Path, image: np.ndarray) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    assert cv2.imwrite(str(path), image)


@pytest.fixture
def pairs(tmp_path: Path) -> Path:
    """Two pairs with truth: the left half is 1, the right 2."""
    root = tmp_path / "pairs"
    truth = np.repeat(np.array([[1, 2]], np.uint8), SIZE[1] // 2, axis=1).repeat(SIZE[0], axis=0)
    for name in ("00001D", "00002N"):
        write(root / "infrared" / f"{name}.png", RNG.integers(0, 255, SIZE).astype(np.uint8))
        write(root / "visible" / f"{name}.png", RNG.integers(0, 255, (*SIZE, 3)).astype(np.uint8))
        write(root / "labels" / f"{name}.png", truth)
    return root


def evaluated(root: Path, *given: object, dataset: str = "pairs", status: int = 0) -> dict[str, Any]:
    out = root.parent / "out"
    assert cli.main(["evaluate", str(root), "--dataset", dataset, "--out", str(out), *map(str, given)]) == status
    return dict(json.loads((out / "report.json").read_text()))


def test_a_folder_of_fused_images_is_judged(pairs: Path, tmp_path: Path) -> None:
    for name in ("00001D", "00002N"):
        fused = cv2.imread(str(pairs / "visible" / f"{name}.png"))
        write(tmp_path / "mine" / f"{name}.png", fused)
    report = evaluated(pairs, "--fused", tmp_path / "mine", "--name", "mine")
    assert report["header"]["model"]["name"] == "mine" and report["segmentation"] is None
    assert report["pairs"]["processed"] == 2 and report["fusion"]["all"]["SSIM"]["pairs"] == 2


def test_other_methods_get_another_folder(pairs: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    for judged in (("--baseline", "average"), ("--baseline", "maximum"), ("--fused", str(pairs / "visible"))):
        assert cli.main(["evaluate", str(pairs), "--dataset", "pairs", *judged, "--fusion-metrics", "EN"]) == 0
    names = {each.name.removeprefix(f"{pairs.name}-") for each in Path("out/evaluate").iterdir()}
    assert names == {"average", "maximum", "visible"}


def test_label_maps_of_a_method_are_judged_with_or_without_fused_images(pairs: Path, tmp_path: Path) -> None:
    for name in ("00001D", "00002N"):
        write(tmp_path / "found" / f"{name}.png", np.ones(SIZE, np.uint8))
    report = evaluated(pairs, "--labels", tmp_path / "found", "--truth-set", "mfnet", "--name", "mine")
    iou = report["segmentation"]["all"]["iou"]
    assert (iou["car"], iou["person"]) == (0.5, 0.0)
    assert report["fusion"]["all"] == {}


def test_changed_results_of_a_method_are_another_run(
    pairs: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    for name in ("00001D", "00002N"):
        write(tmp_path / "mine" / f"{name}.png", np.zeros((*SIZE, 3), np.uint8))
    evaluated(pairs, "--fused", tmp_path / "mine", "--fusion-metrics", "EN")
    write(tmp_path / "mine" / "00002N.png", np.ones((*SIZE, 3), np.uint8))
    evaluated(pairs, "--fused", tmp_path / "mine", "--fusion-metrics", "EN", status=2)
    assert "model.sha256 was" in capsys.readouterr().err


def test_results_that_are_missing_cost_their_pairs_and_others_are_said(
    pairs: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    for name in ("00001D", "stray"):
        write(tmp_path / "mine" / f"{name}.png", np.zeros((*SIZE, 3), np.uint8))
    evaluated(pairs, "--fused", tmp_path / "mine", "--fusion-metrics", "EN", status=1)
    said = capsys.readouterr()
    assert "mine/: 1 of 2 images have no pair (stray" in said.out
    assert "00002N failed:" in said.err and "no image called 00002N" in said.err


@pytest.mark.parametrize(
    ("infrared", "given", "said"),
    [
        (np.uint16, [], "infrared has 16 bits a pixel: say how it becomes 8 bits with --gain-policy"),
        (np.float32, [], "infrared has float values: say how it becomes 8 bits with --gain-policy"),
        (np.uint16, ["--gain-policy", "plateau"], ""),
        (np.uint16, ["--gain-policy", "fixed", "--gain-fixed-low", "7000", "--gain-fixed-high", "9000"], ""),
        (np.float32, ["--gain-policy", "percentile"], ""),
    ],
)
def test_raw_infrared_goes_through_the_gain(
    pairs: Path, infrared: type, given: list[str], said: str, capsys: pytest.CaptureFixture[str]
) -> None:
    (pairs / "infrared" / "00002N.png").unlink()
    (pairs / "infrared" / "00001D.png").unlink()
    write(pairs / "infrared" / "00001D.tif", RNG.integers(7000, 9000, SIZE).astype(infrared))
    report = evaluated(pairs, "--baseline", "average", "--fusion-metrics", "EN", *given, status=1 if said else 0)
    assert said in capsys.readouterr().err
    assert report["pairs"]["processed"] == (0 if said else 1)
    assert report["header"]["configuration"].get("gain_policy") == (given[1] if given else None)


def test_two_sizes_go_through_the_registration(pairs: Path, capsys: pytest.CaptureFixture[str]) -> None:
    for name in ("00001D", "00002N"):
        write(pairs / "infrared" / f"{name}.png", RNG.integers(0, 255, (48, 60)).astype(np.uint8))
    given = ("--baseline", "average", "--fusion-metrics", "EN")
    evaluated(pairs, *given, status=1)
    assert "say how they lie on each other with --registration (resize" in capsys.readouterr().err
    report = evaluated(pairs, *given, "--registration", "resize", "--fresh")
    assert report["pairs"]["processed"] == 2 and report["header"]["configuration"]["registration"] == "resize"


def test_a_calibration_that_is_not_enough_is_one_line_before_the_work(
    pairs: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    given = ["evaluate", str(pairs), "--dataset", "pairs", "--baseline", "average", "--registration", "homography"]
    assert cli.main([*given, "--out", str(pairs.parent / "out")]) == 2
    assert capsys.readouterr().err.count("\n") == 1


class CarEngine:
    """Finds trucks on the left, motorcycles on the right, by FMB's classes."""

    label_set = FMB
    model_name, model_hash, device_name, backend_name, precision = "trucks", "0" * 12, "cpu", "abacus", "exact"

    def warm_up(self, height: int, width: int) -> None: ...

    def infer(self, infrared: np.ndarray, rgb: np.ndarray) -> EngineResult:
        labels = np.full(infrared.shape, FMB.id_of("motorcycle"), np.uint8)
        labels[:, : labels.shape[1] // 2] = FMB.id_of("truck")
        return EngineResult(fused=rgb, labels=labels, confidence=labels)


def test_weights_of_other_classes_are_judged_by_name(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(engine_options, "engine_factory", lambda _arguments: CarEngine)
    truth = np.full(SIZE, MFNET.id_of("car"), np.uint8)
    truth[:, 40:] = MFNET.id_of("bike")
    truth[:8] = MFNET.id_of("guardrail")
    rgb = RNG.integers(0, 255, (*SIZE, 3))
    for folder, image in (("ir", rgb[..., 0]), ("vi", rgb), ("Segmentation_labels", truth)):
        write(tmp_path / "msrs" / "test" / folder / "00001N.png", image.astype(np.uint8))
    report = evaluated(tmp_path / "msrs", "--fusion-metrics", "none", dataset="MSRS")
    night = report["segmentation"]["night"]
    assert night["iou"]["car"] == night["iou"]["bike"] == pytest.approx(56 / 64)
    assert night["miou"]["truth"]["classes"] == ["car", "bike"] and night["iou"]["guardrail"] is None
    assert "truck and bus count as car" in capsys.readouterr().out


def test_what_an_export_writes_is_evaluated_without_labels(tmp_path: Path) -> None:
    bag = tmp_path / "bag"
    assert cli.main(["record-synthetic", str(bag), "--frames", "5", "--size", "80x64"]) == 0
    assert cli.main(["export-dataset", str(bag), "--out", str(tmp_path / "set")]) == 0
    given = ("--baseline", "average", "--fusion-only", "--fusion-metrics", "EN")
    assert evaluated(tmp_path / "set", *given, dataset="FMB")["pairs"]["processed"] == 1
