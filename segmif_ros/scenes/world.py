# SPDX-License-Identifier: Apache-2.0
"""A stretch of street that repeats: what stands, what moves, and where all of it is at a moment."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from segmif_ros.arrays import Float32Array, Float64Array
from segmif_ros.scenes.car_camera import Camera, Road
from segmif_ros.scenes.climate import Climate
from segmif_ros.scenes.faces import CORNERS, NUM_ATTRIBUTES, Faces
from segmif_ros.scenes.ground import Ground, make_ground
from segmif_ros.scenes.layout import PERIOD_M, Motion, StreetLayout

BEHIND_M = 30.0  # more than the longest house
SIDE_M = 45.0
PERSON_LAMBERT = 0.45  # people are round: some of them is always in the sun


@dataclass(frozen=True, kw_only=True)
class WorldMoment:
    """All faces, s from the camera; sort key of each and sun on each (F,); street lamps (L, 3) as (d, height, s)."""

    faces: Faces
    sort_key: Float32Array
    lambert: Float32Array
    lamps: Float32Array
    shadows: Float32Array  # (N, 4): d, s (relative), half width, height


class World:
    """Everything of one seed. at(camera_s, t_s) gives the faces to draw."""

    def __init__(self, rng: np.random.Generator, climate: Climate) -> None:
        self.climate = climate
        self.drive_side = 1 if rng.random() < 0.6 else -1
        self.ground: Ground = make_ground(rng, climate, PERIOD_M, self.drive_side)
        self.road = Road(
            curvature=float(rng.normal(0, 0.0012)),
            swing_m=float(rng.uniform(0, 3.0)),
            swing_period_m=PERIOD_M,
            swing_phase=float(rng.uniform(0, 2 * np.pi)),
            crest=float(rng.normal(0, 0.00006)),
        )
        build = StreetLayout(rng, climate, self.ground, self.drive_side)
        self.ego_mps, self.ego_d = build.ego_mps, build.ego_d

        self._standing = Faces.join([t.faces for t in build.things])
        counts = [len(t.faces.xyz) for t in build.things]
        self._standing_owner = np.repeat(np.arange(len(counts)), counts)
        self._standing_s = np.array([t.s_m for t in build.things])
        self._standing_key = np.concatenate(
            [np.broadcast_to(np.asarray(t.key_m, np.float32), n) for t, n in zip(build.things, counts, strict=True)]
        )
        self._standing_lambert = self._standing.lambert(climate.sun_direction)
        shadows = [shadow for t in build.things for shadow in t.shadows]
        self._standing_shadows = np.array(shadows).reshape(-1, 4)
        self._movers = [motion for _, motion in build.movers]
        self._driving = Faces.join([faces for faces, _ in build.movers]) if build.movers else _NOBODY
        self._driving_owner = np.repeat(np.arange(len(build.movers)), [len(f.xyz) for f, _ in build.movers])
        self._driving_lambert = self._driving.lambert(climate.sun_direction)
        reach = [np.abs(faces.xyz[..., (0, 2)]).max(axis=(0, 1)) for faces, _ in build.movers]
        self._driving_clearance = np.array(reach).reshape(-1, 2) + np.array([1.2, 3.0])
        self._driving_height = np.array([0.9 * float(faces.xyz[..., 1].max()) for faces, _ in build.movers])
        self._crowd, self._walkers = build.crowd, build.walkers
        self._lamps = np.array(build.lamps).reshape(-1, 3)

    def at(self, camera_s: float, t_s: float) -> WorldMoment:
        """The world as it is around a camera at camera_s metres along the road."""
        relative = _wrap(self._standing_s - camera_s)
        standing = self._standing.xyz.copy()
        standing[..., 2] += (relative - self._standing_s).astype(np.float32)[self._standing_owner, None]
        keys = [relative[self._standing_owner] + self._standing_key]
        shadows = self._standing_shadows.copy()
        shadows[:, 1] = _wrap(shadows[:, 1] - camera_s)

        at = self._places(self._movers, camera_s, t_s, self._driving_clearance)
        places = at
        driving = self._driving.xyz + _offsets(at)[self._driving_owner, None]
        keys.append(at[self._driving_owner, 1])

        posed, per_person = self._crowd.faces_at(t_s)
        at = self._places(self._walkers, camera_s, t_s, np.array([[0.9, 3.0]]))
        owner = np.repeat(np.arange(len(at)), per_person)
        walking = posed.xyz + _offsets(at)[owner, None]
        keys.append(at[owner, 1])
        ends = self._driving_clearance[:, 1] - 3.0
        cards = [
            np.column_stack([places, self._driving_clearance[:, 0] - 1.2, self._driving_height])
            + np.outer(share * ends, (0.0, 1.0, 0.0, 0.0))
            for share in (-0.7, -0.2, 0.3, 0.7)
        ]
        feet = np.column_stack([at, np.full(len(at), 0.25), np.full(len(at), 1.7)])

        lamps = self._lamps.copy()
        lamps[:, 2] = _wrap(lamps[:, 2] - camera_s)
        return WorldMoment(
            faces=Faces(
                xyz=np.concatenate([standing, driving, walking]),
                attributes=np.concatenate([self._standing.attributes, self._driving.attributes, posed.attributes]),
            ),
            sort_key=np.concatenate(keys).astype(np.float32),
            lambert=np.concatenate(
                [self._standing_lambert, self._driving_lambert, np.full(len(walking), PERSON_LAMBERT, np.float32)]
            ),
            lamps=lamps.astype(np.float32),
            shadows=np.concatenate([shadows, *cards, feet]).astype(np.float32),
        )

    def _places(self, motions: list[Motion], camera_s: float, t_s: float, clearance: Float64Array) -> Float64Array:
        """(N, 2) d, and s from the camera; what is nearer than clearance (d, s) to the own car is put out of sight."""
        at = np.array([motion.at(t_s, camera_s) for motion in motions]).reshape(-1, 2)
        # Who leaves the street on one side comes back on the other.
        at[:, 0] = np.mod(at[:, 0] + SIDE_M, 2 * SIDE_M) - SIDE_M
        at[:, 1] = _wrap(at[:, 1] - camera_s)
        in_the_way = (np.abs(at[:, 0] - self.ego_d) < clearance[:, 0]) & (at[:, 1] < clearance[:, 1])
        at[in_the_way, 1] = -BEHIND_M
        return at

    def camera_at(self, t_s: float, height: int, width: int, view: WorldView) -> Camera:
        """The camera on the own car at t_s."""
        bob = view.bob_px * (np.sin(7.1 * t_s + view.phase) + 0.5 * np.sin(12.7 * t_s)) if self.ego_mps else 0.0
        return Camera(
            height=height,
            width=width,
            focal_px=view.focal * width,
            centre_u=width * view.centre_u,
            horizon_v=height * view.horizon + float(bob),
            mount_m=view.mount_m,
            d_m=self.ego_d + view.d_m,
            s_m=self.ego_mps * t_s,
            road=self.road,
        )


@dataclass(frozen=True, kw_only=True)
class WorldView:
    """How the camera sits on the car; focal, horizon and centre as shares of width, height, width."""

    focal: float
    horizon: float
    centre_u: float
    mount_m: float
    d_m: float
    bob_px: float
    phase: float


_NOBODY = Faces(xyz=np.empty((0, CORNERS, 3), np.float32), attributes=np.empty((0, NUM_ATTRIBUTES), np.float32))


def _wrap(s: Float64Array) -> Float64Array:
    """Positions from the camera, folded into the stretch of street that is around it."""
    return np.mod(s + BEHIND_M, PERIOD_M) - BEHIND_M


def _offsets(at: Float64Array) -> Float32Array:
    """(N, 3) what to add to (d, y, s) for places (N, 2)."""
    return np.column_stack([at[:, 0], np.zeros(len(at)), at[:, 1]]).astype(np.float32)
