# SPDX-License-Identifier: Apache-2.0
"""Measure calibration, drift watch and registration against the simulated rig's truth: docs/calibration.md's tables.

$ python -m segmif_ros.trials.rig_figures --out out/rig_figures
$ python -m segmif_ros.trials.rig_figures --out out/rig_figures --parts board,scene --seeds 5
$ python -m segmif_ros.trials.rig_figures --out out/rig_figures --parts drift,own,warped --pairs FOLDER

Each row is a function of its part and seed, and is kept in OUT/records.jsonl as soon as it is there: an interrupted run
resumes. The tables are printed, and in OUT/tables.md.
"""

from __future__ import annotations

import argparse
import sys
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import numpy.typing as npt

from segmif_ros.command_line import run_module
from segmif_ros.data.pair_folder import PairFolder
from segmif_ros.evaluation.segmentation_metrics import ConfusionMatrix
from segmif_ros.files import replace_file
from segmif_ros.reporting.errors import RunError
from segmif_ros.reporting.journal import Journal
from segmif_ros.reporting.progress import progress_bar
from segmif_ros.result_folder import ResultFolder
from segmif_ros.rig.calibrating.board import Board
from segmif_ros.rig.calibrating.board_rig import calibrate_board
from segmif_ros.rig.calibrating.views import BoardCollector
from segmif_ros.rig.calibration import Extrinsics, RigCalibration
from segmif_ros.rig.camera_model import CameraModel
from segmif_ros.rig.drift import DriftWatch
from segmif_ros.rig.errors import CalibrationError
from segmif_ros.rig.registration import Registration, RegistrationConfig
from segmif_ros.rig.registration_modes import make_registration
from segmif_ros.ros.simulator.board_view import HeldBoard, planned_pose, pose_in_infrared, random_pose
from segmif_ros.ros.simulator.rigs import random_rig
from segmif_ros.scenes import RoadScene
from segmif_ros.scenes.scene import Pinhole
from segmif_ros.trials.rig_drift_figures import (
    FIRST_SEED,
    drift_table,
    measure_drift,
    measure_file,
    measure_own,
    own_field,
    own_table,
)
from segmif_ros.trials.rig_scene_figures import WARPS, measure_scene, measure_warped, scene_table, warped_table

PROG = "rig_figures"
PARTS = ("parallax", "drift", "fog", "own", "scene", "night", "warped", "board", "careless", "alarms")
_OF_PAIRS = ("own", "warped")
SEEDS = {
    "parallax": 240,
    "drift": 30,
    "fog": 30,
    "own": 1,
    "scene": 20,
    "night": 20,
    "warped": WARPS,
    "board": 20,
    "careless": 20,
    "alarms": 60,
}
BOARD = Board(kind="checkerboard", columns=8, rows=6, spacing_m=0.08)
ERROR_DEPTH_M = 10.0
ALARM_VIEWS = 60  # looks of a minute
BASELINE_M = 0.2
VIEW = 384, 288
_FOR_DEVELOPMENT = range(100, 200)  # scenes of the parallax part that registration was developed on: not measured
_BEFORE = 8  # frames at 10 Hz that a driving camera has seen
_PERSON, _CLASSES = 8, 15
_REDRAWS = 200

Row = dict[str, Any]


