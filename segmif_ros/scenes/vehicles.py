# SPDX-License-Identifier: Apache-2.0
"""Cars, trucks and buses: a few boxes with glass, wheels and lights. Local frame: rear at z < 0, wheels on y = 0."""

from __future__ import annotations

import numpy as np

from segmif_ros.arrays import Float32Array
from segmif_ros.scenes import classes as c
from segmif_ros.scenes.climate import Climate, Rgb
from segmif_ros.scenes.faces import Faces, box, flat, prism, scaled, surface, upright
from segmif_ros.scenes.vehicle_parts import OUTWARDS, Rng, a_paint, lights, part, wheels


def car(rng: Rng, climate: Climate, *, running: bool, braking: bool = False) -> Faces:
    """A hatchback, saloon, SUV or van. running: warm engine, tyres and brakes, and lights when it is dark."""
    kind = int(rng.integers(4))  # hatchback, saloon, SUV, van
    length = [3.9, 4.6, 4.6, 4.9][kind] * float(rng.uniform(0.95, 1.05))
    half_width = 0.9 * float(rng.uniform(0.95, 1.06))
    height = [1.48, 1.42, 1.72, 1.95][kind] * float(rng.uniform(0.97, 1.04))
    belt = height * (0.58 if kind < 3 else 0.52)
    base, hl = 0.24, length / 2
    paint = a_paint(rng)
    # From just started to an hour's drive; some parked cars have come only now.
    heat = float(rng.uniform(0.0, 1.15)) if running else float(rng.choice([0.0, 0.0, 0.0, 0.4]))
    # What stood in a garage or in the sun before: bodies are no surer to be warm than to be cold.
    warm = float(rng.normal(0.7, 2.8)) + 4.5 * heat
    sky = climate.sky_low_rgb
    gloss = float(rng.uniform(0.02, 0.22))
    cold = float(rng.uniform(0.0, 0.12)) * (climate.air_c - climate.sky_c)  # what looks up mirrors the cold sky

    def body(gain: float, inside_k: float, material: str = "paint") -> list[float]:
        return surface(climate, c.CAR, scaled(paint, gain), material, inside_k=inside_k, texture=0.03, cull=True)

    def upward(gain: float, inside_k: float) -> list[float]:
        return surface(
            climate,
            c.CAR,
            scaled(paint, gain),
            "paint",
            emission=scaled(sky, gloss),
            inside_k=inside_k - cold,
            texture=0.03,
            cull=True,
        )

    def pane(mirrored: float, inside_k: float) -> list[float]:
        return surface(
            climate,
            c.CAR,
            (0.02, 0.025, 0.03),
            "car_glass",
            emission=scaled(sky, mirrored),
            inside_k=inside_k,
            texture=0.0,
            cull=True,
        )

    pane_k = 2.5 * heat + float(rng.normal(0, 1.5))
    glass = pane(float(rng.uniform(0.01, 0.12)), pane_k)
    shine = pane(float(rng.uniform(0.05, 0.5)), pane_k - float(rng.uniform(0, 1.5)) * cold)
    dim = surface(climate, c.ROAD, (0.045, 0.045, 0.045), "asphalt", inside_k=2.0 * heat, texture=0.1)
    tyre = surface(climate, c.CAR, (0.02, 0.02, 0.02), "rubber", inside_k=14.0 * heat, texture=0.05, cull=True)
    hub = surface(
        climate,
        c.CAR,
        (0.25, 0.25, 0.26),
        "metal",
        inside_k=18.0 * heat,
        texture=0.0,
        cull=True,
        detail=True,
    )
    dark = surface(climate, c.CAR, (0.025, 0.025, 0.025), "rubber", inside_k=0.3 + 9.0 * heat, texture=0.05, cull=True)
    exhaust = surface(
        climate,
        c.CAR,
        (0.03, 0.03, 0.03),
        "rubber",
        inside_k=26.0 * heat,
        texture=0.0,
        cull=True,
        detail=True,
    )
    plate = surface(climate, c.CAR, (0.7, 0.7, 0.6), "sheet", texture=0.0, retro=1.5, cull=True, detail=True)
    under = surface(climate, c.ROAD, (0.012, 0.012, 0.012), "asphalt", inside_k=0.5 + 4.5 * heat, texture=0.05)

    hood_k = warm + 7.0 * heat
    rear_deck = [-0.97, -0.72, -0.97, -0.98][kind]
    roof_back = [-0.75, -0.35, -0.85, -0.95][kind] + float(rng.uniform(-0.05, 0.05))
    hood_at, roof_at = [0.42, 0.40, 0.45, 0.72][kind], [0.1, 0.08, 0.15, 0.5][kind] + float(rng.uniform(-0.06, 0.06))
    drop = float(rng.uniform(0.06, 0.2))
    profile = [  # (z, y, share of the half width) from the rear skirt over the bonnet to the front skirt
        (-0.96 * hl, base, 0.92),
        (-hl, base + 0.28, 0.94),
        (-0.97 * hl, belt, 0.93),
        (hood_at * hl, belt + 0.03, 0.95),
        (0.92 * hl, belt - drop, 0.88),
        (hl, base + 0.32, 0.88),
        (0.95 * hl, base, 0.88),
    ]
    margin = float(rng.uniform(0.15, 0.4))
    polygons: list[Float32Array] = [
        flat(-half_width - margin, half_width + margin, -hl - margin, hl + margin, 0.008),
        flat(-half_width - 0.08, half_width + 0.08, -hl - 0.1, hl + 0.1, 0.01),
    ]
    rows = [dim, under]
    # Rear tyres and the dark gap under the body, seen from behind and from the front.
    for x in (-half_width + 0.05, half_width - 0.27):
        for z, flip in ((-0.8 * hl, 1), (0.8 * hl, -1)):
            polygons.append(upright(x, x + 0.22, 0.0, base + 0.1, z)[::flip])
            rows.append(tyre)
    flank = np.array([[half_width, y, z] for z, y, _ in profile], np.float32)
    polygons += [flank, flank[::-1] * np.array([-1, 1, 1], np.float32)]
    rows += [body(1.0, warm), body(1.0, warm)]
    strips = ((0.8, warm), (0.95, warm), (1.1, warm), (1.15, hood_k), (0.95, hood_k), (0.8, hood_k))
    for (z0, y0, s0), (z1, y1, s1), (gain, inside) in zip(profile[:-1], profile[1:], strips, strict=True):
        x0, x1 = s0 * half_width, s1 * half_width
        polygons.append(np.array([[-x0, y0, z0], [-x1, y1, z1], [x1, y1, z1], [x0, y0, z0]], np.float32))
        rows.append(upward(gain, inside) if gain > 1 else body(gain, inside))
    w0, w1 = 0.95 * half_width, 0.76 * half_width
    cabin = prism((-w0, w0, rear_deck * hl, hood_at * hl), belt, (-w1, w1, roof_back * hl, roof_at * hl), height)
    for name, gain in (("left", 0.95), ("right", 0.95), ("back", 0.85), ("front", 0.85)):
        polygons.append(cabin[name])
        rows.append(body(gain, 0.4 * warm))
    polygons.append(cabin["top"])
    rows.append(upward(1.15, 0.4 * warm))
    panelled = kind == 3 and rng.random() < 0.5
    for name in ("left", "right", "back", "front"):
        panes = [(0.07, 0.93)] if name in ("back", "front") else [(0.08, 0.47), (0.52, 0.92)]
        if panelled:
            panes = {"left": [(0.08, 0.38)], "right": [(0.62, 0.92)]}.get(name, panes)
        for u0, u1 in panes:
            middle = float(rng.uniform(0.35, 0.75))
            polygons += [part(cabin[name], u0, u1, 0.1, middle), part(cabin[name], u0, u1, middle, 0.9)]
            rows += [glass, shine]
    arches, _ = wheels(half_width - 0.01, 0.32, [-0.62 * hl, 0.64 * hl], arch=1.2)
    polygons += arches
    rows += [dark] * len(arches)
    tyres, hubs = wheels(half_width, 0.32, [-0.62 * hl, 0.64 * hl])
    polygons += tyres + hubs
    rows += [tyre] * len(tyres) + [hub] * len(hubs)
    z = -hl - 0.02
    polygons += [
        upright(-half_width, half_width, base, base + 0.18, z),
        upright(-half_width, half_width, base, base + 0.22, -z)[::-1],
    ]
    rows += [dark, dark]
    polygons += [
        upright(-0.27, 0.27, base + 0.3, base + 0.42, z),
        upright(-0.5, 0.5, base + 0.25, base + 0.48, -z)[::-1],
    ]
    rows += [plate, dark]
    pipe = float(rng.choice([-1, 1])) * 0.6 * half_width
    polygons.append(upright(pipe - 0.1, pipe + 0.1, base - 0.04, base + 0.1, z - 0.01))
    rows.append(exhaust)
    light_polygons, light_rows = lights(
        climate, c.CAR, half_width, belt - 0.24, hl, (0.26, 0.16), running=running, braking=braking
    )
    return Faces.of(polygons + light_polygons, rows + light_rows)


