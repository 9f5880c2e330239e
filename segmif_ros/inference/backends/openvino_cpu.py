# SPDX-License-Identifier: Apache-2.0
"""OpenVINO on the CPU, one compiled graph per image size."""

from __future__ import annotations

import warnings

import numpy as np
import openvino
import torch

from segmif_ros.inference.backends.base import BackendOptions, FrameArrays, PerSize, UInt8Image, example_inputs
from segmif_ros.inference.frame import FrameNetwork

_PRECISIONS = {"float32": openvino.Type.f32, "bfloat16": openvino.Type.bf16}


class OpenVinoBackend:
    """Runs the network compiled by OpenVINO.

    Args:
        network: What to run, on the CPU.
        options: How.
    """

    def __init__(self, network: FrameNetwork, options: BackendOptions) -> None:
        self._network = network
        self._core = openvino.Core()
        self._settings: dict[str, object] = {
            "INFERENCE_PRECISION_HINT": _PRECISIONS[options.precision],
            "PERFORMANCE_HINT": "LATENCY",
            "ENABLE_CPU_PINNING": False,  # a robot's other processes need the cores as well
        }
        if options.num_threads > 0:
            self._settings["INFERENCE_NUM_THREADS"] = options.num_threads
        self._requests: PerSize[openvino.InferRequest] = PerSize(self._compile, options.sizes_kept)

    def run(self, infrared: UInt8Image, rgb: UInt8Image, prior: UInt8Image) -> FrameArrays:
        """See `Backend`."""
        request = self._requests.get(*infrared.shape)
        results = request.infer([infrared, rgb, prior], share_inputs=True, share_outputs=True)
        # copies: the request writes its next results into the same memory
        fused, labels, confidence = (np.array(results[index]) for index in range(3))
        return fused, labels, confidence

    def _compile(self, height: int, width: int) -> openvino.InferRequest:
        model = convert(self._network, height, width)
        return self._core.compile_model(model, "CPU", self._settings).create_infer_request()


def convert(network: FrameNetwork, height: int, width: int) -> openvino.Model:
    """Return the network as an OpenVINO graph of this size, weights in float32."""
    example = example_inputs(height, width)
    # Gradients on, as the path without them writes into slices of a buffer, which a graph can only do by copying.
    with torch.enable_grad(), warnings.catch_warnings():
        warnings.simplefilter("ignore")  # a trace holds for its own size only, which is all that is asked of it
        traced = torch.jit.trace(network, example, check_trace=False)  # type: ignore[no-untyped-call]
        return openvino.convert_model(traced, example_input=example, input=[tuple(each.shape) for each in example])


def create(network: FrameNetwork, options: BackendOptions) -> OpenVinoBackend:
    """Make the backend."""
    return OpenVinoBackend(network, options)
