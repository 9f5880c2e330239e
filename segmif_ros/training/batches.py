# SPDX-License-Identifier: Apache-2.0
"""From a recipe's sources to batches of tensors."""

from __future__ import annotations

import os
import signal
import threading
from collections.abc import Generator, Iterator
from dataclasses import dataclass, fields, replace
from pathlib import Path
from typing import Any, Literal, TypedDict

import numpy as np
import torch
from torch import Tensor
from torch.utils.data import DataLoader, Dataset

from segmif_ros.arrays import Image
from segmif_ros.data.camvid import CamVid
from segmif_ros.data.image_files import DatasetError
from segmif_ros.data.label_mapping import LabelMapError, LabelMapping
from segmif_ros.data.mixture import LostCamera, Mixture, PairSource, PublishedSource, SceneSource, Source
from segmif_ros.data.published import open_dataset
from segmif_ros.data.rgb_labels import RgbLabels
from segmif_ros.data.transforms import Sample, blend_luma
from segmif_ros.data.whole_targets import WholeTargets, made_target, target_files, target_folder
from segmif_ros.evaluation.forward import to_plane
from segmif_ros.evaluation.segmentation_metrics import LabelRangeError
from segmif_ros.imaging.fusion_target import FusionTarget, fusion_target
from segmif_ros.imaging.prior import PriorMethod, prior_image
from segmif_ros.labels import FMB, IGNORE_ID, LabelSetError, label_set
from segmif_ros.training.config import RecipeError, SourceConfig

_SIGNALS = (signal.SIGINT, signal.SIGTERM)
_PARENT_CHECK_S = 1.0


class TensorSample(TypedDict):
    """One sample: planes (C, H, W) float32 in [0, 1], labels (H, W) int64, absent (H, W) uint8, and its name."""

    infrared: Tensor
    rgb: Tensor
    prior: Tensor
    target: Tensor
    labels: Tensor
    absent: Tensor
    names: str


_Tensors = Literal["infrared", "rgb", "prior", "target", "labels", "absent"]
_TENSORS: tuple[_Tensors, ...] = ("infrared", "rgb", "prior", "target", "labels", "absent")


@dataclass(frozen=True, kw_only=True)
class Batch:
    """B samples.

    Attributes:
        infrared, prior, target: (B, 1, H, W) float32 in [0, 1].
        rgb: (B, 3, H, W) float32 in [0, 1].
        labels: (B, H, W) int64, 255 where there is no truth.
        absent: (B, H, W) uint8, bits of what surely isn't where there is no label, see `segmif_ros.data.absence`.
        names: Where each sample comes from.
    """

    infrared: Tensor
    rgb: Tensor
    prior: Tensor
    target: Tensor
    labels: Tensor
    absent: Tensor
    names: tuple[str, ...]

    def to(self, device: torch.device, *, channels_last: bool = False) -> Batch:
        """Move the tensors; with ``channels_last`` images lie in memory pixel by pixel."""
        moved: dict[str, Any] = {name: value.to(device, non_blocking=True) for name, value in self._tensors().items()}
        if channels_last:
            moved = {
                name: value.contiguous(memory_format=torch.channels_last) if value.ndim == 4 else value
                for name, value in moved.items()
            }
        return replace(self, **moved)

    def pin_memory(self) -> Batch:
        """Move the tensors to page-locked memory, from which a GPU fetches them while the CPU continues."""
        pinned: dict[str, Any] = {name: value.pin_memory() for name, value in self._tensors().items()}
        return replace(self, **pinned)

    def parts(self, count: int) -> Iterator[Batch]:
        """Cut into ``count`` equal parts."""
        size = len(self.names) // count
        for begin in range(0, size * count, size):
            end = begin + size
            cut: dict[str, Any] = {name: value[begin:end] for name, value in self._tensors().items()}
            yield replace(self, names=self.names[begin:end], **cut)

    def _tensors(self) -> dict[str, Tensor]:
        return {each.name: getattr(self, each.name) for each in fields(self) if each.name != "names"}


