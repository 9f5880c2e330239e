# SPDX-License-Identifier: Apache-2.0
import torch

from segmif_ros.data.mixture import SceneSource
from segmif_ros.model import SegMiF, SegMiFConfig
from segmif_ros.training.config import SourceConfig
from segmif_ros.training.validation import Validation


def test_two_sources_of_a_kind_are_scored_apart():
    torch.manual_seed(0)
    sizes = SegMiFConfig(encoder="mit_b0", fusion_channels=8, growth=4, fusion_scale=4, decoder_channels=8)
    sources = [
        (
            SourceConfig(kind="scenes", first_seed=seed, count=1, height=64, width=64),
            SceneSource(first_seed=seed, count=1, height=64, width=64),
        )
        for seed in (1, 2)
    ]
    validation = Validation(sources, samples=1, num_classes=15, prior="mean", seed=0)
    scores = validation.run(SegMiF(sizes).eval())
    assert list(scores) == ["scenes", "scenes 2"]
    assert scores["scenes"] != scores["scenes 2"]
    assert set(scores["scenes"]) == {"miou", "EN", "MI", "SF", "Qabf", "SSIM"}
