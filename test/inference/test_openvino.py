# SPDX-License-Identifier: Apache-2.0
"""OpenVINO: int8 where it was asked for, and graphs that are kept from one process to the next."""

import json
import logging
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import cv2
import numpy as np
import pytest
import torch

from segmif_ros.inference.backends import BackendOptions, create_backend
from segmif_ros.inference.engine import Engine, EngineConfig, EngineError
from segmif_ros.inference.frame import FrameNetwork
from segmif_ros.inference.sample_pairs import PairsError, pattern_pairs
from segmif_ros.model import Rewrites, load_checkpoint, use_rewrites

openvino = pytest.importorskip("openvino")
from segmif_ros.inference.backends import openvino_cpu, openvino_int8  # noqa: E402
from segmif_ros.inference.backends.graph_cache import GraphCache, graph_facts  # noqa: E402
from segmif_ros.inference.backends.openvino_cpu import OpenVinoBackend, convert  # noqa: E402

CPU = BackendOptions(device=torch.device("cpu"), num_threads=1)
INT8 = replace(CPU, precision="int8")
SIZE = (33, 47)
BLOCKS = 4
CONVOLUTIONS_OF_A_BLOCK = 6


@pytest.fixture(scope="module")
def network(tiny_weights: Path) -> FrameNetwork:
    return FrameNetwork(load_checkpoint(tiny_weights).requires_grad_(False))


def _frames(count: int = 2) -> list[openvino_int8.Frame]:
    return [(infrared, rgb, infrared) for infrared, rgb in pattern_pairs(*SIZE, count=count)]


@pytest.fixture(scope="module")
def graph(network: FrameNetwork) -> openvino.Model:
    return convert(network, *SIZE)


@pytest.fixture
def converted(graph: openvino.Model, monkeypatch: pytest.MonkeyPatch) -> list[tuple[int, int]]:
    """Recording a graph takes seconds: here once for all tests; returns for which sizes one was asked for."""
    sizes = []

    def convert_again(_network: FrameNetwork, height: int, width: int) -> openvino.Model:
        sizes.append((height, width))
        return graph.clone()

    monkeypatch.setattr(openvino_cpu, "convert", convert_again)
    return sizes


@pytest.fixture(scope="module")
def quantised(graph: openvino.Model) -> openvino.Model:
    return openvino_int8.quantise(graph, _frames())


def _convolutions(model: openvino.Model) -> Iterator[tuple[str, bool]]:
    """Names, and whether both inputs are quantised (through concatenations)."""
    for node in model.get_ordered_ops():
        if node.get_type_name() == "Convolution":
            sources = [node.input_value(1), *openvino_int8._maps(node.input_value(0))]
            yield node.get_friendly_name(), {each.get_node().get_type_name() for each in sources} == {"FakeQuantize"}


def test_int8_takes_the_dense_blocks_and_the_convolution_behind_them_and_nothing_else(
    quantised: openvino.Model,
) -> None:
    found = dict(_convolutions(quantised))
    expected = {name: ".DRDB" in name or ".conv2/" in name for name in found}
    assert found == expected
    assert sum(found.values()) == BLOCKS * CONVOLUTIONS_OF_A_BLOCK + 1


def test_weights_that_no_rewrite_puts_together_are_taken_as_well(tiny_weights: Path) -> None:
    model = load_checkpoint(tiny_weights).requires_grad_(False)
    use_rewrites(model, Rewrites(dense_scatter=False))
    quantised = openvino_int8.quantise(convert(FrameNetwork(model), *SIZE), _frames(1))
    assert sum(took for _, took in _convolutions(quantised)) == BLOCKS * CONVOLUTIONS_OF_A_BLOCK + 1


def test_the_runtime_computes_them_in_int8(quantised: openvino.Model) -> None:
    settings = {"INFERENCE_PRECISION_HINT": openvino.Type.f32, "INFERENCE_NUM_THREADS": 1}
    runtime = openvino.Core().compile_model(quantised, "CPU", settings).get_runtime_model()
    precisions = {
        node.get_friendly_name(): node.get_rt_info()["runtimePrecision"].astype(str)
        for node in runtime.get_ordered_ops()
        if node.get_rt_info()["layerType"].astype(str) == "Convolution"
    }
    blocks = {name: precision for name, precision in precisions.items() if ".DRDB" in name}
    assert len(blocks) == BLOCKS * CONVOLUTIONS_OF_A_BLOCK
    assert set(blocks.values()) <= {"i8", "u8"}


