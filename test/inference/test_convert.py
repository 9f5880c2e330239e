# SPDX-License-Identifier: Apache-2.0
"""`segmif convert`: to one file of ours, to the authors' two, and every refusal in one line."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

from segmif_ros import cli
from segmif_ros.labels import MFNET, LabelSet, label_metadata, label_set_of
from segmif_ros.model import SegMiF, SegMiFConfig, load_checkpoint, save_checkpoint

TINY = SegMiFConfig(encoder="mit_b0", num_classes=3, fusion_channels=8, growth=4, decoder_channels=8)


@pytest.fixture(scope="module")
def model() -> SegMiF:
    torch.manual_seed(0)
    return SegMiF(TINY)


@pytest.fixture
def file(model: SegMiF, tmp_path: Path) -> Path:
    save_checkpoint(model, tmp_path / "full.safetensors", {"name": "tiny", "label_set": "three"})
    return tmp_path / "full.safetensors"


def _convert(*arguments: object) -> int:
    return cli.main(["convert", *(str(each) for each in arguments)])


def _refusal(capsys: pytest.CaptureFixture[str], *arguments: object) -> str:
    assert _convert(*arguments) == 2
    said = capsys.readouterr().err
    assert said.count("\n") == 1
    return said


def test_the_half_precision_file_is_half_as_large_and_keeps_the_metadata(
    model: SegMiF, file: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    half = tmp_path / "half.safetensors"
    assert _convert(file, "--to", "segmif", half, "--float16") == 0
    assert "label_set=three" in capsys.readouterr().out
    assert half.stat().st_size < 0.6 * file.stat().st_size
    loaded = load_checkpoint(half)
    assert {**loaded.metadata, "format_version": ""} == {"name": "tiny", "label_set": "three", "format_version": ""}
    weight = "segmentation.denoise_net.encoder.patch_embed1.proj.weight"
    assert torch.allclose(loaded.state_dict()[weight], model.state_dict()[weight], rtol=1e-3, atol=1e-6)


def test_without_float16_every_number_stays(model: SegMiF, file: Path, tmp_path: Path) -> None:
    assert _convert(file, "--to", "segmif", tmp_path / "copy.safetensors") == 0
    loaded = load_checkpoint(tmp_path / "copy.safetensors").state_dict()
    assert all(torch.equal(loaded[key], tensor) for key, tensor in model.state_dict().items())


def test_the_authors_two_files_become_one_with_the_metadata_that_was_set(model: SegMiF, tmp_path: Path) -> None:
    files = [tmp_path / "a.pth", tmp_path / "b.pth"]
    torch.save(model.fusion.state_dict(), files[0])
    torch.save(model.segmentation.state_dict(), files[1])
    one = tmp_path / "one.safetensors"
    both = f"{files[0]},{files[1]}"
    assert _convert(both, one, "--to", "segmif", "--metadata", "label_set=mfnet", "--metadata", "note=a = b") == 0
    loaded = load_checkpoint(one)
    assert (loaded.metadata["label_set"], loaded.metadata["note"]) == ("mfnet", "a = b")
    assert all(torch.equal(loaded.state_dict()[key], tensor) for key, tensor in model.state_dict().items())


def test_classes_that_the_file_describes_stay_described(model: SegMiF, tmp_path: Path) -> None:
    mine = LabelSet(name="mine", names=("a", "b", "c"), palette=np.eye(3, dtype=np.uint8))
    save_checkpoint(model, tmp_path / "mine.safetensors", label_metadata(mine))
    assert _convert(tmp_path / "mine.safetensors", "--to", "segmif", tmp_path / "copy.safetensors", "--float16") == 0
    assert label_set_of(load_checkpoint(tmp_path / "copy.safetensors").metadata, 3).names == ("a", "b", "c")


def test_another_label_set_takes_the_place_of_the_described_classes(tmp_path: Path) -> None:
    weights = SegMiF(replace(TINY, num_classes=len(MFNET)))
    old = LabelSet(name="mine", names=tuple("abcdefghi"), palette=np.zeros((9, 3), np.uint8))
    save_checkpoint(weights, tmp_path / "mine.safetensors", label_metadata(old))
    for name, names in (("mine", old.names), ("mfnet", MFNET.names)):
        out = tmp_path / f"{name}_.safetensors"
        assert _convert(tmp_path / "mine.safetensors", "--to", "segmif", out, "--metadata", f"label_set={name}") == 0
        assert label_set_of(load_checkpoint(out).metadata, 9).names == names


def test_weights_of_the_papers_sizes_become_the_authors_two_files(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    paper = SegMiF(SegMiFConfig(encoder="mit_b0", num_classes=9))
    save_checkpoint(paper, tmp_path / "paper.safetensors", {"label_set": "mfnet"})
    assert _convert(tmp_path / "paper.safetensors", "--to", "authors", tmp_path / "out") == 0
    said = capsys.readouterr().out
    assert "left out" in said and "label_set=mfnet" in said
    assert "conv3 and conv4" in said
    loaded = load_checkpoint(sorted((tmp_path / "out").iterdir())).state_dict()
    assert all(torch.equal(loaded[key], tensor) for key, tensor in paper.state_dict().items())


def test_weights_that_the_authors_code_cannot_run_are_refused_before_anything_is_written(
    file: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert "fusion_channels 8" in _refusal(capsys, file, "--to", "authors", tmp_path / "out")
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize(
    ("arguments", "reason"),
    [
        (("--to", "authors", "out", "--float16"), "--float16"),
        (("--to", "authors", "out", "--metadata", "a=b"), "--metadata"),
        (("--to", "segmif", "out", "--format", "safetensors"), "--format"),
        (("--to", "segmif", "out", "--metadata", "label_set"), "NAME=VALUE"),
        (("--to", "segmif", "out", "--metadata", "=fmb"), "NAME=VALUE"),
        (("--to", "segmif", "out", "--metadata", "prior_scale=2"), "prior_scale"),
        (("--to", "segmif", "nowhere/out"), "there is no folder"),
    ],
)
def test_options_that_do_not_fit_are_refused(
    file: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    arguments: tuple[str, ...],
    reason: str,
) -> None:
    monkeypatch.chdir(tmp_path)
    assert reason in _refusal(capsys, file, *arguments)
    assert [path.name for path in tmp_path.iterdir()] == [file.name]


def test_a_source_that_is_missing_is_one_line(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert "none.safetensors" in _refusal(capsys, tmp_path / "none.safetensors", "--to", "segmif", tmp_path / "out")
