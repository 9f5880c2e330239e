# SPDX-License-Identifier: Apache-2.0
"""What stands along a street: houses, trees, hedges, poles, lamps, signals, signs and furniture."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from segmif_ros.data.scenes import classes as c
from segmif_ros.data.scenes.climate import Climate, Rgb
from segmif_ros.data.scenes.faces import F32, Faces, bar, box, disc, surface, upright

Rng = np.random.Generator


@dataclass(frozen=True, kw_only=True)
class Thing:
    """Faces placed in the world; s_m: where it belongs along the road; key_m: what is sorted on, relative to s_m.

    shadow: (lateral half width, height) of what it throws on the ground, or None.
    """

    faces: Faces
    s_m: float
    key_m: float = 0.0
    shadow: tuple[float, float, float] | None = None  # d, half width, height


def _pick(rng: Rng, options: list[Rgb], spread: float = 0.25) -> Rgb:
    base = options[int(rng.integers(len(options)))]
    gain = float(rng.uniform(1 - spread, 1 + spread))
    return (base[0] * gain, base[1] * gain, base[2] * gain)


WALLS: list[Rgb] = [
    (0.42, 0.18, 0.12),
    (0.55, 0.48, 0.38),
    (0.62, 0.60, 0.56),
    (0.34, 0.34, 0.36),
    (0.50, 0.40, 0.22),
    (0.70, 0.66, 0.58),
    (0.26, 0.30, 0.34),
    (0.30, 0.20, 0.15),
]


def building(rng: Rng, climate: Climate, side: int, d: float, s0: float, length: float) -> list[Thing]:
    """A house whose front stands at |d| and runs from s0 over length; side is +1 right, -1 left."""
    floors = int(rng.choice([1, 2, 2, 3, 4, 5, 7, 10]))
    floor_m = float(rng.uniform(2.8, 3.6))
    height = floors * floor_m + float(rng.uniform(0.4, 1.2))
    depth = float(rng.uniform(8, 16))
    wall = _pick(rng, WALLS)
    material = "brick" if rng.random() < 0.5 else "plaster"
    leak = float(rng.uniform(0.0, 2.0))
    wall_row = surface(climate, c.BUILDING, wall, material, inside_k=leak, texture=float(rng.uniform(0.04, 0.12)), cull=True)
    darker = surface(climate, c.BUILDING, tuple(0.6 * x for x in wall), material, inside_k=leak + 0.6, cull=True)
    glass = (0.05, 0.07, 0.09)
    sky_glint = tuple(0.35 * x for x in climate.sky_low_rgb)
    window_k = float(rng.uniform(-0.5, 3.0))
    dark_row = surface(climate, c.BUILDING, glass, "glass", emission=(sky_glint[0] * 0.5, sky_glint[1] * 0.5, sky_glint[2] * 0.5),
                       inside_k=window_k, texture=0.0, cull=True, detail=True)
    lit = 0.0 if climate.lighting == "day" else float(rng.choice([0.05, 0.15, 0.35, 0.6]))
    glow = float(rng.uniform(0.06, 0.35))
    shade: Rgb = [(1.0, 0.75, 0.42), (1.0, 0.9, 0.72), (0.85, 0.95, 1.0)][int(rng.integers(3))]
    lit_row = surface(climate, c.BUILDING, glass, "glass", emission=(shade[0] * glow, shade[1] * glow, shade[2] * glow),
                      inside_k=window_k + 1.0, texture=0.0, cull=True, detail=True)
    shop = rng.random() < 0.4
    shop_glow = glow * float(rng.uniform(1.0, 3.0))
    shop_row = surface(climate, c.BUILDING, _pick(rng, [(0.3, 0.1, 0.1), (0.1, 0.2, 0.3), (0.2, 0.2, 0.2)]), "glass",
                       emission=(shade[0] * shop_glow, shade[1] * shop_glow, shade[2] * shop_glow) if lit else (0.01, 0.01, 0.01),
                       inside_k=window_k + 1.5, texture=0.05, cull=True)

    window_w, pitch = float(rng.uniform(0.8, 2.0)), float(rng.uniform(2.2, 3.6))
    window_h = float(rng.uniform(1.1, min(2.2, floor_m - 0.7)))
    things: list[Thing] = []
    front = side * d
    count = max(1, round(length / 5.0))
    edges = np.linspace(s0, s0 + length, count + 1)
    columns = max(1, int(length / pitch))
    centres = s0 + (np.arange(columns) + 0.5) * length / columns

    def wall_quads(a: F32, b: F32, low: F32, high: F32, inset: float) -> F32:
        x = np.full_like(a, front - side * inset)
        lo, hi = (a, b) if side < 0 else (b, a)  # winding: the front must look at the road
        return np.stack(
            [np.stack([x, low, lo], -1), np.stack([x, high, lo], -1), np.stack([x, high, hi], -1), np.stack([x, low, hi], -1)],
            axis=1,
        ).astype(np.float32)

    one = np.ones(1, np.float32)
    for i in range(count):
        a, b = float(edges[i]), float(edges[i + 1])
        parts = [Faces.same(wall_quads(one * a, one * b, one * -0.3, one * height, 0.0), wall_row)]
        parts.append(Faces.same(wall_quads(one * a, one * b, one * (height - 0.5), one * (height + 0.1), 0.15), darker))
        first_floor = 0
        if shop:
            first_floor = 1
            parts.append(Faces.same(wall_quads(one * (a + 0.4), one * (b - 0.4), one * 0.4, one * 2.5, 0.02), shop_row))
        inside = centres[(centres >= a) & (centres < b)].astype(np.float32)
        if len(inside) and floors > first_floor:
            level, at = np.meshgrid(np.arange(first_floor, floors), inside, indexing="ij")
            low = (level.ravel() * floor_m + 0.9).astype(np.float32)
            quads = wall_quads(at.ravel() - window_w / 2, at.ravel() + window_w / 2, low, low + window_h, 0.03)
            on = rng.random(len(quads)) < lit
            parts.append(Faces.same(quads[~on], dark_row))
            parts.append(Faces.same(quads[on], lit_row))
        things.append(Thing(faces=Faces.join(parts), s_m=a, key_m=b - a, shadow=(front + side * depth / 2, depth / 2, height)))

    x0, x1 = sorted((front, front + side * depth))
    gable = [upright(x0, x1, -0.3, height)]
    end_rows = [wall_row]
    if floors <= 3 and rng.random() < 0.6:
        ridge = height + float(rng.uniform(1.5, 3.5))
        roof = surface(climate, c.BUILDING, _pick(rng, [(0.25, 0.12, 0.09), (0.14, 0.14, 0.15)]), "roof", texture=0.15, cull=True)
        gable.append(np.array([[x0, height, 0], [(x0 + x1) / 2, ridge, 0], [x1, height, 0]], np.float32))
        end_rows.append(wall_row)
        eave_x, ridge_x = front, (x0 + x1) / 2
        near_z, far_z = (0.0, length) if side < 0 else (length, 0.0)
        slope = np.array([[eave_x, height, near_z], [ridge_x, ridge, near_z], [ridge_x, ridge, far_z], [eave_x, height, far_z]])
        slope_faces = Faces.of([slope.astype(np.float32)], [roof]).placed(0.0, s0)
        things.append(Thing(faces=slope_faces, s_m=s0, key_m=length + 0.02))
    end_windows = int(depth // 4)
    for k in range(end_windows):
        for level in range(floors):
            x = x0 + (k + 0.5) * depth / end_windows
            low_y = level * floor_m + 0.9
            gable.append(upright(x - window_w / 2, x + window_w / 2, low_y, low_y + window_h, -0.03))
            end_rows.append(lit_row if rng.random() < lit else dark_row)
    things.append(Thing(faces=Faces.of(gable, end_rows).placed(0.0, s0), s_m=s0, key_m=0.01))
    return things


def tree(rng: Rng, climate: Climate, d: float, s: float) -> Thing:
    height = float(rng.uniform(3.5, 11))
    width = height * float(rng.uniform(0.22, 0.42))
    trunk_h = height * float(rng.uniform(0.2, 0.45))
    trunk_w = 0.06 * height * float(rng.uniform(0.5, 1.0))
    autumn = rng.random() < 0.15
    leaf = _pick(rng, [(0.30, 0.16, 0.04), (0.34, 0.24, 0.05)] if autumn else [(0.05, 0.13, 0.02), (0.08, 0.16, 0.04), (0.10, 0.15, 0.03)])
    bark = surface(climate, c.VEGETATION, _pick(rng, [(0.14, 0.10, 0.07), (0.22, 0.19, 0.16)]), "bark", texture=0.2)
    polygons = [bar((0, -0.1), (float(rng.uniform(-0.2, 0.2)), trunk_h + 0.3 * height), trunk_w, end_width=0.5 * trunk_w)]
    rows = [bark]
    for _ in range(3):
        tip = (float(rng.uniform(-0.8, 0.8)) * width, trunk_h + float(rng.uniform(0.25, 0.45)) * (height - trunk_h))
        polygons.append(bar((0, trunk_h * float(rng.uniform(0.8, 1.1))), tip, 0.5 * trunk_w, end_width=0.15 * trunk_w))
        rows.append(bark)
    conifer = rng.random() < 0.2
    clumps = 34
    shades = [
        surface(climate, c.VEGETATION, tuple(k * x for x in leaf), "foliage", texture=0.45, leaf=True, inside_k=t)
        for k, t in ((0.45, -0.6), (0.75, 0.0), (1.1, 0.4), (1.5, 0.8))
    ]
    crown = height - trunk_h
    for i in range(clumps):
        rise = float(rng.random())
        span = width * (1.05 - rise) if conifer else width * float(np.sqrt(max(0.05, 1 - (2 * rise - 1) ** 2)))
        x = float(rng.uniform(-1, 1)) * span
        r = crown * float(rng.uniform(0.10, 0.2)) * (1.5 if i < 8 else 1.0)
        blob = disc(x, trunk_h + rise * crown, r, radius_y=r * float(rng.uniform(0.6, 0.9)))
        blob[:, :2] += rng.uniform(-0.25, 0.25, (8, 2)) * r
        polygons.append(blob)
        tone = 0 if i < 10 else int(np.clip(rise * 2.2 + rng.uniform(0, 1.6), 0, 3))
        rows.append(shades[tone])
    return Thing(faces=Faces.of(polygons, rows).placed(d, s), s_m=s, shadow=(d, width, height))


def hedge(rng: Rng, climate: Climate, d: float, s: float, length: float) -> list[Thing]:
    height, thick = float(rng.uniform(0.6, 2.2)), 0.8
    leaf = _pick(rng, [(0.05, 0.12, 0.02), (0.08, 0.14, 0.03)])
    rows = [surface(climate, c.VEGETATION, tuple(k * x for x in leaf), "foliage", texture=0.5, leaf=True, cull=True) for k in (1.0, 1.25)]
    things = []
    for k in range(max(1, int(length / 3))):
        sides = box(d - thick / 2, d + thick / 2, -0.1, height * float(rng.uniform(0.9, 1.05)), 0, 3.05)
        faces = Faces.of([sides["back"], sides["left"], sides["right"], sides["top"]], [rows[0], rows[0], rows[0], rows[1]])
        things.append(Thing(faces=faces.placed(0, s + 3 * k), s_m=s + 3 * k, key_m=1.5))
    return things


def _pole_rows(rng: Rng, climate: Climate) -> list[float]:
    grey = float(rng.uniform(0.08, 0.4))
    return surface(climate, c.POLE, (grey, grey, grey), "metal", texture=0.05)


def street_light(rng: Rng, climate: Climate, d: float, s: float) -> Thing:
    """A pole with an arm over the road. FMB has no class for its head: it is labelled pole."""
    height = float(rng.uniform(5.5, 9))
    reach = -np.sign(d) * float(rng.uniform(0.6, 2.4))
    pole = _pole_rows(rng, climate)
    on = climate.lamps_on
    glow = tuple((30.0 if on else 0.0) * x for x in climate.lamp_rgb)
    head = surface(climate, c.POLE, (0.5, 0.5, 0.5), "metal", emission=(glow[0], glow[1], glow[2]), inside_k=22.0 if on else 0.0, texture=0.0)
    polygons = [bar((0, 0), (0, height), 0.18, end_width=0.12), bar((0, height), (reach, height + 0.3), 0.10)]
    polygons.append(bar((reach * 0.8, height + 0.22), (reach * 1.15, height + 0.26), 0.2))
    return Thing(faces=Faces.of(polygons, [pole, pole, head]).placed(d, s), s_m=s, shadow=(d, 0.12, height))


def utility_pole(rng: Rng, climate: Climate, d: float, s: float) -> Thing:
    height = float(rng.uniform(7, 10))
    wood = surface(climate, c.POLE, (0.2, 0.15, 0.11), "bark", texture=0.15)
    polygons = [bar((0, 0), (0, height), 0.28, end_width=0.2), bar((-1.0, height - 0.7), (1.0, height - 0.7), 0.12)]
    return Thing(faces=Faces.of(polygons, [wood, wood]).placed(d, s), s_m=s, shadow=(d, 0.15, height))


def bollard(rng: Rng, climate: Climate, d: float, s: float) -> Thing:
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
        glow = tuple(bright * x for x in colour) if on else (0.0, 0.0, 0.0)
        tint = tuple(0.12 * x for x in colour)
        rows.append(surface(climate, c.LAMP, tint, "paint", emission=(glow[0], glow[1], glow[2]), inside_k=9.0 if on else 1.0, texture=0.0))
        polygons.append(disc(x, base + 0.2 + 0.35 * k, 0.14, z=-0.06))
    return Thing(faces=Faces.of(polygons, rows).placed(d, s), s_m=s, shadow=(d, 0.15, height))


def sign(rng: Rng, climate: Climate, d: float, s: float) -> Thing:
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
        polygons += [upright(-0.32, 0.32, height, height + 0.64, z), upright(-0.14, 0.14, height + 0.12, height + 0.5, z)]
        rows += [plate(blue), plate(white)]
    elif kind == 3:  # warning diamond
        polygons.append(disc(0, height + 0.4, 0.0, z=z) * 0 + 0.0)
        polygons[-1] = np.array([[-0.5, height + 0.5, z], [0, height + 1.0, z], [0.5, height + 0.5, z], [0, height, z]], np.float32)
        rows.append(plate(yellow))
    else:  # direction board on two poles
        w, h = float(rng.uniform(0.9, 1.8)), float(rng.uniform(0.8, 1.4))
        polygons += [bar((2 * w * 0.9, 0), (2 * w * 0.9, height), 0.08), upright(-0.1, 2 * w, height, height + h, z)]
        rows += [pole, plate(blue if rng.random() < 0.5 else (0.02, 0.25, 0.1))]
        polygons += [upright(0.1, 2 * w - 0.3, height + 0.3 * h, height + 0.42 * h, z), upright(0.1, 1.4 * w, height + 0.6 * h, height + 0.72 * h, z)]
        rows += [plate(white), plate(white)]
    return Thing(faces=Faces.of(polygons, rows).placed(d, s), s_m=s, shadow=(d, 0.2, height))


def furniture(rng: Rng, climate: Climate, d: float, s: float) -> Thing:
    """A bin, box, bench or cone: FMB has no class for them."""
    kind = int(rng.integers(4))
    if kind == 0:
        row = surface(climate, c.UNLABELLED, (0.7, 0.16, 0.03), "sheet", texture=0.05, retro=0.8)
        white = surface(climate, c.UNLABELLED, (0.7, 0.7, 0.7), "sheet", texture=0.05, retro=1.5)
        polygons = [bar((0, 0), (0, 0.75), 0.4, end_width=0.06), bar((0, 0.3), (0, 0.45), 0.26, end_width=0.2)]
        return Thing(faces=Faces.of(polygons, [row, white]).placed(d, s), s_m=s)
    colour = _pick(rng, [(0.1, 0.2, 0.1), (0.25, 0.25, 0.27), (0.3, 0.18, 0.08), (0.1, 0.14, 0.3)])
    row = surface(climate, c.UNLABELLED, colour, "paint" if kind == 1 else "plaster", texture=0.06, cull=True)
    w, h, length = [(0.5, 1.0, 0.5), (0.7, 1.4, 0.9), (0.5, 0.5, 1.8)][kind - 1]
    sides = box(-w / 2, w / 2, 0, h, 0, length)
    faces = Faces.of([sides["back"], sides["left"], sides["right"], sides["top"]], [row] * 4)
    return Thing(faces=faces.placed(d, s), s_m=s, shadow=(d, w / 2, h))