def truck(rng: Rng, climate: Climate, *, running: bool) -> Faces:
    """A lorry with a closed load."""
    length, half_width = float(rng.uniform(6.0, 9.5)), float(rng.uniform(1.05, 1.25))
    height, hl = float(rng.uniform(2.7, 3.7)), length / 2
    cab_h = min(height - 0.2, float(rng.uniform(2.3, 2.9)))
    cargo = [(0.75, 0.75, 0.72), (0.5, 0.5, 0.5), (0.1, 0.2, 0.45), (0.5, 0.25, 0.06), (0.15, 0.3, 0.15)][
        int(rng.integers(5))
    ]
    cargo = scaled(cargo, float(rng.uniform(0.6, 1.2)))
    paint, print_rgb = a_paint(rng), a_paint(rng)
    load_k = float(rng.normal(0, 2.5))

    def row(colour: Rgb, inside_k: float, material: str = "paint") -> list[float]:
        return surface(climate, c.TRUCK, colour, material, inside_k=inside_k, texture=0.05, cull=True)

    hot = 1.0 if running else 0.0
    under = surface(climate, c.ROAD, (0.012, 0.012, 0.012), "asphalt", inside_k=4.0 * hot + 0.5, texture=0.05)
    tyre = surface(climate, c.TRUCK, (0.02, 0.02, 0.02), "rubber", inside_k=15.0 * hot, texture=0.05, cull=True)
    hub = surface(climate, c.TRUCK, (0.2, 0.2, 0.2), "metal", inside_k=20.0 * hot, texture=0.0, cull=True, detail=True)
    glass = surface(
        climate,
        c.TRUCK,
        (0.02, 0.025, 0.03),
        "car_glass",
        emission=scaled(climate.sky_low_rgb, float(rng.uniform(0.03, 0.4))),
        inside_k=3.0 * hot,
        texture=0.0,
        cull=True,
    )
    chassis = row((0.03, 0.03, 0.03), 9.0 * hot, "rubber")
    frame = box(-0.9 * half_width, 0.9 * half_width, 0.5, 0.95, -hl, hl)
    load = box(-half_width, half_width, 0.95, height, -hl, hl - 2.1)
    cab = prism(
        (-half_width, half_width, hl - 1.9, hl),
        0.55,
        (-0.97 * half_width, 0.97 * half_width, hl - 1.9, hl - 0.25),
        cab_h,
    )
    polygons: list[Float32Array] = [flat(-half_width, half_width, -hl, hl, 0.01)]
    rows = [under]
    for x in (-half_width + 0.05, half_width - 0.5):
        polygons += [upright(x, x + 0.45, 0.0, 1.0, -hl + 0.4), upright(x, x + 0.4, 0.0, 0.7, hl - 0.4)[::-1]]
        rows += [tyre, tyre]
    for name in ("left", "right", "back", "front"):
        polygons.append(frame[name])
        rows.append(chassis)
    for name in ("back", "left", "right", "top", "front"):  # the cab
        polygons.append(cab[name])
        rows.append(row(paint, 5.0 * hot))
    for name in ("left", "right", "front"):
        quad = cab[name]
        low, high = 0.55 + 0.55 * (cab_h - 0.55), 0.55 + 0.92 * (cab_h - 0.55)
        centre = quad.mean(0)
        inset = centre + (quad - centre) * np.array([0.85, 1.0, 0.8], np.float32)
        inset[:, 1] = np.where(quad[:, 1] > centre[1], high, low)
        inset[:, 0] += np.float32(0.03) * np.sign(inset[:, 0]) if name != "front" else 0
        inset[:, 2] += np.float32(0.05) if name == "front" else 0
        polygons.append(inset.astype(np.float32))
        rows.append(glass)
    for name in ("left", "right", "back", "front", "top"):
        polygons.append(load[name])
        rows.append(row(cargo, load_k))
    if rng.random() < 0.6:  # a company's name on its sides and doors
        v = float(rng.uniform(0.3, 0.7))
        for name in ("left", "right", "back"):
            polygons.append(part(load[name], 0.12, 0.88, v - 0.12, v + 0.12) + OUTWARDS[name])
            rows.append(row(print_rgb, load_k + 0.3))
    polygons.append(upright(-0.02, 0.02, 1.0, height - 0.05, -hl - 0.01))  # the seam of the rear doors
    rows.append(surface(climate, c.TRUCK, (0.05, 0.05, 0.05), "rubber", texture=0.0, cull=True, detail=True))
    tyres, hubs = wheels(half_width, 0.48, [-0.62 * hl, -0.35 * hl, hl - 1.2])
    polygons += tyres + hubs
    rows += [tyre] * len(tyres) + [hub] * len(hubs)
    light_polygons, light_rows = lights(
        climate, c.TRUCK, half_width, 0.78, hl, (0.28, 0.16), running=running, braking=False
    )
    return Faces.of(polygons + light_polygons, rows + light_rows)


