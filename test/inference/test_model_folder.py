# SPDX-License-Identifier: Apache-2.0
"""Networks of other designs run behind the engine as SegMiF does, and what is wrong with a folder is one line."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
import yaml
from hypothesis import given
from hypothesis import strategies as st

pytest.importorskip("onnx", reason="onnx is not installed")

from standin_networks import LABELS, STANDINS, early_fusion, rgb_only, two_branch, write_yaml

from segmif_ros.inference.backends import missing_packages
from segmif_ros.inference.engine import Engine, EngineConfig, EngineError
from segmif_ros.inference.folder_network import FolderBackend
from segmif_ros.inference.model_folder import ModelFolderError, SizeSpec, read_model_folder
from segmif_ros.inference.networks import default_backend
from segmif_ros.inference.weights import WeightsError, resolve_checkpoint, resolve_weights, weights_hash

pytestmark = pytest.mark.skipif(bool(missing_packages("onnxruntime")), reason="onnxruntime and onnx not installed")


def _pair(height: int = 45, width: int = 70) -> tuple[np.ndarray, np.ndarray]:
    generator = np.random.default_rng(1)
    coarse = generator.integers(0, 256, (height // 8 + 1, width // 8 + 1, 4), np.uint8)
    planes = coarse.repeat(8, axis=0).repeat(8, axis=1)[:height, :width]
    return np.ascontiguousarray(planes[..., 3]), np.ascontiguousarray(planes[..., :3])


def _engine(folder: Path, **options: Any) -> Engine:
    return Engine(EngineConfig(weights=(str(folder),), device="cpu", num_threads=1, **options))


def _changed(folder: Path, change: Callable[[dict[str, Any]], None]) -> Path:
    entries = yaml.safe_load((folder / "model.yaml").read_text())
    change(entries)
    return write_yaml(folder, entries)


@pytest.mark.parametrize("backend", ["onnxruntime", "openvino"])
@pytest.mark.parametrize("name", STANDINS)
def test_a_network_of_another_design_gives_results_of_the_pairs_size(tmp_path: Path, name: str, backend: str) -> None:
    if missing_packages(backend):
        pytest.skip(f"{backend} not installed")
    engine = _engine(STANDINS[name](tmp_path / "net"), backend=backend)
    result = engine.infer(*_pair())
    assert (engine.model_name, engine.label_set.names) == (name, ("road", "person", "car"))
    assert (result.fused.shape, result.labels.shape, result.confidence.shape) == ((45, 70, 3), (45, 70), (45, 70))
    assert {result.fused.dtype, result.labels.dtype, result.confidence.dtype} == {np.dtype(np.uint8)}
    assert result.labels.max() < 3


@pytest.mark.parametrize("name", STANDINS)
def test_two_runtimes_agree_on_a_network(tmp_path: Path, name: str) -> None:
    if missing_packages("openvino"):
        pytest.skip("openvino not installed")
    folder = STANDINS[name](tmp_path / "net")
    ours, theirs = (_engine(folder, backend=each).infer(*_pair()) for each in ("onnxruntime", "openvino"))
    assert (ours.labels == theirs.labels).mean() > 0.999
    assert np.abs(ours.fused.astype(int) - theirs.fused).max() <= 1


def test_auto_runs_an_onnx_file_by_onnx_runtime(tmp_path: Path) -> None:
    folder = rgb_only(tmp_path / "net")
    assert _engine(folder).backend_name == "onnxruntime"
    assert default_backend((str(folder),)) == "onnxruntime"


def test_fastest_chooses_among_what_runs_the_file(tmp_path: Path) -> None:
    engine = _engine(early_fusion(tmp_path / "net"), backend="fastest")
    engine.warm_up(48, 64)
    assert engine.backend_name in ("onnxruntime", "openvino")


def test_channels_reach_the_network_in_their_order_scaled_as_said(tmp_path: Path) -> None:
    seen: dict[str, np.ndarray] = {}

    class Session:
        inputs = outputs = ()

        def run(self, tensors, outputs):
            seen.update(tensors)
            return {outputs[0]: np.zeros((1, 3, *tensors["image"].shape[2:]), np.float32)}

    FolderBackend(read_model_folder(early_fusion(tmp_path / "net")), Session(), None).run(
        *_pair(48, 64), _pair(48, 64)[0]
    )
    infrared, rgb = _pair(48, 64)
    expected = np.concatenate([rgb, infrared[..., None]], axis=2).astype(np.float64)
    expected = (expected - [123.675, 116.28, 103.53, 127.5]) / [58.395, 57.12, 57.375, 60.0]
    np.testing.assert_allclose(seen["image"][0], expected.transpose(2, 0, 1), rtol=1e-6)


def test_bytes_in_zero_to_one_are_what_torch_makes_of_them(tmp_path: Path) -> None:
    folder = rgb_only(tmp_path / "net")
    backend = FolderBackend(read_model_folder(folder), None, None)  # type: ignore[arg-type]
    table = backend._tables["x"][0]
    np.testing.assert_array_equal(table, (torch.arange(256, dtype=torch.float32) / 255).numpy())


def test_a_pair_between_multiples_is_padded_and_cropped_back(tmp_path: Path) -> None:
    folder = early_fusion(tmp_path / "net")
    infrared, rgb = _pair(45, 70)
    grown = (np.pad(infrared, ((0, 3), (0, 2)), "edge"), np.pad(rgb, ((0, 3), (0, 2), (0, 0)), "edge"))
    engine = _engine(folder)
    np.testing.assert_array_equal(engine.infer(infrared, rgb).labels, engine.infer(*grown).labels[:45, :70])


def test_a_torchscript_file_runs_on_torch(tmp_path: Path) -> None:
    class Net(torch.nn.Module):
        def forward(self, x: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
            return torch.cat((x, 1 - x, 0 * x), dim=1), x

    folder = tmp_path / "net"
    folder.mkdir()
    torch.jit.trace(Net(), torch.rand(1, 1, 32, 32)).save(folder / "net.torchscript")
    write_yaml(
        folder,
        {
            "name": "script",
            "file": "net.torchscript",
            "licence": "MIT",
            "label_set": LABELS,
            "prior": "mean",
            "inputs": [{"name": "x", "channels": ["prior"]}],
            "outputs": {"logits": {"name": "scores"}, "fused": {"name": "grey"}},
        },
    )
    infrared, rgb = np.full((40, 50), 200, np.uint8), np.full((40, 50, 3), 100, np.uint8)
    engine = _engine(folder)
    result = engine.infer(infrared, rgb)
    assert (engine.backend_name, engine.prior) == ("torch", "mean")
    assert np.all(result.labels == 0)
    assert np.all(result.fused == 150)
    assert engine.infer(infrared // 8, rgb // 8).labels.max() == 1


def _give(path: str, value: Any) -> Callable[[dict[str, Any]], None]:
    def change(entries: dict[str, Any]) -> None:
        *way, last = path.split(".")
        for each in way:
            entries = entries[int(each) if each.isdigit() else each]
        if value is None:
            del entries[last]
        else:
            entries[last] = value

    return change


@pytest.mark.parametrize(
    ("path", "value", "reason"),
    [
        ("licence", None, r"model\.yaml lacks licence"),
        ("outputs", None, r"model\.yaml lacks outputs"),
        ("fused_rule", None, "fused_rule is missing"),
        ("fused_rule", "magic", "fused_rule is 'magic': use one of rgb, average"),
        ("file", "gone.onnx", "file is 'gone.onnx': there is no such file"),
        ("file", "../net.onnx", "without a path"),
        ("file", "net.pt2", "file is 'net.pt2': torch loads .pt2 by unpickling"),
        ("file", "net.bin", "it must end with .onnx, .xml, .torchscript"),
        ("colour", "blue", "unknown entries colour"),
        ("format", 2, "format is 2: this software reads 1"),
        ("label_set", "ade20k", "no label set 'ade20k'"),
        ("inputs.0.channels", ["red", "green", "blue", "nir"], r"inputs\[0\]\.channels is"),
        ("inputs.0.channels", ["red", "green", "blue"], r"inputs\[0\]\.mean is .* a list of 3 numbers"),
        ("inputs.0.std", [1, 1, 1, 0], r"inputs\[0\]\.std is .*above 0"),
        ("inputs.0.range", [1, 0], r"inputs\[0\]\.range is \[1, 0\]"),
        ("inputs.0.layout", "hw", r"inputs\[0\]\.layout is 'hw', which holds one channel"),
        ("inputs.0.type", "uint8", "bytes go in as they are"),
        (
            "inputs.0.name",
            "picture",
            r"inputs\[0\]\.name is 'picture': net.onnx takes 'image' \(1, 4, \?, \?\) float32",
        ),
        ("inputs.0.layout", "nhwc", r"inputs\[0\]\.channels has 4|layout|size"),
        ("inputs.0.type", "float16", r"inputs\[0\]\.type is float16: net.onnx takes float32"),
        ("outputs.logits.name", "scores", r"outputs\.logits\.name is 'scores': net.onnx gives 'logits'"),
        ("outputs.logits.layout", "chw", r"outputs\.logits\.layout is chw"),
        ("outputs.labels", {"name": "logits"}, "give one of logits .* and labels"),
        ("outputs.fused", {"name": "logits"}, "fused_rule: the network gives a fused image"),
        ("prior", "mean", "no input has the channel prior"),
        ("size", {"width": 64}, "give both width and height"),
        ("size.multiple_of", 0, r"size\.multiple_of is 0"),
        ("label_set", "fmb", "trial run failed: outputs.logits 'logits' has 3 classes, label_set 'fmb' 15"),
    ],
)
def test_a_wrong_entry_is_refused_in_one_line_that_names_it(tmp_path: Path, path: str, value: Any, reason: str) -> None:
    folder = early_fusion(tmp_path / "net")
    for name in ("net.pt2", "net.bin"):
        (folder / name).touch()
    _changed(folder, _give(path, value))
    with pytest.raises(ModelFolderError, match=reason) as refused:
        _engine(folder)
    assert "model.yaml" in str(refused.value)
    assert "\n" not in str(refused.value)


def test_a_size_that_the_file_fixes_must_be_said(tmp_path: Path) -> None:
    folder = _changed(two_branch(tmp_path / "net"), _give("size", None))
    with pytest.raises(
        ModelFolderError, match=r"size\.height is missing: 'colour' .* give size: \{width: 96, height: 64"
    ):
        _engine(folder)


def test_an_input_that_the_folder_forgets_is_refused_by_its_name(tmp_path: Path) -> None:
    folder = _changed(two_branch(tmp_path / "net"), lambda entries: entries["inputs"].pop())
    with pytest.raises(ModelFolderError, match="inputs lacks 'thermal'"):
        _engine(folder)


def test_a_file_that_is_no_network_is_refused(tmp_path: Path) -> None:
    folder = early_fusion(tmp_path / "net")
    (folder / "net.onnx").write_bytes(b"not a network")
    with pytest.raises(ModelFolderError, match=r"net\.onnx: ONNX Runtime can't load the network"):
        _engine(folder)


def test_a_network_that_returns_nan_is_refused_at_load(tmp_path: Path) -> None:
    folder = _changed(early_fusion(tmp_path / "net"), _give("inputs.0.std", [1e-45, 1, 1, 1]))
    with pytest.raises(
        ModelFolderError, match=r"trial run failed: outputs\.logits 'logits' holds values .* not finite"
    ):
        _engine(folder)


def test_ids_outside_the_label_set_cost_their_pair(tmp_path: Path) -> None:
    spec = read_model_folder(rgb_only(tmp_path / "net"))

    class Session:
        inputs = outputs = ()

        def run(self, tensors, outputs):
            return {outputs[0]: np.full((1, *tensors["x"].shape[2:]), 9)}

    infrared, rgb = _pair()
    with pytest.raises(EngineError, match=r"outputs\.labels 'ids' holds id 9, label_set 'three' has 3 classes"):
        FolderBackend(spec, Session(), None).run(infrared, rgb, infrared)


@pytest.mark.parametrize(
    ("options", "reason"),
    [
        ({"backend": "torch"}, r"backend 'torch' doesn't run \.onnx files: use onnxruntime or openvino"),
        ({"mode": "authors"}, "mode 'authors' is of SegMiF's own network"),
        ({"label_set": "fmb"}, "label set 'fmb' has 15 classes, the weights have 3"),
        ({"expected_classes": 15}, "label_set has 3 classes, but 15 were asked for"),
        ({"backend": "openvino", "precision": "int8"}, "precision 'int8' is made for SegMiF's own network"),
    ],
)
def test_an_option_that_does_not_fit_a_folder_is_refused(tmp_path: Path, options: dict[str, Any], reason: str) -> None:
    with pytest.raises(EngineError, match=reason):
        _engine(early_fusion(tmp_path / "net"), **options)


def test_the_hash_of_a_folder_follows_its_network_and_description_but_not_its_notes(tmp_path: Path) -> None:
    folder = early_fusion(tmp_path / "net")
    paths = resolve_weights([str(folder)])
    before = weights_hash(paths)
    (folder / "README.md").write_text("where it comes from")
    assert weights_hash(paths) == before
    _changed(folder, _give("licence", "MIT"))
    assert weights_hash(paths) != before


def test_a_folder_is_no_checkpoint(tmp_path: Path) -> None:
    with pytest.raises(WeightsError, match="is a model folder, and a checkpoint of SegMiF is needed here"):
        resolve_checkpoint([str(early_fusion(tmp_path / "net"))])


def test_a_bare_onnx_file_is_refused_with_what_to_do(tmp_path: Path) -> None:
    folder = early_fusion(tmp_path / "net")
    with pytest.raises(WeightsError, match=r"describe it in model\.yaml beside it \(docs/own_network\.md\)"):
        resolve_weights([str(folder / "net.onnx")])


@given(st.integers(1, 3000), st.integers(1, 3000), st.integers(1, 64), st.integers(1, 256))
def test_a_padded_size_holds_the_pair_and_is_the_smallest_multiple(
    height: int, width: int, multiple_of: int, minimum: int
) -> None:
    size = replace(SizeSpec(), multiple_of=multiple_of, minimum=minimum)
    for side, found in zip((height, width), size.padded(height, width), strict=True):
        assert found % multiple_of == 0
        assert found >= max(side, minimum) > found - multiple_of


@given(
    st.recursive(
        st.none() | st.booleans() | st.floats() | st.text(max_size=8),
        lambda s: (
            st.lists(s, max_size=3)
            | st.dictionaries(
                st.sampled_from(
                    ["name", "file", "licence", "inputs", "outputs", "label_set", "size", "logits", "channels"]
                ),
                s,
                max_size=8,
            )
        ),
        max_leaves=12,
    )
)
def test_whatever_stands_in_model_yaml_is_read_or_refused_by_our_own_error(tmp_path_factory, content: Any) -> None:
    folder = tmp_path_factory.mktemp("any")
    write_yaml(folder, content)
    with pytest.raises(ModelFolderError):
        read_model_folder(folder)
