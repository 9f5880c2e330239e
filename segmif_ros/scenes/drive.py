# SPDX-License-Identifier: Apache-2.0
"""A drive with known poses, and the exact ground around it: what a planner's grid is judged against.

The street of a seed is straightened and levelled, so that the camera's pose over the ground is exact. World
coordinates follow REP-103: x along the street, y to the left, z up; the base frame lies on the road below the camera
and never turns.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import cv2
import numpy as np
import numpy.typing as npt

from segmif_ros.arrays import Float32Array, Float64Array, Image, Mask
from segmif_ros.scenes import classes as c
from segmif_ros.scenes.car_camera import Road
from segmif_ros.scenes.faces import LABEL
from segmif_ros.scenes.layout import PERIOD_M
from segmif_ros.scenes.scene import RoadScene, SceneFrame

LOW_M, HIGH_M = 0.15, 2.0  # what lies between blocks a robot
NOT_BLOCKED = 255


@dataclass(frozen=True, kw_only=True, eq=False)
class GroundTruth:
    """The ground at one moment, on cells.

    Attributes:
        ground: (rows, columns) uint8, FMB id of the ground's surface.
        blocked: The same shape, FMB id of what stands there between 0.15 and 2 m, `NOT_BLOCKED` where nothing does.
    """

    ground: Image
    blocked: Image


def truly_free(truth: GroundTruth) -> Mask:
    """Return which cells are road or sidewalk with nothing on them."""
    return np.isin(truth.ground, (c.ROAD, c.SIDEWALK)) & (truth.blocked == NOT_BLOCKED)


class Drive:
    """One street, one camera, one speed.

    Args:
        seed: As `segmif_ros.scenes.RoadScene`.
        height: Rows of the images.
        width: Columns.
        lighting: As `RoadScene`.
        weather: As `RoadScene`.
        speed_mps: Of the robot.
        mount_m: Height of the camera over the ground.
        focal: Focal length as a share of the width.
        horizon: Row of the horizon as a share of the height. The camera looks level; its centre is shifted instead.

    Attributes:
        K: (3, 3) intrinsics in pixels.
    """

    def __init__(
        self,
        seed: int,
        height: int = 480,
        width: int = 640,
        *,
        lighting: str = "day",
        weather: str = "clear",
        speed_mps: float = 2.0,
        mount_m: float = 1.2,
        focal: float = 0.8,
        horizon: float = 0.42,
    ) -> None:
        self._scene = RoadScene(seed, height, width, lighting=lighting, weather=weather, focal=focal)
        world = self._world = self._scene._world
        world.road = Road(curvature=0.0, swing_m=0.0, swing_period_m=PERIOD_M, swing_phase=0.0, crest=0.0)
        world.ego_mps = speed_mps
        self._scene._view = replace(
            self._scene._view, focal=focal, horizon=horizon, centre_u=0.5, mount_m=mount_m, d_m=0.0, bob_px=0.0
        )
        f = focal * width
        self.height, self.width, self.mount_m, self.lighting = height, width, mount_m, self._scene.lighting
        self.K = np.array([[f, 0, 0.5 * width], [0, f, horizon * height], [0, 0, 1]])

    def frame(self, t_s: float) -> SceneFrame:
        """Return images and labels at a time."""
        return self._scene.frame(t_s)

    def pose(self, t_s: float) -> Float64Array:
        """Return (4, 4) world_from_base at a time."""
        made = np.eye(4)
        made[:2, 3] = self._world.ego_mps * t_s, -self._world.ego_d
        return made

    def truth(self, t_s: float, x: Float32Array, y: Float32Array) -> GroundTruth:
        """Return the ground at a time on cells with evenly spaced centres ``x`` (columns,) and ``y`` (rows,)."""
        world = self._world
        surfaces = world.ground.surfaces(np.broadcast_to(-y, (len(x), len(y))).astype(np.float32), x.astype(np.float32))
        ground = world.ground.rows[:, LABEL].astype(np.uint8)[surfaces].T
        blocked = np.full(ground.shape, NOT_BLOCKED, np.uint8)
        camera_s = world.ego_mps * t_s
        cell = float(x[1] - x[0])
        for points, label in self._footprints(camera_s, t_s, float(x[0]) - camera_s, float(x[-1]) - camera_s):
            # s from the camera and d to the right -> column and row
            columns = (points[:, 1] + camera_s - float(x[0])) / cell
            rows = (-points[:, 0] - float(y[0])) / cell
            if columns.max() < -1 or rows.max() < -1 or columns.min() > len(x) or rows.min() > len(y):
                continue
            hull = cv2.convexHull(np.column_stack([columns, rows]).astype(np.float32))
            cv2.fillConvexPoly(blocked, np.rint(np.asarray(hull) * 256).astype(np.int32), label, cv2.LINE_8, 8)
        return GroundTruth(ground=np.ascontiguousarray(ground), blocked=blocked)

    def _footprints(self, camera_s: float, t_s: float, near: float, far: float) -> list[tuple[Float32Array, int]]:
        """Return (points, label) of each thing between LOW_M and HIGH_M; points (n, 2) as d, and s from the camera."""
        world = self._world
        moment = world.at(camera_s, t_s)
        things = 1 + int(world._standing_owner.max(initial=-1))
        movers = len(world._movers)
        walkers, rest = len(world._walkers), len(moment.faces.xyz)
        rest -= len(world._standing_owner) + len(world._driving_owner)
        owners = np.concatenate(
            [
                world._standing_owner,
                things + world._driving_owner,
                things + movers + np.repeat(np.arange(walkers), rest // max(walkers, 1)),
            ]
        )
        xyz = moment.faces.xyz
        inside = (xyz[..., 2].max(1) > near - 1) & (xyz[..., 2].min(1) < far + 1)
        inside &= (xyz[..., 1].min(1) < HIGH_M) & (xyz[..., 1].max(1) > LOW_M)
        xyz, owners, labels = xyz[inside], owners[inside], moment.faces.attributes[inside, LABEL].astype(np.uint8)
        points, of = _between(xyz, LOW_M, HIGH_M)
        order = np.argsort(owners[of], kind="stable")
        points, of = points[order], of[order]
        ends = np.flatnonzero(np.diff(owners[of])) + 1
        return [
            (part, int(np.bincount(labels[faces]).argmax()))
            for part, faces in zip(np.split(points, ends), np.split(of, ends), strict=True)
            if len(part)
        ]


def _between(xyz: Float32Array, low: float, high: float) -> tuple[Float32Array, npt.NDArray[np.intp]]:
    """Return (n, 2) places (d, s) of the corners of faces (F, 8, 3) cut at two heights, and (n,) the face of each."""
    following = np.roll(xyz, -1, axis=1)
    y, y_next = xyz[..., 1], following[..., 1]
    whose, corner = np.nonzero((y >= low) & (y <= high))
    found, of = [xyz[whose, corner][:, (0, 2)]], [whose]
    for level in (low, high):
        whose, corner = np.nonzero((y - level) * (y_next - level) < 0)
        a, b = xyz[whose, corner], following[whose, corner]
        share = (level - a[:, 1]) / (b[:, 1] - a[:, 1])
        found.append((a + share[:, None] * (b - a))[:, (0, 2)])
        of.append(whose)
    return np.concatenate(found).astype(np.float32), np.concatenate(of)
