# SPDX-License-Identifier: Apache-2.0
"""The options of `segmif predict`, apart from what it does: that needs torch, which takes seconds to import."""

from __future__ import annotations

import argparse
from pathlib import Path

from segmif_ros.bag.node_options import add_pipeline_arguments
from segmif_ros.evaluation import engine_options
from segmif_ros.rig.preparation_config import PreparationConfig
from segmif_ros.settings import settings_of
from segmif_ros.stream.pipeline_config import PipelineConfig

OUTPUTS = ("fused", "labels", "colours", "overlay", "confidence")
"""What `Prediction.save` writes."""

_DEFAULT = ("fused", "labels", "overlay")
# pairs are given as they are: nothing pairs them, and no camera falls silent
PREPARATION = tuple(
    each.name
    for each in settings_of(PipelineConfig)
    if each in settings_of(PreparationConfig) or each.path[0] in ("gain", "max_pixels")
)


def default_out(first: Path) -> Path:
    """Return the folder for what is made of a file or folder: other pictures get another one."""
    return Path("out", "predict", first.resolve().stem if first.is_file() else first.resolve().name)


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the arguments of `segmif predict`."""
    parser.description = (
        "Runs the network on two image files, on a folder with infrared/ and visible/, or on two videos, and writes "
        "what it makes of them as PNG files, with a contact sheet. The same command resumes a "
        "run that was stopped."
    )
    parser.add_argument("infrared", type=Path, metavar="INFRARED|FOLDER", help="image, video, or folder of pairs")
    parser.add_argument("rgb", type=Path, nargs="?", metavar="RGB", help="image or video; not with a folder")
    parser.add_argument("--out", type=Path, help="folder (default: out/predict/ and the name of INFRARED or FOLDER)")
    parser.add_argument(
        "--save",
        nargs="+",
        choices=OUTPUTS,
        default=list(_DEFAULT),
        help="what to write: labels are class ids, colours their colours (default: %(default)s)",
    )
    parser.add_argument("--fresh", action="store_true", help="start again instead of resuming what --out holds")
    parser.set_defaults(workers=1)
    add_pipeline_arguments(parser, PREPARATION)
    engine_options.add_engine_arguments(parser)
