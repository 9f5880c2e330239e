# SPDX-License-Identifier: Apache-2.0
"""Street furniture: poles, street lights, fences, marks on the road."""

from __future__ import annotations

import numpy as np

from segmif_ros.scenes import classes as c
from segmif_ros.scenes.climate import Climate, Rgb
from segmif_ros.scenes.faces import Faces, bar, box, scaled, surface
from segmif_ros.scenes.things import Rng, Thing, pick


def pole_row(rng: Rng, climate: Climate) -> list[float]:
    """Surface of a metal post: galvanised or painted."""
    grey = float(rng.uniform(0.03, 0.5))
    rgb: Rgb = (grey, grey, grey) if rng.random() < 0.8 else (0.3 * grey, 0.6 * grey, 0.45 * grey)
    return surface(climate, c.POLE, rgb, "metal", inside_k=float(rng.normal(1.0, 2.5)), texture=0.05)


def street_light(rng: Rng, climate: Climate, d: float, s: float) -> Thing:
    """A pole with an arm over the road. FMB has no class for its head: it is labelled pole."""
    height = float(rng.uniform(5.5, 9))
    reach = -np.sign(d) * float(rng.uniform(0.6, 2.4))
    pole, stout = pole_row(rng, climate), float(rng.uniform(0.15, 0.3))
    on = climate.lamps_on
    glow = scaled(climate.lamp_rgb, 30.0 if on else 0.0)
    head = surface(
        climate,
        c.POLE,
        (0.5, 0.5, 0.5),
        "metal",
        emission=(glow[0], glow[1], glow[2]),
        inside_k=22.0 if on else 0.0,
        texture=0.0,
    )
    polygons = [bar((0, 0), (0, height), stout, end_width=0.65 * stout)]
    polygons.append(bar((0, height), (reach, height + 0.3), 0.10))
    polygons.append(bar((reach * 0.8, height + 0.22), (reach * 1.15, height + 0.26), 0.2))
    return Thing(faces=Faces.of(polygons, [pole, pole, head]).placed(d, s), s_m=s, shadows=((d, s, 0.12, height),))


def utility_pole(rng: Rng, climate: Climate, d: float, s: float) -> Thing:
    """A wooden pole with a crossbar."""
    height = float(rng.uniform(7, 10))
    wood = surface(climate, c.POLE, (0.2, 0.15, 0.11), "bark", texture=0.15)
    polygons = [bar((0, 0), (0, height), 0.28, end_width=0.2), bar((-1.0, height - 0.7), (1.0, height - 0.7), 0.12)]
    return Thing(faces=Faces.of(polygons, [wood, wood]).placed(d, s), s_m=s, shadows=((d, s, 0.15, height),))


def bollard(rng: Rng, climate: Climate, d: float, s: float) -> Thing:
    """A post at the kerb."""
    pole = pole_row(rng, climate)
    return Thing(faces=Faces.of([bar((0, 0), (0, float(rng.uniform(0.8, 1.1))), 0.14)], [pole]).placed(d, s), s_m=s)


def railing(rng: Rng, climate: Climate, d: float, s: float, length: float) -> list[Thing]:
    """A fence or guard rail along the kerb; FMB has no class for it."""
    colour = pick(rng, [(0.5, 0.5, 0.5), (0.03, 0.12, 0.06), (0.6, 0.6, 0.58), (0.15, 0.1, 0.07)])
    row = surface(climate, c.UNLABELLED, colour, "metal", texture=0.03)
    height = float(rng.uniform(0.7, 1.1))
    rails = [height - 0.08, 0.45 * height] + ([0.7 * height] if rng.random() < 0.5 else [])
    things = []
    for k in range(max(1, int(length / 2))):
        z0, z1 = np.float32(0.0), np.float32(2.0)
        polygons = [np.array([[0, y, z0], [0, y + 0.08, z0], [0, y + 0.08, z1], [0, y, z1]], np.float32) for y in rails]
        polygons.append(bar((0, 0), (0, height), 0.09))
        faces = Faces.of(polygons, [row] * len(polygons)).placed(d, s + 2 * k)
        things.append(Thing(faces=faces, s_m=s + 2 * k, key_m=1.0))
    return things


