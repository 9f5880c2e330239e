# SPDX-License-Identifier: Apache-2.0
"""Rigid transforms as (4, 4) float64 matrices, and a buffer of stamped ones that states what is missing.

A transform ``target_from_source`` takes points of the frame ``source`` to the frame ``target``. Frames follow REP-103:
x forward, y left, z up; optical frames x right, y down, z forward.
"""

from __future__ import annotations

import bisect
from collections import deque
from dataclasses import dataclass, field

import cv2
import numpy as np
import numpy.typing as npt

from segmif_ros.arrays import Float64Array
from segmif_ros.grid.errors import GridError, TransformError
from segmif_ros.settings import setting

NS_PER_S = 1_000_000_000
_UNIT_TOLERANCE = 0.05  # of a quaternion's length: room for messages with few digits
_MAX_HOPS = 64
# optical axes in a frame that looks along x: optical z is forward, x is right, y is down
BODY_FROM_OPTICAL = np.array([[0, 0, 1, 0], [-1, 0, 0, 0], [0, -1, 0, 0], [0, 0, 0, 1]], np.float64)


def transform(translation: npt.ArrayLike, quaternion_xyzw: npt.ArrayLike) -> Float64Array:
    """Return the (4, 4) matrix of a geometry_msgs/Transform.

    Args:
        translation: (3,) metres.
        quaternion_xyzw: (4,), of length 1 but for rounding.

    Raises:
        GridError: If the numbers can't be a transform's.
    """
    moved, turned = np.asarray(translation, np.float64), np.asarray(quaternion_xyzw, np.float64)
    if not (np.isfinite(moved).all() and np.isfinite(turned).all()):
        raise GridError("a transform has a number that isn't finite")
    length = float(np.linalg.norm(turned))
    if abs(length - 1) > _UNIT_TOLERANCE:
        raise GridError(f"a rotation's quaternion has length {length:.3g} instead of 1")
    x, y, z, w = turned / length
    made = np.eye(4)
    made[:3, :3] = [
        [1 - 2 * (y * y + z * z), 2 * (x * y - z * w), 2 * (x * z + y * w)],
        [2 * (x * y + z * w), 1 - 2 * (x * x + z * z), 2 * (y * z - x * w)],
        [2 * (x * z - y * w), 2 * (y * z + x * w), 1 - 2 * (x * x + y * y)],
    ]
    made[:3, 3] = moved
    return made


def quaternion(matrix: Float64Array) -> tuple[float, float, float, float]:
    """Return the quaternion (x, y, z, w) of a transform's rotation, w not negative."""
    vector = _rotation_vector(matrix[:3, :3])
    angle = float(np.linalg.norm(vector))
    axis = vector / angle if angle > 0 else vector
    x, y, z = (float(each) for each in np.sin(angle / 2) * axis)
    return x, y, z, float(np.cos(angle / 2))


def from_rpy(translation: npt.ArrayLike, roll: float, pitch: float, yaw: float) -> Float64Array:
    """Return the (4, 4) matrix of fixed-axis roll, pitch and yaw in radians, as URDF counts them.

    Args:
        translation: (3,) metres.
        roll: About x, radians.
        pitch: About y, radians.
        yaw: About z, radians.
    """
    half = np.array([roll, pitch, yaw]) / 2
    (sr, sp, sy), (cr, cp, cy) = np.sin(half), np.cos(half)
    quaternion = [
        sr * cp * cy - cr * sp * sy,
        cr * sp * cy + sr * cp * sy,
        cr * cp * sy - sr * sp * cy,
        cr * cp * cy + sr * sp * sy,
    ]
    return transform(translation, quaternion)


@dataclass(frozen=True, kw_only=True)
class CameraMount:
    """How a camera sits on the robot, measured by hand."""

    height_m: float = setting(
        0.0,
        "Height of the lens over base_frame's z = 0 in metres, with camera_pose_from parameters; must be set then.",
        minimum=0.0,
        maximum=50.0,
    )
    pitch_deg: float = setting(0.0, "How far the camera looks down, in degrees.", minimum=-90.0, maximum=90.0)
    roll_deg: float = setting(
        0.0, "How far the camera is turned to its right, in degrees.", minimum=-180.0, maximum=180.0
    )
    yaw_deg: float = setting(0.0, "How far the camera looks to the left, in degrees.", minimum=-180.0, maximum=180.0)
    x_m: float = setting(0.0, "How far the lens is before base_frame's origin, in metres.", minimum=-50.0, maximum=50.0)
    y_m: float = setting(
        0.0, "How far the lens is to the left of base_frame's origin, in metres.", minimum=-50.0, maximum=50.0
    )

    def pose(self) -> Float64Array:
        """Return base_from_optical; GridError if the height isn't over 0."""
        return camera_pose(
            self.height_m, self.pitch_deg, self.roll_deg, yaw_deg=self.yaw_deg, x_m=self.x_m, y_m=self.y_m
        )


