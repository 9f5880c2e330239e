# SPDX-License-Identifier: Apache-2.0
"""A stretch of street that repeats: what stands, what moves, and where all of it is at a moment."""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np

from segmif_ros.data.scenes import people, street, vehicles
from segmif_ros.data.scenes.camera import Camera, Road
from segmif_ros.data.scenes.climate import Climate
from segmif_ros.data.scenes.faces import F32, NUM_ATTRIBUTES, Faces
from segmif_ros.data.scenes.ground import Ground, make_ground
from segmif_ros.data.scenes.street import Thing

PERIOD_M = 200.0
BEHIND_M = 14.0


@dataclass(frozen=True, kw_only=True)
class Motion:
    """d + d_mps*t (folded into d_range when given), s + s_mps*t; with_ego: s is relative to the own car."""

    d: float
    s: float
    d_mps: float = 0.0
    s_mps: float = 0.0
    d_range: tuple[float, float] | None = None
    with_ego: bool = False
    sway_m: float = 0.0
    phase: float = 0.0

    def at(self, t_s: float, ego_s: float) -> tuple[float, float]:
        d = self.d + self.d_mps * t_s
        if self.d_range is not None:
            low, high = self.d_range
            span = high - low
            cycle = (d - low) % (2 * span)
            d = low + (cycle if cycle <= span else 2 * span - cycle)
        s = self.s + self.s_mps * t_s + self.sway_m * float(np.sin(0.35 * t_s + self.phase))
        return d, s + ego_s if self.with_ego else s


@dataclass(frozen=True, kw_only=True)
class Moment:
    """The faces of a moment with s relative to the camera, their sort keys and the street lamps (L, 3) as (d, y, s)."""

    faces: Faces
    sort_key: F32
    lambert: F32
    lamps: F32
    shadows: F32  # (N, 5): d, s (relative), half width, height, strength


