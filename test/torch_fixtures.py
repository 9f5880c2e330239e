# SPDX-License-Identifier: Apache-2.0
"""Fixtures for tests that run networks: one thread, a cache folder of their own, and small weights."""

from collections.abc import Iterator
from pathlib import Path

import pytest
import torch

from segmif_ros.model import SegMiF, SegMiFConfig, save_checkpoint


@pytest.fixture(autouse=True, scope="package")
def one_thread() -> Iterator[None]:
    """One thread is faster on tiny tensors than two that wait for each other, above all on a busy machine."""
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


@pytest.fixture(autouse=True, scope="package")
def own_cache(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    """Tests neither read nor fill the user's cache folder."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("XDG_CACHE_HOME", str(tmp_path_factory.mktemp("cache")))
        yield


@pytest.fixture(scope="session")
def tiny_weights(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A checkpoint small enough for unit tests: random weights, three classes, a tiny fusion network."""
    torch.manual_seed(0)
    model = SegMiF(
        SegMiFConfig(
            encoder="mit_b0",
            num_classes=3,
            fusion_channels=8,
            growth=4,
            fusion_scale=2,
            fusion_output="blend",
            decoder_channels=16,
        )
    )
    path = tmp_path_factory.mktemp("weights") / "tiny.safetensors"
    save_checkpoint(model, path, {"name": "tiny", "prior": "mean"})
    return path
