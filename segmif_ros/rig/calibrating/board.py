# SPDX-License-Identifier: Apache-2.0
"""Calibration boards: what is printed on them, and where their points are in an image of either camera."""

from __future__ import annotations

from dataclasses import dataclass

import cv2
import numpy as np
import numpy.typing as npt

from segmif_ros.arrays import Array, Float64Array, Image
from segmif_ros.rig.errors import CalibrationError

KINDS = ("checkerboard", "circles", "asymmetric_circles", "charuco")
DICTIONARY = 1  # cv2.aruco.DICT_4X4_100, written here so that an OpenCV without aruco can import this
MARKER_SHARE = 0.75  # of a ChArUco square's side

_MIN_CHARUCO = 8  # corners of a ChArUco board that make a view
_SMALL_PX = 400  # images with a shorter side are enlarged where nothing is found
_LEVELLED_SHARE = 0.02  # of the width: half a square of a board that fills the view
_SUBPIXEL = (cv2.TERM_CRITERIA_EPS | cv2.TERM_CRITERIA_MAX_ITER, 40, 1e-3)


@dataclass(frozen=True, kw_only=True)
class Board:
    """A board.

    Attributes:
        kind: One of `KINDS`.
        columns: Inner corners of a checkerboard, circles, or squares of a ChArUco board, along its longer side.
        rows: The same along the other side.
        spacing_m: Side of a square, or distance between circles' centres in a row (asymmetric: of neighbours in one
            row, twice the distance to the next row), metres.

    Raises:
        CalibrationError: If that is no board.
    """

    kind: str
    columns: int
    rows: int
    spacing_m: float

    def __post_init__(self) -> None:
        if self.kind not in KINDS:
            raise CalibrationError(f"board '{self.kind}' is unknown: use one of {', '.join(KINDS)}")
        if min(self.columns, self.rows) < 3:
            raise CalibrationError(f"a board of {self.columns}x{self.rows} is too small: 3x3 at least are needed")
        if not 0.002 <= self.spacing_m <= 2:
            raise CalibrationError(
                f"the board's spacing is {self.spacing_m:g} m: metres are needed, 0.002 to 2, were these millimetres?"
            )
        if self.kind == "charuco" and self.columns * self.rows // 2 > 100:
            raise CalibrationError(f"a ChArUco board of {self.columns}x{self.rows} needs more than 100 markers")

    def points(self) -> Float64Array:
        """Return the (N, 3) points in the board's frame, metres: x along a row, y to the next row, z is 0."""
        columns, rows = (self.columns - 1, self.rows - 1) if self.kind == "charuco" else (self.columns, self.rows)
        v, u = np.mgrid[0:rows, 0:columns].astype(np.float64)
        if self.kind == "asymmetric_circles":
            u, v = u + 0.5 * (v % 2), 0.5 * v
        points = np.stack([u.ravel(), v.ravel(), np.zeros(u.size)], axis=1)
        if self.kind == "charuco":
            points[:, :2] += 1
        return points * self.spacing_m

    def print(self, pixels_per_spacing: int) -> tuple[Image, Float64Array]:
        """Return the board as it is to be printed, with a white margin, and where the board's origin is in it.

        Args:
            pixels_per_spacing: How finely.

        Returns:
            (H, W) uint8, and (2,) the pixel of the board frame's origin.
        """
        p = pixels_per_spacing
        if self.kind == "charuco":
            size = self.columns * p, self.rows * p
            made = np.asarray(self.charuco().generateImage(size, marginSize=0, borderBits=1), np.uint8)
            made = np.asarray(cv2.copyMakeBorder(made, p, p, p, p, cv2.BORDER_CONSTANT, value=255), np.uint8)
            return made, np.array([p - 0.5, p - 0.5])
        if self.kind == "checkerboard":
            v, u = np.mgrid[0 : (self.rows + 1) * p, 0 : (self.columns + 1) * p] // p
            made = np.where((u + v) % 2 == 0, 0, 255).astype(np.uint8)
            made = np.asarray(cv2.copyMakeBorder(made, p, p, p, p, cv2.BORDER_CONSTANT, value=255), np.uint8)
            return made, np.array([2 * p - 0.5, 2 * p - 0.5])
        points = self.points()[:, :2] / self.spacing_m * p
        width, height = (int(each) + 2 * p for each in np.ceil(points.max(axis=0)))
        made = np.full((height, width), 255, np.uint8)
        radius = (0.22 if self.kind == "asymmetric_circles" else 0.3) * p
        for x, y in points:
            centre = round(16 * (x + p)), round(16 * (y + p))
            cv2.circle(made, centre, round(16 * radius), 0, -1, cv2.LINE_AA, 4)
        return made, np.array([float(p), float(p)])

    def charuco(self) -> cv2.aruco.CharucoBoard:
        """Return OpenCV's board of the kind "charuco"; CalibrationError if this OpenCV can't find one."""
        if not hasattr(getattr(cv2, "aruco", None), "CharucoDetector"):
            raise CalibrationError(
                f"a ChArUco board needs OpenCV 4.7 or later, this is {cv2.__version__}: pip install "
                "opencv-python-headless, or use a checkerboard or circles"
            )
        dictionary = cv2.aruco.getPredefinedDictionary(DICTIONARY)
        side = self.spacing_m
        return cv2.aruco.CharucoBoard((self.columns, self.rows), side, MARKER_SHARE * side, dictionary)


