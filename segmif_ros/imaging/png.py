# SPDX-License-Identifier: Apache-2.0
"""PNG files made whole before a decoder sees them.

libpng writes to standard error whatever it dislikes, for each image, and reserves what a header claims. So the
chunks, the checksums and the compressed rows are checked here, and the decoder gets a file of the same pixels that
holds nothing else. Its rows are stored without compression: they are decompressed once, here, so that this costs next
to nothing.
"""

from __future__ import annotations

import zlib
from typing import Any

import numpy as np
import numpy.typing as npt

SIGNATURE = b"\x89PNG\r\n\x1a\n"
_HEADER = b"\0\0\0\rIHDR"
START = SIGNATURE + _HEADER
_HEADER_END = len(START) + 13 + 4
_LARGEST_SIDE = 1_000_000  # libpng's own limit
_PALETTE = 3
# colour type -> channels, bits of a channel
_COLOURS = {0: (1, (1, 2, 4, 8, 16)), 2: (3, (8, 16)), _PALETTE: (1, (1, 2, 4, 8)), 4: (2, (8, 16)), 6: (4, (8, 16))}
# first row, first column, and the steps of Adam7's seven passes
_ADAM7 = ((0, 0, 8, 8), (0, 4, 8, 8), (4, 0, 8, 4), (0, 2, 4, 4), (2, 0, 4, 2), (0, 1, 2, 2), (1, 0, 2, 1))
_FILTERS = 5


class DamagedError(ValueError):
    """A file that is incomplete or damaged; the reason, without the file's name."""


def whole_png(data: bytes) -> bytes:
    """Return a PNG of the same pixels that no decoder has anything to say about.

    Ancillary chunks are left out, transparency too: a camera's image has none.

    Args:
        data: A file that begins with `START`; what follows its end chunk is not looked at.

    Raises:
        DamagedError: If it is incomplete, a checksum doesn't match, or the rows aren't those of the header.
    """
    kinds: list[bytes] = []
    palette = b""
    rows: list[memoryview] = []
    at, view = len(SIGNATURE), memoryview(data)
    while not kinds or kinds[-1] != b"IEND":
        if at + 12 > len(data):
            raise DamagedError("the end is missing")
        length, kind = int.from_bytes(data[at : at + 4], "big"), data[at + 4 : at + 8]
        end = at + 12 + length
        if end > len(data):
            raise DamagedError("a chunk claims more bytes than there are")
        if kind in (b"IHDR", b"PLTE", b"IDAT", b"IEND"):
            if zlib.crc32(view[at + 4 : end - 4]) != int.from_bytes(data[end - 4 : end], "big"):
                raise DamagedError(f"the checksum of a chunk {kind.decode()} doesn't match")
            if kind in kinds and (kind != b"IDAT" or kinds[-1] != b"IDAT"):
                raise DamagedError(f"a chunk {kind.decode()} is where none may be")
            if kind == b"IDAT":
                rows.append(view[at + 8 : end - 4])
            elif kind == b"PLTE":
                palette = data[at + 8 : end - 4]
        elif not kind[:1].islower():
            raise DamagedError(f"the chunk {kind!r} is none that PNG has")
        kinds.append(kind)
        at = end
    header = data[len(START) : len(START) + 13]
    body = _palette(header, palette) if header[9] == _PALETTE else b""
    stored = zlib.compress(_inflated(rows, *_passes(header)), 0)
    return b"".join((data[:_HEADER_END], body, _chunk(b"IDAT", stored), _chunk(b"IEND", b"")))


def _passes(header: bytes) -> list[tuple[int, int]]:
    """Return rows and bytes of a row, with the byte of its filter, for each pass that the header implies."""
    width, height = int.from_bytes(header[:4], "big"), int.from_bytes(header[4:8], "big")
    bits, colour, compression, filtering, interlace = header[8:]
    channels, depths = _COLOURS.get(colour, (0, ()))
    if bits not in depths or compression or filtering or interlace > 1 or not (width and height):
        raise DamagedError("its header has values that PNG doesn't know")
    if max(width, height) > _LARGEST_SIDE:
        raise DamagedError(f"it is {width}x{height}: no side may have more than {_LARGEST_SIDE} pixels")
    grids = _ADAM7 if interlace else ((0, 0, 1, 1),)
    sizes = ((-((top - height) // down), -((left - width) // right)) for top, left, down, right in grids)
    return [(lines, 1 + (columns * channels * bits + 7) // 8) for lines, columns in sizes if lines > 0 and columns > 0]


def _inflated(parts: list[memoryview], *passes: tuple[int, int]) -> bytes:
    """Return the filtered rows, which are exactly those of the passes."""
    wanted = sum(lines * length for lines, length in passes)
    inflate = zlib.decompressobj()
    try:
        rows = inflate.decompress(b"".join(parts), wanted + 1)
    except zlib.error as error:
        raise DamagedError(f"its compressed rows are damaged ({error})") from None
    if len(rows) != wanted or not inflate.eof:
        raise DamagedError("its compressed rows are more or fewer than its header states")
    at, values = 0, np.frombuffer(rows, np.uint8)
    for lines, length in passes:
        filters: npt.NDArray[Any] = values[at : at + lines * length : length]
        if filters.max() >= _FILTERS:
            raise DamagedError("its compressed rows are damaged (a filter that PNG doesn't have)")
        at += lines * length
    return rows


def _palette(header: bytes, palette: bytes) -> bytes:
    """Return the palette's chunk with a colour for each index that a pixel can hold: those that lack become black."""
    room = 3 << header[8]
    if not palette or len(palette) % 3 or len(palette) > room:
        raise DamagedError(f"a palette of {len(palette)} bytes doesn't fit its header")
    return _chunk(b"PLTE", palette.ljust(room, b"\0"))


def _chunk(kind: bytes, content: bytes) -> bytes:
    return len(content).to_bytes(4, "big") + kind + content + zlib.crc32(content, zlib.crc32(kind)).to_bytes(4, "big")
