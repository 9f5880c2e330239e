# SPDX-License-Identifier: Apache-2.0
"""The colours of the palette "robot", for people who watch a robot, and colours for classes that nobody gave one.

People stand out: persons are orange-red, those on two wheels pink, vehicles blue, poles, signs and lamps yellow.
The ground is grey, and all else is dull. Lightness differs, too, so that this holds for colour-blind people.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

Palette = npt.NDArray[np.uint8]
Colour = tuple[int, int, int]

# By the common name of a class (`labels.common_name`). No grey is exact: a label map of equal channels holds ids.
ROBOT: dict[str, Colour] = {
    "person": (255, 60, 0),
    "rider": (255, 90, 215),
    "motorcycle": (255, 140, 255),
    "bicycle": (255, 200, 250),
    "car": (40, 110, 240),
    "van": (60, 130, 250),
    "truck": (20, 60, 160),
    "bus": (0, 170, 215),
    "train": (0, 140, 180),
    "road": (108, 110, 114),
    "sidewalk": (172, 174, 180),
    "vegetation": (52, 90, 72),
    "terrain": (74, 98, 80),
    "building": (86, 70, 92),
    "wall": (98, 84, 104),
    "fence": (74, 60, 78),
    "sky": (110, 140, 170),
    "sign": (255, 236, 60),
    "lamp": (255, 250, 170),
    "pole": (214, 208, 140),
    "color_cone": (255, 215, 0),
}
_LUMA = np.array([0.299, 0.587, 0.114])


def robot(meanings: Sequence[Sequence[str]], own: Palette) -> Palette:
    """Return the palette "robot" of some classes.

    Args:
        meanings: Of each class the names that it goes by; the first that has a colour counts.
        own: (N, 3) uint8 RGB, the classes' own colours; those of classes without a name that is known are dulled.

    Returns:
        (N, 3) uint8 RGB; but for black, no two are the same.
    """
    colours: list[Colour] = []
    for names, colour in zip(meanings, own, strict=True):
        known = [ROBOT[name] for name in names if name in ROBOT]
        colours.append(_apart(known[0] if known else _dulled(colour), colours))
    return np.array(colours, np.uint8)


def spread(count: int) -> Palette:
    """Return (count, 3) uint8 RGB colours, spread over the hue circle."""
    golden = (np.arange(count) * 0.618033988749895) % 1.0
    # a cosine palette: three phases of one wave give distinct, saturated colours
    waves = 0.5 + 0.5 * np.cos(2 * np.pi * (golden[:, None] + np.array([0.0, 1 / 3, 2 / 3])))
    return np.round(255 * waves).astype(np.uint8)


def _dulled(colour: npt.NDArray[np.uint8]) -> Colour:
    """Return an RGB colour near grey and of middle lightness; black, which overlays leave out, stays black."""
    if not colour.any():
        return 0, 0, 0
    near_grey = 0.3 * colour + 0.7 * (colour @ _LUMA)
    red, green, blue = np.round(40 + 0.45 * near_grey).astype(int).tolist()
    return red, green, blue


def _apart(colour: Colour, others: list[Colour]) -> Colour:
    """Return ``colour``, or the nearest darker shade of it that none of the others is."""
    while colour in others and any(colour):
        red, green, blue = colour
        colour = red * 15 // 16, green * 15 // 16, blue * 15 // 16
    return colour