def parse_board(text: str) -> Board:
    """Return the board of a text such as "checkerboard:8x6:0.04": kind, columns x rows, spacing in metres.

    Raises:
        CalibrationError: If it can't be read.
    """
    parts = text.split(":")
    size = parts[1].lower().split("x") if len(parts) == 3 else []
    try:
        return Board(kind=parts[0], columns=int(size[0]), rows=int(size[1]), spacing_m=float(parts[2]))
    except (IndexError, ValueError) as error:
        if isinstance(error, CalibrationError):
            raise
        raise CalibrationError(
            f"--board {text}: write KIND:COLUMNSxROWS:METRES, as checkerboard:8x6:0.04 (inner corners, square)"
        ) from None


@dataclass(frozen=True, kw_only=True, eq=False)
class Detection:
    """A board's points in one image.

    Attributes:
        ids: (N,) rows of `Board.points`.
        pixels: (N, 2).
        inverted: Whether dark and bright are exchanged, as on a heated board whose dark parts are hot.
    """

    ids: npt.NDArray[np.intp]
    pixels: Float64Array
    inverted: bool = False

    @property
    def middle(self) -> Float64Array:
        """(2,) mean pixel."""
        return np.asarray(self.pixels.mean(axis=0))


def detect(board: Board, image: Array, *, quick: bool = False) -> Detection | None:
    """Find the board in an image, printed dark on bright or the other way round.

    Args:
        board: What to look for.
        image: (H, W) or (H, W, 3), of any numeric type.
        quick: Look once only, for a board printed dark on bright in good light: for streams, most of whose images show
            none.

    Returns:
        None if there is none, or not all of it (ChArUco boards may be cut off).
    """
    grey = stretched(image)
    if quick:
        once = _find(board, grey)
        return once and Detection(ids=once[0], pixels=_refined(board, grey, once[1]))
    for attempt in (grey, _levelled(image)):
        for inverted in (False, True):
            found = _find(board, 255 - attempt if inverted else attempt)
            if found is not None:
                ids, pixels = found
                return Detection(ids=ids, pixels=_refined(board, attempt, pixels), inverted=inverted)
    if min(grey.shape) < _SMALL_PX:
        larger = detect(board, cv2.resize(grey, None, fx=2, fy=2, interpolation=cv2.INTER_CUBIC))
        if larger is not None:
            pixels = 0.5 * (larger.pixels + 0.5) - 0.5
            return Detection(ids=larger.ids, pixels=_refined(board, grey, pixels), inverted=larger.inverted)
    return None


def without(board: Board, image: Array, found: Detection) -> Image:
    """Return the image, stretched, with the board that was found painted over: to look for a second one.

    Args:
        board: The board.
        image: (H, W) or (H, W, 3), of any type.
        found: Where the board is in it.

    Returns:
        (H, W) uint8, grey.
    """
    grey = stretched(image).copy()
    hull = cv2.convexHull(found.pixels.astype(np.float32)).reshape(-1, 2)
    middle = hull.mean(axis=0)
    grown = middle + (1 + 3.0 / min(board.columns, board.rows)) * (hull - middle)
    cv2.fillConvexPoly(grey, grown.round().astype(np.int32), int(np.median(grey)))
    return grey


def stretched(image: Array) -> Image:
    """Return any image as (H, W) uint8 between its 0.5th and 99.5th percentile."""
    grey = np.asarray(image)
    if grey.ndim == 3:
        grey = np.asarray(cv2.cvtColor(grey, cv2.COLOR_RGB2GRAY))
    values = np.nan_to_num(grey.astype(np.float32), copy=False, posinf=0.0, neginf=0.0)
    low, high = np.percentile(values[::2, ::2], (0.5, 99.5))
    scaled = (values - np.float32(low)) * np.float32(255.0 / max(float(high - low), 1e-6))
    return np.clip(scaled, 0, 255).astype(np.uint8)


