# SPDX-License-Identifier: Apache-2.0
"""Folders of results: only the command's own are taken up, by one run at a time, and nothing of the user's is lost."""

from pathlib import Path

import pytest

from segmif_ros.result_folder import FolderError, ResultFolder, require_new


def test_a_new_folder_is_made_with_its_parents(tmp_path: Path) -> None:
    with ResultFolder(tmp_path / "a" / "b", "segmif x") as results:
        assert results.folder.is_dir()


def test_a_folder_that_the_same_command_made_is_taken_up(tmp_path: Path) -> None:
    with ResultFolder(tmp_path / "out", "segmif x"):
        (tmp_path / "out" / "report.json").write_text("{}")
    with ResultFolder(tmp_path / "out", "segmif x"):
        assert (tmp_path / "out" / "report.json").is_file()


def test_a_folder_of_the_user_is_refused_and_says_what_it_holds(tmp_path: Path) -> None:
    (tmp_path / "notes.txt").write_text("precious")
    with pytest.raises(FolderError, match=r"holds notes\.txt, which isn't ours: give another folder"):
        ResultFolder(tmp_path, "segmif x")
    assert [path.name for path in tmp_path.iterdir()] == ["notes.txt"]


def test_a_folder_of_another_command_is_refused_with_its_name(tmp_path: Path) -> None:
    with ResultFolder(tmp_path, "segmif x"):
        (tmp_path / "a").touch()
    with pytest.raises(FolderError, match="holds a, which `segmif x` wrote"):
        ResultFolder(tmp_path, "segmif y")


def test_a_second_run_in_the_same_folder_is_told(tmp_path: Path) -> None:
    with ResultFolder(tmp_path, "segmif x"), pytest.raises(FolderError, match="another run is writing there"):
        ResultFolder(tmp_path, "segmif x")
    with ResultFolder(tmp_path, "segmif x"):
        pass


def test_a_folder_that_is_written_once_must_be_empty(tmp_path: Path) -> None:
    with ResultFolder(tmp_path, "segmif x", again=False):
        (tmp_path / "a").touch()
    with pytest.raises(FolderError, match="holds a, which `segmif x` wrote"):
        ResultFolder(tmp_path, "segmif x", again=False)


def test_other_things_may_lie_beside_named_files(tmp_path: Path) -> None:
    (tmp_path / "bag").mkdir()
    with ResultFolder(tmp_path, "segmif x", only=("report.json",)):
        pass
    (tmp_path / "other").mkdir()
    (tmp_path / "other" / "report.json").touch()
    with pytest.raises(FolderError, match=r"holds report\.json"):
        ResultFolder(tmp_path / "other", "segmif x", only=("report.json",))


def test_a_place_that_cannot_be_a_folder_is_one_line(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(FolderError, match=r"file/out: can't be written: Not a directory$"):
        ResultFolder(tmp_path / "file" / "out", "segmif x")


def test_a_file_is_replaced_only_where_that_was_asked_for(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    require_new(tmp_path / "new")
    require_new(tmp_path / "file", overwrite=True)
    with pytest.raises(FolderError, match="is there already: give another name, or --overwrite"):
        require_new(tmp_path / "file")
    with pytest.raises(FolderError, match="is a folder"):
        require_new(tmp_path, overwrite=True)
