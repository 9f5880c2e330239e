# SPDX-License-Identifier: Apache-2.0
"""The calls made of TensorRT, the key of its engines, and the graph that it is given.

TensorRT itself is a fake here; the graph is run by ONNX Runtime, which shows that it is the network.
"""

import gc
import json
import logging
import weakref
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import torch
from host_runtime import HostRuntime

from segmif_ros.imaging.prior import prior_image
from segmif_ros.inference import backends
from segmif_ros.inference.backends import BackendOptions, create_backend, facts
from segmif_ros.inference.backends.base import PairBackend
from segmif_ros.inference.device_frame import DeviceFrame
from segmif_ros.inference.device_prior import device_prior
from segmif_ros.inference.engine import EngineError
from segmif_ros.inference.frame import FrameNetwork
from segmif_ros.model import load_checkpoint

onnx = pytest.importorskip("onnx")
pytest.importorskip("onnxscript")
from segmif_ros.inference.backends import onnx_graph  # noqa: E402 (needs onnx)
from segmif_ros.inference.backends import tensorrt as backend_module  # noqa: E402
from segmif_ros.inference.backends.tensorrt import (  # noqa: E402
    EngineBuilder,
    EngineCache,
    TensorRtBackend,
    engine_facts,
)

CPU = BackendOptions(device=torch.device("cpu"), precision="float32", prior="mean")
INFRARED = np.full((33, 47), 7, np.uint8)
RGB = np.full((33, 47, 3), 9, np.uint8)


class FakeContext:
    def __init__(self, engine: "FakeEngine") -> None:
        self.engine = engine
        self.addresses: dict[str, int] = {}
        self.runs: list[int] = []
        self.accepts = True

    def set_tensor_address(self, name: str, address: int) -> bool:
        self.addresses[name] = address
        return self.accepts

    def execute_async_v3(self, stream_handle: int) -> bool:
        self.runs.append(stream_handle)
        return self.engine.fake.runs


class FakeEngine:
    def __init__(self, fake: "FakeTensorRt", plan: bytes) -> None:
        self.fake = fake
        self.plan = plan
        self.shapes = fake.shapes

    def get_tensor_shape(self, name: str) -> tuple[int, ...]:
        return self.shapes[name]

    def get_tensor_dtype(self, name: str) -> str:
        return self.fake.dtype

    def create_execution_context(self) -> FakeContext | None:
        context = FakeContext(self) if self.fake.memory else None
        self.fake.contexts.append(weakref.ref(context) if context else None)
        return context


class FakeTensorRt:
    """The parts of the module `tensorrt` that are used, by the names of its documentation."""

    __version__ = "11.4.0.106"
    BuilderFlag = SimpleNamespace(TF32="TF32")
    NetworkDefinitionCreationFlag = SimpleNamespace(STRONGLY_TYPED=1)
    DataType = SimpleNamespace(UINT8="UINT8")

    class ILogger:
        Severity = SimpleNamespace(INTERNAL_ERROR=0, ERROR=1, WARNING=2, INFO=3, VERBOSE=4)

    class IProgressMonitor:
        pass

    def __init__(self, height: int = 33, width: int = 47) -> None:
        self.log: list[Any] = []
        self.contexts: list[Any] = []
        self.parses = self.builds = self.loads = self.memory = self.runs = True
        self.dtype = "UINT8"
        plane = (height, width)
        self.shapes = {"infrared": plane, "rgb": (*plane, 3), "prior": plane, "fused": (*plane, 3), "labels": plane}
        self.shapes["confidence"] = plane

    def Builder(self, log: Any) -> Any:
        fake = self

        def build(network: str, config: Any) -> bytes | None:
            fake.log.append(("build", network, config))
            config.progress_monitor.phase_start("search", None, 9)
            assert config.progress_monitor.step_complete("search", 0) is True
            config.progress_monitor.phase_finish("search")
            if not fake.builds:
                log.log(fake.ILogger.Severity.ERROR, "no kernel for Gelu\nmore")
            return b"plan" if fake.builds else None

        def config() -> Any:
            return SimpleNamespace(clear_flag=lambda flag: fake.log.append(("clear", flag)))

        def create_network(flags: int) -> str:
            fake.log.append(("network", flags))
            return "network"

        return SimpleNamespace(
            create_network=create_network, create_builder_config=config, build_serialized_network=build
        )

    def OnnxParser(self, network: str, log: Any) -> Any:
        assert network == "network"

        def parse(graph: bytes) -> bool:
            self.log.append(("parse", graph))
            return self.parses

        error = SimpleNamespace(desc=lambda: "node Gelu_7 unknown\nmore")
        return SimpleNamespace(parse=parse, num_errors=1, get_error=lambda index: error)

    def Runtime(self, log: Any) -> Any:
        def deserialize_cuda_engine(plan: bytes) -> FakeEngine | None:
            self.log.append(("load", plan))
            if not self.loads:
                log.log(self.ILogger.Severity.ERROR, "wrong version tag")
            return FakeEngine(self, plan) if self.loads else None

        return SimpleNamespace(deserialize_cuda_engine=deserialize_cuda_engine)

    def names(self) -> list[str]:
        return [each[0] for each in self.log]


