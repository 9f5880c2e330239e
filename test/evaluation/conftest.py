# SPDX-License-Identifier: Apache-2.0
"""What the tests of weights reports share: an engine whose answers can be worked out, and tiny data."""

from pathlib import Path

import cv2
import numpy as np
import pytest
import torch
from torch_fixtures import one_thread

from segmif_ros.evaluation.fusion_metrics import BASELINES, luma
from segmif_ros.inference.engine import EngineResult
from segmif_ros.labels import CAMVID, FMB
from segmif_ros.model import SegMiF, SegMiFConfig, save_checkpoint

__all__ = ["one_thread"]  # shared fixtures


class BrightIsRoad:
    """Calls a pixel road where the RGB image is brighter than 100, sky elsewhere; fuses by the average."""

    def __init__(self, label_set=FMB):
        self.label_set = label_set
        self.model_name = "fake"
        self.model_hash = "0"
        self.device_name = "cpu"
        self.backend_name, self.precision = "abacus", "exact"
        self.pairs = []

    def warm_up(self, height, width):
        """Nothing."""

    def infer(self, infrared, rgb):
        self.pairs.append((infrared, rgb))
        road, sky = (self.label_set.id_of(name) if name in self.label_set.names else 0 for name in ("road", "sky"))
        labels = np.where(luma(rgb) > 100, road, sky).astype(np.uint8)
        grey = BASELINES["average"](infrared, luma(rgb))
        return EngineResult(fused=np.dstack([grey] * 3), labels=labels, confidence=np.zeros_like(labels))


@pytest.fixture
def engine() -> BrightIsRoad:
    return BrightIsRoad()


@pytest.fixture(scope="session")
def fake_engine() -> type[BrightIsRoad]:
    return BrightIsRoad


@pytest.fixture
def advance():
    """Counts what was reported as done."""

    def count(done: int) -> None:
        count.done += done

    count.done = 0
    return count


@pytest.fixture(scope="session")
def roadscene(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder of 8 smooth pairs."""
    root = tmp_path_factory.mktemp("data") / "roadscene"
    rng = np.random.default_rng(0)
    for folder in ("infrared", "visible"):
        (root / folder).mkdir(parents=True)
        for i in range(8):
            coarse = rng.integers(0, 256, (9, 10, 3), dtype=np.uint8)
            image = cv2.resize(coarse, (80, 72), interpolation=cv2.INTER_CUBIC)
            cv2.imwrite(str(root / folder / f"{i}.png"), image)
    return root


@pytest.fixture(scope="session")
def camvid_root(roadscene: Path) -> Path:
    """CamVid with one image beside the pairs: bright road, dark sky, a strip of fence between them."""
    root = roadscene.parent / "camvid"
    for folder in ("images", "labels"):
        (root / "val" / folder).mkdir(parents=True)
    labels = np.full((72, 80), CAMVID.id_of("road"), np.uint8)
    labels[:20], labels[20:30] = CAMVID.id_of("sky"), CAMVID.id_of("fence")
    rgb = np.where((labels == CAMVID.id_of("road"))[..., None], 200, 20).astype(np.uint8).repeat(3, axis=2)
    cv2.imwrite(str(root / "val/images/a.png"), rgb)
    cv2.imwrite(str(root / "val/labels/a.png"), labels)
    return root


@pytest.fixture(scope="session")
def tiny_file(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A file of random weights for FMB's classes, small enough to run in a test."""
    torch.manual_seed(0)
    config = SegMiFConfig(encoder="mit_b0", fusion_channels=8, growth=4, fusion_scale=4, decoder_channels=8)
    file = tmp_path_factory.mktemp("weights") / "tiny.safetensors"
    save_checkpoint(SegMiF(config), file, {"name": "tiny", "label_set": "fmb", "prior": "mean"})
    return file
