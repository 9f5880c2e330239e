# SPDX-License-Identifier: Apache-2.0
"""Where a recipe is trained, and whether its batch can be shared out there."""

from __future__ import annotations

import torch

from segmif_ros.training.config import RecipeError, TrainingConfig
from segmif_ros.training.distributed import Processes


def require_equal_parts(config: TrainingConfig, processes: Processes) -> None:
    """Raise RecipeError for a batch that cannot be cut into equal parts for all processes."""
    if config.batch_size % (config.accumulate * processes.world):
        raise RecipeError(
            f"batch_size is {config.batch_size}: it cannot be cut into equal parts for {processes.world} processes"
            f" times {config.accumulate} accumulated parts"
        )


def device_of(name: str, processes: Processes) -> torch.device:
    """Return the device that a recipe's name stands for in this process; RecipeError for one that isn't there."""
    if name == "auto":
        name = "cuda" if torch.cuda.is_available() else "cpu"
    try:
        device = torch.device(name)
    except RuntimeError as error:
        raise RecipeError(f"device '{name}' is none of PyTorch's; use cpu, cuda, cuda:1 or auto") from error
    if device.type == "cuda" and not torch.cuda.is_available():
        raise RecipeError(f"device '{name}': PyTorch sees no CUDA device here; use cpu or auto")
    if device.type == "cuda" and processes.world > 1:
        return torch.device("cuda", processes.local_rank % torch.cuda.device_count())
    return device
