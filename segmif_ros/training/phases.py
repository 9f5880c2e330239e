# SPDX-License-Identifier: Apache-2.0
"""What a step of a training does: which networks move, on which losses, at which rates.

A method of training is a sequence of phases; every phase starts with a fresh optimiser and task weighting.
'segmentation' and 'fusion' are one phase each, 'joint' is one or two; the rounds of 'alternating' are in `rounds`.

Shapes: B batch, H, W pixels, K classes.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import cast

import torch
from torch import Tensor, nn
from torch.utils.data import Dataset

from segmif_ros.data.absence import possible_classes
from segmif_ros.data.mixture import Mixture, Source
from segmif_ros.data.transforms import AugmentConfig
from segmif_ros.labels import label_set
from segmif_ros.model import SegMiF
from segmif_ros.model.colour import rgb_to_luma, with_luma
from segmif_ros.model.designs import OnePass
from segmif_ros.training.batches import Batch, Samples, SegmentationSamples, TensorSample
from segmif_ros.training.config import TrainingConfig
from segmif_ros.training.losses import (
    LABELS_ALONE,
    LossEvidence,
    fusion_loss_first_round,
    fusion_loss_later_rounds,
    segmentation_loss,
)
from segmif_ros.training.optimiser import ParameterGroup, parameter_groups, poly_factor
from segmif_ros.training.weighting import FixedWeights, Weighting, make_weighting

Parts = Sequence[tuple[Source, float, AugmentConfig]]


@dataclass(frozen=True, kw_only=True)
class Truth:
    """What the segmentation loss of a part needs to know of its whole batch.

    Attributes:
        total: `losses.labelled_weight` of the whole batch.
        evidence: What counts how much, on the device.
    """

    total: float
    evidence: LossEvidence = LABELS_ALONE

    def loss(self, logits: Tensor, batch: Batch) -> Tensor:
        """Segmentation loss of a part of the batch: its sum divided by the whole batch's weight, a scalar."""
        return segmentation_loss(logits, batch.labels, self.evidence, self.total, batch.absent)


def evidence_of(config: TrainingConfig) -> LossEvidence:
    """Return what a recipe's labels and maps of absence count."""
    classes = label_set(config.label_set)
    factors = [config.class_weights.get(name, 1.0) for name in classes.names]
    return LossEvidence(
        class_weights=torch.tensor(factors) if config.class_weights else None,
        possible=torch.from_numpy(possible_classes(classes)) if config.absence_weight else None,
        absence_weight=config.absence_weight,
        overlap_weight=config.overlap_weight,
    )


@dataclass(frozen=True, kw_only=True)
class Phase:
    """Steps ``first`` to ``end`` - 1 of a run; this one moves both networks end to end.

    The fusion loss acts on the fused luma, the cross-entropy on the segmentation of the fused image, and its gradient
    passes through the cascade into the fusion network.
    """

    config: TrainingConfig
    name: str
    first: int
    end: int

    @property
    def kind(self) -> str:
        """What phases that cost the same have in common."""
        return self.name

    def samples(self, parts: Parts) -> Dataset[TensorSample]:
        """Return the data, by sample number; ``parts`` are the recipe's sources."""
        return Samples(Mixture(parts, self.config.seed), self.config.prior, self.config.fusion_target)

    def begin(self, model: SegMiF) -> None:
        """Set which parameters move (all that may do when this is called) and the networks' modes."""
        model.train()

    def groups(self, model: SegMiF) -> list[ParameterGroup]:
        """Return the optimiser's parameter groups, each with its ``base_lr``."""
        rates = self.config.optimiser
        return parameter_groups(
            model,
            encoder_lr=rates.encoder_lr,
            decoder_lr=rates.decoder_lr,
            fusion_lr=rates.fusion_lr,
            weight_decay=rates.weight_decay,
        )

    def rate_factor(self, step: int) -> float:
        """Return what the base rates are multiplied by at ``step`` of the run."""
        rates = self.config.optimiser
        return poly_factor(
            step,
            warm_steps=rates.warm_steps,
            warm_ratio=rates.warm_ratio,
            max_steps=self.config.steps,
            power=rates.power,
        )

    def weighting(self, device: torch.device) -> Weighting:
        """Return a fresh weighting of fusion and segmentation loss."""
        return make_weighting(self.config, (self.config.fusion_weight, self.config.segmentation_weight), device)

    def shared_layer(self, model: SegMiF) -> nn.Parameter:
        """Return the weights of the last layer that both losses move."""
        return cast(nn.Parameter, model.fusion.conv22.weight)

    def losses(self, model: SegMiF, batch: Batch, step: int, truth: Truth) -> tuple[Tensor, Tensor]:
        """Fusion loss (mean of the batch) and segmentation loss (sum of the batch / truth.total), scalars.

        As in the published training the fused RGB goes into the segmentation network unclamped, so that its gradient
        reaches the fusion network wherever the luma overshoots.
        """
        config = self.config
        with autocast(batch, config):
            fused = fuse(model, batch, prior_gradient=config.prior_gradient)
            logits = model.segment(with_luma(batch.rgb, fused)).float()
        return self.fusion_loss(fused, batch, step), truth.loss(logits, batch)

    def fusion_loss(self, fused: Tensor, batch: Batch, step: int) -> Tensor:
        """Return the first round's fusion loss in the recipe's first steps, then the later rounds' one; a scalar."""
        early = step < self.config.first_round_steps
        return (fusion_loss_first_round if early else fusion_loss_later_rounds)(fused, batch.target)


