# SPDX-License-Identifier: Apache-2.0
"""TensorRT, one engine per image size, made from the network's ONNX graph and kept in the user's cache folder.

The graph says what is computed in which type, by the same autocast that the torch backend runs under; TensorRT is told
to keep to it (a strongly typed network, which TensorRT 11 makes of every graph). Written for TensorRT 10 and 11 from
their documentation and never run: see docs/cuda.md.
"""

from __future__ import annotations

import hashlib
import json
import logging
import time
from collections.abc import Callable
from importlib import import_module
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from segmif_ros.inference import device_frame, device_prior
from segmif_ros.inference.backends import onnx_graph
from segmif_ros.inference.backends.base import BackendOptions, FrameArrays, PerSize, UInt8Image, example_inputs
from segmif_ros.inference.backends.device_runtime import CudaRuntime, DeviceRuntime, StaticFrame, device_facts
from segmif_ros.inference.backends.facts import facts_key, first_line, network_facts
from segmif_ros.inference.backends.torch_eager import DTYPES
from segmif_ros.inference.choice import default_path
from segmif_ros.inference.device_frame import DeviceFrame
from segmif_ros.inference.errors import EngineError
from segmif_ros.inference.frame import FrameNetwork
from segmif_ros.model.checkpoint import replace_file

# buffers, what queues a frame, and what that uses without owning it
Prepared = tuple[StaticFrame, Callable[[], None], object]

INPUTS = ("infrared", "rgb", "prior")
OUTPUTS = ("fused", "labels", "confidence")

_LOGGER = logging.getLogger(__name__)
_OLDEST = 10  # the first with strongly typed networks as documented
_SAY_EVERY_S = 15.0
# torch and the packages that make the graph from it
_PACKAGES = ("torch", "onnx", "onnxscript")


class TensorRtBackend:
    """Runs engines that TensorRT built.

    Args:
        network: What to run, on the options' device.
        options: How.
        runtime: The device.
        tensorrt: The module `tensorrt`.
        cache: Where engines are kept.

    Raises:
        EngineError: A mode that it doesn't do, or TensorRT is too old.
    """

    def __init__(
        self, network: FrameNetwork, options: BackendOptions, runtime: DeviceRuntime, tensorrt: Any, cache: EngineCache
    ) -> None:
        if network.mode != "robot":
            # its display step computes with bytes, which TensorRT doesn't
            raise EngineError(f"backend 'tensorrt' doesn't do mode '{network.mode}': use the backend 'cuda_graph'")
        self._frame = DeviceFrame(network, DTYPES[options.precision], options.prior).eval()
        self._options = options
        self._runtime = runtime
        self._builder = EngineBuilder(tensorrt)
        self._cache = cache
        self._prepared: PerSize[Prepared] = PerSize(self._prepare, options.sizes_kept)

    def run(self, infrared: UInt8Image, rgb: UInt8Image, prior: UInt8Image) -> FrameArrays:
        """See `Backend`."""
        return self._run(infrared, rgb, prior)

    def run_pair(self, infrared: UInt8Image, rgb: UInt8Image) -> FrameArrays:
        """See `PairBackend`."""
        return self._run(infrared, rgb)

    def _run(self, *images: UInt8Image) -> FrameArrays:
        height, width = images[0].shape
        try:
            static, replay, _ = self._prepared.get(height, width, len(images))
            return static.run(images, replay)
        except torch.OutOfMemoryError:
            self._prepared.clear()  # engines hold memory that nobody else can use
            raise

    def _prepare(self, height: int, width: int, images: int) -> Prepared:
        what = f"a {width}x{height} frame"
        engine = self._engine(height, width, images)
        context = engine.create_execution_context()
        if context is None:
            raise EngineError(f"TensorRT has no memory to run {what}: {self._builder.said()}")
        plane, colour = (height, width), (height, width, 3)
        static = StaticFrame(self._runtime, (plane, colour, plane)[:images], (colour, plane, plane))
        tensors = dict(zip((*INPUTS[:images], *OUTPUTS), (*static.inputs, *static.outputs), strict=True))
        for name, tensor in tensors.items():
            self._builder.check(engine, name, tensor)
            if not context.set_tensor_address(name, tensor.data_ptr()):
                raise EngineError(f"TensorRT takes no address for '{name}': {self._builder.said()}")

        def work() -> None:
            if not context.execute_async_v3(self._runtime.stream_handle()):
                raise EngineError(f"TensorRT can't run {what}: {self._builder.said()}")

        with self._runtime.queued():
            return static, self._runtime.record(work, what), (engine, context)

    def _engine(self, height: int, width: int, images: int) -> Any:
        facts = engine_facts(self._frame, self._options, height, width, images, self._builder.version)
        plan = self._cache.get(facts)
        if plan is not None:
            engine = self._builder.load(plan)
            if engine is not None:
                return engine
            why = self._builder.said()
            _LOGGER.warning("TensorRT refuses the engine kept from before (%s): it is built again", why)
        precision = self._options.precision
        _LOGGER.info(
            "TensorRT builds an engine for %dx%d in %s: this takes minutes, once for this machine",
            width, height, precision,
        )  # fmt: skip
        started = time.monotonic()
        plan = self._builder.build(self._graph(height, width, images))
        _LOGGER.info("TensorRT built the engine in %.0f s", time.monotonic() - started)
        self._cache.put(facts, plan)
        engine = self._builder.load(plan)
        if engine is None:
            raise EngineError(f"TensorRT can't load the engine that it built: {self._builder.said()}")
        return engine

    def _graph(self, height: int, width: int, images: int) -> bytes:
        example = [each.to(self._options.device) for each in example_inputs(height, width)[:images]]
        model = onnx_graph.export(self._frame, example, INPUTS[:images], OUTPUTS)
        return onnx_graph.bytes_by_way_of_float(onnx_graph.without_double(model)).SerializeToString()


