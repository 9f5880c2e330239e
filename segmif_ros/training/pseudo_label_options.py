# SPDX-License-Identifier: Apache-2.0
"""The options of `segmif pseudo-label`, apart from what it does: that needs torch, which takes seconds to import."""

from __future__ import annotations

import argparse
from dataclasses import dataclass
from pathlib import Path

from segmif_ros.data.image_files import DatasetError
from segmif_ros.rig.preparation import add_preparation_arguments


@dataclass(frozen=True, kw_only=True)
class PseudoLabelConfig:
    """When a pixel gets a label.

    Attributes:
        confidence: Least mean probability of its best class.
        darkest: Images whose upper third has a mean grey level (0 to 255) below this get no label at all.
    """

    confidence: float = 0.75
    darkest: float = 150.0

    def __post_init__(self) -> None:
        if not 0 <= self.confidence <= 1:
            raise DatasetError(f"confidence is {self.confidence}: it must be in [0, 1]")


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the arguments of the command."""
    parser.add_argument("pairs", type=Path, help="folder with infrared/ and visible/")
    parser.add_argument("--weights", required=True, help="the teacher: a name or files, as `segmif models` lists them")
    parser.add_argument("--out", type=Path, required=True, help="new folder for the pairs with their labels/")
    parser.add_argument("--label-set", help="whose ids to write, by the names of the classes (default: the teacher's)")
    parser.add_argument("--confidence", type=float, default=PseudoLabelConfig.confidence, help="default: %(default)s")
    parser.add_argument(
        "--hold-out-every", type=_count, default=0, metavar="N",
        help="leave every N-th pair by name, which 'hold_out_every: N' of a recipe validates on, without a label file"
        " (default: label all)",
    )  # fmt: skip
    add_preparation_arguments(parser.add_argument_group("raw infrared, and images of two sizes: as the node"))
    parser.add_argument("--darkest", type=float, default=PseudoLabelConfig.darkest, help="default: %(default)s")


def _count(text: str) -> int:
    number = int(text)
    if number < 0:
        raise argparse.ArgumentTypeError(f"{text} is below 0")
    return number
