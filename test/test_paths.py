# SPDX-License-Identifier: Apache-2.0
from pathlib import Path

import pytest

from segmif_ros.paths import one_line, user_path


def test_the_home_folder_is_filled_in(monkeypatch) -> None:
    monkeypatch.setenv("HOME", "/home/robot")
    assert user_path("~/rig.yaml") == Path("/home/robot/rig.yaml")
    assert user_path("/etc/rig.yaml") == Path("/etc/rig.yaml")


def test_the_home_of_somebody_who_does_not_exist_is_no_such_file() -> None:
    with pytest.raises(FileNotFoundError, match="there is no user 'nosuchuser'"):
        user_path("~nosuchuser/rig.yaml")


def test_a_user_without_a_home_is_said(monkeypatch) -> None:
    monkeypatch.setattr(Path, "expanduser", lambda _self: (_ for _ in ()).throw(RuntimeError("no home")))
    with pytest.raises(FileNotFoundError, match="HOME is not set"):
        user_path("~/rig.yaml")


@pytest.mark.parametrize("text", ["a\nb", "a\x85b\u2028c", "x" * 5000, "\0"])
def test_a_message_is_one_line_of_bounded_length(text) -> None:
    line = one_line(text)
    assert len(line.splitlines()) <= 1
    assert len(line) <= 400
