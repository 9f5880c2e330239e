# SPDX-License-Identifier: Apache-2.0
"""`segmif models`: what weights there are, what each is, what it costs and under which terms."""

from __future__ import annotations

import argparse
import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

import torch
from rich import box
from rich.console import Console
from rich.table import Table

from segmif_ros.inference.backends import BackendOptions, lacking
from segmif_ros.inference.engine import AUTHORS_PRIOR
from segmif_ros.inference.folder_network import FolderNetwork
from segmif_ros.inference.models_options import add_arguments as add_arguments
from segmif_ros.inference.networks import installed_first
from segmif_ros.inference.operations import count_parameters, count_work
from segmif_ros.inference.weights import (
    NOTE,
    WeightsError,
    model_folder,
    packaged_weights,
    parse_weights,
    resolve_weights,
    weights_hash,
)
from segmif_ros.labels import LabelSet, LabelSetError, label_set_of
from segmif_ros.model import SegMiFConfig, load_checkpoint
from segmif_ros.paths import user_path

HEIGHT, WIDTH = 480, 640
CARDS = "docs/model_cards"
_SOURCES = Path(__file__).resolve().parent.parent.parent
_SHARE = {1: "full", 2: "half", 4: "quarter"}

OWN_FILES = """\
Wherever weights are asked for (the parameter `weights`, --weights), give
  a name              segmif-s
  a file of your own  runs/mine/last.safetensors, as `segmif train` writes it
  the authors' files  fusion.pth,segmentation.pth: both, with a comma between, in either order, as they were published
  a model folder      runs/other: any other network, described in model.yaml; see docs/own_network.md
`segmif models FILE [FILE]` describes such files in the same way."""


@dataclass(frozen=True, kw_only=True)
class ModelFacts:
    """What one set of weights is.

    Attributes:
        name: The packaged name, else what the file calls itself, else the files' names.
        packaged: Comes with this package.
        files: Paths.
        sha256: First 12 hex digits, as nodes and reports give it.
        file_bytes: Size of the files together.
        parameters: Of both networks; None for a model folder, as is the next.
        gflop: 1e9 operations of a 640x480 frame; a multiply-add counts two.
        label_set: Name of the classes' set.
        classes: Their names, by id.
        prior: Method of the prior image that it was trained with; "none" where it takes none.
        licence: The file's own note about terms; empty if it has none.
        description: One line: the file's own, or its sizes.
        model_card: Where the card is; empty where there is none.
        trial_run: Of a model folder: which backend ran its file, or why none did; empty for other weights.
        metadata: All strings of the file.
    """

    name: str
    packaged: bool
    files: tuple[str, ...]
    sha256: str
    file_bytes: int
    parameters: int | None
    gflop: float | None
    label_set: str
    classes: tuple[str, ...]
    prior: str
    licence: str
    description: str
    model_card: str
    metadata: dict[str, str]
    trial_run: str = ""


def describe(weights: Sequence[str]) -> ModelFacts:
    """Load weights and describe them.

    Args:
        weights: A packaged name, one file, the authors' two files, or a model folder.

    Returns:
        What they are.

    Raises:
        WeightsError: If they aren't there, or name a label set that doesn't fit them; if a model folder's file isn't
            what model.yaml states.
        CheckpointError: If they are no weights of this network.
        WeightsError: If the file names a label set that doesn't exist, or one of another number of classes.
    """
    paths = resolve_weights(weights)
    if (folder := model_folder(paths)) is not None:
        return _describe_folder(folder)
    model = load_checkpoint(paths)
    names = {path: name for name, path in packaged_weights().items()}
    packaged = names.get(paths[0])
    metadata = model.metadata
    classes = _classes(metadata, model.config.num_classes, paths[0])
    return ModelFacts(
        name=packaged or metadata.get("name") or "+".join(path.stem for path in paths),
        packaged=packaged is not None,
        files=tuple(str(path) for path in paths),
        sha256=weights_hash(paths),
        file_bytes=sum(path.stat().st_size for path in paths),
        parameters=count_parameters(model),
        gflop=1e-9 * count_work(model.requires_grad_(False), HEIGHT, WIDTH).operations,
        label_set=classes.name,
        classes=classes.names,
        prior=metadata.get("prior", AUTHORS_PRIOR),
        licence=metadata.get("licence_note", ""),
        description=metadata.get("description") or _sizes(model.config),
        model_card=_card(packaged) if packaged else "",
        metadata=dict(metadata),
    )


