# SPDX-License-Identifier: Apache-2.0
"""Writing a model as the authors' two files, for their code or for other software that reads these."""

import io
from pathlib import Path
from typing import Literal, get_args

import safetensors.torch
import torch

from segmif_ros.files import replace_file
from segmif_ros.model.checkpoint import CheckpointError, require_finite
from segmif_ros.model.network import SegMiF

AuthorsFormat = Literal["pth", "safetensors"]

FUSION_FILE = "modelfusion-final2"
SEGMENTATION_FILE = "model-fusion_add_final2"
"""Names of the two files, without suffix, that the published test script opens."""

# Sizes that the published code has written in. The encoder and the number of classes are arguments there.
_AUTHORS_SIZES = {
    "fusion_channels": 64,
    "growth": 32,
    "fusion_scale": 1,
    "fusion_output": "direct",
    "prior_scale": 1,
    "decoder_channels": 256,
}


def authors_files(folder: str | Path, form: str) -> tuple[Path, Path]:
    """Return the files of the fusion and of the segmentation network that `save_authors_checkpoint` writes."""
    return Path(folder) / f"{FUSION_FILE}.{form}", Path(folder) / f"{SEGMENTATION_FILE}.{form}"


def save_authors_checkpoint(model: SegMiF, folder: str | Path, *, form: AuthorsFormat = "pth") -> tuple[Path, Path]:
    """Writes the authors' two files: the same keys, shapes and types in the same order, float32.

    `load_checkpoint` reads the two back to the same numbers. The published fusion network has the encoder's widths of
    mit_b1 .. mit_b5 written in; for mit_b0 its `conv3` and `conv4` need 32 and 64 input channels instead of 64 and 128.

    Args:
        model: of the paper's sizes, with any encoder and number of classes; its mode and device don't matter.
        folder: created if it doesn't exist; files of these names in it are replaced.
        form: 'pth' is what the authors' code loads, a plain dictionary of tensors without room for the metadata.
            'safetensors' has the same keys and holds the metadata, in both files.

    Returns:
        the files of the fusion and of the segmentation network.

    Raises:
        CheckpointError: the authors' code can't run a model of this kind, or a weight isn't finite.
        ValueError: `form` is unknown.
    """
    if form not in get_args(AuthorsFormat):
        raise ValueError(f"form is '{form}': it must be 'pth' or 'safetensors'")
    _require_authors_sizes(model)
    folder = Path(folder)
    folder.mkdir(parents=True, exist_ok=True)
    networks = dict(zip(authors_files(folder, form), (model.fusion, model.segmentation), strict=True))
    contents = {}
    for path, network in networks.items():
        state = {key: tensor.detach().cpu().clone() for key, tensor in network.state_dict().items()}
        for key, tensor in state.items():
            require_finite(tensor, key, path)
        if form == "safetensors":
            contents[path] = safetensors.torch.save(state, dict(model.metadata))
        else:
            buffer = io.BytesIO()
            torch.save(state, buffer)
            contents[path] = buffer.getvalue()
    for path, content in contents.items():
        replace_file(path, content)
    fusion, segmentation = networks
    return fusion, segmentation


def _require_authors_sizes(model: SegMiF) -> None:
    other = {name: value for name, value in vars(model.config).items() if _AUTHORS_SIZES.get(name, value) != value}
    if other:
        ours = ", ".join(f"{name} {value}" for name, value in other.items())
        theirs = ", ".join(f"{name} {_AUTHORS_SIZES[name]}" for name in other)
        raise CheckpointError(
            f"the authors' code can't run this model ({ours}): give weights of the paper's sizes ({theirs})"
        )


__all__ = ["FUSION_FILE", "SEGMENTATION_FILE", "AuthorsFormat", "save_authors_checkpoint"]
