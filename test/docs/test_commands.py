# SPDX-License-Identifier: Apache-2.0
"""Every command line of README and docs is run, here or by another test, or the one list says why it is not."""

import re
import shlex
import shutil
from fnmatch import fnmatchcase
from pathlib import Path

import pytest
from command_list import NOT_RUN, RUN, RUN_ELSEWHERE, STARTED
from documentation import PAGES, ROOT, blocks, commands

from segmif_ros import cli
from segmif_ros.inference.backends import missing_packages

DOCUMENTED = {each.text: each.page for page in PAGES for each in commands(page)}
PATTERNS = {**RUN_ELSEWHERE, **NOT_RUN}
STAND_INS = {"TEACHER": "TEACHER.safetensors", "segmif-rt": "tiny.safetensors"}


def _lists(text: str) -> list[str]:
    return [text] * ((text in RUN) + (text in STARTED)) + [each for each in PATTERNS if fnmatchcase(text, each)]


@pytest.mark.parametrize("page", PAGES, ids=lambda path: path.name)
def test_every_block_says_its_language(page: Path) -> None:
    assert not [each.body for each in blocks(page) if not each.language]


def test_every_documented_command_is_in_one_of_the_lists() -> None:
    assert {text: _lists(text) for text in DOCUMENTED if len(_lists(text)) != 1} == {}


def test_every_entry_of_the_lists_is_documented() -> None:
    assert [text for text in (*RUN, *STARTED) if text not in DOCUMENTED] == []
    assert [each for each in PATTERNS if not any(fnmatchcase(text, each) for text in DOCUMENTED)] == []


@pytest.mark.parametrize("place", sorted(set(RUN_ELSEWHERE.values())))
def test_the_tests_that_are_named_exist(place: str) -> None:
    file, _, name = place.partition("::")
    assert (ROOT / file).is_file()
    assert f"def {name}(" in (ROOT / file).read_text() if name else "def test_" in (ROOT / file).read_text()


@pytest.mark.parametrize("text", [each for each in DOCUMENTED if each.startswith("make ")])
def test_every_make_target_exists(text: str) -> None:
    assert re.search(rf"^{text.split()[1]}:", (ROOT / "Makefile").read_text(), re.MULTILINE)


def needs_runtimes(text: str) -> bool:
    """Whether a command runs networks by ONNX Runtime or OpenVINO."""
    return bool(re.search(r"my_network|my_folder|export|openvino", text))


@pytest.mark.parametrize("text", RUN)
def test_a_documented_command_runs(text: str, world: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    if text.startswith("segmif compare"):  # the earlier run that the page compares with
        shutil.copytree(world / "new" / "drive", world / "reference")
    if needs_runtimes(text) and (missing_packages("onnxruntime") or missing_packages("openvino")):
        pytest.skip("onnxruntime, onnx and openvino are not installed")
    monkeypatch.chdir(world)
    words: list[str] = []
    for word in shlex.split(text)[1:]:
        words += sorted(map(str, Path().glob(word))) if "*" in word else [STAND_INS.get(word, word)]
    assert cli.main([*words, *shlex.split(RUN[text])]) == 0
