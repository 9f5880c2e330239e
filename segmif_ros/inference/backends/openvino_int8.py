# SPDX-License-Identifier: Apache-2.0
"""int8 where the fusion network's time goes: its dense blocks and the convolution behind them, in an OpenVINO graph.

OpenVINO runs a convolution in int8 when its input and its weights come out of FakeQuantize operations. Which tensors
get one is what decides accuracy and speed here, so they are set one by one:

- every map that a dense block reads, before the concatenations, so that these move bytes instead of floats;
- ranges from frames that the network has seen, a channel's own where it helps: a channel that stays far below the
  largest is stretched by the square root of the quotient, and the weights that read it shrink by as much. That is
  exact but for rounding, and shares the loss between maps and weights;
- weights with one scale for each output channel.

Everything else stays as it is: the encoder, the head and the interaction's large sums don't stand int8.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

import numpy as np
import openvino
from openvino import opset13

from segmif_ros.arrays import Float32Array, Image
from segmif_ros.inference.errors import EngineError

Frame = tuple[Image, Image, Image]

# Names that tracing gives to `FrameNetwork.model.fusion`'s dense blocks and `conv2`.
_CONVOLUTIONS = re.compile(r"\.fusion\.(DRDB\d|conv2)[./]")
_LARGEST_STRETCH = 64.0


@dataclass(frozen=True, kw_only=True)
class Range:
    """What one map holds, over all frames.

    Attributes:
        lowest: (C,) by channel.
        highest: (C,) by channel.
    """

    lowest: Float32Array
    highest: Float32Array

    @property
    def signed(self) -> bool:
        """Whether a value is below zero."""
        return bool(self.lowest.min() < 0)

    @property
    def largest(self) -> float:
        """Of all magnitudes; never 0."""
        return float(max(self.highest.max(), -self.lowest.min(), 1e-6))

    @property
    def share(self) -> Float32Array:
        """(C,) range of each channel as a part of `largest`, in (0, 1]."""
        own = np.maximum(self.highest, -self.lowest) / self.largest
        return np.sqrt(np.maximum(own, 1 / _LARGEST_STRETCH)).astype(np.float32)


def quantise(model: openvino.Model, frames: Sequence[Frame]) -> openvino.Model:
    """Return the graph with the fusion network's large convolutions prepared for int8.

    Args:
        model: As `openvino_cpu.convert` makes it.
        frames: Infrared (H, W), RGB (H, W, 3) and prior (H, W), uint8, of the graph's size: at least one, better
            several, as the cameras see the world.

    Raises:
        EngineError: No frame was given, or the graph has none of these convolutions.
    """
    if not frames:
        raise EngineError("int8 needs at least one pair to calibrate with")
    model = model.clone()
    convolutions = [node for node in model.get_ordered_ops() if _is_quantised(node)]
    if not convolutions:
        raise EngineError("int8: the graph has no dense blocks: use precision 'bfloat16'")
    maps = {_name(each): each for node in convolutions for each in _maps(node.input_value(0))}
    ranges = observe(model, list(maps), frames)
    # evaluated, as a rewrite may put weights together from others by the shapes of maps
    weights = _request(model, [_name(node.input_value(1)) for node in convolutions], lambda output: [output])
    for node, values in zip(convolutions, weights.infer(list(frames[0])).values(), strict=True):
        share = np.concatenate([ranges[_name(each)].share for each in _maps(node.input_value(0))])
        node.input(1).replace_source_output(_quantised_weights(values * share[None, :, None, None]))
    made: dict[str, openvino.Output] = {}
    for node in convolutions:
        for reader in _readers(node.input(0)):
            source = reader.get_source_output()
            if source.get_node().get_type_name() == "FakeQuantize":
                continue
            name = _name(source)
            if name not in made:
                made[name] = _quantised_map(source, ranges[name])
            reader.replace_source_output(made[name])
    model.validate_nodes_and_infer_types()
    return model


def observe(model: openvino.Model, names: Sequence[str], frames: Sequence[Frame]) -> dict[str, Range]:
    """Run the graph in float32 and record what its maps hold.

    Args:
        model: The graph.
        names: Of its maps, (1, C, h, w) each.
        frames: What it is run on.

    Returns:
        The range of each map, by name.
    """
    axes = opset13.constant(np.array([0, 2, 3]))
    request = _request(
        model, names, lambda output: [opset13.reduce_min(output, axes), opset13.reduce_max(output, axes)]
    )
    ranges: dict[str, Range] = {}
    for frame in frames:
        results = request.infer(list(frame))
        for index, name in enumerate(names):
            lowest, highest = np.array(results[2 * index]), np.array(results[2 * index + 1])
            if name in ranges:
                lowest = np.minimum(lowest, ranges[name].lowest)
                highest = np.maximum(highest, ranges[name].highest)
            ranges[name] = Range(lowest=lowest, highest=highest)
    return ranges


def _is_quantised(node: openvino.Node) -> bool:
    return node.get_type_name() == "Convolution" and _CONVOLUTIONS.search(node.get_friendly_name()) is not None


def _maps(output: openvino.Output) -> Iterator[openvino.Output]:
    """What a convolution reads, with concatenations taken apart."""
    node = output.get_node()
    if node.get_type_name() != "Concat":
        yield output
        return
    for each in node.inputs():
        yield from _maps(each.get_source_output())


def _readers(reader: openvino.Input) -> Iterator[openvino.Input]:
    """The inputs, of a convolution or of the concatenations before it, that read maps."""
    node = reader.get_source_output().get_node()
    if node.get_type_name() != "Concat":
        yield reader
        return
    for each in node.inputs():
        yield from _readers(each)


def _request(
    model: openvino.Model, names: Sequence[str], ends: Callable[[openvino.Output], list[openvino.Output]]
) -> openvino.InferRequest:
    """A request, in float32, for what `ends` makes of the outputs of these names."""
    copy = model.clone()
    outputs = {_name(output): output for node in copy.get_ordered_ops() for output in node.outputs()}
    results = [opset13.result(end) for name in names for end in ends(outputs[name])]
    settings = {"INFERENCE_PRECISION_HINT": openvino.Type.f32}
    compiled = openvino.Core().compile_model(openvino.Model(results, copy.get_parameters()), "CPU", settings)
    return compiled.create_infer_request()


def _quantised_weights(values: Float32Array) -> openvino.Output:
    """Weights in 255 levels, a scale for each output channel."""
    limit = np.maximum(np.abs(values).max(axis=(1, 2, 3), keepdims=True), np.float32(1e-12))
    low, high = opset13.constant(-limit), opset13.constant(limit)
    return opset13.fake_quantize(opset13.constant(values), low, high, low, high, 255).output(0)


def _quantised_map(source: openvino.Output, found: Range) -> openvino.Output:
    """The map in 256 levels, each channel divided by its share."""
    high = (found.largest * found.share)[None, :, None, None]
    largest = np.full((1, 1, 1, 1), found.largest, np.float32)
    below = np.float32(128 / 127 if found.signed else 0)
    limits = (opset13.constant(each.astype(np.float32)) for each in (-below * high, high, -below * largest, largest))
    quantised = opset13.fake_quantize(source, *limits, 256)
    quantised.set_friendly_name(f"{_name(source)}/int8")
    return quantised.output(0)


def _name(output: openvino.Output) -> str:
    return f"{output.get_node().get_friendly_name()}:{output.get_index()}"
