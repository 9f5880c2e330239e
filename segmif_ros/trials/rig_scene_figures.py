# SPDX-License-Identifier: Apache-2.0
"""The scene method's figures: on simulated rigs, and on registered images with a known warp (`rig_figures`)."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import cv2
import numpy as np
import numpy.typing as npt

from segmif_ros.data.image_files import read_grey, read_rgb
from segmif_ros.data.pair_folder import PairFiles
from segmif_ros.rig.calibrating.scene_calibration import calibrate_scene
from segmif_ros.rig.calibration import RigCalibration
from segmif_ros.rig.errors import CalibrationError
from segmif_ros.rig.pixel_mapping import Mapping, depth_plane, homography_mapping, stereo_mapping
from segmif_ros.ros.simulator.optics import TwoCameras
from segmif_ros.ros.simulator.rigs import random_rig
from segmif_ros.scenes import RoadScene

FRAMES = 16
BASELINE_M = 0.05
WARPS = 6
BAR_PX = 1.5
_PLANES_M = (8.0, 10.0, 15.0, 20.0, 30.0, 60.0, 1e8)
_FAR_M = 1e9  # a rotation is what is left at infinity
_EVERY = 131  # pixels that errors are taken at
_BEYOND_M = 2.0  # what is nearer isn't counted for a homography: some streets begin behind a vehicle 1 m away

Row = dict[str, Any]


def measure_scene(seed: int, light: str = "day") -> Row:
    """Find how a random rig's images lie on each other from some streets alone, and compare with the truth."""
    truth = random_rig(seed, baseline_m=BASELINE_M)
    infrared, rgb, mount = truth.infrared, truth.rgb, truth.extrinsics
    assert infrared is not None
    assert rgb is not None
    assert mount is not None
    cameras = TwoCameras(truth)
    scenes = [RoadScene(7000 + 100 * seed + k, lighting=light) for k in range(FRAMES)]
    seen = [cameras.capture(scene, 1.0) for scene in scenes]
    pairs = [(each.infrared, each.rgb) for each in seen]
    row: Row = {}
    for name, options in (
        ("homography", {}),
        ("rotation", {"cameras": (infrared, rgb), "translation_m": mount.translation_m}),
    ):
        try:
            made = calibrate_scene(pairs, **options)  # type: ignore[arg-type]
        except CalibrationError as error:
            row[name] = {"refused": str(error)}
            continue
        row[name] = {"said_px": made.expected_px}
        found = made.calibration
        if found.homography is not None:
            # one map for all distances: held against what each pixel shows, like the best plane that is known exactly
            mapping = homography_mapping(found.homography, "rgb")
            planes = [stereo_mapping(infrared, rgb, mount, depth_plane(at_m), "rgb") for at_m in _PLANES_M]
            depths = [each.depth_m for each in seen]
            row[name]["best_plane_px"] = min(_mean_off_px(plane, depths, truth, _BEYOND_M) for plane in planes)
            row[name]["mean_px"] = _mean_off_px(mapping, depths, truth, _BEYOND_M)
            row[name]["with_near_px"] = _mean_off_px(mapping, depths, truth, 0.0)
        else:
            assert found.extrinsics is not None
            mapping = stereo_mapping(infrared, rgb, found.extrinsics, depth_plane(_FAR_M), "rgb")
            row[name]["mean_px"] = _off_px(mapping, np.full((rgb.height, rgb.width), np.inf, np.float32), truth)
    return row


def measure_warped(seed: int, files: Sequence[PairFiles]) -> Row:
    """Find a known warp of registered images from every second pair, and say where a grid of points is put.

    Args:
        seed: Of the warp; even seeds take the even pairs, odd seeds the others.
        files: Of one rig and one size, registered.
    """
    pairs = [(read_grey(each.infrared), read_rgb(each.rgb)) for each in files[seed % 2 :: 2]]
    height, width = pairs[0][1].shape[:2]
    warp = _warp_of(seed, width, height)
    bent = [(cv2.warpPerspective(a, warp, (width, height), borderMode=cv2.BORDER_REPLICATE), b) for a, b in pairs]
    try:
        made = calibrate_scene(bent)
    except CalibrationError as error:
        return {"refused": str(error)}
    assert made.calibration.homography is not None
    u, v = np.meshgrid(np.linspace(0, width - 1, 17), np.linspace(0, height - 1, 13))
    here = np.stack([u.ravel(), v.ravel()], axis=1)
    raw = cv2.perspectiveTransform(here[:, None], warp)[:, 0]
    inside = ((raw >= 0) & (raw <= np.array([width - 1, height - 1]))).all(axis=1)
    put = made.calibration.homography.to_rgb(raw)
    return {
        "mean_px": float(np.hypot(*(put - here)[inside].T).mean()),
        "said_px": made.expected_px,
        "put": [
            point if known else None for point, known in zip(put.tolist(), np.asarray(inside).tolist(), strict=True)
        ],
    }


