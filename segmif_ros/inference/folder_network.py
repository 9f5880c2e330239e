# SPDX-License-Identifier: Apache-2.0
"""The network of a model folder: its file checked against model.yaml, and bytes to tensors and back around it."""

from __future__ import annotations

import logging
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import cast

import cv2
import numpy as np
import torch

from segmif_ros.arrays import Array, Image
from segmif_ros.imaging.fusion_rules import FUSION_RULES, with_fused_luma
from segmif_ros.imaging.prior import PriorMethod, prior_image
from segmif_ros.inference.backends import Backend, BackendOptions, Session, open_session
from segmif_ros.inference.backends.base import FrameArrays, TensorFacts
from segmif_ros.inference.config import PRIOR_METHODS
from segmif_ros.inference.errors import EngineError
from segmif_ros.inference.frame import labels_and_confidence
from segmif_ros.inference.model_folder import InputSpec, ModelFolderError, ModelSpec, OutputSpec, read_model_folder
from segmif_ros.inference.networks import chosen_labels, require
from segmif_ros.inference.resizing import Size, enlarged_fused, resized, resized_ids
from segmif_ros.inference.weights import weights_hash

_LOGGER = logging.getLogger(__name__)
_COLOURS = ("red", "green", "blue")
_TRIAL = (96, 128)  # rows and columns of the trial run, where any size goes


class FolderNetwork:
    """A model folder behind `segmif_ros.inference.networks.EngineNetwork`.

    Args:
        folder: Holds model.yaml and the network's file.
        prior: "auto" (as in model.yaml) or a method.
        labels: "auto" (as in model.yaml), a name or a .yaml file.
        expected_classes: Refuse another number of classes; 0 takes any.

    Raises:
        ModelFolderError: model.yaml is wrong.
        EngineError: An option doesn't fit it.
    """

    minimum_side = 1

    def __init__(self, folder: Path, *, prior: str = "auto", labels: str = "auto", expected_classes: int = 0) -> None:
        self.spec = read_model_folder(folder)
        if expected_classes and len(self.spec.labels) != expected_classes:
            raise EngineError(
                f"{self.spec.path}: label_set has {len(self.spec.labels)} classes, but {expected_classes} were asked "
                "for: choose other weights"
            )
        self.prior: PriorMethod | None = self.spec.prior
        if self.prior is not None and prior != "auto":
            require("prior", prior, PRIOR_METHODS)
            self.prior = cast(PriorMethod, prior)
        self.label_set = chosen_labels(labels, len(self.spec.labels), lambda: self.spec.labels)
        self.name = self.spec.name
        self.sha256 = weights_hash([folder])
        self.backends = self.spec.backends

    def create(self, backend: str, options: BackendOptions) -> Backend:
        """See `EngineNetwork`: load the file, compare it with model.yaml, and run it once.

        Raises:
            ModelFolderError: The file isn't what model.yaml states, or returns nonsense.
            EngineError: The backend can't run such a file, or isn't installed.
        """
        spec = self.spec
        if backend not in spec.backends:
            raise EngineError(
                f"backend '{backend}' doesn't run {spec.file.suffix} files: use {' or '.join(spec.backends)} (or auto)"
            )
        if options.precision == "int8":
            raise EngineError("precision 'int8' is made for SegMiF's own network: use 'float32' for a model folder")
        if backend == "torch" and options.precision != "float32":
            raise EngineError(
                f"a TorchScript file runs as it was written: use precision 'float32', not '{options.precision}'"
            )
        try:
            session = open_session(backend, spec.file, options)
        except EngineError as error:
            if str(error).startswith("backend "):
                raise
            raise ModelFolderError(f"{spec.file}: {error}") from error
        compare(spec, session)
        made = FolderBackend(spec, session, self.prior)
        made.try_out()
        return made