class EngineBuilder:
    """The calls of TensorRT that make an engine.

    Args:
        tensorrt: The module `tensorrt`.

    Raises:
        EngineError: It is too old.
    """

    def __init__(self, tensorrt: Any) -> None:
        self.version = str(tensorrt.__version__)
        if int(self.version.partition(".")[0]) < _OLDEST:
            raise EngineError(f"backend 'tensorrt' needs TensorRT {_OLDEST} or later, here is {self.version}")
        self._trt = tensorrt
        self._log = _make_log(tensorrt)
        self._runtime: Any = None

    def said(self) -> str:
        """The last error that TensorRT logged, one line."""
        said: str = self._log.error
        return said or "it gives no reason"

    def build(self, graph: bytes) -> bytes:
        """Make an engine of a serialised ONNX model.

        Raises:
            EngineError: TensorRT can't start, or refuses the graph.
        """
        trt = self._trt
        try:
            builder = trt.Builder(self._log)
        except (TypeError, RuntimeError) as error:  # what its constructors raise where there is no driver
            raise EngineError(f"TensorRT can't start: {self._log.error or first_line(error)}") from error
        network = builder.create_network(1 << int(trt.NetworkDefinitionCreationFlag.STRONGLY_TYPED))
        parser = trt.OnnxParser(network, self._log)
        if not parser.parse(graph):
            why = [first_line(parser.get_error(index).desc()) for index in range(parser.num_errors)]
            raise EngineError(f"TensorRT can't read the network: {why[0] if why else self.said()}")
        config = builder.create_builder_config()
        # the interaction's sums over all pixels need all of float32's digits
        config.clear_flag(trt.BuilderFlag.TF32)
        config.progress_monitor = _make_monitor(trt)
        plan = builder.build_serialized_network(network, config)
        if plan is None:
            raise EngineError(f"TensorRT can't build the engine: {self.said()}")
        return bytes(plan)

    def load(self, plan: bytes) -> Any:
        """Return the engine of a plan; None if TensorRT refuses it, as one of another device or version."""
        if self._runtime is None:
            self._runtime = self._trt.Runtime(self._log)
        return self._runtime.deserialize_cuda_engine(plan)

    def check(self, engine: Any, name: str, tensor: Tensor) -> None:
        """Refuse an engine that would read or write past a tensor."""
        shape, dtype = tuple(engine.get_tensor_shape(name)), engine.get_tensor_dtype(name)
        if shape != tuple(tensor.shape) or dtype != self._trt.DataType.UINT8:
            raise EngineError(f"TensorRT made '{name}' {dtype} {shape} instead of uint8 {tuple(tensor.shape)}")