def road_marks(rng: Rng, climate: Climate, half_road: float, asphalt: Rgb, s: float) -> Thing:
    """A manhole, a patch, a tarred crack or a stain: road, but of another tone and heat."""
    kind, d = int(rng.integers(4)), float(rng.uniform(-1, 1)) * (half_road - 0.6)
    gain = float(rng.uniform(0.45, 1.4))
    tone = scaled(asphalt, gain)
    if kind == 0:
        row = surface(climate, c.ROAD, (0.12, 0.11, 0.10), "asphalt", inside_k=float(rng.uniform(-2, 5)), texture=0.2)
        a = np.arange(8) * (np.pi / 4)
        polygon = np.stack([0.38 * np.cos(a), np.full(8, 0.005), 0.38 * np.sin(a)], axis=1)
    elif kind == 1:
        row = surface(climate, c.ROAD, tone, "asphalt", inside_k=float(rng.uniform(-1.2, 1.2)), texture=0.1)
        w, length = float(rng.uniform(0.5, 1.6)), float(rng.uniform(0.8, 7))
        polygon = np.array([[-w, 0, 0], [-w, 0, length], [w, 0, length], [w, 0, 0]])
    elif kind == 2:  # oil, a puddle that dried, the damp: as dark as a car, and flat
        stain_k = float(rng.normal(0, 2.5))
        row = surface(climate, c.ROAD, scaled(asphalt, float(rng.uniform(0.2, 0.7))), "asphalt", inside_k=stain_k)
        a = np.arange(8) * (np.pi / 4)
        across, along = float(rng.uniform(0.3, 1.6)), float(rng.uniform(0.4, 3.0))
        polygon = np.stack([across * np.cos(a), np.full(8, 0.004), along * np.sin(a)], axis=1)
    else:
        row = surface(
            climate, c.ROAD, scaled(asphalt, 0.35), "asphalt", inside_k=float(rng.uniform(0.3, 1.8)), texture=0.05
        )
        dx, length = float(rng.uniform(-1.5, 1.5)), float(rng.uniform(3, 9))
        polygon = np.array([[0, 0, 0], [dx, 0, length], [dx + 0.1, 0, length], [0.1, 0, 0]])
    return Thing(faces=Faces.of([polygon.astype(np.float32)], [row]).placed(d, s), s_m=s, key_m=1000.0)


def furniture(rng: Rng, climate: Climate, d: float, s: float) -> Thing:
    """A bin, box, bench or cone: FMB has no class for them."""
    kind = int(rng.integers(4))
    if kind == 0:
        row = surface(climate, c.UNLABELLED, (0.7, 0.16, 0.03), "sheet", texture=0.05, retro=0.8)
        white = surface(climate, c.UNLABELLED, (0.7, 0.7, 0.7), "sheet", texture=0.05, retro=1.5)
        polygons = [bar((0, 0), (0, 0.75), 0.4, end_width=0.06), bar((0, 0.3), (0, 0.45), 0.26, end_width=0.2)]
        return Thing(faces=Faces.of(polygons, [row, white]).placed(d, s), s_m=s)
    colour = pick(rng, [(0.1, 0.2, 0.1), (0.25, 0.25, 0.27), (0.3, 0.18, 0.08), (0.1, 0.14, 0.3)])
    row = surface(climate, c.UNLABELLED, colour, "paint" if kind == 1 else "plaster", texture=0.06, cull=True)
    w, h, length = [(0.5, 1.0, 0.5), (0.7, 1.4, 0.9), (0.5, 0.5, 1.8)][kind - 1]
    sides = box(-w / 2, w / 2, 0, h, 0, length)
    faces = Faces.of([sides["back"], sides["left"], sides["right"], sides["top"]], [row] * 4)
    return Thing(faces=faces.placed(d, s), s_m=s, shadows=((d, s, w / 2, h),))
