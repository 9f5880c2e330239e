# SPDX-License-Identifier: Apache-2.0
"""OpenVINO on the CPU, one compiled graph per image size."""

from __future__ import annotations

import logging
import time
import warnings
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import openvino
import torch

from segmif_ros.arrays import Array, Image
from segmif_ros.imaging.prior import prior_image
from segmif_ros.inference.backends import openvino_int8
from segmif_ros.inference.backends.base import BackendOptions, FrameArrays, PerSize, TensorFacts, example_inputs
from segmif_ros.inference.backends.graph_cache import GraphCache, graph_facts
from segmif_ros.inference.errors import EngineError, first_line
from segmif_ros.inference.frame import FrameNetwork
from segmif_ros.inference.sample_pairs import MOST_PAIRS, pattern_pairs, read_pairs
from segmif_ros.paths import cache_folder

_LOGGER = logging.getLogger(__name__)
# int8: the graph marks which convolutions; the rest runs in bfloat16
_PRECISIONS = {"float32": openvino.Type.f32, "bfloat16": openvino.Type.bf16, "int8": openvino.Type.bf16}


class OpenVinoBackend:
    """Runs the network compiled by OpenVINO.

    Args:
        network: What to run, on the CPU.
        options: How.
        cache: Where graphs are kept from one process to the next; None keeps none.
    """

    def __init__(self, network: FrameNetwork, options: BackendOptions, cache: GraphCache | None = None) -> None:
        self._network = network
        self._options = options
        self._cache = cache
        self._core = openvino.Core()
        self._settings = compile_settings(options)
        self._requests: PerSize[openvino.InferRequest] = PerSize(self._compile, options.sizes_kept)

    def run(self, infrared: Image, rgb: Image, prior: Image) -> FrameArrays:
        """See `Backend`."""
        request = self._requests.get(*infrared.shape)
        results = request.infer([infrared, rgb, prior], share_inputs=True, share_outputs=True)
        # copies: the request writes its next results into the same memory
        fused, labels, confidence = (np.array(results[index]) for index in range(3))
        return fused, labels, confidence

    def _compile(self, height: int, width: int) -> openvino.InferRequest:
        frames = calibration_frames(self._options, height, width) if self._options.precision == "int8" else None
        settings = self._settings
        if self._cache is None:
            model = self._make(height, width, frames)
        else:
            facts = graph_facts(self._network, height, width, frames)
            kept = self._cache.get(facts)
            if kept is None:
                made = self._make(height, width, frames)
                self._cache.put(facts, made)
                # what the next start will read: OpenVINO folds it otherwise, and results would differ in the last digit
                kept = self._cache.get(facts)
            model = made if kept is None else kept
            if (folder := self._cache.compiled_folder(facts)) is not None:
                settings = {**settings, "CACHE_DIR": str(folder)}
        return self._core.compile_model(model, "CPU", settings).create_infer_request()

    def _make(self, height: int, width: int, frames: list[openvino_int8.Frame] | None) -> openvino.Model:
        if frames is None:
            return convert(self._network, height, width)
        folder = self._options.calibration_pairs
        source = f"pairs of {folder}" if folder is not None else "built-in patterns (better: pairs of your cameras)"
        _LOGGER.info("OpenVINO calibrates int8 for %dx%d with %d %s", width, height, len(frames), source)
        started = time.monotonic()
        model = openvino_int8.quantise(convert(self._network, height, width), frames)
        _LOGGER.info("OpenVINO calibrated int8 in %.0f s", time.monotonic() - started)
        return model


