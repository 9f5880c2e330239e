# SPDX-License-Identifier: Apache-2.0
"""The command: board, scene or points -> OUT/rig.yaml, camera_info YAMLs, report.json and report.html."""

from __future__ import annotations

import argparse
import json
from collections.abc import Callable
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
import yaml

from segmif_ros.bag.reading import Topics
from segmif_ros.files import replace_file, write_json
from segmif_ros.reporting.progress import progress_bar
from segmif_ros.result_folder import ResultFolder
from segmif_ros.rig.calibrating.board import parse_board
from segmif_ros.rig.calibrating.board_rig import LENSES, BoardResult, calibrate_board
from segmif_ros.rig.calibrating.clicked_points import calibrate_points, read_points
from segmif_ros.rig.calibrating.scene_calibration import ACCEPT_PX, MAX_FRAMES, calibrate_scene
from segmif_ros.rig.calibrating.views import MAX_VIEWS, MIN_VIEWS, BoardCollector, FrozenImages
from segmif_ros.rig.calibration import RigCalibration
from segmif_ros.rig.calibration_file import calibration_yaml, load_calibration
from segmif_ros.rig.camera_model import CameraModel
from segmif_ros.rig.errors import CalibrationError
from segmif_ros.trials.calibrate.calibration_page import click_page, report_page
from segmif_ros.trials.calibrate.calibration_sources import LIVE, CalibrationSource, NamedPair, default_topics

PROG = "segmif calibrate"
RIG_FILE, REPORT_FILE, PAGE_FILE, CLICK_FILE = "rig.yaml", "report.json", "report.html", "points.html"
METHODS = ("board", "scene", "points")
_SHOWN = 4  # pairs on the page
_CANDIDATES = 3 * MAX_FRAMES  # pairs of a drive that the scene method picks from
_NEW_VIEW = 0.02  # mean grey difference, as a share of the range, from which on a pair is another view


