# SPDX-License-Identifier: Apache-2.0
"""The training recipe as frozen dataclasses; `recipe_file` reads them from YAML."""

from __future__ import annotations

import math
from dataclasses import MISSING, dataclass, field
from pathlib import Path
from typing import Literal

from segmif_ros.data.published import dataset_names
from segmif_ros.data.transforms import AugmentConfig
from segmif_ros.imaging.fusion_target import FusionTarget
from segmif_ros.imaging.prior import PriorMethod
from segmif_ros.inference.config import EngineConfig
from segmif_ros.labels import label_set
from segmif_ros.model import Mode, SegMiFConfig
from segmif_ros.settings import like, setting
from segmif_ros.training.freezing import require_known


class RecipeError(ValueError):
    """A recipe that cannot be used; the message names the file and the key."""


@dataclass(frozen=True, kw_only=True)
class SourceConfig:
    """One part of the data mixture.

    Attributes:
        kind: 'scenes' (synthetic); 'fmb', 'mfnet', 'msrs', 'pst900' (as published); 'pairs' (infrared + RGB, labels
            where the folder has them); 'camvid', 'rgb_labels' (labelled RGB without infrared).
        weight: Share of the samples, relative to the other sources.
        path: Folder, relative to the data root; scenes need none.
        split: Split of a data set that has several; "" for an rgb_labels folder without.
        label_set: For pairs and rgb_labels: whose ids the label files hold; "" for the recipe's own.
        label_map: Classes of the source to those of the recipe, or to 'ignored', where names alone say too little.
        infrared: For camvid and rgb_labels: 'none', a constant, or 'invented' from the labels; "" for what is usual,
            that is invented for camvid, none for rgb_labels.
        hold_out_every: For pairs: every n-th by name is kept for validation; 0 for a folder that is used whole.
        labelled_only: For pairs: leave out those without a label file and without a map of absence.
        unlabelled: For pairs: don't look at labels/ and absent/; they are for the fusion loss alone.
        names: For pairs: a pattern of the names to take, such as '*N'; "" for all.
        lost: Of a validation source: the camera that gives nothing, all bytes 0: 'rgb' or 'infrared'; "" for none.
        first_seed, count, height, width: For scenes: seeds first_seed .. first_seed + count - 1, size in pixels.
        whole_target: Method of a fusion target that is made from the whole pair and then augmented with it, as in the
            authors' training; "" makes it from each augmented crop. Not for scenes.
        targets: Folder below ``path`` with ready fusion targets of the images' names, as the authors' Mask2; "" for
            none. They are the prior images as well where prior and fusion_target are one method.
        augment: Augmentation of this source.

    Raises:
        ValueError: Two ways to a target, or one for scenes.
    """

    kind: str = setting(
        MISSING, "What kind of data it is.", choices=("scenes", "camvid", "rgb_labels", *dataset_names())
    )
    weight: float = 1.0
    path: str = ""
    split: str = "train"
    label_set: str = ""
    label_map: dict[str, str] = field(default_factory=dict)
    infrared: Literal["", "none", "invented"] = ""
    hold_out_every: int = 0
    labelled_only: bool = False
    unlabelled: bool = False
    names: str = ""
    lost: Literal["", "rgb", "infrared"] = ""
    first_seed: int = 0
    count: int = 0
    height: int = 0
    width: int = 0
    whole_target: Literal["", "vsm_wls", "detail"] = ""
    targets: str = ""
    augment: AugmentConfig = field(default_factory=AugmentConfig)

    def __post_init__(self) -> None:
        if self.targets and self.whole_target:
            raise ValueError(f"targets is {self.targets} and whole_target {self.whole_target}: give one of them")
        if self.kind == "scenes" and (self.targets or self.whole_target):
            raise ValueError("scenes have no targets and no whole_target: leave both out")
        if self.names and self.kind != "pairs":
            raise ValueError(f"names is '{self.names}', but kind is {self.kind}: names chooses among pairs alone")


@dataclass(frozen=True, kw_only=True)
class OptimiserConfig:
    """AdamW and its schedule; defaults are the authors' rates for an ImageNet encoder.

    Attributes:
        encoder_lr, decoder_lr, fusion_lr: Base rates of the parameter groups.
        weight_decay: Of all groups but the encoder's norms.
        warm_steps, warm_ratio, power: See `optimiser.poly_factor`.
        clip_norm: Largest norm of the gradient; 0 leaves it alone.
    """

    encoder_lr: float = 8e-5
    decoder_lr: float = 8e-4
    fusion_lr: float = 1e-4
    weight_decay: float = 0.01
    warm_steps: int = 3000
    warm_ratio: float = 1e-6
    power: float = 1.0
    clip_norm: float = 0.0


