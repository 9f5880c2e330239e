# SPDX-License-Identifier: Apache-2.0
"""Label maps from image files: the ids that a file holds, or a refusal that states what the file is.

Tools save ids as grey levels of 8 or 16 bits, as three equal channels, with alpha, as indices of a palette, or in one
bit. Coloured maps hold ids where a label set has exactly those colours. OpenCV alone would show a palette's colours
and stretch a bit to 255, so that ids would change without a word; PNG files are therefore looked into.
"""

from __future__ import annotations

import struct
import zlib
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from segmif_ros.arrays import Array, Image
from segmif_ros.data.image_files import DatasetError, decode, read_content
from segmif_ros.labels import LabelSet

_PNG = b"\x89PNG\r\n\x1a\n"
_GREY, _PALETTE = 0, 3  # PNG's types of colour
_Palette = list[tuple[int, int, int]]


def read_label_map(path: Path, label_set: LabelSet | None = None) -> Image:
    """Return the map of ids in a file, uint8 (H, W).

    Args:
        path: PNG, or an uncompressed or losslessly compressed file of another type.
        label_set: Whose colours a coloured map may have.

    Raises:
        DatasetError: If the file can't be read, is lossy (JPEG), or holds no ids below 256; states what it is.
    """
    return decode_label_map(read_content(path), path, label_set)


def decode_label_map(content: bytes, path: Path, label_set: LabelSet | None = None) -> Image:
    """Return the map of ids in a file's content; see `read_label_map`."""
    _require_lossless(content, path)
    if content.startswith(_PNG):
        return _from_png(content, path, label_set)
    return _from_channels(decode(content, path), path, label_set)


def _from_png(content: bytes, path: Path, label_set: LabelSet | None) -> Image:
    chunks = _chunks(content)
    head = next((data for kind, data in chunks if kind == b"IHDR" and len(data) == 13), None)
    if head is None:
        raise DatasetError(f"{path}: not a readable image")
    depth, colour_type = head[8], head[9]
    if colour_type not in (_GREY, _PALETTE):
        return _from_channels(decode(content, path), path, label_set)
    # the indices of a palette lie there as grey levels do: with another type they are decoded as such
    grey = [(kind, data) for kind, data in chunks if kind in (b"IDAT", b"IEND")]
    plain = _PNG + b"".join(_chunk(*each) for each in [(b"IHDR", head[:9] + bytes([_GREY]) + head[10:]), *grey])
    ids = decode(plain, path)
    if depth < 8:
        ids = ids // (255 // (2**depth - 1))  # decoders stretch small depths to 0..255
    if colour_type == _PALETTE:
        table = next((data for kind, data in chunks if kind == b"PLTE"), b"")
        palette = [(table[i], table[i + 1], table[i + 2]) for i in range(0, len(table) - 2, 3)]
        return _through_palette(np.asarray(ids, np.uint8), palette, path, label_set)
    return _from_channels(ids, path, label_set)


def _through_palette(indices: Image, palette: _Palette, path: Path, label_set: LabelSet | None) -> Image:
    """Return the ids of a palette image: its indices, unless the palette is one of a label set in another order."""
    used = np.flatnonzero(np.bincount(indices.ravel(), minlength=256)).tolist()
    known = _colours(label_set)
    if all(colour in known for colour in palette):
        table = np.zeros(256, np.uint8)
        table[: len(palette)] = [known[colour] for colour in palette]
        return table[indices]
    levels = [red for red, green, blue in palette if red == green == blue]
    if len(levels) == len(palette) and any(levels[i] != i for i in used if i < len(levels)):
        # an even scale was made to be looked at; anything else is what a shrunk grey image looks like
        steps = set(np.diff(levels).tolist())
        if len(steps) > 1:
            shown = ", ".join(str(levels[i]) for i in used[:6] if i < len(levels))
            raise DatasetError(
                f"{path}: a palette of greys, where indices ({', '.join(map(str, used[:6]))}) and grey levels ({shown})"
                " could both be the ids: save it as a grey PNG"
            )
    return indices


def _from_channels(image: Array, path: Path, label_set: LabelSet | None) -> Image:
    """Return the ids in a decoded image, (H, W) or (H, W, 3 or 4) in OpenCV's order of channels."""
    if image.ndim == 2:
        return _small_ids(image, path)
    colours = image[..., :3]
    equal = bool((colours == colours[..., :1]).all())
    if equal:
        ids = _small_ids(colours[..., 0], path)
        _require_one_meaning(ids, path, label_set)
        return ids
    if image.dtype != np.uint8:
        raise DatasetError(f"{path}: {8 * image.dtype.itemsize} bits and colours: not a map of ids")
    return _by_colour(colours[..., ::-1], path, label_set)


