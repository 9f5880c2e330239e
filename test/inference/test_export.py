# SPDX-License-Identifier: Apache-2.0
"""What is exported gives torch's labels, says what goes in and out, and is refused where it wouldn't."""

import argparse
import shutil
from pathlib import Path

import numpy as np
import onnx
import pytest
from standin_networks import rgb_only

from segmif_ros.inference import export as module
from segmif_ros.inference.backends import missing_packages
from segmif_ros.inference.engine import Engine, EngineConfig
from segmif_ros.inference.export import ExportError, ExportParityError, Parity, export
from segmif_ros.inference.pairs import pattern_pairs
from segmif_ros.inference.weights import WeightsError
from segmif_ros.model import SegMiF, SegMiFConfig, save_checkpoint
from segmif_ros.model.encoder import ENCODERS

pytestmark = pytest.mark.skipif(
    bool(missing_packages("onnxruntime") + missing_packages("openvino")), reason="onnxruntime or openvino not installed"
)


def _engine(weights: Path, **options: str) -> Engine:
    return Engine(EngineConfig(weights=(str(weights),), device="cpu", num_threads=1, **options))


def _run(*arguments: object) -> int:
    parser = argparse.ArgumentParser()
    module.add_arguments(parser)
    return module.run(parser.parse_args([str(each) for each in arguments]))


@pytest.fixture(scope="module")
def folder(tiny_weights: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    target = tmp_path_factory.mktemp("export") / "tiny"
    parity = export([str(tiny_weights)], target, "folder", (64, 96))
    assert parity.passed
    return target


@pytest.mark.parametrize("backend", ["onnxruntime", "openvino"])
def test_an_exported_folder_gives_the_labels_of_the_weights(tiny_weights: Path, folder: Path, backend: str) -> None:
    ours, theirs = _engine(tiny_weights), _engine(folder, backend=backend)
    assert (theirs.model_name, theirs.prior, len(theirs.label_set)) == ("tiny", "mean", 3)
    for infrared, rgb in pattern_pairs(64, 96):
        expected, found = ours.infer(infrared, rgb), theirs.infer(infrared, rgb)
        assert (expected.labels == found.labels).mean() > 0.999
        assert np.abs(expected.fused.astype(int) - found.fused).max() <= 1
        assert np.abs(expected.confidence.astype(int) - found.confidence).max() <= 1


def test_the_command_writes_one_file_and_says_what_goes_in_and_comes_out(
    tiny_weights: Path,
    folder: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    # the graph that was made before: the exporter takes seconds
    monkeypatch.setattr(module, "_write_graph", lambda _model, file, *_: shutil.copy(folder / "model.onnx", file))
    assert _run(tiny_weights, tmp_path / "net.onnx", "--format", "onnx", "--size", "96x64") == 0
    said = capsys.readouterr().out
    for text in ("infrared  (1, 1, 64, 96)", "rgb       (1, 3, 64, 96)", "'mean'", "parity with torch at 96x64"):
        assert text in said
    assert [path.name for path in tmp_path.iterdir()] == ["net.onnx"]


def test_an_exported_graph_names_its_tensors_and_carries_the_strings_of_the_weights(folder: Path) -> None:
    graph = onnx.load(folder / "model.onnx")
    assert [each.name for each in graph.graph.input] == ["infrared", "rgb", "prior"]
    assert [each.name for each in graph.graph.output] == ["fused", "logits"]
    assert {each.key: each.value for each in graph.metadata_props}["name"] == "tiny"


def test_a_graph_of_any_size_gives_torchs_labels_at_sizes_that_it_was_not_made_at(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(ENCODERS, "mit_b0", ((32, 64, 160, 256), (1, 1, 1, 1)))  # half of the blocks: half of the time
    config = SegMiFConfig(encoder="mit_b0", num_classes=3, fusion_channels=8, growth=4, fusion_scale=2)
    save_checkpoint(SegMiF(config), tmp_path / "tiny.safetensors", {"prior": "mean"})
    parity = export([str(tmp_path / "tiny.safetensors")], tmp_path / "any.xml", "openvino", None)
    assert parity.passed
    assert len(set(parity.sizes)) == 2
    assert {path.name for path in tmp_path.iterdir()} == {"any.xml", "any.bin", "tiny.safetensors"}


def test_nothing_is_written_where_the_results_differ(
    tiny_weights: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    line = r"90 % of the labels, fused image 20\.0 dB: this is more than rounding"
    far = Parity(mask_agreement=0.9, fused_psnr_db=20.0, backend="abacus", sizes=((48, 64),))
    monkeypatch.setattr(module, "measure_parity", lambda *_: far)
    monkeypatch.setattr(module, "_write_graph", lambda *_: None)
    with pytest.raises(ExportParityError, match=line) as raised:
        export([str(tiny_weights)], tmp_path / "net", "folder", (48, 64))
    assert raised.value.exit_status == 1
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize(
    ("name", "options", "reason"),
    [
        ("net.onnx", ("--size", "64"), "--size 64: write it as WIDTHxHEIGHT"),
        ("net.onnx", ("--size", "16x16", "--format", "onnx"), "at least 29"),
        ("net", ("--format", "onnx"), "ends with .onnx"),
        ("net.onnx", ("--format", "folder"), "--format folder makes a folder"),
        ("gone/net", (), "there is no folder"),
        (".", (), "is there already"),
    ],
)
def test_a_target_that_can_not_be_is_refused(
    tiny_weights: Path, tmp_path: Path, name: str, options: tuple[str, ...], reason: str
) -> None:
    with pytest.raises((ExportError, WeightsError), match=reason):
        _run(tiny_weights, tmp_path / name, *options)


def test_a_model_folder_is_not_exported_again(tmp_path: Path) -> None:
    with pytest.raises(WeightsError, match="is a model folder"):
        export([str(rgb_only(tmp_path / "net"))], tmp_path / "out", "folder", (48, 64))
