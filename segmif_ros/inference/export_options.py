# SPDX-License-Identifier: Apache-2.0
"""The options of `segmif export`, apart from what it does: that needs torch, which takes seconds to import."""

from __future__ import annotations

import argparse
from pathlib import Path

from segmif_ros.inference.weights import DEFAULT_WEIGHTS

FORMATS = ("folder", "onnx", "openvino")
ANY_SIZE = "any"
MULTIPLE = 32  # of both sides of a graph of any size: all strides of the network are whole then


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the options of `segmif export`."""
    parser.description = (
        "Writes the network as ONNX or OpenVINO for other runtimes, or as a model folder (docs/own_network.md), and "
        "checks its results against torch. Ends with status 1, and writes nothing, where they differ by more than "
        "rounding."
    )
    parser.add_argument("weights", nargs="?", default=DEFAULT_WEIGHTS, help="name, file, or the authors' two files "
                        "with a comma between (default: %(default)s)")  # fmt: skip
    parser.add_argument("output", type=Path, help="a new folder, .onnx file or .xml file")
    parser.add_argument("--format", choices=FORMATS, default="folder", help="what to write (default: %(default)s)")
    parser.add_argument(
        "--size",
        default="640x480",
        metavar=f"WIDTHxHEIGHT|{ANY_SIZE}",
        help=f"{ANY_SIZE}: all sizes whose sides are multiples of {MULTIPLE}; slower than one size "
        "(default: %(default)s)",
    )
