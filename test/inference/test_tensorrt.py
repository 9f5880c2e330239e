# SPDX-License-Identifier: Apache-2.0
"""TensorRT by ONNX Runtime's provider: what it is asked for, and the line where it is missing. No GPU here."""

from pathlib import Path

import pytest
import torch

from segmif_ros.inference import backends
from segmif_ros.inference.backends import BackendOptions, available_backends, lacking, missing_packages, open_session
from segmif_ros.inference.errors import EngineError

pytestmark = pytest.mark.skipif(bool(missing_packages("onnxruntime")), reason="onnxruntime and onnx not installed")

CUDA = BackendOptions(device=torch.device("cuda:1"), precision="float16")


def test_a_missing_provider_is_one_line_with_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(backends, "_onnx_providers", lambda: ("CPUExecutionProvider",))
    line = "backend 'tensorrt' needs ONNX Runtime's TensorrtExecutionProvider, .*install onnxruntime-gpu"
    with pytest.raises(EngineError, match=line):
        open_session("tensorrt", Path("net.onnx"), CUDA)
    assert not {"tensorrt", "onnxruntime"} & set(available_backends("cuda", "float32"))


def test_onnx_runtime_needs_a_provider_on_cuda_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(backends, "_onnx_providers", lambda: ("CPUExecutionProvider",))
    assert lacking("onnxruntime", "cpu") == ""
    assert "CUDAExecutionProvider" in lacking("onnxruntime", "cuda")


def test_engines_are_asked_for_in_the_precision_and_kept_in_the_users_cache(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    from segmif_ros.inference.backends import tensorrt

    (name, settings), (second, _), (last, _) = tensorrt.providers(CUDA)
    assert (name, second, last) == ("TensorrtExecutionProvider", "CUDAExecutionProvider", "CPUExecutionProvider")
    assert settings["device_id"] == 1
    assert settings["trt_fp16_enable"] is True
    assert settings["trt_engine_cache_path"] == str(tmp_path / "segmif_ros" / "tensorrt")
