# SPDX-License-Identifier: Apache-2.0
"""Output messages on disk as they come, so that a stopped replay can be resumed; a bag can't be appended to."""

from __future__ import annotations

import struct
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

_HEAD = struct.Struct("<BqI")  # topic's index, recording time, bytes


class Spool:
    """A file of (topic index, recording time in nanoseconds, message).

    Args:
        path: Made if it isn't there.
        end: Where the last message that counts ends; what lies behind is cut off.
    """

    def __init__(self, path: Path, end: int = 0) -> None:
        self._path = path
        path.touch()
        self._stream = path.open("r+b")
        self._stream.truncate(end)
        self._stream.seek(end)

    def add(self, topic: int, recorded_ns: int, raw: bytes | memoryview) -> None:
        """Add a message."""
        self._stream.write(_HEAD.pack(topic, recorded_ns, len(raw)))
        self._stream.write(raw)

    def flush(self) -> int:
        """Bring everything to disk; return where it ends."""
        self._stream.flush()
        return self._stream.tell()

    def __iter__(self) -> Iterator[tuple[int, int, bytes]]:
        """Yield all messages in order."""
        end = self.flush()
        with self._path.open("rb") as stream:
            while stream.tell() < end:
                topic, recorded_ns, size = _HEAD.unpack(stream.read(_HEAD.size))
                yield topic, recorded_ns, stream.read(size)

    def close(self, *, remove: bool = False) -> None:
        """Close the file."""
        # flush has raised the error, and closing would try again
        with suppress(OSError):
            self._stream.close()
        if remove:
            self._path.unlink(missing_ok=True)
