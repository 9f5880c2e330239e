# SPDX-License-Identifier: Apache-2.0
"""Bicycles and motorcycles: a profile in the plane of the wheels, and what is seen of them from the front and back.

Local frame: the front wheel at +d, wheels on y = 0; turn it by `placed(yaw=...)`. FMB labels a rider person, so the
machine alone carries the label of its class.
"""

from __future__ import annotations

import numpy as np

from segmif_ros.arrays import Float32Array
from segmif_ros.scenes import classes as c
from segmif_ros.scenes.climate import Climate, Rgb
from segmif_ros.scenes.faces import Faces, bar, disc, surface, upright
from segmif_ros.scenes.things import Rng

_FRAMES: list[Rgb] = [
    (0.02, 0.02, 0.02), (0.4, 0.03, 0.03), (0.04, 0.12, 0.4), (0.5, 0.5, 0.5), (0.6, 0.35, 0.02), (0.05, 0.25, 0.1),
]  # fmt: skip


def along(facing: float, turn: float) -> float:
    """Yaw (rad) of a two-wheeler that comes towards the camera (facing > 0) or goes away, off the road by turn."""
    return (0.5 * np.pi if facing > 0 else -0.5 * np.pi) + turn


def _wheel(x: float, radius: float, width: float) -> list[Float32Array]:
    a = np.arange(9) * (np.pi / 4)
    ring = [(x + radius * float(np.cos(k)), radius + radius * float(np.sin(k))) for k in a]
    return [bar(ring[i], ring[i + 1], width) for i in range(8)]


def _ended(profile: Faces, front: Faces, back: Faces, reach: float) -> Faces:
    """The profile with what faces forward and backward across it, each drawn only from its own side."""
    ahead, behind = front.placed(reach, 0, yaw=-0.5 * np.pi), back.placed(-reach, 0, yaw=0.5 * np.pi)
    return Faces.join([profile, ahead, behind])


def bicycle(rng: Rng, climate: Climate) -> Faces:
    """A bicycle: diamond, step-through or small-wheeled; some with a basket."""
    colour = _FRAMES[int(rng.integers(len(_FRAMES)))]
    radius = float(rng.choice([0.33, 0.34, 0.35, 0.25]))
    stout = float(rng.uniform(0.9, 1.7))

    def row(rgb: Rgb, material: str, *, retro: float = 0.0, cull: bool = False) -> list[float]:
        return surface(climate, c.BICYCLE, rgb, material, texture=0.02, retro=retro, cull=cull)

    tyre, frame = row((0.02, 0.02, 0.02), "rubber"), row(colour, "metal")
    spoke = row((0.3, 0.3, 0.3), "metal")
    polygons: list[Float32Array] = []
    rows: list[list[float]] = []
    for x in (-0.52, 0.52):
        for k in range(3):
            angle = float(rng.uniform(0, 0.4)) + k * np.pi / 3
            dx, dy = 0.95 * radius * float(np.cos(angle)), 0.95 * radius * float(np.sin(angle))
            polygons.append(bar((x - dx, radius - dy), (x + dx, radius + dy), 0.02))
            rows.append(spoke)
        polygons += _wheel(x, radius, 0.05 * stout)
        rows += [tyre] * 8
    joints = {"rear": (-0.52, radius), "crank": (-0.05, 0.3), "seat": (-0.2, 0.85), "head": (0.36, 0.85)}
    joints["front"] = (0.52, radius)
    if rng.random() < 0.4:
        joints["head"] = (0.34, 0.8)
        pairs = ["rear crank", "rear seat", "crank seat", "crank head", "head front"]
    else:
        pairs = ["rear crank", "rear seat", "crank seat", "crank head", "seat head", "head front"]
    for start, end in (pair.split() for pair in pairs):
        polygons.append(bar(joints[start], joints[end], 0.05 * stout))
        rows.append(frame)
    polygons += [
        bar((-0.34, 0.94), (-0.06, 0.94), 0.09), bar((-0.2, 0.85), (-0.2, 0.93), 0.05),
        bar((0.35, 0.83), (0.3, 1.04), 0.05), bar((0.18, 1.04), (0.42, 1.04), 0.05),
        bar((-0.05, 0.3), (0.08, 0.18), 0.05), bar((-0.05, 0.3), (-0.18, 0.42), 0.05),
    ]  # fmt: skip
    rows += [tyre, frame, frame, frame, frame, frame]
    if rng.random() < 0.4:
        polygons += [bar((0.62, 0.72), (0.62, 1.0), 0.3), bar((-0.75, 0.76), (-0.3, 0.76), 0.05)]
        rows += [row((0.12, 0.1, 0.08), "metal"), frame]
    ends = []
    for light, retro in ((0.6, 0.6, 0.6), 2.0), ((0.4, 0.02, 0.02), 3.0):
        lamp = row(light, "sheet", retro=retro, cull=True)
        black, metal = row((0.02, 0.02, 0.02), "rubber", cull=True), row(colour, "metal", cull=True)
        ends.append(
            Faces.of(
                [
                    upright(-0.03 * stout, 0.03 * stout, 0.0, 2 * radius),
                    bar((0, 0.6), (0, 1.0), 0.06),
                    bar((-0.3, 1.04), (0.3, 1.04), 0.06),
                    bar((-0.1, 0.93), (0.1, 0.93), 0.09),
                    bar((-0.18, 0.28), (0.18, 0.32), 0.04),
                    disc(0, 0.72, 0.06),
                ],
                [black, metal, metal, black, metal, lamp],
            )
        )
    return _ended(Faces.of(polygons, rows), ends[0], ends[1], 0.5)


