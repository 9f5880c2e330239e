# SPDX-License-Identifier: Apache-2.0
"""The trainer: takes the steps of a recipe, phase by phase, and leaves a folder from which it can go on.

What a step does is in `phases` and `rounds`; here it is carried out, in one process or in several: the batch is shared
out, gradients are added up, the optimiser moves, weights are averaged; the run is logged, validated and saved.

A run's folder holds ``state.pt`` (everything needed to go on), ``last.safetensors`` and ``best.safetensors`` (averaged
weights), ``log.jsonl`` (the learning curve) and ``recipe.json``. Files are replaced in one step, so a run that is
killed at any moment continues from its last state to the same result, to the bit on a CPU.
"""

from __future__ import annotations

import copy
import math
import signal
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any, cast

import cv2
import torch
from torch import Tensor, nn

from segmif_ros.inference.allocator import keep_large_blocks
from segmif_ros.labels import label_metadata, label_set
from segmif_ros.model import SegMiF, save_checkpoint
from segmif_ros.model.designs import build
from segmif_ros.training.batches import Batch, batches, open_source
from segmif_ros.training.config import TrainingConfig
from segmif_ros.training.device import device_of, require_equal_parts
from segmif_ros.training.display import Display, ScalarWriter, SilentDisplay, tensorboard_writer, write_scalars
from segmif_ros.training.distributed import ALONE, Processes, ReportedElsewhereError
from segmif_ros.training.freezing import freeze, hold_still
from segmif_ros.training.losses import labelled_weight
from segmif_ros.training.optimiser import lay_out_like_parameters, set_learning_rate
from segmif_ros.training.phases import Phase, Truth, evidence_of
from segmif_ros.training.rounds import phase_at, phases_of
from segmif_ros.training.run_data import keep_data_identity, named_sources
from segmif_ros.training.run_folder import RunFolder
from segmif_ros.training.starting import start
from segmif_ros.training.stopping import StopRequest, TrainingStopped
from segmif_ros.training.validation import Validation
from segmif_ros.training.weighting import GradientNorm, UncertaintyWeights, combined

_LOSSES = ("loss", "fusion", "segmentation")
_STOPS = (signal.SIGINT, signal.SIGTERM)


class TrainingError(RuntimeError):
    """Training cannot go on."""