def measure_board(seed: int, *, planned: bool = True) -> Row:
    """Calibrate a random rig from 20 rendered views of a board, and compare with the truth.

    Args:
        seed: Of the rig, and of the poses.
        planned: Whether the board is shown as docs/first_fused_frame.md asks, or anywhere.
    """
    pose_of = planned_pose if planned else random_pose
    truth, held, rng = random_rig(seed), HeldBoard(BOARD, hot_on_cold=bool(seed % 2)), np.random.default_rng(seed)
    infrared, rgb, mount = _parts(truth)
    collector = BoardCollector(BOARD)
    for number in range(20):
        pose = pose_of(number, seed, held, infrared, rgb, mount)
        colour = rng.normal(95, 4, (rgb.height, rgb.width, 3)).clip(0, 255).astype(np.uint8)
        counts = rng.normal(7000, 6, (infrared.height, infrared.width)).astype(np.uint16)
        collector.add(
            held.into_infrared(counts, infrared, pose_in_infrared(pose, mount)),
            held.into_rgb(colour, rgb, pose),
            f"view {number}",
        )
    lenses = infrared.distortion_model, rgb.distortion_model
    try:
        made = calibrate_board(BOARD, collector.chosen(), collector.sizes, lenses=lenses)
    except CalibrationError as error:
        return {"refused": str(error)}
    found = made.calibration
    return {**_against(found, truth, ERROR_DEPTH_M), **_model_errors(found, truth), "said_px": made.expected_px}


def measure_alarms(seed: int) -> Row:
    """Drive a minute with 10 cm between the cameras, registered at 10 m, and look once a second."""
    calibration = _side_by_side(240.0, (320, 240), 0.1)
    registration = Registration(RegistrationConfig(mode="stereo", reference_depth_m=ERROR_DEPTH_M), calibration)
    watch = DriftWatch(parallax=(registration.displacement(1e9), registration.displacement(3.0)))
    light = ("day", "dusk", "night")[seed % 3]
    scene = RoadScene(FIRST_SEED + 1000 + seed, 240, 320, lighting=light)
    pinhole = Pinhole(width=320, height=240, focal_px=240.0, centre_u=159.5, centre_v=110.0)
    alarms, estimates, worst = 0, 0, 0.0
    for second in range(ALARM_VIEWS):
        look = scene.look(float(second), pinhole, pinhole, (0.1, 0.0, 0.0))
        made = registration.apply(scene.render8(look.infrared), look.rgb)
        watch.add(made.infrared, made.rgb)
        found = watch.estimate()
        estimates += found is not None
        worst = max(worst, found.moved_px if found else 0.0)
        alarms += watch.moved
    return {"alarms": alarms, "estimates": estimates, "worst_px": worst}


class Parallax:
    """Segmentation on scenes whose infrared camera sits 20 cm to the right, by what registers it."""

    def __init__(self) -> None:
        self._engine: Any = None

    def measure(self, seed: int) -> Row:
        """Return the confusion matrices of one scene, by registration, and milliseconds a frame."""
        if self._engine is None:
            from segmif_ros.inference.engine import Engine, EngineConfig

            self._engine = Engine(EngineConfig(weights=("segmif-rt",), device="cpu"))
        seed += len(_FOR_DEVELOPMENT) if seed >= _FOR_DEVELOPMENT.start else 0
        light = ("day", "dusk", "night")[seed % 3]
        given = {"lighting": light, "weather": "any"}
        # as weights reports render them: views that the weights were trained on
        aligned = RoadScene(FIRST_SEED + seed, VIEW[1], VIEW[0], **given).frame(1.0)  # type: ignore[arg-type]
        apart = RoadScene(
            FIRST_SEED + seed, VIEW[1], VIEW[0], infrared_baseline_m=BASELINE_M, **given  # type: ignore[arg-type]
        )  # fmt: skip
        infrared = apart.frame(1.0).infrared8
        pinhole, depth_m = apart.own_view(1.0)
        K = np.array([[pinhole.focal_px, 0, pinhole.centre_u], [0, pinhole.focal_px, pinhole.centre_v], [0, 0, 1]])
        camera = CameraModel(width=VIEW[0], height=VIEW[1], K=K)
        mount = Extrinsics(rotation=np.eye(3), translation_m=np.array([BASELINE_M, 0.0, 0.0]))
        level = RigCalibration(infrared=camera, rgb=camera, extrinsics=mount, plane=_road(apart.mount_m))
        noise = np.random.default_rng(seed).standard_normal(depth_m.shape)
        pairs = {
            "aligned": (aligned.infrared8, None),
            "RGB alone": (np.full_like(infrared, 128), None),
            "plane at 10 m (default)": (infrared, RegistrationConfig(mode="stereo")),
            "plane at infinity": (infrared, RegistrationConfig(mode="stereo", reference_depth_m=1e8)),
            "ground, 20 m beyond": (infrared, RegistrationConfig(mode="ground", reference_depth_m=20.0)),
            "adaptive, first frame": (infrared, RegistrationConfig(mode="adaptive")),
            "adaptive, after 0.8 s of driving": (infrared, RegistrationConfig(mode="adaptive")),
            "depth, exact": (infrared, RegistrationConfig(mode="depth")),
            "depth, 5 % noise": (infrared, RegistrationConfig(mode="depth")),
        }
        row: Row = {"light": light, "confusion": {}, "ms": {}}
        for name, (image, config) in pairs.items():
            if config is not None:
                registration = make_registration(config, level)
                if config.mode == "depth":
                    measured_m = depth_m * (1 + 0.05 * noise) if "noise" in name else depth_m
                    registration.take_depth(100_000_000 * _BEFORE, measured_m)  # type: ignore[union-attr]
                registration.prepare()
                for k in range(_BEFORE if "driving" in name else 0):
                    before = apart.frame(1.0 - 0.1 * (_BEFORE - k))
                    registration.apply(before.infrared8, before.rgb, 100_000_000 * k)
                started = time.process_time()
                image = registration.apply(image, aligned.rgb, 100_000_000 * _BEFORE).infrared
                row["ms"][name] = 1e3 * (time.process_time() - started)
            matrix = ConfusionMatrix(_CLASSES)
            matrix.update(aligned.labels, self._engine.infer(image, aligned.rgb).labels)
            row["confusion"][name] = matrix.counts.tolist()
        return row


