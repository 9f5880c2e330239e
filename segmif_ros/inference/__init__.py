# SPDX-License-Identifier: Apache-2.0
"""From an image pair to fused image, labels and confidence."""

from segmif_ros.inference.engine import Engine, EngineConfig, EngineProtocol, EngineResult
from segmif_ros.inference.errors import EngineError
from segmif_ros.inference.weights import DEFAULT_WEIGHTS, WeightsError, packaged_weights, resolve_weights

__all__ = [
    "DEFAULT_WEIGHTS",
    "Engine",
    "EngineConfig",
    "EngineError",
    "EngineProtocol",
    "EngineResult",
    "WeightsError",
    "packaged_weights",
    "resolve_weights",
]
