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
import dataclasses
import json
import math
import os
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import torch
from torch import Tensor
from torch.utils.data import DataLoader, Dataset

from segmif_ros.data.camvid import CamVid
from segmif_ros.data.mixture import Mixture, PairSource, SceneSource, Source
from segmif_ros.data.transforms import Sample
from segmif_ros.evaluation.predict import to_plane
from segmif_ros.imaging.prior import PriorMethod, prior_image
from segmif_ros.model import SegMiF, load_checkpoint, save_checkpoint
from segmif_ros.model.colour import rgb_to_luma, with_luma
from segmif_ros.training.config import RecipeError, SourceConfig, TrainingConfig
from segmif_ros.training.losses import fusion_loss_first_round, fusion_loss_later_rounds, segmentation_loss
from segmif_ros.training.optimiser import parameter_groups, poly_factor, set_learning_rate
from segmif_ros.training.validation import Validation
from segmif_ros.training.weighting import AuthorsDynamicWeight, DynamicWeightAverage, FixedWeights, Weighting

# keys that may change between the start of a run and its continuation: they don't touch the numbers
_FREE_KEYS = ("num_threads", "checkpoint_minutes", "log_every", "data_workers")


class TrainingError(RuntimeError):
    """Training cannot go on."""


@dataclasses.dataclass(frozen=True, kw_only=True)
class Batch:
    """B samples; planes float32 in [0, 1]: infrared, prior, target (B, 1, H, W), rgb (B, 3, H, W); labels (B, H, W)."""

    infrared: Tensor
    rgb: Tensor
    prior: Tensor
    target: Tensor
    labels: Tensor
    names: tuple[str, ...]

    def to(self, device: torch.device) -> Batch:
        """Move the tensors."""
        tensors = ("infrared", "rgb", "prior", "target", "labels")
        return dataclasses.replace(self, **{name: getattr(self, name).to(device) for name in tensors})


class _Samples(Dataset[dict[str, Any]]):
    """The mixture as tensors, with the prior and, where the data ships none, the fusion target computed."""

    def __init__(self, mixture: Mixture, prior: PriorMethod) -> None:
        self._mixture = mixture
        self._prior = prior

    def __getitem__(self, number: int) -> dict[str, Any]:
        return as_tensors(self._mixture[number], self._prior)


def as_tensors(sample: Sample, prior: PriorMethod) -> dict[str, Any]:
    """One sample as planes (C, H, W) in [0, 1], labels int64 (H, W) and its name."""
    target = sample.target
    if target is None:
        target = prior_image(sample.infrared, sample.rgb, "vsm_wls")
    guide = target if prior == "vsm_wls" else prior_image(sample.infrared, sample.rgb, prior)
    planes = {"infrared": sample.infrared, "rgb": sample.rgb, "prior": guide, "target": target}
    return {
        **{name: to_plane(image)[0] for name, image in planes.items()},
        "labels": torch.from_numpy(sample.labels.astype(np.int64)),
        "names": sample.name,
    }


def _collate(samples: list[dict[str, Any]]) -> Batch:
    names = tuple(sample["names"] for sample in samples)
    tensors = {key: torch.stack([sample[key] for sample in samples]) for key in samples[0] if key != "names"}
    return Batch(**tensors, names=names)


def open_source(config: SourceConfig, data_root: Path, cache: Path | None, *, held_out: bool) -> Source:
    """Open one source of a recipe; ``held_out`` picks the part of a pair folder that is kept apart."""
    if config.kind == "camvid":
        return CamVid(data_root / config.path, config.split)
    if config.kind == "pairs":
        return PairSource(data_root / config.path, hold_out_every=config.hold_out_every, held_out=held_out)
    if config.count < 1 or config.height < 32 or config.width < 32:
        raise RecipeError(f"scenes need count, height and width (have {config.count}, {config.height}x{config.width})")
    return SceneSource(
        first_seed=config.first_seed, count=config.count, height=config.height, width=config.width, cache=cache
    )


