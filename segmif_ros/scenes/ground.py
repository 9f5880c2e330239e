# SPDX-License-Identifier: Apache-2.0
"""The ground: strips across the road, zones along it, looked up per pixel."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from segmif_ros.arrays import Float32Array, Image
from segmif_ros.scenes import classes as c
from segmif_ros.scenes.climate import Climate, Rgb
from segmif_ros.scenes.faces import scaled, surface

REACH_M, STEP_M = 60.0, 0.05
SLOTS = int(2 * REACH_M / STEP_M)
PLAIN, DASH, ZEBRA, STOP, CROSS_ROAD = range(5)


@dataclass(frozen=True, kw_only=True)
class Ground:
    """rows: attribute rows of the ground surfaces; table uint8 (zones, SLOTS): which row at which d; zones along s."""

    rows: Float32Array
    table: Image
    lane_m: float
    lanes: int  # in each direction
    parking_m: float  # width of the strip at the kerb
    half_road_m: float
    kerb_m: float  # where the pavement ends and plots begin, on both sides
    period_m: float  # the world repeats after so many metres
    dash_m: float
    zebras: tuple[tuple[float, float], ...]
    stops: tuple[tuple[float, float], ...]
    cross_roads: tuple[tuple[float, float], ...]

    def zone(self, s: Float32Array) -> npt.NDArray[np.intp]:
        """(rows,) zone of the table that holds at positions s along the road."""
        s = np.mod(s, np.float32(self.period_m))
        zone = np.where(np.mod(s, self.dash_m) < 0.4 * self.dash_m, DASH, PLAIN)
        for kind, spans in ((CROSS_ROAD, self.cross_roads), (ZEBRA, self.zebras), (STOP, self.stops)):
            for a, b in spans:
                zone[(s >= a) & (s < b)] = kind
        return zone

    def surfaces(self, d: Float32Array, s_rows: Float32Array) -> Image:
        """Which row of `rows` lies at lateral positions d (rows, W), whose image rows lie at s_rows (rows,)."""
        slot = np.clip((d + np.float32(REACH_M)) * np.float32(1 / STEP_M), 0, SLOTS - 1).astype(np.int32)
        slot += (self.zone(s_rows) * SLOTS).astype(np.int32)[:, None]
        return np.take(self.table.reshape(-1), slot)


def make_ground(rng: np.random.Generator, climate: Climate, period_m: float, drive_side: int) -> Ground:
    """Draw a road with its lanes, markings, pavements and what lies beyond. drive_side: +1 keeps right, -1 left."""
    u = rng.uniform
    grey = float(u(0.06, 0.22))
    warm = float(u(-0.02, 0.02))
    road: Rgb = (grey + warm, grey, grey - warm)
    pave_grey = float(u(0.18, 0.42))
    pave: Rgb = (pave_grey * float(u(1.0, 1.18)), pave_grey, pave_grey * float(u(0.82, 1.0)))
    grass: Rgb = (float(u(0.05, 0.16)), float(u(0.12, 0.22)), float(u(0.02, 0.06)))
    paint = float(u(0.45, 0.8))
    yellow: Rgb = (paint, paint * 0.72, paint * 0.15)
    worn = float(u(0.8, 1.12))
    lane_paint: Rgb = (paint, paint, paint * 0.95)
    centre_paint = yellow if rng.random() < 0.35 else lane_paint

    rows = [
        surface(climate, c.ROAD, road, "asphalt", texture=float(u(0.05, 0.14))),
        surface(climate, c.ROAD, lane_paint, "marking", texture=0.1, retro=0.35),
        surface(climate, c.ROAD, scaled(road, worn), "asphalt", texture=0.1, inside_k=float(u(0.2, 1.2))),
        surface(climate, c.SIDEWALK, pave, "concrete", texture=float(u(0.06, 0.12))),
        surface(climate, c.SIDEWALK, scaled(pave, 1.35), "concrete", texture=0.06, inside_k=0.5),
        surface(climate, c.VEGETATION, grass, "grass", texture=0.35, leaf=1.0),
        surface(climate, c.UNLABELLED, (0.22, 0.17, 0.11), "soil", texture=0.25),
        surface(climate, c.ROAD, centre_paint, "marking", texture=0.1, retro=0.35),
        surface(climate, c.SIDEWALK, scaled(pave, 0.8), "concrete", texture=0.06, inside_k=-0.3),
        surface(climate, c.ROAD, (0.20 * worn, 0.09, 0.07), "asphalt", texture=0.1),
    ]
    (asphalt, marking, track, paving, kerbstone, lawn, soil, centre, joint, bike) = range(len(rows))

    lane = float(u(2.9, 3.7))
    lanes = int(rng.choice([1, 1, 2]))
    parking = 2.2 if rng.random() < 0.6 else 0.3
    bike_lane = 1.4 if rng.random() < 0.25 else 0.0
    half_road = lanes * lane + bike_lane + parking
    pavement = float(u(1.6, 4.5))
    verge = float(u(0.8, 2.5)) if rng.random() < 0.4 else 0.0
    kerb = half_road + verge + pavement
    plot = [lawn, paving, soil][int(rng.choice(3, p=[0.6, 0.25, 0.15]))]

    d = np.abs((np.arange(SLOTS) + 0.5) * STEP_M - REACH_M)
    table = np.full((5, SLOTS), plot, np.uint8)
    table[:, d < kerb] = paving
    on_pavement = (d > half_road + verge) & (d < kerb)
    table[:, on_pavement & (np.mod(d - half_road, 0.9) < 0.06)] = joint
    if verge:
        table[:, d < half_road + verge] = lawn
    table[:, d < half_road + 0.2] = kerbstone
    table[:, d < half_road] = asphalt
    for k in range(lanes):
        for wheel in (-0.75, 0.75):
            table[:, np.abs(d - (k + 0.5) * lane - wheel) < 0.3] = track
    edge = lanes * lane
    if bike_lane:
        table[:, (d > edge) & (d < edge + bike_lane)] = bike
    if rng.random() < 0.75:
        table[:, np.abs(d - edge) < 0.08] = marking
    solid = (PLAIN, DASH, STOP) if rng.random() < 0.3 else (DASH,)
    for zone in solid:
        table[zone, d < 0.08] = centre
    if lanes > 1:
        table[DASH, np.abs(d - lane) < 0.07] = marking

    table[CROSS_ROAD] = np.where(d > 3, asphalt, table[CROSS_ROAD])
    table[CROSS_ROAD, d < half_road] = asphalt
    table[ZEBRA] = np.where(d < half_road, asphalt, table[ZEBRA])
    table[ZEBRA, (d < half_road - 0.2) & (np.mod(d + 0.25, 1.0) < 0.5)] = marking
    signed = drive_side * ((np.arange(SLOTS) + 0.5) * STEP_M - REACH_M)
    table[STOP, (signed > 0.1) & (signed < edge)] = marking

    cross_roads, zebras, stops = [], [], []
    for s in (float(u(12, 55)), float(u(105, 160))):
        if rng.random() < 0.55:
            gap = float(u(7, 11))
            cross_roads.append((s, s + gap))
            if rng.random() < 0.8:
                zebras.append((s - 4.5, s - 1.0))
                stops.append((s - 6.2, s - 5.6))
            if rng.random() < 0.6:
                zebras.append((s + gap + 1.0, s + gap + 4.0))
        elif rng.random() < 0.5:
            zebras.append((s, s + 3.5))
    return Ground(
        rows=np.asarray(rows, np.float32),
        table=table,
        lane_m=lane,
        lanes=lanes,
        parking_m=parking,
        half_road_m=half_road,
        kerb_m=kerb,
        period_m=period_m,
        dash_m=float(rng.choice([8.0, 10.0, 12.0])),
        zebras=tuple(zebras),
        stops=tuple(stops),
        cross_roads=tuple(cross_roads),
    )
