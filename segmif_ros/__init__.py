# SPDX-License-Identifier: Apache-2.0
# The generated segmif_ros.msg may live beside another copy of this package (a colcon or pip install): let a source
# checkout that shadows that copy still find it. Besides, only names that are looked up when they are asked for.
from pkgutil import extend_path
from typing import TYPE_CHECKING, Any

__path__ = extend_path(__path__, __name__)

if TYPE_CHECKING:
    from segmif_ros.predict.model import load as load

    __version__: str


def __getattr__(name: str) -> Any:
    """`segmif_ros.load` and `segmif_ros.__version__`, without importing anything before they are used."""
    if name == "load":
        from segmif_ros.predict.model import load

        return load
    if name == "__version__":
        from importlib.metadata import PackageNotFoundError, version

        try:
            return version(__name__)
        except PackageNotFoundError:
            return "0+sources"
    raise AttributeError(f"module '{__name__}' has no attribute '{name}'")