class OpenVinoSession:
    """A network's file: ONNX, or OpenVINO's own .xml with its .bin; compiled once for each image size.

    Args:
        file: The file.
        options: How.

    Raises:
        EngineError: OpenVINO can't read it.
    """

    def __init__(self, file: Path, options: BackendOptions) -> None:
        self._core = openvino.Core()
        self._settings = compile_settings(options)
        try:
            self._model = self._core.read_model(file)
        except RuntimeError as error:
            raise EngineError(f"OpenVINO can't read the network: {first_line(error)}") from error
        self.inputs = tuple(_facts(each) for each in self._model.inputs)
        self.outputs = tuple(_facts(each) for each in self._model.outputs)
        self._requests: PerSize[openvino.InferRequest] = PerSize(self._compile, options.sizes_kept)

    def run(self, tensors: Mapping[str, Array], outputs: Sequence[str]) -> dict[str, Array]:
        """See `Session`."""
        shapes = tuple((name, tuple(each.shape)) for name, each in tensors.items())
        try:
            request = self._requests.get(0, 0, shapes)
            request.infer(dict(tensors), share_inputs=True)
            return {name: np.array(request.get_tensor(name).data) for name in outputs}
        except RuntimeError as error:
            raise EngineError(f"OpenVINO can't run the network: {first_line(error)}") from error

    def _compile(self, _height: int, _width: int, shapes: tuple[tuple[str, tuple[int, ...]], ...]) -> Any:
        model = self._model
        if model.is_dynamic():
            model = model.clone()
            model.reshape(dict(shapes))  # a graph of known sizes is faster
        return self._core.compile_model(model, "CPU", self._settings).create_infer_request()


def compile_settings(options: BackendOptions) -> dict[str, object]:
    """Return OpenVINO's settings for a network on the CPU."""
    settings: dict[str, object] = {
        "INFERENCE_PRECISION_HINT": _PRECISIONS[options.precision],
        "PERFORMANCE_HINT": "LATENCY",
        "ENABLE_CPU_PINNING": False,  # a robot's other processes need the cores as well
    }
    return settings | ({"INFERENCE_NUM_THREADS": options.num_threads} if options.num_threads > 0 else {})


def _facts(port: Any) -> TensorFacts:
    shape = tuple(side.get_length() if side.is_static else None for side in port.partial_shape)
    names = port.get_names()
    name = port.any_name if names else port.node.friendly_name
    return TensorFacts(name=name, shape=shape, type=str(np.dtype(port.element_type.to_dtype())))


def calibration_frames(options: BackendOptions, height: int, width: int) -> list[openvino_int8.Frame]:
    """Return the frames that int8 is calibrated with: pairs of the options' folder, else built-in patterns.

    Args:
        options: Names the folder of pairs.
        height: Rows of the frames.
        width: Their columns.

    Raises:
        PairsError: The folder has no pairs.
    """
    if options.calibration_pairs is not None:
        pairs = read_pairs(options.calibration_pairs, height, width)
    else:
        pairs = pattern_pairs(height, width, count=MOST_PAIRS)
    method = options.prior or "mean"
    return [(infrared, rgb, prior_image(infrared, rgb, method=method)) for infrared, rgb in pairs]


def convert(network: FrameNetwork, height: int, width: int) -> openvino.Model:
    """Return the network as an OpenVINO graph of this size, weights in float32.

    Args:
        network: The network.
        height: Rows of its images.
        width: Their columns.
    """
    example = example_inputs(height, width)
    # Gradients on, as the path without them writes into slices of a buffer, which a graph can only do by copying.
    with torch.enable_grad(), warnings.catch_warnings():
        warnings.simplefilter("ignore")  # a trace holds for its own size only, which is all that is asked of it
        traced = torch.jit.trace(network, example, check_trace=False)  # type: ignore[no-untyped-call]
        return openvino.convert_model(traced, example_input=example, input=[tuple(each.shape) for each in example])


def create(network: FrameNetwork, options: BackendOptions) -> OpenVinoBackend:
    """Make the backend of a network.

    Args:
        network: The network.
        options: Device, precision, prior.

    Returns:
        What runs it.
    """
    return OpenVinoBackend(network, options, GraphCache(cache_folder() / "openvino"))


def open_session(file: Path, options: BackendOptions) -> OpenVinoSession:
    """Load a network's file.

    Args:
        file: An OpenVINO or ONNX file.
        options: Device, precision, threads.

    Returns:
        What runs it.
    """
    return OpenVinoSession(file, options)
