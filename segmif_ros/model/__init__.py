# SPDX-License-Identifier: Apache-2.0
"""The network: encoders, head, interaction, fusion, the cascade, and its checkpoints. PyTorch only, no ROS."""

from segmif_ros.model.checkpoint import CheckpointError, load_checkpoint, save_checkpoint
from segmif_ros.model.network import Mode, SegMiF, SegMiFConfig, SegMiFOutput
from segmif_ros.model.rewrites import Rewrites, use_rewrites

__all__ = [
    "CheckpointError",
    "Mode",
    "Rewrites",
    "SegMiF",
    "SegMiFConfig",
    "SegMiFOutput",
    "load_checkpoint",
    "save_checkpoint",
    "use_rewrites",
]
