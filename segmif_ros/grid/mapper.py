# SPDX-License-Identifier: Apache-2.0
"""GroundMapper: label maps with poses in, a grid around the robot out."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from segmif_ros.arrays import Float64Array, Image
from segmif_ros.grid.config import GridConfig
from segmif_ros.grid.costs import GROUND, ClassTable, CostTable
from segmif_ros.grid.errors import GridError
from segmif_ros.grid.evidence import evidence_of_labels, evidence_of_points
from segmif_ros.grid.ground_view import OUTSIDE, GroundView, UndistortedView
from segmif_ros.grid.rolling import GridMap, RollingGrid
from segmif_ros.rig.camera_model import CameraModel

MAX_CLASSES = 127  # what int8 cells can name
_HORIZON_MARGIN_DEG = 0.6
_HORIZON_SHARE = 0.03  # of an image's ground or sky on the wrong side before the pitch is doubted
_HORIZON_PIXELS = 200
_HORIZON_CONFIDENCE = 204  # of pixels that count, out of 255
_HORIZON_LOOKS = 3  # in a row


@dataclass(frozen=True, kw_only=True, eq=False)
class LabelFrame:
    """One label map.

    Attributes:
        labels: (H, W) uint8 class ids.
        confidence: (H, W) uint8, 0..255 for 0..1.
        stamp_ns: Of the image.
    """

    labels: Image
    confidence: Image
    stamp_ns: int


class GroundMapper:
    """Turns label maps into a grid.

    Args:
        config: The grid's settings.
        costs: Of classes, by name.
        names: Class names of the label maps, in the order of ids.

    Attributes:
        table: The costs by id.

    Raises:
        GridError: If there are more classes than a grid can name.
    """

    def __init__(self, config: GridConfig, costs: CostTable, names: tuple[str, ...]) -> None:
        if not 2 <= len(names) <= MAX_CLASSES:
            raise GridError(f"{len(names)} classes make no grid: 2 to {MAX_CLASSES} are possible")
        self.config = config
        self.table: ClassTable = costs.for_names(names)
        self._grid = RollingGrid(config, self.table)
        self._pinhole: UndistortedView | None = None
        self._pinhole_of: CameraModel | None = None
        self._sky = names.index("sky") if "sky" in names else None
        self._doubts = 0

    def clear(self) -> None:
        """Forget everything, as after a jump of the clock or of the odometry."""
        self._grid.clear()

    def pinhole(self, camera: CameraModel, frame: LabelFrame) -> UndistortedView:
        """Return the camera at the label map's size; remembered.

        Args:
            camera: The camera's model, at its calibrated size.
            frame: The label map.
        """
        height, width = frame.labels.shape
        found = self._pinhole
        if found is None or self._pinhole_of != camera or (found.width, found.height) != (width, height):
            found = self._pinhole = UndistortedView(camera, width, height)
            self._pinhole_of = camera
        return found

    def add(
        self, frame: LabelFrame, camera: CameraModel, base_from_optical: Float64Array, odom_from_base: Float64Array
    ) -> GroundView:
        """Take in a label map by the ground plane; return the view that it was taken from.

        Args:
            frame: Labels, confidence and stamp.
            camera: The camera's model.
            base_from_optical: (4, 4), the camera's optical frame in the base frame, metres.
            odom_from_base: (4, 4), the base frame in the odometry frame, metres.

        Raises:
            GridError: If camera, pose and label map make no view of the ground; the grid stays as it was.
        """
        _check(frame)
        pinhole = self.pinhole(camera, frame)
        view = GroundView.of(pinhole.K, base_from_optical, odom_from_base, self.config.ground_z_m)
        labels, confidence = pinhole.undistorted(frame.labels, frame.confidence)
        self._grid.centre_on(float(odom_from_base[0, 3]), float(odom_from_base[1, 3]))
        evidence = evidence_of_labels(labels, confidence, view, self._grid.square, self.table, self.config)
        self._grid.add(evidence, frame.stamp_ns)
        return view

    def add_points(
        self,
        points_base: npt.NDArray,
        classes: Image,
        confidence: Image,
        stamp_ns: int,
        *,
        sensor_at_base: npt.ArrayLike,
        odom_from_base: Float64Array,
    ) -> None:
        """Take in points with their classes, from depth or a lidar.

        Args:
            points_base: (M, 3) metres in the base frame.
            classes: (M,) uint8, class ids.
            confidence: (M,) uint8.
            stamp_ns: When they were measured.
            sensor_at_base: (3,) metres, where the sensor is in the base frame.
            odom_from_base: (4, 4), the base frame in the odometry frame, metres.
        """
        points = np.asarray(points_base, np.float64).reshape(-1, 3)
        moved = points @ odom_from_base[:3, :3].T + odom_from_base[:3, 3]
        moved[:, 2] = points[:, 2] - self.config.ground_z_m
        at = odom_from_base[:3, :3] @ np.asarray(sensor_at_base, np.float64) + odom_from_base[:3, 3]
        self._grid.centre_on(float(odom_from_base[0, 3]), float(odom_from_base[1, 3]))
        evidence = evidence_of_points(
            moved, classes, confidence, square=self._grid.square, table=self.table, config=self.config, at=at[:2]
        )
        self._grid.add(evidence, stamp_ns)

    def map(self) -> GridMap:
        """Return the grid as it is believed now."""
        return self._grid.map()

    def horizon_problem(self, frame: LabelFrame, view: GroundView, pinhole: UndistortedView) -> str | None:
        """Return why the horizon can't be where the camera's pose puts it, or None; from the third look on.

        Args:
            frame: The label map.
            view: How it was projected.
            pinhole: The camera at the label map's size.
        """
        labels, confidence = pinhole.undistorted(frame.labels, frame.confidence)
        doubt = horizon_problem(labels, confidence, view, self.table, self._sky)
        self._doubts = self._doubts + 1 if doubt else 0
        return doubt if self._doubts >= _HORIZON_LOOKS else None


def horizon_problem(
    labels: Image, confidence: Image, view: GroundView, table: ClassTable, sky: int | None
) -> str | None:
    """Return a line if ground shows over the horizon, or sky below it, or None; both at once are wrong labels.

    Args:
        labels: (H, W) uint8 without distortion.
        confidence: (H, W) uint8.
        view: By the pose in question.
        table: Of the labels' classes.
        sky: Id of the sky, None if the set has none.
    """
    height, width = labels.shape
    rows = view.horizon_row(np.arange(width))
    if not np.isfinite(rows).all():
        return None
    margin = np.radians(_HORIZON_MARGIN_DEG) * view.focal_px
    below = np.arange(height)[:, None] - rows[None, :]
    sure = (labels != OUTSIDE) & (confidence >= _HORIZON_CONFIDENCE)
    remarks = []
    for what, mask, beyond in (
        ("ground", sure & (table.kinds[labels] == GROUND), -below),
        ("sky", sure & (labels == sky), below),
    ):
        total = int(np.count_nonzero(mask))
        wrong = beyond[mask & (beyond > margin)]
        if len(wrong) > max(_HORIZON_PIXELS, _HORIZON_SHARE * total):
            off = float(np.degrees(np.percentile(wrong, 90) / view.focal_px))
            side, way = ("over", "up") if what == "ground" else ("below", "down")
            remarks.append(
                f"{len(wrong) / total:.0%} of the {what} lies {side} the horizon that the camera's pose gives, up to "
                f"{off:.1f} degrees: the camera looks farther {way}, or the ground isn't flat; correct its pitch"
            )
    return remarks[0] if len(remarks) == 1 else None


def _check(frame: LabelFrame) -> None:
    for name, image in (("labels", frame.labels), ("confidence", frame.confidence)):
        if image.dtype != np.uint8 or image.ndim != 2 or not image.size:
            raise GridError(f"{name} are {image.dtype} {image.shape}: (H, W) uint8 is needed")
    if frame.labels.shape != frame.confidence.shape:
        raise GridError(f"labels are {frame.labels.shape} and confidence {frame.confidence.shape}: give one size")