def losses(model: SegMiF, batch: Batch, *, first_round: bool, prior_gradient: bool) -> tuple[Tensor, Tensor]:
    """Fusion and segmentation loss of a batch.

    As in the published training the fused RGB goes into the segmentation network unclamped, so that its gradient
    reaches the fusion network wherever the luma overshoots.
    """
    with torch.set_grad_enabled(prior_gradient and torch.is_grad_enabled()):
        features = model.prior_features(batch.prior)
    fused = model.fusion(batch.infrared, rgb_to_luma(batch.rgb), *features)
    fusion_loss = fusion_loss_first_round if first_round else fusion_loss_later_rounds
    logits = model.segment(with_luma(batch.rgb, fused))
    return fusion_loss(fused, batch.target), segmentation_loss(logits, batch.labels)


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
            (open_source(each, data_root, cache, held_out=False), each.weight, each.augment)
            for each in config.sources
        ]
        self._samples = _Samples(Mixture(parts, config.seed), config.prior)
        self.validation = Validation(
            [(each, open_source(each, data_root, cache, held_out=True)) for each in config.validation],
            samples=config.validation_samples,
            num_classes=config.model.num_classes,
            prior=config.prior,
            seed=config.seed,
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
        )
        self.weighting = _weighting(config)
        self.step = 0
        self.best = -math.inf
        output.mkdir(parents=True, exist_ok=True)
        self._check_recipe()
        if (output / "state.pt").is_file():
            self._restore()

    def run(self, stop_at: int | None = None) -> None:
        """Train up to ``stop_at`` steps (None: the recipe's end), with checkpoints and validation on the way."""
        end = self.config.steps if stop_at is None else min(stop_at, self.config.steps)
        if self.step >= end:
            print(f"{self.output}: nothing left to do at step {self.step} of {self.config.steps}")
            return
        saved = started = time.monotonic()
        first = self.step
        batches = self._batches(end)
        sums = dict.fromkeys(("loss", "fusion", "segmentation"), 0.0)
        since = 0
        for batch in batches:
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

    def _batches(self, end: int) -> Iterator[Batch]:
        size = self.config.batch_size
        return iter(
            DataLoader(
                self._samples,
                batch_size=size,
                sampler=range(self.step * size, end * size),
                num_workers=self.config.data_workers,
                collate_fn=_collate,
                # or the loader would draw from the generator that dropout uses, and a resumed run would differ
                generator=torch.Generator(),
            )
        )

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
        fusion, segmentation = losses(
            self.model,
            batch,
            first_round=self.step < config.first_round_steps,
            prior_gradient=config.prior_gradient,
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
        self._log({"step": self.step, "validation": scores})
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
            "label_set": config.label_set,
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
        part = self.output / "state.pt.part"
        with part.open("wb") as file:
            torch.save(state, file)
            file.flush()
            os.fsync(file.fileno())
        part.replace(self.output / "state.pt")
        self.export(self.output / "last.safetensors")

    def _restore(self) -> None:
        state = torch.load(self.output / "state.pt", map_location="cpu", weights_only=True)
        self.step, self.best = state["step"], state["best"]
        self.model.load_state_dict(state["model"])
        self.average.load_state_dict(state["average"])
        self.optimiser.load_state_dict(state["optimiser"])
        self.weighting.restore(state["weighting"])
        torch.set_rng_state(state["rng"])
        if state["cuda_rng"] is not None and self.device.type == "cuda":
            torch.cuda.set_rng_state(state["cuda_rng"], self.device)
        # lines after the state were written by steps that are now taken again
        log = self.output / "log.jsonl"
        if log.is_file():
            lines = [line for line in log.read_text().splitlines() if _step_of(line) <= self.step]
            part = log.with_suffix(".part")
            part.write_text("".join(f"{line}\n" for line in lines))
            part.replace(log)
        print(f"{self.output}: going on at step {self.step} of {self.config.steps}")

    def _check_recipe(self) -> None:
        file = self.output / "recipe.json"
        now = json.loads(json.dumps(dataclasses.asdict(self.config)))
        if file.is_file() and (self.output / "state.pt").is_file():
            before = json.loads(file.read_text())
            changed = [key for key in now if key not in _FREE_KEYS and now[key] != before.get(key)]
            if changed:
                raise RecipeError(
                    f"{self.output}: the run here was started with another {', '.join(changed)};"
                    " choose another output folder or the old recipe"
                )
        part = file.with_suffix(".part")
        part.write_text(json.dumps(now, indent=1))
        part.replace(file)

    def _log(self, record: dict[str, Any]) -> None:
        with (self.output / "log.jsonl").open("a", encoding="utf-8") as file:
            file.write(json.dumps(record) + "\n")

    def _log_step(self, means: dict[str, float], values: dict[str, float], rate: float, left_s: float) -> None:
        self._log({"step": self.step, **means, **{k: v for k, v in values.items() if k not in means}})
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
    if not config.init:
        return SegMiF(config.model)
    model = load_checkpoint(config.init)
    if model.config != config.model:
        raise RecipeError(f"{config.init} has sizes {model.config}, the recipe wants {config.model}")
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


def _step_of(line: str) -> float:
    try:
        return float(json.loads(line)["step"])
    except (ValueError, KeyError):
        return math.inf
