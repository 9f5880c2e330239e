# SPDX-License-Identifier: Apache-2.0
"""The options of `segmif models`, apart from what it does: that needs torch, which takes seconds to import."""

from __future__ import annotations

import argparse


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the options of `segmif models`."""
    parser.description = "Lists the weights that come with the package, or describes those of any file."
    parser.add_argument(
        "weights",
        nargs="*",
        metavar="NAME|FILE",
        help="a name, a file, a model folder, or the authors' two files (default: all names)",
    )
    parser.add_argument("--json", action="store_true", help="print JSON instead")
