# SPDX-License-Identifier: Apache-2.0
"""Validation during training: the real metrics on held-out samples."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from segmif_ros.data.mixture import Source
from segmif_ros.evaluation.fusion import fusion_metrics, luma
from segmif_ros.evaluation.predict import predict
from segmif_ros.evaluation.segmentation import ConfusionMatrix
from segmif_ros.imaging.prior import PriorMethod
from segmif_ros.model import SegMiF
from segmif_ros.training.config import SourceConfig

_FUSION_METRICS = ("EN", "SF", "SSIM")


class Validation:
    """Runs a model over some samples of each held-out source, whole images, not augmented.

    Args:
        sources: Configuration and opened source of each.
        samples: Of each source, spread evenly over it.
        num_classes: Classes of the labels.
        prior: Method of the prior image.
        seed: Of what a source invents (the infrared images of CamVid).
    """

    def __init__(
        self,
        sources: Sequence[tuple[SourceConfig, Source]],
        *,
        samples: int,
        num_classes: int,
        prior: PriorMethod,
        seed: int,
    ) -> None:
        self._sources = tuple(sources)
        self._samples = samples
        self._num_classes = num_classes
        self._prior = prior
        self._seed = seed

    def run(self, model: SegMiF) -> dict[str, dict[str, float]]:
        """Scores by source: ``miou`` (classes present) where there are labels, and fusion metrics of the luma."""
        return {config.kind: self._run(model, source) for config, source in self._sources}

    def _run(self, model: SegMiF, source: Source) -> dict[str, float]:
        matrix = ConfusionMatrix(self._num_classes)
        sums = dict.fromkeys(_FUSION_METRICS, 0.0)
        chosen = np.unique(np.linspace(0, len(source) - 1, min(self._samples, len(source))).round().astype(int))
        for index in chosen:
            sample = source.sample(int(index), np.random.default_rng((self._seed, int(index))))
            fused, labels = predict(model, sample.infrared, sample.rgb, self._prior)
            matrix.update(sample.labels, labels, sample.name)
            values = fusion_metrics(sample.infrared, luma(sample.rgb), luma(fused), _FUSION_METRICS)
            for name in sums:
                sums[name] += values[name] / len(chosen)
        scores = {"miou": matrix.mean_iou().value} if matrix.counts.any() else {}
        return {**scores, **sums}


