# SPDX-License-Identifier: Apache-2.0
"""The joint, end-to-end training of fusion and segmentation.

One AdamW moves both networks: the fusion loss acts on the fused luma, the cross-entropy on the segmentation of the
fused image, and its gradient passes through the cascade into the fusion network. (The authors alternate between the
networks in rounds; their losses, weights and optimiser groups are used here.)

A run's folder holds ``state.pt`` (everything needed to go on), ``last.safetensors`` and ``best.safetensors`` (averaged
weights), ``log.jsonl`` (the learning curve) and ``recipe.json``. Files are replaced in one step, so a run that is
killed at any moment continues from its last state to the same result, to the bit on a CPU.
"""

from __future__ import annotations

import copy
import math
import time
from pathlib import Path
from typing import Any

import cv2
import torch
from torch import Tensor
from torch.utils.data import Dataset

from segmif_ros.data.mixture import Mixture
from segmif_ros.labels import label_metadata, label_set
from segmif_ros.model import SegMiF, save_checkpoint
from segmif_ros.model.colour import rgb_to_luma, with_luma
from segmif_ros.training.batches import Batch, Samples, SegmentationSamples, batches, open_source
from segmif_ros.training.config import RecipeError, TrainingConfig
from segmif_ros.training.losses import fusion_loss_first_round, fusion_loss_later_rounds, segmentation_loss
from segmif_ros.training.optimiser import parameter_groups, poly_factor, set_learning_rate
from segmif_ros.training.run_folder import RunFolder
from segmif_ros.training.starting import start_from
from segmif_ros.training.validation import Validation
from segmif_ros.training.weighting import AuthorsDynamicWeight, DynamicWeightAverage, FixedWeights, Weighting


class TrainingError(RuntimeError):
    """Training cannot go on."""


def losses(
    model: SegMiF,
    batch: Batch,
    *,
    first_round: bool,
    prior_gradient: bool,
    class_weights: Tensor | None = None,
    precision: torch.dtype = torch.float32,
) -> tuple[Tensor, Tensor]:
    """Fusion and segmentation loss of a batch.

    As in the published training the fused RGB goes into the segmentation network unclamped, so that its gradient
    reaches the fusion network wherever the luma overshoots.
    """
    with _autocast(batch, precision):
        with torch.set_grad_enabled(prior_gradient and torch.is_grad_enabled()):
            features = model.prior_features(batch.prior)
        fused = model.fusion(batch.infrared, rgb_to_luma(batch.rgb), *features).float()
        logits = model.segment(with_luma(batch.rgb, fused)).float()
    fusion_loss = fusion_loss_first_round if first_round else fusion_loss_later_rounds
    return fusion_loss(fused, batch.target), segmentation_loss(logits, batch.labels, class_weights)


def segmentation_losses(
    model: SegMiF, batch: Batch, *, class_weights: Tensor | None = None, precision: torch.dtype = torch.float32
) -> tuple[Tensor, Tensor]:
    """Zero and the segmentation loss of a batch whose ``rgb`` is what the segmentation network sees."""
    with _autocast(batch, precision):
        logits = model.segment(batch.rgb).float()
    return logits.new_zeros(()), segmentation_loss(logits, batch.labels, class_weights)


def _autocast(batch: Batch, precision: torch.dtype) -> torch.autocast:
    return torch.autocast(batch.rgb.device.type, torch.bfloat16, enabled=precision != torch.float32)