def bus(rng: Rng, climate: Climate, *, running: bool) -> Faces:
    """A city bus, lit inside when it is dark."""
    length, half_width, height = float(rng.uniform(9.5, 12)), 1.25, float(rng.uniform(2.9, 3.3))
    hl = length / 2
    paint: Rgb = [(0.55, 0.05, 0.05), (0.7, 0.7, 0.68), (0.05, 0.2, 0.45), (0.65, 0.42, 0.03), (0.1, 0.35, 0.18)][
        int(rng.integers(5))
    ]
    paint, stripe = (a_paint(rng) if rng.random() < 0.4 else paint), a_paint(rng)
    hot = float(rng.uniform(0.3, 1.0)) if running else 0.0
    lit = climate.lighting != "day" and running
    glow = float(rng.uniform(0.1, 0.35)) if lit else 0.0

    def row(colour: Rgb, inside_k: float, material: str = "paint", *, cull: bool = True) -> list[float]:
        return surface(climate, c.BUS, colour, material, inside_k=inside_k, texture=0.03, cull=cull)

    under = surface(climate, c.ROAD, (0.012, 0.012, 0.012), "asphalt", inside_k=4.0 * hot + 0.5, texture=0.05)
    sky = climate.sky_low_rgb
    mirrored = float(rng.uniform(0.03, 0.45))
    pane = (glow + mirrored * sky[0], 0.9 * glow + mirrored * sky[1], 0.75 * glow + mirrored * sky[2])
    glass = surface(
        climate, c.BUS, (0.03, 0.035, 0.04), "car_glass", emission=pane, inside_k=6.0 * hot, texture=0.0, cull=True
    )
    engine = row((0.04, 0.04, 0.04), float(rng.uniform(3, 9)) * hot, "rubber")
    tyre = row((0.02, 0.02, 0.02), 15.0 * hot, "rubber")
    board = surface(
        climate,
        c.BUS,
        (0.02, 0.02, 0.02),
        "car_glass",
        emission=(1.2, 0.6, 0.05) if running else (0, 0, 0),
        texture=0.0,
        cull=True,
    )
    body_k = 2.0 * hot + float(rng.normal(1.0, 2.5))
    hull = box(-half_width, half_width, 0.35, height, -hl, hl)
    polygons: list[Float32Array] = [flat(-half_width, half_width, -hl, hl, 0.01)]
    rows = [under]
    for x in (-half_width + 0.05, half_width - 0.4):
        polygons += [upright(x, x + 0.35, 0.0, 0.5, -hl + 0.5), upright(x, x + 0.35, 0.0, 0.5, hl - 0.5)[::-1]]
        rows += [tyre, tyre]
    for name in ("left", "right", "back", "front", "top"):
        polygons.append(hull[name])
        rows.append(row(paint, body_k))
    if rng.random() < 0.6:
        v = float(rng.uniform(0.08, 0.3))
        for name in ("left", "right", "back"):
            polygons.append(part(hull[name], 0.0, 1.0, v - 0.06, v + 0.06) + OUTWARDS[name])
            rows.append(row(stripe, body_k))
    count = int(length / 1.5)
    for k in range(count):
        z0, z1 = -hl + 0.3 + k * (length - 0.6) / count, -hl + 0.15 + (k + 1) * (length - 0.6) / count
        for x in (-half_width - 0.02, half_width + 0.02):
            a, b = (z1, z0) if x < 0 else (z0, z1)
            polygons.append(
                np.array([[x, 1.3, a], [x, height - 0.5, a], [x, height - 0.5, b], [x, 1.3, b]], np.float32)
            )
            rows.append(glass)
    z = -hl - 0.02
    polygons += [upright(-1.0, 1.0, 1.5, height - 0.55, z), upright(-1.0, 1.0, 0.5, 1.2, z)]
    rows += [glass, engine]
    polygons += [
        upright(-1.1, 1.1, 1.1, height - 0.6, -z)[::-1],
        upright(-0.8, 0.8, height - 0.5, height - 0.15, -z)[::-1],
    ]
    rows += [glass, board]
    tyres, hubs = wheels(half_width, 0.48, [-0.55 * hl, 0.6 * hl])
    polygons += tyres + hubs
    rows += [tyre] * len(tyres) + [row((0.2, 0.2, 0.2), 18.0 * hot, "metal")] * len(hubs)
    light_polygons, light_rows = lights(
        climate, c.BUS, half_width, 0.85, hl, (0.25, 0.2), running=running, braking=False
    )
    return Faces.of(polygons + light_polygons, rows + light_rows)
