# SPDX-License-Identifier: Apache-2.0
"""ONNX Runtime on the CPU, one session per image size."""

from __future__ import annotations

import logging
import warnings
from collections.abc import Iterator
from contextlib import contextmanager

import onnxruntime
import torch

from segmif_ros.inference.backends.base import BackendOptions, FrameArrays, PerSize, UInt8Image, example_inputs
from segmif_ros.inference.errors import EngineError
from segmif_ros.inference.frame import FrameNetwork

_NAMES = ("infrared", "rgb", "prior")


class OnnxRuntimeBackend:
    """Runs the network exported to ONNX.

    Args:
        network: What to run, on the CPU.
        options: How.
    """

    def __init__(self, network: FrameNetwork, options: BackendOptions) -> None:
        self._network = network
        self._threads = options.num_threads
        self._sessions: PerSize[onnxruntime.InferenceSession] = PerSize(self._session, options.sizes_kept)

    def run(self, infrared: UInt8Image, rgb: UInt8Image, prior: UInt8Image) -> FrameArrays:
        """See `Backend`."""
        session = self._sessions.get(*infrared.shape)
        fused, labels, confidence = session.run(None, dict(zip(_NAMES, (infrared, rgb, prior), strict=True)))
        return fused, labels, confidence

    def _session(self, height: int, width: int) -> onnxruntime.InferenceSession:
        settings = onnxruntime.SessionOptions()
        settings.intra_op_num_threads = self._threads
        graph = export(self._network, height, width)
        return onnxruntime.InferenceSession(graph, settings, providers=["CPUExecutionProvider"])


def export(network: FrameNetwork, height: int, width: int) -> bytes:
    """Return the network as an ONNX file of this size, weights in float32."""
    # Gradients on, as the path without them writes into slices of a buffer, which a graph can only do by copying.
    with torch.enable_grad(), _quiet():
        program = torch.onnx.export(
            network, example_inputs(height, width), input_names=_NAMES, dynamo=True, verbose=False
        )
    if program is None:
        raise EngineError("torch.onnx.export gave no graph: use another backend")
    return program.model_proto.SerializeToString()


@contextmanager
def _quiet() -> Iterator[None]:
    """The exporter tells its own progress as warnings; what goes wrong comes as an exception."""
    loggers = [logging.getLogger(name) for name in ("torch.onnx", "onnxscript", "onnx_ir")]
    levels = [logger.level for logger in loggers]
    for logger in loggers:
        logger.setLevel(logging.ERROR)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            yield
    finally:
        for logger, level in zip(loggers, levels, strict=True):
            logger.setLevel(level)


def create(network: FrameNetwork, options: BackendOptions) -> OnnxRuntimeBackend:
    """Make the backend."""
    return OnnxRuntimeBackend(network, options)