def camera_pose(
    height_m: float,
    pitch_deg: float,
    roll_deg: float = 0.0,
    *,
    yaw_deg: float = 0.0,
    x_m: float = 0.0,
    y_m: float = 0.0,
) -> Float64Array:
    """Return base_from_optical of a camera whose mounting is measured by hand.

    Args:
        height_m: Of the optical centre over the ground (the base frame's z = 0).
        pitch_deg: Positive looks down, as a positive turn about y does.
        roll_deg: Positive turns the camera to its right.
        yaw_deg: Positive looks to the left.
        x_m: How far before the base frame's origin it sits.
        y_m: How far to the left.

    Raises:
        GridError: If the height isn't over 0.
    """
    if not height_m > 0:
        raise GridError(f"camera_height_m is {height_m:g}: measure the height of the lens over the ground")
    turned = from_rpy([x_m, y_m, height_m], *np.radians([roll_deg, pitch_deg, yaw_deg]))
    return turned @ BODY_FROM_OPTICAL


def inverse(matrix: Float64Array) -> Float64Array:
    """Return the inverse of a rigid transform."""
    made = np.eye(4)
    made[:3, :3] = matrix[:3, :3].T
    made[:3, 3] = -matrix[:3, :3].T @ matrix[:3, 3]
    return made


def interpolated(a: Float64Array, b: Float64Array, share: float) -> Float64Array:
    """Return the transform ``share`` (0 to 1) of the way from ``a`` to ``b``: straight, and at one rate of turning.

    Args:
        a: (4, 4), where ``share`` is 0.
        b: (4, 4), where ``share`` is 1.
        share: 0 to 1.
    """
    step = a[:3, :3].T @ b[:3, :3]
    made = np.eye(4)
    made[:3, :3] = a[:3, :3] @ _rotation(share * _rotation_vector(step))
    made[:3, 3] = (1 - share) * a[:3, 3] + share * b[:3, 3]
    return made


def _rotation_vector(matrix: Float64Array) -> Float64Array:
    """Return axis times angle; also for the smallest of angles, which cv2.Rodrigues takes for none."""
    v = 0.5 * np.array([matrix[2, 1] - matrix[1, 2], matrix[0, 2] - matrix[2, 0], matrix[1, 0] - matrix[0, 1]])
    sine, cosine = float(np.linalg.norm(v)), 0.5 * (float(np.trace(matrix)) - 1)
    if cosine < -0.99:  # near half a turn the sine tells little about the axis
        return np.asarray(cv2.Rodrigues(matrix)[0], np.float64).ravel()
    return v if sine == 0 else np.asarray(v * (np.arctan2(sine, cosine) / sine))


def _rotation(vector: Float64Array) -> Float64Array:
    angle = float(np.linalg.norm(vector))
    x, y, z = vector
    cross = np.array([[0, -z, y], [z, 0, -x], [-y, x, 0]])
    # sin(a) / a and (1 - cos(a)) / a^2, which np.sinc has without a division by 0
    first, half = np.sinc(angle / np.pi), np.sinc(angle / (2 * np.pi))
    return np.asarray(np.eye(3) + first * cross + 0.5 * half**2 * (cross @ cross))


@dataclass
class _Link:
    """How one frame hangs on its parent: stamps in order, and parent_from_child at each; one without stamp if fixed."""

    parent: str
    fixed: bool
    stamps: list[int] = field(default_factory=list)
    matrices: list[Float64Array] = field(default_factory=list)


