# SPDX-License-Identifier: Apache-2.0
"""Damaged checkpoints of every layout."""

from __future__ import annotations

import io
import random
import tempfile
from functools import partial
from pathlib import Path

import safetensors.torch
import torch

from segmif_ros.labels import LabelSetError, label_set_of
from segmif_ros.model.checkpoint import CheckpointError, load_checkpoint, read_state
from segmif_ros.trials.fuzz.mutation import damaged
from segmif_ros.trials.fuzz.tally import Tally

_STATE = {"fusion.conv1_ir.weight": torch.zeros(8, 1, 3, 3), "segmentation.a": torch.ones(3)}
_METADATA = {
    "format_version": "1",
    "label_set": "own",
    "label_classes": '{"ignore_id": 255, "classes": [{"name": "a", "colour": [1, 2, 3]}, {"name": "b"}]}',
}


def run(tally: Tally, count: int, seed: int) -> None:
    """Throw ``count`` files."""
    rng = random.Random(seed)
    sources = {
        "zip": _saved(zip_format=True),
        "pickle": _saved(zip_format=False),
        "safetensors": safetensors.torch.save(_STATE, _METADATA),
    }
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "weights"
        for number in range(count):
            kind = rng.choice(list(sources))
            path.write_bytes(damaged(sources[kind], rng))
            which = f"number {number}, a {kind}"
            found = tally.attempt(f"read {kind}", partial(read_state, path), CheckpointError, which, path.read_bytes)
            if found is not None and found[1]:
                tally.attempt("label set", partial(label_set_of, found[1], 2), LabelSetError, which)
            tally.attempt(f"load {kind}", partial(load_checkpoint, path), CheckpointError, which, path.read_bytes)


def _saved(*, zip_format: bool) -> bytes:
    buffer = io.BytesIO()
    torch.save(_STATE, buffer, _use_new_zipfile_serialization=zip_format)
    return buffer.getvalue()
