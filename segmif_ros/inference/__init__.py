# SPDX-License-Identifier: Apache-2.0
"""From an image pair to fused image, labels and confidence.

The names below are imported when they are first used: settings and tables of this package need no torch.
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from segmif_ros.inference.config import EngineConfig
    from segmif_ros.inference.engine import Engine, EngineProtocol, EngineResult
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
_MODULES = {"EngineConfig": "config", "EngineError": "errors"} | dict.fromkeys(
    ("DEFAULT_WEIGHTS", "WeightsError", "packaged_weights", "resolve_weights"), "weights"
)


def __getattr__(name: str) -> Any:
    if name not in __all__:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(f"{__name__}.{_MODULES.get(name, 'engine')}"), name)
