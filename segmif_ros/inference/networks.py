# SPDX-License-Identifier: Apache-2.0
"""What weights turn out to be: SegMiF's own network, or any other in a model folder. The engine runs either."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Protocol, cast

from segmif_ros.imaging.prior import PriorMethod
from segmif_ros.inference.backends import BACKENDS, Backend, BackendOptions, create_backend, lacking
from segmif_ros.inference.config import PRIOR_METHODS
from segmif_ros.inference.errors import EngineError
from segmif_ros.inference.frame import FrameNetwork
from segmif_ros.inference.weights import model_folder, resolve_weights, weights_hash
from segmif_ros.labels import LabelSet, label_set, label_set_of
from segmif_ros.model import Mode, load_checkpoint

# What the authors' checkpoints were trained with; our own checkpoints say it in their metadata.
AUTHORS_PRIOR = "vsm_wls"
MIN_SIDE = 29  # the encoder's first stage must keep 8 rows for its 8x8 reduction


class EngineNetwork(Protocol):
    """What the engine needs of a network.

    Attributes:
        name: For example "segmif-s".
        sha256: First 12 hex digits over its files.
        label_set: Its classes.
        prior: How its prior image is made; None where it takes none.
        minimum_side: Of a pair.
        backends: Those that can run it, the one of "auto" first.
    """

    name: str
    sha256: str
    label_set: LabelSet
    prior: PriorMethod | None
    minimum_side: int
    backends: tuple[str, ...]

    def create(self, backend: str, options: BackendOptions) -> Backend:
        """Make what runs the network.

        Args:
            backend: A name of `BACKENDS`.
            options: Device, precision, prior.

        Returns:
            What runs it.

        Raises:
            EngineError: If that can't be.
        """


class SegmifNetwork:
    """SegMiF from a checkpoint, behind `EngineNetwork`.

    Args:
        paths: The file, or the authors' two.
        mode: See `SegMiF.forward`.
        prior: "auto" (as trained) or a method.
        labels: "auto" (the checkpoint's own, or by class count), a name or a .yaml file.
        expected_classes: Refuse another number of classes; 0 takes any.

    Attributes:
        frame: The network between bytes, as backends run it.

    Raises:
        CheckpointError: The files don't fit.
        EngineError: The prior is unknown, or the label set has another number of classes.
    """

    backends = tuple(BACKENDS)
    minimum_side = MIN_SIDE

    def __init__(self, paths: tuple[Path, ...], *, mode: Mode, prior: str, labels: str, expected_classes: int) -> None:
        # refused in the loader when the count differs, so that the message can name the file
        model = load_checkpoint(paths, expected_classes=expected_classes or None)
        self.frame = FrameNetwork(model.eval().requires_grad_(False), mode)
        method = model.metadata.get("prior", AUTHORS_PRIOR) if prior == "auto" else prior
        require("prior", method, PRIOR_METHODS)  # a checkpoint's own can be anything
        self.prior: PriorMethod | None = cast(PriorMethod, method)
        classes = model.config.num_classes
        self.label_set = chosen_labels(labels, classes, lambda: label_set_of(model.metadata, classes))
        self.name = model.metadata.get("name", "+".join(path.stem for path in paths))
        self.sha256 = weights_hash(paths)

    def create(self, backend: str, options: BackendOptions) -> Backend:
        """See `EngineNetwork`."""
        self.frame.to(options.device)
        return create_backend(backend, self.frame, options)


def open_network(
    weights: tuple[str, ...], *, mode: Mode = "robot", prior: str = "auto", labels: str = "auto",
    expected_classes: int = 0,
) -> EngineNetwork:  # fmt: skip
    """Load what ``weights`` name.

    Args:
        weights: As `resolve_weights` takes them.
        mode: See `SegMiF.forward`; only SegMiF has one.
        prior: "auto" or a method.
        labels: "auto", a name or a .yaml file.
        expected_classes: Refuse another number of classes; 0 takes any.

    Raises:
        WeightsError: They aren't there, or the model folder's description is wrong.
        CheckpointError: They don't fit.
        EngineError: An option doesn't fit them.
    """
    paths = resolve_weights(weights)
    if (folder := model_folder(paths)) is None:
        return SegmifNetwork(paths, mode=mode, prior=prior, labels=labels, expected_classes=expected_classes)
    from segmif_ros.inference.folder_network import FolderNetwork

    if mode != "robot":
        raise EngineError(f"mode '{mode}' is of SegMiF's own network, and {folder} is a model folder: use 'robot'")
    return FolderNetwork(folder, prior=prior, labels=labels, expected_classes=expected_classes)


def runnable_backends(weights: tuple[str, ...]) -> tuple[str, ...]:
    """Return the backends that run these weights, installed or not, without loading them.

    Raises:
        WeightsError: The weights aren't there, or the model folder's description is wrong.
    """
    folder = model_folder(resolve_weights(weights))
    if folder is None:
        return SegmifNetwork.backends
    from segmif_ros.inference.model_folder import read_model_folder

    return read_model_folder(folder).backends


def default_backend(weights: tuple[str, ...]) -> str:
    """Return the backend that "auto" stands for with these weights; raises as `runnable_backends` does."""
    return installed_first(runnable_backends(weights))


def installed_first(backends: tuple[str, ...]) -> str:
    """Return the first of the backends that is installed; the first of all where none is."""
    there = (name for name in backends if not lacking(name, BACKENDS[name].devices[0], file=True))
    return next(there, backends[0])


def chosen_labels(asked: str, classes: int, own: Callable[[], LabelSet]) -> LabelSet:
    """Return the label set that was asked for.

    Args:
        asked: A name or a file; "auto" for the network's own.
        classes: How many the network has.
        own: Returns the network's own label set.

    Raises:
        EngineError: It has another number of classes than the network.
        LabelSetError: There is no such set.
    """
    chosen = own() if asked == "auto" else label_set(asked)
    if len(chosen) != classes:
        raise EngineError(f"label set '{chosen.name}' has {len(chosen)} classes, the weights have {classes}")
    return chosen


def require(what: str, value: str, choices: tuple[str, ...]) -> None:
    """Refuse a value that is none of the choices.

    Args:
        what: Names the option in messages.
        value: Its value.
        choices: What it may be.

    Raises:
        EngineError: If it is another one; lists them.
    """
    if value not in choices:
        raise EngineError(f"{what} '{value}' is unknown: use one of {', '.join(choices)}")