class Trainer:
    """A run in a folder; continues there if the folder holds a state.

    Args:
        config: The recipe.
        data_root: What the recipe's paths are relative to.
        output: The run's folder; created.
        scene_cache: Folder for rendered scenes, None for ``output/scenes``.
    """

    def __init__(
        self, config: TrainingConfig, *, data_root: Path, output: Path, scene_cache: Path | None = None
    ) -> None:
        self.config = config
        self.output = output
        if config.num_threads:
            torch.set_num_threads(config.num_threads)
        # samples are small: OpenCV's threads only get in the way of PyTorch's
        cv2.setNumThreads(1)
        self.device = _device(config.device)
        cache = scene_cache or output / "scenes"
        parts = [
            (open_source(each, data_root, cache, held_out=False, labels=config.label_set), each.weight, each.augment)
            for each in config.sources
        ]
        mixture = Mixture(parts, config.seed)
        self.samples: Dataset[dict[str, Any]] = (
            SegmentationSamples(mixture, config.seed, blend=config.segmentation_input == "blend")
            if config.method == "segmentation"
            else Samples(mixture, config.prior, config.fusion_target)
        )
        names = label_set(config.label_set).names
        self.class_weights = (
            torch.tensor([config.class_weights.get(name, 1.0) for name in names], device=self.device)
            if config.class_weights
            else None
        )
        held_out = [
            open_source(each, data_root, cache, held_out=True, labels=config.label_set) for each in config.validation
        ]
        self.validation = Validation(
            list(zip(config.validation, held_out, strict=True)),
            samples=config.validation_samples,
            num_classes=config.model.num_classes,
            prior=config.prior,
            seed=config.seed,
            method=config.method,
            segmentation_input=config.segmentation_input,
        )
        torch.manual_seed(config.seed)
        self.model = _new_model(config).to(self.device).train()
        self.average = copy.deepcopy(self.model).eval().requires_grad_(False)
        rates = config.optimiser
        self.optimiser = torch.optim.AdamW(
            parameter_groups(
                self.model,
                encoder_lr=rates.encoder_lr,
                decoder_lr=rates.decoder_lr,
                fusion_lr=rates.fusion_lr,
                weight_decay=rates.weight_decay,
            ),
            betas=(0.9, 0.999),
            eps=1e-8,
            fused=True,
        )
        self.weighting = _weighting(config)
        self.step = 0
        self.best = -math.inf
        self._folder = RunFolder(output, config)
        state = self._folder.load_state()
        if state is not None:
            self._restore(state)

    def run(self, stop_at: int | None = None) -> None:
        """Train up to ``stop_at`` steps (None: the recipe's end), with checkpoints and validation on the way."""
        end = self.config.steps if stop_at is None else min(stop_at, self.config.steps)
        if self.step >= end:
            print(f"{self.output}: nothing left to do at step {self.step} of {self.config.steps}")
            return
        saved = started = time.monotonic()
        first = self.step
        sums = dict.fromkeys(("loss", "fusion", "segmentation"), 0.0)
        since = 0
        config = self.config
        for batch in batches(
            self.samples, first=self.step, end=end, size=config.batch_size, workers=config.data_workers
        ):
            values = self._train_step(batch.to(self.device))
            since += 1
            for name in sums:
                sums[name] += values[name]
            if self.step % self.config.log_every == 0 or self.step == end:
                means = {name: total / since for name, total in sums.items()}
                rate = (self.step - first) / (time.monotonic() - started)
                self._log_step(means, values, rate, (self.config.steps - self.step) / rate)
                sums, since = dict.fromkeys(sums, 0.0), 0
            if self.step % self.config.validate_every == 0 or self.step == self.config.steps:
                self._validate()
            if time.monotonic() - saved > 60 * self.config.checkpoint_minutes:
                self.save()
                saved = time.monotonic()
        self.save()

    def _train_step(self, batch: Batch) -> dict[str, float]:
        config = self.config
        rates = config.optimiser
        factor = poly_factor(
            self.step,
            warm_steps=rates.warm_steps,
            warm_ratio=rates.warm_ratio,
            max_steps=config.steps,
            power=rates.power,
        )
        set_learning_rate(self.optimiser, factor)
        precision = getattr(torch, config.precision)
        if config.method == "segmentation":
            fusion, segmentation = segmentation_losses(
                self.model, batch, class_weights=self.class_weights, precision=precision
            )
        else:
            fusion, segmentation = losses(
                self.model,
                batch,
                first_round=self.step < config.first_round_steps,
                prior_gradient=config.prior_gradient,
                class_weights=self.class_weights,
                precision=precision,
            )
        weights = self.weighting.weights()
        loss = weights[0] * fusion + weights[1] * segmentation
        parts = {"loss": loss, "fusion": fusion, "segmentation": segmentation}
        values = {name: float(part.detach()) for name, part in parts.items()}
        if not all(math.isfinite(value) for value in values.values()):
            shown = ", ".join(f"{name} {value:g}" for name, value in values.items())
            raise TrainingError(f"step {self.step}: loss is not finite ({shown}); batch: {'; '.join(batch.names)}")
        self.optimiser.zero_grad(set_to_none=True)
        torch.autograd.backward(loss)
        if rates.clip_norm > 0:
            torch.nn.utils.clip_grad_norm_(self.model.parameters(), rates.clip_norm)
        self.optimiser.step()
        self.weighting.update((values["fusion"], values["segmentation"]))
        self.step += 1
        self._average()
        return {**values, "lr_factor": factor, "fusion_weight": weights[0], "segmentation_weight": weights[1]}

    @torch.no_grad()
    def _average(self) -> None:
        # a short memory at the start, or the first random weights would stay in the mean for long
        decay = min(self.config.ema_decay, (1 + self.step) / (10 + self.step))
        for mean, now in zip(self.average.state_dict().values(), self.model.state_dict().values(), strict=True):
            if mean.is_floating_point():
                mean.lerp_(now, 1 - decay)
            else:
                mean.copy_(now)

    def _validate(self) -> None:
        scores = self.validation.run(self.average)
        self._folder.log({"step": self.step, "validation": scores})
        for name, values in scores.items():
            print(f"  validation {name}: " + "  ".join(f"{key} {value:.4g}" for key, value in values.items()))
        labelled = [values["miou"] for values in scores.values() if "miou" in values]
        score = sum(labelled) / len(labelled) if labelled else -math.inf
        if score >= self.best:
            self.best = score
            self.export(self.output / "best.safetensors")

    def export(self, path: Path, *, float16: bool = False) -> None:
        """Write the averaged weights with the metadata of the recipe."""
        config = self.config
        metadata = {
            "name": config.name,
            **label_metadata(label_set(config.label_set)),
            "prior": config.prior,
            "seed": str(config.seed),
            "steps": f"{self.step} of {config.steps}",
            "batch_size": str(config.batch_size),
            **config.facts,
        }
        save_checkpoint(self.average, path, metadata, float16=float16)

    def save(self) -> None:
        """Write ``state.pt`` and ``last.safetensors``, each replaced in one step."""
        state = {
            "step": self.step,
            "best": self.best,
            "model": self.model.state_dict(),
            "average": self.average.state_dict(),
            "optimiser": self.optimiser.state_dict(),
            "weighting": self.weighting.state(),
            "rng": torch.get_rng_state(),
            "cuda_rng": torch.cuda.get_rng_state(self.device) if self.device.type == "cuda" else None,
        }
        self._folder.save_state(state)
        self.export(self.output / "last.safetensors")

    def _restore(self, state: dict[str, Any]) -> None:
        self.step, self.best = state["step"], state["best"]
        self.model.load_state_dict(state["model"])
        self.average.load_state_dict(state["average"])
        self.optimiser.load_state_dict(state["optimiser"])
        self.weighting.restore(state["weighting"])
        torch.set_rng_state(state["rng"])
        if state["cuda_rng"] is not None and self.device.type == "cuda":
            torch.cuda.set_rng_state(state["cuda_rng"], self.device)
        print(f"{self.output}: going on at step {self.step} of {self.config.steps}")

    def _log_step(self, means: dict[str, float], values: dict[str, float], rate: float, left_s: float) -> None:
        self._folder.log({"step": self.step, **means, **{k: v for k, v in values.items() if k not in means}})
        hours, minutes = divmod(round(left_s / 60), 60)
        print(
            f"step {self.step}/{self.config.steps}  loss {means['loss']:.4f}"
            f" = {values['fusion_weight']:.2f} x fusion {means['fusion']:.4f}"
            f" + {values['segmentation_weight']:.2f} x segmentation {means['segmentation']:.4f}"
            f"  lr x {values['lr_factor']:.3f}  {rate:.2f} steps/s  {hours}:{minutes:02d} h left",
            flush=True,
        )


