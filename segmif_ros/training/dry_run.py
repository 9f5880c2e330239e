# SPDX-License-Identifier: Apache-2.0
"""`segmif train RECIPE --dry-run`: check the data, try some steps, and say what a training would do and cost."""

from __future__ import annotations

import contextlib
import dataclasses
import io
import resource
import shutil
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import cast

import cv2
import numpy as np
import numpy.typing as npt
import torch
from torch.utils.data import Dataset

from segmif_ros.data.image_files import DatasetError
from segmif_ros.data.mixture import Source
from segmif_ros.labels import LabelSet, label_set
from segmif_ros.reporting.progress import progress_bar
from segmif_ros.training.batches import TensorSample, open_source
from segmif_ros.training.config import RecipeError, SourceConfig, TrainingConfig
from segmif_ros.training.data_check import SourceReport, check_source, duration, to_check
from segmif_ros.training.freezing import count_frozen
from segmif_ros.training.optimiser import ParameterGroup
from segmif_ros.training.run_data import named_sources, require_same_data
from segmif_ros.training.run_folder import resumed_step
from segmif_ros.training.stopping import TrainingStopped
from segmif_ros.training.trainer import Trainer, TrainingError

SHEET_FILE = "dry-run.png"
_SHEET_SAMPLES = 8
_TILE_WIDTH = 320
_WARM_STEPS, _TIMED_STEPS = 1, 2
_NEVER = 10**9
Say = Callable[[str], None]


def dry_run(
    config: TrainingConfig, *, data_root: Path, output: Path, scene_cache: Path | None = None, say: Say = print
) -> int:
    """Print the plan of a training and write a sheet of augmented samples; nothing that was there is changed.

    Args:
        config: The recipe.
        data_root: What the recipe's paths are relative to.
        output: The run's folder; `SHEET_FILE` is written there, and scenes are kept in it.
        scene_cache: Folder for rendered scenes, None for ``output/scenes``.
        say: Takes the lines.

    Returns:
        How many problems were found.

    Raises:
        RecipeError, CheckpointError, TrainingError: The training could not even start, or its loss is not finite.
        KeyboardInterrupt: SIGINT or SIGTERM came.
    """
    cache = scene_cache or output / "scenes"
    opened: list[Source] = []
    problems = _check_data(config, data_root, cache, say, opened)
    named = [] if problems else named_sources(config, opened[: len(config.sources)], opened[len(config.sources) :])
    refused = _check_output(config, output, named, say)
    if problems:
        say(f"{problems} problems in the data; no step was tried")
        return problems + refused
    # on the run's own disk: what a training writes is written here once, and thrown away
    output.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(prefix=".dry-run-", dir=output) as scratch:
        return refused + _try_steps(config, data_root, output, cache, Path(scratch), say)


def _check_data(config: TrainingConfig, data_root: Path, cache: Path, say: Say, opened: list[Source]) -> int:
    classes = label_set(config.label_set)
    total_weight = sum(each.weight for each in config.sources)
    problems = 0
    pixels = np.zeros(256, np.int64)
    for each, held_out in [*((s, False) for s in config.sources), *((s, True) for s in config.validation)]:
        title = " ".join(filter(None, ("validation" if held_out else "", each.kind, each.path, _split(each))))
        try:
            source = open_source(each, data_root, cache, held_out=held_out, labels=config.label_set)
        except (DatasetError, RecipeError) as error:
            report = SourceReport(title=title, count=0, problems=[str(error)])
        else:
            opened.append(source)
            with progress_bar(title, len(to_check(source))) as advance:
                report = check_source(title, source, advance)
        drawn = config.steps * config.batch_size * each.weight / total_weight
        epochs = None if held_out or not report.count else drawn / report.count
        for line in report.lines(classes, epochs):
            say(line)
        problems += len(report.problems)
        if not held_out:
            pixels += report.pixels
    never = [name for i, name in enumerate(classes.names) if not pixels[i] and i != classes.ignore_id]
    # of scenes only a few were made
    if never and not problems and not any(each.kind == "scenes" for each in config.sources):
        say(f"no pixel of these classes in what was read to train on: {', '.join(never)}")
    return problems


def _check_output(config: TrainingConfig, output: Path, named: Sequence[tuple[str, Source]], say: Say) -> int:
    """Say what a training would find in its folder; returns 1 if it would be refused."""
    try:
        step = resumed_step(output, config)
        if step is not None and named:
            require_same_data(output, named)
    except RecipeError as error:
        say(f"PROBLEM {error}")
        return 1
    say(f"{output}: a new run" if step is None else f"{output}: would go on at step {step} of {config.steps}")
    return 0


def _split(config: SourceConfig) -> str:
    return "" if config.kind in ("pairs", "scenes") else config.split


