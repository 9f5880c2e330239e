# SPDX-License-Identifier: Apache-2.0
"""OpenVINO graphs in the user's cache folder, by everything that they depend on."""

from __future__ import annotations

import contextlib
import hashlib
import json
import logging
import os
import shutil
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import openvino

from segmif_ros.inference.backends.facts import Facts, facts_key, network_facts
from segmif_ros.inference.choice import processor_name
from segmif_ros.inference.errors import first_line
from segmif_ros.inference.frame import FrameNetwork

_LOGGER = logging.getLogger(__name__)
_PACKAGES = ("segmif_ros", "torch", "openvino", "numpy")
_GRAPH, _WEIGHTS, _FACTS, _COMPILED = "graph.xml", "graph.bin", "facts.json", "compiled"
KEPT = 8


class GraphCache:
    """Graphs in a folder, each in a folder of its own beside a readable file of what it depends on.

    What can't be read, or isn't as it was written, counts as absent. What can't be written is reported: the graph
    is then made again next time. The graphs used last are kept.

    Args:
        folder: Made when needed.
        kept: How many.
    """

    def __init__(self, folder: Path, kept: int = KEPT) -> None:
        self._folder = folder
        self._kept = kept

    def get(self, facts: Facts) -> openvino.Model | None:
        """Return the graph of these facts."""
        entry = self._entry(facts)
        try:
            stored = json.loads((entry / _FACTS).read_text())
            if not isinstance(stored, dict) or stored.get("graph_sha256") != _file_hash(entry):
                return None
            model = openvino.Core().read_model(entry / _GRAPH)
        except (OSError, ValueError, RuntimeError) as error:  # RuntimeError: what OpenVINO can't read
            absent = isinstance(error, (FileNotFoundError, NotADirectoryError))
            if not absent or os.path.exists(entry):  # noqa: PTH110  Path's raises where a folder may not be searched
                _LOGGER.warning("the kept OpenVINO graph can't be read and is made again: %s", first_line(error))
            return None
        with contextlib.suppress(OSError):  # another user's, which may be read only
            os.utime(entry)
        return model

    def put(self, facts: Facts, model: openvino.Model) -> None:
        """Store a graph; a cache that can't be written is left as it is.

        Args:
            facts: All that the graph depends on.
            model: The graph.
        """
        entry = self._entry(facts)
        part = entry.with_name(f".{entry.name}.{os.getpid()}.part")
        try:
            part.mkdir(parents=True)
            openvino.save_model(model, part / _GRAPH, compress_to_fp16=False)
            stored = {**facts, "graph_sha256": _file_hash(part)}
            (part / _FACTS).write_text(json.dumps(stored, indent=1) + "\n")
            shutil.rmtree(entry, ignore_errors=True)
            part.replace(entry)
            self._drop_oldest()
        except (OSError, RuntimeError) as error:
            shutil.rmtree(part, ignore_errors=True)
            _LOGGER.warning("the OpenVINO graph can't be kept and is made again next time: %s", first_line(error))

    def compiled_folder(self, facts: Facts) -> Path | None:
        """Return where OpenVINO may keep what it compiles of this graph; None where the graph isn't kept."""
        entry = self._entry(facts)
        return entry / _COMPILED if os.access(entry / _FACTS, os.F_OK) and os.access(entry, os.W_OK) else None

    def _entry(self, facts: Facts) -> Path:
        return self._folder / facts_key(facts)

    def _drop_oldest(self) -> None:
        entries = sorted(self._folder.glob(f"[0-9a-f]*/{_FACTS}"), key=lambda path: path.parent.stat().st_mtime)
        for path in entries[: -self._kept]:
            with contextlib.suppress(OSError):
                shutil.rmtree(path.parent)


def graph_facts(network: FrameNetwork, height: int, width: int, frames: Sequence[Sequence[np.ndarray]] | None) -> Facts:
    """Return everything that a graph depends on, for its key.

    Args:
        network: What it computes.
        height: Rows.
        width: Columns.
        frames: What int8 is calibrated with; None without int8.
    """
    here = Path(__file__)
    sources = (*(here.with_name(f"openvino_{name}.py") for name in ("cpu", "int8")), here)
    return {
        **network_facts(network, height, width, sources, _PACKAGES),
        "calibration": None if frames is None else _frames_hash(frames),
        "processor": processor_name(),
    }


def _frames_hash(frames: Sequence[Sequence[np.ndarray]]) -> str:
    found = hashlib.sha256()
    for image in (image for images in frames for image in images):
        found.update(f"{image.dtype} {image.shape}\n".encode() + np.ascontiguousarray(image).tobytes())
    return found.hexdigest()


def _file_hash(entry: Path) -> str:
    found = hashlib.sha256()
    for name in (_GRAPH, _WEIGHTS):
        with (entry / name).open("rb") as stream:
            while block := stream.read(1 << 20):
                found.update(block)
    return found.hexdigest()
