# SPDX-License-Identifier: Apache-2.0
"""The paper's alternating rounds (SegMiF, ICCV 2023, section 3.4, with the numbers of the authors' code).

A round first moves the fusion network, helped by the frozen segmentation network, then the segmentation network on what
the fusion network makes of the data. In between the authors write the fused images of the whole data set to files;
here each segmentation step fuses its own batch. So the image is fused after augmentation instead of before, and with
the encoder of the present step instead of the one at the end of the fusion phase, which is how it will be used.
Two of the authors' evident slips are left out: their round 2 takes the segmentation loss from an untrained decoder, and
a segmentation phase hands on the weights that were best on the test set.
"""

from __future__ import annotations

import contextlib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Any, ClassVar

import torch
from torch import Tensor, nn
from torch.utils.data import Dataset

from segmif_ros.model import SegMiF
from segmif_ros.model.colour import stretched_bytes, with_luma
from segmif_ros.training.batches import Batch, TensorSample
from segmif_ros.training.config import RoundsConfig, TrainingConfig
from segmif_ros.training.losses import fusion_loss_first_round, fusion_loss_later_rounds
from segmif_ros.training.optimiser import ParameterGroup, poly_factor
from segmif_ros.training.phases import FusionAlone, OnePassJoint, Parts, Phase, SegmentationAlone, Truth, autocast, fuse
from segmif_ros.training.weighting import FixedWeights, Weighting, make_weighting

# The authors' code means to warm up for longer; as it is written, only the first step of a phase is scaled.
_FUSION_WARM_STEPS, _FUSION_WARM_RATIO = 1, 1e-4


def phases_of(config: TrainingConfig) -> tuple[Phase, ...]:
    """Return the phases of a recipe's method, which cover all of its steps."""
    if config.method == "joint":
        first = config.fusion_first_steps
        alone = (FusionAlone(config=config, name="fusion", first=0, end=first),) if first else ()
        kind = Phase if config.model.design == "cascade" else OnePassJoint
        return (*alone, kind(config=config, name="joint", first=first, end=config.steps))
    if config.method == "fusion":
        return (FusionAlone(config=config, name="fusion", first=0, end=config.steps),)
    if config.method == "segmentation":
        return (SegmentationAlone(config=config, name="segmentation", first=0, end=config.steps),)
    phases: list[Phase] = []
    rounds, step = config.rounds, 0
    for number in range(1, rounds.count + 1):
        steps = rounds.first_fusion_steps if number == 1 else rounds.fusion_steps
        halves: tuple[tuple[type[RoundPhase], int], ...] = (
            (FusionPhase, steps),
            (SegmentationPhase, rounds.segmentation_steps),
        )
        for half, length in halves:
            phases.append(
                half(
                    config=config,
                    name=f"round {number} of {rounds.count}, {half.moves}",
                    first=step,
                    end=step + length,
                    number=number,
                )
            )
            step += length
    return tuple(phases)


def phase_at(phases: Sequence[Phase], step: int) -> Phase:
    """Return the phase that takes ``step``; the last one at the end of the run."""
    return next((phase for phase in phases if step < phase.end), phases[-1])


@dataclass(frozen=True, kw_only=True)
class RoundPhase(Phase):
    """Half of round ``number`` (1, 2, ...), in which the network ``moves`` does."""

    moves: ClassVar[str]
    number: int

    @property
    def kind(self) -> str:
        """The first round differs from the later ones, which are alike."""
        return f"{'first round' if self.number == 1 else 'later rounds'}, {self.moves}"

    @property
    def rounds(self) -> RoundsConfig:
        """The recipe's rounds."""
        return self.config.rounds


