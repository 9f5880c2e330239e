# SPDX-License-Identifier: Apache-2.0
from pathlib import Path

import numpy as np
import pytest
import safetensors.numpy
from hypothesis import given
from hypothesis import strategies as st

from segmif_ros.inference.weights import (
    WeightsError,
    curve_file,
    packaged_weights,
    parse_weights,
    resolve_weights,
    weights_hash,
    weights_note,
)

WORDS = st.text(st.characters(exclude_characters=",", codec="utf-8"), min_size=1).filter(str.strip)


def test_a_file_is_taken_by_its_path(tmp_path: Path) -> None:
    file = tmp_path / "mine.safetensors"
    file.write_bytes(b"x")
    assert resolve_weights([str(file)]) == (file,)


def test_two_files_are_taken_in_the_given_order(tmp_path: Path) -> None:
    files = [tmp_path / "b.pth", tmp_path / "a.pth"]
    for file in files:
        file.write_bytes(b"x")
    assert resolve_weights([str(file) for file in files]) == tuple(files)


def test_a_packaged_name_is_found() -> None:
    name, path = next(iter(packaged_weights().items()))
    assert resolve_weights([name]) == (path,)


@pytest.mark.parametrize("asked", [[], ["", " "], ["a.pth", "b.pth", "c.pth"]])
def test_nothing_or_too_much_is_refused(asked: list[str]) -> None:
    with pytest.raises(WeightsError, match="give one name"):
        resolve_weights(asked)


def test_an_unknown_name_is_refused_with_the_names_that_exist() -> None:
    with pytest.raises(WeightsError, match=r"'segmif-xxl': no such name; there is .*segmif-s"):
        resolve_weights(["segmif-xxl"])


def test_a_missing_file_is_refused_with_its_path(tmp_path: Path) -> None:
    with pytest.raises(WeightsError, match=r"gone\.pth': no such file"):
        resolve_weights([str(tmp_path / "gone.pth")])


def test_a_folder_is_refused_as_such(tmp_path: Path) -> None:
    with pytest.raises(WeightsError, match="is a folder"):
        resolve_weights([str(tmp_path)])


def test_the_hash_depends_on_contents_and_not_on_the_order_given(tmp_path: Path) -> None:
    first, second = tmp_path / "a.pth", tmp_path / "b.pth"
    first.write_bytes(b"1")
    second.write_bytes(b"2")
    before = weights_hash([first, second])
    assert before == weights_hash([second, first])
    second.write_bytes(b"3")
    assert before != weights_hash([first, second])


@given(st.lists(WORDS, min_size=1, max_size=2))
def test_one_or_two_parts_come_back_without_the_space_around_them(words: list[str]) -> None:
    assert parse_weights(" , ".join(words)) == tuple(word.strip() for word in words)


@given(st.lists(WORDS, min_size=3))
def test_more_than_two_parts_are_refused(words: list[str]) -> None:
    with pytest.raises(WeightsError, match="parts: give a name"):
        parse_weights(",".join(words))


@pytest.mark.parametrize("text", ["", " ", ",", " , ,"])
def test_no_part_at_all_is_refused(text: str) -> None:
    with pytest.raises(WeightsError, match="0 parts"):
        parse_weights(text)


def test_the_curve_beside_a_file_goes_before_the_log_of_its_run(tmp_path: Path) -> None:
    weights, log, curve = (tmp_path / name for name in ("a.safetensors", "log.jsonl", "a.curve.json"))
    assert curve_file([weights]) is None
    log.touch()
    assert curve_file([weights]) == log
    curve.touch()
    assert curve_file([weights]) == curve
    assert curve_file([weights, tmp_path / "b.pth"]) is None


def test_a_curve_is_no_weights_by_itself(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("segmif_ros.inference.weights.PACKAGED_FOLDER", tmp_path)
    for name in ("a.safetensors", "a.curve.json", "b.curve.json"):
        (tmp_path / name).touch()
    assert list(packaged_weights()) == ["a"]


def test_a_file_says_in_one_line_what_it_is_good_for(tmp_path: Path) -> None:
    file = tmp_path / "mine.safetensors"
    safetensors.numpy.save_file({"x": np.zeros(1)}, file, {"good_for": "streets;\nnot for forests"})
    assert weights_note(str(file)) == "streets; not for forests"


def test_weights_that_say_nothing_have_no_note(tmp_path: Path) -> None:
    file, folder = tmp_path / "mine.safetensors", tmp_path / "folder"
    safetensors.numpy.save_file({"x": np.zeros(1)}, file)
    folder.mkdir()
    (folder / "model.yaml").write_text("")
    assert weights_note(str(file)) == weights_note(str(folder)) == weights_note("nowhere.safetensors") == ""
