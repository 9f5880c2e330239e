# SPDX-License-Identifier: Apache-2.0
"""Views of a board that both cameras took: which of them are worth keeping, and what is missing."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from segmif_ros.arrays import Array, Float64Array
from segmif_ros.rig.calibrating.board import Board, Detection, detect, without
from segmif_ros.rig.errors import CalibrationError

MIN_VIEWS = 6
MAX_VIEWS = 40
STILL_PX = 3.0  # a board that moves more than this between two pairs is not held still
_SAME_SHARE = 0.06  # of the image's width: views whose outlines lie nearer than this say the same
CELLS = ("upper left", "top", "upper right", "left", "middle", "right", "lower left", "bottom", "lower right")


@dataclass(frozen=True, kw_only=True, eq=False)
class BoardView:
    """A board at one moment; None where a camera doesn't see it.

    Attributes:
        name: Of the pair, for people.
        infrared: In the infrared image.
        rgb: In the RGB image.
    """

    name: str
    infrared: Detection | None
    rgb: Detection | None

    @property
    def common(self) -> tuple[npt.NDArray[np.intp], Float64Array, Float64Array] | None:
        """Ids (N,) that both cameras see, with their (N, 2) infrared and RGB pixels; None below 4."""
        if self.infrared is None or self.rgb is None:
            return None
        ids, a, b = np.intersect1d(self.infrared.ids, self.rgb.ids, return_indices=True)
        return (ids, self.infrared.pixels[a], self.rgb.pixels[b]) if len(ids) >= 4 else None


class BoardCollector:
    """Looks for the board in pairs and keeps views that differ.

    Args:
        board: What to look for.
        moving: Whether pairs come from a stream, in which a board that moves is left out: the cameras don't expose at
            exactly one moment.
    """

    def __init__(self, board: Board, *, moving: bool = False) -> None:
        self.board = board
        self.views: list[BoardView] = []
        self.sizes: dict[str, tuple[int, int]] = {}
        self.seen = {"infrared": 0, "rgb": 0, "both": 0, "moving": 0, "similar": 0, "pairs": 0}
        self._moving = moving
        self._before: Detection | None = None
        self._frozen = FrozenImages()

    def add(self, infrared: Array, rgb: Array, name: str) -> BoardView:
        """Take a pair.

        Args:
            infrared: (H, W), of any type.
            rgb: (H', W', 3) uint8, RGB.
            name: The pair's, for messages and reports.

        Returns:
            What was found in it.

        Raises:
            CalibrationError: If the pair can't be of this rig: another size than before, two boards, frozen images.
        """
        for camera, image in (("infrared", infrared), ("rgb", rgb)):
            size = image.shape[1], image.shape[0]
            if self.sizes.setdefault(camera, size) != size:
                was = self.sizes[camera]
                raise CalibrationError(
                    f"{name}: {camera} is {size[0]}x{size[1]}, {was[0]}x{was[1]} before: use images of one size"
                )
        self.seen["pairs"] += 1
        self._frozen.look(infrared, rgb)
        here = detect(self.board, rgb, quick=self._moving)
        moves = self._is_moving(here)
        # of a stream most pairs show no board at rest: there the longer look at the infrared image is spared
        look = not self._moving or (here is not None and not moves)
        view = BoardView(name=name, infrared=detect(self.board, infrared) if look else None, rgb=here)
        self._refuse_two(view, infrared, rgb)
        for camera, found in (("infrared", view.infrared), ("rgb", view.rgb)):
            self.seen[camera] += found is not None
        self.seen["both"] += view.common is not None
        if moves:
            self.seen["moving"] += 1
        elif (view.infrared or view.rgb) and self._is_new(view):
            self.views.append(view)
        elif view.common is not None:
            self.seen["similar"] += 1
        return view

    def chosen(self) -> list[BoardView]:
        """Return the views to calibrate with, at most `MAX_VIEWS`, spread evenly over all.

        Raises:
            CalibrationError: If there are too few; states what to do.
        """
        seen, problem = self.seen, self._frozen.problem()
        if problem:
            raise CalibrationError(problem)
        if not seen["pairs"]:
            raise CalibrationError(
                "no infrared and RGB image of one moment: are the stamps of both cameras of one clock? --slop allows "
                "more between them"
            )
        if not seen["infrared"] and not seen["rgb"]:
            raise CalibrationError(
                f"no board found in {seen['pairs']} pairs: check --board (inner corners, not squares), and that "
                "all of it is in view and bright; heat it for the infrared camera"
            )
        for camera, other in (("infrared", "RGB"), ("rgb", "infrared")):
            if not seen[camera]:
                hint = (
                    "heat it with a lamp or the sun until its pattern shows" if camera == "infrared" else "more light"
                )
                raise CalibrationError(
                    f"the board is found in {seen['rgb' if camera == 'infrared' else 'infrared']} {other} images and "
                    f"in no {'RGB' if camera == 'rgb' else camera} image of {seen['pairs']}: {hint}"
                )
        if not seen["both"]:
            raise CalibrationError(
                "both cameras see the board, but never at once: do they share a view, and are pairs of one moment?"
            )
        both = [view for view in self.views if view.common is not None]
        if len(both) < MIN_VIEWS:
            raise CalibrationError(
                f"{len(both)} different still views of the board in both cameras: {MIN_VIEWS} at least are needed, 20 "
                f"are good, hold it still at more places ({seen['moving']} pairs were left out because it moved, "
                f"{seen['similar']} as too similar)"
            )
        order = np.linspace(0, len(self.views) - 1, min(len(self.views), MAX_VIEWS)).round().astype(int)
        return [self.views[i] for i in sorted(set(order.tolist()))]

    def _is_moving(self, here: Detection | None) -> bool:
        before, self._before = self._before, here
        if not self._moving or here is None:
            return False
        if before is None or len(before.ids) != len(here.ids):
            return True
        return bool(np.abs(before.pixels - here.pixels).max() > STILL_PX)

    def _is_new(self, view: BoardView) -> bool:
        def outline(found: Detection) -> Float64Array:
            return np.array([found.pixels.min(axis=0), found.pixels.max(axis=0)])

        for other in self.views:
            alike = []
            for camera in ("infrared", "rgb"):
                a, b = getattr(view, camera), getattr(other, camera)
                if (a is None) != (b is None):
                    alike.append(False)
                elif a is not None and b is not None:
                    off = np.abs(outline(a) - outline(b)).max()
                    alike.append(bool(off < _SAME_SHARE * self.sizes[camera][0]))
            if alike and all(alike):
                return False
        return True

    def _refuse_two(self, view: BoardView, infrared: Array, rgb: Array) -> None:
        if len(self.views) >= 3 or self.board.kind == "charuco":
            return
        for camera, found, image in (("infrared", view.infrared, infrared), ("RGB", view.rgb, rgb)):
            if found is None:
                continue
            rest = without(self.board, image, found)
            # one look, at boards printed and heated like the first: a thorough one takes seconds where there is none
            if detect(self.board, 255 - rest if found.inverted else rest, quick=True) is not None:
                raise CalibrationError(f"{view.name}: there are two boards in the {camera} image: leave one in view")


def covered(detections: Sequence[Detection], size: tuple[int, int]) -> npt.NDArray[np.int_]:
    """Return (3, 3) counts of board points in the ninths of an image (width, height).

    Args:
        detections: Points of the board in one camera's images.
        size: (width, height) of the images.
    """
    counts = np.zeros((3, 3), int)
    for found in detections:
        cells = np.clip((found.pixels / size * 3).astype(int), 0, 2)
        np.add.at(counts, (cells[:, 1], cells[:, 0]), 1)
    return counts


class FrozenImages:
    """Notices cameras that send one image over and over."""

    def __init__(self) -> None:
        self._last: dict[str, bytes] = {}
        self._same = {"infrared": 0, "rgb": 0}
        self._pairs = 0

    def look(self, infrared: Array, rgb: Array) -> None:
        """Take a pair.

        Args:
            infrared: (H, W), of any type.
            rgb: (H', W', 3) uint8, RGB.
        """
        self._pairs += 1
        for camera, image in (("infrared", infrared), ("rgb", rgb)):
            now = np.ascontiguousarray(image[::7, ::7]).tobytes()
            self._same[camera] += self._last.get(camera) == now
            self._last[camera] = now

    def problem(self) -> str:
        """Return which camera sends one image over and over, and what to do; empty if none does."""
        for camera, same in self._same.items():
            if self._pairs >= 5 and same >= 0.8 * (self._pairs - 1):
                name = "RGB" if camera == "rgb" else camera
                return (
                    f"the {name} images are frozen: {same + 1} of {self._pairs} are the same image; restart its driver"
                )
        return ""
