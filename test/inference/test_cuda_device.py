# SPDX-License-Identifier: Apache-2.0
"""What only a GPU can show; all of it is skipped without one, see docs/cuda.md."""

from pathlib import Path

import numpy as np
import pytest
import torch

from segmif_ros.inference.backends import BACKENDS, TOLERANCES, lacking
from segmif_ros.inference.choice import mask_agreement, psnr_db
from segmif_ros.inference.engine import Engine, EngineConfig

pytestmark = pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA device")

PRECISIONS = ("float32", "float16", "bfloat16")


def _pair(seed: int = 0, height: int = 96, width: int = 128) -> tuple[np.ndarray, np.ndarray]:
    generator = np.random.default_rng(seed)
    coarse = generator.integers(0, 256, (height // 8, width // 8, 4), np.uint8).repeat(8, axis=0).repeat(8, axis=1)
    return np.ascontiguousarray(coarse[..., 3]), np.ascontiguousarray(coarse[..., :3])


def _engine(weights: Path, backend: str, precision: str = "float32", device: str = "cuda") -> Engine:
    return Engine(EngineConfig(weights=(str(weights),), device=device, backend=backend, precision=precision))


@pytest.mark.parametrize("precision", PRECISIONS)
@pytest.mark.parametrize("backend", ["torch", "cuda_graph", "onnxruntime", "tensorrt"])
def test_a_backend_on_the_gpu_keeps_its_tolerance_to_float32_on_the_cpu(
    tiny_weights: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, backend: str, precision: str
) -> None:
    if line := lacking(backend, "cuda"):
        pytest.skip(line)
    if precision not in BACKENDS[backend].precisions:
        pytest.skip(f"{backend} doesn't compute in {precision}")
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    expected = _engine(tiny_weights, "torch", device="cpu").infer(*_pair())
    engine = _engine(tiny_weights, backend, precision)
    for _ in range(2):  # recorded, then replayed
        found = engine.infer(*_pair())
    psnr = psnr_db(found.fused, expected.fused)
    assert mask_agreement(found.labels, expected.labels) >= TOLERANCES[precision].mask_agreement
    assert psnr is None or psnr >= TOLERANCES[precision].fused_psnr_db


def test_a_replay_sees_the_new_pair_and_repeats_itself(tiny_weights: Path) -> None:
    engine = _engine(tiny_weights, "cuda_graph")
    first, other, again = (engine.infer(*_pair(seed)) for seed in (0, 1, 0))
    assert (first.fused != other.fused).any()
    np.testing.assert_array_equal(first.fused, again.fused)
    np.testing.assert_array_equal(first.labels, again.labels)


def test_nothing_is_allocated_on_the_gpu_once_a_size_is_known(tiny_weights: Path) -> None:
    engine = _engine(tiny_weights, "cuda_graph", "float16")
    engine.warm_up(96, 128)
    before = torch.cuda.memory_stats()["allocation.all.allocated"]
    for seed in range(5):
        engine.infer(*_pair(seed))
    assert torch.cuda.memory_stats()["allocation.all.allocated"] == before


def test_sizes_come_and_go(tiny_weights: Path) -> None:
    engine = _engine(tiny_weights, "cuda_graph")
    sizes = [(64, 64), (64, 96), (96, 64), (96, 96), (64, 64)]  # the first is dropped, and recorded again
    results = [engine.infer(*_pair(0, *size)) for size in sizes]
    assert [each.labels.shape for each in results] == sizes
    np.testing.assert_array_equal(results[0].fused, results[-1].fused)
