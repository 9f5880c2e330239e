# SPDX-License-Identifier: Apache-2.0
"""Metrics: segmentation (confusion matrix) and fusion (textbook values and toolbox conventions)."""

from segmif_ros.evaluation.segmentation_metrics import ClassMean, ConfusionMatrix, LabelRangeError

__all__ = ["ClassMean", "ConfusionMatrix", "LabelRangeError"]