def scene_table(rows: list[Row]) -> str:
    """Return the table of `measure_scene`."""
    lines = ["| | found | refused | mean error, median rig, px | worst rig | above 1.5 px | said, median |"]
    lines.append("|---|---|---|---|---|---|---|")
    for name in ("homography", "rotation"):
        found = [row[name] for row in rows if "mean_px" in row[name]]
        said = f"{np.median([row['said_px'] for row in found]):.2f}" if found else ""
        lines.append(f"| {name} | {len(found)} | {len(rows) - len(found)} | {_spread(found, 'mean_px')} | {said} |")
        if found and "best_plane_px" in found[0]:
            lines.append(f"| the best plane, exactly | | | {_spread(found, 'best_plane_px')} | |")
            lines.append(f"| homography, with what is nearer than 2 m | | | {_spread(found, 'with_near_px')} | |")
    return "\n".join(lines)


def warped_table(rows: list[Row]) -> str:
    """Return the lines of `measure_warped`."""
    good = [row for row in rows if "refused" not in row]
    lines = [f"{len(good)} of {len(rows)} warps found."]
    lines += [f"Refused: {reason}" for reason in sorted({row["refused"] for row in rows if "refused" in row})]
    if len(good) > 1:
        put = np.array([[(np.nan, np.nan) if at is None else at for at in row["put"]] for row in good])
        common = np.isfinite(put).all(axis=(0, 2))
        apart = [np.hypot(*(a - b)[common].T).mean() for k, a in enumerate(put[::2]) for b in put[1::2] if common.any()]
        lines.append(
            f"Mean over the view: {np.mean(apart):.2f} px between the answers from two halves of the pairs, "
            f"{np.median([row['mean_px'] for row in good]):.2f} px between an answer and the folder's own "
            f"registration; said {np.median([row['said_px'] for row in good]):.2f} px."
        )
    return "\n\n".join(lines)


def _warp_of(seed: int, width: int, height: int) -> npt.NDArray[np.float64]:
    """Return (3, 3): some degrees of roll, a sixth of zoom, shifts and keystones, from registered to raw pixels."""
    rng = np.random.default_rng(seed)
    corners = np.array([(0, 0), (width - 1, 0), (width - 1, height - 1), (0, height - 1)], np.float64)
    turn, middle = np.radians(rng.uniform(-3, 3)), corners.mean(axis=0)
    rotation = np.array([[np.cos(turn), -np.sin(turn)], [np.sin(turn), np.cos(turn)]])
    moved = (corners - middle) @ rotation.T * rng.uniform(0.85, 1.15) + middle
    moved += rng.uniform(-0.04, 0.04, 2) * width + rng.uniform(-1, 1, (4, 2)) * width / 160
    return np.asarray(cv2.getPerspectiveTransform(corners.astype(np.float32), moved.astype(np.float32)), np.float64)


def _mean_off_px(
    mapping: Mapping, depths_m: Sequence[npt.NDArray[np.float32]], truth: RigCalibration, beyond_m: float
) -> float:
    """Return the mean over frames of `_off_px`; a frame that shows nothing so far away doesn't count."""
    return float(np.nanmean([_off_px(mapping, each, truth, beyond_m) for each in depths_m]))


def _off_px(mapping: Mapping, depth_m: npt.NDArray[np.float32], truth: RigCalibration, beyond_m: float = 0.0) -> float:
    """Return how far a mapping is off for what the RGB camera sees so far away, in RGB pixels, on the mean."""
    infrared, rgb, mount = truth.infrared, truth.rgb, truth.extrinsics
    assert infrared is not None
    assert rgb is not None
    assert mount is not None
    v, u = (each.ravel()[::_EVERY] for each in np.indices(depth_m.shape))
    here = np.stack([u, v], axis=1).astype(np.float64)
    rays, known = rgb.rays(here)
    nearness, back = 1.0 / depth_m[v, u], mount.inverse()
    rays = np.concatenate([rays, np.ones((len(rays), 1))], axis=1)
    there, seen = infrared.pixels(rays @ back.rotation.T + nearness[:, None] * back.translation_m)
    seen &= known & (depth_m[v, u] >= beyond_m) & ((there >= 0) & (there <= np.array(infrared.size) - 1)).all(axis=1)
    if not seen.any():
        return float("nan")
    off = there[seen] - mapping.to_other(here[seen])[0]
    return float(rgb.K[0, 0] / infrared.K[0, 0] * np.hypot(*off.T).mean())


def _spread(rows: list[Row], key: str) -> str:
    values = np.array([row[key] for row in rows])
    if not values.size:
        return "| | "
    return f"{np.median(values):.2f} | {values.max():.2f} | {np.sum(values > BAR_PX)}"