class TransformBuffer:
    """The last seconds of a tree of frames, as /tf and /tf_static give it.

    Args:
        keep_s: How much of the past is kept, seconds.
        wait_s: How much newer than the newest transform may be asked for: the newest is taken then. Beyond it a
            lookup reports that tf is late.
    """

    def __init__(self, keep_s: float = 10.0, wait_s: float = 0.1) -> None:
        self._keep_ns = round(keep_s * NS_PER_S)
        self._wait_ns = round(wait_s * NS_PER_S)
        self._links: dict[str, _Link] = {}
        self.dropped: deque[str] = deque(maxlen=8)

    @property
    def frames(self) -> list[str]:
        """All frames heard of, in order."""
        return sorted({name for child, link in self._links.items() for name in (child, link.parent)})

    def clear(self) -> None:
        """Forget what moves, as after a jump of the clock; fixed transforms stay."""
        self._links = {child: link for child, link in self._links.items() if link.fixed}

    def put(
        self, parent: str, child: str, stamp_ns: int, parent_from_child: Float64Array, *, fixed: bool = False
    ) -> None:
        """Add a transform. One older than the newest is put in its place; a frame with a new parent restarts.

        Args:
            parent: The frame that it is given in.
            child: The frame that it places.
            stamp_ns: When it holds.
            parent_from_child: (4, 4), metres.
            fixed: Whether it holds at all times, as of /tf_static.

        Raises:
            GridError: If a name is empty, or both are one.
        """
        parent, child = parent.lstrip("/"), child.lstrip("/")
        if not parent or not child or parent == child:
            raise GridError(f"a transform from '{child}' to '{parent}' has no two frames")
        link = self._links.get(child)
        if link is None or link.parent != parent or link.fixed != fixed:
            link = self._links[child] = _Link(parent=parent, fixed=fixed)
        if fixed:
            link.matrices[:], link.stamps[:] = [parent_from_child], [0]
            return
        at = bisect.bisect_left(link.stamps, stamp_ns)
        if at < len(link.stamps) and link.stamps[at] == stamp_ns:
            link.matrices[at] = parent_from_child
            return
        link.stamps.insert(at, stamp_ns)
        link.matrices.insert(at, parent_from_child)
        old = bisect.bisect_left(link.stamps, link.stamps[-1] - self._keep_ns)
        del link.stamps[:old], link.matrices[:old]

    def lookup(self, target: str, source: str, stamp_ns: int) -> Float64Array:
        """Return target_from_source at a time, interpolated.

        Args:
            target: The frame to express things in.
            source: The frame that they are in.
            stamp_ns: When.

        Returns:
            (4, 4), metres.

        Raises:
            TransformError: With one line, if the frames aren't connected or the time isn't in the buffer.
        """
        target, source = target.lstrip("/"), source.lstrip("/")
        up_source, up_target = self._ancestors(source), self._ancestors(target)
        common = next((name for name in up_source if name in up_target), None)
        if common is None:
            raise TransformError("missing", self._missing(target, source))
        return inverse(self._to_ancestor(target, common, stamp_ns)) @ self._to_ancestor(source, common, stamp_ns)

    def newest_ns(self, target: str, source: str) -> int | None:
        """Return the newest stamp that both frames' moving links share; None if nothing moves or they don't connect.

        Args:
            target: A frame.
            source: Another one.
        """
        names = {name for each in (source, target) for name in self._ancestors(each.lstrip("/"))}
        newest = [self._links[each].stamps[-1] for each in names if each in self._links and not self._links[each].fixed]
        return min(newest) if newest else None

    def _ancestors(self, frame: str) -> list[str]:
        found = [frame]
        while found[-1] in self._links and len(found) < _MAX_HOPS:
            found.append(self._links[found[-1]].parent)
        return found

    def _to_ancestor(self, frame: str, ancestor: str, stamp_ns: int) -> Float64Array:
        matrix = np.eye(4)
        while frame != ancestor:
            link = self._links[frame]
            matrix = self._at(frame, link, stamp_ns) @ matrix
            frame = link.parent
        return matrix

    def _at(self, child: str, link: _Link, stamp_ns: int) -> Float64Array:
        if link.fixed:
            return link.matrices[0]
        at = bisect.bisect_left(link.stamps, stamp_ns)
        between = f"tf from '{child}' to '{link.parent}'"
        if at == len(link.stamps):
            behind_ns = stamp_ns - link.stamps[-1]
            if behind_ns > self._wait_ns:
                raise TransformError("late", f"{between} is late: its newest is {1e-9 * behind_ns:.3f} s older")
            return link.matrices[-1]
        if link.stamps[at] == stamp_ns:
            return link.matrices[at]
        if at == 0:
            before_s = 1e-9 * (link.stamps[0] - stamp_ns)
            raise TransformError("past", f"{between} begins {before_s:.3f} s after the image: tf is from another time")
        span = link.stamps[at] - link.stamps[at - 1]
        return interpolated(link.matrices[at - 1], link.matrices[at], (stamp_ns - link.stamps[at - 1]) / span)

    def _missing(self, target: str, source: str) -> str:
        unheard = [name for name in (target, source) if name not in self.frames]
        if unheard:
            known = ", ".join(self.frames) or "none"
            return f"no tf of frame '{unheard[0]}': frames heard of are {known}"
        return f"no tf connects '{source}' with '{target}': they are in two trees"
