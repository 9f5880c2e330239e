# SPDX-License-Identifier: Apache-2.0
"""ROS 1 bags behind the interface of rosbag2's reader: messages come as ROS 2 serializes them."""

from __future__ import annotations

from collections.abc import Collection, Iterator
from pathlib import Path

from rosbags.interfaces import Connection
from rosbags.rosbag1 import Reader

from segmif_ros.bag.messages import typestore


class Ros1Reader:
    """Reads a .bag file; only messages of types that look the same in ROS 2 can be taken: images, CameraInfo.

    Args:
        path: The file.

    Attributes:
        connections: Topics and types, by ROS 2's names.
    """

    def __init__(self, path: Path) -> None:
        self._reader = Reader(path)
        self.connections: list[Connection] = []

    def open(self) -> None:
        """Read the index; rosbags.rosbag1.ReaderError if there is none."""
        self._reader.open()
        self.connections = list(self._reader.connections)

    def close(self) -> None:
        """Close the file."""
        self._reader.close()

    def messages(
        self, connections: Collection[Connection] = (), start: int | None = None, stop: int | None = None
    ) -> Iterator[tuple[Connection, int, bytes]]:
        """Yield connection, recording time in nanoseconds and CDR bytes."""
        store = typestore()
        for connection, recorded_ns, raw in self._reader.messages(connections, start, stop):
            yield connection, recorded_ns, bytes(store.ros1_to_cdr(raw, connection.msgtype))