class FusionPhase(RoundPhase):
    """Moves the fusion network.

    Round 1 knows the fusion loss alone. From round 2 on the cross-entropy of the frozen segmentation network's answer
    to the fused image comes in; its gradient passes through that network.
    """

    moves = "fusion"

    def begin(self, model: SegMiF) -> None:
        """Freeze the segmentation network."""
        model.train()
        model.segmentation.requires_grad_(False)
        model.segmentation.train(self.rounds.helper_in_training_mode)

    def groups(self, model: SegMiF) -> list[ParameterGroup]:
        """Return the fusion network's group, its rate divided by the round's number."""
        groups = super().groups(model)
        for group in groups:
            group["base_lr"] = group["lr"] = group["base_lr"] / self.number
        return groups

    def rate_factor(self, step: int) -> float:
        """Return the fusion schedule's factor; it restarts in every round."""
        return poly_factor(
            step - self.first,
            warm_steps=_FUSION_WARM_STEPS,
            warm_ratio=_FUSION_WARM_RATIO,
            max_steps=self.rounds.fusion_schedule_steps,
        )

    def weighting(self, device: torch.device) -> Weighting:
        """Return the fusion loss alone in round 1; then both, the fusion loss divided by the round's number."""
        if self.number == 1:
            return FixedWeights((1.0, 0.0))
        config = self.config
        return make_weighting(config, (config.fusion_weight / self.number, config.segmentation_weight), device)

    def losses(self, model: SegMiF, batch: Batch, step: int, truth: Truth) -> tuple[Tensor, Tensor]:
        """Fusion loss of the round, and from round 2 on the segmentation loss."""
        with _untouched_statistics(model.segmentation), autocast(batch, self.config):
            fused = fuse(model, batch)
            if self.number == 1:
                return fusion_loss_first_round(fused, batch.target), fused.new_zeros(())
            logits = model.segment(with_luma(batch.rgb, fused)).float()
        loss = truth.loss(logits, batch)
        return fusion_loss_later_rounds(fused, batch.target), loss


class SegmentationPhase(RoundPhase):
    """Moves the segmentation network on the images that the frozen fusion network makes."""

    moves = "segmentation"

    def samples(self, parts: Parts) -> Dataset[TensorSample]:
        """Return the data with this phase's crops and colours."""
        changes: dict[str, Any] = {} if self.rounds.segmentation_colour else {"colour": 0.0}
        if side := self.rounds.segmentation_crop:
            changes |= {"crop_height": side, "crop_width": side}
        return super().samples([(source, weight, replace(augment, **changes)) for source, weight, augment in parts])

    def begin(self, model: SegMiF) -> None:
        """Freeze the fusion network."""
        model.train()
        model.fusion.requires_grad_(False).eval()

    def rate_factor(self, step: int) -> float:
        """Return the segmentation schedule's factor; it continues over the rounds."""
        rates = self.config.optimiser
        return poly_factor(
            (self.number - 1) * self.rounds.segmentation_steps + step - self.first,
            warm_steps=rates.warm_steps,
            warm_ratio=rates.warm_ratio,
            max_steps=self.rounds.segmentation_schedule_steps,
            power=rates.power,
        )

    def weighting(self, device: torch.device) -> Weighting:
        """Return the segmentation loss alone."""
        return FixedWeights((0.0, 1.0))

    def losses(self, model: SegMiF, batch: Batch, step: int, truth: Truth) -> tuple[Tensor, Tensor]:
        """Zero, and the segmentation loss of the fused images."""
        if 0 < self.rounds.segmentation_training_mode_steps <= step - self.first:
            model.segmentation.eval()
        with autocast(batch, self.config):
            with torch.no_grad(), _in_evaluation_mode(model.segmentation):
                plane = batch.rgb[:, :1] if self.rounds.red_plane else None
                fused = with_luma(batch.rgb, fuse(model, batch, visible=plane))
                rgb = _stretched(fused) if self.rounds.eight_bit else fused.clamp(0, 1)
            logits = model.segment(rgb).float()
        loss = truth.loss(logits, batch)
        return logits.new_zeros(()), loss


def _stretched(rgb: Tensor) -> Tensor:
    """The authors' 8-bit display step, image by image; (B, 3, H, W) to the same in [0, 1]."""
    return torch.stack([stretched_bytes(each) for each in rgb]).to(rgb.dtype) / 255


@contextlib.contextmanager
def _in_evaluation_mode(network: nn.Module) -> Iterator[None]:
    """Inside, the network is in evaluation mode; then each of its parts is again in the mode it was in."""
    before = [(each, each.training) for each in network.modules()]
    network.eval()
    try:
        yield
    finally:
        for each, mode in before:
            each.training = mode


@contextlib.contextmanager
def _untouched_statistics(network: nn.Module) -> Iterator[None]:
    """Inside, batch normalisation in training mode leaves its running statistics alone."""
    layers = [each for each in network.modules() if isinstance(each, nn.BatchNorm2d | nn.SyncBatchNorm)]
    before = [each.momentum for each in layers]
    for layer in layers:
        layer.momentum = 0.0
    try:
        yield
    finally:
        for layer, momentum in zip(layers, before, strict=True):
            layer.momentum = momentum
