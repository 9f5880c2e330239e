# SPDX-License-Identifier: Apache-2.0
"""Bags to be written: connections by topic, and all or nothing under the final name."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from rosbags.interfaces import (
    Connection,
    Qos,
    QosDurability,
    QosHistory,
    QosLiveliness,
    QosReliability,
    QosTime,
)
from rosbags.rosbag2 import StoragePlugin, Writer
from rosbags.rosbag2.enums import CompressionFormat, CompressionMode

from segmif_ros.bag.messages import typestore
from segmif_ros.bag.reading import BagError
from segmif_ros.result_folder import ResultFolder

_ANY_TIME = QosTime(sec=0, nsec=0)
_LATCHED = Qos(
    history=QosHistory.KEEP_LAST,
    depth=1,
    reliability=QosReliability.RELIABLE,
    durability=QosDurability.TRANSIENT_LOCAL,
    deadline=_ANY_TIME,
    lifespan=_ANY_TIME,
    liveliness=QosLiveliness.AUTOMATIC,
    liveliness_lease_duration=_ANY_TIME,
    avoid_ros_namespace_conventions=False,
)
STORAGES = {"mcap": StoragePlugin.MCAP, "sqlite3": StoragePlugin.SQLITE3}


class BagWriter:
    """Writes serialized messages; a topic is declared by its first message."""

    def __init__(self, writer: Writer) -> None:
        self._writer = writer
        self._connections: dict[str, Connection] = {}

    def declare(self, topic: str, message_type: str, *, latched: bool = False) -> None:
        """Add a topic, also if no message will come; declared once. A player gives a latched one to late comers."""
        if topic not in self._connections:
            self._connections[topic] = self._writer.add_connection(
                topic, message_type, typestore=typestore(), offered_qos_profiles=[_LATCHED] if latched else []
            )

    @property
    def gone(self) -> bool:
        """Whether somebody removed the folder; what is written into its open files is lost."""
        return not self._writer.path.exists()

    def write(self, topic: str, message_type: str, recorded_ns: int, raw: bytes | memoryview) -> None:
        """Add a message."""
        self.declare(topic, message_type)
        self._writer.write(self._connections[topic], recorded_ns, raw)


@contextmanager
def new_bag(
    path: Path, storage: str = "mcap", *, compress: bool = False, overwrite: bool = False
) -> Iterator[BagWriter]:
    """Write a bag that lies at ``path`` when the block ends without an error.

    Args:
        path: A folder.
        storage: "mcap" or "sqlite3".
        compress: Chunks of an mcap, with zstd.
        overwrite: Replace the files of a bag that lies there and have the names of the new one's; others are kept.

    Raises:
        BagError: If the folder can't be written, or holds something.
        FolderError: If another run is writing it.
    """
    require_no_bag(path, overwrite=overwrite)
    beside = path.parent / f".building-{path.name}"
    building = beside / path.name  # the file in it is called after it
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with ResultFolder(beside, f"building {path.name}"):
            try:
                shutil.rmtree(building, ignore_errors=True)  # of a run that was killed
                writer = Writer(building, version=8, storage_plugin=STORAGES[storage])  # 8 is what Iron and Jazzy write
                if compress and storage == "mcap":
                    writer.set_compression(CompressionMode.STORAGE, CompressionFormat.ZSTD)
                with writer:
                    yield BagWriter(writer)
                path.mkdir(exist_ok=True)
                for part in sorted(building.iterdir(), key=lambda each: each.name == "metadata.yaml"):
                    part.replace(path / part.name)
            finally:
                shutil.rmtree(beside, ignore_errors=True)
    except OSError as error:
        raise BagError(f"{path}: can't be written: {error.strerror or error}") from error


def require_no_bag(path: Path, *, overwrite: bool = False) -> None:
    """Refuse a place where something lies already; with ``overwrite`` only if that is no bag.

    Raises:
        BagError: Says what is there and what to do.
    """
    if not path.exists() or (path.is_dir() and not any(path.iterdir())):
        return
    if not path.is_dir():
        raise BagError(f"{path}: is a file: give the name of a folder")
    if not (path / "metadata.yaml").is_file():
        raise BagError(f"{path}: is there already and is no bag: give another name")
    if not overwrite:
        raise BagError(f"{path}: a bag is there already: give another name, or --overwrite to replace its files")
