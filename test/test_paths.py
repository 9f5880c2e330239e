# SPDX-License-Identifier: Apache-2.0
from pathlib import Path

import pytest

from segmif_ros.paths import CONTROL, cache_folder, one_line, user_path


def test_the_home_folder_is_filled_in(monkeypatch) -> None:
    monkeypatch.setenv("HOME", "/home/robot")
    assert user_path("~/rig.yaml") == Path("/home/robot/rig.yaml")
    assert user_path("/etc/rig.yaml") == Path("/etc/rig.yaml")


def test_the_home_of_somebody_who_does_not_exist_is_no_such_file() -> None:
    with pytest.raises(FileNotFoundError, match="there is no user 'nosuchuser'"):
        user_path("~nosuchuser/rig.yaml")


def test_a_path_with_a_zero_byte_is_no_such_file() -> None:
    with pytest.raises(FileNotFoundError, match="zero byte"):
        user_path("rig\0.yaml")


def test_a_user_without_a_home_is_said(monkeypatch) -> None:
    monkeypatch.setattr(Path, "expanduser", lambda _self: (_ for _ in ()).throw(RuntimeError("no home")))
    with pytest.raises(FileNotFoundError, match="HOME is not set"):
        user_path("~/rig.yaml")


@pytest.mark.parametrize("text", ["a\nb", "a\x85b\u2028c", "x" * 5000, "\0"])
def test_a_message_is_one_line_of_bounded_length(text) -> None:
    line = one_line(text)
    assert not CONTROL.search(line)
    assert len(line.splitlines()) <= 1
    assert len(line) <= 400


def test_without_a_home_the_cache_is_a_folder_of_this_process(monkeypatch, caplog) -> None:
    monkeypatch.delenv("XDG_CACHE_HOME", raising=False)
    monkeypatch.setattr(Path, "expanduser", lambda _self: (_ for _ in ()).throw(RuntimeError("no home")))
    folder = cache_folder()
    assert folder.is_dir()
    assert folder.stat().st_mode & 0o077 == 0
    assert cache_folder() == folder
    assert [each.message.split(":")[0] for each in caplog.records] == ["HOME is not set"]


@pytest.mark.parametrize(
    ("base", "folder"),
    [
        ("/caches", "/caches/segmif_ros"),
        ("", "/home/robot/.cache/segmif_ros"),
        ("here", "/home/robot/.cache/segmif_ros"),
    ],
)
def test_the_cache_is_where_the_xdg_specification_says(monkeypatch, base, folder) -> None:
    monkeypatch.setenv("HOME", "/home/robot")
    monkeypatch.setenv("XDG_CACHE_HOME", base)
    assert cache_folder() == Path(folder)
