# SPDX-License-Identifier: Apache-2.0
"""The network as an ONNX graph."""

from __future__ import annotations

import logging
import warnings
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import onnx
import torch
from torch import Tensor, nn

from segmif_ros.inference.errors import EngineError

OPSET = 20


def export(
    module: nn.Module,
    example: Sequence[Tensor],
    inputs: Sequence[str],
    outputs: Sequence[str],
    dynamic_shapes: dict[str, Any] | None = None,
) -> onnx.ModelProto:
    """Return a module as an ONNX graph.

    Args:
        module: In evaluation mode; casts of an autocast inside its `forward` become casts of the graph.
        example: What it takes, on its device.
        inputs: Names of that.
        outputs: Names of what it returns.
        dynamic_shapes: As `torch.export.export` takes them; None for the example's sizes alone.

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
                dynamic_shapes=dynamic_shapes,
                dynamo=True,
                verbose=False,
            )
    except torch.onnx.OnnxExporterError as error:
        # its own message is a page; what it failed at is the cause
        reason = str(error.__cause__ or error).strip().partition("\n")[0]
        raise EngineError(f"torch.onnx can't export the network ({reason}): use another backend") from error
    if program is None:
        raise EngineError("torch.onnx.export gave no graph: use another backend")
    return program.model_proto


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