@dataclass(frozen=True, kw_only=True)
class RoundsConfig:
    """The rounds of 'alternating': a fusion phase, then a segmentation phase on its fused images.

    The numbers are those of the authors' code; where the switches' defaults depart from it, they say so.

    Attributes:
        count: Rounds.
        first_fusion_steps, fusion_steps: Steps of the first round's fusion phase, and of the later ones'.
        segmentation_steps: Steps of every segmentation phase.
        fusion_schedule_steps: Where the fusion rate, which starts anew in every round, would reach zero.
        segmentation_schedule_steps: Where the segmentation rate, counted over all rounds, would reach zero.
        segmentation_crop: Side of the segmentation phase's square crops in pixels, 0 for the sources' (authors: 480).
        segmentation_colour: Whether the RGB image's colours are distorted in the segmentation phase (authors: no).
        helper_in_training_mode: Whether the frozen segmentation network helps the fusion phase with dropout and batch
            statistics, as the authors' does, rather than in the mode in which it will be used.
        segmentation_training_mode_steps: Steps of a segmentation phase after which it goes on without dropout and with
            fixed normalisation, 0 for never (authors: 1000, after the first validation).
        eight_bit: Whether the segmentation phase sees fused images cut to 8 bit and stretched, as the authors' files.
        red_plane: Whether the segmentation phase's images are fused with the red plane, as the authors' files, rather
            than with the luma, as in the fusion phase and in use.
    """

    count: int = 7
    first_fusion_steps: int = 6000
    fusion_steps: int = 4000
    segmentation_steps: int = 10000
    fusion_schedule_steps: int = 20000
    segmentation_schedule_steps: int = 160000
    segmentation_crop: int = 0
    segmentation_colour: bool = True
    helper_in_training_mode: bool = False
    segmentation_training_mode_steps: int = 0
    eight_bit: bool = False
    red_plane: bool = False

    def __post_init__(self) -> None:
        for name in ("count", "first_fusion_steps", "fusion_steps", "segmentation_steps"):
            if getattr(self, name) < 1:
                raise ValueError(f"rounds.{name} is {getattr(self, name)}: it must be at least 1")
        needs = {
            "fusion_schedule_steps": max(self.first_fusion_steps, self.fusion_steps if self.count > 1 else 0),
            "segmentation_schedule_steps": self.count * self.segmentation_steps,
        }
        for name, steps in needs.items():
            if getattr(self, name) < steps:
                raise ValueError(
                    f"rounds.{name} is {getattr(self, name)}: the rate would be zero before the last of {steps} steps"
                )

    @property
    def steps(self) -> int:
        """Steps of all rounds together."""
        return self.first_fusion_steps + (self.count - 1) * self.fusion_steps + self.count * self.segmentation_steps


