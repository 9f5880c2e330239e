# SPDX-License-Identifier: Apache-2.0
"""The drift watch's figures: how well one pair tells moved cameras, on scenes and on given pairs (`rig_figures`).

Registered pairs of a data set may be displaced themselves, always in the same way. The displacement is found from all
of them together, and can be taken off other pairs of that rig before they are measured.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from typing import Any

import cv2
import numpy as np

from segmif_ros.arrays import Float32Array, Image
from segmif_ros.data.image_files import read_grey, read_rgb
from segmif_ros.data.pair_folder import PairFiles
from segmif_ros.reporting.errors import RunError
from segmif_ros.rig.agreement import agreement, edge_orientations, make_tiles, peak
from segmif_ros.rig.drift import single_view_score
from segmif_ros.scenes import RoadScene

SHIFTS_PX = (2, 4, 8)
FIRST_SEED = 5_100_000  # scenes that no weights were trained on
_FIELD_ROWS, _FIELD_COLUMNS, _FIELD_REACH_PX = 6, 8, 10

Row = dict[str, Any]


def measure_drift(seed: int, pairs: tuple[Image, Image] | None = None, weather: str = "any") -> Row:
    """Score one pair, by day, dusk or night, where it is and after each kind of move.

    A roll and a zoom are about the middle, and displace the corners of the middle half by so many pixels.
    """
    if pairs is None:
        light = ("day", "dusk", "night")[seed % 3]
        frame = RoadScene(FIRST_SEED + seed, 240, 320, lighting=light, weather=weather).frame(1.0)
        pairs = frame.infrared8, frame.rgb
    infrared, rgb = pairs
    height, width = infrared.shape
    middle, corner = (0.5 * (width - 1), 0.5 * (height - 1)), np.hypot(0.25 * width, 0.25 * height)
    rng, row = np.random.default_rng(seed), {"0": single_view_score(infrared, rgb)}
    for moved_px in SHIFTS_PX:
        angle, sign = rng.uniform(0, 2 * np.pi), rng.choice((-1, 1))
        by = sign * moved_px / corner
        moves = {
            "shift": np.array([[1, 0, moved_px * np.cos(angle)], [0, 1, moved_px * np.sin(angle)]]),
            "roll": cv2.getRotationMatrix2D(middle, float(np.degrees(by)), 1.0),
            "zoom": cv2.getRotationMatrix2D(middle, 0.0, float(1 + by)),
        }
        for kind, move in moves.items():
            moved = cv2.warpAffine(infrared, move, (width, height), borderMode=cv2.BORDER_REPLICATE)
            row[f"{kind} {moved_px}"] = single_view_score(moved, rgb)
    return row


def measure_file(seed: int, files: Sequence[PairFiles], field: Float32Array | None = None) -> Row:
    """Score one pair of a folder.

    Args:
        seed: Which one.
        files: Of the folder.
        field: (rows, columns, 2) displacement that is taken off first, of `own_field`.
    """
    infrared, rgb = _read(files[seed])
    return measure_drift(seed, (infrared if field is None else without_field(infrared, field), rgb))


def own_field(files: Sequence[PairFiles]) -> tuple[Float32Array, int]:
    """Return how infrared lies displaced in parts of the view, and from how many pairs.

    Args:
        files: Pairs of one rig; those of the commonest size count.

    Returns:
        (6, 8, 2) (dx, dy) in pixels, and the number of pairs.

    Raises:
        RunError: If there are no pairs.
    """
    if not files:
        raise RunError("no pairs to find a displacement from")
    pairs = [_read(each) for each in files]
    size, _ = Counter(rgb.shape[:2] for _, rgb in pairs).most_common(1)[0]
    pairs = [(infrared, rgb) for infrared, rgb in pairs if infrared.shape == size and rgb.shape[:2] == size]
    tiles = make_tiles(size[1], size[0], _FIELD_ROWS, _FIELD_COLUMNS)
    total = np.zeros((len(tiles), 2 * _FIELD_REACH_PX + 1, 2 * _FIELD_REACH_PX + 1), np.float32)
    for infrared, rgb in pairs:
        total += agreement(edge_orientations(infrared), edge_orientations(rgb), tiles, _FIELD_REACH_PX)
    found = np.array([peak(each)[:2] for each in total], np.float32)
    return found.reshape(_FIELD_ROWS, _FIELD_COLUMNS, 2), len(pairs)


def without_field(infrared: Image, field: Float32Array) -> Image:
    """Return an (H, W) infrared image moved back by a displacement of `own_field`."""
    height, width = infrared.shape
    u, v = np.meshgrid(np.arange(width, dtype=np.float32), np.arange(height, dtype=np.float32))
    columns, rows = (u + 0.5) * field.shape[1] / width - 0.5, (v + 0.5) * field.shape[0] / height - 0.5
    off = np.asarray(cv2.remap(field, columns, rows, cv2.INTER_LINEAR, borderMode=cv2.BORDER_REPLICATE))
    moved = cv2.remap(infrared, u + off[..., 0], v + off[..., 1], cv2.INTER_LINEAR, borderMode=cv2.BORDER_REPLICATE)
    return np.asarray(moved, np.uint8)


def measure_own(seed: int, files: Sequence[PairFiles]) -> Row:
    """Find the displacement of a folder's pairs from all of them, and from the even and the odd ones alone."""
    del seed  # nothing is drawn
    (field, count), (even, _), (odd, _) = own_field(files), own_field(files[::2]), own_field(files[1::2] or files)
    return {"field": field.tolist(), "pairs": count, "halves_px": float(np.median(np.hypot(*(even - odd).T)))}


def drift_table(rows: list[Row]) -> str:
    """Return the table of `measure_drift`."""
    lines = ["| AUROC, one pair | 2 px | 4 px | 8 px |", "|---|---|---|---|"]
    good = np.array([row["0"] for row in rows])
    for kind in ("shift", "roll", "zoom"):
        bad = [np.array([row[f"{kind} {moved_px}"] for row in rows])[:, None] for moved_px in SHIFTS_PX]
        cells = [f"{np.mean((each > good) + 0.5 * (each == good)):.3f}" for each in bad]
        lines.append(f"| {kind} | " + " | ".join(cells) + " |")
    return "\n".join(lines)


def own_table(rows: list[Row]) -> str:
    """Return what `measure_own` found."""
    field = np.array(rows[0]["field"])
    off = np.hypot(*np.moveaxis(field, -1, 0))
    said = (
        f"{rows[0]['pairs']} pairs: infrared is displaced by {off.mean():.1f} px on the mean and {off.max():.1f} px at "
        f"most; between the even and the odd pairs' answers, {rows[0]['halves_px']:.1f} px. Right and down, px:"
    )
    lines = [said, "", "|" + " |" * field.shape[1], "|" + "---|" * field.shape[1]]
    lines += ["| " + " | ".join(f"{dx:+.1f}, {dy:+.1f}" for dx, dy in row) + " |" for row in field]
    return "\n".join(lines)


def _read(files: PairFiles) -> tuple[Image, Image]:
    return read_grey(files.infrared).astype(np.uint8), read_rgb(files.rgb)