class FolderBackend:
    """Runs the network of a model folder; `Backend` and `PairBackend`.

    Args:
        spec: What it is.
        session: Its file, loaded.
        prior: How the prior image is made; None where it takes none.
    """

    def __init__(self, spec: ModelSpec, session: Session, prior: PriorMethod | None) -> None:
        self._spec = spec
        self._session = session
        self._prior = prior
        self._tables = {each.name: _tables(each) for each in spec.inputs}
        self._outputs = [each.name for each in spec.outputs.values()]
        if "labels" in spec.outputs and "confidence" not in spec.outputs:
            _LOGGER.warning("%s gives class ids alone: its confidence is 255 everywhere", spec.name)

    def try_out(self) -> None:
        """Run once on a grey pair.

        Raises:
            ModelFolderError: It can't run, or returns something else than model.yaml states.
        """
        grey = np.full(self._spec.size.padded(*_TRIAL), 128, np.uint8)
        try:
            self.run(grey, np.repeat(grey[..., None], 3, axis=2), grey)
        except EngineError as error:
            raise ModelFolderError(f"{self._spec.path}: the trial run failed: {error}") from error

    def run_pair(self, infrared: Image, rgb: Image) -> FrameArrays:
        """See `PairBackend`."""
        prior = infrared if self._prior is None else prior_image(infrared, rgb, method=self._prior)
        return self.run(infrared, rgb, prior)

    def run(self, infrared: Image, rgb: Image, prior: Image) -> FrameArrays:
        """See `Backend`; of a pair smaller or larger than the network's only size, results come back in the pair's.

        Raises:
            EngineError: The network refuses, or its results aren't what model.yaml states.
        """
        size = self._spec.size.padded(*infrared.shape)
        seen_infrared, seen_rgb, seen_prior = (self._fitted(image, size) for image in (infrared, rgb, prior))
        planes = _Planes(seen_infrared, seen_rgb, seen_prior)
        tensors = {each.name: self._tensor(each, planes) for each in self._spec.inputs}
        outputs = self._session.run(tensors, self._outputs)
        labels, confidence = self._classes(outputs, size, infrared.shape)
        return self._fused(outputs, seen_infrared, seen_rgb, rgb), labels, confidence

    def _fitted(self, image: Image, size: Size) -> Image:
        """An image at the network's size: resized to its only one, else padded by its border."""
        if self._spec.size.fixed:
            return resized(image, size)
        below, right = size[0] - image.shape[0], size[1] - image.shape[1]
        if not below and not right:
            return image
        return np.asarray(cv2.copyMakeBorder(image, 0, below, 0, right, cv2.BORDER_REPLICATE), np.uint8)

    def _tensor(self, spec: InputSpec, planes: _Planes) -> Array:
        tables = self._tables[spec.name]
        if tables is None:
            ready = planes.as_they_are(spec.channels, spec.layout)
            if ready is not None:
                return ready
            stacked: Array = np.stack([planes[name] for name in spec.channels])
        else:
            height, width = planes.size
            stacked = np.empty((len(spec.channels), height, width), np.float32)
            for target, name, table in zip(stacked, spec.channels, tables, strict=True):
                cv2.LUT(planes[name], table, dst=target)
            if spec.type == "float16":
                stacked = stacked.astype(np.float16)
        return _to_layout(stacked, spec.layout)

    def _classes(self, outputs: Mapping[str, Array], size: Size, pair_size: Size) -> tuple[Image, Image]:
        """Ids and confidences of the pair's size."""
        spec, classes = self._spec, len(self._spec.labels)
        if "logits" in spec.outputs:
            own = spec.outputs["logits"]
            logits = _from_layout(outputs[own.name], own, "logits", self._spec)
            if len(logits) != classes:
                raise EngineError(
                    f"outputs.logits '{own.name}' has {len(logits)} classes, label_set '{spec.labels.name}' {classes}"
                )
            scores = torch.from_numpy(np.ascontiguousarray(logits, np.float32))[None]
            if not torch.isfinite(scores).all():
                raise EngineError(f"outputs.logits '{own.name}' holds values that are not finite")
            full = pair_size if spec.size.fixed else size
            labels, confidence = (each.numpy() for each in labels_and_confidence(scores, *full))
            return self._cropped(labels, pair_size), self._cropped(confidence, pair_size)
        own = spec.outputs["labels"]
        ids = _from_layout(outputs[own.name], own, "labels", self._spec)[0]
        if not np.issubdtype(ids.dtype, np.integer):
            raise EngineError(f"outputs.labels '{own.name}' is {ids.dtype}: whole numbers are needed")
        if ids.size and not 0 <= int(ids.min()) <= int(ids.max()) < classes:
            found = int(ids.max() if ids.max() >= classes else ids.min())
            raise EngineError(
                f"outputs.labels '{own.name}' holds id {found}, label_set '{spec.labels.name}' has {classes} classes"
            )
        confidence = np.full(ids.shape, 255, np.uint8)
        if "confidence" in spec.outputs:
            confidence = _bytes_of(outputs, spec, "confidence")[0]
        full = pair_size if spec.size.fixed else size
        both = resized_ids(np.ascontiguousarray(ids, np.uint8), full), resized(np.ascontiguousarray(confidence), full)
        return self._cropped(both[0], pair_size), self._cropped(both[1], pair_size)

    def _fused(self, outputs: Mapping[str, Array], seen_infrared: Image, seen_rgb: Image, rgb: Image) -> Image:
        spec = self._spec
        if spec.fused_rule == "rgb":
            return rgb.copy()
        if spec.fused_rule:
            rule = FUSION_RULES[spec.fused_rule]
            fused = with_fused_luma(seen_rgb, lambda luma: rule(seen_infrared, luma))
        else:
            planes = _bytes_of(outputs, spec, "fused")
            if len(planes) not in (1, 3):
                name = spec.outputs["fused"].name
                raise EngineError(f"outputs.fused '{name}' has {len(planes)} channels: 1 (luma) or 3 (RGB) are needed")
            image = resized(np.asarray(cv2.merge(list(planes)), np.uint8), seen_infrared.shape)
            fused = image if image.ndim == 3 and image.shape[2] == 3 else with_fused_luma(
                seen_rgb, lambda _luma: image.reshape(seen_infrared.shape)
            )  # fmt: skip
        return enlarged_fused(fused, seen_rgb, rgb) if spec.size.fixed else self._cropped(fused, rgb.shape[:2])

    def _cropped(self, image: Image, size: Size) -> Image:
        return np.ascontiguousarray(image[: size[0], : size[1]])