# --- tables ----------------------------------------------------------------------------------------------------------


def tables(rows: dict[str, dict[int, Row]]) -> str:
    """Return all tables as Markdown."""
    makers: dict[str, Callable[[list[Row]], str]] = {
        "board": _board_table, "careless": _board_table, "scene": scene_table, "night": scene_table,
        "warped": warped_table, "drift": drift_table, "fog": drift_table, "own": own_table, "alarms": _alarms_table,
        "parallax": _parallax_table,
    }  # fmt: skip
    parts = []
    for name, found in rows.items():
        maker = makers[name.partition(" ")[0]]
        heading = f"### {name}, {len(found)} seeds"
        parts.append(f"{heading}\n\n{maker([found[seed] for seed in sorted(found)])}\n")
    return "\n".join(parts)


def _board_table(rows: list[Row]) -> str:
    good = [row for row in rows if "refused" not in row]
    lines = ["| | median over rigs | worst rig |", "|---|---|---|"]
    for key, label in (
        ("mean_px", "mean remap error at 10 m, px"), ("worst_px", "worst in the view, px"),
        ("far_mean_px", "mean at infinity, px"), ("said_px", "what the verdict says, px"),
        ("rotation_deg", "rotation, degrees"), ("translation_mm", "translation, mm"),
        ("infrared_focal_percent", "infrared focal length, %"), ("rgb_focal_percent", "RGB focal length, %"),
    ):  # fmt: skip
        values = np.array([abs(row[key]) for row in good])
        lines.append(f"| {label} | {np.median(values):.2f} | {values.max():.2f} |")
    return "\n".join([*lines, "", f"{len(rows) - len(good)} of {len(rows)} refused."])


def _alarms_table(rows: list[Row]) -> str:
    looks = ALARM_VIEWS * len(rows)
    alarms, estimates = (sum(row[key] for row in rows) for key in ("alarms", "estimates"))
    worst = max(row["worst_px"] for row in rows)
    return (
        f"{looks} looks in {looks / 3600:.1f} h of driving: an estimate in {estimates / looks:.0%}, false alarms in "
        f"{alarms} looks, largest misregistration that was estimated {worst:.1f} px."
    )


