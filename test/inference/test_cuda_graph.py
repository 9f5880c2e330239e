# SPDX-License-Identifier: Apache-2.0
"""The recorded frame: one copy up, one replay, one copy down, one wait; no allocation once a size is known.

The logic runs on the CPU behind `HostRuntime`. What only a GPU can show is said in docs/cuda.md.
"""

import argparse
import gc
import re
import shlex
import threading
import weakref
from pathlib import Path
from unittest import mock

import numpy as np
import pytest
import torch
from host_runtime import NOT_RECORDABLE, HostRuntime

from segmif_ros.imaging.prior import prior_image
from segmif_ros.inference.backends import BACKENDS, BackendOptions, available_backends, create_backend
from segmif_ros.inference.backends.base import PairBackend
from segmif_ros.inference.backends.cuda_graph import CudaGraphBackend
from segmif_ros.inference.backends.device_runtime import (
    CudaRuntime,
    DeviceRuntime,
    StaticFrame,
    device_facts,
    give_memory_back,
)
from segmif_ros.inference.engine import Engine, EngineConfig, EngineError
from segmif_ros.inference.frame import FrameNetwork
from segmif_ros.model import load_checkpoint
from segmif_ros.trials import bench

CPU = torch.device("cpu")


@pytest.fixture(scope="module")
def network(tiny_weights: Path) -> FrameNetwork:
    return FrameNetwork(load_checkpoint(tiny_weights).requires_grad_(False))


def _options(precision: str = "float32", **more: object) -> BackendOptions:
    return BackendOptions(device=CPU, precision=precision, **more)


def _pair(seed: int = 0, height: int = 33, width: int = 47) -> tuple[np.ndarray, np.ndarray]:
    generator = np.random.default_rng(seed)
    return generator.integers(0, 256, (height, width), np.uint8), generator.integers(
        0, 256, (height, width, 3), np.uint8
    )


def _images(seed: int = 0, height: int = 33, width: int = 47) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    infrared, rgb = _pair(seed, height, width)
    return infrared, rgb, np.random.default_rng(seed + 100).integers(0, 256, (height, width), np.uint8)


def _assert_equal(found: tuple[np.ndarray, ...], expected: tuple[np.ndarray, ...]) -> None:
    for one, other in zip(found, expected, strict=True):
        np.testing.assert_array_equal(one, other)


def test_a_frame_goes_up_is_replayed_comes_down_and_is_waited_for_once(network: FrameNetwork) -> None:
    runtime = HostRuntime()
    backend = CudaGraphBackend(network, _options(), runtime)
    backend.run(*_images())
    assert runtime.log == [*("allocate",) * 4, "record", "up", "replay", "down", "synchronise"]
    runtime.log.clear()
    backend.run(*_images(1))
    assert runtime.log == ["up", "replay", "down", "synchronise"]


@pytest.mark.parametrize("precision", ["float32", "bfloat16", "float16"])
def test_results_are_those_of_torch_without_recording(network: FrameNetwork, precision: str) -> None:
    backend = CudaGraphBackend(network, _options(precision), HostRuntime())
    eager = create_backend("torch", network, _options(precision))
    for seed in (0, 1):  # the second frame must not see the first one's buffers
        _assert_equal(backend.run(*_images(seed)), eager.run(*_images(seed)))


def test_buffers_stay_where_they_are_and_results_belong_to_the_caller(network: FrameNetwork) -> None:
    runtime = HostRuntime()
    backend = CudaGraphBackend(network, _options(), runtime)
    first = backend.run(*_images())
    kept = tuple(each.copy() for each in first)
    before = [each.data_ptr() for each in (*runtime.hosts, *runtime.devices)]
    for seed in (1, 2):
        backend.run(*_images(seed))
    assert [each.data_ptr() for each in (*runtime.hosts, *runtime.devices)] == before
    _assert_equal(first, kept)


