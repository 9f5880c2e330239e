# SPDX-License-Identifier: Apache-2.0
"""`segmif picture`: synthetic scenes and what the weights make of them, in one picture. No ROS takes part."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt

from segmif_ros.files import replace_file
from segmif_ros.imaging.overlay import draw_overlay
from segmif_ros.inference.config import EngineConfig
from segmif_ros.inference.weights import DEFAULT_WEIGHTS
from segmif_ros.reporting.pictures import encode
from segmif_ros.reporting.sheet import draw_sheet
from segmif_ros.result_folder import require_new, unwritable
from segmif_ros.scenes import LIGHTINGS, RoadScene
from segmif_ros.settings import with_values
from segmif_ros.settings.options import add_options, given

if TYPE_CHECKING:
    from segmif_ros.inference.engine import EngineProtocol


class PictureError(ValueError):
    """The picture can't be written."""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the options of `segmif picture`."""
    parser.add_argument("--out", type=Path, required=True, help="JPEG file to write; the README's is in docs/images")
    parser.add_argument("--overwrite", action="store_true", help="replace the file if it is there")
    parser.add_argument("--weights", default=DEFAULT_WEIGHTS, help="name or files, as segmif_node's parameter")
    add_options(parser, EngineConfig, ("palette",))
    parser.add_argument("--seed", type=int, default=3, help="of the scenes")
    parser.add_argument("--time", type=float, default=2.0, metavar="S", help="moment of the scenes in seconds")
    parser.add_argument("--width", type=int, default=1600, help="of the picture in pixels")


def run(options: argparse.Namespace) -> int:
    """Draw and write the picture."""
    from segmif_ros.inference.engine import Engine  # torch comes with it

    if options.width < 1:
        raise PictureError(f"--width {options.width}: a number of pixels above 0 is needed")
    require_new(options.out, overwrite=options.overwrite)
    wanted = EngineConfig(weights=tuple(options.weights.split(",")))
    engine = Engine(with_values(wanted, given(options, EngineConfig, ("palette",))))
    drawn = draw(engine, seed=options.seed, t_s=options.time)
    try:
        options.out.parent.mkdir(parents=True, exist_ok=True)
        replace_file(options.out, encode(drawn, width=options.width))
    except OSError as error:
        raise unwritable(options.out, error) from error
    print(f"{options.out}: {engine.model_name} ({engine.model_hash}), {options.out.stat().st_size / 1000:.0f} kB")
    return 0


def draw(
    engine: EngineProtocol, *, seed: int, t_s: float, height: int = 480, width: int = 640
) -> npt.NDArray[np.uint8]:
    """Return a sheet with one row for each lighting, and the legend of the classes present below.

    Args:
        engine: Any.
        seed: Of the scenes.
        t_s: Moment of the scenes in seconds.
        height: Of each scene, pixels.
        width: Of each scene, pixels.

    Returns:
        (rows, columns, 3) uint8 RGB.
    """
    panels, counts = [], np.zeros(256, np.int64)
    palette = engine.label_set.palette
    for lighting in LIGHTINGS:
        frame = RoadScene(seed, height, width, lighting=lighting).frame(t_s)
        result = engine.infer(frame.infrared8, frame.rgb)
        counts += np.bincount(result.labels.ravel(), minlength=256)
        panels += [
            (f"infrared, {lighting}", frame.infrared8),
            ("RGB", frame.rgb),
            ("fused", result.fused),
            ("labels", engine.label_set.colourise(result.labels)),
            ("overlay", draw_overlay(result.fused, result.labels, palette)),
        ]
    present = [i for i in np.argsort(-counts, kind="stable").tolist() if counts[i] >= 1e-3 * counts.sum()]
    legend = [(engine.label_set.names[i], tuple(palette[i].tolist())) for i in present if i < len(engine.label_set)]
    return draw_sheet(panels, legend, columns=len(panels) // len(LIGHTINGS))