def _describe_folder(folder: Path) -> ModelFacts:
    network = FolderNetwork(folder)
    spec = network.spec
    files = (spec.path, spec.file)
    notes = {"data": spec.data, "fused": spec.fused_rule or "by the network", "backends": ", ".join(spec.backends)}
    return ModelFacts(
        name=spec.name,
        packaged=False,
        files=tuple(str(path) for path in files),
        sha256=weights_hash([folder]),
        file_bytes=sum(path.stat().st_size for path in files),
        parameters=None,
        gflop=None,
        label_set=spec.labels.name,
        classes=spec.labels.names,
        prior=spec.prior or "none",
        licence=spec.licence,
        description=spec.description or f"a model folder, {spec.file.name}",
        model_card="",
        metadata={name: value for name, value in notes.items() if value},
        trial_run=_trial_run(network),
    )


def _trial_run(network: FolderNetwork) -> str:
    backend = installed_first(network.backends)
    if line := lacking(backend, file=True):
        return f"not done: {line}"
    network.create(backend, BackendOptions(device=torch.device("cpu")))
    return f"passed, by {backend}"


def asked_models(given: Sequence[str]) -> list[tuple[str, ...]]:
    """Sort a command line's words into models: every name is one, and files belong together.

    Nothing given means all packaged ones.

    Returns:
        The weights of each model.
    """
    packaged = packaged_weights()
    words = [part for each in given for part in parse_weights(each)]
    models: list[tuple[str, ...]] = [(word,) for word in (words if given else packaged) if word in packaged]
    models += [(word,) for word in words if word not in packaged and user_path(word).is_dir()]
    files = tuple(word for word in words if word not in packaged and (word,) not in models)
    return [*models, files] if files else models


def models_table(facts: Sequence[ModelFacts]) -> Table:
    """Return what can be compared at a glance."""
    table = Table(box=box.SIMPLE_HEAD)
    table.add_column("name")
    for title in ("MB", "parameters", "GFLOP at 640x480", "classes"):
        table.add_column(title, justify="right")
    table.add_column("label set")
    table.add_column("prior")
    for each in facts:
        parameters = "-" if each.parameters is None else f"{1e-6 * each.parameters:.2f} M"
        numbers = (f"{1e-6 * each.file_bytes:.1f}", parameters, "-" if each.gflop is None else f"{each.gflop:.1f}")
        table.add_row(each.name, *numbers, str(len(each.classes)), each.label_set, each.prior)
    return table


def details(facts: ModelFacts) -> list[str]:
    """Return what needs words, one line each."""
    lines = [f"{facts.name}: {facts.description}"]
    lines.append(f"  licence     {facts.licence or 'not stated in the file; ask where it comes from'}")
    if facts.metadata.get(NOTE):
        lines.append(f"  good for    {facts.metadata[NOTE]}")
    if facts.metadata.get("data"):
        lines.append(f"  trained on  {facts.metadata['data']}")
    lines.append(f"  classes     {', '.join(facts.classes)}")
    lines.append(f"  model card  {facts.model_card or 'none'}")
    lines += [f"  file        {file}" for file in facts.files]
    lines += [f"  trial run   {facts.trial_run}"] if facts.trial_run else []
    lines.append(f"  sha256      {facts.sha256}")
    return lines


def run(arguments: argparse.Namespace) -> int:
    """Describe weights; return 0. What can't be used is an error of one line, and nothing else is printed."""
    facts = [describe(weights) for weights in asked_models(arguments.weights)]
    if arguments.json:
        print(json.dumps([asdict(each) for each in facts], indent=1))
        return 0
    console = Console()
    if not facts:
        console.print("No weights come with this installation.")
    else:
        console.print(models_table(facts))
    for each in facts:
        print("\n".join(details(each)), end="\n\n")
    if not arguments.weights:
        print(OWN_FILES)
    return 0


def _classes(metadata: Mapping[str, str], count: int, path: Path) -> LabelSet:
    try:
        return label_set_of(metadata, count)
    except LabelSetError as error:
        raise WeightsError(f"{path}: {error}") from None


def _sizes(config: SegMiFConfig) -> str:
    encoder = config.encoder.replace("mit_b", "MiT-B")
    resolution = _SHARE.get(config.fusion_scale, f"1/{config.fusion_scale}")
    return (
        f"SegMiF with encoder {encoder}, fusion network of {config.fusion_channels} channels at {resolution} "
        f"resolution, head of {config.decoder_channels}"
    )


def _card(name: str) -> str:
    path = _SOURCES / CARDS / f"{name}.md"
    return str(path) if path.is_file() else f"{CARDS}/{name}.md in the sources"
