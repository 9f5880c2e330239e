# SPDX-License-Identifier: Apache-2.0
"""The network as an ONNX graph, and what TensorRT needs changed in it."""

from __future__ import annotations

import logging
import warnings
from collections.abc import Iterator, Sequence
from contextlib import contextmanager

import numpy as np
import onnx
import torch
from onnx import TensorProto, helper, numpy_helper
from torch import Tensor, nn

from segmif_ros.inference.errors import EngineError

OPSET = 20


def export(
    module: nn.Module, example: Sequence[Tensor], inputs: Sequence[str], outputs: Sequence[str]
) -> onnx.ModelProto:
    """Return a module as an ONNX graph of the example's sizes.

    Args:
        module: In evaluation mode; casts of an autocast inside its `forward` become casts of the graph.
        example: What it takes, on its device.
        inputs: Names of that.
        outputs: Names of what it returns.

    Raises:
        EngineError: The exporter gives no graph.
    """
    try:
        # Gradients on, as the path without them writes into slices of a buffer, which a graph can only do by copying.
        with torch.enable_grad(), _float_norms(module), _quiet():
            program = torch.onnx.export(
                module,
                tuple(example),
                input_names=inputs,
                output_names=outputs,
                opset_version=OPSET,
                dynamo=True,
                verbose=False,
            )
    except torch.onnx.OnnxExporterError as error:
        # what it says itself is a page; what it failed at is the cause
        said = str(error.__cause__ or error).strip().partition("\n")[0]
        raise EngineError(f"torch.onnx can't export the network ({said}): use another backend") from error
    if program is None:
        raise EngineError("torch.onnx.export gave no graph: use another backend")
    return program.model_proto


def without_double(model: onnx.ModelProto) -> onnx.ModelProto:
    """Compute in float32 what the graph computes in float64, which TensorRT lacks; changes and returns `model`.

    Of this network these are the sums of the interaction's Gram matrices over chunks that are float32 already.
    """
    graph = model.graph
    for tensor in graph.initializer:
        _to_float(tensor)
    for node in graph.node:
        for attribute in node.attribute:
            if attribute.type == onnx.AttributeProto.TENSOR:
                _to_float(attribute.t)
            elif node.op_type == "Cast" and attribute.name == "to" and attribute.i == TensorProto.DOUBLE:
                attribute.i = TensorProto.FLOAT
    del graph.value_info[:]  # says float64 still, and can be inferred
    return model


def bytes_by_way_of_float(model: onnx.ModelProto) -> onnx.ModelProto:
    """Make bytes from float32 only, which is all that TensorRT makes them from; changes and returns `model`."""
    nodes = []
    for node in model.graph.node:
        if node.op_type == "Cast" and helper.get_node_attr_value(node, "to") == TensorProto.UINT8:
            between = f"{node.output[0]}_as_float"
            nodes.append(helper.make_node("Cast", [node.input[0]], [between], name=between, to=TensorProto.FLOAT))
            node.input[0] = between
        nodes.append(node)
    copies = [onnx.NodeProto.FromString(node.SerializeToString()) for node in nodes]
    del model.graph.node[:]
    model.graph.node.extend(copies)
    return model


def _to_float(tensor: TensorProto) -> None:
    if tensor.data_type == TensorProto.DOUBLE:
        values = numpy_helper.to_array(tensor).astype(np.float32)
        tensor.CopyFrom(numpy_helper.from_array(values, tensor.name))


@contextmanager
def _float_norms(module: nn.Module) -> Iterator[None]:
    """Let norms take float32, as CUDA's autocast does; the CPU's gives them a mixture that ONNX doesn't know."""

    def as_float(_norm: nn.Module, given: tuple[Tensor, ...]) -> tuple[Tensor, ...]:
        return (given[0].float(),)

    hooks = [each.register_forward_pre_hook(as_float) for each in module.modules() if isinstance(each, nn.LayerNorm)]
    try:
        yield
    finally:
        for hook in hooks:
            hook.remove()


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