class Trainer:
    """A run in a folder; continues there if the folder holds a state.

    Args:
        config: The recipe.
        data_root: What the recipe's paths are relative to.
        output: The run's folder; created.
        scene_cache: Folder for rendered scenes, None for ``output/scenes``.
        processes: This process among those that train together; all make the same calls.
    """

    def __init__(
        self,
        config: TrainingConfig,
        *,
        data_root: Path,
        output: Path,
        scene_cache: Path | None = None,
        processes: Processes = ALONE,
    ) -> None:
        self.config = config
        self.output = output
        self.processes = processes
        require_equal_parts(config, processes)
        if config.num_threads:
            torch.set_num_threads(config.num_threads)
        # samples are small: OpenCV's threads only get in the way of PyTorch's
        cv2.setNumThreads(1)
        self.device = device_of(config.device, processes)
        if self.device.type == "cpu":
            keep_large_blocks()  # a step frees and takes hundreds of large blocks
        self._writer: ScalarWriter | None = None
        # first of all: a run that is refused costs no time, and one that is resumed needs no weights to start from
        state = processes.on_main(self._open_folder)
        cache = scene_cache or output / "scenes"
        self._parts = [
            (open_source(each, data_root, cache, held_out=False, labels=config.label_set), each.weight, each.augment)
            for each in config.sources
        ]
        self.evidence = evidence_of(config).to(self.device)
        held_out = [
            open_source(each, data_root, cache, held_out=True, labels=config.label_set) for each in config.validation
        ]
        self.validation = Validation(
            list(zip(config.validation, held_out, strict=True)),
            samples=config.validation_samples,
            num_classes=config.model.num_classes,
            prior=config.prior,
            seed=config.seed,
            mode=config.validation_mode,
            method=config.method,
            segmentation_input=config.segmentation_input,
        )
        named = named_sources(config, [part[0] for part in self._parts], held_out)
        processes.on_main(lambda: keep_data_identity(output, named, resumed=state is not None))
        torch.manual_seed(config.seed)
        # whatever the design: the recipe's phases are those that take it
        self.model = cast(SegMiF, build(config.model))
        if state is None:
            for line in start(self.model, config):
                if processes.is_main:
                    print(line)
        self.model.to(self.device)
        if config.channels_last:
            self.model.to(memory_format=torch.channels_last)  # type: ignore[call-overload]
        self.average = copy.deepcopy(self.model).eval().requires_grad_(False)
        if processes.world > 1 and self.device.type == "cuda":
            self.model = nn.SyncBatchNorm.convert_sync_batchnorm(self.model)  # type: ignore[no-untyped-call]
        if config.compile:
            compile_networks(self.model)
        if not processes.is_main:  # equal weights, but every process drops out its own
            torch.manual_seed(config.seed + processes.rank)
        freeze(self.model, config.freeze)
        self._trainable = {name for name, each in self.model.named_parameters() if each.requires_grad}
        self.step = 0
        self.best = -math.inf
        self.seconds = 0.0
        self._window = dict.fromkeys((*_LOSSES, "steps", "seconds"), 0.0)
        self.phases = phases_of(config)
        self._display: Display = SilentDisplay()
        if state is None:
            self._enter(self.phases[0])
        else:
            self._restore(state)

    def _open_folder(self) -> dict[str, Any] | None:
        self._folder = RunFolder(self.output, self.config)
        state = self._folder.load_state()
        if self.config.tensorboard:
            self._writer = tensorboard_writer(self.output / "tensorboard", state["step"] if state else 0)
        return state

    def _enter(self, phase: Phase) -> None:
        """Start a phase: its data, what moves in it, and a fresh optimiser and weighting."""
        self.phase = phase
        self.samples = phase.samples(self._parts)
        for name, parameter in self.model.named_parameters():
            parameter.requires_grad_(name in self._trainable)
            parameter.grad = None
        phase.begin(self.model)
        hold_still(self.model, self.config.freeze)
        self.weighting = phase.weighting(self.device)
        groups = phase.groups(self.model)
        if isinstance(self.weighting, UncertaintyWeights):
            rate = self.config.weighting_lr
            own = [self.weighting.log_variances]
            groups.append({"name": "weighting", "params": own, "lr": rate, "base_lr": rate, "weight_decay": 0.0})
        self.optimiser = torch.optim.AdamW(map(dict, groups), betas=(0.9, 0.999), eps=1e-8, fused=True)

    def run(self, stop_at: int | None = None) -> None:
        """Train up to ``stop_at`` steps (None: the recipe's end), with checkpoints and validation on the way.

        Raises:
            TrainingStopped: SIGINT or SIGTERM came; the state is saved.
            TrainingError: A loss is not finite.
        """
        end = self.config.steps if stop_at is None else min(stop_at, self.config.steps)
        if self.processes.is_main:
            self._display = Display(first=self.step, total=self.config.steps)
        try:
            if self.step >= end:
                self._display.line(f"{self.output}: nothing left to do at step {self.step} of {self.config.steps}")
                return
            with StopRequest() as request:
                while self.step < end:
                    if self.step >= self.phase.end:
                        self._enter(phase_at(self.phases, self.step))
                    if len(self.phases) > 1:
                        self._display.line(f"{self.phase.name}: to step {self.phase.end}")
                    self._run_phase(min(end, self.phase.end), request)
            self.save()
        finally:
            self._display.close()
            if self._writer is not None:
                self._writer.close()

    def _run_phase(self, end: int, request: StopRequest) -> None:
        config, processes = self.config, self.processes
        saved = mark = time.monotonic()
        for batch in batches(
            processes.share(self.samples, config.batch_size),
            first=self.step,
            end=end,
            size=config.batch_size // processes.world,
            workers=config.data_workers,
            pin=self.device.type == "cuda",
        ):
            save_due = processes.is_main and time.monotonic() - saved > 60 * config.checkpoint_minutes
            # what one process wishes all do, or some would wait for others that saved or stopped
            wishes = [float(save_due), *(float(request.signal_number == each) for each in _STOPS)]
            values, (save_due, *stops) = self._take_step(batch, wishes)
            seconds = time.monotonic() - mark
            self.seconds += seconds
            for name, value in {**values, "steps": 1.0, "seconds": seconds}.items():
                if name in self._window:
                    self._window[name] += value
            self._display.step(self.step, self.phase.name, f"loss {values['loss']:.4f}")
            if self.step % config.log_every == 0 or self.step == self.phase.end:
                self._log_step(values)
            if self.step % config.validate_every == 0 or self.step == config.steps:
                processes.on_main(self._validate)
            if save_due or any(stops):
                self.save()
                saved = time.monotonic()
            if any(stops):
                raise TrainingStopped(self.step, next(each for each, came in zip(_STOPS, stops, strict=True) if came))
            mark = time.monotonic()

    def _take_step(self, batch: Batch, wishes: Sequence[float]) -> tuple[dict[str, float], list[bool]]:
        """One step on this process's share of the batch; returns its values and what any process wishes."""
        config, processes = self.config, self.processes
        factor = self.phase.rate_factor(self.step)
        set_learning_rate(self.optimiser, factor)
        batch = batch.to(self.device, channels_last=config.channels_last)
        # shares and parts have as many pixels, but not as many labels: all divide by the whole batch's
        weight = torch.tensor(labelled_weight(batch.labels, self.evidence, batch.absent), dtype=torch.float64)
        truth = Truth(total=float(processes.sum(weight)), evidence=self.evidence)
        share = 1.0 / (config.accumulate * processes.world)
        weights = self.weighting.weights()
        shared = self.phase.shared_layer(self.model) if isinstance(self.weighting, GradientNorm) else None
        of_fusion = None if shared is None else torch.zeros_like(shared)
        self.optimiser.zero_grad(set_to_none=True)
        sums = torch.zeros(len(_LOSSES), dtype=torch.float64)
        broken: list[str] = []
        for part in batch.parts(config.accumulate):
            fusion, segmentation = self.phase.losses(self.model, part, self.step, truth)
            fusion = share * fusion
            known = (True, truth.total > 0)
            loss = combined(self.weighting, (fusion, segmentation), known=known, share=share)
            found = torch.stack([each.detach() for each in (loss, fusion, segmentation)]).double().cpu()
            if not found.isfinite().all():
                broken += part.names
            sums += found
            if shared is not None and of_fusion is not None:
                of_fusion += torch.autograd.grad(fusion, shared, retain_graph=True)[0]
            torch.autograd.backward(loss)
        summed = processes.sum(torch.cat([sums, torch.tensor(wishes, dtype=torch.float64)])).tolist()
        values = dict(zip(_LOSSES, summed, strict=False))
        if not all(math.isfinite(value) for value in values.values()):
            self._fail(values, broken)
        processes.sum_gradients(each for group in self.optimiser.param_groups for each in group["params"])
        if isinstance(self.weighting, GradientNorm) and shared is not None and of_fusion is not None:
            # the other loss's part is what remains of the sum: no second pass through the networks
            weighted, both = weights[0] * processes.sum(of_fusion), shared.grad
            assert both is not None  # backward has just filled it
            self.weighting.observe((float(weighted.norm()), float((both - weighted).norm())))
        if config.optimiser.clip_norm > 0:
            torch.nn.utils.clip_grad_norm_(self.model.parameters(), config.optimiser.clip_norm)
        self.optimiser.step()
        processes.mean_buffers(self.model)
        self.weighting.update((values["fusion"], values["segmentation"]))
        self.step += 1
        self._average()
        values |= {"lr_factor": factor, "fusion_weight": weights[0], "segmentation_weight": weights[1]}
        return values, [wish > 0 for wish in summed[len(_LOSSES) :]]

    def _fail(self, values: dict[str, float], broken: list[str]) -> None:
        names = [name for each in self.processes.gather(broken) for name in each]
        if not self.processes.is_main:
            raise ReportedElsewhereError("a loss is not finite")
        shown = ", ".join(f"{name} {value:g}" for name, value in values.items())
        raise TrainingError(f"step {self.step}: loss is not finite ({shown}); batch: {'; '.join(names)}")

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
        self._record({"step": self.step, "seconds": round(self.seconds, 3), "validation": scores})
        for name, values in scores.items():
            line = "  ".join(f"{key} {value:.4g}" for key, value in values.items())
            self._display.line(f"  validation {name}: {line}")
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
        generators = self.processes.gather(self._generators())
        if not self.processes.is_main:
            return
        state = {
            "step": self.step,
            "best": self.best,
            "seconds": self.seconds,
            "window": self._window,
            "model": self.model.state_dict(),
            "average": self.average.state_dict(),
            "optimiser": self.optimiser.state_dict(),
            "weighting": self.weighting.state(),
            "generators": generators,
        }
        self._folder.save_state(state)
        self.export(self.output / "last.safetensors")

    def _generators(self) -> list[Tensor]:
        """States of this process's random generators: the CPU's, and the CUDA device's if it trains there."""
        on_cuda = self.device.type == "cuda"
        return [torch.get_rng_state(), *([torch.cuda.get_rng_state(self.device)] if on_cuda else [])]

    def _restore(self, state: dict[str, Any]) -> None:
        self.step, self.best, self.seconds = state["step"], state["best"], state["seconds"]
        self._window = state["window"]
        self.model.load_state_dict(state["model"])
        self.average.load_state_dict(state["average"])
        self._enter(phase_at(self.phases, self.step))
        if self.step > self.phase.first:  # a phase that begins here begins afresh, as without the interruption
            self.optimiser.load_state_dict(state["optimiser"])
            lay_out_like_parameters(self.optimiser)
            self.weighting.restore(state["weighting"])
        generators = state["generators"][self.processes.rank :][:1]
        for found in generators:  # none where there were fewer processes before
            torch.set_rng_state(found[0])
            if self.device.type == "cuda" and len(found) > 1:
                torch.cuda.set_rng_state(found[1], self.device)
        if self.processes.is_main:
            print(f"{self.output}: going on at step {self.step} of {self.config.steps}")

    def _record(self, record: dict[str, Any]) -> None:
        self._folder.log(record)
        if self._writer is not None:
            write_scalars(self._writer, record)

    def _log_step(self, values: dict[str, float]) -> None:
        """Log the means since the last line."""
        window, config = self._window, self.config
        self._window = dict.fromkeys(window, 0.0)
        if not self.processes.is_main:
            return
        means = {name: window[name] / window["steps"] for name in _LOSSES}
        seconds = max(window["seconds"], 1e-9)
        samples_per_s = window["steps"] * config.batch_size / seconds
        left_s = (config.steps - self.step) * seconds / window["steps"]
        times = {"samples_per_s": round(samples_per_s, 3), "seconds": round(self.seconds, 3)}
        self._record({"step": self.step, "phase": self.phase.name, **values, **means, **times})
        hours, minutes = divmod(round(left_s / 60), 60)
        self._display.line(
            f"step {self.step}/{config.steps}  loss {means['loss']:.4f}"
            f" = {values['fusion_weight']:.2f} x fusion {means['fusion']:.4f}"
            f" + {values['segmentation_weight']:.2f} x segmentation {means['segmentation']:.4f}"
            f"  lr x {values['lr_factor']:.3f}  {samples_per_s:.1f} samples/s  {hours}:{minutes:02d} h left"
        )


def run_training(
    config: TrainingConfig,
    *,
    data_root: Path,
    output: Path,
    scene_cache: Path | None = None,
    processes: Processes = ALONE,
) -> Path:
    """Train (or go on training) and return the file with the averaged weights of the last step."""
    trainer = Trainer(config, data_root=data_root, output=output, scene_cache=scene_cache, processes=processes)
    trainer.run()
    return output / "last.safetensors"


def compile_networks(model: SegMiF, backend: str = "inductor") -> None:
    """Compile encoder, head and fusion network in place; keys of the state dict stay."""
    network = model.segmentation.denoise_net
    for each in (network.encoder, network.decoder, model.fusion):
        each.compile(backend=backend)
