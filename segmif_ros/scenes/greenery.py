# SPDX-License-Identifier: Apache-2.0
"""Trees and hedges."""

from __future__ import annotations

import numpy as np

from segmif_ros.arrays import Float32Array
from segmif_ros.scenes import classes as c
from segmif_ros.scenes.climate import Climate
from segmif_ros.scenes.faces import BLUE, CROWN, RED, SHADE_C, Faces, bar, box, scaled, surface
from segmif_ros.scenes.things import Rng, Thing, pick


def tree(rng: Rng, climate: Climate, d: float, s: float, *, bare: bool = False) -> Thing:
    """A tree of 3 to 11 m: bark, and a crown of ragged clumps with gaps; or bare, as in winter."""
    height = float(rng.uniform(3.5, 11))
    width = height * float(rng.uniform(0.22, 0.42))
    trunk_h = height * float(rng.uniform(0.2, 0.45))
    trunk_w = 0.06 * height * float(rng.uniform(0.5, 1.0))
    autumn = rng.random() < 0.15
    leaf = pick(
        rng,
        [(0.30, 0.16, 0.04), (0.34, 0.24, 0.05)]
        if autumn
        else [(0.05, 0.13, 0.02), (0.08, 0.16, 0.04), (0.10, 0.15, 0.03)],
    )
    bark = surface(climate, c.VEGETATION, pick(rng, [(0.14, 0.10, 0.07), (0.22, 0.19, 0.16)]), "bark", texture=0.2)
    polygons = [
        bar((0, -0.1), (float(rng.uniform(-0.2, 0.2)), trunk_h + 0.3 * height), trunk_w, end_width=0.5 * trunk_w)
    ]
    rows = [bark]
    for _ in range(3):
        tip = (float(rng.uniform(-0.8, 0.8)) * width, trunk_h + float(rng.uniform(0.25, 0.45)) * (height - trunk_h))
        polygons.append(bar((0, trunk_h * float(rng.uniform(0.8, 1.1))), tip, 0.5 * trunk_w, end_width=0.15 * trunk_w))
        rows.append(bark)
    conifer, sparse = rng.random() < 0.2, rng.random() < 0.15
    if bare:
        twigs = _branches(rng, trunk_h, height, width)
        faces = Faces.join([Faces.of(polygons[:1], rows[:1]), Faces.same(twigs, bark)])
        return Thing(faces=faces.placed(d, s), s_m=s, shadows=((d, s, 0.5 * trunk_w, height),))
    bark_faces = Faces.of(polygons, rows)
    count = 20 if sparse else 46
    crown = height - trunk_h
    rise = rng.random(count)
    span = width * ((1.05 - rise) if conifer else np.sqrt(np.maximum(0.05, 1 - (2 * rise - 1) ** 2)))
    x = rng.uniform(-1, 1, count) * span
    inner = np.arange(count) < (4 if sparse else 10)
    radius = crown * rng.uniform(0.07, 0.17, count) * np.where(inner, 1.7, 1.0)
    # Lit from above: the tone follows the height in the crown, and the dark clumps are drawn first.
    tone = np.where(inner, 0.35, np.clip(0.45 + 0.75 * rise + rng.normal(0, 0.22, count), 0.3, 1.6))
    angle = np.arange(8) * (np.pi / 4)
    ragged = rng.uniform(0.7, 1.3, (count, 8)) * radius[:, None]
    xyz = np.zeros((count, 8, 3), np.float32)
    xyz[..., 0] = x[:, None] - ragged * np.cos(angle)
    xyz[..., 1] = (trunk_h + rise * crown)[:, None] + 0.75 * ragged * np.sin(angle)
    row = surface(climate, c.VEGETATION, leaf, "foliage", texture=0.45, leaf=CROWN)
    attributes = np.tile(np.asarray(row, np.float32), (count, 1))
    attributes[:, RED : BLUE + 1] *= tone[:, None]
    attributes[:, SHADE_C] += 1.1 * (tone - 0.8)
    faces = Faces.join([bark_faces, Faces(xyz=xyz, attributes=attributes)])
    return Thing(faces=faces.placed(d, s), s_m=s, shadows=((d, s, width, height),))


def _branches(rng: Rng, trunk_h: float, height: float, width: float) -> Float32Array:
    """(F, 4, 3) boughs that fork three times, thinner and shorter each time."""
    starts = np.full((6, 2), (0.0, trunk_h)) + rng.uniform(0, 0.25, (6, 1)) * (0.0, height - trunk_h)
    angles = np.linspace(-1.0, 1.0, 6) + rng.normal(0, 0.15, 6)
    reach, thick = 0.5 * (height - trunk_h), 0.03 * height**0.8
    bars = []
    for _ in range(4):
        lengths = reach * rng.uniform(0.6, 1.1, len(starts))
        lean = np.stack([np.sin(angles) * width / (0.4 * height), np.cos(angles)], axis=1)
        tips = starts + lengths[:, None] * lean
        bars += [
            bar((float(a[0]), float(a[1])), (float(b[0]), float(b[1])), thick, end_width=0.6 * thick)
            for a, b in zip(starts, tips, strict=True)
        ]
        fork = rng.uniform(0.5, 1.0, (len(tips), 2, 1))
        starts = (starts[:, None] + fork * (tips - starts)[:, None]).reshape(-1, 2)
        angles = (angles[:, None] + np.array([-0.5, 0.4]) + rng.normal(0, 0.2, (len(angles), 2))).reshape(-1)
        reach, thick = 0.55 * reach, 0.5 * thick
    return np.stack(bars)


def hedge(rng: Rng, climate: Climate, d: float, s: float, length: float) -> list[Thing]:
    """A hedge along the road from s over length."""
    height, thick = float(rng.uniform(0.6, 2.2)), 0.8
    leaf = pick(rng, [(0.05, 0.12, 0.02), (0.08, 0.14, 0.03)])
    rows = [
        surface(climate, c.VEGETATION, scaled(leaf, k), "foliage", texture=0.5, leaf=1.0, cull=True)
        for k in (1.0, 1.25)
    ]
    things = []
    for k in range(max(1, int(length / 3))):
        sides = box(d - thick / 2, d + thick / 2, -0.1, height * float(rng.uniform(0.9, 1.05)), 0, 3.05)
        faces = Faces.of(
            [sides["back"], sides["left"], sides["right"], sides["top"]], [rows[0], rows[0], rows[0], rows[1]]
        )
        things.append(Thing(faces=faces.placed(0, s + 3 * k), s_m=s + 3 * k, key_m=1.5))
    return things
