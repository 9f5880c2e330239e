# SPDX-License-Identifier: Apache-2.0
"""Train from a YAML recipe: ``python -m segmif_ros.training RECIPE --data DIR --output DIR``.

``torchrun --nproc-per-node N -m segmif_ros.training ...`` does it with N processes.
"""

from __future__ import annotations

import argparse
import dataclasses
import sys
from collections.abc import Sequence
from pathlib import Path

from segmif_ros.data.images import DatasetError
from segmif_ros.evaluation.segmentation import LabelRangeError
from segmif_ros.model import CheckpointError
from segmif_ros.training.config import RecipeError, read_recipe
from segmif_ros.training.distributed import ProcessError, ReportedElsewhereError, joined
from segmif_ros.training.plan import dry_run
from segmif_ros.training.stopping import TrainingStopped
from segmif_ros.training.trainer import TrainingError, run_training


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the arguments of the training command."""
    parser.add_argument("recipe", type=Path, help="YAML recipe, such as config/training/segmif-s.yaml")
    parser.add_argument("--data", type=Path, default=Path(), help="folder that the recipe's paths are relative to")
    parser.add_argument("--output", type=Path, help="the run's folder (default: runs/<name of the recipe>)")
    parser.add_argument("--scene-cache", type=Path, help="folder for rendered scenes (default: scenes/ in the output)")
    parser.add_argument(
        "--dry-run", action="store_true", help="check all data, try some steps, print what would happen and stop"
    )
    parser.add_argument("--tensorboard", action="store_true", help="write TensorBoard's files too, as the recipe's key")


def run(options: argparse.Namespace) -> int:
    """Train as the arguments say; errors are one line."""
    try:
        config = read_recipe(options.recipe)
        if options.tensorboard:
            config = dataclasses.replace(config, tensorboard=True)
        output = options.output or Path("runs") / config.name
        with joined() as processes:
            if options.dry_run:
                if processes.world > 1:
                    raise ProcessError("--dry-run checks and measures one process: run it without torchrun")
                found = dry_run(config, data_root=options.data, output=output, scene_cache=options.scene_cache)
                return 2 if found else 0
            weights = run_training(
                config, data_root=options.data, output=output, scene_cache=options.scene_cache, processes=processes
            )
    except (RecipeError, DatasetError, LabelRangeError, CheckpointError, TrainingError, ProcessError) as error:
        print(f"error: {error}", file=sys.stderr)
        return 2
    except ReportedElsewhereError:
        return 2
    except TrainingStopped as stopped:
        if processes.is_main:
            print(f"{output}: {stopped}; the same command goes on from there", file=sys.stderr)
        return stopped.status
    except KeyboardInterrupt:
        print("stopped; the same command goes on from the last checkpoint", file=sys.stderr)
        return 130
    if processes.is_main:
        print(f"weights: {weights}")
    return 0


def main(arguments: Sequence[str] | None = None) -> int:
    """Parse the command line and train."""
    parser = argparse.ArgumentParser(prog="python -m segmif_ros.training", description="Train SegMiF from a recipe")
    add_arguments(parser)
    return run(parser.parse_args(arguments))


if __name__ == "__main__":
    sys.exit(main())
