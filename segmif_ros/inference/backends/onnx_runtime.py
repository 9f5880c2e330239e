# SPDX-License-Identifier: Apache-2.0
"""ONNX Runtime on the CPU, one session per image size."""

from __future__ import annotations

import onnxruntime

from segmif_ros.inference.backends import onnx_graph
from segmif_ros.inference.backends.base import BackendOptions, FrameArrays, PerSize, UInt8Image, example_inputs
from segmif_ros.inference.frame import FrameNetwork

_INPUTS = ("infrared", "rgb", "prior")
_OUTPUTS = ("fused", "labels", "confidence")


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
        fused, labels, confidence = session.run(None, dict(zip(_INPUTS, (infrared, rgb, prior), strict=True)))
        return fused, labels, confidence

    def _session(self, height: int, width: int) -> onnxruntime.InferenceSession:
        settings = onnxruntime.SessionOptions()
        settings.intra_op_num_threads = self._threads
        model = onnx_graph.export(self._network, example_inputs(height, width), _INPUTS, _OUTPUTS)
        return onnxruntime.InferenceSession(
            model.SerializeToString(), settings, providers=["CPUExecutionProvider"]
        )


def create(network: FrameNetwork, options: BackendOptions) -> OnnxRuntimeBackend:
    """Make the backend."""
    return OnnxRuntimeBackend(network, options)
