# SPDX-License-Identifier: Apache-2.0
"""Start a training from a checkpoint as far as it fits the recipe's model."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from segmif_ros.inference.weights import WeightsError, parse_weights, resolve_checkpoint
from segmif_ros.labels import LabelSet, LabelSetError, counterparts, label_set, label_set_of
from segmif_ros.model import SegMiF
from segmif_ros.model.checkpoint import load_network
from segmif_ros.model.pretrained import apply_encoder
from segmif_ros.paths import user_path
from segmif_ros.training.config import RecipeError, TrainingConfig

# the tensors whose rows are classes
_CLASS_ROWS = tuple(
    f"segmentation.denoise_net.{name}"
    for name in ("decoder.linear_pred.weight", "decoder.linear_pred.bias", "classifier.weight")
)
_SHOWN = 6


@dataclass(frozen=True, kw_only=True)
class Start:
    """What a model took from a checkpoint.

    Attributes:
        path: The checkpoint.
        taken: Names of the tensors that were copied, those with classes as rows included if any row was.
        left: Names of the tensors that stay as they were, because the checkpoint has none of that name and shape.
        values, all_values: Number of values in ``taken``, and in all of the model.
        classes: Our class to theirs whose rows it took.
        new_classes: Our classes whose rows stay random.
    """

    path: str
    taken: tuple[str, ...]
    left: tuple[str, ...]
    values: int
    all_values: int
    classes: dict[str, str]
    new_classes: tuple[str, ...]

    def summary(self) -> str:
        """Return one line on the tensors and one on the classes."""
        line = f"init {self.path}: {self.values / 1e6:.2f} of {self.all_values / 1e6:.2f} million values taken"
        if self.left:
            line += f"; random: {_shown(sorted({_part(name) for name in self.left}))}"
        renamed = [f"{ours} from {theirs}" for ours, theirs in self.classes.items() if ours != theirs]
        rows = f"  classes: {len(self.classes)} taken by name"
        if renamed:
            rows += f" ({_shown(renamed)})"
        if self.new_classes:
            rows += f"; random: {_shown(self.new_classes)}"
        return f"{line}\n{rows}"


def start(model: SegMiF, config: TrainingConfig) -> list[str]:
    """Give a fresh model the weights that a recipe starts from; returns lines that say what was taken.

    Raises RecipeError or CheckpointError for weights that can't be used.
    """
    lines = [f"published: {config.published}"] if config.published else []
    if not (config.encoder_init or config.init or config.segmentation_init):
        lines += random_encoder(config)
    if config.init:
        lines += start_from(model, config.init, label_set(config.label_set)).summary().splitlines()
    if config.segmentation_init:
        found = start_from(model, config.segmentation_init, label_set(config.label_set), part="segmentation.")
        lines += found.summary().splitlines()
    if config.encoder_init:
        try:
            path = user_path(config.encoder_init)
        except OSError as error:
            raise RecipeError(f"encoder_init {config.encoder_init}: {error.strerror}") from None
        read = apply_encoder(model, path)
        lines.append(f"encoder_init {config.encoder_init}: {config.model.encoder}, {read.layout} layout")
    return lines


def random_encoder(config: TrainingConfig) -> list[str]:
    """Return what to say where a recipe starts from no weights at all."""
    encoder = config.model.encoder
    missed = "figure was" if config.published else "figures were"
    return [
        f"WARNING: the encoder {encoder} starts from random weights. The published {missed} reached from one trained",
        "on ImageNet, and without it a training ends far below. Give the file of such an encoder in the recipe, as",
        f"encoder_init: {encoder}.pth ('Starting from ImageNet' in docs/training_recipes.md), or weights to go on from",
        "as init: segmif-s",
    ]


def start_from(model: SegMiF, path: str, classes: LabelSet, part: str = "") -> Start:
    """Copy into ``model`` what a checkpoint has of equal name and shape; rows of classes by the classes' names.

    Args:
        model: A model of any sizes; what isn't taken stays as it is.
        path: A packaged name, a checkpoint of ours, or the authors' two files with a comma between.
        classes: Classes of ``model``; those of the checkpoint are read off its metadata.
        part: How the names of the tensors begin that are taken or counted as left; "" for all.

    Raises:
        CheckpointError: The checkpoint can't be used.
        RecipeError: It isn't there, shares no weights with the model, or its classes aren't known.
    """
    try:
        source = load_network(resolve_checkpoint(parse_weights(path)))
        theirs = label_set_of(source.metadata, source.config.num_classes)
    except (WeightsError, LabelSetError) as error:
        raise RecipeError(f"init {path}: {error}") from None
    found, whole = source.state_dict(), model.state_dict()
    own = {name: tensor for name, tensor in whole.items() if name.startswith(part)}
    rows = _rows(theirs, classes)
    taken = {}
    for name, now in own.items():
        given = found.get(name)
        if given is None:
            continue
        if name in _CLASS_ROWS:
            if rows and given.shape[1:] == now.shape[1:]:
                taken[name] = _with_rows(now, given, rows)
        elif given.shape == now.shape:
            taken[name] = given
    # single numbers, as the slope of a PReLU, fit between any two models
    if not any(taken[name].ndim > 1 for name in taken):
        raise RecipeError(
            f"init {path}: shares no weights with the recipe's model (checkpoint: {source.config}; recipe:"
            f" {model.config}); make the sizes equal, or leave init out"
        )
    model.load_state_dict({**whole, **taken})
    mapped = rows if taken.keys() & set(_CLASS_ROWS) else {}
    return Start(
        path=path,
        taken=tuple(taken),
        left=tuple(name for name in own if name not in taken),
        values=sum(tensor.numel() for tensor in taken.values()),
        all_values=sum(tensor.numel() for tensor in own.values()),
        classes={classes.names[i]: theirs.names[j] for i, j in mapped.items()},
        new_classes=tuple(name for i, name in enumerate(classes.names) if i not in mapped),
    )


def _rows(theirs: LabelSet, ours: LabelSet) -> dict[int, int]:
    """Our class to theirs: for the same classes every row, else by name; the same name goes before an alias."""
    if theirs.names == ours.names:
        return {i: i for i in range(len(ours))}
    rows: dict[int, int] = {}
    for j, i in counterparts(theirs, ours).items():
        if i is not None and (i not in rows or theirs.names[j] == ours.names[i]):
            rows[i] = j
    return dict(sorted(rows.items()))


def _with_rows(now: Tensor, given: Tensor, rows: dict[int, int]) -> Tensor:
    mixed = now.clone()
    mixed[torch.tensor(list(rows))] = given[torch.tensor(list(rows.values()))].to(now)
    return mixed


def _part(name: str) -> str:
    """The part of the model that a tensor is in, short enough for a line."""
    parts = name.removeprefix("segmentation.denoise_net.").split(".")
    return ".".join(parts[: 1 if parts[0] == "classifier" else 2])


def _shown(names: list[str] | tuple[str, ...]) -> str:
    more = f" and {len(names) - _SHOWN} more" if len(names) > _SHOWN else ""
    return ", ".join(names[:_SHOWN]) + more
