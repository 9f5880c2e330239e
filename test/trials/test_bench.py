# SPDX-License-Identifier: Apache-2.0
"""The benchmark: runners take turns, ratios and tolerances are said, and the whole runs on tiny weights."""

import json
from pathlib import Path
from typing import ClassVar

import numpy as np
import pytest

from segmif_ros import cli
from segmif_ros.inference import backends
from segmif_ros.inference.operations import Rates
from segmif_ros.model import load_checkpoint
from segmif_ros.trials import bench
from segmif_ros.trials.bench_worker import Ready, RunnerError, RunnerSpec


class FakeRunner:
    """Takes a set time a frame by backend, and says in which order frames were asked for."""

    order: list[str]
    total_ms: dict[str, float]
    wrong: str | None
    broken: str | None
    specs: ClassVar[list[RunnerSpec]] = []

    def __init__(self, spec: RunnerSpec, images: bench.Pairs) -> None:
        if spec.backend == self.broken:
            raise RunnerError("no such instruction")
        self.spec = spec
        self.specs.append(spec)
        labels = np.full((len(images), spec.height, spec.width), int(spec.backend == self.wrong), np.uint8)
        self.ready = Ready(
            model_name="fake",
            model_hash="0123",
            device="cpu",
            parameters=10,
            operations=2e9,
            bytes_moved=1e6,
            load_ms=1.0,
            first_frame_ms=5.0,
            fused=np.zeros((len(images), spec.height, spec.width, 3), np.uint8),
            labels=labels,
        )

    def frame(self, index: int) -> dict[str, float]:
        self.order.append(self.spec.backend)
        total = self.total_ms.get(self.spec.weights[0], self.total_ms[self.spec.backend])
        return {"prior": 0.0, "network": total, "total": total}

    def close(self) -> float:
        return 100.0

    def kill(self) -> None:
        """Nothing to end."""


@pytest.fixture
def fake(monkeypatch: pytest.MonkeyPatch) -> type[FakeRunner]:
    FakeRunner.order, FakeRunner.wrong, FakeRunner.broken = [], None, None
    FakeRunner.total_ms = {"torch": 10.0, "compile": 5.0, "plain": 40.0, "plain, untuned allocator": 80.0}
    monkeypatch.setattr(bench, "Runner", FakeRunner)
    rates = Rates(operations_per_s={"float32": 1e12, "int8": 4e12}, bytes_per_s=1e9)
    monkeypatch.setattr(bench, "measure_rates", lambda device, precisions: rates)
    return FakeRunner


def _run(*given: str) -> int:
    return cli.main(["bench", "--backend", "torch", "compile", "--size", "16x8", *given])


def test_runners_take_turns_frame_by_frame(fake: type[FakeRunner]) -> None:
    assert _run("--frames", "2", "--warm-up", "1") == 0
    assert fake.order == ["torch", "compile"] * 3


def test_ratios_to_the_plain_forward_are_given_with_and_without_tuning(fake: type[FakeRunner], tmp_path: Path) -> None:
    assert _run("--baseline", "plain", "--out", str(tmp_path)) == 0
    rows = {row["backend"]: row for row in json.loads((tmp_path / "bench.json").read_text())["rows"]}
    assert (rows["torch"]["ratio_to_plain"], rows["torch"]["ratio_to_untuned"]) == (4, 8)
    assert (rows["compile"]["ratio_to_plain"], rows["compile"]["frames_per_s"]) == (8, 200)
    assert (rows["torch"]["gflop"], rows["torch"]["operations_floor_ms"], rows["torch"]["bytes_floor_ms"]) == (2, 2, 1)
    assert (tmp_path / "bench.png").stat().st_size > 1000


def test_other_weights_are_timed_in_turn_and_the_share_of_their_time_is_said(
    fake: type[FakeRunner], tmp_path: Path
) -> None:
    fake.total_ms["segmif-s"] = 20.0
    given = ("--weights", "segmif-rt", "--against", "segmif-s", "--frames", "2", "--warm-up", "0")
    assert _run(*given, "--out", str(tmp_path)) == 0
    assert fake.order == ["torch", "compile", "torch", "compile"] * 2
    rows = json.loads((tmp_path / "bench.json").read_text())["rows"]
    assert [row["share_of_other"] for row in rows] == [0.5, 0.25, 1.0, 1.0]


def test_results_outside_the_tolerance_end_with_status_1(
    fake: type[FakeRunner], capsys: pytest.CaptureFixture[str]
) -> None:
    fake.wrong = "compile"
    assert _run() == 1
    assert "FAIL" in capsys.readouterr().out


def test_a_backend_that_can_not_run_is_said_and_the_others_are_timed(
    fake: type[FakeRunner], capsys: pytest.CaptureFixture[str]
) -> None:
    fake.broken = "compile"
    assert _run("--frames", "1", "--warm-up", "0") == 1
    assert fake.order == ["torch"]
    assert "compile, float32, 16x8: no such instruction" in capsys.readouterr().out


