# SPDX-License-Identifier: Apache-2.0
"""A homography from pairs of points that somebody chose: enough for what is far, or flat."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np

from segmif_ros.arrays import Float64Array, Mask
from segmif_ros.rig.calibration import Homography, RigCalibration
from segmif_ros.rig.errors import CalibrationError

MIN_PAIRS = 4
_OUTLIER_SHARE = 0.01  # of the RGB image's width
_MIN_SPREAD = 0.2  # of each image's sides that the points must span


@dataclass(frozen=True, kw_only=True, eq=False)
class PointsResult:
    """A homography and how well it fits.

    Attributes:
        calibration: With the homography.
        residuals_px: (N,) distances in RGB pixels.
        used: (N,) bool, whether a pair fits the others.
    """

    calibration: RigCalibration
    residuals_px: Float64Array
    used: Mask

    @property
    def verdict(self) -> str:
        """One line."""
        used = self.used
        mean = float(self.residuals_px[used].mean())
        error = f"{mean:.1f} px mean over {int(used.sum())} pairs"
        if used.sum() == MIN_PAIRS:
            return "exact for the 4 pairs, so unchecked: give 6 or more to see how well it fits"
        left_out = "" if used.all() else f"; left out, as far from the others: pair {_numbers(used)}"
        return f"{'good' if mean < 2 else 'fair' if mean < 5 else 'poor'}: {error}{left_out}"


def read_points(path: Path) -> Float64Array:
    """Return the (N, 4) infrared u, v and RGB u, v of a text file, one pair a line; # begins a comment.

    Raises:
        CalibrationError: One line that names the file and the line.
    """
    try:
        lines = path.read_text(encoding="utf-8").splitlines()
    except (OSError, UnicodeDecodeError) as error:
        raise CalibrationError(f"{path}: {getattr(error, 'strerror', None) or 'not a text file'}") from None
    rows = []
    for number, line in enumerate(lines, 1):
        words = line.split("#")[0].replace(",", " ").replace(";", " ").split()
        if not words:
            continue
        try:
            row = [float(word) for word in words]
        except ValueError:
            row = []
        if len(row) != 4 or not np.isfinite(row).all():
            raise CalibrationError(
                f"{path}: line {number}: four numbers are needed, infrared u v and RGB u v, in pixels"
            )
        rows.append(row)
    return np.array(rows, np.float64).reshape(-1, 4)


def calibrate_points(points: Float64Array, infrared_size: tuple[int, int], rgb_size: tuple[int, int]) -> PointsResult:
    """Return the homography of pairs of points.

    Args:
        points: (N, 4), infrared u, v and RGB u, v.
        infrared_size: (width, height).
        rgb_size: (width, height).

    Raises:
        CalibrationError: If they are too few, outside the images, on one line, or contradict each other.
    """
    if len(points) < MIN_PAIRS:
        raise CalibrationError(f"{len(points)} pairs of points: {MIN_PAIRS} at least are needed, 6 to 12 are good")
    for name, columns, size in (("infrared", points[:, :2], infrared_size), ("RGB", points[:, 2:], rgb_size)):
        outside = np.flatnonzero(((columns < -0.5) | (columns > np.array(size) - 0.5)).any(axis=1))
        if outside.size:
            raise CalibrationError(
                f"pair {outside[0] + 1}: its {name} point is outside the {size[0]}x{size[1]} image: are the columns "
                "infrared u v, RGB u v?"
            )
        spread = np.sqrt(np.linalg.eigvalsh(np.cov((columns / size).T)))
        if spread.min() < 0.1 * _MIN_SPREAD:
            raise CalibrationError(f"the {name} points lie on one line: choose some all over the image")
    limit = max(3.0, _OUTLIER_SHARE * rgb_size[0])
    matrix, fits = cv2.findHomography(points[:, :2], points[:, 2:], cv2.RANSAC, limit)
    used = np.zeros(0, bool) if matrix is None else np.asarray(fits, bool).ravel()
    if matrix is None or used.sum() < MIN_PAIRS:
        raise CalibrationError("no homography fits four of the pairs: check that each shows one thing in both images")
    if used.sum() < max(MIN_PAIRS, 0.5 * len(points)):
        raise CalibrationError(f"only {used.sum()} of {len(points)} pairs fit each other: check them one by one")
    homography = Homography(matrix=np.asarray(matrix, np.float64), infrared_size=infrared_size, rgb_size=rgb_size)
    off = np.hypot(*(homography.to_rgb(points[:, :2]) - points[:, 2:]).T)
    return PointsResult(calibration=RigCalibration(homography=homography), residuals_px=off, used=used)


def _numbers(used: Mask) -> str:
    return ", ".join(str(k + 1) for k in np.flatnonzero(~used))
