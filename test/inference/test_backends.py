# SPDX-License-Identifier: Apache-2.0
"""Backends: all give the same frame, what isn't installed is said in one line, graphs are kept for the latest sizes."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

from segmif_ros.inference import backends
from segmif_ros.inference.backends import BACKENDS, BackendOptions, create_backend, torch_compile
from segmif_ros.inference.backends.base import PerSize
from segmif_ros.inference.engine import Engine, EngineConfig, EngineError
from segmif_ros.inference.frame import FrameNetwork
from segmif_ros.model import load_checkpoint

CPU = BackendOptions(device=torch.device("cpu"), num_threads=1)


@pytest.fixture(scope="module")
def network(tiny_weights: Path) -> FrameNetwork:
    return FrameNetwork(load_checkpoint(tiny_weights).requires_grad_(False))


def _images(height: int = 33, width: int = 47) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    generator = np.random.default_rng(2)
    shapes = ((height, width), (height, width, 3), (height, width))
    infrared, rgb, prior = (generator.integers(0, 256, shape, np.uint8) for shape in shapes)
    return infrared, rgb, prior


def _require_installed(name: str) -> None:
    if missing := backends.missing_packages(name):
        pytest.skip(f"{', '.join(missing)} not installed")


@pytest.fixture(scope="module")
def openvino(network: FrameNetwork) -> backends.Backend:
    _require_installed("openvino")
    return create_backend("openvino", network, CPU)


@pytest.mark.parametrize("name", ["openvino", "onnxruntime"])
def test_a_backend_gives_the_frame_that_torch_gives(
    network: FrameNetwork, name: str, request: pytest.FixtureRequest
) -> None:
    _require_installed(name)
    backend = request.getfixturevalue("openvino") if name == "openvino" else create_backend(name, network, CPU)
    expected = create_backend("torch", network, CPU)
    for result, wanted in zip(backend.run(*_images()), expected.run(*_images()), strict=True):
        assert (result.dtype, result.shape) == (np.uint8, wanted.shape)
        assert np.abs(result.astype(int) - wanted).max() <= 1
        assert (result == wanted).mean() > 0.99


def test_results_of_openvino_belong_to_the_caller(openvino: backends.Backend) -> None:
    infrared, rgb, prior = _images()
    first = openvino.run(infrared, rgb, prior)
    kept = [each.copy() for each in first]
    openvino.run(255 - infrared, 255 - rgb, 255 - prior)
    for now, before in zip(first, kept, strict=True):
        np.testing.assert_array_equal(now, before)


def test_openvino_in_bfloat16_stays_near(network: FrameNetwork) -> None:
    _require_installed("openvino")
    low = create_backend("openvino", network, replace(CPU, precision="bfloat16")).run(*_images())
    expected = create_backend("torch", network, CPU).run(*_images())
    assert np.abs(low[0].astype(int) - expected[0]).mean() < 2
    assert (low[1] == expected[1]).mean() > 0.95


def test_the_compile_backend_runs_the_network_through_the_compiler(
    network: FrameNetwork, monkeypatch: pytest.MonkeyPatch
) -> None:
    compiled = []

    def compile_(module: torch.nn.Module, dynamic: bool) -> torch.nn.Module:  # the real one takes a minute and a g++
        compiled.append((module, dynamic))
        return module

    monkeypatch.setattr(torch_compile.torch, "compile", compile_)
    result = create_backend("compile", network, CPU).run(*_images())
    assert compiled == [(network, False)]
    np.testing.assert_array_equal(result[1], create_backend("torch", network, CPU).run(*_images())[1])


def test_the_engine_runs_the_backend_that_was_asked_for(tiny_weights: Path) -> None:
    _require_installed("openvino")
    engine = Engine(EngineConfig(weights=(str(tiny_weights),), backend="openvino", num_threads=1))
    infrared, rgb, _ = _images()
    assert (engine.backend_name, engine.device_name) == ("openvino", "cpu")
    plain = Engine(EngineConfig(weights=(str(tiny_weights),), device="cpu", backend="torch"))
    assert np.abs(engine.infer(infrared, rgb).fused.astype(int) - plain.infer(infrared, rgb).fused).max() <= 1


def test_a_backend_that_is_not_installed_is_refused_with_what_to_install(
    network: FrameNetwork, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(backends, "find_spec", lambda name: None)
    with pytest.raises(EngineError, match="needs openvino, not installed here: pip install openvino"):
        create_backend("openvino", network, CPU)
    assert backends.available_backends("cpu", "float32") == ("torch", "compile")


@pytest.mark.parametrize(
    ("name", "options", "reason"),
    [
        ("abacus", CPU, "backend 'abacus' is unknown"),
        ("openvino", replace(CPU, precision="float16"), "doesn't compute in 'float16'"),
        ("openvino", replace(CPU, device=torch.device("cuda")), "runs on cpu only, not on 'cuda'"),
    ],
)
def test_what_a_backend_does_not_do_is_refused(
    network: FrameNetwork, name: str, options: BackendOptions, reason: str
) -> None:
    with pytest.raises(EngineError, match=reason):
        create_backend(name, network, options)


def test_every_backend_has_a_tolerance_for_each_of_its_precisions() -> None:
    for entry in BACKENDS.values():
        assert set(entry.precisions) <= set(backends.TOLERANCES)


def test_graphs_of_the_latest_sizes_are_kept_and_the_oldest_is_dropped() -> None:
    made: list[tuple[int, int]] = []

    def make(height: int, width: int) -> str:
        made.append((height, width))
        return f"{height}x{width}"

    graphs = PerSize(make, kept=2)
    sizes = [(1, 1), (2, 2), (1, 1), (3, 3), (1, 1), (2, 2)]
    assert [graphs.get(*size) for size in sizes] == ["1x1", "2x2", "1x1", "3x3", "1x1", "2x2"]
    assert made == [(1, 1), (2, 2), (3, 3), (2, 2)]


def test_a_size_that_can_not_be_made_does_not_cost_the_others() -> None:
    def make(height: int, width: int) -> str:
        if height == 0:
            raise ValueError("no")
        return "graph"

    graphs = PerSize(make, kept=2)
    graphs.get(1, 1)
    with pytest.raises(ValueError, match="no"):
        graphs.get(0, 0)
    assert graphs.get(1, 1) == "graph"
