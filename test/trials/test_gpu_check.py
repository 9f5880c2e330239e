# SPDX-License-Identifier: Apache-2.0
"""The check of a GPU, run on the CPU: rows, the time limit, and its exit status."""

import argparse
import json
from pathlib import Path

import pytest
import torch
from torch_fixtures import one_thread, tiny_weights

from segmif_ros.trials import gpu_check

__all__ = ["one_thread", "tiny_weights"]


def _run(*arguments: object) -> int:
    parser = argparse.ArgumentParser()
    gpu_check.add_arguments(parser)
    return gpu_check.run(parser.parse_args([str(each) for each in arguments]))


def test_every_path_is_held_against_float32_on_the_cpu(
    tiny_weights: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    options = ("--device", "cpu", "--size", "64x48", "--frames", "2", "--out", tmp_path)
    assert _run("--weights", tiny_weights, "random:mit_b0,3", *options) == 0
    report = json.loads((tmp_path / "gpu-check.json").read_text())
    rows = {(row["model"], row["precision"]): row for row in report["rows"]}
    assert rows[str(tiny_weights), "float32"]["passed"] is True
    assert rows[str(tiny_weights), "float32"]["fused_psnr_db"] is None
    assert rows["random:mit_b0,3", "float32"]["passed"] is None
    assert all(row["frames"] == 2 and row["p50_ms"] > 0 for row in report["rows"])
    cost = report["dense_blocks_float32"][str(tiny_weights)]
    assert cost["blocks"] == 4
    assert 0 < cost["dense_blocks_ms"] < cost["forward_ms"]
    assert report["tf32"] == {}  # a property of CUDA
    assert "TF32" not in capsys.readouterr().out


def test_results_outside_the_tolerance_end_with_status_1(
    tiny_weights: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(gpu_check, "mask_agreement", lambda *_: 0.5)
    options = ("--device", "cpu", "--size", "64x48", "--frames", "1", "--out", tmp_path)
    assert _run("--weights", tiny_weights, *options) == 1


def test_after_its_time_nothing_new_is_begun_and_that_is_said(tiny_weights: Path, tmp_path: Path) -> None:
    report = gpu_check.check([str(tiny_weights)], "cpu", (48, 64), frames=1, until_s=0.0, scratch=tmp_path)
    assert {row["problem"] for row in report["rows"]} == {"left out: the time was up"}
    assert report["dense_blocks_float32"] == {}


def test_each_row_is_kept_at_once(tiny_weights: Path, tmp_path: Path) -> None:
    kept: list[int] = []
    options = {"frames": 1, "until_s": float("inf"), "scratch": tmp_path}
    gpu_check.check(
        [str(tiny_weights)], "cpu", (48, 64), keep=lambda so_far: kept.append(len(so_far["rows"])), **options
    )
    assert kept == [1, 2]


def test_what_compiles_for_minutes_comes_after_all_else_and_the_report_is_by_model(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    began: list[str] = []
    monkeypatch.setattr(gpu_check, "_BACKENDS", {"cpu": ("torch", "compile")})
    monkeypatch.setattr(gpu_check, "_PRECISIONS", {"cpu": ("float32",)})
    monkeypatch.setattr(gpu_check, "Engine", lambda _config: argparse.Namespace(infer=lambda *_: None))
    monkeypatch.setattr(gpu_check, "dense_block_cost", lambda *_: {})

    def row(name: dict[str, str], *_: object) -> gpu_check.GpuRow:
        began.append(name["backend"])
        return gpu_check.GpuRow(**name, p50_ms=1.0)

    monkeypatch.setattr(gpu_check, "_row", row)
    report = gpu_check.check(
        ["segmif-s", "segmif-rt"], "cpu", (48, 64), frames=1, until_s=float("inf"), scratch=tmp_path
    )
    assert began == ["torch", "torch", "compile", "compile"]
    assert [each["model"] for each in report["rows"]] == ["segmif-s", "segmif-s", "segmif-rt", "segmif-rt"]


@pytest.mark.skipif(torch.cuda.is_available(), reason="only a machine without CUDA refuses it")
def test_without_a_gpu_the_command_says_so() -> None:
    with pytest.raises(gpu_check.GpuCheckError, match="sees no CUDA device here"):
        _run()


def test_the_table_says_where_tf32_is_on() -> None:
    report: gpu_check.GpuReport = {
        "device": {"device": "Some GPU"},
        "torch": "2.11.0",
        "tf32": {"matmul": False, "convolutions": True},
        "size": "640x480",
        "rows": [],
        "dense_blocks_float32": {},
    }
    title = gpu_check.table(report).title
    assert title == "Some GPU, torch 2.11.0, 640x480; TF32 in float32: matmul off, convolutions on"
