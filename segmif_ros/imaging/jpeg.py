# SPDX-License-Identifier: Apache-2.0
"""JPEG files made whole before a decoder sees them.

libjpeg fills what is missing with grey, and writes a line to standard error for each image that it dislikes. So the
structure is checked here, and the decoder gets the same image without what it doesn't need: tags, thumbnails, and bytes
between segments. Damage inside of the Huffman-coded data isn't found: only decoding shows it.
"""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np

from segmif_ros.imaging.png import DamagedError

START = b"\xff\xd8\xff"
_END = b"\xff\xd9"
# markers that begin a frame, with its size: all of them, and those without arithmetic coding or a lossless process
FRAMES = frozenset(range(0xC0, 0xD0)) - {0xC4, 0xC8, 0xCC}
_SEQUENTIAL, _PROGRESSIVE = frozenset((0xC0, 0xC1)), 0xC2
# markers without a length
ALONE = frozenset(range(0xD0, 0xD9)) | {0x01}
_HUFFMAN, _SCAN, _QUANTISATION, _RESTART, _JFIF, _ADOBE = 0xC4, 0xDA, 0xDB, 0xDD, 0xE0, 0xEE


@dataclass
class _Frame:
    """What is known of the image on the way through its segments.

    Attributes:
        components: Horizontal and vertical sampling by component.
        interval: Units of a scan between two restart markers; 0 without them.
        scanned: Bits that are known of each coefficient, by component and coefficient; see `_Frame.note_scan`.
    """

    marker: int = 0
    width: int = 0
    height: int = 0
    components: dict[int, tuple[int, int]] = field(default_factory=dict)
    interval: int = 0
    scanned: dict[tuple[int, int], int] = field(default_factory=dict)

    def begin(self, marker: int, content: bytes) -> None:
        """Take the segment that begins the frame."""
        if self.marker:
            raise DamagedError("a second frame begins in it")
        if marker not in _SEQUENTIAL and marker != _PROGRESSIVE:
            raise DamagedError("its process is neither baseline nor progressive")
        if len(content) < 6 or len(content) != 6 + 3 * content[5] or content[0] != 8:
            raise DamagedError("its frame header is damaged")
        self.marker = marker
        self.height, self.width = int.from_bytes(content[1:3], "big"), int.from_bytes(content[3:5], "big")
        for at in range(6, len(content), 3):
            self.components[content[at]] = (content[at + 1] >> 4, content[at + 1] & 15)
        sampled = all(1 <= each <= 4 for pair in self.components.values() for each in pair)
        if not sampled or not 0 < content[5] == len(self.components) or not (self.width and self.height):
            raise DamagedError("its frame header is damaged")

    def scan(self, content: bytes) -> tuple[bytes, int]:
        """Return a scan's header as the decoder expects it, and how many units the scan has."""
        count = content[0] if content else 0
        names = list(content[1 : 1 + 2 * count : 2])
        damaged = len(content) != 4 + 2 * count or not 1 <= count <= 4 or len({*names}) != count
        if not self.marker or damaged or not {*names} <= self.components.keys():
            raise DamagedError("a scan's header is damaged")
        if self.marker != _PROGRESSIVE:
            content = content[:-3] + b"\0\x3f\0"  # the range of coefficients has no meaning here
        self.note_scan(names, *content[-3:])
        across, down = (max(each[side] for each in self.components.values()) for side in (0, 1))
        if count > 1:
            return content, -(-self.width // (8 * across)) * -(-self.height // (8 * down))
        own = self.components[names[0]]
        columns, lines = -(-self.width * own[0] // across), -(-self.height * own[1] // down)
        return content, -(-columns // 8) * -(-lines // 8)

    def note_scan(self, names: list[int], first: int, last: int, bits: int) -> None:
        """Hold a scan to those before it: coefficients come once, and then bit by bit."""
        before, now = bits >> 4, bits & 15
        if not first <= last < 64 or (first and len(names) > 1) or (before and before != now + 1):
            raise DamagedError("a scan's header is damaged")
        for name in names:
            if first and (name, 0) not in self.scanned:
                raise DamagedError("a scan is missing")
            for each in range(first, last + 1):
                if self.scanned.get((name, each), 0) != before or (not before and (name, each) in self.scanned):
                    raise DamagedError("a scan is missing or doubled")
                self.scanned[name, each] = now

    def require_all(self) -> None:
        """Raise unless each component was in a scan."""
        if not self.components or any((name, 0) not in self.scanned for name in self.components):
            raise DamagedError("a scan is missing")


def whole_jpeg(data: bytes) -> bytes:
    """Return a JPEG of the same image, without tags and what is between and behind its segments.

    Args:
        data: A file that begins with `START`.

    Raises:
        DamagedError: If it is incomplete, or its segments are none that a camera's JPEG has.
    """
    frame = _Frame()
    parts = [data[:2]]
    at = 2
    while True:
        at = data.find(b"\xff", at)
        if not 0 <= at < len(data) - 1:
            raise DamagedError("the end is missing")
        marker = data[at + 1]
        if marker in (0xFF, 0x00):  # padding, or none
            at += 1
            continue
        if marker == _END[1]:
            break
        if marker in ALONE:
            if marker == START[1]:
                raise DamagedError("a second image begins in it")
            at += 2
            continue
        length = int.from_bytes(data[at + 2 : at + 4], "big")
        end = at + 2 + length
        if length < 2 or end > len(data):
            raise DamagedError("the end is missing")
        content = data[at + 4 : end]
        if marker == _SCAN:
            header, units = frame.scan(content)
            coded, restarts = _scan_data(data, end)
            _require_restarts(restarts, units, frame.interval)
            parts += (data[at : at + 4], header, coded)
            end += len(coded)
        elif marker in FRAMES:
            frame.begin(marker, content)
            parts.append(data[at:end])
        elif marker == _RESTART and length == 4:
            frame.interval = int.from_bytes(content, "big")
            parts.append(data[at:end])
        elif marker in (_HUFFMAN, _QUANTISATION):
            parts.append(data[at:end])
        elif (marker == _ADOBE and content[:5] == b"Adobe" and length == 14 and content[11] <= 2) or (
            marker == _JFIF and content[:6] == b"JFIF\0\x01" and length >= 16
        ):
            parts.append(data[at:end])  # these two say which colours the components are
        elif marker < 0xE0 or marker in range(0xF0, 0xFE):
            raise DamagedError(f"the segment {marker:02x} is none that a camera's JPEG has")
        at = end
    frame.require_all()
    return b"".join((*parts, _END))


def _scan_data(data: bytes, start: int) -> tuple[bytes, bytes]:
    """Return a scan's coded data, which ends with the next marker that isn't a restart, and its restart markers."""
    values = np.frombuffer(data, np.uint8, offset=start)
    places = np.flatnonzero(values[:-1] == 0xFF)
    follows = values[places + 1]
    restarts = (follows & 0xF8) == 0xD0
    ends = np.flatnonzero((follows != 0) & (follows != 0xFF) & ~restarts)
    if not ends.size:
        raise DamagedError("the end is missing")
    last = ends[0]
    return data[start : start + places[last]], follows[:last][restarts[:last]].tobytes()


def _require_restarts(found: bytes, units: int, interval: int) -> None:
    """Raise unless a scan's restart markers are those that its interval asks for, in their order."""
    wanted = -(-units // interval) - 1 if interval else 0
    if found != (bytes(range(0xD0, 0xD8)) * (wanted // 8 + 1))[:wanted]:
        raise DamagedError("a part between two restart markers is missing")