@pytest.mark.usefixtures("converted")
def test_int8_stays_near_torch_in_float32(network: FrameNetwork) -> None:
    frame = _frames(1)[0]
    low = OpenVinoBackend(network, INT8).run(*frame)
    expected = create_backend("torch", network, CPU).run(*frame)
    assert np.abs(low[0].astype(int) - expected[0]).mean() < 2
    assert (low[1] == expected[1]).mean() > 0.95


def test_a_channel_far_below_the_largest_keeps_more_levels() -> None:
    found = openvino_int8.Range(lowest=np.zeros(3, np.float32), highest=np.array([4, 1, 0], np.float32))
    np.testing.assert_allclose(found.share, [1, 0.5, 0.125])  # square roots; a dead channel is not stretched for ever
    assert (found.largest, found.signed) == (4.0, False)


def test_ranges_are_those_of_all_frames(graph: openvino.Model) -> None:
    name = next(
        openvino_int8._name(node.input_value(0)) for node in graph.get_ordered_ops()
        if openvino_int8._is_quantised(node)
    )  # fmt: skip
    dark, bright = ((np.full(SIZE, level, np.uint8), np.full((*SIZE, 3), level, np.uint8)) for level in (0, 255))
    alone = [openvino_int8.observe(graph, [name], [(*pair, pair[0])])[name] for pair in (dark, bright)]
    both = openvino_int8.observe(graph, [name], [(*dark, dark[0]), (*bright, bright[0])])[name]
    np.testing.assert_array_equal(both.lowest, np.minimum(alone[0].lowest, alone[1].lowest))
    np.testing.assert_array_equal(both.highest, np.maximum(alone[0].highest, alone[1].highest))
    assert (alone[0].highest != alone[1].highest).any()


def test_int8_without_a_frame_is_refused(graph: openvino.Model) -> None:
    with pytest.raises(EngineError, match="needs at least one pair to calibrate with"):
        openvino_int8.quantise(graph, [])


@pytest.mark.usefixtures("converted")
def test_calibration_says_what_it_takes(network: FrameNetwork, caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.INFO):
        OpenVinoBackend(network, INT8).run(*_frames(1)[0])
    assert "calibrates int8 for 47x33 with 8 built-in patterns" in caplog.text


def test_pairs_of_a_folder_calibrate_with_the_prior_of_the_weights(tmp_path: Path) -> None:
    for side, level in (("infrared", 200), ("visible", 100)):
        (tmp_path / side).mkdir()
        cv2.imwrite(str(tmp_path / side / "a.png"), np.full((20, 30, 3), level, np.uint8))
    options = replace(INT8, calibration_pairs=tmp_path, prior="mean")
    ((infrared, rgb, prior),) = openvino_cpu.calibration_frames(options, *SIZE)
    assert (infrared.shape, infrared[0, 0], rgb.shape, rgb[0, 0, 0], prior[0, 0]) == (SIZE, 200, (*SIZE, 3), 100, 150)


def test_a_calibration_folder_without_pairs_is_one_line(tiny_weights: Path, tmp_path: Path) -> None:
    config = EngineConfig(weights=(str(tiny_weights),), backend="openvino", precision="int8", num_threads=1)
    engine = Engine(replace(config, calibration_pairs=str(tmp_path)))
    with pytest.raises(PairsError, match="no pairs: put images"):
        engine.warm_up(*SIZE)


def test_int8_on_torch_names_the_backend_that_has_it(tiny_weights: Path) -> None:
    with pytest.raises(EngineError, match=r"doesn't compute in 'int8': use .*or backend openvino"):
        Engine(EngineConfig(weights=(str(tiny_weights),), device="cpu", precision="int8"))