@dataclass(frozen=True, kw_only=True)
class TrainingConfig:
    """A training of both networks, or of the segmentation network alone.

    Attributes:
        name: Of the weights; file names and metadata carry it.
        seed: Of weights, data and dropout.
        method: 'joint' moves both networks end to end; 'alternating' moves one of them at a time, in the paper's
            rounds; 'segmentation' moves the segmentation network alone, on what ``segmentation_input`` gives it: ten
            times as many samples a second, for a start; 'fusion' moves the fusion network alone on its own loss.
        segmentation_input: Of 'segmentation': 'blend', images whose luma is a random mix of both sources, or 'rgb'.
        label_stride: Of 'segmentation': every n-th row and column of the labels counts in the loss, from 1 to 4. The
            logits have a quarter of the image's rows and columns, so 2 loses little and saves a sixth of the time.
        steps: Optimiser steps; the schedule ends there. With 'alternating' what the rounds come to.
        fusion_first_steps: Of 'joint': steps at the start that move the fusion network alone, on its own loss.
        rounds: Of 'alternating'.
        batch_size: Samples a step, of all processes together.
        accumulate: Parts into which a step's samples are cut, taken one after another to save memory.
        model: Sizes of the network.
        init: Weights to start from as far as they fit (see `starting`): a packaged name, a file, or the authors' two
            files with a comma between; empty for random weights.
        segmentation_init: Weights to take the segmentation network from, after ``init``; empty for none.
        encoder_init: A file to take the encoder from, such as ImageNet weights, see `model.pretrained`; empty for none.
        freeze: Parts that stay as they are: names of `freezing.FROZEN_PARTS`.
        label_set: Classes that are learned: a name, or a .yaml file relative to the recipe's folder.
        prior: Prior image of the semantic features: 'mean', 'visible' or 'vsm_wls'.
        fusion_target: What the fusion loss compares with: 'vsm_wls' (the paper's) or 'detail', see `fusion_target`.
        published: The figure that was published for this training, in words; said at the start.
        sources: The data mixture.
        validation: The held-out sources, not augmented; ``weight`` is not used.
        validation_samples: Samples of each validation source, spread evenly over it.
        validation_mode: 'robot', as a node runs, or 'authors', as their test script, see `SegMiF.forward`.
        optimiser: AdamW and schedule.
        fusion_weight, segmentation_weight: Base weights of the two losses.
        class_weights: Factors of the cross-entropy by class name; 1 for those not named.
        absence_weight: What a pixel counts that has no label, but bits in absent/ of its source, against 1 of a
            labelled one; 0 leaves them aside.
        overlap_weight: Factor of 1 minus the soft IoU beside the cross-entropy, see `losses.overlap_loss`.
        precision: Of the networks: 'float32', or 'bfloat16' by autocast (losses and weights stay float32).
        channels_last: Whether images and weights lie in memory pixel by pixel, which is faster on many GPUs.
        compile: Whether the networks are compiled by torch.compile: a slow start, faster steps.
        weighting: How the base weights are balanced: 'fixed', 'authors', 'dynamic', 'uncertainty' or 'gradient_norm',
            see `weighting`.
        weighting_temperature, weighting_window: Of 'dynamic'.
        weighting_lr: Rate at which the weights of 'uncertainty' and 'gradient_norm' move.
        weighting_asymmetry: Of 'gradient_norm': how much more gradient a loss gets that lags; 0 for equal ones.
        first_round_steps: Steps with the first round's fusion loss; the later rounds' one follows.
        prior_gradient: Whether gradients pass into the encoder through the prior's features (the authors': no).
        ema_decay: Of the averaged weights that are validated and saved; 0 turns averaging off.
        validate_every, log_every: Steps.
        checkpoint_minutes: Time between checkpoints.
        data_workers: Processes that prepare data; 0 prepares it between the steps.
        tensorboard: Whether the learning curve is also written for TensorBoard, to ``tensorboard/`` in the run.
        facts: Strings for the metadata of the weights (data, licence, ...).
    """

    name: str
    seed: int = 1
    method: Literal["joint", "alternating", "segmentation", "fusion"] = "joint"
    segmentation_input: Literal["blend", "rgb"] = "blend"
    label_stride: int = 1
    steps: int
    fusion_first_steps: int = 0
    rounds: RoundsConfig = field(default_factory=RoundsConfig)
    batch_size: int = 4
    accumulate: int = 1
    model: SegMiFConfig = field(default_factory=SegMiFConfig)
    init: str = ""
    segmentation_init: str = ""
    encoder_init: str = ""
    freeze: tuple[str, ...] = ()
    label_set: str = "fmb"
    prior: PriorMethod = "mean"
    fusion_target: FusionTarget = "vsm_wls"
    published: str = ""
    sources: tuple[SourceConfig, ...]
    validation: tuple[SourceConfig, ...] = ()
    validation_samples: int = 12
    validation_mode: Mode = "robot"
    optimiser: OptimiserConfig = field(default_factory=OptimiserConfig)
    fusion_weight: float = 1.0
    segmentation_weight: float = 1.0
    class_weights: dict[str, float] = field(default_factory=dict)
    absence_weight: float = 0.5
    overlap_weight: float = 0.0
    precision: Literal["float32", "bfloat16"] = "float32"
    channels_last: bool = False
    compile: bool = False
    weighting: Literal["fixed", "authors", "dynamic", "uncertainty", "gradient_norm"] = "dynamic"
    weighting_temperature: float = 2.0
    weighting_window: int = 50
    weighting_lr: float = 0.01
    weighting_asymmetry: float = 1.0
    first_round_steps: int = 0
    prior_gradient: bool = False
    ema_decay: float = 0.999
    validate_every: int = 500
    log_every: int = 20
    checkpoint_minutes: float = 5.0
    num_threads: int = like(EngineConfig, "num_threads")
    data_workers: int = 0
    device: str = like(EngineConfig, "device")
    tensorboard: bool = False
    facts: dict[str, str] = field(default_factory=dict)

    def __post_init__(self) -> None:
        for name in ("steps", "batch_size", "accumulate", "validate_every", "log_every"):
            if getattr(self, name) < 1:
                raise ValueError(f"{name} is {getattr(self, name)}: it must be at least 1")
        if self.batch_size % self.accumulate:
            raise ValueError(f"batch_size is {self.batch_size}: it cannot be cut into {self.accumulate} equal parts")
        if self.method == "alternating" and self.steps != self.rounds.steps:
            raise ValueError(f"steps is {self.steps}: the rounds come to {self.rounds.steps}, write that")
        if not 0 <= self.fusion_first_steps < self.steps or (self.fusion_first_steps and self.method != "joint"):
            raise ValueError(
                f"fusion_first_steps is {self.fusion_first_steps}: it must be from 0 to steps - 1, and is of 'joint'"
                " alone"
            )
        if not 0 <= self.ema_decay < 1:
            raise ValueError(f"ema_decay is {self.ema_decay}: it must be in [0, 1)")
        if len(label_set(self.label_set)) != self.model.num_classes:
            raise ValueError(
                f"model.num_classes is {self.model.num_classes}, but label set '{self.label_set}' has"
                f" {len(label_set(self.label_set))} classes"
            )
        if not 1 <= self.label_stride <= 4 or (self.label_stride > 1 and self.method != "segmentation"):
            raise ValueError(
                f"label_stride is {self.label_stride}: it must be from 1 to 4, and is of 'segmentation' alone"
            )
        if not 0 <= self.absence_weight < math.inf:
            raise ValueError(f"absence_weight is {self.absence_weight}: it must be 0 or more")
        if not 0 <= self.overlap_weight < math.inf:
            raise ValueError(f"overlap_weight is {self.overlap_weight}: it must be 0 or more")
        design, joint_alone = self.model.design, self.method == "joint" and not self.fusion_first_steps
        of_cascade = self.weighting == "gradient_norm" or self.validation_mode == "authors"
        if design != "cascade" and (of_cascade or not joint_alone):
            raise ValueError(
                f"model.design is {design}: it is trained by method 'joint' without fusion_first_steps, by any"
                " weighting but gradient_norm, and validated in mode 'robot'"
            )
        if self.weighting == "gradient_norm":
            self._require_gradient_norm()
        unknown = sorted(set(self.class_weights) - set(label_set(self.label_set).names))
        if unknown:
            raise ValueError(f"class_weights names {', '.join(unknown)}: not classes of label set '{self.label_set}'")
        for each in self.sources:
            if each.whole_target not in ("", self.fusion_target):
                raise ValueError(
                    f"whole_target is {each.whole_target}, fusion_target {self.fusion_target}: make them equal"
                )
        if any(each.lost for each in self.sources):
            raise ValueError("lost is for validation: to train with a lost camera give augment.lost_rgb, lost_infrared")
        for each in self.validation:
            if any(_overlap(each, other) for other in self.sources):
                raise ValueError(_overlap_message(each))
        require_known(self.freeze, self.method)
        if self.fusion_first_steps and "fusion" in self.freeze:
            raise ValueError("fusion_first_steps trains the fusion network alone, and freeze keeps it as it is")
        sizes = {(each.augment.crop_height, each.augment.crop_width) for each in self.sources}
        if len(sizes) != 1:
            raise ValueError(f"sources have crops of {sorted(sizes)}: give every source the same crop size")

    def _require_gradient_norm(self) -> None:
        if self.weighting_asymmetry < 0 or self.weighting_lr <= 0:
            raise ValueError(
                f"weighting_lr is {self.weighting_lr}, weighting_asymmetry {self.weighting_asymmetry}: gradient_norm"
                " needs a rate above 0 and an asymmetry of 0 or more"
            )
        if "fusion" in self.freeze:
            raise ValueError("weighting is gradient_norm, which needs the fusion network's gradients: don't freeze it")
        if self.first_round_steps:
            raise ValueError(
                f"first_round_steps is {self.first_round_steps}: gradient_norm measures how far a loss has fallen, so"
                " it must be one loss all the way: make it 0"
            )


def _overlap(validation: SourceConfig, source: SourceConfig) -> bool:
    """Whether a sample of one is one of the other's."""
    if validation.kind != source.kind:
        return False
    if source.kind == "scenes":
        begin = max(source.first_seed, validation.first_seed)
        return begin < min(source.first_seed + source.count, validation.first_seed + validation.count)
    if Path(source.path) != Path(validation.path):
        return False
    if source.kind == "pairs":
        return validation.hold_out_every == 0 or source.hold_out_every != validation.hold_out_every
    return source.split == validation.split


def _overlap_message(validation: SourceConfig) -> str:
    if validation.kind == "scenes":
        last = validation.first_seed + validation.count - 1
        return (
            f"scenes of seeds {validation.first_seed} to {last} are validated on, and some of them are trained on: give"
            " validation a first_seed beyond those of the sources"
        )
    if validation.kind == "pairs":
        way = "give both sources the same hold_out_every, or validation a folder of its own"
    else:
        way = "give validation another split or folder"
    return f"{validation.kind} {validation.path} are trained on and validated on: {way}"
