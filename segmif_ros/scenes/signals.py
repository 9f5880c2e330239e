# SPDX-License-Identifier: Apache-2.0
"""Traffic lights (the class lamp) and traffic signs."""

from __future__ import annotations

import numpy as np

from segmif_ros.arrays import Float32Array
from segmif_ros.scenes import classes as c
from segmif_ros.scenes.climate import Climate, Rgb
from segmif_ros.scenes.faces import Faces, bar, disc, scaled, surface, upright
from segmif_ros.scenes.street import pole_row
from segmif_ros.scenes.things import Rng, Thing

GREEN: Rgb = (0.05, 1.0, 0.45)
AMBER: Rgb = (1.0, 0.6, 0.05)
RED: Rgb = (1.0, 0.06, 0.03)
_FORWARD = np.array([0, 0, -0.06], np.float32)  # what is drawn on a plate lies before its pole
Parts = tuple[list[Float32Array], list[list[float]]]


def _head(rng: Rng, climate: Climate, x: float, base: float, *, lenses: int, away: bool) -> Parts:
    """A signal head whose lower edge is at base: housing, visors and lenses; away: seen from behind, unlit."""
    size = float(rng.uniform(0.85, 1.35))
    housing: Rgb = [(0.02, 0.02, 0.02), (0.03, 0.05, 0.04), (0.1, 0.1, 0.1), (0.45, 0.3, 0.02)][int(rng.integers(4))]
    inside = float(rng.uniform(-1.0, 4.0))

    def row(rgb: Rgb, inside_k: float, emission: Rgb = (0.0, 0.0, 0.0)) -> list[float]:
        return surface(climate, c.LAMP, rgb, "paint", emission=emission, inside_k=inside_k, texture=0.03)

    half, pitch = 0.19 * size, 0.33 * size
    tall = lenses * pitch + 0.08 * size
    polygons: list[Float32Array] = []
    rows: list[list[float]] = []
    if lenses == 3 and rng.random() < 0.4:  # a backboard, some with a white rim
        if rng.random() < 0.5:
            polygons.append(upright(x - 2.1 * half, x + 2.1 * half, base - 0.2 * size, base + tall + 0.2 * size, -0.02))
            rows.append(row((0.6, 0.6, 0.6), inside - 2))
        polygons.append(upright(x - 1.8 * half, x + 1.8 * half, base - 0.14 * size, base + tall + 0.14 * size, -0.03))
        rows.append(row((0.02, 0.02, 0.02), inside - 1))
    polygons.append(upright(x - half, x + half, base, base + tall, -0.05))
    rows.append(row(housing, inside))
    if away:
        return polygons, rows
    state = int(rng.integers(lenses))
    bright = float(rng.uniform(0.8, 2.5)) if climate.lighting == "day" else float(rng.uniform(2, 16))
    colours = (GREEN, AMBER, RED) if lenses == 3 else (GREEN, RED)
    for k, colour in enumerate(colours):
        on = k == state
        y = base + 0.04 * size + (k + 0.5) * pitch
        polygons += [disc(x, y + 0.02 * size, 0.155 * size, z=-0.055), disc(x, y, 0.125 * size, z=-0.06)]
        rows += [row(scaled(housing, 0.4), inside + 0.5)]
        rows.append(row(scaled(colour, 0.1), inside + (6.0 if on else 0.5), scaled(colour, bright if on else 0.0)))
    return polygons, rows


def signal(rng: Rng, climate: Climate, d: float, s: float) -> Thing:
    """A traffic light on a pole, or hanging from an arm over the road; some have a second head, some face away."""
    pole = pole_row(rng, climate)
    arm = rng.random() < 0.35
    height = float(rng.uniform(5.0, 6.2)) if arm else float(rng.uniform(2.7, 3.8))
    inwards = -float(np.sign(d))
    x = inwards * (float(rng.uniform(2.0, 5.0)) if arm else 0.0)
    away = rng.random() < 0.15
    polygons, rows = [bar((0, 0), (0, height), float(rng.uniform(0.12, 0.22)))], [pole]
    if arm:
        polygons.append(bar((0, height), (x, height + 0.2), 0.12))
        rows.append(pole)
    heads = [(x, height - (0.9 if arm else 1.1), 3)]
    if arm and rng.random() < 0.5:
        heads.append((0.25 * inwards, 2.4, 3))
    if rng.random() < 0.4:  # for those on foot
        heads.append((-0.25 * inwards, float(rng.uniform(2.0, 2.3)), 2))
    for at, base, lenses in heads:
        more = _head(rng, climate, at, base, lenses=lenses, away=away)
        polygons += more[0]
        rows += more[1]
    faces = Faces.of(polygons, rows).placed(d, s, yaw=float(rng.normal(0, 0.15)))
    return Thing(faces=faces, s_m=s, shadows=((d, s, 0.15, height),))


