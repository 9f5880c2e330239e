# SPDX-License-Identifier: Apache-2.0
"""What anything made of the network depends on, as facts that tell one kept graph or engine from another."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable, Mapping
from pathlib import Path

import torch

from segmif_ros import model as model_package
from segmif_ros.inference import frame as frame_module
from segmif_ros.inference.choice import package_version
from segmif_ros.inference.frame import FrameNetwork

Facts = Mapping[str, object]  # what JSON holds


def network_facts(
    network: FrameNetwork, height: int, width: int, sources: Iterable[str | Path], packages: Iterable[str]
) -> Facts:
    """Return what the network computes for a size, by which code and which packages.

    Args:
        network: Its weights, configuration, rewrites and mode count.
        height: Rows.
        width: Columns.
        sources: Files that make the graph, besides those of the model and `FrameNetwork`: changed code must not find
            what the old code made.
        packages: Names of those whose versions count.
    """
    return {
        "weights": _weights_hash(network),
        "code": _code_hash(sources),
        "config": repr(getattr(network.model, "config", None)),
        "rewrites": sorted({repr(each.rewrites) for each in network.modules() if hasattr(each, "rewrites")}),
        "mode": network.mode,
        "size": [height, width],
        "packages": {name: package_version(name) for name in packages},
    }


def facts_key(facts: Facts) -> str:
    """Return 32 hex digits that differ where any fact does."""
    return hashlib.sha256(json.dumps(facts, sort_keys=True).encode()).hexdigest()[:32]


def _weights_hash(network: torch.nn.Module) -> str:
    found = hashlib.sha256()
    for name, tensor in network.state_dict().items():
        found.update(f"{name} {tensor.dtype} {tuple(tensor.shape)}\n".encode())
        found.update(tensor.detach().cpu().contiguous().reshape(-1).view(torch.uint8).numpy().data)
    return found.hexdigest()


def _code_hash(sources: Iterable[str | Path]) -> str:
    model_folder = Path(next(iter(model_package.__path__)))
    found = hashlib.sha256()
    for path in (*sorted(model_folder.glob("*.py")), Path(frame_module.__file__), *map(Path, sources)):
        found.update(path.name.encode() + b"\n" + path.read_bytes())
    return found.hexdigest()
