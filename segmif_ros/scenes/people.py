# SPDX-License-Identifier: Apache-2.0
"""Walking, standing and riding people."""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np

from segmif_ros.arrays import Float32Array
from segmif_ros.scenes import classes as c
from segmif_ros.scenes.climate import Climate, Rgb
from segmif_ros.scenes.faces import CORNERS, NUM_ATTRIBUTES, Faces, surface

Rng = np.random.Generator
SKIN_C = 33.0
CLOTHES: list[Rgb] = [
    (0.02, 0.02, 0.03), (0.05, 0.05, 0.06), (0.03, 0.05, 0.12), (0.12, 0.12, 0.13), (0.35, 0.34, 0.32),
    (0.65, 0.64, 0.62), (0.35, 0.03, 0.03), (0.04, 0.16, 0.35), (0.06, 0.2, 0.08), (0.5, 0.35, 0.04),
    (0.3, 0.18, 0.1), (0.45, 0.15, 0.3),
]  # fmt: skip
SKINS: list[Rgb] = [(0.55, 0.34, 0.24), (0.42, 0.25, 0.16), (0.25, 0.13, 0.08), (0.10, 0.055, 0.035)]


def _at(x: float, y: float) -> Float32Array:
    return np.array([x, y], np.float32)


def _capsule(a: Float32Array, b: Float32Array, wa: Float32Array, wb: Float32Array) -> Float32Array:
    """(P, 8, 2) rounded bars from a to b (P, 2) with half widths wa, wb (P,)."""
    axis = b - a
    axis = axis / (np.linalg.norm(axis, axis=1, keepdims=True) + 1e-6)
    side = np.stack([-axis[:, 1], axis[:, 0]], axis=1)
    wa, wb = wa[:, None], wb[:, None]
    points = [
        a + side * wa, b + side * wb, b + side * wb * 0.5 + axis * wb * 0.8, b - side * wb * 0.5 + axis * wb * 0.8,
        b - side * wb, a - side * wa, a - side * wa * 0.5 - axis * wa * 0.8, a + side * wa * 0.5 - axis * wa * 0.8,
    ]  # fmt: skip
    return np.stack(points, axis=1)


PARTS = (
    "arm0", "forearm0", "thigh0", "shin0", "shoe0", "thigh1", "shin1", "shoe1",
    "hips", "torso", "neck", "head", "hair", "face", "arm1", "forearm1", "hand1", "bag",
)  # fmt: skip


def _cloth_rgb(rng: Rng) -> Rgb:
    gain = float(rng.uniform(0.6, 1.3))
    r, g, b = CLOTHES[int(rng.integers(len(CLOTHES)))]
    return (gain * r, gain * g, gain * b)


