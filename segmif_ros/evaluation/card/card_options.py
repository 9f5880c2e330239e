# SPDX-License-Identifier: Apache-2.0
"""The figures of a model card: one command, held-out data, fixed seeds.

``segmif weights-report`` runs the engine, as the node does, over every packaged model (or --weights), and prints and
writes, one folder a model, as report.json, report.html and sheets of pictures:

  camvid    mean IoU by class, RGB as it is and darkened to night, without and with infrared invented from the labels
  scenes    held-out synthetic scenes by lighting: fused, RGB alone, infrared alone, infrared moved, a camera missing
  streets   persons, cars and bicycles in real pairs by day and night: fused, each camera alone, failing cameras
  pairs     fusion metrics on real pairs beside average, maximum and Laplacian pyramid, and ranks
  flicker   how steady the fused image of a synthetic sequence is
  sequences how steady fused image and labels of real sequences are
  curve     the learning curve that lies beside the weights

--data names a folder with camvid/, roadscene/, msrs_samples/, real_pairs_val/msrs/ and m3svd/, as far as they are
there; of RoadScene every 4th pair by name is taken, which training leaves out, of the others, on which nothing is
trained, all. --streets takes any folder of the layout in `segmif_ros.data.object_truth`.
"""

from __future__ import annotations

import argparse
from pathlib import Path

from segmif_ros.evaluation.card.measured_data import HELD_OUT_SPLIT, Amounts
from segmif_ros.evaluation.engine_options import add_runtime_arguments

PARTS = ("camvid", "scenes", "streets", "pairs", "flicker", "sequences", "curve")


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the arguments of the command."""
    parser.description = __doc__
    parser.formatter_class = argparse.RawDescriptionHelpFormatter
    parser.add_argument(
        "--weights",
        nargs="+",
        action="extend",
        help="names or files, the authors' two files with a comma between (default: all packaged)",
    )
    parser.add_argument("--only", nargs="+", choices=PARTS, help="these parts (default: all)")
    parser.add_argument("--data", type=Path, help="a folder with what is named above")
    parser.add_argument("--camvid", type=Path, help="CamVid's folder")
    parser.add_argument("--camvid-split", default=HELD_OUT_SPLIT, help="split of CamVid (default: %(default)s)")
    parser.add_argument(
        "--rgb-reference", metavar="FILE",
        help="weights whose segmentation network alone is shown CamVid's RGB: what an RGB-only model loses by night",
    )  # fmt: skip
    parser.add_argument(
        "--pairs", type=Path, action="append", default=[], metavar="DIR",
        help="a folder with infrared/ and visible/, of which every 4th pair is held out and measured",
    )  # fmt: skip
    parser.add_argument(
        "--all-pairs", type=Path, action="append", default=[], metavar="DIR", help="the same, all of its pairs"
    )
    parser.add_argument(
        "--streets", type=Path, action="append", default=[], metavar="DIR",
        help="a folder of pairs with labels/, absent/ or boxes_infrared/: persons, cars and bicycles by day and night",
    )  # fmt: skip
    parser.add_argument(
        "--sequences", type=Path, action="append", default=[], metavar="DIR",
        help="a folder with infrared/ and visible/ that hold the frames of a sequence, or videos of equal names",
    )  # fmt: skip
    parser.add_argument("--scenes", type=int, help=f"synthetic scenes of each lighting (default: {Amounts().scenes})")
    parser.add_argument("--quick", action="store_true", help="a few samples of each: to see that all works")
    add_runtime_arguments(parser)
    out = Path("out/weights")
    parser.add_argument("--out", type=Path, default=out, help="gets a folder a model (default: %(default)s)")