def test_a_size_is_recorded_once_and_the_oldest_of_three_is_dropped(network: FrameNetwork) -> None:
    runtime = HostRuntime()
    backend = CudaGraphBackend(network, _options(sizes_kept=2), runtime)

    def recorded(height: int, width: int) -> bool:
        runtime.log.clear()
        backend.run(*_images(0, height, width))
        return "record" in runtime.log

    assert [recorded(33, 47), recorded(47, 33), recorded(33, 47)] == [True, True, False]
    assert recorded(40, 40)
    assert [recorded(33, 47), recorded(47, 33)] == [False, True]


def test_memory_of_a_dropped_size_is_let_go(network: FrameNetwork) -> None:
    runtime = HostRuntime()
    backend = CudaGraphBackend(network, _options(sizes_kept=1), runtime)
    backend.run(*_images())
    gone = [weakref.ref(each) for each in (*runtime.hosts, *runtime.devices)]
    runtime.hosts.clear()
    runtime.devices.clear()
    backend.run(*_images(0, 47, 33))
    gc.collect()
    assert [each() for each in gone] == [None] * 4


@pytest.mark.parametrize("method", ["mean", "visible"])
def test_the_prior_image_is_made_on_the_device(network: FrameNetwork, method: str) -> None:
    runtime = HostRuntime()
    backend = CudaGraphBackend(network, _options(prior=method), runtime)
    infrared, rgb = _pair()
    with mock.patch("segmif_ros.imaging.prior.prior_image", side_effect=AssertionError):
        found = backend.run_pair(infrared, rgb)
    expected = create_backend("torch", network, _options()).run(infrared, rgb, prior_image(infrared, rgb, method))
    _assert_equal(found, expected)
    assert runtime.hosts[0].numel() < 33 * 47 * 4 + 3 * 256  # infrared and RGB only


def test_a_given_prior_image_is_used_even_where_one_could_be_made(network: FrameNetwork) -> None:
    backend = CudaGraphBackend(network, _options(prior="mean"), HostRuntime())
    expected = create_backend("torch", network, _options()).run(*_images())
    backend.run_pair(*_pair())
    _assert_equal(backend.run(*_images()), expected)


def test_memory_that_runs_out_takes_the_recordings_with_it(network: FrameNetwork) -> None:
    runtime = HostRuntime()
    backend = CudaGraphBackend(network, _options(), runtime)
    backend.run(*_images())
    runtime.failure = torch.OutOfMemoryError("CUDA out of memory")
    with pytest.raises(torch.OutOfMemoryError):
        backend.run(*_images(0, 47, 33))
    runtime.failure = None
    runtime.log.clear()
    backend.run(*_images())
    assert "record" in runtime.log


def test_what_can_not_be_recorded_is_said_and_costs_no_other_size(network: FrameNetwork) -> None:
    runtime = HostRuntime()
    backend = CudaGraphBackend(network, _options(), runtime)
    backend.run(*_images(0, 47, 33))
    runtime.failure = NOT_RECORDABLE
    with pytest.raises(EngineError, match="can't be recorded"):
        backend.run(*_images())
    runtime.log.clear()
    backend.run(*_images(0, 47, 33))
    assert runtime.log == ["up", "replay", "down", "synchronise"]


def test_every_image_lies_at_an_aligned_address_of_one_block() -> None:
    runtime = HostRuntime()
    frame = StaticFrame(runtime, [(3, 5), (3, 5, 3)], [(20, 20)])
    starts = [each.data_ptr() - runtime.devices[0].data_ptr() for each in frame.inputs]
    assert starts == [0, 256]
    assert [each.numel() for each in runtime.devices] == [512, 512]
    assert [each.numel() for each in runtime.hosts] == [512, 512]


