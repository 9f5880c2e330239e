# SPDX-License-Identifier: Apache-2.0
"""Fusion without a network, as an engine: what a network has to beat, and the cost of everything around one."""

from __future__ import annotations

import cv2
import numpy as np
import numpy.typing as npt

from segmif_ros.evaluation.fusion import BASELINES
from segmif_ros.inference.engine import EngineResult
from segmif_ros.labels import FMB, LabelSet

Image = npt.NDArray[np.uint8]


class BaselineEngine:
    """`EngineProtocol` by a rule on the luma; it doesn't segment: all labels are 0, with confidence 0.

    Args:
        rule: A name of `evaluation.fusion.BASELINES`: "average", "maximum" or "laplacian".
    """

    def __init__(self, rule: str = "average") -> None:
        if rule not in BASELINES:
            raise ValueError(f"baseline '{rule}' is unknown: use one of {', '.join(BASELINES)}")
        self._rule = BASELINES[rule]
        self.label_set: LabelSet = FMB
        self.model_name = rule
        self.model_hash = "none"
        self.device_name = "cpu"
        self.backend_name, self.precision = "opencv", "uint8"

    def warm_up(self, height: int, width: int) -> None:
        """Nothing to warm up."""

    def infer(self, infrared: Image, rgb: Image) -> EngineResult:
        """Fuse infrared (H, W) and RGB (H, W, 3), both uint8; the RGB image's chroma is kept."""
        ycrcb = cv2.cvtColor(rgb, cv2.COLOR_RGB2YCrCb)
        ycrcb[..., 0] = self._rule(infrared, np.asarray(ycrcb[..., 0], np.uint8))
        fused = np.asarray(cv2.cvtColor(ycrcb, cv2.COLOR_YCrCb2RGB), np.uint8)
        return EngineResult(fused=fused, labels=np.zeros_like(infrared), confidence=np.zeros_like(infrared))
