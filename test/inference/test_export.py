# SPDX-License-Identifier: Apache-2.0
"""What is exported gives torch's labels, says what goes in and out, and is refused where it wouldn't."""

import argparse
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import Tensor, nn

pytest.importorskip("onnx", reason="onnx is not installed")

import onnx
from standin_networks import rgb_only

from segmif_ros.command_line import SizeError
from segmif_ros.inference import export as module
from segmif_ros.inference.backends import missing_packages, onnx_graph
from segmif_ros.inference.engine import Engine, EngineConfig
from segmif_ros.inference.export import ExportError, ExportParityError, Parity, export
from segmif_ros.inference.model_folder import read_model_folder
from segmif_ros.inference.sample_pairs import pattern_pairs
from segmif_ros.inference.weights import WeightsError
from segmif_ros.model import SegMiFConfig, SegMiFOutput, save_checkpoint
from segmif_ros.model.checkpoint import load_network
from segmif_ros.model.designs import build
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


@pytest.fixture
def made_graph(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The exporter gives the folder's graph, and parity is believed: both take seconds."""
    graph = onnx.load(folder / "model.onnx")
    near = Parity(mask_agreement=1.0, fused_psnr_db=None, backend="abacus", sizes=((64, 96),))
    monkeypatch.setattr(onnx_graph, "export", lambda *_: graph)
    monkeypatch.setattr(module, "measure_parity", lambda *_: near)


@pytest.mark.usefixtures("made_graph")
@pytest.mark.parametrize(
    ("name", "kind", "files"),
    [("net.onnx", "onnx", {"net.onnx"}), ("net.xml", "openvino", {"net.xml", "net.bin"})],
)
def test_the_command_writes_a_file_and_says_what_goes_in_and_comes_out(
    tiny_weights: Path,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    name: str,
    kind: str,
    files: set[str],
) -> None:
    assert _run(tiny_weights, tmp_path / name, "--format", kind, "--size", "96x64") == 0
    said = capsys.readouterr().out
    for text in ("infrared  (1, 1, 64, 96)", "rgb       (1, 3, 64, 96)", "'mean'", "parity with torch at 96x64"):
        assert text in said
    assert {path.name for path in tmp_path.iterdir()} == files


@pytest.mark.usefixtures("made_graph")
def test_the_command_says_that_a_folder_takes_and_gives_bytes(
    tiny_weights: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert _run(tiny_weights, tmp_path / "net", "--size", "96x64") == 0
    said = capsys.readouterr().out
    for text in ("inputs, bytes", "rgb         (64, 96, 3)", "labels      (64, 96)", "run it: segmif bench"):
        assert text in said


def test_an_exported_graph_names_its_tensors_and_carries_the_strings_of_the_weights(folder: Path) -> None:
    graph = onnx.load(folder / "model.onnx")
    assert [each.name for each in graph.graph.input] == ["infrared", "rgb", "prior"]
    assert [each.name for each in graph.graph.output] == ["fused", "labels", "confidence"]
    bytes_alone = {onnx.TensorProto.UINT8}
    assert {each.type.tensor_type.elem_type for each in (*graph.graph.input, *graph.graph.output)} == bytes_alone
    assert {each.key: each.value for each in graph.metadata_props}["name"] == "tiny"


class Pointwise(nn.Module):
    """As `SegMiF` from outside, a convolution inside: what is exported around the network in milliseconds."""

    def __init__(self) -> None:
        super().__init__()
        self.scores = nn.Conv2d(5, 3, 4, stride=4)

    def forward(self, infrared: Tensor, rgb: Tensor, prior: Tensor, mode: str = "robot") -> SegMiFOutput:
        planes = torch.cat((infrared, rgb, prior), dim=1)
        return SegMiFOutput(infrared, 0.5 * (rgb + infrared), self.scores(planes))


@pytest.mark.parametrize("kind", ["folder", "onnx"])
def test_a_graph_of_any_size_gives_torchs_results_at_sizes_that_it_was_not_made_at(
    tiny_weights: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, kind: str
) -> None:
    model = load_network(tiny_weights)
    small = Pointwise()
    small.config, small.metadata = model.config, model.metadata
    monkeypatch.setattr(module, "load_network", lambda _paths: small)
    target = tmp_path / ("net.onnx" if kind == "onnx" else "net")
    parity = export([str(tiny_weights)], target, kind, None)
    assert parity.passed
    assert len(set(parity.sizes)) == 2


def test_a_network_of_another_design_becomes_a_folder_without_a_prior_image(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(ENCODERS, "mit_b0", ((32, 64, 160, 256), (1, 1, 1, 1)))  # half of the blocks: half of the time
    config = SegMiFConfig(encoder="mit_b0", num_classes=3, fusion_channels=8, decoder_channels=16, design="two_branch")
    save_checkpoint(build(config), tmp_path / "a.safetensors", {"name": "other"})
    assert export([str(tmp_path / "a.safetensors")], tmp_path / "net", "folder", (48, 64)).passed
    spec = read_model_folder(tmp_path / "net")
    assert (spec.prior, [each.name for each in spec.inputs]) == (None, ["infrared", "rgb"])
    assert _engine(tmp_path / "net").infer(*pattern_pairs(48, 64)[0]).labels.shape == (48, 64)


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
    with pytest.raises((ExportError, WeightsError, SizeError), match=reason):
        _run(tiny_weights, tmp_path / name, *options)


def test_a_model_folder_is_not_exported_again(tmp_path: Path) -> None:
    with pytest.raises(WeightsError, match="is a model folder"):
        export([str(rgb_only(tmp_path / "net"))], tmp_path / "out", "folder", (48, 64))
