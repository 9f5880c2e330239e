# SPDX-License-Identifier: Apache-2.0
"""A run's folder: one process, whole files whatever happens, and one line for whatever is damaged."""

import errno
import json
import os
import subprocess
import sys

import pytest
import torch

from segmif_ros.training.config import RecipeError, SourceConfig, TrainingConfig
from segmif_ros.training.run_folder import RunFolder, resumed_step

CONFIG = TrainingConfig(name="tiny", steps=9, sources=(SourceConfig(kind="scenes", count=2),))


def run_of(path, *steps) -> RunFolder:
    folder = RunFolder(path, CONFIG)
    for step in steps:
        folder.log({"step": step})
        folder.save_state({"step": step, "model": {"weight": torch.full((1000,), float(step))}})
    return folder


def test_the_state_before_the_last_is_kept(tmp_path):
    run_of(tmp_path, 1, 2, 3)
    assert run_of(tmp_path).load_state()["step"] == 3
    assert torch.load(tmp_path / "state.previous.pt", weights_only=True)["step"] == 2
    assert sorted(each.name for each in tmp_path.iterdir()) == [
        "lock", "log.jsonl", "recipe.json", "state.previous.pt", "state.pt"
    ]  # fmt: skip


@pytest.mark.parametrize("damage", ["empty", "cut", "garbage", "one byte", "another file", "gone"])
def test_a_damaged_state_is_said_and_the_one_before_it_used(tmp_path, capsys, damage):
    run_of(tmp_path, 1, 2, 3)
    state = tmp_path / "state.pt"
    data = bytearray(state.read_bytes())
    if damage == "one byte":
        at = data.index(torch.full((1000,), 3.0).numpy().tobytes())
        data[at + 100] ^= 1
    if damage == "another file":
        torch.save([1, 2], state)
    else:
        state.write_bytes({"empty": b"", "cut": data[: len(data) // 2], "garbage": b"e" * 999}.get(damage, data))
    if damage == "gone":
        state.unlink()
    assert run_of(tmp_path).load_state()["step"] == 2
    assert resumed_step(tmp_path, CONFIG) == 2
    assert [json.loads(line)["step"] for line in (tmp_path / "log.jsonl").read_text().splitlines()] == [1, 2]
    said = capsys.readouterr().out
    assert said.count("\n") == (damage != "gone") and (damage == "gone" or "the state before it is used" in said)


def test_two_damaged_states_are_one_line_with_what_to_do(tmp_path):
    run_of(tmp_path, 1, 2)
    for name in ("state.pt", "state.previous.pt"):
        (tmp_path / name).write_bytes(b"nothing")
    for what in (run_of(tmp_path).load_state, lambda: resumed_step(tmp_path, CONFIG)):
        with pytest.raises(RecipeError, match=r"state\.pt: is damaged \(BadZipFile\): delete it to begin again, or"):
            what()


@pytest.mark.parametrize("content", [b"", b"\xff\xfe", b"[1]", b"null", b"{", b"[" * 100_000])
def test_a_damaged_recipe_is_one_line(tmp_path, content):
    run_of(tmp_path, 1)
    (tmp_path / "recipe.json").write_bytes(content)
    with pytest.raises(RecipeError, match=r"recipe\.json: is damaged: choose another output folder"):
        RunFolder(tmp_path, CONFIG)


def test_lines_of_the_log_that_are_damaged_are_left_out(tmp_path):
    run_of(tmp_path, 1, 2)
    with (tmp_path / "log.jsonl").open("ab") as log:
        log.write(b"\xff\xfe\n[1]\nnull\n{\n\0\0\0\n")
    run_of(tmp_path).load_state()
    assert (tmp_path / "log.jsonl").read_text() == '{"step": 1}\n{"step": 2}\n'


def test_a_second_process_is_refused_in_one_line_and_may_go_on_when_the_first_has_ended(tmp_path):
    program = (
        "import sys; sys.path.insert(0, sys.argv[2])\n"
        "from test_run_folder import CONFIG, RunFolder\n"
        "from pathlib import Path\n"
        "folder = RunFolder(Path(sys.argv[1]), CONFIG)\n"
        "print('locked', flush=True); sys.stdin.read()"
    )
    command = [sys.executable, "-c", program, str(tmp_path), os.path.dirname(__file__)]  # noqa: PTH120
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as other:
        assert other.stdout.readline() == "locked\n"
        with pytest.raises(RecipeError, match="another training works in this folder; wait for it"):
            RunFolder(tmp_path, CONFIG)
        other.stdin.close()
    run_of(tmp_path, 1)


def test_a_full_disk_is_an_error_of_the_machine_that_names_the_file(tmp_path):
    folder = run_of(tmp_path, 1)
    (tmp_path / f".state.pt.{os.getpid()}.part").symlink_to("/dev/full")
    with pytest.raises(OSError, match="No space left on device") as full:
        folder.save_state({"step": 2, "model": {"weight": torch.zeros(100_000)}})
    assert (full.value.errno, full.value.filename) == (errno.ENOSPC, str(tmp_path / "state.pt"))
    assert run_of(tmp_path).load_state()["step"] == 1


def test_what_a_killed_process_was_writing_is_cleared_away(tmp_path):
    (tmp_path / ".state.pt.123.part").write_bytes(b"half")
    run_of(tmp_path, 1)
    assert not list(tmp_path.glob(".*"))