class EngineCache:
    """Engines in a folder, by everything that they depend on; each beside a readable file of these facts.

    What can't be read counts as absent, and what can't be written is said and left: the engine is then built again.

    Args:
        folder: Made when needed.
    """

    def __init__(self, folder: Path) -> None:
        self._folder = folder

    def get(self, facts: dict[str, Any]) -> bytes | None:
        """Return the engine of these facts, as whole as it was written."""
        try:
            said = json.loads(self._path(facts, "json").read_text())
            plan = self._path(facts, "engine").read_bytes()
        except (OSError, ValueError):
            return None
        whole = isinstance(said, dict) and said.get("engine_sha256") == hashlib.sha256(plan).hexdigest()
        return plan if whole else None

    def put(self, facts: dict[str, Any], plan: bytes) -> None:
        """Keep an engine."""
        said = {**facts, "engine_sha256": hashlib.sha256(plan).hexdigest()}
        try:
            self._folder.mkdir(parents=True, exist_ok=True)
            replace_file(self._path(facts, "engine"), plan)
            replace_file(self._path(facts, "json"), (json.dumps(said, indent=1) + "\n").encode())
        except OSError as error:
            _LOGGER.warning("the engine can't be kept and is built again next time: %s", error)

    def _path(self, facts: dict[str, Any], suffix: str) -> Path:
        return self._folder / f"{facts_key(facts)}.{suffix}"


def engine_facts(
    frame: DeviceFrame, options: BackendOptions, height: int, width: int, images: int, tensorrt_version: str
) -> dict[str, Any]:
    """Everything that an engine depends on, for its key.

    Args:
        frame: The network.
        options: How.
        height: Rows.
        width: Columns.
        images: 3 with the prior image, 2 where it is made on the device.
        tensorrt_version: As the module says it.
    """
    sources = (device_frame.__file__, device_prior.__file__, onnx_graph.__file__, __file__)
    return {
        **network_facts(frame.network, height, width, sources, _PACKAGES),
        "prior": frame.prior if images < len(INPUTS) else "given",
        "precision": options.precision,
        "opset": onnx_graph.OPSET,
        "tf32": False,
        "tensorrt": tensorrt_version,
        **device_facts(options.device),
    }


def _make_log(trt: Any) -> Any:
    """Return what takes TensorRT's messages: warnings and errors to our log, and the last error for our own line."""
    severities = trt.ILogger.Severity
    levels = {
        severities.INTERNAL_ERROR: logging.ERROR,
        severities.ERROR: logging.ERROR,
        severities.WARNING: logging.WARNING,
    }

    class Log(trt.ILogger):
        def __init__(self) -> None:
            trt.ILogger.__init__(self)
            self.error = ""

        def log(self, severity: Any, message: str) -> None:
            level = levels.get(severity, logging.DEBUG)
            if level == logging.ERROR:
                self.error = first_line(message)
            _LOGGER.log(level, "TensorRT: %s", message)

    return Log()


def _make_monitor(trt: Any, clock: Callable[[], float] = time.monotonic) -> Any:
    """Return what says every quarter of a minute how far a build is."""

    class Monitor(trt.IProgressMonitor):
        def __init__(self) -> None:
            trt.IProgressMonitor.__init__(self)
            self._steps: dict[str, int] = {}
            self._said = clock()

        def phase_start(self, phase_name: str, parent_phase: str | None, num_steps: int) -> None:
            self._steps[phase_name] = num_steps

        def phase_finish(self, phase_name: str) -> None:
            self._steps.pop(phase_name, None)

        def step_complete(self, phase_name: str, step: int) -> bool:
            if clock() - self._said >= _SAY_EVERY_S:
                self._said = clock()
                _LOGGER.info("TensorRT: %s, step %d of %d", phase_name, step + 1, self._steps.get(phase_name, 0))
            return True  # go on

    return Monitor()


def create(network: FrameNetwork, options: BackendOptions) -> TensorRtBackend:
    """Make the backend.

    Raises:
        EngineError: TensorRT can't be loaded, or is too old.
    """
    try:
        tensorrt = import_module("tensorrt")
    except (ImportError, OSError) as error:  # installed, but without the libraries that it loads
        raise EngineError(f"backend 'tensorrt' can't load TensorRT: {first_line(error)}") from error
    cache = EngineCache(default_path().parent / "tensorrt")
    return TensorRtBackend(network, options, CudaRuntime(options.device), tensorrt, cache)