def test_a_kept_graph_saves_making_it(network: FrameNetwork, tmp_path: Path, converted: list[tuple[int, int]]) -> None:
    frame = _frames(1)[0]
    first = OpenVinoBackend(network, INT8, GraphCache(tmp_path)).run(*frame)
    assert converted == [SIZE]
    second = OpenVinoBackend(network, INT8, GraphCache(tmp_path)).run(*frame)
    assert converted == [SIZE]
    for result, expected in zip(second, first, strict=True):
        np.testing.assert_array_equal(result, expected)


def test_a_graph_that_is_not_as_it_was_written_counts_as_absent(graph: openvino.Model, tmp_path: Path) -> None:
    cache = GraphCache(tmp_path)
    cache.put({"size": 1}, graph)
    assert cache.get({"size": 1}) is not None
    (weights,) = tmp_path.glob("*/graph.bin")
    weights.write_bytes(weights.read_bytes()[:-1])
    assert cache.get({"size": 1}) is None
    cache.put({"size": 1}, graph)
    assert cache.get({"size": 1}) is not None


@pytest.mark.usefixtures("converted")
def test_a_graph_that_can_not_be_kept_is_said_and_used(
    network: FrameNetwork, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    (tmp_path / "file").write_text("")
    assert OpenVinoBackend(network, CPU, GraphCache(tmp_path / "file" / "openvino")).run(*_frames(1)[0])
    assert "can't be kept and is made again next time" in caplog.text


def test_graphs_of_another_user_that_may_not_be_seen_are_said_and_made_again(
    graph: openvino.Model, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    def denied(path: Path, *_args: object, **_more: object) -> None:
        raise PermissionError(13, "Permission denied", str(path))

    # as in a folder of mode 0700, which holds nobody back who runs this as root
    for name in ("read_text", "stat", "mkdir", "open"):
        monkeypatch.setattr(Path, name, denied)
    cache = GraphCache(tmp_path / "openvino")
    assert cache.get({"size": 1}) is None
    assert "can't be read and is made again" in caplog.text
    cache.put({"size": 1}, graph)
    assert "can't be kept" in caplog.text
    assert cache.compiled_folder({"size": 1}) is None


def test_graphs_of_another_user_that_may_only_be_read_are_used(
    graph: openvino.Model, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    cache = GraphCache(tmp_path)
    cache.put({"size": 1}, graph)

    def denied(path: Path, *_args: object) -> None:
        raise PermissionError(1, "Operation not permitted", str(path))

    monkeypatch.setattr("os.utime", denied)
    assert cache.get({"size": 1}) is not None


def test_the_graphs_used_last_are_kept(graph: openvino.Model, tmp_path: Path) -> None:
    cache = GraphCache(tmp_path, kept=2)
    for size in range(3):
        cache.put({"size": size}, graph)
    assert [cache.get({"size": size}) is not None for size in range(3)] == [False, True, True]
    assert {json.loads(path.read_text())["size"] for path in tmp_path.glob("*/facts.json")} == {1, 2}


def test_a_graph_holds_only_for_what_it_was_made_of(network: FrameNetwork, tiny_weights: Path) -> None:
    other = load_checkpoint(tiny_weights).requires_grad_(False)
    other.fusion.conv22.bias += 1
    rewritten = load_checkpoint(tiny_weights).requires_grad_(False)
    use_rewrites(rewritten, Rewrites(grey_stem=False))
    facts = [
        graph_facts(network, 33, 47, None),
        graph_facts(network, 47, 33, None),
        graph_facts(network, 33, 47, _frames(1)),
        graph_facts(network, 33, 47, _frames(2)),
        graph_facts(FrameNetwork(network.model, "authors"), 33, 47, None),
        graph_facts(FrameNetwork(other), 33, 47, None),
        graph_facts(FrameNetwork(rewritten), 33, 47, None),
    ]
    assert len({json.dumps(each, sort_keys=True) for each in facts}) == len(facts)
    again = graph_facts(FrameNetwork(load_checkpoint(tiny_weights).requires_grad_(False)), 33, 47, None)
    assert again == facts[0]