def compare(spec: ModelSpec, session: Session) -> None:
    """Hold the file's own tensors against model.yaml.

    Args:
        spec: What model.yaml states.
        session: The file, opened.

    Raises:
        ModelFolderError: A name, shape or type differs; the line has the entry and both sides.
    """
    theirs = {each.name: each for each in session.inputs}
    ours = {each.name: f"inputs[{index}]" for index, each in enumerate(spec.inputs)}
    for own in spec.inputs:
        where = f"{spec.path}: {ours[own.name]}"
        if own.name not in theirs:
            raise ModelFolderError(f"{where}.name is '{own.name}': {spec.file.name} takes {_listed(session.inputs)}")
        _compare_input(where, own, theirs[own.name], spec)
    if extra := [each for each in session.inputs if each.name not in ours]:
        raise ModelFolderError(
            f"{spec.path}: inputs lacks '{extra[0].name}': {spec.file.name} takes {_listed(session.inputs)}"
        )
    if not session.outputs:
        return  # only a run will show
    given = {each.name: each for each in session.outputs}
    for kind, output in spec.outputs.items():
        where = f"{spec.path}: outputs.{kind}"
        if output.name not in given:
            raise ModelFolderError(
                f"{where}.name is '{output.name}': {spec.file.name} gives {_listed(session.outputs)}"
            )
        _compare_layout(where, output.layout, given[output.name])


def _compare_input(where: str, own: InputSpec, theirs: TensorFacts, spec: ModelSpec) -> None:
    _compare_layout(where, own.layout, theirs)
    if theirs.type and theirs.type != own.type:
        raise ModelFolderError(f"{where}.type is {own.type}: {spec.file.name} takes {theirs.type}")
    if theirs.shape is None:
        return
    sides = dict(zip(own.layout, theirs.shape, strict=True))
    if sides.get("c") not in (None, len(own.channels)):
        raise ModelFolderError(f"{where}.channels has {len(own.channels)}: {spec.file.name} takes {sides['c']}")
    size = spec.size
    for axis, name, wanted in (("h", "height", size.height), ("w", "width", size.width)):
        side = sides[axis]
        if side is not None and side != wanted:
            both = f"size: {{width: {sides['w']}, height: {sides['h']}}}"
            problem = f"size.{name} is {wanted}" if wanted else f"size.{name} is missing"
            raise ModelFolderError(
                f"{spec.path}: {problem}: '{own.name}' of {spec.file.name} takes {side} alone: give {both}"
            )


def _compare_layout(where: str, layout: str, theirs: TensorFacts) -> None:
    if theirs.shape is None:
        return
    if len(theirs.shape) != len(layout):
        raise ModelFolderError(f"{where}.layout is {layout}: '{theirs.name}' has the shape{_shape(theirs)}")
    if dict(zip(layout, theirs.shape, strict=True)).get("n") not in (None, 1):
        raise ModelFolderError(f"{where}: '{theirs.name}' has the shape{_shape(theirs)}: one image at a time is needed")


