# SPDX-License-Identifier: Apache-2.0
"""Validation during training: the real metrics on held-out samples."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from segmif_ros.data.mixture import Source
from segmif_ros.data.transforms import Sample
from segmif_ros.evaluation.forward import predict, predict_labels
from segmif_ros.evaluation.fusion_metrics import fusion_metrics, luma
from segmif_ros.evaluation.segmentation_metrics import ConfusionMatrix
from segmif_ros.imaging.prior import PriorMethod
from segmif_ros.model import Mode, SegMiF
from segmif_ros.training.config import SourceConfig

# of what is drawn here: the mixture draws by (seed, number), the blends of `batches` by (seed, number, 1)
_PURPOSE = 2
_FUSION_METRICS = ("EN", "MI", "SF", "Qabf", "SSIM")


def source_names(configs: Sequence[SourceConfig]) -> list[str]:
    """Name each source by its kind, its names and its lost camera, the second of them 'scenes 2' and so on."""
    kinds = [_source_name(config) for config in configs]
    before = [kinds[:i].count(kind) for i, kind in enumerate(kinds)]
    return [f"{kind} {count + 1}" if count else kind for kind, count in zip(kinds, before, strict=True)]


def _source_name(config: SourceConfig) -> str:
    without = f"without {config.lost}" if config.lost else ""
    return " ".join(each for each in (config.kind, config.names, without) if each)


class Validation:
    """Runs a model over some samples of each held-out source, whole images, not augmented.

    Args:
        sources: Configuration and opened source of each.
        samples: Of each source, spread evenly over it.
        num_classes: Classes of the labels.
        prior: Method of the prior image.
        seed: Of what a source invents (the infrared images of CamVid).
        mode: As the cascade is run, see `SegMiF.forward`.
        method: The training's. With 'segmentation' the fusion network is left out; ``segmentation_input`` selects what
            the other one sees: 'rgb', or 'blend' for half infrared and half RGB.
    """

    def __init__(
        self,
        sources: Sequence[tuple[SourceConfig, Source]],
        *,
        samples: int,
        num_classes: int,
        prior: PriorMethod,
        seed: int,
        mode: Mode = "robot",
        method: str = "joint",
        segmentation_input: str = "blend",
    ) -> None:
        self._sources = tuple(sources)
        self._samples = samples
        self._num_classes = num_classes
        self._prior = prior
        self._seed = seed
        self._mode: Mode = mode
        self._method = method
        self._input = segmentation_input

    def run(self, model: SegMiF) -> dict[str, dict[str, float]]:
        """Scores by source: ``miou`` (classes present) where there are labels, and fusion metrics of the luma."""
        names = source_names([config for config, _ in self._sources])
        return {name: self._run(model, source) for name, (_, source) in zip(names, self._sources, strict=True)}

    def _run(self, model: SegMiF, source: Source) -> dict[str, float]:
        matrix = ConfusionMatrix(self._num_classes)
        if self._method == "segmentation":
            return self._run_segmentation(model, source, matrix)
        sums = dict.fromkeys(_FUSION_METRICS, 0.0)
        chosen = self._chosen(source)
        for sample in chosen:
            fused, labels = predict(model, sample.infrared, sample.rgb, self._prior, self._mode)
            matrix.update(sample.labels, labels, sample.name)
            values = fusion_metrics(sample.infrared, luma(sample.rgb), luma(fused), _FUSION_METRICS)
            for name in sums:
                sums[name] += values[name] / len(chosen)
        scores = {"miou": matrix.mean_iou().value} if matrix.counts.any() else {}
        return {**scores, **sums}

    def _run_segmentation(self, model: SegMiF, source: Source, matrix: ConfusionMatrix) -> dict[str, float]:
        for sample in self._chosen(source):
            rgb = sample.rgb
            if self._input == "blend":
                change = 0.5 * (sample.infrared - luma(rgb))
                rgb = np.clip(np.rint(rgb + change[..., None]), 0, 255).astype(np.uint8)
            matrix.update(sample.labels, predict_labels(model, rgb), sample.name)
        return {"miou": matrix.mean_iou().value} if matrix.counts.any() else {}

    def _chosen(self, source: Source) -> list[Sample]:
        indices = np.unique(np.linspace(0, len(source) - 1, min(self._samples, len(source))).round().astype(int))
        return [source.sample(i, np.random.default_rng((self._seed, i, _PURPOSE))) for i in indices.tolist()]
