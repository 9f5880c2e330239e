# SPDX-License-Identifier: Apache-2.0
"""Fusion without a network, as an engine: what a network has to beat, and the cost of everything around one."""

from __future__ import annotations

import numpy as np

from segmif_ros.arrays import Image
from segmif_ros.imaging.fusion_rules import FUSION_RULES, with_fused_luma
from segmif_ros.inference.engine import EngineResult
from segmif_ros.labels import FMB, LabelSet


class BaselineEngine:
    """`EngineProtocol` by a rule on the luma; it doesn't segment: all labels are 0, with confidence 0.

    Args:
        rule: A name of `imaging.fusion_rules.FUSION_RULES`: "average", "maximum" or "laplacian".
    """

    def __init__(self, rule: str = "average") -> None:
        if rule not in FUSION_RULES:
            raise ValueError(f"baseline '{rule}' is unknown: use one of {', '.join(FUSION_RULES)}")
        self._rule = FUSION_RULES[rule]
        self.label_set: LabelSet = FMB
        self.model_name = rule
        self.model_hash = "none"
        self.device_name = "cpu"
        self.backend_name, self.precision = "opencv", "uint8"

    def warm_up(self, height: int, width: int) -> None:
        """Nothing to warm up."""

    def infer(self, infrared: Image, rgb: Image) -> EngineResult:
        """Fuse infrared (H, W) and RGB (H, W, 3), both uint8; the RGB image's chroma is kept."""
        fused = with_fused_luma(rgb, lambda luma: self._rule(infrared, luma))
        return EngineResult(fused=fused, labels=np.zeros_like(infrared), confidence=np.zeros_like(infrared))