def _listed(tensors: tuple[TensorFacts, ...]) -> str:
    return ", ".join(f"'{each.name}'{_shape(each)} {each.type}".strip() for each in tensors) or "nothing"


def _shape(tensor: TensorFacts) -> str:
    return (
        "" if tensor.shape is None else f" ({', '.join('?' if side is None else str(side) for side in tensor.shape)})"
    )


def _tables(spec: InputSpec) -> list[Array] | None:
    """By channel: what each byte becomes, (256,) float32; None where bytes go in as they are."""
    if spec.type == "uint8":
        return None
    values = spec.low + np.arange(256) * (spec.high - spec.low) / 255
    means, stds = spec.mean or (0.0,) * len(spec.channels), spec.std or (1.0,) * len(spec.channels)
    with np.errstate(over="ignore"):  # the trial run refuses what comes of it
        return [((values - mean) / std).astype(np.float32) for mean, std in zip(means, stds, strict=True)]


class _Planes:
    """The channels of a frame by name; those of RGB are taken apart when the first of them is asked for.

    Args:
        infrared: (H, W).
        rgb: (H, W, 3).
        prior: (H, W).
    """

    def __init__(self, infrared: Image, rgb: Image, prior: Image) -> None:
        self._rgb = rgb
        self._known: dict[str, Image] = {"infrared": infrared, "prior": prior}
        self.size: Size = (infrared.shape[0], infrared.shape[1])

    def __getitem__(self, name: str) -> Image:
        if name not in self._known:
            if name == "luma":
                self._known[name] = np.asarray(cv2.cvtColor(self._rgb, cv2.COLOR_RGB2GRAY), np.uint8)
            else:
                split = (np.asarray(each, np.uint8) for each in cv2.split(self._rgb))
                self._known |= dict(zip(_COLOURS, split, strict=True))
        return self._known[name]

    def as_they_are(self, channels: Sequence[str], layout: str) -> Image | None:
        """Return a tensor of bytes that lies in memory so already; None where channels must be moved."""
        if tuple(channels) == _COLOURS and layout in ("hwc", "nhwc"):
            image = self._rgb
        elif len(channels) == 1:
            image = self[channels[0]]
            if "c" in layout:
                image = image[..., None] if layout.endswith("c") else image[None]
        else:
            return None
        image = np.ascontiguousarray(image)
        return image[None] if "n" in layout else image


def _to_layout(planes: Array, layout: str) -> Array:
    """(C, H, W) to the layout's axes."""
    order = ["chw".index(axis) for axis in layout if axis in "chw"]
    if "c" not in layout:
        planes = planes[0]
        order = ["hw".index(axis) for axis in layout if axis in "hw"]
    placed = np.ascontiguousarray(planes.transpose(order))
    return placed[None] if "n" in layout else placed


def _from_layout(tensor: Array, own: OutputSpec, kind: str, spec: ModelSpec) -> Array:
    """A tensor of the layout's axes to (C, H, W)."""
    where = f"{spec.path}: outputs.{kind} '{own.name}' has the shape {tensor.shape}"
    if tensor.ndim != len(own.layout):
        raise EngineError(f"{where}: layout is {own.layout}")
    if "n" in own.layout:
        if len(tensor) != 1:
            raise EngineError(f"{where}: one image at a time is needed")
        tensor = tensor[0]
    axes = own.layout.replace("n", "")
    if "c" not in axes:
        return tensor[None]
    return tensor.transpose([axes.index(axis) for axis in "chw"])


def _bytes_of(outputs: Mapping[str, Array], spec: ModelSpec, kind: str) -> Image:
    """An output as bytes, (C, h, w)."""
    own = spec.outputs[kind]
    planes = _from_layout(outputs[own.name], own, kind, spec)
    if planes.dtype == np.uint8:
        return planes
    values = np.ascontiguousarray(planes, np.float32).reshape(-1, planes.shape[-1])
    if not cv2.checkRange(values)[0]:
        raise EngineError(f"outputs.{kind} '{own.name}' holds values that are not finite")
    scale, limited = 255 / (own.high - own.low), np.clip(values, own.low, own.high)
    # scaled, moved and rounded in one pass; the second image counts nothing
    found = cv2.addWeighted(limited, scale, limited, 0, -own.low * scale, dtype=cv2.CV_8U)
    return np.asarray(found, np.uint8).reshape(planes.shape)
