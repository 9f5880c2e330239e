# SPDX-License-Identifier: Apache-2.0
"""The options of `segmif bench`, apart from what it does: that needs torch, which takes seconds to import."""

from __future__ import annotations

import argparse
from pathlib import Path

from segmif_ros.inference.backend_table import BACKENDS
from segmif_ros.inference.config import PRECISIONS, EngineConfig
from segmif_ros.inference.weights import DEFAULT_WEIGHTS
from segmif_ros.settings.options import add_options

OF_THE_ENGINE = ("device", "num_threads", "calibration_pairs")  # the engine's settings that are options


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the options of `segmif bench`."""
    parser.description = (
        "Times whole frames (uint8 in, uint8 out, prior image included) of every combination, one frame of each in "
        "turn so that all see the same machine, each in a process of its own. Ends with status 1 when a backend's "
        "results are not within the tolerance of its precision, or it can't run; a backend whose packages are not "
        "installed is listed and skipped."
    )
    parser.add_argument(
        "--weights",
        nargs="+",
        default=[DEFAULT_WEIGHTS],
        help="names, files or model folders; the authors' two files with a comma between; or random:ENCODER,CLASSES "
        "(random:mit_b3,9 is the paper's network) for times without trained weights (default: %(default)s)",
    )
    parser.add_argument(
        "--backend",
        nargs="+",
        choices=BACKENDS,
        help="default: those installed for the device that start within seconds, as `fastest` tries",
        metavar="NAME",
    )
    parser.add_argument("--precision", nargs="+", default=["float32"], choices=PRECISIONS, metavar="NAME")
    parser.add_argument("--size", nargs="+", default=["640x480"], metavar="WIDTHxHEIGHT")
    parser.add_argument("--frames", type=int, default=20, help="timed frames of each (default: %(default)s)")
    parser.add_argument("--warm-up", type=int, default=2, help="untimed frames of each (default: %(default)s)")
    parser.add_argument(
        "--against",
        metavar="WEIGHTS",
        help="also time these weights by the same backends and precisions, a frame of each in turn, and print how long "
        "the others take in units of theirs",
    )
    parser.add_argument(
        "--baseline",
        choices=("none", "plain"),
        default="none",
        help="plain: also time the plain, unoptimised float32 forward of the same weights, with and without the "
        "allocator's tuning, and print how many times faster each is",
    )
    add_options(parser, EngineConfig, OF_THE_ENGINE, options={"num_threads": "--threads"})
    parser.add_argument(
        "--pairs", type=Path, help="show the pairs of FOLDER/infrared and FOLDER/visible instead of a pattern"
    )
    parser.add_argument("--out", type=Path, help="write bench.json and bench.png to this folder")
