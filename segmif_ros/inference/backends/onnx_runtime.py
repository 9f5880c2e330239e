# SPDX-License-Identifier: Apache-2.0
"""ONNX Runtime on the CPU, and on CUDA by its CUDA provider: one session per image size, or one of a model folder."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import onnxruntime

from segmif_ros.arrays import Array, Image
from segmif_ros.inference.backends.base import BackendOptions, FrameArrays, PerSize, TensorFacts, example_inputs
from segmif_ros.inference.errors import EngineError, first_line
from segmif_ros.inference.frame import FrameNetwork

CPU, CUDA, TENSORRT = "CPUExecutionProvider", "CUDAExecutionProvider", "TensorrtExecutionProvider"
Provider = tuple[str, dict[str, Any]]
_INPUTS = ("infrared", "rgb", "prior")
_OUTPUTS = ("fused", "labels", "confidence")
_TYPES = {
    "tensor(float)": "float32",
    "tensor(float16)": "float16",
    "tensor(double)": "float64",
    "tensor(uint8)": "uint8",
    "tensor(int8)": "int8",
    "tensor(int32)": "int32",
    "tensor(int64)": "int64",
}


class OnnxSession:
    """One ONNX graph.

    Args:
        source: A file, or a serialised model.
        providers: What runs it, the best first.
        num_threads: Threads on the CPU; 0 leaves the runtime's choice.

    Raises:
        EngineError: The runtime can't load it, or lacks the first provider.
    """

    def __init__(self, source: Path | bytes, providers: Sequence[Provider], num_threads: int) -> None:
        require_provider(providers[0][0])
        settings = onnxruntime.SessionOptions()
        settings.intra_op_num_threads = num_threads
        settings.log_severity_level = 3  # errors: what it warns of is its own optimiser's affair
        try:
            self._session = onnxruntime.InferenceSession(
                source if isinstance(source, bytes) else str(source), settings, providers=list(providers)
            )
        except Exception as error:  # its errors derive from Exception alone; the cause is kept
            raise EngineError(f"ONNX Runtime can't load the network: {first_line(error)}") from error
        if (found := self._session.get_providers()[0]) != providers[0][0]:
            raise EngineError(f"ONNX Runtime can't start {providers[0][0]} and fell back to {found}: see its own log")
        self.inputs = tuple(_facts(each) for each in self._session.get_inputs())
        self.outputs = tuple(_facts(each) for each in self._session.get_outputs())

    def run(self, tensors: Mapping[str, Array], outputs: Sequence[str]) -> dict[str, Array]:
        """See `Session`."""
        try:
            found = self._session.run(list(outputs), dict(tensors))
        except Exception as error:  # its errors derive from Exception alone; the cause is kept
            raise EngineError(f"ONNX Runtime can't run the network: {first_line(error)}") from error
        return dict(zip(outputs, found, strict=True))


class OnnxRuntimeBackend:
    """Runs the network exported to ONNX.

    Args:
        network: What to run, on the CPU.
        options: How.
        providers: What runs it, the best first.
    """

    def __init__(self, network: FrameNetwork, options: BackendOptions, providers: Sequence[Provider]) -> None:
        require_provider(providers[0][0])
        self._network = network
        self._threads = options.num_threads
        self._providers = providers
        self._sessions: PerSize[OnnxSession] = PerSize(self._session, options.sizes_kept)

    def run(self, infrared: Image, rgb: Image, prior: Image) -> FrameArrays:
        """See `Backend`."""
        session = self._sessions.get(*infrared.shape)
        results = session.run(dict(zip(_INPUTS, (infrared, rgb, prior), strict=True)), _OUTPUTS)
        return results["fused"], results["labels"], results["confidence"]

    def _session(self, height: int, width: int) -> OnnxSession:
        from segmif_ros.inference.backends import onnx_graph  # a session of a file needs no exporter

        device = next(self._network.parameters()).device
        example = [each.to(device) for each in example_inputs(height, width)]
        model = onnx_graph.export(self._network, example, _INPUTS, _OUTPUTS)
        return OnnxSession(model.SerializeToString(), self._providers, self._threads)


def require_provider(name: str) -> None:
    """Refuse a provider that the installed ONNX Runtime doesn't have.

    Raises:
        EngineError: It doesn't have it.
    """
    if name not in onnxruntime.get_available_providers():
        raise EngineError(
            f"ONNX Runtime {onnxruntime.__version__} has no {name} here: install onnxruntime-gpu in place of "
            "onnxruntime (docs/cuda.md), or use device 'cpu'"
        )


def device_providers(options: BackendOptions) -> list[Provider]:
    """Return the providers of a device: CUDA's where it is one, and the CPU's for what that doesn't do."""
    cpu: Provider = (CPU, {})
    if options.device.type != "cuda":
        return [cpu]
    # without TF32, as sums over all pixels need the digits of float32
    return [(CUDA, {"device_id": options.device.index or 0, "use_tf32": 0}), cpu]


def _facts(argument: Any) -> TensorFacts:
    shape = tuple(side if isinstance(side, int) else None for side in argument.shape)
    return TensorFacts(name=argument.name, shape=shape, type=_TYPES.get(argument.type, argument.type))


def create(network: FrameNetwork, options: BackendOptions) -> OnnxRuntimeBackend:
    """Make the backend of a network.

    Args:
        network: The network.
        options: Device, precision, prior.

    Returns:
        What runs it.
    """
    return OnnxRuntimeBackend(network, options, device_providers(options))


def open_session(file: Path, options: BackendOptions) -> OnnxSession:
    """Load a network's file.

    Args:
        file: An ONNX file.
        options: Device, precision, threads.

    Returns:
        What runs it.
    """
    return OnnxSession(file, device_providers(options), options.num_threads)
