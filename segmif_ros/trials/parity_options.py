# SPDX-License-Identifier: Apache-2.0
"""The options of `segmif parity`, apart from what it does: that needs torch, which takes seconds to import."""

from __future__ import annotations

import argparse
from pathlib import Path

TAG = "segmif-v2"
TOLERANCE = 5e-5
SMALL_FUSED_TOLERANCE = 2e-6
BYTES_FRACTION = 1e-3


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the arguments of `segmif parity`."""
    parser.add_argument("folder", type=Path, help="folder with .npz vectors")
    parser.add_argument("--tag", default=TAG, help="what the seeds of the set begin with (default: %(default)s)")
    for name, default, what in (
        ("tolerance", TOLERANCE, "largest difference of floats"),
        ("small-fused-tolerance", SMALL_FUSED_TOLERANCE, "the same of fused planes of 'small' cases"),
        ("bytes-fraction", BYTES_FRACTION, "share of byte values that may differ, by one level"),
    ):
        parser.add_argument(f"--{name}", type=float, default=default, help=f"{what} (default: %(default)s)")
