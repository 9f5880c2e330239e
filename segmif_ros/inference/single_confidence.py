# SPDX-License-Identifier: Apache-2.0
"""By how much a network's confidence is lowered while one camera is missing: calibrated by weights, not guessed.

`segmif single-camera` measures the factors on scenes that no training has seen and writes them to the table, by the
hash of the weights.
"""

from __future__ import annotations

import json
from functools import cache
from pathlib import Path
from typing import Any

TABLE = Path(__file__).resolve().parent.parent / "weights" / "single_camera.json"
# for weights that nobody has calibrated: what is sure becomes a toss-up
UNCALIBRATED = 0.5


@cache
def read_table(path: Path = TABLE) -> dict[str, dict[str, Any]]:
    """Return what is known by the hash of the weights; nothing where there is no table."""
    return dict(json.loads(path.read_text(encoding="utf-8"))) if path.is_file() else {}


def single_confidence(model_hash: str, camera: str) -> float:
    """Return the factor of the confidence for results of one camera.

    Args:
        model_hash: Of the weights.
        camera: "infrared" or "rgb", the one that is alone.

    Returns:
        In (0, 1].
    """
    return float(read_table().get(model_hash, {}).get(camera, UNCALIBRATED))


def is_calibrated(model_hash: str) -> bool:
    """Whether the factors of these weights were measured."""
    return model_hash in read_table()