class Samples(Dataset[TensorSample]):
    """The mixture as tensors, with the prior and, where the data ships none, the fusion target computed."""

    def __init__(self, mixture: Mixture, prior: PriorMethod, target: FusionTarget) -> None:
        self._mixture = mixture
        self._prior: PriorMethod = prior
        self._target: FusionTarget = target

    def __getitem__(self, number: int) -> TensorSample:
        return as_tensors(self._mixture[number], self._prior, self._target)


class SegmentationSamples(Dataset[TensorSample]):
    """The mixture for the segmentation network alone.

    With ``blend`` the luma of ``rgb`` is a stand-in for a fused one. Prior and target, which nothing looks
    at there, are a pixel of the infrared image. Of the labels every ``label_stride``-th row and column is kept,
    from a place drawn for each sample.
    """

    def __init__(self, mixture: Mixture, seed: int, *, blend: bool, label_stride: int = 1) -> None:
        self._mixture = mixture
        self._seed = seed
        self._blend = blend
        self._stride = label_stride

    def __getitem__(self, number: int) -> TensorSample:
        sample = self._mixture[number]
        rng = np.random.default_rng((self._seed, number, 1))
        rgb = blend_luma(sample, rng) if self._blend else sample.rgb
        pixel = sample.infrared[:1, :1]
        tensors = _tensors(sample, rgb=rgb, prior=pixel, target=pixel)
        if self._stride > 1:
            top, left = rng.integers(0, self._stride, 2)
            kept = (slice(top, None, self._stride), slice(left, None, self._stride))
            tensors["labels"] = tensors["labels"][kept].contiguous()
            tensors["absent"] = tensors["absent"][kept].contiguous()
        return tensors


def as_tensors(sample: Sample, prior: PriorMethod, target_method: FusionTarget = "vsm_wls") -> TensorSample:
    """One sample as planes (C, H, W) in [0, 1], labels int64 (H, W) and its name."""
    target = sample.target
    if target is None:
        target = fusion_target(sample.infrared, sample.rgb, target_method)
    same = prior == target_method == "vsm_wls"
    guide = target if same else prior_image(sample.infrared, sample.rgb, prior)
    return _tensors(sample, rgb=sample.rgb, prior=guide, target=target)


def _tensors(sample: Sample, *, rgb: Image, prior: Image, target: Image) -> TensorSample:
    unlabelled = sample.labels == IGNORE_ID
    absent = np.zeros_like(sample.labels) if sample.absent is None else np.where(unlabelled, sample.absent, 0)
    return {
        "infrared": to_plane(sample.infrared)[0],
        "rgb": to_plane(rgb)[0],
        "prior": to_plane(prior)[0],
        "target": to_plane(target)[0],
        "labels": torch.from_numpy(sample.labels.astype(np.int64)),
        "absent": torch.from_numpy(absent.astype(np.uint8)),
        "names": sample.name,
    }


def collate(samples: list[TensorSample]) -> Batch:
    """Stack what ``as_tensors`` gives."""
    names = tuple(sample["names"] for sample in samples)
    return Batch(**{name: torch.stack([sample[name] for sample in samples]) for name in _TENSORS}, names=names)


def open_source(
    config: SourceConfig, data_root: Path, cache: Path | None, *, held_out: bool, labels: str = "fmb"
) -> Source:
    """Open one source of a recipe.

    ``held_out`` picks the part of a pair folder that is kept apart, where one is; ``labels`` names the label set of the
    samples. Raises DatasetError or RecipeError for data that isn't there or doesn't fit.
    """
    root = data_root / config.path
    try:
        source = _open(config, root, cache, held_out, labels)
        if config.lost:
            source = LostCamera(source, config.lost)
        if config.targets:
            folder = target_folder(root, config.targets, config.split)
            return WholeTargets(source, target_files(folder), folder)
        return WholeTargets(source, made_target(config.whole_target)) if config.whole_target else source
    except (LabelMapError, LabelSetError) as error:
        raise RecipeError(f"source {config.kind} {config.path}: {error}") from None


