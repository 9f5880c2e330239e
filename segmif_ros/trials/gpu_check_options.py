# SPDX-License-Identifier: Apache-2.0
"""The options of `segmif gpu-check`, apart from what it does: that needs torch, which takes seconds to import."""

from __future__ import annotations

import argparse
from dataclasses import dataclass
from pathlib import Path

from segmif_ros.settings import setting
from segmif_ros.settings.options import add_options

MODELS = ("random:mit_b3,9", "segmif-s", "segmif-rt")


@dataclass(frozen=True, kw_only=True)
class GpuCheckConfig:
    """What is measured, and for how long."""

    device: str = setting("cuda", "cuda, cuda:N or cpu.")
    width: int = setting(640, "Columns and rows of the images.", minimum=32, maximum=8192)
    height: int = setting(480, "Rows of the images.", minimum=32, maximum=8192)
    frames: int = setting(100, "Timed frames of each.", minimum=1)
    minutes: float = setting(8.0, "Begin nothing after these.", minimum=0.01)


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the options of `segmif gpu-check`."""
    parser.description = (
        "Measures what a GPU gives, within minutes: parity of every path with torch in float32 on the CPU, times, "
        "memory, and what the dense blocks cost. Ends with status 1 where trained weights leave their tolerance."
    )
    add_options(parser, GpuCheckConfig)
    parser.add_argument("--weights", nargs="+", default=list(MODELS), help="default: %(default)s")
    parser.add_argument("--out", type=Path, default=Path("out/gpu-check"), help="folder (default: %(default)s)")