def _plates(rng: Rng, height: float) -> list[tuple[Float32Array, Rgb]]:
    """The polygons of one sign with their colours; its lower edge is at height."""
    white, black, yellow = (0.75, 0.75, 0.75), (0.02, 0.02, 0.02), (0.75, 0.5, 0.03)
    red, blue, green = (0.55, 0.04, 0.05), (0.03, 0.12, 0.5), (0.02, 0.25, 0.1)
    kind, w = int(rng.integers(8)), float(rng.uniform(0.28, 0.5))
    y, z = height + w, -0.05
    glyph = disc(float(rng.uniform(-0.05, 0.05)), y, w * float(rng.uniform(0.2, 0.35)), radius_y=0.45 * w, z=z)
    if kind == 0:  # round: a rim about white, with a figure
        return [(disc(0, y, w, z=z), red), (disc(0, y, 0.7 * w, z=z), white), (glyph, black)]
    if kind == 1:  # round and blue, with an arrow
        arrow = bar((0, y - 0.6 * w), (0, y + 0.6 * w), 0.12, end_width=0.3) + _FORWARD
        return [(disc(0, y, w, z=z), blue), (arrow, white)]
    if kind == 2:  # no entry, stop
        return [(disc(0, y, w, z=z), red), (upright(-0.7 * w, 0.7 * w, y - 0.17 * w, y + 0.17 * w, z), white)]
    if kind == 3:
        ground = yellow if rng.random() < 0.25 else white
        sign = -1.0 if rng.random() < 0.25 else 1.0  # give way points down

        def triangle(k: float) -> Float32Array:
            return np.array([[-k, y - 0.6 * sign * k, z], [0, y + sign * k, z], [k, y - 0.6 * sign * k, z]], np.float32)

        return [(triangle(1.3 * w), red), (triangle(0.85 * w), ground), (triangle(0.35 * w), black)]
    if kind == 4:
        plate = upright(-w, w, height, height + 2 * w, z)
        inner = upright(-0.45 * w, 0.45 * w, y - 0.6 * w, y + 0.6 * w, z)
        return [(plate, blue), (inner, white)]
    if kind == 5:  # warning diamond
        k = 1.3 * w
        corners = [[-k, height + k, z], [0, height + 2 * k, z], [k, height + k, z], [0, height, z]]
        mark = bar((0, height + 0.6 * k), (0, height + 1.4 * k), 0.12) + _FORWARD
        return [(np.array(corners, np.float32), yellow), (mark, black)]
    if kind == 6:  # a tall white plate with lines
        lines = [upright(-0.7 * w, 0.5 * w, height + k * w, height + (k + 0.22) * w, z) for k in (0.5, 1.2, 1.9)]
        ink = red if rng.random() < 0.4 else black
        return [(upright(-w, w, height, height + 2.6 * w, z), white), *((line, ink) for line in lines)]
    h, long = float(rng.uniform(0.8, 1.4)), float(rng.uniform(1.6, 3.2))  # a direction board
    ground = [blue, green, white][int(rng.integers(3))]
    ink = black if ground is white else white
    return [
        (upright(-0.1, long, height, height + h, z), ground),
        (upright(0.1, 0.8 * long, height + 0.3 * h, height + 0.42 * h, z), ink),
        (upright(0.1, 0.6 * long, height + 0.6 * h, height + 0.72 * h, z), ink),
    ]


def sign(rng: Rng, climate: Climate, d: float, s: float) -> Thing:
    """A traffic sign or two on a pole; some are seen from behind, grey."""
    pole = pole_row(rng, climate)
    low = rng.random() < 0.15
    height = float(rng.uniform(0.5, 0.9)) if low else float(rng.uniform(1.9, 2.7))
    away, inside = rng.random() < 0.12, float(rng.normal(2.0, 3.0))
    age = float(rng.uniform(0.55, 1.1))
    polygons, rows = [], []
    for _ in range(2 if rng.random() < 0.3 and not low else 1):
        plates = _plates(rng, height)
        for polygon, colour in plates[:1] if away else plates:
            tone = (0.3, 0.3, 0.31) if away else scaled(colour, age)
            polygons.append(polygon)
            retro = 0.0 if away else 2.5
            rows.append(surface(climate, c.SIGN, tone, "sheet", inside_k=inside, texture=0.02, retro=retro))
        height = float(max(polygon[:, 1].max() for polygon in polygons)) + 0.05
    polygons.insert(0, bar((0, 0), (0, height), float(rng.uniform(0.06, 0.12))))
    rows.insert(0, pole)
    wide = float(polygons[1][:, 0].max())
    if wide > 1.0:
        polygons.insert(0, bar((0.9 * wide, 0), (0.9 * wide, height), 0.1))
        rows.insert(0, pole)
    faces = Faces.of(polygons, rows).placed(d, s, yaw=float(rng.normal(0, 0.2)))
    return Thing(faces=faces, s_m=s, shadows=((d, s, 0.2, height),))