def _small_ids(ids: Array, path: Path) -> Image:
    if ids.dtype != np.uint8 and ids.size and int(ids.max()) > 255:
        raise DatasetError(f"{path}: values up to {int(ids.max())} of {8 * ids.dtype.itemsize} bits: ids end at 255")
    return np.ascontiguousarray(ids, np.uint8)


def _require_one_meaning(ids: Image, path: Path, label_set: LabelSet | None) -> None:
    """Refuse black and white where both are colours of classes, and other ids than the levels say."""
    known = _colours(label_set)
    levels = np.flatnonzero(np.bincount(ids.ravel(), minlength=256)).tolist()
    meant = [known.get((level, level, level)) for level in levels]
    if label_set is not None and None not in meant and meant != levels:
        names = ", ".join(label_set.names[i] for i in meant if i is not None)
        raise DatasetError(
            f"{path}: three equal channels of {', '.join(map(str, levels))}: those ids, or the colours of {names}? "
            "Save ids as a grey PNG"
        )


def _by_colour(rgb: Image, path: Path, label_set: LabelSet | None) -> Image:
    known = _colours(label_set)
    codes = (rgb[..., 0].astype(np.uint32) << 16) | (rgb[..., 1].astype(np.uint32) << 8) | rgb[..., 2]
    found, inverse = np.unique(codes, return_inverse=True)
    colours = [(int(code) >> 16, (int(code) >> 8) & 255, int(code) & 255) for code in found]
    strange = [colour for colour in colours if colour not in known]
    if strange:
        whose = f", {len(strange)} of them not label set '{label_set.name}'s ({strange[0]} first)" if label_set else ""
        raise DatasetError(f"{path}: a picture of {len(colours)} colours{whose}: not a map of ids")
    table = np.array([known[colour] for colour in colours], np.uint8)
    return np.asarray(table[inverse.reshape(codes.shape)], np.uint8)


def _colours(label_set: LabelSet | None) -> dict[tuple[int, int, int], int]:
    """Return the id by colour, of the palettes in use for the set; the one it is drawn in counts last."""
    found: dict[tuple[int, int, int], int] = {}
    for palette in () if label_set is None else (*label_set.other_palettes, label_set.palette):
        for i, (red, green, blue) in enumerate(palette.tolist()):
            found.setdefault((red, green, blue), i)
    return found


def _require_lossless(content: bytes, path: Path) -> None:
    """Refuse files that may hold other values than were saved, or whose values stand for others."""
    lossy = "a JPEG, which changes ids when it is saved: save label maps as PNG"
    if content.startswith(b"\xff\xd8"):
        raise DatasetError(f"{path}: {lossy}")
    if content.startswith(b"BM") and len(content) >= 54:
        size, bits = struct.unpack_from("<I", content, 14)[0], struct.unpack_from("<H", content, 28)[0]
        table = content[14 + size : 14 + size + 1024]
        if bits < 8 or (bits == 8 and any(table[i : i + 3] != bytes([i // 4] * 3) for i in range(0, len(table), 4))):
            raise DatasetError(f"{path}: a BMP of {bits} bits with a palette: save label maps as PNG")
    if content[:4] in (b"II*\0", b"MM\0*"):
        tags = _tiff_tags(content)
        if tags.get(259) in (6, 7):
            raise DatasetError(f"{path}: {lossy}")
        if tags.get(258, 1) < 8 or tags.get(262, 1) in (0, 3):
            raise DatasetError(f"{path}: a TIFF of one bit, inverted or with a palette: save label maps as PNG")


def _tiff_tags(content: bytes) -> dict[int, int]:
    """Return the short values among the first directory's entries, by tag; of several values the first."""
    order = "<" if content[:2] == b"II" else ">"
    found = {}
    try:
        (at,) = struct.unpack_from(f"{order}I", content, 4)
        (count,) = struct.unpack_from(f"{order}H", content, at)
        for i in range(count):
            tag, kind, number, value = struct.unpack_from(f"{order}HHI4s", content, at + 2 + 12 * i)
            if kind == 3:
                where, source = (0, value) if number <= 2 else (struct.unpack(f"{order}I", value)[0], content)
                found[tag] = struct.unpack_from(f"{order}H", source, where)[0]
    except struct.error:
        return found  # damaged: the decoder will say so
    return found


def _chunks(content: bytes) -> Sequence[tuple[bytes, bytes]]:
    """Return type and data of a PNG's chunks, up to where it is damaged."""
    found = []
    at = len(_PNG)
    while at + 12 <= len(content):
        (size,) = struct.unpack_from(">I", content, at)
        kind, data = content[at + 4 : at + 8], content[at + 8 : at + 8 + size]
        if len(data) < size:
            break
        found.append((kind, data))
        at += 12 + size
    return found


def _chunk(kind: bytes, data: bytes) -> bytes:
    return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))
