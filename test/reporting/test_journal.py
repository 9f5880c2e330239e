# SPDX-License-Identifier: Apache-2.0
"""The journal: what is kept, what is resumed, and what another run may not resume."""

from pathlib import Path

import pytest

from segmif_ros.reporting.errors import RunError
from segmif_ros.reporting.journal import RECORDS_FILE, Journal, resumed_lines

IDENTITY = {"kind": "test", "data": {"name": "a"}}


def test_records_are_there_when_the_folder_is_opened_again(tmp_path: Path) -> None:
    with_two = Journal(tmp_path, IDENTITY)
    with_two.add({"key": "a", "value": 1})
    with_two.add({"key": "b", "error": "unreadable"})
    with_two.close()
    again = Journal(tmp_path, IDENTITY)
    assert list(again.records) == ["a", "b"]
    assert again.done == {"a"}  # what failed is tried again


def test_a_line_that_was_cut_off_is_removed(tmp_path: Path) -> None:
    journal = Journal(tmp_path, IDENTITY)
    journal.add({"key": "a"})
    journal.close()
    with (tmp_path / RECORDS_FILE).open("a") as stream:
        stream.write('{"key": "b", "val')
    again = Journal(tmp_path, IDENTITY)
    assert list(again.records) == ["a"]
    again.add({"key": "c"})
    again.close()
    assert [each["key"] for each in resumed_lines(tmp_path / RECORDS_FILE)] == ["a", "c"]


def test_another_run_is_refused_with_what_differs(tmp_path: Path) -> None:
    Journal(tmp_path, IDENTITY).close()
    with pytest.raises(RunError, match=r"another run \(data\.name was a, is b\).*--fresh"):
        Journal(tmp_path, {**IDENTITY, "data": {"name": "b"}})


def test_fresh_forgets_what_the_folder_holds(tmp_path: Path) -> None:
    journal = Journal(tmp_path, IDENTITY)
    journal.add({"key": "a"})
    journal.close()
    assert not Journal(tmp_path, {"kind": "other"}, fresh=True).records


def test_lines_of_a_log_are_read_up_to_the_one_that_was_cut_off(tmp_path: Path) -> None:
    log = tmp_path / "log.jsonl"
    log.write_text('{"seconds": 3}\n{"secon')
    assert resumed_lines(log, "seconds") == [{"seconds": 3}]
    assert log.read_text() == '{"seconds": 3}\n'
    assert resumed_lines(tmp_path / "none.jsonl") == []