@dataclass(frozen=True, kw_only=True, eq=False)
class Outcome:
    """What a method came to.

    Attributes:
        calibration: The rig.
        verdict: One line.
        facts: For report.json.
        shown: Pairs for the page.
    """

    calibration: RigCalibration
    verdict: str
    facts: dict[str, Any]
    shown: list[NamedPair]


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the arguments of `segmif calibrate`."""
    topics = default_topics()
    parser.add_argument(
        "method", choices=METHODS, help="board: a printed pattern; scene: a drive; points: chosen pairs"
    )
    parser.add_argument(
        "source", help=f"a folder with infrared/ and visible/, a bag, or '{LIVE}': the topics of running cameras"
    )
    parser.add_argument("--out", type=Path, required=True, help="folder for rig.yaml, camera_info files and the page")
    parser.add_argument("--board", help="KIND:COLUMNSxROWS:METRES, as checkerboard:8x6:0.04 (inner corners)")
    parser.add_argument("--infrared-lens", choices=LENSES, default="plumb_bob", help="default: %(default)s")
    parser.add_argument("--rgb-lens", choices=LENSES, default="plumb_bob", help="default: %(default)s")
    parser.add_argument(
        "--known", type=Path, metavar="FILE", help="calibration file: its cameras are known and stay as they are"
    )
    parser.add_argument("--points", type=Path, metavar="FILE", help="lines of: infrared u v, RGB u v")
    parser.add_argument("--click", action="store_true", help="points: write a page to click the points on, and end")
    parser.add_argument(
        "--translation", type=float, nargs=3, metavar=("X", "Y", "Z"),
        help="scene: where the infrared camera is, in metres to the right, down and ahead of the RGB camera",
    )  # fmt: skip
    parser.add_argument("--fov-ratio", type=float, help="scene: infrared field of view by RGB's, if about known")
    parser.add_argument(
        "--accept-px", type=float, default=ACCEPT_PX,
        help="scene: mean error to be expected up to which there is a calibration, RGB pixels (default: %(default)s)",
    )  # fmt: skip
    parser.add_argument("--infrared-topic", default=topics.infrared)
    parser.add_argument("--rgb-topic", default=topics.rgb)
    parser.add_argument(
        "--slop", type=float, default=0.0, help="largest difference of stamps, s; 0: as the node has it"
    )
    parser.add_argument("--every", type=int, default=1, help="take every n-th pair")
    parser.add_argument("--seconds", type=float, default=60.0, help=f"how long to listen to '{LIVE}'")
    parser.add_argument(
        "--views", type=int, default=MAX_VIEWS,
        help=f"board, '{LIVE}': end with so many different views of both cameras (default: %(default)s)",
    )  # fmt: skip


def run(options: argparse.Namespace) -> int:
    """Run the command; errors are raised as one line, and exit status 0 means that there is a calibration."""
    if (
        options.every < 1
        or options.seconds <= 0
        or options.slop < 0
        or options.views < MIN_VIEWS
        or options.accept_px <= 0
    ):
        raise CalibrationError(
            f"--every must be 1 or more, --seconds above 0, --slop 0 or more, --views {MIN_VIEWS} or more, "
            "--accept-px above 0"
        )
    source = CalibrationSource(
        place=options.source,
        topics=Topics(infrared=options.infrared_topic, rgb=options.rgb_topic),
        slop_s=options.slop,
        every=options.every,
        seconds=options.seconds,
    )
    with ResultFolder(options.out, PROG):
        if options.method == "points" and options.click:
            pair = next(iter(source.pairs()), None)
            if pair is None:
                raise CalibrationError(f"{options.source}: no pair to click on")
            page = options.out / CLICK_FILE
            replace_file(page, click_page(pair))
            print(
                f"open {page} in a browser, click four or more pairs of points, and save them; "
                "then give the same command with --points points.txt in place of --click"
            )
            return 0
        methods: dict[str, Callable[[argparse.Namespace, CalibrationSource], Outcome]] = {
            "board": _board, "scene": _scene, "points": _points,
        }  # fmt: skip
        outcome = methods[options.method](options, source)
        _write(options.out, options.method, outcome)
    print(outcome.verdict)
    print(f"calibration_file: {options.out / RIG_FILE}    page: {options.out / PAGE_FILE}")
    return 0


def _board(options: argparse.Namespace, source: CalibrationSource) -> Outcome:
    if not options.board:
        raise CalibrationError(
            "--board is needed, as checkerboard:8x6:0.04: inner corners, and a square's side in metres"
        )
    collector = BoardCollector(parse_board(options.board), moving=source.moving)
    shown: list[NamedPair] = []
    with progress_bar("looking for the board", None) as advance:
        for pair in source.pairs():
            view = collector.add(pair.infrared, pair.rgb, pair.name)
            is_new = bool(collector.views) and collector.views[-1] is view
            if source.place == LIVE and is_new and view.common is not None:
                print(f"view {sum(each.common is not None for each in collector.views)}: taken, show another place")
            if view.common is not None and len(shown) < _SHOWN and is_new:
                shown.append(pair)
            advance(1)
            if source.place == LIVE and sum(each.common is not None for each in collector.views) >= options.views:
                break
    known = load_calibration(options.known) if options.known else RigCalibration()
    lenses = options.infrared_lens, options.rgb_lens
    result = calibrate_board(
        collector.board, collector.chosen(), collector.sizes, lenses=lenses, known=(known.infrared, known.rgb)
    )
    return Outcome(
        calibration=result.calibration, verdict=result.verdict, facts=_board_facts(result, collector), shown=shown
    )


def _board_facts(result: BoardResult, collector: BoardCollector) -> dict[str, Any]:
    return {
        "expected_px": result.expected_px,
        "expected_cells_px": result.expected_cells_px,
        "transfer_px": result.transfer_px,
        "transfer_px_95": result.worst_px,
        "coverage": result.coverage,
        "advice": list(result.advice),
        "views": [asdict(each) for each in result.residuals],
        "pairs": dict(collector.seen),
    }


def _scene(options: argparse.Namespace, source: CalibrationSource) -> Outcome:
    known = load_calibration(options.known) if options.known else RigCalibration()
    cameras = (known.infrared, known.rgb) if known.infrared and known.rgb else None
    if options.translation and cameras is None:
        raise CalibrationError("--translation needs --known with both cameras: a homography knows no distance")
    pairs: list[NamedPair] = []
    frozen = FrozenImages()
    with progress_bar("reading views", None) as advance:
        for pair in source.pairs():
            advance(1)
            frozen.look(pair.infrared, pair.rgb)
            if pairs and not _differs(pair, pairs[-1]):
                continue
            pairs.append(pair)
            if len(pairs) > 2 * _CANDIDATES:  # of a long drive, views from all of it
                pairs = pairs[::2]
            if source.place == LIVE and len(pairs) >= _CANDIDATES:
                break
    if problem := frozen.problem():
        raise CalibrationError(problem)
    translation = np.array(options.translation) if options.translation else None
    result = calibrate_scene(
        [(each.infrared, each.rgb) for each in pairs],
        cameras=(cameras[0], cameras[1]) if cameras and cameras[0] and cameras[1] else None,
        translation_m=translation,
        fov_ratio=options.fov_ratio,
        accept_px=options.accept_px,
    )
    step = max(1, len(pairs) // _SHOWN)
    facts = {
        "expected_px": result.expected_px,
        "deviation_px": result.deviation_px,
        "covariance": result.covariance.tolist(),
        "tiles": result.tiles,
        "frames": result.frames,
    }
    return Outcome(calibration=result.calibration, verdict=result.verdict, facts=facts, shown=pairs[::step][:_SHOWN])


def _points(options: argparse.Namespace, source: CalibrationSource) -> Outcome:
    if not options.points:
        raise CalibrationError("--points FILE is needed, or --click for a page to choose the points on")
    points = read_points(options.points)
    pair = next(iter(source.pairs()), None)
    if pair is None:
        raise CalibrationError(f"{options.source}: no pair in it, whose sizes are needed")
    result = calibrate_points(points, pair.infrared.shape[1::-1], pair.rgb.shape[1::-1])
    facts = {"residuals_px": result.residuals_px.tolist(), "used": result.used.tolist()}
    return Outcome(calibration=result.calibration, verdict=result.verdict, facts=facts, shown=[pair])


def _write(out: Path, method: str, outcome: Outcome) -> None:
    """Write the files; the calibration last, so that one that is there belongs to the others."""
    calibration = outcome.calibration
    for name, camera in (("infrared", calibration.infrared), ("rgb", calibration.rgb)):
        if camera is not None:
            replace_file(out / f"{name}.yaml", camera_info_yaml(camera, name))
    report = {"method": method, "verdict": outcome.verdict, **outcome.facts}
    write_json(out / REPORT_FILE, json.loads(json.dumps(report, default=float)))
    replace_file(out / PAGE_FILE, report_page(method, outcome))
    replace_file(out / RIG_FILE, calibration_yaml(calibration))


def camera_info_yaml(camera: CameraModel, name: str) -> str:
    """Return a camera's file as camera_info_manager reads it."""

    def matrix(values: Any) -> dict[str, Any]:
        array = np.atleast_2d(np.asarray(values, float))
        return {"rows": array.shape[0], "cols": array.shape[1], "data": array.ravel().tolist()}

    P = np.hstack([camera.K, np.zeros((3, 1))]) if camera.P is None else camera.P
    values = {
        "image_width": camera.width,
        "image_height": camera.height,
        "camera_name": name,
        "camera_matrix": matrix(camera.K),
        "distortion_model": camera.distortion_model,
        "distortion_coefficients": matrix(camera.D if camera.D.size else np.zeros(5)),
        "rectification_matrix": matrix(camera.R),
        "projection_matrix": matrix(P),
    }
    return str(yaml.safe_dump(values, sort_keys=False, default_flow_style=None, width=120))


def _differs(pair: NamedPair, last: NamedPair) -> bool:
    a, b = (each.rgb[::16, ::16].astype(np.float32) for each in (pair, last))
    if a.shape != b.shape:
        raise CalibrationError(f"{pair.name}: the images change their size: calibrate with images of one size")
    return float(np.abs(a - b).mean()) > 255 * _NEW_VIEW
