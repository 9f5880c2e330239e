# SPDX-License-Identifier: Apache-2.0
"""Which pixels of a label map are ground and which stand on it, and where what stands touches the ground.

Shapes: H, W label map; rows, the part of it below the horizon.
"""

from __future__ import annotations

from dataclasses import dataclass

import cv2
import numpy as np
import numpy.typing as npt

from segmif_ros.arrays import Float32Array, Image
from segmif_ros.grid.costs import EITHER, GROUND, OBJECT, ClassTable
from segmif_ros.grid.errors import GridError
from segmif_ros.grid.ground_view import GroundView

# Between the wheels of a car, the legs of a bench and the posts of a fence ground shows, but nothing can pass.
CLEARANCE_M = 0.7
_OVER_HORIZON_PX = 4  # what is still connected so far over the horizon rises over it
_MIN_OUTLINE_PX = 20  # of objects that are looked under
_MOST_OBJECTS = 60


@dataclass(frozen=True, kw_only=True)
class GroundMasks:
    """Which pixels are what, from ``first_row`` of the label map on; all (rows, W) uint8.

    Attributes:
        first_row: A little over the horizon.
        labels: Class ids; ground under an object has the object's.
        ground: 255 at ground classes, and at low ones of the kind "either".
        solid: 255 at objects, and at what of the kind "either" rises over the horizon.
        doubt: 255 at ground below the body of an object that the image cuts off: a wheel may stand just outside.
    """

    first_row: int
    labels: Image
    ground: Image
    solid: Image
    doubt: Image


def split_ground(labels: Image, view: GroundView, table: ClassTable) -> GroundMasks:
    """Tell ground from what stands on it.

    Args:
        labels: (H, W) uint8, class ids, undistorted.
        view: How the camera sees the ground plane.
        table: What each class means for the grid.

    Returns:
        Masks of the rows from the horizon down.

    Raises:
        GridError: If the camera is upside down, so that what stands would hang.
    """
    height, width = labels.shape
    ends = view.horizon_row([0.0, width - 1.0])
    if view.ground_from_image[2, 1] < -1e-9:
        raise GridError("the camera is upside down over the ground: turn its image, or correct its pose")
    first = int(np.clip(np.floor(ends.min()) - _OVER_HORIZON_PX, 0, height))
    below = labels[first:]
    ground, solid, either = (look_up(table.ids(*kinds), below) for kinds in ((GROUND,), (OBJECT,), (EITHER,)))
    if not below.size:
        return GroundMasks(first_row=first, labels=below, ground=ground, solid=solid, doubt=np.zeros_like(below))
    below, doubt = below.copy(), np.zeros_like(below)
    movable = np.where(table.hides, np.uint8(255), np.uint8(0))
    moves = look_up(movable, below)
    for objects in (solid & moves, solid & ~moves):
        _fill_under(below, ground, solid, objects, view, first, table.clearance_m, doubt)
    if either.any():
        # connected with what is over the horizon: a tree; else grass
        over = view.horizon_row(np.arange(width)) - (_OVER_HORIZON_PX + first)
        connected = either
        if over.max() > 0:  # the horizon slopes
            connected = either | np.where(np.arange(len(below))[:, None] < over, 255, 0).astype(np.uint8)
        tall = np.minimum.accumulate(connected, axis=0) & either
        solid |= tall
        ground |= either & ~tall & ~solid
    return GroundMasks(first_row=first, labels=below, ground=ground, solid=solid, doubt=doubt)


def feet(masks: GroundMasks, min_object_px: int) -> npt.NDArray[np.int32]:
    """Return (M, 2) pixels (u, v) of ``masks``' rows at which objects stand on the ground, or leave the image below.

    Args:
        masks: Ground and objects of a label map.
        min_object_px: Rows that an object must span.
    """
    tall = np.ones((max(1, min_object_px), 1), np.uint8)
    # an opening; cv2's own moves what it opens by a row where the kernel is even
    runs = cv2.erode(masks.solid, tall, anchor=(0, len(tall) - 1))
    standing = np.asarray(cv2.dilate(runs, tall, anchor=(0, 0)), np.uint8)
    standing[:-1] &= masks.ground[1:]
    found = cv2.findNonZero(standing)
    return np.zeros((0, 2), np.int32) if found is None else np.asarray(found, np.int32).reshape(-1, 2)


