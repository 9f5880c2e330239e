# SPDX-License-Identifier: Apache-2.0
"""A grid as a picture for people: RViz has its own; pages, `segmif view` and reports take this one."""

from __future__ import annotations

import cv2
import numpy as np
import numpy.typing as npt

from segmif_ros.arrays import Image
from segmif_ros.grid.evidence import Square
from segmif_ros.grid.rolling import UNKNOWN, GridMap
from segmif_ros.labels import LabelSet

_UNKNOWN_RGB = (60, 63, 68)
_FREE_RGB, _MIDDLE_RGB, _LETHAL_RGB = (226, 240, 226), (240, 190, 80), (170, 20, 40)
_ROBOT_RGB = (20, 110, 220)


def draw_grid(
    grid: GridMap,
    *,
    pixels: int = 480,
    layer: str = "cost",
    label_set: LabelSet | None = None,
    robot: tuple[float, float, float] | None = None,
) -> Image:
    """Draw a grid seen from above, x to the right and y up; with a robot, its heading up.

    Args:
        grid: What to draw.
        pixels: Sides of the picture.
        layer: "cost" (light is free, red is lethal, dark is unknown), "obstacle" (probability) or "classes".
        label_set: Colours of the classes, for that layer.
        robot: x, y in metres and yaw in radians of the odometry frame: drawn as an arrow, and the picture is turned
            so that it looks up.

    Returns:
        (pixels, pixels, 3) uint8 RGB.
    """
    colours = _colours(grid, layer, label_set)
    n, cell = grid.square.cells, grid.square.cell_m
    # pixel centre (u, v) -> cell centre (i, j)
    scale = n / pixels
    middle = (n - 1) / 2, (n - 1) / 2
    turn = 0.0
    if robot is not None:
        middle = (robot[0] - grid.square.x_m) / cell - 0.5, (robot[1] - grid.square.y_m) / cell - 0.5
        turn = robot[2] - np.pi / 2
    c, s = scale * np.cos(turn), scale * np.sin(turn)
    half = (pixels - 1) / 2
    # right in the picture is (cos, sin) of the turned frame, up is (-sin, cos)
    matrix = np.array([[c, s, middle[0] - c * half - s * half], [s, -c, middle[1] - s * half + c * half]])
    picture = np.asarray(
        cv2.warpAffine(
            colours,
            matrix,
            (pixels, pixels),
            flags=cv2.INTER_NEAREST | cv2.WARP_INVERSE_MAP,
            borderValue=_UNKNOWN_RGB,
        ),
        np.uint8,
    )
    if robot is not None:
        centre, length = round(half), max(4, pixels // 30)
        cv2.arrowedLine(picture, (centre, centre + length // 2), (centre, centre - length), _ROBOT_RGB, 2, cv2.LINE_AA)
    return picture


def draw_cost(cost: npt.NDArray[np.int8], square: Square, stamp_ns: int) -> Image:
    """Draw the cells of an OccupancyGrid as `draw_grid` does.

    Args:
        cost: (N, N) int8, 0 to 100, -1 where nothing is known.
        square: Where the cells are.
        stamp_ns: When; written on the picture.

    Returns:
        (480, 480, 3) uint8, RGB.
    """
    nothing = np.full(cost.shape, -1, np.int8)
    obstacle = np.full(cost.shape, np.nan, np.float32)
    grid = GridMap(stamp_ns=stamp_ns, square=square, cost=cost, classes=nothing, confidence=nothing, obstacle=obstacle)
    return draw_grid(grid)


def _colours(grid: GridMap, layer: str, label_set: LabelSet | None) -> Image:
    unknown = grid.cost == UNKNOWN
    if layer == "classes":
        if label_set is None:
            raise ValueError("the layer classes needs a label_set")
        colours = label_set.colourise(np.where(unknown, 0, grid.classes).astype(np.uint8))
    elif layer in ("cost", "obstacle"):
        share = np.where(unknown, 0, grid.cost) / 100 if layer == "cost" else np.nan_to_num(grid.obstacle)
        ramp = np.array([_FREE_RGB, _MIDDLE_RGB, _LETHAL_RGB], float)
        colours = np.stack([np.interp(share, (0, 0.5, 1), ramp[:, k]) for k in range(3)], axis=-1).astype(np.uint8)
    else:
        raise ValueError(f"layer is '{layer}': choose cost, obstacle or classes")
    colours[unknown] = _UNKNOWN_RGB
    return colours
