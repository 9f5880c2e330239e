# SPDX-License-Identifier: Apache-2.0
"""Street furniture: poles, lamps, signals, signs, fences, marks on the road."""

from __future__ import annotations

import numpy as np

from segmif_ros.data.scenes import classes as c
from segmif_ros.data.scenes.climate import Climate, Rgb
from segmif_ros.data.scenes.faces import Faces, bar, box, disc, scaled, surface, upright
from segmif_ros.data.scenes.things import Rng, Thing, pick


def _pole_rows(rng: Rng, climate: Climate) -> list[float]:
    grey = float(rng.uniform(0.08, 0.4))
    return surface(climate, c.POLE, (grey, grey, grey), "metal", texture=0.05)


def street_light(rng: Rng, climate: Climate, d: float, s: float) -> Thing:
    """A pole with an arm over the road. FMB has no class for its head: it is labelled pole."""
    height = float(rng.uniform(5.5, 9))
    reach = -np.sign(d) * float(rng.uniform(0.6, 2.4))
    pole = _pole_rows(rng, climate)
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
    polygons = [bar((0, 0), (0, height), 0.18, end_width=0.12), bar((0, height), (reach, height + 0.3), 0.10)]
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
    pole = _pole_rows(rng, climate)
    return Thing(faces=Faces.of([bar((0, 0), (0, float(rng.uniform(0.8, 1.1))), 0.14)], [pole]).placed(d, s), s_m=s)


def signal(rng: Rng, climate: Climate, d: float, s: float) -> Thing:
    """A traffic light on a pole, or hanging from an arm over the road."""
    pole = _pole_rows(rng, climate)
    housing = surface(climate, c.LAMP, (0.03, 0.035, 0.03), "paint", inside_k=2.0, texture=0.03)
    state = int(rng.integers(3))
    arm = rng.random() < 0.5
    height = float(rng.uniform(5.2, 6.2)) if arm else float(rng.uniform(2.9, 3.6))
    x = -float(np.sign(d)) * (float(rng.uniform(2.5, 5.0)) if arm else 0.0)
    polygons = [bar((0, 0), (0, height), 0.16)]
    rows = [pole]
    if arm:
        polygons.append(bar((0, height), (x, height + 0.2), 0.12))
        rows.append(pole)
    base = height - (0.9 if arm else 0.0)
    polygons.append(upright(x - 0.22, x + 0.22, base, base + 1.1, -0.05))
    rows.append(housing)
    bright = 1.2 if climate.lighting == "day" else 6.0
    colours: list[Rgb] = [(0.05, 1.0, 0.45), (1.0, 0.6, 0.05), (1.0, 0.06, 0.03)]
    for k, colour in enumerate(colours):
        on = k == state
        glow = scaled(colour, bright) if on else (0.0, 0.0, 0.0)
        tint = scaled(colour, 0.12)
        rows.append(
            surface(
                climate,
                c.LAMP,
                tint,
                "paint",
                emission=(glow[0], glow[1], glow[2]),
                inside_k=9.0 if on else 1.0,
                texture=0.0,
            )
        )
        polygons.append(disc(x, base + 0.2 + 0.35 * k, 0.14, z=-0.06))
    return Thing(faces=Faces.of(polygons, rows).placed(d, s), s_m=s, shadows=((d, s, 0.15, height),))


def sign(rng: Rng, climate: Climate, d: float, s: float) -> Thing:
    """A traffic sign: round, triangle, square, diamond, or a direction board."""
    pole = _pole_rows(rng, climate)
    kind = int(rng.integers(5))
    height = float(rng.uniform(2.0, 2.7))

    def plate(colour: Rgb) -> list[float]:
        return surface(climate, c.SIGN, colour, "sheet", texture=0.02, retro=2.5)

    white, red, blue, yellow = (0.75, 0.75, 0.75), (0.55, 0.04, 0.05), (0.03, 0.12, 0.5), (0.75, 0.5, 0.03)
    polygons, rows = [bar((0, 0), (0, height + 0.6), 0.08)], [pole]
    z = -0.05
    if kind == 0:  # round with a rim
        polygons += [disc(0, height + 0.35, 0.36, z=z), disc(0, height + 0.35, 0.25, z=z)]
        rows += [plate(red), plate(white)]
    elif kind == 1:  # triangle
        for size, colour in ((0.45, red), (0.3, white)):
            polygons.append(np.array([[-size, height, z], [0, height + 1.6 * size, z], [size, height, z]], np.float32))
            rows.append(plate(colour))
    elif kind == 2:  # square
        polygons += [
            upright(-0.32, 0.32, height, height + 0.64, z),
            upright(-0.14, 0.14, height + 0.12, height + 0.5, z),
        ]
        rows += [plate(blue), plate(white)]
    elif kind == 3:  # warning diamond
        polygons.append(
            np.array([[-0.5, height + 0.5, z], [0, height + 1, z], [0.5, height + 0.5, z], [0, height, z]], np.float32)
        )
        rows.append(plate(yellow))
    else:  # direction board on two poles
        w, h = float(rng.uniform(0.9, 1.8)), float(rng.uniform(0.8, 1.4))
        polygons += [bar((2 * w * 0.9, 0), (2 * w * 0.9, height), 0.08), upright(-0.1, 2 * w, height, height + h, z)]
        rows += [pole, plate(blue if rng.random() < 0.5 else (0.02, 0.25, 0.1))]
        polygons += [
            upright(0.1, 2 * w - 0.3, height + 0.3 * h, height + 0.42 * h, z),
            upright(0.1, 1.4 * w, height + 0.6 * h, height + 0.72 * h, z),
        ]
        rows += [plate(white), plate(white)]
    return Thing(faces=Faces.of(polygons, rows).placed(d, s), s_m=s, shadows=((d, s, 0.2, height),))


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
    """A manhole, a patch or a tarred crack: road, but of another tone and heat."""
    kind, d = int(rng.integers(3)), float(rng.uniform(-1, 1)) * (half_road - 0.6)
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