@pytest.fixture(scope="module")
def network(tiny_weights: Path) -> FrameNetwork:
    return FrameNetwork(load_checkpoint(tiny_weights).requires_grad_(False))


@pytest.fixture
def fake() -> FakeTensorRt:
    return FakeTensorRt()


@pytest.fixture
def no_export(monkeypatch: pytest.MonkeyPatch) -> list[tuple[str, ...]]:
    """The exporter takes seconds; one test below runs it."""
    asked: list[tuple[str, ...]] = []

    def export(module: object, example: list[torch.Tensor], inputs: tuple[str, ...], outputs: tuple[str, ...]) -> Any:
        assert len(example) == len(inputs)
        asked.append(tuple(inputs))
        return onnx.ModelProto()

    monkeypatch.setattr(onnx_graph, "export", export)
    return asked


def _backend(network: FrameNetwork, fake: FakeTensorRt, folder: Path, **more: Any) -> TensorRtBackend:
    runtime = more.pop("runtime", None) or HostRuntime()
    return TensorRtBackend(network, replace(CPU, **more), runtime, fake, EngineCache(folder))


@pytest.mark.usefixtures("no_export")
def test_an_engine_is_built_strongly_typed_without_tf32_and_run_on_the_stream(
    network: FrameNetwork, fake: FakeTensorRt, tmp_path: Path
) -> None:
    runtime = HostRuntime()
    backend = _backend(network, fake, tmp_path, runtime=runtime)
    results = backend.run_pair(INFRARED, RGB)
    assert [each.shape for each in results] == [(33, 47, 3), (33, 47), (33, 47)]
    assert fake.names() == ["network", "parse", "clear", "build", "load"]
    assert (fake.log[0], fake.log[2]) == (("network", 2), ("clear", "TF32"))
    assert runtime.log == [*("allocate",) * 4, "record", "up", "replay", "down", "synchronise"]
    context = fake.contexts[0]()
    assert context.runs == [77, 77]  # once to record, once to replay
    up, down = (each.data_ptr() for each in runtime.devices)
    assert context.addresses["infrared"] == up
    assert context.addresses["rgb"] == up + 1792  # 33 * 47 bytes, rounded up to 256
    assert (context.addresses["fused"], set(context.addresses)) == (
        down, {"infrared", "rgb", "fused", "labels", "confidence"},
    )  # fmt: skip
    assert isinstance(backend, PairBackend)


def test_a_given_prior_image_is_an_input_of_an_engine_of_its_own(
    network: FrameNetwork, fake: FakeTensorRt, tmp_path: Path, no_export: list[tuple[str, ...]]
) -> None:
    backend = _backend(network, fake, tmp_path)
    backend.run_pair(INFRARED, RGB)
    backend.run(INFRARED, RGB, INFRARED)
    assert no_export == [("infrared", "rgb"), ("infrared", "rgb", "prior")]
    assert len(list(tmp_path.glob("*.engine"))) == 2


@pytest.mark.usefixtures("no_export")
def test_what_a_recording_uses_lives_as_long_as_it(network: FrameNetwork, fake: FakeTensorRt, tmp_path: Path) -> None:
    class Forgetful(HostRuntime):
        def record(self, work: Any, what: str) -> Any:  # a CUDA graph keeps no Python object alive
            super().record(work, what)
            return lambda: None

    backend = _backend(network, fake, tmp_path, runtime=Forgetful())
    backend.run_pair(INFRARED, RGB)
    gc.collect()
    assert fake.contexts[0]() is not None
    del backend
    gc.collect()
    assert fake.contexts[0]() is None


@pytest.mark.usefixtures("no_export")
def test_a_kept_engine_is_loaded_instead_of_built(
    network: FrameNetwork, fake: FakeTensorRt, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO)
    _backend(network, fake, tmp_path).run_pair(INFRARED, RGB)
    assert "TensorRT builds an engine for 47x33 in float32: this takes minutes, once for this machine" in caplog.text
    assert "TensorRT built the engine in" in caplog.text
    caplog.clear()
    fake.log.clear()
    _backend(network, fake, tmp_path).run_pair(INFRARED, RGB)
    assert (fake.log, caplog.text) == ([("load", b"plan")], "")


