# SPDX-License-Identifier: Apache-2.0
"""Where things stand on a street, what is parked, who drives and who walks."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np

from segmif_ros.scenes import greenery, houses, people, signals, street, two_wheelers, vehicles
from segmif_ros.scenes.climate import Climate
from segmif_ros.scenes.faces import BLUE, GREEN, RED, Faces
from segmif_ros.scenes.ground import Ground
from segmif_ros.scenes.things import Thing

PERIOD_M = 200.0  # the street repeats


@dataclass(frozen=True, kw_only=True)
class Motion:
    """A straight path: d + d_mps*t, s + s_mps*t plus a slow sway; with_ego: s is relative to the own car."""

    d: float
    s: float
    d_mps: float = 0.0
    s_mps: float = 0.0
    with_ego: bool = False
    sway_m: float = 0.0
    phase: float = 0.0

    def at(self, t_s: float, ego_s: float) -> tuple[float, float]:
        """(d, s) in metres, s along the road."""
        s = self.s + self.s_mps * t_s + self.sway_m * float(np.sin(0.35 * t_s + self.phase))
        return self.d + self.d_mps * t_s, s + ego_s if self.with_ego else s


class StreetLayout:
    """A furnished street: things stand, movers and walkers (row k of crowd walks walkers[k]) have a motion.

    lamps: (d, height, s) of the street lights. drive_side: +1 keeps right, -1 keeps left.
    """

    def __init__(self, rng: np.random.Generator, climate: Climate, ground: Ground, drive_side: int) -> None:
        self.climate, self.ground, self.drive_side = climate, ground, drive_side
        self.things: list[Thing] = []
        self.movers: list[tuple[Faces, Motion]] = []
        self.crowd = people.Crowd()
        self.walkers: list[Motion] = []
        self.lamps: list[tuple[float, float, float]] = []
        self.ego_d = drive_side * ground.lane_m / 2
        self._furnish(rng)
        self._park(rng)
        self._stage(rng)
        self._drive(rng)
        self._walk(rng)

    def _in_cross_road(self, s: float, margin: float = 2.0) -> bool:
        return any(a - margin <= s % PERIOD_M < b + margin for a, b in self.ground.cross_roads)

    def _furnish(self, rng: np.random.Generator) -> None:
        ground, climate, u = self.ground, self.climate, rng.uniform
        # By a street most trees are alike in season: leafy, mixed or bare.
        bare = float(rng.choice([0.0, 0.0, 0.3, 0.9]))
        town = float(rng.choice([0.15, 0.5, 0.8, 0.95]))
        planted = float(rng.choice([0.15, 0.4, 0.8]))
        for side in (-1, 1):
            set_back = ground.kerb_m + float(rng.choice([0.1, 0.5, 3.0, 6.0]))
            s = float(u(0, 5))
            while s < PERIOD_M - 6:
                length = float(u(9, 24))
                clear = not any(self._in_cross_road(x, 3.0) for x in np.arange(s, s + length, 3.0))
                if clear and rng.random() < town and s + length < PERIOD_M:
                    self.things += houses.building(rng, climate, side, set_back + float(u(0, 0.6)), s, length)
                    if set_back > ground.kerb_m + 2 and rng.random() < 0.5:
                        self.things += greenery.hedge(rng, climate, side * (ground.kerb_m + 0.8), s, length - 3)
                elif clear:
                    for _ in range(int(rng.integers(1, 5))):
                        at, to = side * (set_back + float(u(2, 14))), s + float(u(0, length))
                        self.things.append(greenery.tree(rng, climate, at, to, bare=rng.random() < bare))
                s += length + float(rng.choice([0.0, 0.0, 2.0, 5.0]))
            spacing = float(u(7, 14))
            if rng.random() < planted + 0.1:
                for s in np.arange(float(u(0, spacing)), PERIOD_M, spacing):
                    if rng.random() < planted and not self._in_cross_road(float(s)):
                        at, to = side * (ground.kerb_m - 0.3), float(s) + float(u(-1, 1))
                        self.things.append(greenery.tree(rng, climate, at, to, bare=rng.random() < bare))
            at = side * (ground.half_road_m + 0.5)
            lamp_spacing = float(u(22, 36))
            if rng.random() < 0.8:
                for s in np.arange(float(u(3, lamp_spacing)), PERIOD_M, lamp_spacing):
                    self.things.append(street.street_light(rng, climate, at, float(s)))
                    self.lamps.append((at - side * 1.5, 7.0, float(s)))
            if rng.random() < 0.35:
                for s in np.arange(float(u(5, 25)), PERIOD_M, 30.0):
                    self.things.append(street.utility_pole(rng, climate, side * (ground.kerb_m - 0.4), float(s)))
            if rng.random() < 0.4:
                start = float(u(0, 60))
                for s in np.arange(start, start + float(u(8, 40)), 2.2):
                    self.things.append(street.bollard(rng, climate, side * (ground.half_road_m + 0.35), float(s)))
            for _ in range(int(rng.integers(2, 7))):
                self.things.append(
                    signals.sign(rng, climate, side * (ground.half_road_m + float(u(0.4, 1.0))), float(u(4, PERIOD_M)))
                )
            for _ in range(int(rng.integers(0, 6))):
                self.things.append(
                    street.furniture(
                        rng, climate, side * (ground.half_road_m + float(u(0.8, 2.0))), float(u(4, PERIOD_M))
                    )
                )
            if rng.random() < 0.25:
                length = float(u(10, 50))
                self.things += street.railing(rng, climate, side * (ground.half_road_m + 0.3), float(u(3, 80)), length)
        asphalt = (float(ground.rows[0, RED]), float(ground.rows[0, GREEN]), float(ground.rows[0, BLUE]))
        for _ in range(int(rng.integers(4, 30))):
            self.things.append(street.road_marks(rng, climate, ground.half_road_m, asphalt, float(u(0, PERIOD_M))))
        for a, end in ground.cross_roads:
            for side, s in ((1, a - 0.8), (-1, a - 0.8), (1, end + 1.0), (-1, end + 0.5)):
                if rng.random() < 0.75:
                    self.things.append(signals.signal(rng, climate, side * (ground.half_road_m + 0.6), s))
        if rng.random() < 0.4:
            s = float(u(15, 70))
            for side in (-1, 1):
                self.things.append(signals.signal(rng, climate, side * (ground.half_road_m + 0.6), s))

    def _park(self, rng: np.random.Generator) -> None:
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
                        machine = two_wheelers.motorcycle(rng, climate, running=False)
                        faces = machine.placed(0, 0, yaw=float(rng.normal(-0.5 * np.pi, 0.5)))
                    turned = np.pi if rng.random() < 0.4 else 0.0
                    d = side * at
                    half_length, half_width = float(faces.xyz[..., 2].max()), float(faces.xyz[..., 0].max())
                    placed = faces.placed(d, s, yaw=turned + float(rng.normal(0, 0.02)))
                    height = float(faces.xyz[..., 1].max())
                    shadows = tuple((d, s + k * half_length, half_width, 0.9 * height) for k in (-0.7, -0.2, 0.3, 0.7))
                    self.things.append(Thing(faces=placed, s_m=s, key_m=0.3 * half_length, shadows=shadows))
                    s += half_length
                s += float(rng.uniform(4.2, 6.5))

    def _in_view(self, rng: np.random.Generator, d: float, far: float = 40.0) -> float:
        """A place ahead of where the drive begins, as often near as far, at which d is in view of most cameras."""
        near = max(4.5, 1.5 * abs(d - self.ego_d))
        return float(np.exp(rng.uniform(np.log(near), np.log(max(far, 1.5 * near)))))

    def _stage(self, rng: np.random.Generator) -> None:
        """See to it that what streets have few of is met: signals, signs, two-wheelers and large vehicles."""
        ground, climate, u = self.ground, self.climate, rng.uniform
        kerb = ground.half_road_m
        for _ in range(int(rng.choice([0, 1, 2, 3]))):
            d = float(rng.choice([-1, 1])) * (kerb + float(u(0.3, 0.9)))
            if rng.random() < 0.2:
                d = -self.drive_side * float(u(0.1, 0.5))  # on an island between the lanes
            self.things.append(signals.signal(rng, climate, d, self._in_view(rng, d)))
        for _ in range(int(rng.choice([1, 2, 3, 4]))):
            d = float(rng.choice([-1, 1])) * (kerb + float(u(0.3, 1.2)))
            self.things.append(signals.sign(rng, climate, d, self._in_view(rng, d)))
        for kind in ("bicycle", "bicycle", "motorcycle"):
            for _ in range(int(rng.choice([0, 0, 1, 1, 2]))):  # rows at the kerb or along the wall, and single ones
                side = float(rng.choice([-1, 1]))
                d = side * float(u(kerb + 0.5, max(kerb + 0.7, ground.kerb_m - 0.5)))
                s, yaw = self._in_view(rng, d, 30.0), float(u(-np.pi, np.pi))
                for _ in range(int(rng.choice([1, 1, 2, 4, 6]))):
                    make = two_wheelers.bicycle(rng, climate) if kind == "bicycle" else None
                    faces = make or two_wheelers.motorcycle(rng, climate, running=False)
                    faces = faces.placed(d, s, yaw=yaw + float(rng.normal(0, 0.15)))
                    self.things.append(Thing(faces=faces, s_m=s, shadows=((d, s, 0.3, 0.9),)))
                    s += 0.5 + 1.4 * abs(float(np.sin(yaw)))
        for make_large in (vehicles.truck, vehicles.bus):
            if rng.random() < 0.22:  # stopped at the kerb, with its engine on or off
                side = float(rng.choice([-1, 1]))
                d = side * (kerb - 1.45)
                s = max(self._in_view(rng, d, 50.0) + 6.0, 10.0)
                faces = make_large(rng, climate, running=bool(rng.random() < 0.4))
                turn = 0.0 if side == self.drive_side else np.pi
                shadows = tuple((d, s + k, 1.2, 2.8) for k in (-4.0, -2.0, 0.0, 2.0, 4.0))
                faces = faces.placed(d, s, yaw=turn)
                self.things = [thing for thing in self.things if not self._overlaps(thing, d, s)]
                self.things.append(Thing(faces=faces, s_m=s, key_m=1.5, shadows=shadows))

    @staticmethod
    def _overlaps(thing: Thing, d: float, s: float) -> bool:
        """Whether a thing stands where a large vehicle at (d, s) shall stand."""
        low, high = thing.faces.xyz.min((0, 1)), thing.faces.xyz.max((0, 1))
        across = low[0] < d + 1.4 and high[0] > d - 1.4
        return bool(across and low[2] < s + 6.5 and high[2] > s - 6.5 and high[1] > 0.1 and low[1] < 1.0)

    def _drive(self, rng: np.random.Generator) -> None:
        ground, climate, side = self.ground, self.climate, self.drive_side
        self.ego_mps = float(rng.choice([0.0, 5.0, 9.0, 13.0])) * float(rng.uniform(0.8, 1.2))
        lane = ground.lane_m

        def vehicle(*, braking: bool) -> Faces:
            kind = rng.random()
            if kind < 0.66:
                return vehicles.car(rng, climate, running=True, braking=braking)
            if kind < 0.83:
                return vehicles.truck(rng, climate, running=True)
            return vehicles.bus(rng, climate, running=True)

        def half_length(faces: Faces) -> float:
            return float(faces.xyz[..., 2].max())

        gap = float(rng.uniform(5, 26))
        for k in range(int(rng.choice([0, 1, 1, 2, 3]))):  # ahead of us, at our speed
            faces = vehicle(braking=rng.random() < 0.3)
            at, sway = gap + half_length(faces), 0.06 * gap
            motion = Motion(d=side * lane / 2, s=at, with_ego=True, sway_m=sway, phase=float(rng.uniform(0, 6)))
            self.movers.append((faces, motion))
            gap = at + half_length(faces) + float(rng.uniform(5, 20))
            if ground.lanes > 1 and k == 0:
                motion = Motion(
                    d=side * 1.5 * lane,
                    s=float(rng.uniform(5, 40)),
                    with_ego=True,
                    sway_m=2.0,
                    phase=float(rng.uniform(0, 6)),
                )
                self.movers.append((vehicle(braking=False), motion))
        s = float(rng.uniform(10, 60))
        speed = -float(rng.uniform(6, 14))
        for _ in range(int(rng.choice([0, 1, 2, 3]))):
            faces = vehicle(braking=False).placed(0, 0, yaw=np.pi)
            self.movers.append((faces, Motion(d=-side * lane / 2, s=s, s_mps=speed)))
            s += 2 * half_length(faces) + float(rng.uniform(6, 30))
        if ground.cross_roads and rng.random() < 0.4:
            a, end = ground.cross_roads[0]
            facing = float(rng.choice([-1, 1]))
            motion = Motion(
                d=float(rng.uniform(-25, 25)),
                s=a + (0.3 if facing > 0 else 0.7) * (end - a),
                d_mps=facing * 5.0,
            )
            self.movers.append((vehicle(braking=False).placed(0, 0, yaw=facing * np.pi / 2), motion))
        for _ in range(int(rng.choice([0, 1, 1, 2, 3]))):
            self._ride(rng)

    def _ride(self, rng: np.random.Generator) -> None:
        """Someone on a bicycle or a motorcycle, along the road or across."""
        ground, climate, side = self.ground, self.climate, self.drive_side
        lengthwise = rng.random() < 0.65
        facing = float(rng.choice([-1, 1]))
        engine = rng.random() < 0.5
        speed = float(rng.uniform(8, 12) if engine else rng.uniform(3, 5.5))
        if lengthwise:
            # towards us on the other side of the road, or ahead of us on ours
            lateral = (side if facing < 0 else -side) * (ground.half_road_m - float(rng.uniform(0.5, 2.2)))
            s = self._in_view(rng, lateral, 35.0)
            ahead = facing < 0 and engine
            motion = Motion(d=lateral, s=s, s_mps=0.0 if ahead else -facing * speed, with_ego=ahead)
            yaw = two_wheelers.along(facing, float(rng.normal(0, 0.2)))
        else:
            reach = 0.7 * ground.kerb_m
            lateral = float(rng.uniform(-reach, reach))
            motion = Motion(d=lateral, s=self._in_view(rng, lateral, 30.0), d_mps=facing * speed)
            yaw = (0.0 if facing > 0 else np.pi) + float(rng.normal(0, 0.15))
        machine = two_wheelers.motorcycle(rng, climate, running=True) if engine else two_wheelers.bicycle(rng, climate)
        self.movers.append((machine.placed(0, 0, yaw=yaw), motion))
        seat = 0.82 if engine else 0.95
        self.crowd.add(rng, climate, speed_mps=speed, frontal=float(lengthwise), facing=facing, seat_m=seat, rider=True)
        # A hair nearer than the machine, so that the rider is drawn over it.
        self.walkers.append(replace(motion, s=motion.s - 0.02))

    def _walk(self, rng: np.random.Generator) -> None:
        ground, climate, u = self.ground, self.climate, rng.uniform
        for _ in range(int(rng.choice([2, 4, 7, 10]))):  # along the pavement, in ones and twos
            side = float(rng.choice([-1, 1]))
            s, d = float(u(3, 80)), side * float(u(ground.kerb_m - 1.3, ground.kerb_m - 0.3))
            speed, facing = float(rng.choice([0.0, 1.0, 1.3, 1.5])), float(rng.choice([-1, 1]))
            for k in range(int(rng.choice([1, 1, 2, 3]))):
                self.crowd.add(
                    rng, climate, speed_mps=speed, frontal=1.0 if speed else float(rng.random() < 0.6), facing=facing
                )
                self.walkers.append(Motion(d=d - side * 0.62 * k, s=s + 0.15 * k, s_mps=-facing * speed))
        spots = [0.5 * (a + e) for a, e in ground.zebras] or [float(u(6, 40))]
        for _ in range(int(rng.choice([0, 1, 2, 4]))):  # across the road
            s, facing = spots[int(rng.integers(len(spots)))] + float(u(-1.2, 1.2)), float(rng.choice([-1, 1]))
            speed = float(u(0.9, 1.6))
            self.crowd.add(rng, climate, speed_mps=speed, frontal=0.0, facing=facing)
            self.walkers.append(Motion(d=float(u(-ground.kerb_m, ground.kerb_m)), s=s, d_mps=facing * speed))
