# SPDX-License-Identifier: Apache-2.0
"""PyTorch as it is, on the CPU or a CUDA device."""

from __future__ import annotations

import warnings
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

import torch

from segmif_ros.arrays import Array, Image
from segmif_ros.inference.backends.base import BackendOptions, FrameArrays, TensorFacts
from segmif_ros.inference.errors import EngineError, first_line
from segmif_ros.inference.frame import FrameNetwork, FrameOutput

DTYPES = {"float32": torch.float32, "bfloat16": torch.bfloat16, "float16": torch.float16}


class TorchBackend:
    """Runs a network with torch tensors in and out.

    Args:
        network: `FrameNetwork`, or a compiled form of it.
        options: How; low precisions run under autocast, which keeps in float32 what needs it.
    """

    def __init__(self, network: Callable[..., FrameOutput], options: BackendOptions) -> None:
        self._network = network
        self._device = options.device
        self._dtype = DTYPES[options.precision]

    def run(self, infrared: Image, rgb: Image, prior: Image) -> FrameArrays:
        """See `Backend`."""
        with (
            torch.inference_mode(),
            torch.autocast(self._device.type, self._dtype, enabled=self._dtype != torch.float32),
        ):
            images = (torch.from_numpy(each).to(self._device) for each in (infrared, rgb, prior))
            fused, labels, confidence = self._network(*images)
        return fused.cpu().numpy(), labels.cpu().numpy(), confidence.cpu().numpy()


class TorchScriptSession:
    """A TorchScript file. It holds a program in TorchScript's own language; nothing of Python is unpickled.

    Args:
        file: As `torch.jit.ScriptModule.save` writes it.
        options: Where.

    Raises:
        EngineError: It can't be loaded.
    """

    def __init__(self, file: Path, options: BackendOptions) -> None:
        self._device = options.device
        try:
            with warnings.catch_warnings():
                warnings.simplefilter("ignore")  # torch announces on every load that it prefers torch.export
                self._module = torch.jit.load(file, map_location=options.device).eval()  # type: ignore[no-untyped-call]
        except RuntimeError as error:
            raise EngineError(f"torch can't load it as TorchScript: {first_line(error)}") from error
        self.inputs = tuple(TensorFacts(name=each.name) for each in self._module.forward.schema.arguments[1:])
        self.outputs: tuple[TensorFacts, ...] = ()

    def run(self, tensors: Mapping[str, Array], outputs: Sequence[str]) -> dict[str, Array]:
        """See `Session`; of a program that returns a dict, `outputs` are its keys."""
        try:
            with torch.inference_mode():
                given = {name: torch.from_numpy(each).to(self._device) for name, each in tensors.items()}
                found = self._module(**given)
        except RuntimeError as error:
            # TorchScript's own error is a page whose last line is the cause
            raise EngineError(f"torch can't run the network: {str(error).strip().splitlines()[-1]}") from error
        if isinstance(found, torch.Tensor):
            found = (found,)
        if not isinstance(found, dict):
            if len(found) != len(outputs):
                names = ", ".join(outputs)
                raise EngineError(f"the network returns {len(found)} tensors, outputs has {len(outputs)}: {names}")
            found = dict(zip(outputs, found, strict=True))
        if missing := [name for name in outputs if name not in found]:
            raise EngineError(f"the network returns no '{missing[0]}': it returns {', '.join(found)}")
        return {name: found[name].cpu().numpy() for name in outputs}


def create(network: FrameNetwork, options: BackendOptions) -> TorchBackend:
    """Make the backend of a network.

    Args:
        network: The network.
        options: Device, precision, prior.

    Returns:
        What runs it.
    """
    return TorchBackend(network, options)


def open_session(file: Path, options: BackendOptions) -> TorchScriptSession:
    """Load a network's file.

    Args:
        file: A TorchScript file.
        options: Device, precision, threads.

    Returns:
        What runs it.
    """
    return TorchScriptSession(file, options)