@pytest.mark.usefixtures("no_export")
def test_a_kept_engine_that_is_refused_is_built_again(
    network: FrameNetwork, fake: FakeTensorRt, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    _backend(network, fake, tmp_path).run_pair(INFRARED, RGB)
    fake.log.clear()
    fake.loads = False
    with pytest.raises(EngineError, match=r"^TensorRT can't load the engine that it built: wrong version tag$"):
        _backend(network, fake, tmp_path).run_pair(INFRARED, RGB)
    assert fake.names() == ["load", "network", "parse", "clear", "build", "load"]
    assert "TensorRT refuses the engine kept from before (wrong version tag): it is built again" in caplog.text


def test_a_damaged_engine_is_not_handed_to_tensorrt(tmp_path: Path) -> None:
    cache = EngineCache(tmp_path / "not" / "there")
    cache.put({"a": 1}, b"plan")
    assert (cache.get({"a": 1}), cache.get({"a": 2})) == (b"plan", None)
    (path,) = (tmp_path / "not" / "there").glob("*.engine")
    path.write_bytes(b"pla")
    assert cache.get({"a": 1}) is None
    for text in ("[]", "{", "{}"):
        path.with_suffix(".json").write_text(text)
        assert cache.get({"a": 1}) is None


def test_the_facts_of_an_engine_lie_beside_it(tmp_path: Path) -> None:
    cache = EngineCache(tmp_path)
    cache.put({"size": [4, 5]}, b"plan")
    (path,) = tmp_path.glob("*.json")
    assert json.loads(path.read_text())["size"] == [4, 5]


def test_a_folder_that_can_not_be_written_costs_a_warning(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    (tmp_path / "file").write_text("")
    EngineCache(tmp_path / "file").put({}, b"plan")
    assert "the engine can't be kept and is built again next time" in caplog.text


def _facts(network: FrameNetwork, **change: Any) -> str:
    arguments: dict[str, Any] = {"height": 33, "width": 47, "images": 2, "tensorrt_version": "11.0"} | change
    options = arguments.pop("options", CPU)
    dtype, prior = arguments.pop("dtype", torch.float32), arguments.pop("prior", "mean")
    return json.dumps(engine_facts(DeviceFrame(network, dtype, prior), options, **arguments), sort_keys=True)


@pytest.mark.parametrize(
    "change",
    [
        {"height": 34},
        {"width": 48},
        {"images": 3},
        {"prior": "visible"},
        {"tensorrt_version": "11.1"},
        {"options": replace(CPU, precision="float16")},
    ],
)
def test_an_engine_belongs_to_its_size_inputs_precision_and_version(
    network: FrameNetwork, change: dict[str, Any]
) -> None:
    assert _facts(network) == _facts(network)
    assert _facts(network, **change) != _facts(network)


def test_an_engine_belongs_to_its_weights_and_mode(tiny_weights: Path) -> None:
    model = load_checkpoint(tiny_weights).requires_grad_(False)
    before = _facts(FrameNetwork(model))
    assert _facts(FrameNetwork(model, "authors")) != before
    next(model.parameters()).view(-1)[0] += 1e-3
    assert _facts(FrameNetwork(model)) != before


@pytest.mark.parametrize("fact", ["device", "capability", "driver", "cuda"])
def test_an_engine_belongs_to_its_device_and_driver(
    network: FrameNetwork, fact: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    facts = {"device": "H", "capability": "9.0", "driver": "580", "cuda": "12.8"}
    monkeypatch.setattr(backend_module, "device_facts", lambda _: facts)
    before = _facts(network)
    monkeypatch.setattr(backend_module, "device_facts", lambda _: facts | {fact: "other"})
    assert _facts(network) != before


@pytest.mark.parametrize("package", ["torch", "onnx", "onnxscript"])
def test_an_engine_belongs_to_what_made_its_graph(
    network: FrameNetwork, package: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    before = _facts(network)
    version = facts.package_version
    monkeypatch.setattr(facts, "package_version", lambda name: "0" if name == package else version(name))
    assert _facts(network) != before


@pytest.mark.usefixtures("no_export")
@pytest.mark.parametrize(
    ("failure", "line"),
    [
        ("parses", "TensorRT can't read the network: node Gelu_7 unknown"),
        ("builds", "TensorRT can't build the engine: no kernel for Gelu"),
        ("loads", "TensorRT can't load the engine that it built: wrong version tag"),
        ("memory", "TensorRT has no memory to run a 47x33 frame: it gives no reason"),
        ("runs", "TensorRT can't run a 47x33 frame: it gives no reason"),
    ],
)
def test_what_tensorrt_does_not_do_is_said_in_one_line(
    network: FrameNetwork, fake: FakeTensorRt, tmp_path: Path, failure: str, line: str
) -> None:
    setattr(fake, failure, False)
    with pytest.raises(EngineError) as caught:
        _backend(network, fake, tmp_path).run_pair(INFRARED, RGB)
    assert str(caught.value) == line


@pytest.mark.usefixtures("no_export")
@pytest.mark.parametrize("wrong", ["shape", "type"])
def test_an_engine_that_would_write_past_its_buffer_is_refused(
    network: FrameNetwork, fake: FakeTensorRt, tmp_path: Path, wrong: str
) -> None:
    if wrong == "shape":
        fake.shapes["labels"] = (66, 47)
    else:
        fake.dtype = "INT64"
    with pytest.raises(EngineError, match=r"TensorRT made '\w+' (INT64|UINT8) \(\d+, 47\) instead of uint8 \(33, 47\)"):
        _backend(network, fake, tmp_path).run_pair(INFRARED, RGB)


def test_tensorrt_that_can_not_start_is_said_in_one_line(
    fake: FakeTensorRt, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(_log: object) -> None:
        raise TypeError("factory function returned nullptr\nmore")

    monkeypatch.setattr(fake, "Builder", refuse)
    with pytest.raises(EngineError, match=r"^TensorRT can't start: factory function returned nullptr$"):
        EngineBuilder(fake).build(b"")


def test_the_mode_that_computes_with_bytes_is_refused(
    network: FrameNetwork, fake: FakeTensorRt, tmp_path: Path
) -> None:
    with pytest.raises(EngineError, match=r"^backend 'tensorrt' doesn't do mode 'authors': use the backend 'cuda_gr"):
        _backend(FrameNetwork(network.model, "authors"), fake, tmp_path)


def test_an_old_tensorrt_is_refused(fake: FakeTensorRt, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(FakeTensorRt, "__version__", "8.6.1")
    with pytest.raises(EngineError, match=r"needs TensorRT 10 or later, here is 8\.6\.1$"):
        EngineBuilder(fake)


def test_a_long_build_says_how_far_it_is(fake: FakeTensorRt, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO)
    now = iter([0.0, 1.0, 20.0, 20.0, 21.0])
    monitor = backend_module._make_monitor(fake, lambda: next(now))
    monitor.phase_start("search", None, 9)
    assert [monitor.step_complete("search", step) for step in range(3)] == [True, True, True]
    assert caplog.messages == ["TensorRT: search, step 2 of 9"]


def test_without_tensorrt_the_line_says_what_to_install(network: FrameNetwork, monkeypatch: pytest.MonkeyPatch) -> None:
    find = backends.find_spec
    monkeypatch.setattr(backends, "find_spec", lambda name: None if name == "tensorrt" else find(name))
    options = replace(CPU, device=torch.device("cuda"))
    with pytest.raises(EngineError) as caught:
        create_backend("tensorrt", network, options)
    assert str(caught.value) == (
        "backend 'tensorrt' needs tensorrt, not installed here: pip install 'segmif_ros[tensorrt]'"
    )


def test_tensorrt_without_its_libraries_is_said_in_one_line(
    network: FrameNetwork, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(name: str) -> None:
        raise ImportError("libnvinfer.so.11: cannot open shared object file\nmore")

    monkeypatch.setattr(backend_module, "import_module", fail)
    with pytest.raises(EngineError, match=r"^backend 'tensorrt' can't load TensorRT: libnvinfer\.so\.11: cannot open"):
        backend_module.create(network, CPU)


@pytest.fixture(scope="module")
def half_graph(network: FrameNetwork) -> Any:
    """The graph as TensorRT gets it, float16, prior image made inside: all that can be wrong with it at once."""
    backend = TensorRtBackend(
        network, replace(CPU, precision="float16"), HostRuntime(), FakeTensorRt(), EngineCache(Path("unused"))
    )
    return onnx.load_from_string(backend._graph(33, 47, 2))


def test_the_graph_computes_the_frame_in_half_precision(network: FrameNetwork, half_graph: Any) -> None:
    onnxruntime = pytest.importorskip("onnxruntime")
    settings = onnxruntime.SessionOptions()
    settings.intra_op_num_threads = 1
    session = onnxruntime.InferenceSession(
        half_graph.SerializeToString(), settings, providers=["CPUExecutionProvider"]
    )
    generator = np.random.default_rng(2)
    infrared = generator.integers(0, 256, (33, 47), np.uint8)
    rgb = generator.integers(0, 256, (33, 47, 3), np.uint8)
    found = session.run(None, {"infrared": infrared, "rgb": rgb})
    frame = DeviceFrame(network, torch.float16, "mean")
    with torch.inference_mode():
        expected = [each.numpy() for each in frame(torch.from_numpy(infrared), torch.from_numpy(rgb))]
    assert [(each.dtype, each.shape) for each in found] == [(np.uint8, each.shape) for each in expected]
    assert np.abs(found[0].astype(int) - expected[0]).max() <= 3
    assert (found[1] == expected[1]).mean() > 0.98


def test_the_graph_keeps_to_what_tensorrt_computes_in(half_graph: Any) -> None:
    graph, types = half_graph.graph, onnx.TensorProto
    assert {each.data_type for each in graph.initializer} == {types.FLOAT, types.FLOAT16, types.INT64}
    casts = [node for node in graph.node if node.op_type == "Cast"]
    targets = {onnx.helper.get_node_attr_value(node, "to") for node in casts}
    assert targets == {types.FLOAT, types.FLOAT16, types.UINT8}
    # bytes are neither computed with nor moved, only cast from and to float
    made = {node.output[0]: node for node in graph.node}
    for value in graph.input:
        takers = [node for node in graph.node if value.name in node.input]
        assert takers
        assert {(node.op_type, onnx.helper.get_node_attr_value(node, "to")) for node in takers} == {
            ("Cast", types.FLOAT)
        }
    for value in graph.output:
        last = made[value.name]
        assert (last.op_type, onnx.helper.get_node_attr_value(last, "to")) == ("Cast", types.UINT8)
        before = made[last.input[0]]
        assert (before.op_type, onnx.helper.get_node_attr_value(before, "to")) == ("Cast", types.FLOAT)
    onnx.checker.check_model(half_graph)


def test_the_graph_of_the_weighted_prior_image_is_that_of_the_cpu() -> None:
    onnxruntime = pytest.importorskip("onnxruntime")

    class Prior(torch.nn.Module):
        def forward(self, infrared: torch.Tensor, rgb: torch.Tensor) -> torch.Tensor:
            return device_prior(infrared.float(), rgb.float(), "vsm_wls").to(torch.uint8)

    coarse = np.random.default_rng(4).integers(0, 256, (5, 6, 4), np.uint8)
    image = coarse.repeat(8, axis=0).repeat(8, axis=1)
    infrared, rgb = np.ascontiguousarray(image[..., 3]), np.ascontiguousarray(image[..., :3])
    model = onnx_graph.export(Prior(), [torch.from_numpy(infrared), torch.from_numpy(rgb)], ("a", "b"), ("c",))
    graph = onnx_graph.without_double(model).SerializeToString()
    (found,) = onnxruntime.InferenceSession(graph, providers=["CPUExecutionProvider"]).run(
        None, {"a": infrared, "b": rgb}
    )
    difference = np.abs(found.astype(int) - prior_image(infrared, rgb, "vsm_wls"))
    assert (difference == 0).mean() > 0.99
    assert difference.max() <= 1


def test_a_network_that_can_not_be_exported_is_said_in_one_line() -> None:
    class Odd(torch.nn.Module):
        def forward(self, image: torch.Tensor) -> torch.Tensor:
            return torch.nonzero(image) if image.sum() > 0 else image

    with pytest.raises(EngineError, match=r"^torch\.onnx can't export the network \([^\n]+\): use another backend$"):
        onnx_graph.export(Odd(), [torch.ones(3)], ("a",), ("b",))


def test_doubles_in_constants_become_floats_too() -> None:
    values = onnx.numpy_helper.from_array(np.array([0.5]), "values")
    nodes = [
        onnx.helper.make_node("Constant", [], ["a"], value=values),
        onnx.helper.make_node("Cast", ["a"], ["b"], to=onnx.TensorProto.DOUBLE),
    ]
    graph = onnx.helper.make_graph(nodes, "g", [], [onnx.helper.make_tensor_value_info("b", 11, [1])], [values])
    model = onnx_graph.without_double(onnx.helper.make_model(graph))
    constant, cast = model.graph.node
    assert constant.attribute[0].t.data_type == cast.attribute[0].i == onnx.TensorProto.FLOAT
    assert model.graph.initializer[0].data_type == onnx.TensorProto.FLOAT