@dataclass
class _Build:
    things: list[Thing] = field(default_factory=list)
    movers: list[tuple[Faces, Motion]] = field(default_factory=list)
    crowd: people.Crowd = field(default_factory=people.Crowd)
    walkers: list[Motion] = field(default_factory=list)
    lamps: list[tuple[float, float, float]] = field(default_factory=list)


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
        build = _Build()
        self._stand_things(rng, build)
        self._park(rng, build)
        self._drive(rng, build)
        self._walk(rng, build)

        self._static = Faces.join([t.faces for t in build.things])
        counts = np.array([len(t.faces.xyz) for t in build.things])
        self._owner = np.repeat(np.arange(len(counts)), counts)
        self._thing_s = np.array([t.s_m for t in build.things], np.float32)
        self._thing_key = np.array([t.key_m for t in build.things], np.float32)
        self._static_lambert = self._static.lambert(climate.sun_direction)
        self._static_shadows = np.array(
            [(t.shadow[0], t.s_m, t.shadow[1], t.shadow[2]) for t in build.things if t.shadow], np.float32
        ).reshape(-1, 4)
        self._movers = build.movers
        self._mover_faces = Faces.join([f for f, _ in build.movers]) if build.movers else None
        self._mover_owner = np.repeat(np.arange(len(build.movers)), [len(f.xyz) for f, _ in build.movers])
        self._crowd, self._walkers = build.crowd, build.walkers
        self._lamps = np.array(build.lamps, np.float32).reshape(-1, 3)

    def _in_cross_road(self, s: float, margin: float = 2.0) -> bool:
        return any(a - margin <= s % PERIOD_M < b + margin for a, b in self.ground.cross_roads)

    def _stand_things(self, rng: np.random.Generator, b: _Build) -> None:
        ground, climate, u = self.ground, self.climate, rng.uniform
        town = float(rng.choice([0.15, 0.5, 0.8, 0.95]))
        greenery = float(rng.choice([0.15, 0.4, 0.8]))
        for side in (-1, 1):
            set_back = ground.kerb_m + float(rng.choice([0.1, 0.5, 3.0, 6.0]))
            s = float(u(0, 5))
            while s < PERIOD_M - 6:
                length = float(u(9, 24))
                clear = not any(self._in_cross_road(x, 3.0) for x in np.arange(s, s + length, 3.0))
                if clear and rng.random() < town and s + length < PERIOD_M:
                    b.things += street.building(rng, climate, side, set_back + float(u(0, 0.6)), s, length)
                    if set_back > ground.kerb_m + 2 and rng.random() < 0.5:
                        b.things += street.hedge(rng, climate, side * (ground.kerb_m + 0.8), s, length - 3)
                elif clear:
                    for _ in range(int(rng.integers(1, 5))):
                        b.things.append(street.tree(rng, climate, side * (set_back + float(u(2, 14))), s + float(u(0, length))))
                s += length + float(rng.choice([0.0, 0.0, 2.0, 5.0]))
            spacing = float(u(7, 14))
            if rng.random() < greenery + 0.1:
                for s in np.arange(float(u(0, spacing)), PERIOD_M, spacing):
                    if rng.random() < greenery and not self._in_cross_road(float(s)):
                        b.things.append(street.tree(rng, climate, side * (ground.kerb_m - 0.3), float(s) + float(u(-1, 1))))
            at = side * (ground.half_road_m + 0.5)
            lamp_spacing = float(u(22, 36))
            if rng.random() < 0.8:
                for s in np.arange(float(u(3, lamp_spacing)), PERIOD_M, lamp_spacing):
                    b.things.append(street.street_light(rng, climate, at, float(s)))
                    b.lamps.append((at - side * 1.5, 7.0, float(s)))
            if rng.random() < 0.35:
                for s in np.arange(float(u(5, 25)), PERIOD_M, 30.0):
                    b.things.append(street.utility_pole(rng, climate, side * (ground.kerb_m - 0.4), float(s)))
            if rng.random() < 0.4:
                start = float(u(0, 60))
                for s in np.arange(start, start + float(u(8, 40)), 2.2):
                    b.things.append(street.bollard(rng, climate, side * (ground.half_road_m + 0.35), float(s)))
            for _ in range(int(rng.integers(2, 7))):
                b.things.append(street.sign(rng, climate, side * (ground.half_road_m + float(u(0.4, 1.0))), float(u(4, PERIOD_M))))
            for _ in range(int(rng.integers(0, 6))):
                b.things.append(street.furniture(rng, climate, side * (ground.half_road_m + float(u(0.8, 2.0))), float(u(4, PERIOD_M))))
        for a, end in ground.cross_roads:
            for side, s in ((1, a - 0.8), (-1, a - 0.8), (1, end + 1.0), (-1, end + 0.5)):
                if rng.random() < 0.75:
                    b.things.append(street.signal(rng, climate, side * (ground.half_road_m + 0.6), s))
        if rng.random() < 0.4:
            s = float(u(15, 70))
            for side in (-1, 1):
                b.things.append(street.signal(rng, climate, side * (ground.half_road_m + 0.6), s))

    def _park(self, rng: np.random.Generator, b: _Build) -> None:
        ground, climate = self.ground, self.climate
        for side in (-1, 1):
            # Without a parking strip cars stand with two wheels on the pavement, and fewer of them.
            strip = ground.parking_m > 1.5
            density = float(rng.choice([0.0, 0.2, 0.6, 0.9] if strip else [0.0, 0.0, 0.1, 0.25]))
            at = ground.half_road_m - 1.15 if strip else ground.half_road_m + 0.9
            s = float(rng.uniform(0, 8))
            while s < PERIOD_M - 8:
                if rng.random() < density and not self._in_cross_road(s, 5.0):
                    kind = rng.random()
                    if kind < 0.88:
                        faces = vehicles.car(rng, climate, running=False)
                    elif kind < 0.95:
                        faces = vehicles.truck(rng, climate, running=False)
                    else:
                        faces = people.motorcycle(rng, climate, frontal=False, running=False, facing=float(rng.choice([-1, 1])))
                    turned = np.pi if rng.random() < 0.4 else 0.0
                    d = side * at
                    half_length, half_width = float(faces.xyz[..., 2].max()), float(faces.xyz[..., 0].max())
                    placed = faces.placed(d, s, yaw=turned + float(rng.normal(0, 0.02)))
                    height = float(faces.xyz[..., 1].max())
                    b.things.append(Thing(faces=placed, s_m=s, key_m=0.3 * half_length, shadow=(d, half_width, height)))
                    s += half_length
                s += float(rng.uniform(4.2, 6.5))
            for _ in range(int(rng.integers(0, 4))):  # two-wheelers at the kerb
                s, d = float(rng.uniform(4, 90)), side * (ground.half_road_m + float(rng.uniform(0.5, 1.5)))
                facing, yaw = float(rng.choice([-1, 1])), float(rng.normal(0, 0.4))
                if rng.random() < 0.6:
                    faces = people.bicycle(rng, climate, frontal=False, facing=facing)
                else:
                    faces = people.motorcycle(rng, climate, frontal=False, running=False, facing=facing)
                b.things.append(Thing(faces=faces.placed(d, s, yaw=yaw), s_m=s))

    def _drive(self, rng: np.random.Generator, b: _Build) -> None:
        ground, climate, side = self.ground, self.climate, self.drive_side
        self.ego_mps = float(rng.choice([0.0, 5.0, 9.0, 13.0])) * float(rng.uniform(0.8, 1.2))
        lane = ground.lane_m
        self.ego_d = side * lane / 2

        def vehicle(*, braking: bool) -> Faces:
            kind = rng.random()
            if kind < 0.70:
                return vehicles.car(rng, climate, running=True, braking=braking)
            if kind < 0.85:
                return vehicles.truck(rng, climate, running=True)
            return vehicles.bus(rng, climate, running=True)

        gap = float(rng.uniform(7, 30))
        for k in range(int(rng.choice([0, 1, 1, 2, 3]))):  # ahead of us, at our speed
            motion = Motion(d=side * lane / 2, s=gap, with_ego=True, sway_m=0.06 * gap, phase=float(rng.uniform(0, 6)))
            b.movers.append((vehicle(braking=rng.random() < 0.3), motion))
            gap += float(rng.uniform(13, 30))
            if ground.lanes > 1 and k == 0:
                motion = Motion(d=side * 1.5 * lane, s=float(rng.uniform(5, 40)), with_ego=True, sway_m=2.0, phase=float(rng.uniform(0, 6)))
                b.movers.append((vehicle(braking=False), motion))
        s = float(rng.uniform(10, 60))
        speed = -float(rng.uniform(6, 14))
        for _ in range(int(rng.choice([0, 1, 2, 3]))):
            faces = vehicle(braking=False).placed(0, 0, yaw=np.pi)
            b.movers.append((faces, Motion(d=-side * lane / 2, s=s, s_mps=speed)))
            s += float(rng.uniform(14, 40))
        if ground.cross_roads and rng.random() < 0.4:
            a, end = ground.cross_roads[0]
            facing = float(rng.choice([-1, 1]))
            motion = Motion(d=float(rng.uniform(-25, 25)), s=a + (0.3 if facing > 0 else 0.7) * (end - a), d_mps=facing * 5.0, d_range=None)
            b.movers.append((vehicle(braking=False).placed(0, 0, yaw=facing * np.pi / 2), motion))
        for _ in range(int(rng.choice([0, 1, 1, 2]))):  # riders, along or across
            along = rng.random() < 0.6
            facing = float(rng.choice([-1, 1]))
            engine = rng.random() < 0.45
            speed = float(rng.uniform(8, 12) if engine else rng.uniform(3, 5.5))
            if along:
                # towards us on the other side of the road, or ahead of us on ours
                lateral = (side if facing < 0 else -side) * (ground.half_road_m - float(rng.uniform(0.5, 2.2)))
                ahead = facing < 0 and engine
                motion = Motion(d=lateral, s=float(rng.uniform(6, 40)), s_mps=0.0 if ahead else -facing * speed, with_ego=ahead)
            else:
                reach = ground.kerb_m
                s = float(rng.uniform(8, 45))
                motion = Motion(d=float(rng.uniform(-reach, reach)), s=s, d_mps=facing * speed)
            if engine:
                ride = people.motorcycle(rng, climate, frontal=along, running=True, facing=facing)
            else:
                ride = people.bicycle(rng, climate, frontal=along, facing=facing)
            b.movers.append((ride, motion))
            seat = 0.82 if engine else 0.95
            b.crowd.add(rng, climate, speed_mps=speed, frontal=float(along), facing=facing, seat_m=seat, rider=True)
            # A hair nearer than the machine, so that the rider is drawn over it.
            b.walkers.append(Motion(**{**motion.__dict__, "s": motion.s - 0.02}))

    def _walk(self, rng: np.random.Generator, b: _Build) -> None:
        ground, climate, u = self.ground, self.climate, rng.uniform
        for _ in range(int(rng.choice([2, 4, 7, 10]))):  # along the pavement, in ones and twos
            side = float(rng.choice([-1, 1]))
            s, d = float(u(3, 80)), side * float(u(ground.kerb_m - 1.3, ground.kerb_m - 0.3))
            speed, facing = float(rng.choice([0.0, 1.0, 1.3, 1.5])), float(rng.choice([-1, 1]))
            for k in range(int(rng.choice([1, 1, 2, 3]))):
                b.crowd.add(rng, climate, speed_mps=speed, frontal=1.0 if speed else float(rng.random() < 0.6), facing=facing)
                b.walkers.append(Motion(d=d - side * 0.62 * k, s=s + 0.15 * k, s_mps=-facing * speed))
        spots = [0.5 * (a + e) for a, e in ground.zebras] or [float(u(6, 40))]
        for _ in range(int(rng.choice([0, 1, 2, 4]))):  # across the road
            s, facing = spots[int(rng.integers(len(spots)))] + float(u(-1.2, 1.2)), float(rng.choice([-1, 1]))
            speed = float(u(0.9, 1.6))
            b.crowd.add(rng, climate, speed_mps=speed, frontal=0.0, facing=facing)
            # The span is wide, so that nobody turns round within a view: the gait's direction is fixed.
            b.walkers.append(Motion(d=float(u(-ground.kerb_m, ground.kerb_m)), s=s, d_mps=facing * speed))

    def at(self, camera_s: float, t_s: float) -> Moment:
        def wrap(s: F32) -> F32:
            return np.mod(s - np.float32(camera_s) + np.float32(BEHIND_M), np.float32(PERIOD_M)) - np.float32(BEHIND_M)

        relative = wrap(self._thing_s)
        shift = (relative - self._thing_s)[self._owner]
        xyz = self._static.xyz.copy()
        xyz[..., 2] += shift[:, None]
        parts, attributes = [xyz], [self._static.attributes]
        keys = [(relative + self._thing_key)[self._owner]]
        lambert = [self._static_lambert]
        shadows = [np.column_stack([self._static_shadows[:, 0], wrap(self._static_shadows[:, 1]), self._static_shadows[:, 2:]])]

        if self._mover_faces is not None:
            place = np.array([m.at(t_s, camera_s) for _, m in self._movers], np.float32)
            place[:, 0] = _fold(place[:, 0])
            place[:, 1] = _clear_of_ego(wrap(place[:, 1]), place[:, 0] - self.ego_d, 2.3, 7.0)
            xyz = self._mover_faces.xyz.copy()
            xyz[..., 0] += place[self._mover_owner, 0][:, None]
            xyz[..., 2] += place[self._mover_owner, 1][:, None]
            parts.append(xyz)
            attributes.append(self._mover_faces.attributes)
            keys.append(place[self._mover_owner, 1])
            lambert.append(self._mover_faces.lambert(self.climate.sun_direction))
        if self._walkers:
            posed, per_person = self._crowd.faces_at(t_s)
            place = np.array([m.at(t_s, camera_s) for m in self._walkers], np.float32)
            place[:, 0] = _fold(place[:, 0])
            place[:, 1] = _clear_of_ego(wrap(place[:, 1]), place[:, 0] - self.ego_d, 0.9, 3.0)
            owner = np.repeat(np.arange(len(self._walkers)), per_person)
            xyz = posed.xyz
            xyz[..., 0] += place[owner, 0][:, None]
            xyz[..., 2] += place[owner, 1][:, None]
            parts.append(xyz)
            attributes.append(posed.attributes)
            keys.append(place[owner, 1])
            lambert.append(np.full(len(xyz), 0.45, np.float32))
            feet = np.column_stack([place, np.full((len(place), 1), 0.25), np.full((len(place), 1), 1.7)])
            shadows.append(feet)

        lamps = self._lamps.copy()
        lamps[:, 2] = wrap(lamps[:, 2])
        joined = Faces(xyz=np.concatenate(parts), attributes=np.concatenate(attributes).reshape(-1, NUM_ATTRIBUTES))
        return Moment(
            faces=joined,
            sort_key=np.concatenate(keys),
            lambert=np.concatenate(lambert),
            lamps=lamps,
            shadows=np.concatenate(shadows).astype(np.float32),
        )

    def camera_at(self, t_s: float, height: int, width: int, view: View) -> Camera:
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
class View:
    """How the camera sits on the car; focal, horizon and centre as shares of width, height, width."""

    focal: float
    horizon: float
    centre_u: float
    mount_m: float
    d_m: float
    bob_px: float
    phase: float


def _clear_of_ego(s: F32, beside: F32, half_width: float, ahead: float) -> F32:
    """Who would stand in the own car is sent out of sight."""
    return np.where((np.abs(beside) < half_width) & (s < ahead), np.float32(-50.0), s)


def _fold(d: F32) -> F32:
    """Who crosses the street comes back from the other side, 45 m out."""
    return np.mod(d + np.float32(45.0), np.float32(90.0)) - np.float32(45.0)