def look_up(table: Image, image: Image) -> Image:
    """Return ``table[image]``, (256,) uint8; a quarter of NumPy's time.

    Args:
        table: (256,) uint8.
        image: (H, W) uint8.
    """
    return np.asarray(cv2.LUT(image, table), np.uint8)


def _fill_under(
    labels: Image,
    ground: Image,
    solid: Image,
    objects: Image,
    view: GroundView,
    first: int,
    clearance_m: Float32Array,
    doubt: Image,
) -> None:
    """Make ground under objects theirs, in place: down to the hull of where they touch the ground.

    Where the image cuts off an object at its side, the hull continues to where its next wheel may stand, just outside.
    Ground down to there is in doubt.
    """
    # a twentieth of the time of connected components, and the bottom of each is all that is asked
    outlines, _ = cv2.findContours(objects, cv2.RETR_EXTERNAL, cv2.CHAIN_APPROX_NONE)
    large = [each for each in outlines if len(each) >= _MIN_OUTLINE_PX]
    for outline in sorted(large, key=len, reverse=True)[:_MOST_OBJECTS]:
        x, y = np.asarray(outline, np.intp).reshape(-1, 2).T
        left, width = int(x.min()), int(np.ptp(x)) + 1
        if width < 3:
            continue
        # the lowest row of each column, and the hull of these from below
        u = np.arange(width)
        bottom = np.zeros(width, np.intp)
        np.maximum.at(bottom, x - left, y)
        hull = _lower_hull(u, bottom)
        touching = np.interp(u, hull, bottom[hull])
        ends = [k for k, at_side in ((0, left == 0), (-1, left + width == labels.shape[1])) if at_side]
        beyond = _next_wheels(labels, bottom, left, ends, view, first, clearance_m)
        if beyond is not None:
            outer = _lower_hull(u, beyond)
            doubted = np.rint(np.interp(u, outer, beyond[outer])).astype(np.intp)
            rows = slice(int(bottom.min()) + 1, int(doubted.max()) + 1)
            v = np.arange(rows.start, rows.stop)[:, None]
            doubt[rows, left : left + width][(v > bottom) & (v <= doubted)] = 255
        gap = touching - bottom
        near = view.nearness(left + u, touching + (first + 0.5))
        with np.errstate(divide="ignore", invalid="ignore"):
            fits = (gap > 0.5) & (near > 0) & (gap / (view.focal_px * near) <= CLEARANCE_M)
        if not fits.any():
            continue
        rows = slice(int(bottom[fits].min()) + 1, int(np.rint(touching[fits].max())) + 1)
        v = np.arange(rows.start, rows.stop)[:, None]
        under = fits & (v > bottom) & (v <= np.rint(touching))
        window = rows, slice(left, left + width)
        labels[window] = np.where(under, labels[bottom, left + u], labels[window])
        ground[window][under], solid[window][under] = 0, 255


def _next_wheels(
    labels: Image,
    bottom: npt.NDArray[np.intp],
    left: int,
    ends: list[int],
    view: GroundView,
    first: int,
    clearance_m: Float32Array,
) -> npt.NDArray[np.intp] | None:
    """Return ``bottom`` with the rows at its cut ``ends`` where the body, as high as it may hang, is over; or None."""
    beyond = None
    for end in ends:
        column = left + int(np.arange(len(bottom))[end])
        height_m = float(clearance_m[labels[bottom[end], column]])
        near = float(view.nearness(column, bottom[end] + (first + 0.5)))
        if not height_m or near <= 0:
            continue
        # the ground at the same depth: c f / depth rows lower, and the depth is that of the lower row
        rest = 1 - height_m * view.focal_px * view.ground_from_image[2, 1]
        lower = height_m * view.focal_px * near / rest if rest > 0 else np.inf
        beyond = bottom.copy() if beyond is None else beyond
        beyond[end] = min(bottom[end] + lower, labels.shape[0] - 1)
    return beyond


def _lower_hull(u: npt.NDArray[np.intp], v: npt.NDArray[np.intp]) -> npt.NDArray[np.intp]:
    """Return the indices of the corners of the convex hull's side that is lowest in the image, from left to right."""
    corners: list[int] = []
    for k in range(len(u)):
        while len(corners) > 1:
            a, b = corners[-2], corners[-1]
            # v grows downwards: b goes if it isn't below the line from a to k
            if (v[b] - v[a]) * (u[k] - u[a]) <= (v[k] - v[a]) * (u[b] - u[a]):
                corners.pop()
            else:
                break
        corners.append(k)
    return np.array(corners, np.intp)