def motorcycle(rng: Rng, climate: Climate, *, running: bool) -> Faces:
    """A motorcycle or a scooter; its engine and pipe are hot when it runs, and lukewarm for a while after."""
    colour: Rgb = [(0.02, 0.02, 0.02), (0.45, 0.03, 0.03), (0.05, 0.1, 0.4), (0.5, 0.5, 0.5), (0.5, 0.3, 0.03)][
        int(rng.integers(5))
    ]
    scooter = rng.random() < 0.45
    hot = float(rng.uniform(0.5, 1.1)) if running else float(rng.choice([0.0, 0.0, 0.0, 0.3]))
    cold = float(rng.normal(0, 1.2))

    def row(
        rgb: Rgb, inside_k: float, material: str = "paint", emission: Rgb = (0.0, 0.0, 0.0), *, cull: bool = False
    ) -> list[float]:
        warm = inside_k * hot + cold
        return surface(climate, c.MOTORCYCLE, rgb, material, inside_k=warm, emission=emission, texture=0.03, cull=cull)

    glow = 1.0 if running and climate.lighting != "day" else 0.0
    shine = 0.12 * climate.sky_low_rgb[1]
    tyre, seat = row((0.02, 0.02, 0.02), 14, "rubber"), row((0.02, 0.02, 0.02), 3, "rubber")
    body = row(colour, 4, emission=(shine * colour[0], shine * colour[1], shine * colour[2]))
    engine, pipe = row((0.1, 0.1, 0.1), 45, "rubber"), row((0.3, 0.3, 0.3), 40, "rubber")
    rim = row((0.3, 0.3, 0.3), 10, "metal")
    r = 0.24 if scooter else 0.31
    polygons = [disc(-0.66, r, r), disc(0.66, r, r), disc(-0.66, r, 0.55 * r), disc(0.66, r, 0.55 * r)]
    rows = [tyre, tyre, rim, rim]
    shapes: list[tuple[tuple[float, float], tuple[float, float], float, float, list[float]]]
    if scooter:
        shapes = [
            ((-0.85, 0.52), (-0.1, 0.5), 0.34, 0.42, body),
            ((-0.55, 0.3), (-0.15, 0.32), 0.2, 0.26, engine),
            ((-0.2, 0.26), (0.4, 0.26), 0.14, 0.14, body),
            ((0.5, 0.25), (0.36, 0.95), 0.26, 0.16, body),
            ((0.6, 0.45), (0.66, 0.24), 0.22, 0.3, body),
            ((-0.85, 0.76), (-0.05, 0.74), 0.1, 0.12, seat),
            ((0.22, 1.02), (0.46, 1.0), 0.06, 0.12, body),
        ]
        if rng.random() < 0.4:
            shapes.append(((-0.98, 0.95), (-0.6, 0.95), 0.3, 0.3, body))  # a top case
    else:
        shapes = [
            ((-0.2, 0.42), (0.28, 0.42), 0.36, 0.32, engine),
            ((-0.7, 0.33), (0.1, 0.3), 0.1, 0.08, pipe),
            ((0.42, 0.95), (0.68, 0.31), 0.1, 0.07, body),
            ((-0.1, 0.72), (0.42, 0.85), 0.3, 0.24, body),
            ((-0.85, 0.85), (-0.1, 0.74), 0.12, 0.2, seat),
            ((0.3, 1.05), (0.5, 0.9), 0.07, 0.1, body),
        ]
        if rng.random() < 0.4:
            shapes.append(((0.1, 0.55), (0.62, 0.85), 0.4, 0.2, body))  # a fairing
    for start, end, w0, w1, which in shapes:
        polygons.append(bar(start, end, w0, end_width=w1))
        rows.append(which)
    black, metal = row((0.02, 0.02, 0.02), 14, "rubber", cull=True), row((0.05, 0.05, 0.05), 3, "metal", cull=True)
    shell, block = row(colour, 4, cull=True), row((0.1, 0.1, 0.1), 45, "rubber", cull=True)
    head = row((0.6, 0.6, 0.6), 10, emission=(35 * glow, 33 * glow, 30 * glow), cull=True)
    tail = row((0.4, 0.02, 0.02), 3, emission=(1.5 * glow, 0.06 * glow, 0.04 * glow), cull=True)
    plate = row((0.6, 0.6, 0.5), 0, "sheet", cull=True)
    wide = 0.42 if scooter else 0.34
    front = [
        (upright(-0.08, 0.08, 0.0, 0.62), black),
        (upright(-0.2, 0.2, 0.32, 0.62), metal if scooter else block),
        (bar((0, 0.45), (0, 1.0), wide, end_width=0.25), shell),
        (bar((-0.38, 1.05), (0.38, 1.05), 0.06), metal),
        (bar((-0.42, 1.2), (-0.32, 1.2), 0.1), metal),
        (bar((0.32, 1.2), (0.42, 1.2), 0.1), metal),
        (disc(0, 0.8, 0.1), head),
    ]
    back = [
        (upright(-0.09, 0.09, 0.0, 0.6), black),
        (upright(0.14, 0.26, 0.26, 0.42), block),
        (bar((0, 0.5), (0, 0.86), 0.3, end_width=0.26), shell),
        (bar((-0.38, 1.05), (0.38, 1.05), 0.06), metal),
        (upright(-0.1, 0.1, 0.45, 0.6), plate),
        (upright(-0.1, 0.1, 0.68, 0.76), tail),
    ]
    ends = [Faces.of([polygon for polygon, _ in end], [which for _, which in end]) for end in (front, back)]
    return _ended(Faces.of(polygons, rows), ends[0], ends[1], 0.6)