def run_training(
    config: TrainingConfig, *, data_root: Path, output: Path, scene_cache: Path | None = None
) -> Path:
    """Train (or go on training) and return the file with the averaged weights of the last step."""
    trainer = Trainer(config, data_root=data_root, output=output, scene_cache=scene_cache)
    trainer.run()
    return output / "last.safetensors"


def _new_model(config: TrainingConfig) -> SegMiF:
    model = SegMiF(config.model)
    if config.init:
        print(start_from(model, config.init, label_set(config.label_set)).summary())
    return model


def _weighting(config: TrainingConfig) -> Weighting:
    base = (config.fusion_weight, config.segmentation_weight)
    if config.weighting == "fixed":
        return FixedWeights(base)
    if config.weighting == "authors":
        return AuthorsDynamicWeight(base)
    return DynamicWeightAverage(base, config.weighting_temperature, config.weighting_window)


def _device(name: str) -> torch.device:
    if name == "auto":
        return torch.device("cuda" if torch.cuda.is_available() else "cpu")
    try:
        device = torch.device(name)
    except RuntimeError as error:
        raise RecipeError(f"device '{name}' is none of PyTorch's; use cpu, cuda, cuda:1 or auto") from error
    if device.type == "cuda" and not torch.cuda.is_available():
        raise RecipeError(f"device '{name}': PyTorch sees no CUDA device here; use cpu or auto")
    return device
