# SPDX-License-Identifier: Apache-2.0
"""Make a packaged file of a run's weights: ``python -m segmif_ros.training.export RUN/last.safetensors FILE``.

Weights are stored in half precision; metadata stays.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path

from segmif_ros.model import CheckpointError, load_checkpoint, save_checkpoint


def main(arguments: Sequence[str] | None = None) -> int:
    """Convert one file; errors are one line."""
    parser = argparse.ArgumentParser(prog="python -m segmif_ros.training.export", description=__doc__)
    parser.add_argument("source", type=Path)
    parser.add_argument("target", type=Path)
    options = parser.parse_args(arguments)
    try:
        model = load_checkpoint(options.source)
        save_checkpoint(model, options.target, model.metadata, float16=True)
    except (CheckpointError, OSError) as error:
        print(f"error: {error}", file=sys.stderr)
        return 2
    print(f"{options.target}: {options.target.stat().st_size / 1e6:.1f} MB, {model.metadata}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
