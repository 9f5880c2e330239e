# SPDX-License-Identifier: Apache-2.0
"""Pictures of one moment side by side, with captions above and the legend of the classes below."""

from __future__ import annotations

from collections.abc import Sequence

import cv2
import numpy as np

from segmif_ros.arrays import Image

Colour = tuple[int, int, int]

_FONT = cv2.FONT_HERSHEY_SIMPLEX
_INK = (30, 36, 48)
GAP_PX = 6


def draw_sheet(
    panels: Sequence[tuple[str, Image]],
    legend: Sequence[tuple[str, Colour]] = (),
    *,
    columns: int = 0,
    title: str = "",
) -> Image:
    """Put pictures of equal size side by side.

    Args:
        panels: (caption, (H, W) grey or (H, W, 3) RGB uint8 image); at least one.
        legend: (text, RGB colour) of the classes.
        columns: Pictures in a row; 0 puts all into one row.
        title: A line above all pictures.

    Returns:
        (rows, columns, 3) uint8 RGB on white.

    Raises:
        ValueError: The pictures differ in size.
    """
    sizes = {image.shape[:2] for _, image in panels}
    if len(sizes) != 1:
        raise ValueError(f"pictures of one sheet must have one size, not {sorted(sizes)}")
    height, width = sizes.pop()
    columns = columns or len(panels)
    # letters of this share of a picture's width stay readable when the sheet is scaled to a page
    scale = max(0.4, width / 560)
    line = round(44 * scale)
    rows = -(-len(panels) // columns)
    sheet_width = columns * width + (columns - 1) * GAP_PX
    sheet = np.full((rows * (height + line), sheet_width, 3), 255, np.uint8)
    for i, (caption, image) in enumerate(panels):
        top, left = i // columns * (height + line), i % columns * (width + GAP_PX)
        _write(sheet, caption, left, top, scale, line)
        sheet[top + line : top + line + height, left : left + width] = image if image.ndim == 3 else image[..., None]
    if title:
        band = np.full((line, sheet_width, 3), 255, np.uint8)
        _write(band, title, 0, 0, scale, line)
        sheet = np.vstack([band, sheet])
    return np.vstack([sheet, draw_legend(legend, sheet_width, width)])


def draw_legend(legend: Sequence[tuple[str, Colour]], width: int, picture_width: int) -> Image:
    """Return a strip of texts beside their colours, as wide as a sheet; of no height without entries.

    Args:
        legend: (text, RGB colour).
        width: Of the sheet in pixels.
        picture_width: Of one of its pictures: the letters have the size of those above it.

    Returns:
        (rows, width, 3) uint8 RGB on white.
    """
    scale = max(0.4, picture_width / 560)
    line = round(44 * scale)
    margin = line // 5
    lines = _legend_lines(legend, scale, line, width)
    strip = np.full((line * len(lines), width, 3), 255, np.uint8)
    for i, entries in enumerate(lines):
        for text, colour, left in entries:
            corner = (left + line - 2 * margin, (i + 1) * line - margin)
            cv2.rectangle(strip, (left, i * line + margin), corner, colour, cv2.FILLED)
            _write(strip, text, left + line, i * line, scale, line)
    return strip


def _legend_lines(
    legend: Sequence[tuple[str, Colour]], scale: float, line: int, width: int
) -> list[list[tuple[str, Colour, int]]]:
    """Return the entries with their left edges, line by line, each line no wider than ``width`` if that is possible."""
    lines: list[list[tuple[str, Colour, int]]] = []
    left = width
    for text, colour in legend:
        (text_width, _), _ = cv2.getTextSize(text, _FONT, scale, _thickness(scale))
        needed = line + text_width + line
        if left + needed > width:
            lines.append([])
            left = 0
        lines[-1].append((text, colour, left))
        left += needed
    return lines


def _write(sheet: Image, text: str, left: int, top: int, scale: float, line: int) -> None:
    base = top + line - line // 3
    cv2.putText(sheet, text, (left, base), _FONT, scale, _INK, _thickness(scale), cv2.LINE_AA)


def _thickness(scale: float) -> int:
    return max(1, round(1.6 * scale))
