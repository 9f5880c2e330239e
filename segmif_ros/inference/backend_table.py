# SPDX-License-Identifier: Apache-2.0
"""The table of backends: what each needs and can do. A new backend is a row here, and its module in backends/."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field


@dataclass(frozen=True, kw_only=True)
class BackendEntry:
    """One row of the table of backends.

    Attributes:
        module: Where its factory `create` is, and `open_session` if it runs files.
        devices: Device types that it runs on.
        precisions: What it computes in.
        packages: Python packages that it needs besides torch, by import name, which pip calls the same.
        exporters: Packages that it needs besides these to run a `FrameNetwork`; a network's file needs none of them.
        providers: By device type: the provider of ONNX Runtime that it needs there.
        on_trial: Whether "fastest" tries it; not what compiles for minutes.
        about: What the name doesn't tell.
    """

    module: str
    devices: tuple[str, ...]
    precisions: tuple[str, ...]
    packages: tuple[str, ...] = ()
    exporters: tuple[str, ...] = ()
    providers: Mapping[str, str] = field(default_factory=dict)
    on_trial: bool = True
    about: str = ""


_HERE = "segmif_ros.inference.backends."
BACKENDS: dict[str, BackendEntry] = {
    "torch": BackendEntry(
        module=_HERE + "torch_eager",
        devices=("cpu", "cuda"),
        precisions=("float32", "bfloat16", "float16"),
    ),
    "compile": BackendEntry(
        module=_HERE + "torch_compile",
        devices=("cpu", "cuda"),
        precisions=("float32", "bfloat16", "float16"),
        on_trial=False,
        about="torch.compile",
    ),
    "cuda_graph": BackendEntry(
        module=_HERE + "cuda_graph",
        devices=("cuda",),
        precisions=("float32", "bfloat16", "float16"),
        about="CUDA",
    ),
    "tensorrt": BackendEntry(
        module=_HERE + "tensorrt",
        devices=("cuda",),
        precisions=("float32", "float16"),
        packages=("onnxruntime",),
        exporters=("onnx", "onnxscript"),
        providers={"cuda": "TensorrtExecutionProvider"},
        on_trial=False,
        about="CUDA, by ONNX Runtime",
    ),
    "openvino": BackendEntry(
        module=_HERE + "openvino_cpu",
        devices=("cpu",),
        precisions=("float32", "bfloat16", "int8"),
        packages=("openvino",),
        about="CPU",
    ),
    "onnxruntime": BackendEntry(
        module=_HERE + "onnx_runtime",
        devices=("cpu", "cuda"),
        precisions=("float32",),
        packages=("onnxruntime",),
        exporters=("onnx", "onnxscript"),
        providers={"cuda": "CUDAExecutionProvider"},
    ),
}


def backends_in_words() -> str:
    """Return the names of the backends for a description."""
    return ", ".join(f"{name} ({each.about})" if each.about else name for name, each in BACKENDS.items())
