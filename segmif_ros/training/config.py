# SPDX-License-Identifier: Apache-2.0
"""The training recipe as frozen dataclasses; `recipe_file` reads them from YAML."""

from __future__ import annotations

from dataclasses import MISSING, dataclass
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
    """One part of the data mixture. ValueError: two ways to a fusion target, or one for scenes."""

    kind: str = setting(
        MISSING, "Kind of data, as above.", choices=("scenes", "camvid", "rgb_labels", *dataset_names())
    )
    weight: float = setting(1.0, "Share of the samples, relative to the other sources.", minimum=0)
    path: str = setting("", "Folder, relative to the data root; scenes need none.")
    split: str = setting("train", "Split of a data set that has several; empty for rgb_labels without splits.")
    label_set: str = setting("", "Of pairs and rgb_labels: whose ids the label files hold; empty: the recipe's own.")
    label_map: dict[str, str] = setting({}, "Classes of the source to those of the recipe, or to 'ignored'.")
    infrared: Literal["", "none", "invented"] = setting(
        "",
        "Of camvid and rgb_labels: a constant, or simulated from the labels. Empty: invented for camvid, none for "
        "rgb_labels.",
    )
    hold_out_every: int = setting(
        0, "Of pairs: every n-th by name is kept for validation; 0: the folder is used whole.", minimum=0
    )
    labelled_only: bool = setting(False, "Of pairs: leave out those without a label file and without a map of absence.")
    unlabelled: bool = setting(False, "Of pairs: ignore labels/ and absent/; they are for the fusion loss alone.")
    names: str = setting("", "Of pairs: a pattern of the names to take, such as '*N'; empty: all.")
    lost: Literal["", "rgb", "infrared"] = setting("", "Of a validation source: the camera whose images are black.")
    first_seed: int = setting(0, "Of scenes: the first seed.", minimum=0)
    count: int = setting(0, "Of scenes: how many seeds.", minimum=0)
    height: int = setting(0, "Of scenes: rows in pixels.", minimum=0)
    width: int = setting(0, "Of scenes: columns in pixels.", minimum=0)
    whole_target: Literal["", "vsm_wls", "detail"] = setting(
        "",
        "Method of a fusion target made from the whole pair, as in the authors' training, and augmented with it. "
        "Empty: made from each augmented crop.",
    )
    targets: str = setting(
        "",
        "Folder below path, or below its split, with ready fusion targets of the images' names, as the authors' Mask2. "
        "They are the prior images, too, where prior and fusion_target are one method.",
    )
    augment: AugmentConfig = setting(factory=AugmentConfig, description="Augmentation of this source, see below.")

    def __post_init__(self) -> None:
        if self.targets and self.whole_target:
            raise ValueError(f"targets is {self.targets} and whole_target {self.whole_target}: give one of them")
        if self.kind == "scenes" and (self.targets or self.whole_target):
            raise ValueError("scenes have no targets and no whole_target: leave both out")
        if self.names and self.kind != "pairs":
            raise ValueError(f"names is '{self.names}', but kind is {self.kind}: names chooses among pairs alone")


@dataclass(frozen=True, kw_only=True)
class OptimiserConfig:
    """AdamW and its schedule, see `optimiser.poly_factor`; defaults are the authors' for an ImageNet encoder."""

    encoder_lr: float = setting(8e-5, "Base rate of the encoder.", minimum=0)
    decoder_lr: float = setting(8e-4, "Base rate of the segmentation head.", minimum=0)
    fusion_lr: float = setting(1e-4, "Base rate of the fusion network.", minimum=0)
    weight_decay: float = setting(0.01, "Weight decay of all groups but the encoder's norms.", minimum=0)
    warm_steps: int = setting(3000, "Steps of the linear warm-up.", minimum=0)
    warm_ratio: float = setting(1e-6, "Factor of the rates where the warm-up starts.", minimum=0, maximum=1)
    power: float = setting(1.0, "Power of the polynomial decay.", minimum=0)
    clip_norm: float = setting(0.0, "Largest norm of the gradient; 0: not limited.", minimum=0)