def _parallax_table(rows: list[Row]) -> str:
    lines = ["| registration | mIoU | person IoU | mIoU back | person back | ms a frame |", "|---|---|---|---|---|---|"]
    counts = {name: np.array([row["confusion"][name] for row in rows]) for name in rows[0]["confusion"]}
    everything = np.arange(len(rows))
    draws = [everything, *np.random.default_rng(0).integers(0, len(rows), (_REDRAWS, len(rows)))]
    found = {name: np.array([_scores(each[draw].sum(axis=0)) for draw in draws]) for name, each in counts.items()}
    lost, whole = found["plane at 10 m (default)"], found["aligned"]
    for name, values in found.items():
        back = [""] * 2
        if name not in ("aligned", "RGB alone", "plane at 10 m (default)"):
            with np.errstate(divide="ignore", invalid="ignore"):
                shares = 100 * (values - lost) / (whole - lost)
            low, high = np.nanpercentile(shares[1:], (16, 84), axis=0)
            back = [f"{shares[0, k]:.0f}% ({low[k]:.0f} to {high[k]:.0f})" for k in (0, 1)]
        taken = [row["ms"][name] for row in rows if name in row["ms"]]
        ms = f"{np.median(taken):.0f}" if taken else ""
        lines.append(f"| {name} | {values[0, 0]:.1f} | {values[0, 1]:.1f} | {back[0]} | {back[1]} | {ms} |")
    return "\n".join([*lines, "", "In brackets: where two thirds of random draws of the scenes lie."])


def _scores(counts: npt.NDArray[np.int64]) -> tuple[float, float]:
    """Return the mIoU and the person IoU in percent."""
    matrix = ConfusionMatrix(_CLASSES)
    matrix.counts += counts
    return 100 * (matrix.mean_iou("present", range(1, _CLASSES)).value or 0), 100 * matrix.iou()[_PERSON]


# --- parts of measuring ----------------------------------------------------------------------------------------------


def _parts(truth: RigCalibration) -> tuple[CameraModel, CameraModel, Extrinsics]:
    assert truth.infrared is not None
    assert truth.rgb is not None
    assert truth.extrinsics is not None
    return truth.infrared, truth.rgb, truth.extrinsics


