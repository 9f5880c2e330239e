# SPDX-License-Identifier: Apache-2.0
"""Damage of bytes, as disks, networks and people do it."""

from __future__ import annotations

import random

_WORDS = (b"\xff" * 8, b"\0" * 8, b"\x7f" * 4, b"\x80\0\0\0", b"\n", b"\0", b" ", b"\xff")


def damaged(data: bytes, rng: random.Random, most: int = 7) -> bytes:
    """Return the data with one to ``most`` damages: bytes changed, cut, inserted, overwritten, moved or doubled."""
    made = bytearray(data)
    for _ in range(rng.randint(1, most)):
        if not made:
            made = bytearray(b"x")
        at, kind = rng.randrange(len(made)), rng.randrange(7)
        if kind == 0:
            made[at] = rng.randrange(256)
        elif kind == 1:
            made[at] ^= 1 << rng.randrange(8)
        elif kind == 2 and rng.random() < 0.3:
            del made[at:]
        elif kind == 3:
            made[at:at] = rng.randbytes(rng.randrange(9))
        elif kind == 4:
            word = rng.choice(_WORDS)
            made[at : at + len(word)] = word
        elif kind == 5:
            made[at : at + 8] = rng.randrange(1 << 62).to_bytes(8, "little")
        elif kind == 6:
            there, length = rng.randrange(len(made)), rng.randrange(1, 17)
            made[at : at + length] = made[there : there + length]
    return bytes(made)