def _levelled(image: Array) -> Image:
    """Return any image as (H, W) uint8 in which brightness and contrast are the same everywhere.

    A lamp heats a board unevenly: the middle of it may be hotter by many times what tells its squares apart.
    """
    grey = np.asarray(image, np.float32) if image.ndim == 2 else np.asarray(stretched(image), np.float32)
    grey = np.nan_to_num(grey, copy=False, posinf=0.0, neginf=0.0)
    blur_px = max(_LEVELLED_SHARE * grey.shape[1], 3.0)
    detail = grey - cv2.GaussianBlur(grey, (0, 0), blur_px)
    contrast = np.sqrt(cv2.GaussianBlur(detail * detail, (0, 0), blur_px))
    floor = 0.1 * float(np.median(contrast)) + 1e-3  # so that noise of flat places isn't blown up
    return np.clip(128 + 50 * detail / (contrast + floor), 0, 255).astype(np.uint8)


def _find(board: Board, grey: Image) -> tuple[npt.NDArray[np.intp], Float64Array] | None:
    if board.kind == "charuco":
        return _find_charuco(board, grey)
    size = board.columns, board.rows
    if board.kind == "checkerboard":
        found, corners = cv2.findChessboardCornersSB(grey, size, flags=cv2.CALIB_CB_NORMALIZE_IMAGE)
        if not found:
            flags = cv2.CALIB_CB_ADAPTIVE_THRESH | cv2.CALIB_CB_NORMALIZE_IMAGE | cv2.CALIB_CB_FAST_CHECK
            found, corners = cv2.findChessboardCorners(grey, size, flags=flags)
    else:
        grid = cv2.CALIB_CB_ASYMMETRIC_GRID if board.kind == "asymmetric_circles" else cv2.CALIB_CB_SYMMETRIC_GRID
        found, corners = cv2.findCirclesGrid(grey, size, flags=grid | cv2.CALIB_CB_CLUSTERING)
        if not found:
            found, corners = cv2.findCirclesGrid(grey, size, flags=grid)
    if not found or corners is None or len(corners) != board.columns * board.rows:
        return None
    pixels = np.asarray(corners, np.float64).reshape(-1, 2)
    if board.kind != "asymmetric_circles":
        pixels = _upright(pixels.reshape(board.rows, board.columns, 2)).reshape(-1, 2)
    return np.arange(len(pixels)), pixels


def _upright(grid: Float64Array) -> Float64Array:
    """Return the (rows, columns, 2) pixels of a grid without a mark from the corner that makes it upright.

    A checkerboard turned by half a turn looks the same: both cameras must begin at the same corner.
    """
    right, down = np.diff(grid, axis=1).mean(axis=(0, 1)), np.diff(grid, axis=0).mean(axis=(0, 1))
    if right[0] * down[1] - right[1] * down[0] < 0:
        grid = grid[::-1]
    return grid if right[0] > right[1] else grid[::-1, ::-1]


def _find_charuco(board: Board, grey: Image) -> tuple[npt.NDArray[np.intp], Float64Array] | None:
    corners, ids, _, _ = cv2.aruco.CharucoDetector(board.charuco()).detectBoard(grey)
    if ids is None or len(ids) < _MIN_CHARUCO:
        return None
    return np.asarray(ids).ravel().astype(np.intp), np.asarray(corners, np.float64).reshape(-1, 2)


def _refined(board: Board, grey: Image, pixels: Float64Array) -> Float64Array:
    """Return corners to a fraction of a pixel; circles are as exact as they get."""
    if "circles" in board.kind:
        return pixels
    apart = _nearest_neighbour_px(pixels)
    half = int(np.clip(round(0.3 * apart), 2, 11))
    points = pixels.astype(np.float32).reshape(-1, 1, 2).copy()
    refined = np.asarray(cv2.cornerSubPix(grey, points, (half, half), (-1, -1), _SUBPIXEL), np.float64).reshape(-1, 2)
    kept = np.hypot(*(refined - pixels).T) < half
    return np.where(kept[:, None], refined, pixels)


def _nearest_neighbour_px(pixels: Float64Array) -> float:
    off = np.linalg.norm(pixels[:, None] - pixels[None], axis=2) + 1e9 * np.eye(len(pixels))
    return float(np.median(off.min(axis=1)))