def _against(found: RigCalibration, truth: RigCalibration, depth_m: float) -> Row:
    """Return how far the registration by ``found`` is off the truth's, in RGB pixels, over what both cameras see."""
    infrared, rgb, _ = _parts(truth)
    size, row = (rgb.width // 8, rgb.height // 8), {}
    scale = rgb.K[0, 0] / infrared.K[0, 0]
    for prefix, at_m in (("", depth_m), ("far_", 1e8)):
        mode = "stereo" if found.extrinsics else "homography"
        maps = [
            Registration(RegistrationConfig(mode=how, reference_depth_m=at_m), each).maps(size, infrared.size)
            for how, each in ((mode, found), ("stereo", truth))
        ]
        both = (maps[0].valid & maps[1].valid).astype(bool)
        off = scale * np.hypot(*np.moveaxis(maps[0].pixels - maps[1].pixels, -1, 0))[both]
        row[f"{prefix}mean_px"], row[f"{prefix}worst_px"] = float(off.mean()), float(off.max())
    return row


def _model_errors(found: RigCalibration, truth: RigCalibration) -> Row:
    here, there = _parts(found), _parts(truth)
    turn = here[2].rotation.T @ there[2].rotation
    return {
        "rotation_deg": float(np.degrees(np.linalg.norm(cv2.Rodrigues(turn)[0]))),
        "translation_mm": 1e3 * float(np.linalg.norm(here[2].translation_m - there[2].translation_m)),
        "infrared_focal_percent": 100 * float(here[0].K[0, 0] / there[0].K[0, 0] - 1),
        "rgb_focal_percent": 100 * float(here[1].K[0, 0] / there[1].K[0, 0] - 1),
    }


def _side_by_side(focal_px: float, size: tuple[int, int], baseline_m: float) -> RigCalibration:
    K = np.array([[focal_px, 0, 0.5 * (size[0] - 1)], [0, focal_px, 110.0], [0, 0, 1]])
    camera = CameraModel(width=size[0], height=size[1], K=K)
    mount = Extrinsics(rotation=np.eye(3), translation_m=np.array([baseline_m, 0.0, 0.0]))
    return RigCalibration(infrared=camera, rgb=camera, extrinsics=mount)


def _road(mount_m: float) -> Any:
    from segmif_ros.rig.calibration import Plane

    return Plane(normal=np.array([0.0, 1.0, 0.0]), distance_m=mount_m)


# --- the command -----------------------------------------------------------------------------------------------------


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare what is measured."""
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument(
        "--parts", default=",".join(each for each in PARTS if each not in _OF_PAIRS),
        help=f"of {', '.join(PARTS)} (default: %(default)s)",
    )  # fmt: skip
    parser.add_argument("--seeds", type=int, default=0, help="of each part; 0: as many as the documentation's tables")
    parser.add_argument("--pairs", type=Path, help="drift, own, warped: a folder of registered pairs")
    parser.add_argument(
        "--without", type=Path, help="drift: other pairs of that rig, whose own displacement is taken off first"
    )


def run(options: argparse.Namespace) -> int:
    """Measure what isn't there yet and print the tables."""
    parts = options.parts.split(",")
    if unknown := [each for each in parts if each not in PARTS]:
        raise RunError(f"--parts: there is no '{unknown[0]}', choose from {', '.join(PARTS)}")
    cv2.setNumThreads(1)
    with ResultFolder(options.out, PROG):
        journal: Journal[Row] = Journal(options.out, {"kind": PROG})
        rows: dict[str, dict[int, Row]] = {}
        for record in journal.records.values():
            rows.setdefault(record["part"], {})[record["seed"]] = record["row"]
        for part in parts:
            name, measure, count = _measure_of(part, options)
            found = rows.setdefault(name, {})
            wanted = [seed for seed in range(count) if seed not in found]
            with progress_bar(name, count, len(found)) as advance:
                for seed in wanted:
                    found[seed] = measure(seed)
                    journal.add({"key": f"{name} {seed}", "part": name, "seed": seed, "row": found[seed]})
                    advance(1)
        journal.close()
        text = tables({name: found for name, found in rows.items() if found})
        replace_file(options.out / "tables.md", text)
    print(text)
    return 0


def _named(folder: Path) -> str:
    """Return a folder's last two names: data sets have parts of one name."""
    return "/".join(folder.resolve().parts[-2:])


def _measure_of(part: str, options: argparse.Namespace) -> tuple[str, Callable[[int], Row], int]:
    count = options.seeds or SEEDS[part]
    if part in _OF_PAIRS and not options.pairs:
        raise RunError(f"--parts {part} needs --pairs: a folder of registered pairs of one rig")
    if part in _OF_PAIRS or (part == "drift" and options.pairs):
        files, name = PairFolder(options.pairs).files, _named(options.pairs)
        if part == "warped":
            return f"warped {name}", partial(measure_warped, files=files), count
        if part == "own":
            return f"own displacement of {name}", partial(measure_own, files=files), 1
        if not options.without:
            return f"drift on {name}", partial(measure_file, files=files), len(files)
        field, _ = own_field(PairFolder(options.without).files)
        name = f"drift on {name} without the displacement of {_named(options.without)}"
        return name, partial(measure_file, files=files, field=field), len(files)
    measures: dict[str, Callable[[int], Row]] = {
        "board": measure_board, "careless": partial(measure_board, planned=False), "scene": measure_scene,
        "night": partial(measure_scene, light="night"),
        "drift": measure_drift, "fog": partial(measure_drift, weather="fog"),
        "alarms": measure_alarms, "parallax": Parallax().measure,
    }  # fmt: skip
    return part, measures[part], count


if __name__ == "__main__":
    sys.exit(run_module("segmif_ros.trials.rig_figures", __doc__, add_arguments, run))