def _try_steps(config: TrainingConfig, data_root: Path, output: Path, cache: Path, scratch: Path, say: Say) -> int:
    tried = dataclasses.replace(config, validate_every=_NEVER, log_every=_NEVER, tensorboard=False)
    trainer = Trainer(tried, data_root=data_root, output=scratch, scene_cache=cache)
    say(f"{config.method}, {config.steps} steps of {config.batch_size} samples, on {trainer.device}")
    seconds = 0.0
    seen: dict[str, float] = {}
    for phase in trainer.phases:
        kind = phase.kind
        if kind not in seen:
            trainer.step = phase.first
            try:
                with contextlib.redirect_stdout(io.StringIO()):
                    seen[kind] = _step_seconds(trainer, phase.first, phase.end)
            except TrainingStopped:
                raise KeyboardInterrupt from None
            say(f"{kind}: {seen[kind]:.2f} s a step, {config.batch_size / seen[kind]:.1f} samples a second")
            for line in _group_lines(cast("list[ParameterGroup]", trainer.optimiser.param_groups)):
                say(f"  {line}")
            if len(seen) == 1:
                sheet = contact_sheet(trainer.samples, label_set(config.label_set))
                _write_sheet(output / SHEET_FILE, sheet)
        seconds += seen[kind] * (phase.end - phase.first)
    if config.freeze:
        say(f"frozen: {', '.join(config.freeze)}, {count_frozen(trainer.model, config.freeze):,} parameters")
    validations = _validation_count(config)
    if config.validation:
        started = time.monotonic()
        trainer.validation.run(trainer.average)
        once = time.monotonic() - started
        seconds += validations * once
        say(f"{validations} validations of {once:.0f} s")
    say(f"time: about {duration(seconds)}, without making scenes for the first time")
    say(f"memory: {_memory(trainer.device, config.data_workers)}")
    needed = sum(path.stat().st_size for path in scratch.iterdir() if path.suffix in (".pt", ".safetensors"))
    weights = (scratch / "last.safetensors").stat().st_size
    # best.safetensors beside the last ones, the state before the last, and while a file is replaced there are two of it
    needed += weights + 2 * (scratch / "state.pt").stat().st_size
    free = shutil.disk_usage(output).free
    say(f"disk: {needed / 1e6:.0f} MB for checkpoints ({weights / 1e6:.0f} MB the weights), {free / 1e9:.1f} GB free")
    say(f"augmented samples (infrared, RGB, labels, prior, target): {output / SHEET_FILE}")
    if needed > free:
        say(f"PROBLEM {output}: the disk is too full for the checkpoints")
        return 1
    return 0


def _step_seconds(trainer: Trainer, first: int, end: int) -> float:
    """Take some steps; seconds of one after the first, which is slower than the rest."""
    trainer.run(stop_at=min(first + _WARM_STEPS, end))
    warm, before = trainer.step, trainer.seconds
    last = min(warm + _TIMED_STEPS, end)
    if any(each.kind == "scenes" for each in trainer.config.sources):
        # made here, as in a long run most scenes have been made before
        for number in range(warm * trainer.config.batch_size, last * trainer.config.batch_size):
            _ = trainer.samples[number]
    trainer.run(stop_at=last)
    if trainer.step == warm:
        return trainer.seconds / max(1, trainer.step)
    return (trainer.seconds - before) / (trainer.step - warm)


def _group_lines(groups: Sequence[ParameterGroup]) -> Iterator[str]:
    for group in groups:
        count = sum(each.numel() for each in group["params"])
        yield f"{group['name']}: {count:,} parameters, rate {group['base_lr']:g}"


def _validation_count(config: TrainingConfig) -> int:
    last = config.steps % config.validate_every != 0
    return config.steps // config.validate_every + last


def _memory(device: torch.device, workers: int) -> str:
    # the second number of the file is the pages of this process that are in memory now, unlike its peak, which may be
    # from before these steps
    resident = int(Path("/proc/self/statm").read_text(encoding="ascii").split()[1]) * resource.getpagesize()
    used = f"{resident / 1e9:.1f} GB after these steps"
    if workers:
        # Linux counts in KiB; the children that have ended are the data workers
        peak = resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss * 1024
        used += f", and up to {peak / 1e9:.1f} GB in each of {workers} data workers, shared pages counted in each"
    if device.type == "cuda":
        total = torch.cuda.get_device_properties(device).total_memory
        used += f"; on {device} {torch.cuda.max_memory_reserved(device) / 1e9:.1f} of {total / 1e9:.1f} GB"
    return used


def contact_sheet(
    samples: Dataset[TensorSample], classes: LabelSet, count: int = _SHEET_SAMPLES
) -> npt.NDArray[np.uint8]:
    """uint8 (H, W, 3) RGB: a row for each of the first ``count`` samples: infrared, RGB, labels, prior, target."""
    rows = []
    for number in range(count):
        sample = samples[number]
        labels = sample["labels"].numpy().astype(np.uint8)
        drawn = classes.colourise(labels)
        drawn[labels == 255] = 255
        infrared, rgb, prior, target = (_tile(sample[name]) for name in ("infrared", "rgb", "prior", "target"))
        tiles = [infrared, rgb, drawn, prior, target]
        height = round(_TILE_WIDTH * labels.shape[0] / labels.shape[1])
        rows.append(
            np.hstack([cv2.resize(each, (_TILE_WIDTH, height), interpolation=cv2.INTER_NEAREST) for each in tiles])
        )
    return np.asarray(np.vstack(rows), np.uint8)


def _tile(plane: torch.Tensor) -> npt.NDArray[np.uint8]:
    image = np.rint(255 * plane.clamp(0, 1).numpy()).astype(np.uint8).transpose(1, 2, 0)
    return np.repeat(image, 3, axis=2) if image.shape[2] == 1 else image


def _write_sheet(path: Path, sheet: npt.NDArray[np.uint8]) -> None:
    if not cv2.imwrite(str(path), sheet[..., ::-1]):
        raise TrainingError(f"{path}: cannot be written")