@dataclass(frozen=True, kw_only=True)
class RoundsConfig:
    """The rounds of 'alternating': a fusion phase, then a segmentation phase on its fused images.

    The numbers are those of the authors' code. A switch that departs from it states what theirs is.
    """

    count: int = setting(7, "Rounds.", minimum=1)
    first_fusion_steps: int = setting(6000, "Steps of the first round's fusion phase.", minimum=1)
    fusion_steps: int = setting(4000, "Steps of the later rounds' fusion phases.", minimum=1)
    segmentation_steps: int = setting(10000, "Steps of every segmentation phase.", minimum=1)
    fusion_schedule_steps: int = setting(
        20000, "Where the fusion rate, which restarts in every round, would reach zero."
    )
    segmentation_schedule_steps: int = setting(
        160000, "Where the segmentation rate, counted over all rounds, would reach zero."
    )
    segmentation_crop: int = setting(
        0, "Side in pixels of the segmentation phase's square crops (authors: 480); 0: as the sources'.", minimum=0
    )
    segmentation_colour: bool = setting(
        True, "Whether the RGB image's colours are distorted in the segmentation phase (authors: no)."
    )
    helper_in_training_mode: bool = setting(
        False,
        "Whether the frozen segmentation network helps the fusion phase with dropout and batch statistics (authors: "
        "yes), rather than in the mode in which it will be used.",
    )
    segmentation_training_mode_steps: int = setting(
        0,
        "Steps of a segmentation phase after which it continues without dropout and with fixed normalisation (authors: "
        "1000, after the first validation); 0: never.",
        minimum=0,
    )
    eight_bit: bool = setting(
        False,
        "Whether the segmentation phase sees fused images cut to 8 bit and stretched, as the authors' files are.",
    )
    red_plane: bool = setting(
        False,
        "Whether the segmentation phase's images are fused with the red plane, as the authors' files, rather than with "
        "the luma, as in the fusion phase and in use.",
    )

    def __post_init__(self) -> None:
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
    """A training of both networks, or of one of them."""

    name: str = setting(MISSING, "Of the weights; file names and metadata carry it.")
    seed: int = setting(1, "Of weights, data and dropout.", minimum=0)
    method: Literal["joint", "alternating", "segmentation", "fusion"] = setting(
        "joint",
        "What moves. joint: both networks end to end; alternating: one at a time, in the paper's rounds; segmentation: "
        "the segmentation network alone, ten times as many samples a second, for a start; fusion: the fusion network "
        "alone, on its own loss.",
    )
    segmentation_input: Literal["blend", "rgb"] = setting(
        "blend", "Of method segmentation: images whose luma is a random mix of both sources, or the RGB image."
    )
    label_stride: int = setting(
        1,
        "Of method segmentation: every n-th row and column of the labels counts in the loss. The logits have a quarter "
        "of the image's rows and columns, so 2 loses little and saves a sixth of the time.",
        minimum=1,
        maximum=4,
    )
    steps: int = setting(
        MISSING, "Optimiser steps; the schedule ends there. With alternating: the sum of the rounds.", minimum=1
    )
    fusion_first_steps: int = setting(
        0, "Of method joint: steps at the start that move the fusion network alone, on its own loss.", minimum=0
    )
    rounds: RoundsConfig = setting(factory=RoundsConfig, description="Of method alternating, see below.")
    batch_size: int = setting(4, "Samples per step, of all processes together.", minimum=1)
    accumulate: int = setting(
        1, "Parts into which a step's samples are cut, taken one after another to save memory, see below.", minimum=1
    )
    model: SegMiFConfig = setting(factory=SegMiFConfig, description="Sizes of the network, see below.")
    init: str = setting(
        "",
        "Weights to start from as far as they fit: a packaged name, a file, or the authors' two files with a comma "
        "between. Empty: random weights.",
    )
    segmentation_init: str = setting("", "Weights to take the segmentation network from, after init.")
    encoder_init: str = setting("", "A file to take the encoder from, such as ImageNet weights, see below.")
    freeze: tuple[str, ...] = setting((), "Parts that stay as they are, see below.")
    label_set: str = setting("fmb", "Classes that are learned: a name, or a .yaml file in the recipe's folder.")
    prior: PriorMethod = setting("mean", "Prior image that the semantic features are taken from.")
    fusion_target: FusionTarget = setting("vsm_wls", "What the fusion loss compares with; vsm_wls is the paper's.")
    published: str = setting("", "The figure that was published for this training, in words; printed at the start.")
    sources: tuple[SourceConfig, ...] = setting(MISSING, "The data mixture, see below.")
    validation: tuple[SourceConfig, ...] = setting((), "The held-out sources, not augmented; their weight is not used.")
    validation_samples: int = setting(12, "Samples of each validation source, spread evenly over it.", minimum=1)
    validation_mode: Mode = setting("robot", "As a node runs, or as the authors' test script.")
    optimiser: OptimiserConfig = setting(factory=OptimiserConfig, description="AdamW and its schedule, see below.")
    fusion_weight: float = setting(1.0, "Base weight of the fusion loss.", minimum=0)
    segmentation_weight: float = setting(1.0, "Base weight of the segmentation loss.", minimum=0)
    class_weights: dict[str, float] = setting({}, "Factors of the cross-entropy by class name; 1 for the others.")
    absence_weight: float = setting(
        0.5, "What a pixel that has bits in absent/ and no label counts, against 1 of a labelled one.", minimum=0
    )
    overlap_weight: float = setting(0.0, "Factor of 1 minus the soft IoU beside the cross-entropy.", minimum=0)
    precision: Literal["float32", "bfloat16"] = setting(
        "float32", "Of the networks; bfloat16 is by autocast, losses and weights stay float32."
    )
    channels_last: bool = setting(
        False, "Whether images and weights lie in memory pixel by pixel, which is faster on many GPUs."
    )
    compile: bool = setting(False, "Whether torch.compile is used: a slow start, faster steps.")
    weighting: Literal["fixed", "authors", "dynamic", "uncertainty", "gradient_norm"] = setting(
        "dynamic", "How the base weights of the two losses are balanced."
    )
    weighting_temperature: float = setting(2.0, "Of weighting dynamic: temperature.")
    weighting_window: int = setting(50, "Of weighting dynamic: steps that a rate of descent is taken over.", minimum=1)
    weighting_lr: float = setting(0.01, "Of uncertainty and gradient_norm: rate at which the weights move.")
    weighting_asymmetry: float = setting(
        1.0, "Of gradient_norm: how much more gradient a loss that lags gets; 0: equal ones."
    )
    first_round_steps: int = setting(
        0, "Steps with the first round's fusion loss; the later rounds' one follows.", minimum=0
    )
    prior_gradient: bool = setting(
        False, "Whether gradients pass into the encoder through the prior's features (authors: no)."
    )
    ema_decay: float = setting(
        0.999, "Decay of the averaged weights, which are validated and saved; 0 turns averaging off.", minimum=0
    )
    validate_every: int = setting(500, "Steps between validations.", minimum=1)
    log_every: int = setting(20, "Steps between log lines.", minimum=1)
    checkpoint_minutes: float = setting(5.0, "Minutes between checkpoints.", minimum=0)
    num_threads: int = like(EngineConfig, "num_threads")
    data_workers: int = setting(0, "Processes that prepare data; 0: it is prepared between the steps.", minimum=0)
    device: str = like(EngineConfig, "device")
    tensorboard: bool = setting(False, "Whether the learning curve is also written for TensorBoard.")
    facts: dict[str, str] = setting({}, "Strings for the metadata of the weights: data, licence, ...")

    def __post_init__(self) -> None:
        if self.batch_size % self.accumulate:
            raise ValueError(f"batch_size is {self.batch_size}: it cannot be cut into {self.accumulate} equal parts")
        if self.method == "alternating" and self.steps != self.rounds.steps:
            raise ValueError(f"steps is {self.steps}: the rounds come to {self.rounds.steps}, write that")
        if not 0 <= self.fusion_first_steps < self.steps or (self.fusion_first_steps and self.method != "joint"):
            raise ValueError(
                f"fusion_first_steps is {self.fusion_first_steps}: it must be from 0 to steps - 1, and is of 'joint'"
                " alone"
            )
        if self.ema_decay >= 1:
            raise ValueError(f"ema_decay is {self.ema_decay}: it must be below 1")
        if len(label_set(self.label_set)) != self.model.num_classes:
            raise ValueError(
                f"model.num_classes is {self.model.num_classes}, but label set '{self.label_set}' has"
                f" {len(label_set(self.label_set))} classes"
            )
        if self.label_stride > 1 and self.method != "segmentation":
            raise ValueError(f"label_stride is {self.label_stride}: it is of method 'segmentation' alone")
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
