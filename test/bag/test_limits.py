# SPDX-License-Identifier: Apache-2.0
"""A compressed bag can't become larger than it claims, or than is sensible."""

import shutil
from pathlib import Path

import lz4.frame
import numpy as np
import pytest
from rosbags.rosbag2 import CompressionFormat, CompressionMode, StoragePlugin, Writer, storage_mcap
from rosbags.rosbag2.errors import ReaderError
from rosbags.rosbag2.metadata import parse_qos

from segmif_ros.bag import limits
from segmif_ros.bag.limits import unpacked, zstd
from segmif_ros.bag.messages import IMAGE, image_message, typestore
from segmif_ros.bag.reading import BagError, Topics, open_bag

PACK = {"zstd": zstd.compress, "lz4": lz4.frame.compress}


@pytest.mark.parametrize("kind", PACK)
def test_what_keeps_to_its_claim_is_unpacked(kind) -> None:
    for data in (b"", b"a", b"segmif" * 10_000):
        assert unpacked(PACK[kind](data), kind, len(data)) == data
        assert unpacked(PACK[kind](data) + PACK[kind](b"more"), kind) == data + b"more"


@pytest.mark.parametrize("kind", PACK)
def test_a_bomb_is_stopped_at_what_it_claims(kind) -> None:
    bomb = PACK[kind](bytes(20_000_000))
    assert len(bomb) < 100_000
    with pytest.raises(ReaderError, match="becomes more than the 1000 bytes that it claims"):
        unpacked(bomb, kind, 1000)
    with pytest.raises(ReaderError, match="becomes more than the 1000 bytes"):
        storage_mcap.decompress(bomb, kind, 1000, 0)


@pytest.mark.parametrize("kind", PACK)
def test_a_claim_beyond_the_maximum_is_refused_unread(kind) -> None:
    with pytest.raises(ReaderError, match="a chunk claims 1099511627776 bytes: at most 536870912 are taken"):
        storage_mcap.decompress(b"", kind, 1 << 40, 0)


@pytest.mark.parametrize("kind", PACK)
def test_data_that_ends_in_the_middle_is_refused(kind) -> None:
    with pytest.raises(ReaderError, match="ends in the middle"):
        unpacked(PACK[kind](b"segmif" * 1000)[:-5], kind)


def compressed_bag(folder: Path, mode: CompressionMode) -> Path:
    path = folder / "bag"
    bag = Writer(path, version=9, storage_plugin=StoragePlugin.SQLITE3)
    bag.set_compression(mode, CompressionFormat.ZSTD)
    with bag as writer:
        for topic in ("/infrared/image_raw", "/rgb/image_raw"):
            connection = writer.add_connection(topic, IMAGE, typestore=typestore())
            writer.write(connection, 1, bytes(image_message(np.zeros((400, 500), np.uint8), "mono8", 1, "camera")))
    return path


@pytest.mark.parametrize("mode", [CompressionMode.MESSAGE, CompressionMode.FILE])
def test_a_compressed_bag_is_read_and_one_that_is_too_large_is_said(tmp_path, mode, monkeypatch) -> None:
    path = compressed_bag(tmp_path, mode)
    with open_bag(path, Topics()) as bag:
        assert len(list(bag.frames())) == 2
    monkeypatch.setattr(limits, "MAX_BYTES", 100_000)
    monkeypatch.setattr(limits, "unpacked", lambda data, kind: unpacked(data, kind, 100_000))
    monkeypatch.setattr(shutil, "disk_usage", lambda _folder: shutil._ntuple_diskusage(0, 0, limits._SPARE_BYTES + 9))
    if mode is CompressionMode.MESSAGE:
        with open_bag(path, Topics()) as bag:
            assert list(bag.frames()) == []
            assert "compressed data becomes more than the 100000 bytes" in bag.damage
    else:
        with pytest.raises(BagError, match="doesn't fit into the temporary folder"), open_bag(path, Topics()):
            pass


def alias_bomb() -> str:
    lines = ["a0: &a0 [1, 1, 1, 1, 1, 1, 1, 1, 1]"]
    lines += [f"a{i}: &a{i} [{', '.join([f'*a{i - 1}'] * 9)}]" for i in range(1, 9)]
    return "\n".join(lines) + "\n"


METADATA = {
    "a bomb of aliases": (lambda text: alias_bomb() + text, "more than 200000 values, counting those that aliases"),
    "too deep": (lambda text: text + "deep: " + "[" * 300 + "]" * 300, "nested more than 40 deep"),
    "too large": (lambda text: text + "#" * (9 << 20), "its metadata.yaml has 94[0-9]* bytes: at most 8388608"),
    "an object": (lambda text: text + "x: !!python/object/apply:os.getcwd []", "the tag .* is not taken"),
    "a part of itself": (lambda text: text + "x: &x [*x]", "is a part of itself"),
}


@pytest.mark.parametrize(("change", "line"), METADATA.values(), ids=METADATA)
def test_metadata_of_a_bag_that_asks_for_too_much_is_refused_in_one_line(tmp_path, change, line) -> None:
    path = compressed_bag(tmp_path, CompressionMode.MESSAGE)
    metadata = path / "metadata.yaml"
    metadata.write_text(change(metadata.read_text()))
    with pytest.raises(BagError, match=line) as caught, open_bag(path, Topics()):
        pass
    assert len(str(caught.value).splitlines()) == 1


def test_quality_of_service_in_a_storage_is_read_with_the_same_limits() -> None:
    with pytest.raises(ReaderError, match="more than 200000 values"):
        parse_qos(alias_bomb())