def test_a_named_backend_that_is_not_installed_is_skipped_and_no_failure(
    fake: type[FakeRunner], monkeypatch: pytest.MonkeyPatch, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(backends, "missing_packages", lambda name, **_: ("onnx",) if name == "tensorrt" else ())
    given = ("--backend", "torch", "tensorrt", "compile", "--frames", "1", "--warm-up", "0", "--out", str(tmp_path))
    assert cli.main(["bench", *given, "--size", "16x8"]) == 0
    assert fake.order == ["torch", "compile"]
    said = "skipped: backend 'tensorrt' needs onnx, not installed here: pip install onnx"
    assert said in capsys.readouterr().out
    assert json.loads((tmp_path / "bench.json").read_text())["skipped"] == [said]


@pytest.mark.parametrize(
    ("device", "precision", "timed"),
    [
        ("cpu", "float32", {"torch", "openvino", "onnxruntime"}),
        ("cpu", "int8", {"torch", "openvino"}),  # torch in float32 is the reference of all
        ("cuda:1", "float32", {"torch", "cuda_graph"}),
    ],
)
def test_by_default_what_fits_the_device_and_starts_soon_is_timed(
    fake: type[FakeRunner], monkeypatch: pytest.MonkeyPatch, device: str, precision: str, timed: set[str]
) -> None:
    monkeypatch.setattr(backends, "missing_packages", lambda name, **_: ())  # as if all were installed
    monkeypatch.setattr(backends, "_onnx_providers", lambda: ("CPUExecutionProvider",))
    fake.total_ms = dict.fromkeys(backends.BACKENDS, 1.0)
    given = ("--device", device, "--precision", precision, "--size", "16x8", "--frames", "1", "--warm-up", "0")
    assert cli.main(["bench", *given]) == 0
    assert set(fake.order) == timed


def test_without_the_reference_nothing_is_timed(fake: type[FakeRunner], capsys: pytest.CaptureFixture[str]) -> None:
    fake.broken = "torch"
    assert _run() == 2
    assert capsys.readouterr().err == "segmif bench: no such instruction\n"


@pytest.mark.parametrize("size", ["640", "640x", "x480", "0x480", "640x480x3", "-1x5"])
def test_a_size_that_is_none_is_refused(fake: type[FakeRunner], size: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.main(["bench", f"--size={size}"]) == 2
    assert f"--size {size}: write it as WIDTHxHEIGHT" in capsys.readouterr().err


def test_random_weights_are_the_same_each_time_and_said_to_prove_nothing(
    tmp_path: Path, fake: type[FakeRunner], capsys: pytest.CaptureFixture[str]
) -> None:
    first, second = (tmp_path / name for name in ("a", "b"))
    for folder in (first, second):
        folder.mkdir()
    written = [bench.random_weights("random:mit_b0,3", folder) for folder in (first, second)]
    assert written[0].read_bytes() == written[1].read_bytes()
    model = load_checkpoint([written[0]])
    assert (model.config.encoder, model.config.num_classes, model.config.fusion_channels) == ("mit_b0", 3, 64)
    assert _run("--weights", "random:mit_b0,3", "--frames", "1", "--warm-up", "0") == 0
    assert "random:mit_b0,3: times only" in capsys.readouterr().out


@pytest.mark.parametrize("text", ["random:mit_b3", "random:mit_b3,x", "random:mit_b9,9", "random:mit_b3,0"])
def test_random_weights_said_wrongly_are_refused(text: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.main(["bench", "--weights", text]) == 2
    assert f"segmif bench: weights '{text}': " in capsys.readouterr().err


def test_int8_is_timed_with_the_pairs_that_it_is_calibrated_with(
    fake: type[FakeRunner], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(backends, "missing_packages", lambda name, **_: ())  # as if all were installed
    fake.total_ms["openvino"] = 4.0
    fake.specs.clear()
    given = ("--backend", "openvino", "--size", "16x8", "--precision", "int8", "--calibration-pairs", "pairs")
    assert cli.main(["bench", *given, "--out", str(tmp_path)]) == 0
    assert [(spec.backend, spec.precision, spec.calibration_pairs) for spec in fake.specs] == [
        ("torch", "float32", "pairs"), ("openvino", "int8", "pairs"),
    ]  # fmt: skip
    _, row = json.loads((tmp_path / "bench.json").read_text())["rows"]
    assert (row["precision"], row["operations_floor_ms"], row["bytes_floor_ms"]) == ("int8", 0.5, 0.25)


def test_the_real_thing_times_tiny_weights_and_agrees_with_the_plain_forward(
    tiny_weights: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    given = ("--weights", str(tiny_weights), "--backend", "torch", "--size", "47x33", "--frames", "1")
    given += ("--threads", "1")
    assert cli.main(["bench", *given, "--baseline", "plain", "--out", str(tmp_path)]) == 0
    report = json.loads((tmp_path / "bench.json").read_text())
    assert [row["backend"] for row in report["rows"]] == ["torch", "plain", "plain, untuned allocator"]
    for row in report["rows"]:
        assert row["p50_ms"] > 0
        assert row["peak_mib"] > 50
        assert row["mask_agreement"] > 0.99
    rewritten, plain, _ = report["rows"]
    assert rewritten["gflop"] < plain["gflop"]
    assert "pass" in capsys.readouterr().out


def test_a_failure_in_a_runner_comes_as_one_line(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.main(["bench", "--weights", str(tmp_path / "gone.pth"), "--size", "47x33"]) == 2
    assert "gone.pth': no such file" in capsys.readouterr().err