@dataclass
class Crowd:
    """People, one row each; add() them, then faces_at(t_s) poses all at once."""

    height: list[float] = field(default_factory=list)
    stride_hz: list[float] = field(default_factory=list)
    phase: list[float] = field(default_factory=list)
    frontal: list[float] = field(default_factory=list)
    facing: list[float] = field(default_factory=list)
    seat_m: list[float] = field(default_factory=list)  # 0 walks, above: sits that high
    rows: list[list[list[float]]] = field(default_factory=list)

    def add(
        self,
        rng: Rng,
        climate: Climate,
        *,
        speed_mps: float,
        frontal: float,
        facing: float,
        seat_m: float = 0.0,
        rider: bool = False,
    ) -> int:
        """Returns the row. frontal: 1 from front or back, 0 in profile; facing: +1 goes right, or towards us."""
        child = rng.random() < 0.12 and not rider
        self.height.append(float(rng.uniform(1.05, 1.45) if child else rng.normal(1.71, 0.08)))
        self.stride_hz.append(0.55 * abs(speed_mps) if abs(speed_mps) < 3 else 0.8)
        self.phase.append(float(rng.uniform(0, 2 * np.pi)))
        self.frontal.append(frontal)
        self.facing.append(facing)
        self.seat_m.append(seat_m)
        air = climate.air_c

        def warmed(share: float) -> float:
            return air + share * (SKIN_C - air)

        # A down jacket is hardly warmer than the air, a wet shirt nearly as warm as skin.
        coat = float(rng.uniform(0.22, 0.6)) if air < 15 else float(rng.uniform(0.4, 0.8))
        skin_c = warmed(float(rng.uniform(0.84, 0.94)))
        top, bottom = (_cloth_rgb(rng) for _ in range(2))
        skin = SKINS[int(rng.integers(len(SKINS)))]
        sunny = 2.0 * climate.sun

        def cloth(colour: Rgb, share: float) -> list[float]:
            return surface(climate, c.PERSON, colour, "plaster", fixed_c=warmed(share) + sunny, texture=0.12)

        bare_legs = rng.random() < (0.35 if air > 12 else 0.1)
        bare_arms = air > 17 and rng.random() < 0.6
        skin_row = surface(climate, c.PERSON, skin, "plaster", fixed_c=skin_c, texture=0.05)
        shirt, leg = cloth(top, coat), cloth(bottom, coat + float(rng.uniform(-0.08, 0.1)))
        shin = skin_row if bare_legs else cloth(bottom, coat + 0.02)
        fore = skin_row if bare_arms else cloth(top, coat - 0.05)
        shoe = cloth((0.03, 0.03, 0.03), 0.3)
        hair_rgb: Rgb = [(0.015, 0.012, 0.01), (0.08, 0.045, 0.02), (0.3, 0.28, 0.25), (0.3, 0.2, 0.08)][
            int(rng.integers(4))
        ]
        hair = cloth(hair_rgb, 0.62 if not rider else 0.3)
        back_of_head = frontal > 0.5 and facing < 0
        face = hair if back_of_head else skin_row
        bag = cloth(CLOTHES[int(rng.integers(len(CLOTHES)))], 0.18) if rng.random() < 0.4 else shirt
        self.rows.append(
            [fore if bare_arms else shirt, fore, leg, shin, shoe, leg, shin, shoe, leg, shirt, skin_row, skin_row,
             hair, face, fore if bare_arms else shirt, fore, skin_row, bag]
        )  # fmt: skip
        return len(self.rows) - 1

    def faces_at(self, t_s: float) -> tuple[Faces, int]:
        """All people about their own origin (feet at 0, 0, 0), and how many faces each has."""
        h = np.asarray(self.height, np.float32)
        p = len(h)
        f = np.asarray(self.frontal, np.float32)
        way = np.where(f > 0.5, 1.0, np.asarray(self.facing)).astype(np.float32)
        seat = np.asarray(self.seat_m, np.float32) / np.maximum(h, 0.1)
        sits = seat > 0
        a = np.asarray(self.phase, np.float32) + np.float32(2 * np.pi * t_s) * np.asarray(self.stride_hz, np.float32)
        moving = (np.asarray(self.stride_hz) > 0.05).astype(np.float32)
        reach = (0.48 * (1 - f) + 0.05 * f) * moving + 0.06
        bob = np.float32(0.012) * np.cos(2 * a) * moving
        hip_y = np.where(sits, seat, 0.5 + bob)
        hip = np.stack([np.zeros(p, np.float32), hip_y], axis=1)
        lean = np.where(sits, 0.10, 0.02) * (1 - f)
        neck = hip + np.stack([way * lean, np.full(p, 0.32)], axis=1)
        one = np.ones(p, np.float32)
        shape: dict[str, Float32Array] = {}
        for k, sign in ((0, -1.0), (1, 1.0)):
            swing = reach * np.sin(a) * sign
            lift = np.maximum(0, np.cos(a) * sign) * moving
            out = sign * f
            thigh_angle = np.where(sits, 1.15 * (1 - f) + 0.25 * swing, swing)
            thigh_len = np.where(sits, 0.24 * (1 - 0.5 * f), 0.24 - 0.02 * f * lift)
            shin_angle = np.where(sits, -0.15 * (1 - f) + 0.3 * swing, swing - 0.55 * lift * (1 - f))
            shin_len = np.where(sits, 0.22, 0.24 - 0.05 * f * lift)
            root = hip + np.stack([0.048 * out, np.zeros(p)], axis=1)
            knee = root + np.stack([way * np.sin(thigh_angle) * thigh_len, -np.cos(thigh_angle) * thigh_len], axis=1)
            ankle = knee + np.stack([way * np.sin(shin_angle) * shin_len, -np.cos(shin_angle) * shin_len], axis=1)
            toe = ankle + np.stack([way * (0.07 * (1 - f) + 0.004), -0.012 * one], axis=1)
            shape[f"thigh{k}"] = _capsule(root, knee, 0.052 * one, 0.040 * one)
            shape[f"shin{k}"] = _capsule(knee, ankle, 0.036 * one, 0.024 * one)
            shape[f"shoe{k}"] = _capsule(ankle, toe, 0.026 * one, 0.020 * one)
            shoulder = neck + np.stack([0.115 * out, -0.015 * one], axis=1)
            arm_angle = np.where(sits, 0.75 * (1 - f), -0.8 * swing)
            elbow = shoulder + np.stack(
                [way * np.sin(arm_angle) * 0.17 + 0.02 * out, -np.cos(arm_angle) * 0.17], axis=1
            )
            bend = arm_angle + np.where(sits, 0.5 * (1 - f), 0.35 * (1 - f))
            hand = elbow + np.stack([way * np.sin(bend) * 0.15, -np.cos(bend) * 0.15], axis=1)
            shape[f"arm{k}"] = _capsule(shoulder, elbow, 0.030 * one, 0.026 * one)
            shape[f"forearm{k}"] = _capsule(elbow, hand, 0.024 * one, 0.019 * one)
            shape[f"hand{k}"] = _capsule(hand, hand + _at(0, -0.02), 0.018 * one, 0.016 * one)
            if k == 0:
                bag = _capsule(hand + _at(0, -0.03), hand + _at(0, -0.13), 0.05 * one, 0.06 * one)
        chest = 0.075 + 0.045 * f
        shape["hips"] = _capsule(hip - _at(0, 0.01), hip + _at(0, 0.06), 0.065 + 0.02 * f, 0.07 + 0.02 * f)
        shape["torso"] = _capsule(hip + _at(0, 0.03), neck - _at(0, 0.06), 0.9 * chest, chest)
        shape["neck"] = _capsule(neck - _at(0, 0.01), neck + _at(0, 0.04), 0.026 * one, 0.026 * one)
        head = neck + np.stack([0.01 * way * (1 - f), np.full(p, 0.095)], axis=1)
        shape["head"] = _capsule(head - _at(0, 0.03), head + _at(0, 0.025), 0.040 * one, 0.047 * one)
        crown = head + np.stack([-0.012 * way * (1 - f), np.full(p, 0.03)], axis=1)
        shape["hair"] = _capsule(crown - _at(0, 0.012), crown + _at(0, 0.012), 0.050 * one, 0.042 * one)
        brow = head + np.stack([0.015 * way * (1 - f), np.full(p, -0.012)], axis=1)
        shape["face"] = _capsule(brow - _at(0, 0.02), brow + _at(0, 0.012), 0.030 * one, 0.036 * one)
        shape["bag"] = bag
        flat = np.stack([shape[name] for name in PARTS], axis=1) * h[:, None, None, None]
        xyz = np.zeros((p, len(PARTS), CORNERS, 3), np.float32)
        xyz[..., :2] = flat
        attributes = np.asarray(self.rows, np.float32).reshape(-1, NUM_ATTRIBUTES)
        return Faces(xyz=xyz.reshape(-1, CORNERS, 3), attributes=attributes), len(PARTS)
