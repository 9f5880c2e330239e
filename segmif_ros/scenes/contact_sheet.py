# SPDX-License-Identifier: Apache-2.0
"""A contact sheet of scenes, and how many are made a second."""

from __future__ import annotations

import time
from collections.abc import Sequence
from pathlib import Path

import cv2
import numpy as np
import numpy.typing as npt

from segmif_ros.command_line import Parser, finish
from segmif_ros.labels import FMB
from segmif_ros.scenes.climate import LIGHTINGS
from segmif_ros.scenes.scene import RoadScene, SceneError


def contact_sheet(seeds: Sequence[int], height: int, width: int, weather: str = "any") -> npt.NDArray[np.uint8]:
    """uint8 RGB: a row for each seed; in it RGB, infrared, labels for day, dusk and night."""
    rows = []
    for seed in seeds:
        tiles = []
        for lighting in LIGHTINGS:
            frame = RoadScene(seed, height, width, lighting=lighting, weather=weather).frame(0.0)
            tiles += [frame.rgb, cv2.cvtColor(frame.infrared8, cv2.COLOR_GRAY2RGB), FMB.colourise(frame.labels)]
        rows.append(np.hstack(tiles))
    return np.vstack(rows)


def main(arguments: Sequence[str] | None = None) -> int:
    """The command; returns its exit status."""
    parser = Parser(prog="python -m segmif_ros.scenes", description=__doc__)
    parser.add_argument("--sheet", type=Path, help="write a contact sheet to this PNG file")
    parser.add_argument("--benchmark", action="store_true", help="print how many scenes are made a second on one core")
    parser.add_argument("--seed", type=int, default=0, help="first seed of the sheet")
    parser.add_argument("--rows", type=int, default=6, help="seeds on the sheet")
    parser.add_argument("--height", type=int, default=240)
    parser.add_argument("--width", type=int, default=320)
    parser.add_argument("--weather", default="any")
    options = parser.parse_args(arguments)

    def run() -> int:
        if options.sheet:
            seeds = range(options.seed, options.seed + options.rows)
            sheet = contact_sheet(seeds, options.height, options.width, options.weather)
            if not options.sheet.parent.is_dir():
                raise SceneError(f"no such folder: {options.sheet.parent}")
            cv2.imwrite(str(options.sheet), cv2.cvtColor(sheet, cv2.COLOR_RGB2BGR))
            print(f"wrote {options.sheet}: {sheet.shape[1]}x{sheet.shape[0]}")
        if options.benchmark:
            cv2.setNumThreads(1)
            print(benchmark(options.height, options.width))
        return 0

    return finish(parser.prog, run)


def benchmark(height: int, width: int, count: int = 60) -> str:
    """One line: new scenes (world and one frame) and frames of one scene, per second of processor time on one core."""
    RoadScene(0, height, width, lighting="any", weather="any").frame(0.0)
    start = time.process_time()
    for seed in range(count):
        RoadScene(seed, height, width, lighting="any", weather="any").frame(0.0)
    scenes = count / (time.process_time() - start)
    scene = RoadScene(0, height, width, lighting="night")
    start = time.process_time()
    for k in range(count):
        scene.frame(k / 30)
    frames = count / (time.process_time() - start)
    return f"{width}x{height}: {scenes:.1f} new scenes, {frames:.1f} frames of one scene per second of processor time"
