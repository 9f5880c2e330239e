# SPDX-License-Identifier: Apache-2.0
"""Bounds on what a bag may become: a few kilobytes can claim any size.

rosbags decompresses whole chunks, messages and files, however large they get. Here its decompressors are replaced by
ones that stop at what the chunk itself claims, and at a maximum. Its YAML loader, for metadata.yaml and for the quality
of service in every storage, is replaced by `segmif_ros.yaml_file`, which limits size, depth and aliases.
"""

from __future__ import annotations

import shutil
import sys
import tempfile
from pathlib import Path
from typing import Any, BinaryIO, Literal

from lz4.frame import LZ4FrameDecompressor  # type: ignore[import-untyped]
from rosbags.rosbag2 import metadata, reader, storage_mcap
from rosbags.rosbag2.errors import ReaderError
from ruamel.yaml import YAML

from segmif_ros.yaml_file import YamlError, parse_yaml

if sys.version_info >= (3, 14):
    from compression import zstd
else:
    from backports import zstd

MAX_BYTES = 512 << 20  # of one chunk or message
_SPARE_BYTES = 256 << 20  # of the disk that whole files are decompressed to
_METADATA_BYTES = 8 << 20
_METADATA_VALUES = 200_000  # a file of a split bag has about 20


def unpacked(data: bytes, kind: str, claimed: int = MAX_BYTES) -> bytes:
    """Return decompressed data.

    Args:
        data: Of one or more whole frames.
        kind: "zstd" or "lz4".
        claimed: Bytes that it should become at most.

    Raises:
        ReaderError: If it becomes more than is claimed, more than `MAX_BYTES`, or is damaged.
    """
    if claimed > MAX_BYTES:
        raise ReaderError(f"a chunk claims {claimed} bytes: at most {MAX_BYTES} are taken")
    made = b""
    while data:
        decompressor: Any = zstd.ZstdDecompressor() if kind == "zstd" else LZ4FrameDecompressor()
        # in one byte more than allowed shows that there is more
        made += decompressor.decompress(data, claimed - len(made) + 1)
        if len(made) > claimed:
            raise ReaderError(f"compressed data becomes more than the {claimed} bytes that it claims or may have")
        if not decompressor.eof:
            raise ReaderError("compressed data ends in the middle")
        data = decompressor.unused_data or b""
    return made


class _BoundedFile:
    """A decompressed file that ends with an error before it fills the disk."""

    def __init__(self, inside: Any, room: int) -> None:
        self._inside, self._room = inside, room

    def __enter__(self) -> _BoundedFile:
        self._inside.__enter__()
        return self

    def __exit__(self, *what: object) -> None:
        self._inside.__exit__(*what)

    def read(self, size: int) -> bytes:
        part: bytes = self._inside.read(size)
        self._room -= len(part)
        if self._room < 0:
            raise ReaderError("the decompressed bag doesn't fit into the temporary folder (TMPDIR sets it)")
        return part


class _Zstd:
    """Stands in for the zstd module in rosbags' reader."""

    @staticmethod
    def decompress(data: bytes) -> bytes:
        return unpacked(data, "zstd")

    @staticmethod
    def open(file: BinaryIO, mode: Literal["rb"]) -> _BoundedFile:
        free = shutil.disk_usage(tempfile.gettempdir()).free
        return _BoundedFile(zstd.ZstdFile(file, mode), free - _SPARE_BYTES)


class _Yaml(YAML):
    """Stands in for the YAML loader in rosbags' reader."""

    def load(self, stream: Any) -> Any:
        try:
            return parse_yaml(stream, "metadata.yaml or quality of service", _METADATA_VALUES)
        except YamlError as error:
            raise ReaderError(str(error)) from None


def require_metadata(folder: Path) -> None:
    """Raise ReaderError if a bag's metadata.yaml is larger than any bag needs."""
    size = (folder / "metadata.yaml").stat().st_size
    if size > _METADATA_BYTES:
        raise ReaderError(f"its metadata.yaml has {size} bytes: at most {_METADATA_BYTES} are taken")


def install() -> None:
    """Bound rosbags' decompression and its YAML in this process."""
    vars(reader)["YAML"] = vars(metadata)["YAML"] = _Yaml
    vars(reader)["zstd"] = _Zstd
    storage_mcap.DECOMPRESSORS["zstd"] = lambda data, size: unpacked(data, "zstd", size)
    storage_mcap.DECOMPRESSORS["lz4"] = lambda data, size: unpacked(data, "lz4", size)