def test_the_engine_leaves_the_prior_image_to_a_backend_that_makes_it(
    tiny_weights: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    engine = Engine(EngineConfig(weights=(str(tiny_weights),), device="cpu"))
    expected = engine.infer(*_pair())
    backend = CudaGraphBackend(engine._network.frame, _options(prior=engine.prior), HostRuntime())
    assert isinstance(backend, PairBackend)
    monkeypatch.setattr(engine, "_backend", backend)
    monkeypatch.setattr("segmif_ros.inference.engine.prior_image", mock.Mock(side_effect=AssertionError))
    found = engine.infer(*_pair())
    _assert_equal((found.fused, found.labels, found.confidence), (expected.fused, expected.labels, expected.confidence))
    assert set(found.stage_ms) == {"prior", "network"}


def test_the_engine_makes_a_prior_image_that_the_device_can_not(
    tiny_weights: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("segmif_ros.inference.engine.DEVICE_PRIORS", ("mean",))
    engine = Engine(EngineConfig(weights=(str(tiny_weights),), device="cpu", prior="vsm_wls"))
    expected = engine.infer(*_pair())
    monkeypatch.setattr(engine, "_backend", CudaGraphBackend(engine._network.frame, _options(), HostRuntime()))
    np.testing.assert_array_equal(engine.infer(*_pair()).fused, expected.fused)


def test_on_cuda_a_trial_takes_what_starts_within_seconds() -> None:
    names = available_backends("cuda", "float16")
    assert [name for name in names if BACKENDS[name].on_trial] == ["torch", "cuda_graph"]


def test_the_authors_mode_can_be_recorded_as_well(network: FrameNetwork) -> None:
    authors = FrameNetwork(network.model, "authors")
    backend = CudaGraphBackend(authors, _options(), HostRuntime())
    _assert_equal(backend.run(*_images()), create_backend("torch", authors, _options()).run(*_images()))


def test_the_benchmarks_that_the_documentation_asks_for_are_understood() -> None:
    text = (Path(__file__).parents[2] / "docs" / "cuda.md").read_text().replace("\\\n", " ")
    commands = re.findall(r"^segmif bench (.*)$", text, re.MULTILINE)
    parser = argparse.ArgumentParser()
    bench.add_arguments(parser)
    asked = [parser.parse_args(shlex.split(command)) for command in commands]
    assert {name for each in asked for name in each.backend} == {"torch", "compile", "cuda_graph", "tensorrt"}
    assert {each.device for each in asked} == {"cuda"}


def test_the_backend_is_refused_on_the_cpu_in_one_line(tiny_weights: Path) -> None:
    with pytest.raises(EngineError, match=r"^backend 'cuda_graph' runs on cuda only, not on 'cpu'$"):
        Engine(EngineConfig(weights=(str(tiny_weights),), device="cpu", backend="cuda_graph"))


class FakeCuda:
    """Stands in for the parts of `torch.cuda` that record; signatures are torch's own."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.log: list[str] = []
        self.stream = mock.MagicMock(cuda_stream=5)
        self.stream.wait_stream.side_effect = lambda _: self.log.append("wait for the weights")
        self.graph = mock.create_autospec(torch.cuda.CUDAGraph, instance=True)
        self.begin: Exception | None = None
        self.end: Exception | None = None
        recording = mock.create_autospec(torch.cuda.graph)
        recording.return_value.__enter__.side_effect = lambda *_: self.log.append("begin")
        recording.return_value.__exit__.side_effect = self._end
        self.recording = recording
        monkeypatch.setattr(torch.cuda, "Stream", mock.Mock(return_value=self.stream))
        monkeypatch.setattr(torch.cuda, "default_stream", mock.create_autospec(torch.cuda.default_stream))
        monkeypatch.setattr(torch.cuda, "CUDAGraph", mock.Mock(return_value=self.graph))
        monkeypatch.setattr(torch.cuda, "graph", recording)

    def _end(self, *_: object) -> bool:
        self.log.append("end")
        if self.end is not None:
            raise self.end
        return False


def test_cuda_records_on_its_own_stream_after_running_warm(monkeypatch: pytest.MonkeyPatch) -> None:
    cuda = FakeCuda(monkeypatch)
    runtime: DeviceRuntime = CudaRuntime(torch.device("cuda:0"))
    tuned = []

    def work() -> None:
        cuda.log.append("work")
        tuned.append(torch.backends.cudnn.benchmark)

    replay = runtime.record(work, "a frame")
    assert cuda.log == ["wait for the weights", "work", "work", "work", "begin", "work", "end"]
    cuda.recording.assert_called_once_with(cuda.graph, stream=cuda.stream, capture_error_mode="thread_local")
    assert (set(tuned), torch.backends.cudnn.benchmark) == ({True}, False)
    replay()
    cuda.graph.replay.assert_called_once_with()


def test_cuda_says_in_one_line_what_can_not_be_recorded(monkeypatch: pytest.MonkeyPatch) -> None:
    cuda = FakeCuda(monkeypatch)
    cuda.end = RuntimeError("operation failed due to a previous error during capture\nmore")

    def work() -> None:
        if "begin" in cuda.log:
            raise RuntimeError("operation not permitted when stream is capturing\nCUDA kernel errors might be ...")

    with pytest.raises(EngineError) as caught:
        CudaRuntime(torch.device("cuda:0")).record(work, "a 47x33 frame")
    assert str(caught.value) == (
        "a 47x33 frame can't be recorded as a CUDA graph (operation not permitted when stream is capturing): "
        "use the backend 'torch'"
    )
    assert torch.backends.cudnn.benchmark is False


def test_nobody_records_or_gives_memory_back_while_another_thread_records(monkeypatch: pytest.MonkeyPatch) -> None:
    cuda = FakeCuda(monkeypatch)
    monkeypatch.setattr(torch.cuda, "empty_cache", lambda: (cuda.log.append("empty"), entered.set()))
    entered = threading.Event()
    runtime = CudaRuntime(torch.device("cuda:0"))
    others = [
        threading.Thread(target=runtime.record, args=(entered.set, "another frame")),
        threading.Thread(target=give_memory_back),
    ]

    def work() -> None:
        if cuda.log[-1] == "begin":
            for other in others:
                other.start()
            assert not entered.wait(0.1)  # they have all the time to do it if nothing stops them

    runtime.record(work, "a frame")
    for other in others:
        other.join()
    end = cuda.log.index("end")
    assert sorted(cuda.log[:end]) == ["begin", "wait for the weights"]
    assert sorted(cuda.log[end:]) == ["begin", "empty", "end", "end", "wait for the weights"]
    assert torch.backends.cudnn.benchmark is False


@pytest.mark.parametrize("at", ["work", "begin"])
def test_cuda_lets_memory_that_ran_out_be_known_as_that(monkeypatch: pytest.MonkeyPatch, at: str) -> None:
    cuda = FakeCuda(monkeypatch)
    cuda.end = RuntimeError("operation failed due to a previous error during capture")

    def work() -> None:
        cuda.log.append("work")
        if at in cuda.log:
            raise torch.OutOfMemoryError("CUDA out of memory")

    with pytest.raises(torch.OutOfMemoryError):
        CudaRuntime(torch.device("cuda:0")).record(work, "a frame")


def test_facts_of_a_device_tell_a_slice_from_the_whole(monkeypatch: pytest.MonkeyPatch) -> None:
    whole = mock.Mock(total_memory=80 << 30, multi_processor_count=132, major=9, minor=0)
    whole.name = "H"
    monkeypatch.setattr(torch.cuda, "get_device_properties", lambda _: whole)
    facts = device_facts(torch.device("cuda:0"))
    assert facts["device"] == "H, 81920 MiB, 132 multiprocessors"
    assert (facts["capability"], set(facts)) == ("9.0", {"device", "capability", "driver", "cuda"})
    assert device_facts(CPU) == {"device": "cpu"}
