# SPDX-License-Identifier: Apache-2.0
"""Training: losses, task weighting, schedule, the joint trainer and its recipes."""

from segmif_ros.training.config import RecipeError, TrainingConfig
from segmif_ros.training.recipe_file import read_recipe
from segmif_ros.training.trainer import TrainingError, run_training

__all__ = ["RecipeError", "TrainingConfig", "TrainingError", "read_recipe", "run_training"]