def _open(config: SourceConfig, root: Path, cache: Path | None, held_out: bool, labels: str) -> Source:
    ours = label_set(labels)
    theirs = label_set(config.label_set) if config.label_set else ours
    if config.kind == "camvid":
        infrared = config.infrared or "invented"
        return CamVid(root, config.split, labels, label_map=config.label_map, infrared=infrared)
    if config.kind == "rgb_labels":
        mapping = LabelMapping(theirs, ours, config.label_map)
        return RgbLabels(root, config.split, mapping, infrared=config.infrared or "none")
    if config.kind == "pairs":
        if config.unlabelled and config.labelled_only:
            raise RecipeError(f"source pairs {config.path}: unlabelled and labelled_only leave nothing to take")
        used = None if config.unlabelled else LabelMapping(theirs, ours, config.label_map)
        return PairSource(
            root,
            hold_out_every=config.hold_out_every,
            held_out=held_out and config.hold_out_every > 0,
            mapping=used,
            labelled_only=config.labelled_only,
            names=config.names,
        )
    if config.kind != "scenes":
        return PublishedSource(open_dataset(config.kind, root, config.split), ours, config.label_map)
    if config.count < 1 or config.height < 32 or config.width < 32:
        raise RecipeError(f"scenes need count, height and width (have {config.count}, {config.height}x{config.width})")
    return SceneSource(
        first_seed=config.first_seed,
        count=config.count,
        height=config.height,
        width=config.width,
        cache=cache,
        mapping=None if ours is FMB else LabelMapping(FMB, ours, config.label_map),
    )


def batches(
    samples: Dataset[TensorSample], *, first: int, end: int, size: int, workers: int, pin: bool = False
) -> Generator[Batch, None, None]:
    """Batches number ``first`` to ``end`` - 1 of ``size`` samples each, prepared by ``workers`` processes (0: this).

    With ``pin`` they lie in page-locked memory, as a GPU wants them.

    Close it (`contextlib.closing`) where it isn't used up, and its processes end at once.

    Raises DatasetError or LabelRangeError for a sample that can't be used.
    """
    loader = DataLoader(
        samples,
        batch_size=size,
        sampler=range(first * size, end * size),
        num_workers=workers,
        pin_memory=pin,
        collate_fn=collate,
        worker_init_fn=_watch_signals,
        # or the loader would draw from the generator that dropout uses, and a resumed run would differ
        generator=torch.Generator(),
    )
    try:
        yield from _started(loader)
        return
    except (DatasetError, LabelRangeError) as error:
        if not workers:
            raise
        # the loader has put the whole traceback of its process into the message; its last line is "type: message"
        failure = type(error)(str(error).strip().splitlines()[-1].partition(": ")[2])
        error.with_traceback(None)  # whose frames hold the loader, and with it the processes, until a collection
    raise failure


def _started(loader: DataLoader[TensorSample]) -> Iterator[Batch]:
    """Start the loader's processes with `_SIGNALS` blocked, so that none comes before `_watch_signals`."""
    before = signal.pthread_sigmask(signal.SIG_BLOCK, _SIGNALS)
    try:
        return iter(loader)
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)


def _watch_signals(_worker: int) -> None:
    """In a process that prepares data: let nobody but the trainer end it.

    Ctrl-C in a terminal and many a service manager send their signal to the whole process group. It is for the trainer,
    which still wants its batch. A SIGTERM of the trainer itself is the way in which `multiprocessing` ends what still
    runs at the trainer's end: without it the trainer would wait for this process, and this process for the trainer.
    """
    trainer = os.getppid()

    def watch() -> None:
        while os.getppid() == trainer:
            came = signal.sigtimedwait(_SIGNALS, _PARENT_CHECK_S)
            if came is not None and came.si_signo == signal.SIGTERM and came.si_pid == trainer:
                break
        os._exit(0)

    threading.Thread(target=watch, name="signals", daemon=True).start()
