# SPDX-License-Identifier: Apache-2.0
"""From a weights name or paths to files on disk."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from pathlib import Path

import safetensors

from segmif_ros.paths import user_path

DEFAULT_WEIGHTS = "segmif-s"
FASTEST_WEIGHTS = "segmif-rt"  # of the packaged ones
PACKAGED_FOLDER = Path(__file__).resolve().parent.parent / "weights"
CHECKPOINT_SUFFIXES = (".safetensors", ".pth", ".pt")
# networks that only a model folder describes
NETWORK_SUFFIXES = (".onnx", ".xml", ".torchscript", ".pt2")
CURVE_SUFFIX = ".curve.json"
RUN_LOG = "log.jsonl"
# what makes a folder a model folder, see segmif_ros.inference.model_folder
MODEL_FILE = "model.yaml"
# of a file's metadata
NOTE = "good_for"
_NOT_THE_MODEL = (".md", ".txt")


class WeightsError(ValueError):
    """Weights that can't be found; the message states what was asked for and what there is."""


def packaged_weights() -> dict[str, Path]:
    """Return the weights that come with the package, by name."""
    return {path.stem: path for path in sorted(PACKAGED_FOLDER.glob("*.safetensors"))}


def parse_weights(text: str) -> tuple[str, ...]:
    """Split what one argument names: a name, a file, or the authors' two files with a comma between.

    Returns:
        The names and paths.

    Raises:
        WeightsError: If nothing is left, or there are more than two parts.
    """
    asked = tuple(each.strip() for each in text.split(",") if each.strip())
    if not 1 <= len(asked) <= 2:
        raise WeightsError(
            f"weights '{text}': {len(asked)} parts: give a name, a file, or the authors' two files with a comma between"
        )
    return asked


def curve_file(paths: Sequence[Path]) -> Path | None:
    """Find the learning curve of one weights file: NAME.curve.json beside it, or the log of the run it lies in.

    Args:
        paths: As `resolve_weights` returns them.

    Returns:
        The file, None where there is none (the authors' two files never have one).
    """
    if len(paths) != 1:
        return None
    beside = (paths[0].with_name(paths[0].stem + CURVE_SUFFIX), paths[0].with_name(RUN_LOG))
    return next((path for path in beside if path.is_file()), None)


def resolve_weights(weights: Sequence[str]) -> tuple[Path, ...]:
    """Find the files behind ``weights``.

    Args:
        weights: One packaged name ("segmif-s"), one path to a checkpoint of this project, the paths to the two
            files of the authors (fusion and segmentation network, in either order), or one path to a model folder.

    Returns:
        The files; of a model folder its path alone.

    Raises:
        WeightsError: If nothing, too much or something that doesn't exist was asked for.
    """
    asked = tuple(each.strip() for each in weights if each.strip())
    packaged = packaged_weights()
    if not 1 <= len(asked) <= 2:
        raise WeightsError(
            f"weights: {len(asked)} given: give one name ({_listed(packaged)}), one file, the authors' two files, or "
            "one model folder"
        )
    if len(asked) == 1 and asked[0] in packaged:
        return (packaged[asked[0]],)
    try:
        paths = tuple(user_path(each) for each in asked)
    except OSError as error:
        raise WeightsError(f"weights '{error.filename}': {error.strerror}") from None
    for each, path in zip(asked, paths, strict=True):
        if path.is_dir() and len(paths) == 1 and (path / MODEL_FILE).is_file():
            continue
        if path.is_file():
            if path.suffix in NETWORK_SUFFIXES:
                raise WeightsError(
                    f"weights '{each}': such a file alone doesn't say what goes in and comes out: describe it in "
                    f"{MODEL_FILE} beside it (docs/own_network.md), and give their folder"
                )
            continue
        if path.suffix not in CHECKPOINT_SUFFIXES and len(path.parts) == 1:
            raise WeightsError(f"weights '{each}': no such name; there is {_listed(packaged)} (or give a file's path)")
        what = f"is a folder without {MODEL_FILE}, so no model folder" if path.is_dir() else "no such file"
        if path.is_dir() and len(paths) > 1:
            what = "is a folder: a model folder is given alone"
        raise WeightsError(f"weights '{each}': {what}; give a checkpoint's path or a name ({_listed(packaged)})")
    return paths


def model_folder(paths: Sequence[Path]) -> Path | None:
    """Return the model folder among what `resolve_weights` returned; None for checkpoint files."""
    return paths[0] if len(paths) == 1 and paths[0].is_dir() else None


def resolve_checkpoint(weights: Sequence[str]) -> tuple[Path, ...]:
    """Find checkpoint files, where only SegMiF's own network will do.

    Args:
        weights: As `resolve_weights` takes them.

    Raises:
        WeightsError: As `resolve_weights`, or it is a model folder.
    """
    paths = resolve_weights(weights)
    if (folder := model_folder(paths)) is not None:
        raise WeightsError(f"weights '{folder}': is a model folder, and a checkpoint of SegMiF is needed here")
    return paths


def weights_hash(paths: Sequence[Path]) -> str:
    """Return the first 12 hex digits of the SHA-256 over the files' contents, in the order of their names.

    Of a model folder all files count but notes (.md, .txt).
    """
    digest = hashlib.sha256()
    if (folder := model_folder(paths)) is not None:
        paths = [each for each in folder.iterdir() if each.is_file() and each.suffix not in _NOT_THE_MODEL]
    for path in sorted(paths, key=lambda each: each.name):
        with path.open("rb") as stream:
            while block := stream.read(1 << 20):
                digest.update(block)
    return digest.hexdigest()[:12]


def weights_note(weights: str) -> str:
    """Return the note of a file of weights about what it is good for and what not: one line.

    Args:
        weights: As `parse_weights` takes them. "" is returned for those that say nothing, or can't be read.
    """
    try:
        paths = resolve_weights(parse_weights(weights))
        if len(paths) != 1 or paths[0].suffix != ".safetensors":
            return ""
        with safetensors.safe_open(paths[0], "np") as file:
            return " ".join((file.metadata() or {}).get(NOTE, "").split())
    except (WeightsError, OSError, safetensors.SafetensorError):
        return ""


def _listed(packaged: dict[str, Path]) -> str:
    return ", ".join(packaged) or "none in this installation"
