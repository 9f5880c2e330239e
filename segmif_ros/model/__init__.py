# SPDX-License-Identifier: Apache-2.0
"""The network: encoders, head, interaction, fusion, the cascade, and its checkpoints. PyTorch only, no ROS."""

from segmif_ros.model.checkpoint import CheckpointError, load_checkpoint, save_checkpoint
from segmif_ros.model.network import Mode, SegMiF, SegMiFConfig, SegMiFOutput

__all__ = [
    "CheckpointError",
    "Mode",
    "SegMiF",
    "SegMiFConfig",
    "SegMiFOutput",
    "load_checkpoint",
    "save_checkpoint",
]
