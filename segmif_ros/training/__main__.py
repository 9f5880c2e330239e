# SPDX-License-Identifier: Apache-2.0
"""Train from a YAML recipe: ``python -m segmif_ros.training RECIPE --data DIR --out DIR``.

``torchrun --nproc-per-node N -m segmif_ros.training ...`` does it with N processes.
"""

from __future__ import annotations

import argparse
import dataclasses
import sys
from pathlib import Path

from segmif_ros.command_line import DONE, UNUSABLE, StoppedError, run_module
from segmif_ros.result_folder import require_known

_OF_A_RUN = ("recipe.json", "state.pt", "log.jsonl", "scenes")


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the arguments of the training command."""
    parser.add_argument("recipe", type=Path, help="YAML recipe, such as config/training/segmif-s.yaml")
    parser.add_argument("--data", type=Path, default=Path(), help="folder that the recipe's paths are relative to")
    parser.add_argument("--out", type=Path, help="the run's folder (default: runs/<name of the recipe>)")
    parser.add_argument("--scene-cache", type=Path, help="folder for rendered scenes (default: scenes/ in the output)")
    parser.add_argument(
        "--dry-run", action="store_true", help="check all data, try some steps, print what would happen and stop"
    )
    parser.add_argument("--tensorboard", action="store_true", help="write TensorBoard's files too, as the recipe's key")


def run(options: argparse.Namespace) -> int:
    """Train as the arguments say."""
    # here, as torch comes with them
    from segmif_ros.training.distributed import ProcessError, ReportedElsewhereError, joined
    from segmif_ros.training.dry_run import SHEET_FILE, dry_run
    from segmif_ros.training.recipe_file import read_recipe
    from segmif_ros.training.stopping import TrainingStopped
    from segmif_ros.training.trainer import run_training

    config = read_recipe(options.recipe)
    if options.tensorboard:
        config = dataclasses.replace(config, tensorboard=True)
    output = options.out or Path("runs") / config.name
    require_known(output, (*_OF_A_RUN, SHEET_FILE), "give another --out")
    try:
        with joined() as processes:
            if options.dry_run:
                if processes.world > 1:
                    raise ProcessError("--dry-run checks and measures one process: run it without torchrun")
                found = dry_run(config, data_root=options.data, output=output, scene_cache=options.scene_cache)
                return UNUSABLE if found else DONE
            weights = run_training(
                config, data_root=options.data, output=output, scene_cache=options.scene_cache, processes=processes
            )
    except ReportedElsewhereError:
        return UNUSABLE
    except TrainingStopped as stopped:
        if not processes.is_main:
            return stopped.status
        raise StoppedError(f"{output}: {stopped}; the same command resumes it", stopped.status) from None
    except KeyboardInterrupt:
        raise StoppedError("stopped; the same command resumes from the last checkpoint") from None
    if processes.is_main:
        print(f"weights: {weights}")
    return DONE


if __name__ == "__main__":
    sys.exit(run_module("segmif_ros.training", __doc__, add_arguments, run))