class SegmentationAlone(Phase):
    """Moves the segmentation network alone, on the RGB images or on blends that stand in for fused ones."""

    def samples(self, parts: Parts) -> Dataset[TensorSample]:
        """Return the data without priors and fusion targets."""
        mixture = Mixture(parts, self.config.seed)
        config = self.config
        blend = config.segmentation_input == "blend"
        return SegmentationSamples(mixture, config.seed, blend=blend, label_stride=config.label_stride)

    def weighting(self, device: torch.device) -> Weighting:
        """Return the segmentation loss alone: with one loss there is nothing to balance."""
        return FixedWeights((0.0, self.config.segmentation_weight))

    def losses(self, model: SegMiF, batch: Batch, step: int, truth: Truth) -> tuple[Tensor, Tensor]:
        """Zero, and the segmentation loss of the batch's ``rgb``."""
        with autocast(batch, self.config):
            logits = model.segment(batch.rgb).float()
        return logits.new_zeros(()), truth.loss(logits, batch)


class OnePassJoint(Phase):
    """Moves a network of another design than the cascade; both losses act on its two outputs."""

    def losses(self, model: SegMiF | OnePass, batch: Batch, step: int, truth: Truth) -> tuple[Tensor, Tensor]:
        """See `Phase.losses`; the fused image isn't what the classes are made from."""
        assert isinstance(model, OnePass)
        with autocast(batch, self.config):
            fused, logits = model.raw(batch.infrared, batch.rgb)
        return self.fusion_loss(fused.float(), batch, step), truth.loss(logits.float(), batch)


class FusionAlone(Phase):
    """Moves the fusion network alone on its own loss, the segmentation network giving the prior's features."""

    def begin(self, model: SegMiF) -> None:
        """Freeze the segmentation network in the mode in which it will be used."""
        model.train()
        model.segmentation.requires_grad_(False).eval()

    def weighting(self, device: torch.device) -> Weighting:
        """Return the fusion loss alone: with one loss there is nothing to balance."""
        return FixedWeights((self.config.fusion_weight, 0.0))

    def losses(self, model: SegMiF, batch: Batch, step: int, truth: Truth) -> tuple[Tensor, Tensor]:
        """Fusion loss, and zero."""
        with autocast(batch, self.config):
            fused = fuse(model, batch)
        return self.fusion_loss(fused, batch, step), fused.new_zeros(())


def fuse(model: SegMiF, batch: Batch, *, prior_gradient: bool = False, visible: Tensor | None = None) -> Tensor:
    """Fuse a batch.

    Args:
        model: The cascade.
        batch: What to fuse.
        prior_gradient: Whether gradients pass into the encoder.
        visible: The visible plane (B, 1, H, W) in [0, 1]; None for the luma of the RGB images.

    Returns:
        Fused luma float32 (B, 1, H, W), not clamped.
    """
    with torch.set_grad_enabled(prior_gradient and torch.is_grad_enabled()):
        features = [each.to(batch.infrared.dtype) for each in model.prior_features(batch.prior)]
    # not in bfloat16 on a CPU: oneDNN's weight gradients of dilated convolutions of 24 or 40 channels aren't finite
    device = batch.rgb.device.type
    with torch.autocast(device, enabled=device != "cpu" and torch.is_autocast_enabled(device)):
        plane = rgb_to_luma(batch.rgb) if visible is None else visible
        return model.fusion(batch.infrared, plane, *features).float()


def autocast(batch: Batch, config: TrainingConfig) -> torch.autocast:
    """Run what is inside in the recipe's precision."""
    return torch.autocast(batch.rgb.device.type, torch.bfloat16, enabled=config.precision == "bfloat16")
