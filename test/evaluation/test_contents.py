# SPDX-License-Identifier: Apache-2.0
"""The hash of a data set's files: any change counts, and what is known is not read again."""

import os
from pathlib import Path

import pytest

from segmif_ros.evaluation.contents import contents_hash


@pytest.fixture
def files(tmp_path: Path) -> list[Path]:
    found = [tmp_path / "a.png", tmp_path / "b.png"]
    for path in found:
        path.write_bytes(path.name.encode())
        os.utime(path, (1e9, 1e9))
    return found


def test_the_hash_is_the_same_each_time_and_in_each_folder(files: list[Path], tmp_path: Path) -> None:
    first = contents_hash(files, tmp_path / "memory.json")
    assert contents_hash(files, tmp_path / "memory.json") == first
    copies = tmp_path / "copies"
    copies.mkdir()
    for path in files:
        (copies / path.name).write_bytes(path.read_bytes())
    assert contents_hash([copies / path.name for path in files], tmp_path / "other.json") == first


def test_a_change_of_equal_size_counts(files: list[Path], tmp_path: Path) -> None:
    first = contents_hash(files, tmp_path / "memory.json")
    files[1].write_bytes(b"B.png")
    assert contents_hash(files, tmp_path / "memory.json") != first


def test_a_file_of_known_size_and_time_is_not_read_again(
    files: list[Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    first = contents_hash(files, tmp_path / "memory.json")
    opened: list[Path] = []
    real = Path.open
    monkeypatch.setattr(Path, "open", lambda self, *how, **more: opened.append(self) or real(self, *how, **more))
    assert contents_hash(files, tmp_path / "memory.json") == first
    assert not set(opened) & set(files)


def test_a_file_that_was_written_just_now_is_read_again(files: list[Path], tmp_path: Path) -> None:
    files[0].write_bytes(b"1")
    stamp = files[0].stat().st_mtime_ns
    first = contents_hash(files, tmp_path / "memory.json")
    files[0].write_bytes(b"2")
    os.utime(files[0], ns=(stamp, stamp))  # as on a file system with coarse time stamps
    assert contents_hash(files, tmp_path / "memory.json") != first


def test_a_missing_file_counts_as_unreadable_and_a_broken_memory_as_none(files: list[Path], tmp_path: Path) -> None:
    whole = contents_hash(files, tmp_path / "memory.json")
    (tmp_path / "memory.json").write_text("[")
    assert contents_hash(files, tmp_path / "memory.json") == whole
    files[0].unlink()
    assert contents_hash(files, tmp_path / "memory.json") != whole
