# SPDX-License-Identifier: Apache-2.0
"""Writing in one step: the old file or the new one, and nothing beside it."""

import json
from pathlib import Path

import pytest

from segmif_ros.files import replace_file, write_file, write_json


def test_text_and_bytes_replace_what_was_there(tmp_path: Path) -> None:
    path = tmp_path / "a.txt"
    replace_file(path, "första\n")
    assert path.read_bytes() == "första\n".encode()
    replace_file(path, b"second")
    assert path.read_bytes() == b"second"
    assert list(tmp_path.iterdir()) == [path]


def test_a_write_that_fails_leaves_the_old_file_and_nothing_beside_it(tmp_path: Path) -> None:
    path = tmp_path / "a.txt"
    path.write_text("old")
    with pytest.raises(ZeroDivisionError):
        write_file(path, lambda _file: 1 / 0)
    assert path.read_text() == "old"
    assert list(tmp_path.iterdir()) == [path]


def test_the_file_before_goes_where_it_is_kept(tmp_path: Path) -> None:
    path, before = tmp_path / "a.txt", tmp_path / "before.txt"
    path.write_text("old")
    write_file(path, lambda file: file.write(b"new"), keep=before)
    assert (path.read_text(), before.read_text()) == ("new", "old")


def test_a_folder_that_is_not_there_is_an_error_with_the_name(tmp_path: Path) -> None:
    with pytest.raises(OSError, match=r"gone.*a\.txt"):
        replace_file(tmp_path / "gone" / "a.txt", "x")


def test_json_is_indented_and_has_no_nan(tmp_path: Path) -> None:
    path = tmp_path / "a.json"
    write_json(path, {"a": 1})
    assert path.read_text() == '{\n "a": 1\n}\n'
    with pytest.raises(ValueError, match="JSON compliant"):
        write_json(path, {"a": float("nan")})
    assert json.loads(path.read_text()) == {"a": 1}
