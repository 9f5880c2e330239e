# SPDX-License-Identifier: Apache-2.0
import numpy as np
import torch

from segmif_ros.data.mixture import SceneSource
from segmif_ros.evaluation.forward import predict
from segmif_ros.evaluation.fusion_metrics import fusion_metrics, luma
from segmif_ros.evaluation.segmentation_metrics import ConfusionMatrix
from segmif_ros.model import SegMiF, SegMiFConfig
from segmif_ros.training.config import SourceConfig
from segmif_ros.training.validation import Validation, source_names


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


def test_a_source_is_named_by_its_pattern_and_its_lost_camera():
    pairs = {"kind": "pairs", "path": "a", "hold_out_every": 8}
    configs = [SourceConfig(**pairs, names="*N"), SourceConfig(**pairs, lost="rgb"), SourceConfig(**pairs, lost="rgb")]
    assert source_names(configs) == ["pairs *N", "pairs without rgb", "pairs without rgb 2"]


def test_a_run_is_validated_in_the_mode_that_its_recipe_names():
    torch.manual_seed(0)
    sizes = SegMiFConfig(encoder="mit_b0", fusion_channels=8, growth=4, fusion_scale=4, decoder_channels=8)
    model, source = SegMiF(sizes).eval(), SceneSource(first_seed=1, count=1, height=64, width=64)
    config = SourceConfig(kind="scenes", first_seed=1, count=1, height=64, width=64)
    sample = source.sample(0, np.random.default_rng(0))
    for mode in ("robot", "authors"):
        validation = Validation([(config, source)], samples=1, num_classes=15, prior="mean", seed=0, mode=mode)
        fused, labels = predict(model, sample.infrared, sample.rgb, "mean", mode)
        scores = validation.run(model)["scenes"]
        assert scores["EN"] == fusion_metrics(sample.infrared, luma(sample.rgb), luma(fused), ("EN",))["EN"]
        matrix = ConfusionMatrix(15)
        matrix.update(sample.labels, labels, "")
        assert scores["miou"] == matrix.mean_iou().value
    assert not np.array_equal(fused, predict(model, sample.infrared, sample.rgb, "mean")[0])
